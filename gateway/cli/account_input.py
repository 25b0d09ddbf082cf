"""Secrets and answers from standard input.

A secret on a command line is in the shell's history and in the list of processes, so there is no option that takes
one.
"""

from __future__ import annotations

import getpass
import sys
from collections.abc import Iterable
from typing import Final

from gateway.accounts.drafts import DraftError, read_secret
from gateway.cli.common import CommandError

__all__ = ["ask_yes", "read_secrets"]

_LARGEST_INPUT: Final = 64 * 1024


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
