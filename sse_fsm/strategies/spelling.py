"""One event, many spellings: line ends, field order, JSON escapes and all else that changes nothing."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from enum import Enum
from functools import cache
from itertools import cycle
from typing import Any, Final

from attrs import define
from hypothesis import strategies as st

__all__ = ["API_SPELLING", "LINE_ENDS", "JsonStyle", "Spelling", "spell", "spellings", "to_json"]

LINE_ENDS: Final = (b"\n", b"\r\n", b"\r")
_DECOY: Final = b"event: overridden by the next event line"
_EXTRA_LINES: Final = (b"id: 7", b"retry: 3000", b": a comment inside", b"unknown: field", b"no colon", b"data")

_STRING: Final = re.compile(r'"((?:[^"\\]|\\.)*)"')
_ESCAPE: Final = re.compile(r"\\(?:(u[0-9a-f]{4})|.)")


class JsonStyle(Enum):
    """How an object is written as JSON."""

    #: As the API does: no spaces, text beyond ASCII as it is.
    COMPACT = "compact"
    #: A space after each colon and comma.
    SPACED = "spaced"
    #: Spaces before the last brace, as the API pads.
    PADDED = "padded"
    #: Text beyond ASCII as escapes, astral characters as pairs of surrogates.
    ASCII = "ascii"
    #: As `ASCII`, and escapes where none are needed, in upper case.
    ESCAPED = "escaped"
    #: Over several lines, each of which becomes a `data:` line.
    INDENTED = "indented"
    #: The keys in the opposite order, so that `type` comes last.
    REVERSED = "reversed"


@define(frozen=True)
class Spelling:
    """How an event is written as bytes."""

    line_ends: tuple[bytes, ...] = (b"\n",)
    """Taken in turn, from the event's first line on."""
    style: JsonStyle = JsonStyle.COMPACT
    space: bool = True
    """Whether there is a space after the colon of each field."""
    data_first: bool = False
    """Whether `data:` comes before `event:`."""
    decoy: bool = False
    """Whether an `event:` line stands there that a later one overrides."""
    extra_lines: tuple[bytes, ...] = ()
    """Lines that mean nothing, put behind the event's first line."""


API_SPELLING: Final = Spelling()
"""As api.anthropic.com writes."""


def to_json(payload: Mapping[str, Any], style: JsonStyle = JsonStyle.COMPACT) -> str:
    """Write `payload` in `style`; lone surrogates are always escaped."""
    if style is JsonStyle.REVERSED:
        payload = dict(reversed(list(payload.items())))
    text = json.dumps(
        payload,
        ensure_ascii=style in (JsonStyle.ASCII, JsonStyle.ESCAPED),
        separators=None if style is JsonStyle.SPACED else (",", ":"),
        indent=1 if style is JsonStyle.INDENTED else None,
    )
    if any("\ud800" <= character <= "\udfff" for character in text):
        text = json.dumps(payload)
    if style is JsonStyle.PADDED:
        return text[:-1] + " " * 9 + text[-1]
    if style is JsonStyle.ESCAPED:
        return _STRING.sub(_escape_more, text.replace("/", "\\/"))
    return text


def _escape_more(string: re.Match[str]) -> str:
    """Escape the first letter of a JSON string, and write the hexadecimal digits of its escapes in capitals."""
    inside = _ESCAPE.sub(
        lambda escape: escape[0].upper().replace("U", "u", 1) if escape[1] else escape[0], string[1]
    )
    if inside[:1].isascii() and inside[:1].isalpha():
        inside = f"\\u{ord(inside[0]):04X}{inside[1:]}"
    return f'"{inside}"'


def spell(name: str | None, data: str | bytes | None, how: Spelling = API_SPELLING) -> bytes:
    """Write one event.

    Args:
        name: value of the `event:` line; None leaves the line out.
        data: value of the `data:` lines, one for each of its lines; None leaves them out.
        how: the spelling.
    """
    colon = b": " if how.space else b":"
    head = [] if name is None else [b"event%b%b" % (colon, name.encode())]
    if how.decoy and head:
        head.insert(0, _DECOY)
    content = data.encode() if isinstance(data, str) else data
    body = [] if content is None else [b"data%b%b" % (colon, line) for line in content.split(b"\n")]
    lines = [*body, *head] if how.data_first else [*head, *body]
    lines[1:1] = how.extra_lines
    return _end_lines(lines, how.line_ends)


def _end_lines(lines: list[bytes], line_ends: tuple[bytes, ...]) -> bytes:
    ends = cycle(line_ends)
    written = b"".join(line + next(ends) for line in lines)
    blank = next(ends)
    # CR and LF in a row would be one line end, not two.
    return written + (b"\r\n" if written.endswith(b"\r") and blank == b"\n" else blank)


@cache
def spellings() -> st.SearchStrategy[Spelling]:
    """Spellings, the API's own first."""
    return st.just(API_SPELLING) | st.builds(
        Spelling,
        line_ends=st.sampled_from([(end,) for end in LINE_ENDS])
        | st.lists(st.sampled_from(LINE_ENDS), min_size=2, max_size=4).map(tuple),
        style=st.sampled_from(JsonStyle),
        space=st.booleans(),
        data_first=st.booleans(),
        decoy=st.booleans(),
        extra_lines=st.lists(st.sampled_from(_EXTRA_LINES), max_size=2, unique=True).map(tuple),
    )
