"""Command lines on which somebody may have put a secret: what may be one is not printed a second time."""

from __future__ import annotations

import argparse
import re
from collections.abc import Sequence
from typing import Any, Final, NoReturn

__all__ = ["CarefulParser", "RedactingParser"]

_WORDS: Final = re.compile(r"[\w.:/-]*(?:sk-|csg_)[^\s'\"]*|[^\s'\"=,]{25,}")
_ON_COMMAND_LINE: Final = (
    "; if one of these was a secret, it is in your shell's history now: secrets are read from standard input "
    "only, with --secret-stdin"
)


class RedactingParser(argparse.ArgumentParser):
    """Does not repeat what may be a secret."""

    def error(self, message: str) -> NoReturn:
        """Print usage and the message without what may be a secret, and exit with status 2."""
        super().error(_redacted(message))


class CarefulParser(RedactingParser):
    """Repeats no value at all, and takes no abbreviations: `--secret` is not short for anything."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        """Make a parser as its base does."""
        super().__init__(*args, **{**kwargs, "allow_abbrev": False})

    def parse_known_args(  # ty: ignore[incompatible-method-override] - argparse's own overloads
        self, args: Sequence[str] | None = None, namespace: Any = None
    ) -> tuple[Any, list[str]]:
        """Parse, and refuse what is left over without showing it."""
        found, left = super().parse_known_args(args, namespace)
        if left:
            known = [word.partition("=")[0] for word in left if word.startswith("--")]
            what = f" ({', '.join(_redacted(word) for word in known)})" if known else ""
            self.error(f"there are arguments that mean nothing here{what}{_ON_COMMAND_LINE}")
        return found, left

    def error(self, message: str) -> NoReturn:
        """Print usage and the message, and exit with status 2."""
        if "ignored explicit argument" in message:
            message = message.partition("ignored explicit argument")[0] + "takes no value" + _ON_COMMAND_LINE
        super().error(message)


def _redacted(text: str) -> str:
    return _WORDS.sub("…", text)
