"""Names that users sign in with."""

from __future__ import annotations

import unicodedata
from typing import Final

__all__ = ["LONGEST_NAME", "BadNameError", "tidy_name"]

LONGEST_NAME: Final = 64


class BadNameError(Exception):
    """Nobody can have this name; the message says why."""


def tidy_name(name: str) -> str:
    """Return a name as it is kept.

    Raises:
        BadNameError: it is none.
    """
    name = unicodedata.normalize("NFC", name.strip())
    if not name or not name.isprintable() or len(name) > LONGEST_NAME:
        raise BadNameError(f"A name needs 1 to {LONGEST_NAME} visible characters on one line.")
    return name
