"""Command lines and standard input that deal in secrets.

A secret on a command line is in the shell's history and in the list of processes, so there is no option that takes
one; and what somebody puts there all the same is not printed a second time.
"""

from __future__ import annotations

import argparse
import getpass
import re
import sys
from collections.abc import Iterable, Sequence
from typing import Any, Final, NoReturn

from gateway.accounts.drafts import DraftError, read_secret
from gateway.cli.common import CommandError

__all__ = ["CarefulParser", "RedactingParser", "ask_yes", "read_secrets"]

_LARGEST_INPUT: Final = 64 * 1024
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


def read_secrets(labels: Iterable[str]) -> list[str]:
    """Read one secret per line from standard input; ask for each without showing it, on a terminal.

    Args:
        labels: what each is, for whoever is asked.

    Raises:
        CommandError: what came cannot be used; never tells it.
    """
    labels = list(labels)
    try:
        if sys.stdin.isatty():
            typed = [getpass.getpass(f"{label}: ") for label in labels]
            return [read_secret(text.encode("utf-8", "surrogateescape")) for text in typed]
        return [read_secret(part) for part in _read_parts(labels)]
    except DraftError as error:
        raise CommandError(str(error)) from None
    except EOFError:
        raise CommandError("the secret is empty") from None


def _read_parts(labels: list[str]) -> list[bytes]:
    data = sys.stdin.buffer.read(_LARGEST_INPUT + 1)
    if len(data) > _LARGEST_INPUT:
        raise DraftError(f"the secret is longer than {_LARGEST_INPUT} bytes")
    if len(labels) == 1:
        return [data]
    lines = data.strip().splitlines()
    if len(lines) != len(labels):
        raise DraftError(f"standard input has to have {len(labels)} lines: {', then '.join(labels)}")
    return lines


def ask_yes(question: str) -> bool:
    """Ask on the terminal; anything but yes means no."""
    print(f"{question} [y/N] ", end="", file=sys.stderr, flush=True)
    return sys.stdin.readline().strip().lower() in {"y", "yes"}
