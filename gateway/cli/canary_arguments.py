"""What the commands share that ask a gateway as its clients do."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

from gateway.canary.client import CannotRunError
from gateway.canary.masking import Masker
from gateway.cli.account_input import read_secrets
from gateway.cli.common import CommandError
from gateway.telemetry.logs import printable

__all__ = [
    "COULD_NOT_RUN",
    "FAILED",
    "PASSED",
    "Progress",
    "add_format_option",
    "add_header_option",
    "could_not_run",
    "headers_from",
    "in_range",
    "keys_from",
]

PASSED: Final = 0
FAILED: Final = 1
COULD_NOT_RUN: Final = 2
_SHORT: Final = 160
_LONGEST_REASON: Final = 1000


def add_format_option(parser: argparse.ArgumentParser) -> None:
    """Add `--format`."""
    parser.add_argument(
        "--format", choices=("markdown", "json"), default="markdown", help="of the result (default: markdown)"
    )


def add_header_option(parser: argparse.ArgumentParser) -> None:
    """Add `--header`, of which `headers_from` reads the values."""
    parser.add_argument(
        "--header", action="append", default=[], metavar="NAME: VALUE", help="for every request; may be repeated"
    )


def in_range(least: float, most: float, kind: Callable[[str], Any] = int) -> Callable[[str], Any]:
    """Return a type for argparse: a number from `least` to `most`."""

    def convert(text: str) -> Any:
        try:
            value = kind(text)
        except ValueError:
            raise argparse.ArgumentTypeError(f"{text!r} is no number") from None
        if not least <= value <= most:
            raise argparse.ArgumentTypeError(f"{text} is not between {least:g} and {most:g}")
        return value

    return convert


def headers_from(lines: Sequence[str]) -> dict[str, str]:
    """Return headers that were given as `NAME: VALUE`.

    Raises:
        CannotRunError: one is none; never tells its value.
    """
    headers: dict[str, str] = {}
    for line in lines:
        name, colon, value = line.partition(":")
        name, value = name.strip(), value.strip()
        if not colon or not name.isascii() or not name.replace("-", "").replace("_", "").isalnum():
            raise CannotRunError("--header takes NAME: VALUE")
        if not value.isascii() or not value.isprintable():
            raise CannotRunError(f"the value of --header {name} has characters that no header can have")
        headers[name.lower()] = value
    return headers


def keys_from(
    args: argparse.Namespace, options: Mapping[str, str], labels: Mapping[str, str] | None = None
) -> list[str]:
    """Return the keys: of the option if it was given, else from standard input, else from the environment.

    Args:
        args: with `key_stdin`, and an attribute for each option.
        options: variable of the environment by the attribute.
        labels: what each is, for whoever is asked on a terminal.

    Raises:
        CannotRunError: one is missing.
    """
    names = list(options)
    given = {name: getattr(args, name) for name in names}
    if args.key_stdin:
        try:
            return read_secrets([(labels or {}).get(name, name) for name in names])
        except CommandError:
            many = "one key" if len(names) == 1 else f"{len(names)} keys, one on each line"
            raise CannotRunError(
                f"--key-stdin takes {many}; what came on standard input is something else"
            ) from None
    keys = [given[name] or os.environ.get(options[name], "").strip() for name in names]
    for name, key in zip(names, keys, strict=True):
        if not key:
            option = "--" + name.replace("_", "-")
            raise CannotRunError(f"give a key: with {option}, with --key-stdin, or as {options[name]}")
    return keys


def could_not_run(command: str, error: CannotRunError, mask: Masker) -> int:
    """Say why there is no result, and return the exit status."""
    print(printable(mask(f"gateway {command}: could not run: {error}"), _LONGEST_REASON), file=sys.stderr)
    return COULD_NOT_RUN


class Progress:
    """Says on standard error how far it is; standard output is for the result."""

    def __init__(self, mask: Masker) -> None:
        """Begin."""
        self._mask = mask
        self._number = 0

    def say(self, text: str) -> None:
        """Print a line."""
        line = "".join(char if char.isprintable() else " " for char in self._mask(text)).rstrip()
        print(line if len(line) <= _SHORT else line[:_SHORT] + "…", file=sys.stderr, flush=True)

    def step(self, text: str) -> None:
        """Print a numbered line."""
        self._number += 1
        self.say(f"{self._number:>3}  {text}")
