"""The command `gateway`: one module per subcommand, loaded when it is used."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from importlib.metadata import version
from io import TextIOWrapper

from gateway.cli import accounts, compare, conformance, costs, demo, doctor, keys, replay, requests, serve, smoke
from gateway.cli.account_input import RedactingParser
from gateway.cli.common import CommandError, Subparsers

__all__ = ["main", "make_parser"]

_COMMANDS = (serve, demo, replay, accounts, keys, requests, costs, smoke, doctor, conformance, compare)


def make_parser() -> RedactingParser:
    """Return the parser of the command line; what it makes of one has a function `run`."""
    parser = RedactingParser(
        prog="gateway",
        description="A self-hosted streaming gateway for Claude.",
        epilog="Start with `gateway demo`: it needs no account and prints lines to paste.",
    )
    parser.add_argument("--version", action="version", version=f"gateway {version('claude-stream-gateway')}")
    subparsers: Subparsers = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    for command in _COMMANDS:
        command.add_parser(subparsers)
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line and return the exit status: 0 well, 1 failed, 2 used wrongly."""
    if isinstance(sys.stdout, TextIOWrapper):
        # A terminal that knows fewer characters than the world is no reason to fail after the deed is done.
        sys.stdout.reconfigure(errors="backslashreplace")
    args = make_parser().parse_args(argv if argv is not None else sys.argv[1:] or ["--help"])
    try:
        return args.run(args)
    except CommandError as error:
        print(f"gateway: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:
        return 1
