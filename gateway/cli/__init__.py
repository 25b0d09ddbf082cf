"""The command `gateway`: one module per subcommand, loaded when it is used."""

from __future__ import annotations

import errno
import os
import sys
from collections.abc import Sequence
from contextlib import suppress
from importlib import import_module
from io import TextIOWrapper
from typing import Final

from gateway.cli.careful_parser import RedactingParser
from gateway.cli.errors import CommandError
from gateway.telemetry.version import program_version

__all__ = ["main", "make_parser"]

_COMMANDS: Final = (
    "serve",
    "demo",
    "replay",
    "accounts",
    "keys",
    "dashboard",
    "requests",
    "usage",
    "costs",
    "smoke",
    "doctor",
    "conformance",
    "compare",
)
"""Names of the subcommands, and of the modules that they are."""
_CANNOT_PRINT: Final = frozenset({errno.EPIPE, errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO})
"""What writing to standard output fails with: nobody reads it, or there is no room for it."""


def make_parser(argv: Sequence[str] = ()) -> RedactingParser:
    """Return the parser of a command line; what it makes of one has a function `run`.

    Args:
        argv: the command line; where it begins with a subcommand, the others are not loaded.
    """
    parser = RedactingParser(
        prog="gateway",
        description="A self-hosted streaming gateway for Claude.",
        epilog="Start with `gateway demo`: it needs no account and prints lines to paste.",
    )
    parser.add_argument("--version", action="version", version=f"gateway {program_version()}")
    subparsers = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    for name in argv[:1] if argv and argv[0] in _COMMANDS else _COMMANDS:
        import_module(f"gateway.cli.{name}").add_parser(subparsers)
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line and return the exit status: 0 well, 1 failed, 2 used wrongly."""
    if isinstance(sys.stdout, TextIOWrapper):
        # A terminal that knows fewer characters than the world is no reason to fail after the deed is done.
        sys.stdout.reconfigure(errors="backslashreplace")
    words = list(argv if argv is not None else sys.argv[1:]) or ["--help"]
    try:
        try:
            # Here too: a command takes a moment to be imported, and may be interrupted while it is.
            args = make_parser(words).parse_args(words)
            return args.run(args)
        finally:
            sys.stdout.flush()
    except CommandError as error:
        print(f"gateway: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
    except OSError as error:
        if error.filename is not None or error.errno not in _CANNOT_PRINT:
            raise
        _print_no_more()
        if error.errno != errno.EPIPE:
            # Nobody is told of a pipe whose reader has gone: that is how `head` ends a command.
            print(f"gateway: the output cannot be written: {error.strerror}", file=sys.stderr)
        return 1


def _print_no_more() -> None:
    """Let what is still to be printed go nowhere, lest the interpreter complain about it at its end."""
    with suppress(OSError, ValueError):
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, sys.stdout.fileno())
        os.close(nowhere)
