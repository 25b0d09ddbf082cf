"""The checks that the Messages API makes before it answers, with its own wording.

The wording was reported by users of the API; the 2026-10-21 rule on sampling parameters is from the SDK's
migration guide. Only what a gateway's tests need is checked: unknown fields, for example, pass.
"""

import gzip
import json
import zlib
from collections.abc import Mapping
from typing import Any

import msgspec

from gateway.replay.errors import ApiError

BODY_LIMIT = 32 * 2**20
"""Largest request body in bytes on ``/v1/messages`` and ``count_tokens``."""

NEWEST_VERSION = "2026-10-21"
_REMOVED_PARAMETERS = ("temperature", "top_p", "top_k")
_ROLES = ("user", "assistant", "system")


def check_version(headers: Mapping[str, str]) -> str:
    """Return ``anthropic-version``; raise ``ApiError`` (400) without one."""
    version = headers.get("anthropic-version")
    if not version:
        raise ApiError(400, "anthropic-version: header is required")
    return version


def decode_body(body: bytes, content_encoding: str | None) -> dict[str, Any]:
    """Return the JSON object in a request body.

    Raises ``ApiError``: 413 above ``BODY_LIMIT``, 400 for anything that is not one JSON object.
    """
    if len(body) > BODY_LIMIT:
        raise ApiError(413, "Request exceeds the maximum size")
    body = _decompress(body, (content_encoding or "identity").strip().lower())
    try:
        value = msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise ApiError(400, f"The request body is not valid JSON: {_json_fault(body)}") from error
    if not isinstance(value, dict):
        raise ApiError(400, "Input should be a valid dictionary")
    return value


def _decompress(body: bytes, encoding: str) -> bytes:
    try:
        match encoding:
            case "identity" | "":
                return body
            case "gzip":
                return gzip.decompress(body)
            case "deflate":
                return zlib.decompress(body)
    except (OSError, EOFError, zlib.error):
        raise ApiError(
            400,
            "The request body could not be decoded.",
            details={"error_code": "request_body_encoding_invalid"},
        ) from None
    raise ApiError(
        400,
        f"Unsupported content encoding: {encoding}",
        details={"error_code": "request_body_encoding_unsupported"},
    )


def _json_fault(body: bytes) -> str:
    try:
        json.loads(body)
    except json.JSONDecodeError as error:
        return f"unexpected character: line {error.lineno} column {error.colno} (char {error.pos})"
    except (UnicodeDecodeError, RecursionError):
        return "unexpected character: line 1 column 1 (char 0)"
    # Python's own parser lets a lone surrogate pass; nothing else that it accepts is refused above.
    return "no low surrogate in string: line 1 column 2 (char 1)"


def check_message(body: dict[str, Any], version: str, *, counting: bool = False) -> None:
    """Raise ``ApiError`` for a request that the API refuses; ``counting`` is for ``count_tokens``."""
    required = ("model", "messages") if counting else ("model", "max_tokens", "messages")
    for name in required:
        if name not in body:
            raise ApiError(400, f"{name}: Field required")
    if not isinstance(body["model"], str):
        raise ApiError(400, "model: Input should be a valid string")
    if not counting:
        _check_sampling(body, version)
    _check_messages(body["messages"])
    if body["model"].startswith("claude-nope"):
        raise ApiError(404, f"model: {body['model']}")


def _check_sampling(body: dict[str, Any], version: str) -> None:
    limit = body["max_tokens"]
    if not isinstance(limit, int) or isinstance(limit, bool):
        raise ApiError(400, "max_tokens: Input should be a valid integer")
    if limit < 0:
        raise ApiError(400, "max_tokens: Input should be greater than or equal to 0")
    if not isinstance(body.get("stream", False), bool):
        raise ApiError(400, "stream: Input should be a valid boolean")
    if version >= NEWEST_VERSION:
        for name in _REMOVED_PARAMETERS:
            if name in body:
                raise ApiError(400, f"{name}: Extra inputs are not permitted")


def _check_messages(messages: Any) -> None:
    if not isinstance(messages, list):
        raise ApiError(400, "messages: Input should be a valid list")
    if not messages:
        raise ApiError(400, "messages: at least one message is required")
    for number, message in enumerate(messages):
        if not isinstance(message, dict):
            raise ApiError(400, f"messages.{number}: Input should be a valid dictionary")
        for name in ("role", "content"):
            if name not in message:
                raise ApiError(400, f"messages.{number}.{name}: Field required")
        if message["role"] not in _ROLES:
            raise ApiError(400, f"messages.{number}.role: Input should be 'user', 'assistant' or 'system'")
        last_assistant = number == len(messages) - 1 and message["role"] == "assistant"
        if not message["content"] and not last_assistant:
            raise ApiError(
                400,
                f"messages.{number}: all messages must have non-empty content "
                "except for the optional final assistant message",
            )
