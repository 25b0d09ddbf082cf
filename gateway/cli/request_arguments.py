"""Which requests a command line means."""

from __future__ import annotations

import argparse
import re
from datetime import UTC, datetime
from typing import Final

from gateway.cli.common import CommandError
from gateway.store.request_queries import RequestFilter

__all__ = ["OUTCOMES", "add_filter_options", "filter_from", "parse_time"]

OUTCOMES: Final = (
    "complete",
    "repaired",
    "truncated",
    "upstream_error",
    "violation",
    "cancelled",
    "refused",
    "rejected",
    "failed",
)
_FAILED: Final = frozenset(OUTCOMES) - {"complete", "repaired", "cancelled"}
_AGO: Final = re.compile(r"(\d+(?:\.\d+)?)([smhdw])\Z")
_UNITS: Final = {"s": 1, "m": 60, "h": 3600, "d": 86400, "w": 7 * 86400}


def add_filter_options(parser: argparse.ArgumentParser) -> None:
    """Add the options by which people pick requests."""
    group = parser.add_argument_group("which requests")
    when = "such as 30m, 2h, 7d (ago), 2026-11-23, or 2026-11-23T10:00 in this machine's time zone"
    group.add_argument("--since", metavar="TIME", help=when)
    group.add_argument("--until", metavar="TIME", help="the same; up to then")
    group.add_argument("--outcome", action="append", choices=OUTCOMES, help="may be given several times")
    group.add_argument("--failed", action="store_true", help="all that went wrong, but for clients that left")
    group.add_argument("--model", metavar="NAME", help="as asked for or as answered")
    group.add_argument("--actor", metavar="NAME|ID", help="whose key it was")
    group.add_argument("--account", metavar="NAME", help="the upstream account that served it")
    group.add_argument("--provider", choices=("anthropic", "openai"))
    group.add_argument("--session", metavar="ID", help="of Claude Code")
    group.add_argument("--stop-reason", metavar="WORD", help="such as end_turn, tool_use, refusal")
    group.add_argument("--status", type=_status, metavar="CODE", help="HTTP status that the client got")
    group.add_argument("--route", metavar="ROUTE", help='such as "POST /v1/messages"')
    group.add_argument("--code", metavar="CODE", help="of a violation of the stream protocol")


def _status(text: str) -> int:
    if not re.fullmatch(r"[1-9][0-9]{2}", text):
        raise argparse.ArgumentTypeError(f"must be an HTTP status such as 529, not {text[:20]!r}")
    return int(text)


def filter_from(args: argparse.Namespace) -> RequestFilter:
    """Return the filter that the options make.

    Raises:
        CommandError: a time cannot be read, or options contradict each other.
    """
    outcomes = frozenset(args.outcome or ())
    if args.failed:
        if outcomes:
            raise CommandError("--failed and --outcome cannot be used together")
        outcomes = _FAILED
    now = datetime.now(UTC).timestamp()
    since = parse_time(args.since, now) if args.since else None
    until = parse_time(args.until, now) if args.until else None
    if since is not None and until is not None and since >= until:
        raise CommandError("--since must be before --until")
    return RequestFilter(
        since=since,
        until=until,
        provider=args.provider,
        account=args.account,
        actor=args.actor,
        model=args.model,
        outcomes=outcomes,
        stop_reason=args.stop_reason,
        session=args.session,
        route=args.route,
        status=args.status,
        code=args.code,
    )


def parse_time(text: str, now: float) -> float:
    """Return a time that a person wrote, in Unix seconds.

    Args:
        text: how long ago, such as `2h`, or a date with or without a time.
        now: Unix seconds.

    Raises:
        CommandError: it is neither.
    """
    if found := _AGO.match(text.strip()):
        return now - float(found[1]) * _UNITS[found[2]]
    try:
        return datetime.fromisoformat(text.strip()).astimezone().timestamp()
    except (ValueError, OverflowError, OSError):
        raise CommandError(
            f"{text!r} is no time; write how long ago, such as 30m, 2h or 7d, or a date such as 2026-11-23 or "
            "2026-11-23T10:00"
        ) from None
