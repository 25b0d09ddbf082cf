"""Events to a message: the rules by which the official SDKs accumulate a stream.

Counts in `message_delta` are cumulative: they overwrite, they never add. The three stop fields overwrite
always, with null too; everything else overwrites only where it is there and not null. The split of cache
writes by lifetime, the service tier, the geography and the speed come in `message_start` alone.

Source: `anthropic` Python SDK 2.12.0, `lib/streaming/_messages.py` and `_beta_messages.py`;
`@anthropic-ai/sdk` 1.12.0, `lib/MessageStream.ts`.
"""

from __future__ import annotations

from typing import Any, Final

from sse_fsm.payload import Payload

__all__ = ["apply_fallback", "apply_message_delta"]

_STOP_FIELDS: Final = ("stop_reason", "stop_sequence", "stop_details")
_MESSAGE_FIELDS: Final = ("context_management", "input_transformations")
_USAGE_FIELDS: Final = (
    "input_tokens",
    "cache_creation_input_tokens",
    "cache_read_input_tokens",
    "server_tool_use",
    "output_tokens_details",
    "iterations",
    "fallback_credit",
)


def apply_message_delta(message: dict[str, Any], payload: Payload) -> None:
    """Bring `message`, a JSON object begun by `message_start`, up to date with a `message_delta`."""
    delta, usage = payload["delta"], payload["usage"]
    for name in _STOP_FIELDS:
        message[name] = delta.get(name)
    if delta.get("container") is not None:
        message["container"] = delta["container"]
    for name in _MESSAGE_FIELDS:
        if payload.get(name) is not None:
            message[name] = payload[name]
    total = message["usage"]
    total["output_tokens"] = usage["output_tokens"]
    for name in _USAGE_FIELDS:
        if usage.get(name) is not None:
            total[name] = usage[name]


def apply_fallback(message: dict[str, Any], block: dict[str, Any]) -> None:
    """Take over the model that a `fallback` block says answers from here on (beta)."""
    message["model"] = block["to"]["model"]
