"""Anthropic's error envelope, and which error type belongs to which status.

Source: Anthropic docs, "Errors"; `anthropic` Python SDK 2.12.0, `_error_classes.py` and
`types/shared/error_response.py`.
"""

from __future__ import annotations

import json
import re
import secrets
from collections.abc import Mapping
from typing import Any, Final

import msgspec
from attrs import define, field

__all__ = [
    "GATEWAY_REQUEST_ID_HEADER",
    "REQUEST_ID_HEADER",
    "SERVER_NAME",
    "STATUS_BY_TYPE",
    "TYPE_BY_STATUS",
    "ApiError",
    "encode_envelope",
    "encode_json",
    "error_message",
    "new_request_id",
    "read_error",
]

REQUEST_ID_HEADER: Final = "request-id"
GATEWAY_REQUEST_ID_HEADER: Final = "x-gateway-request-id"
"""On every answer: the id under which the gateway has the request in its log."""
SERVER_NAME: Final = "claude-stream-gateway"

TYPE_BY_STATUS: Final[Mapping[int, str]] = {
    400: "invalid_request_error",
    401: "authentication_error",
    402: "billing_error",
    403: "permission_error",
    404: "not_found_error",
    405: "invalid_request_error",
    408: "timeout_error",
    409: "conflict_error",
    413: "request_too_large",
    415: "invalid_request_error",
    429: "rate_limit_error",
    500: "api_error",
    502: "api_error",
    # Not overloaded_error: Claude Code would show its own words about capacity in place of our message.
    503: "api_error",
    504: "timeout_error",
    529: "overloaded_error",
}
"""Error type of each status. 405, 408, 415, 502 and 503 are not documented; these are the nearest. Any other
status has the type of its family: `invalid_request_error` below 500, `api_error` from there on."""

STATUS_BY_TYPE: Final[Mapping[str, int]] = {
    "invalid_request_error": 400,
    "authentication_error": 401,
    "billing_error": 402,
    "permission_error": 403,
    "not_found_error": 404,
    "conflict_error": 409,
    "request_too_large": 413,
    "rate_limit_error": 429,
    "api_error": 500,
    "timeout_error": 504,
    "overloaded_error": 529,
}
"""Status that an error inside a 200 stream would have had before it; any other type is a 500."""

_TERMINAL: Final = frozenset(range(400, 500)) - {408, 409, 429}


def new_request_id() -> str:
    """Return a fresh id in the form of the API's, marked as the gateway's own."""
    return f"req_gw{secrets.token_hex(11)}"


@define
class ApiError(Exception):
    """An answer that the gateway gives in its own name."""

    status: int
    message: str
    """One or two sentences: what is wrong and what to do next."""
    kind: str = ""
    """Error type; by default the one that belongs to the status."""
    error_code: str | None = None
    """`error.details.error_code`, from which SDKs choose a finer exception class."""
    retry_after: int | None = None
    """Whole seconds. Claude Code waits up to 60 and gives up at once on more."""
    should_retry: bool | None = None
    """`x-should-retry`, which overrides what SDKs make of the status. By default false where the same request
    would fail again, because Claude Code repeats even a 400 or 401 without it, and absent elsewhere."""
    headers: dict[str, str] = field(factory=dict)

    def __attrs_post_init__(self) -> None:
        """Fill in the type and the advice."""
        family = "invalid_request_error" if self.status < 500 else "api_error"  # noqa: PLR2004 - the server's own faults
        self.kind = self.kind or TYPE_BY_STATUS.get(self.status, family)
        if self.should_retry is None and self.status in _TERMINAL:
            self.should_retry = False

    def response_headers(self, request_id: str) -> dict[str, str]:
        """Return the headers of this answer."""
        headers = {
            "content-type": "application/json",
            REQUEST_ID_HEADER: request_id,
            "server": SERVER_NAME,
            **self.headers,
        }
        if self.retry_after is not None:
            headers["retry-after"] = str(self.retry_after)
        if self.should_retry is not None:
            headers["x-should-retry"] = "true" if self.should_retry else "false"
        return headers

    def body(self, request_id: str) -> bytes:
        """Return the body of this answer."""
        return encode_envelope(self.kind, self.message, request_id, error_code=self.error_code)


def encode_json(value: Any) -> bytes:
    """Encode any decoded JSON again, lone surrogates and integers of any size included."""
    try:
        return msgspec.json.encode(value)
    except (UnicodeEncodeError, OverflowError):
        return json.dumps(value, separators=(",", ":")).encode()


def encode_envelope(kind: str, message: str, request_id: str, *, error_code: str | None = None) -> bytes:
    """Encode an error as the API does: `{"type":"error","error":{...},"request_id":...}`."""
    error: dict[str, Any] = {"type": kind, "message": message}
    if error_code is not None:
        error["details"] = {"error_code": error_code}
    return encode_json({"type": "error", "error": error, "request_id": request_id})


class _Envelope(msgspec.Struct):
    type: str
    error: dict[str, Any]


_decode_envelope: Final = msgspec.json.Decoder(_Envelope).decode
_LONGEST_ENVELOPE: Final = 64 * 1024


def read_error(body: bytes) -> dict[str, Any] | None:
    """Return the `error` object if `body` is Anthropic's error envelope, whatever status it came with."""
    if len(body) > _LONGEST_ENVELOPE:
        return None
    try:
        envelope = _decode_envelope(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None
    return envelope.error if envelope.type == "error" else None


class _AnyError(msgspec.Struct):
    message: Any = None


class _AnyEnvelope(msgspec.Struct):
    error: _AnyError


_decode_any: Final = msgspec.json.Decoder(_AnyEnvelope).decode
_LONGEST_MESSAGE: Final = 500
_KEY: Final = re.compile(r"\bsk-[\w*.-]{6,}", re.ASCII)


def error_message(body: bytes) -> str:
    """Return the message of an error envelope, Anthropic's or OpenAI's, for people: one line, empty for none.

    Keys are left out: OpenAI says which one it refuses, most of it starred, and others may say all of it.
    """
    if len(body) > _LONGEST_ENVELOPE:
        return ""
    try:
        message = _decode_any(body).error.message
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return ""
    if not isinstance(message, str):
        return ""
    shown = "".join(c if c.isprintable() else " " for c in message[: 2 * _LONGEST_MESSAGE])
    line = " ".join(_KEY.sub("(key)", shown).split())
    return line if len(line) <= _LONGEST_MESSAGE else line[:_LONGEST_MESSAGE] + "…"
