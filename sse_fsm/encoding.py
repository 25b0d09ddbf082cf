"""The few events that a gateway itself writes: pings, errors and a missing `message_stop`.

Form: one `event:` line, one `data:` line, LF line ends, a blank line, no BOM, which every SDK's decoder reads.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, Final

__all__ = ["MESSAGE_STOP", "PING", "encode_error", "encode_event"]


def encode_event(payload: Mapping[str, Any]) -> bytes:
    """Encode a JSON object with a string `type` as one event.

    Text outside ASCII is sent as UTF-8, as the API does; a lone surrogate, which has no UTF-8 form, is escaped.

    Raises:
        KeyError: there is no `type`.
    """
    name = payload["type"]
    text = json.dumps(payload, ensure_ascii=False, separators=(",", ":"))
    try:
        data = text.encode()
    except UnicodeEncodeError:
        data = json.dumps(payload, separators=(",", ":")).encode()
    return b"event: %b\ndata: %b\n\n" % (str(name).encode(), data)


PING: Final = b'event: ping\ndata: {"type": "ping"}\n\n'
"""A ping in the API's own spelling."""

MESSAGE_STOP: Final = encode_event({"type": "message_stop"})
"""The last event of a stream that ended well."""


def encode_error(kind: str, message: str, *, request_id: str | None = None) -> bytes:
    """Encode `event: error`, the only legal way to end a stream that cannot be completed.

    Args:
        kind: Anthropic error type, such as `api_error` or `overloaded_error` (both retryable to clients).
        message: what happened and what to do next, in one or two sentences.
        request_id: the `request-id` of the response, so that a person can find the request again.
    """
    payload: dict[str, Any] = {"type": "error", "error": {"type": kind, "message": message}}
    if request_id is not None:
        payload["request_id"] = request_id
    return encode_event(payload)
