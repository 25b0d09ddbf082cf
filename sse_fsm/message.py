"""Events to a message: the rules by which the official SDKs accumulate a stream.

Counts in `message_delta` are cumulative: they overwrite, they never add. The three stop fields overwrite
always, with null too; everything else overwrites only where it is there and not null. The split of cache
writes by lifetime, the service tier, the geography and the speed come in `message_start` alone.

Source: `anthropic` Python SDK 2.12.0, `lib/streaming/_messages.py` and `_beta_messages.py`;
`@anthropic-ai/sdk` 1.12.0, `lib/MessageStream.ts`.
"""

from __future__ import annotations

from typing import Any, Final

from sse_fsm.blocks import BLOCK_TYPES, DELTA_TYPES
from sse_fsm.events import EventKind, Message
from sse_fsm.machine import JudgedEvent
from sse_fsm.payload import Payload, parse_json
from sse_fsm.structuring import converter
from sse_fsm.truncated_json import parse_truncated_json

__all__ = ["MessageAccumulator", "apply_fallback", "apply_message_delta"]

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
_APPENDED: Final = {"text_delta": "text", "thinking_delta": "thinking", "input_json_delta": "input"}
"""Deltas that carry a fragment, and the block's field that the fragments make up."""


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


class MessageAccumulator:
    """Adds up the events of one stream to the message that the official SDKs would return.

    Feed it what a `StreamMachine` has allowed: payloads through `add`, or judged events through `observe`, which
    fits `StreamGuard(observer=...)`. The result so far may be asked for at any time. Memory is that of the
    message; time is linear in the stream however many deltas it comes in, because nothing is joined or parsed
    before it is asked for or its block ends.

    Where the SDKs differ: an `encrypted_content` that a compaction left out stays absent (TypeScript), integers
    keep every digit, a number at the end of a cut tool input stays, and so does an input that the block began
    with if only empty fragments follow (Python). At a tool input that is not JSON, where they throw, the input
    stays as the block began it and the text is in `unparsed_inputs`.
    """

    def __init__(self) -> None:
        """Start before the first event."""
        self.unparsed_inputs: dict[int, str] = {}
        """By content index, the text of each finished tool input that is not JSON, or is cut off."""
        self._message: dict[str, Any] | None = None
        self._blocks: list[_Block] = []
        self._open: _Block | None = None

    @property
    def message(self) -> Message | None:
        """The message so far; None before `message_start`.

        Raises:
            TypeError: a nested object that no rule needs has a shape that the classes cannot hold.
        """
        value = self.to_json()
        return None if value is None else converter.structure(value, Message)

    def to_json(self) -> dict[str, Any] | None:
        """Return the message so far as a JSON object; None before `message_start`.

        The parts that grow are copies; values that came whole are shared with the events and must not be changed.
        """
        if self._message is None:
            return None
        content = [*self._message["content"], *(block.to_json() for block in self._blocks)]
        return {**self._message, "content": content, "usage": dict(self._message["usage"])}

    def observe(self, judged: JudgedEvent) -> None:
        """Add an event as a guard's observer."""
        self.add(judged.payload)

    def add(self, payload: Payload) -> None:
        """Add one event, a JSON object as it came; pings, errors and unknown events change nothing.

        Raises:
            RuntimeError: no machine would have allowed the event at this point.
        """
        kind = payload.get("type")
        if kind == EventKind.CONTENT_BLOCK_DELTA and self._open is not None:
            self._open.add(payload["delta"])
        elif kind == EventKind.MESSAGE_START and self._message is None:
            message = payload["message"]
            self._message = {**message, "content": list(message["content"]), "usage": dict(message["usage"])}
        elif kind == EventKind.CONTENT_BLOCK_START and self._message is not None and self._open is None:
            block = payload["content_block"]
            if block["type"] == "fallback":
                apply_fallback(self._message, block)
            self._open = _Block(block)
            self._blocks.append(self._open)
        elif kind == EventKind.CONTENT_BLOCK_STOP and self._open is not None:
            unparsed = self._open.close()
            if unparsed is not None:
                self.unparsed_inputs[payload["index"]] = unparsed
            self._open = None
        elif kind == EventKind.MESSAGE_DELTA and self._message is not None:
            apply_message_delta(self._message, payload)
        elif kind in _ADDED:
            raise RuntimeError(f"{kind} may not come here; add only what a StreamMachine has allowed")


_ADDED: Final = frozenset(
    {
        EventKind.MESSAGE_START,
        EventKind.CONTENT_BLOCK_START,
        EventKind.CONTENT_BLOCK_DELTA,
        EventKind.CONTENT_BLOCK_STOP,
        EventKind.MESSAGE_DELTA,
    }
)


class _Block:
    """A content block and the deltas that came for it."""

    def __init__(self, start: dict[str, Any]) -> None:
        self._value = dict(start)
        known = BLOCK_TYPES.get(start["type"])
        self._deltas = known.deltas if known else frozenset()
        self._fragments: list[str] = []
        self._added_to = ""
        self._has_own_citations = False

    def add(self, delta: dict[str, Any]) -> None:
        """Add a delta; one of unknown type, or of a block of unknown type, changes nothing."""
        kind, value = delta["type"], self._value
        if kind not in self._deltas:
            return
        if kind in _APPENDED:
            self._added_to = _APPENDED[kind]
            self._fragments.append(delta[DELTA_TYPES[kind][0]])
        elif kind == "signature_delta":
            value["signature"] = delta["signature"]
        elif kind == "citations_delta":
            if not self._has_own_citations:
                value["citations"] = list(value.get("citations") or ())
                self._has_own_citations = True
            value["citations"].append(delta["citation"])
        elif kind == "compaction_delta":
            value["content"] = delta.get("content")
            if "encrypted_content" in delta:
                value["encrypted_content"] = delta["encrypted_content"]

    def to_json(self) -> dict[str, Any]:
        """Return the block so far."""
        value = dict(self._value)
        if self._has_own_citations:
            value["citations"] = list(value["citations"])
        if self._added_to == "input":
            value.update(self._input()[0])
        elif self._added_to:
            value[self._added_to] = _with_surrogates_paired(value[self._added_to] + self._joined())
        return value

    def close(self) -> str | None:
        """Settle the block's value; return the text of its input where that is not JSON as a whole."""
        unparsed = None
        if self._added_to == "input":
            changes, is_whole = self._input()
            self._value.update(changes)
            unparsed = None if is_whole else self._joined()
        else:
            self._value = self.to_json()
        self._fragments.clear()
        self._added_to = ""
        return unparsed

    def _input(self) -> tuple[dict[str, Any], bool]:
        """Return the input as a change of the block, and whether its text is JSON as a whole."""
        text = self._joined()
        if not text:
            return {}, True
        try:
            return {"input": parse_json(text.encode())}, True
        except (ValueError, RecursionError):
            pass
        try:
            return {"input": parse_truncated_json(text)}, False
        except (ValueError, RecursionError):
            return {}, False

    def _joined(self) -> str:
        text = "".join(self._fragments)
        self._fragments = [text]
        return text


def _with_surrogates_paired(text: str) -> str:
    """Join the halves of a character that two deltas brought as escapes, as every JSON round trip would."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return text.encode("utf-16", "surrogatepass").decode("utf-16", "surrogatepass")
    return text
