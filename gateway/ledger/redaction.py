"""What is left of an event when its content is taken out: its shape."""

from __future__ import annotations

import re
from typing import Any, Final

import msgspec

from sse_fsm.framing import Frame
from sse_fsm.payload import parse_json

__all__ = ["redact", "short_word"]

_WORD: Final = re.compile(r"[A-Za-z0-9_.:-]{1,64}\Z")
_DEPTH: Final = 5
_MOST: Final = 100  # items of a list
_LARGEST: Final = 256 * 1024  # bytes of an event that is looked into
_LARGEST_NUMBER: Final = 2**53
_STRUCTURE: Final = frozenset(
    {
        "type",
        "index",
        "message",
        "content_block",
        "delta",
        "usage",
        "error",
        "role",
        "content",
        "stop_reason",
        "stop_sequence",
        "text",
        "thinking",
        "partial_json",
        "signature",
        "citation",
        "input",
        "name",
        "id",
        "model",
        "data",
        "tool_use_id",
        "from",
        "to",
        "input_tokens",
        "output_tokens",
        "cache_creation_input_tokens",
        "cache_read_input_tokens",
    }
)
"""Fields that stay; whatever else there is may be anything."""
_WORDS: Final = frozenset({"type", "role", "stop_reason"})
"""Fields whose texts stay."""


def short_word(value: object) -> str | None:
    """Return a name that a protocol might use, such as the type of a block; None for anything else."""
    return value if isinstance(value, str) and _WORD.match(value) else None


def redact(frame: Frame | None, code: str) -> bytes | None:
    """Return an event that breaks the same rule and has nothing in it.

    Args:
        frame: the event; None where there is no whole one.
        code: of the rule.
    """
    if frame is None:
        return None
    name = short_word((frame.event or b"").decode("utf-8", "replace"))
    lines = [] if frame.event is None else [f"event: {name or 'unknown'}".encode()]
    if frame.data is not None:
        lines.append(b"data: " + _redact_data(frame.data, code))
    return b"\n".join(lines) + b"\n\n"


def _redact_data(data: bytes, code: str) -> bytes:
    if code == "invalid_utf8":
        return b'{"type":"\xff"}'
    if code == "invalid_json":
        return b"{"
    if not data:
        return b""
    try:
        value = parse_json(data) if len(data) <= _LARGEST else {}
    except (ValueError, RecursionError):
        return b"{"
    return msgspec.json.encode(_redact(value, "", _DEPTH))


def _redact(value: Any, name: str, depth: int) -> Any:
    if isinstance(value, dict):
        if name == "input" or depth == 0:
            return {}
        return {key: _redact(part, key, depth - 1) for key, part in value.items() if key in _STRUCTURE}
    if isinstance(value, list):
        return [_redact(part, "", depth - 1) for part in value[:_MOST]] if depth else []
    if isinstance(value, str):
        return (short_word(value) or "") if name in _WORDS else ""
    if isinstance(value, float):
        return 0.5  # no integer, where one is wanted
    return None if value is None else max(-_LARGEST_NUMBER, min(value, _LARGEST_NUMBER))
