"""Text for terminals: short, on one line, coloured or not, and harmless whatever a stream put into it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, Final

from attrs import define

__all__ = ["Paint", "excerpt", "quoted", "spoken_usage"]

_SHORT: Final = 64
_COLOURS: Final = {"red": "31", "green": "32", "yellow": "33", "cyan": "36", "dim": "2", "bold": "1"}
_USAGE_WORDS: Final = {
    "input_tokens": "input",
    "cache_creation_input_tokens": "cache write",
    "cache_read_input_tokens": "cache read",
    "output_tokens": "output",
}


@define(frozen=True)
class Paint:
    """Colours text for a terminal, or leaves it plain."""

    enabled: bool

    def __call__(self, colour: str, text: str) -> str:
        """Return `text` in `colour`: red, green, yellow, cyan, dim or bold."""
        return f"\x1b[{_COLOURS[colour]}m{text}\x1b[0m" if self.enabled and text else text


def excerpt(value: Any, length: int = _SHORT) -> str:
    """Return a value as text of at most `length` characters, whatever could move a terminal's cursor escaped."""
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    cut = text[:length]
    if not cut.isprintable():
        cut = "".join(char if char.isprintable() else char.encode("unicode_escape").decode() for char in cut)
    return cut + "…" if len(text) > length else cut


def quoted(text: Any, length: int = _SHORT) -> str:
    """Return text in quotes, shortened; of a text that is longer the number of characters too."""
    if not isinstance(text, str):
        return excerpt(text, length)
    inside = f'"{excerpt(text, length)}"'
    return inside if len(text) <= length else f"{inside} ({len(text)} characters)"


def spoken_usage(usage: Any) -> str:
    """Return the token counts of a `usage` object in words; those that are absent or null are left out."""
    if not isinstance(usage, Mapping):
        return ""
    counts = [
        f"{word} {excerpt(usage[name])}" for name, word in _USAGE_WORDS.items() if usage.get(name) is not None
    ]
    return ", ".join(counts)
