"""Which requests a command line means."""

from __future__ import annotations

import argparse
import re
from datetime import UTC, datetime
from typing import Final

from gateway.cli.common import CommandError
from gateway.ledger.outcomes import OUTCOMES
from gateway.store.request_queries import RequestFilter
from sse_fsm import VIOLATIONS

__all__ = ["OUTCOMES", "WHEN", "add_filter_options", "filter_from", "parse_period", "parse_time"]

WHEN: Final = "such as 30m, 2h, 7d (ago), 2026-11-23, or 2026-11-23T10:00 in this machine's time zone"

_AGO: Final = re.compile(r"(\d+(?:\.\d+)?)([smhdw])\Z")
_UNITS: Final = {"s": 1, "m": 60, "h": 3600, "d": 86400, "w": 7 * 86400}


def add_filter_options(parser: argparse.ArgumentParser) -> None:
    """Add the options by which people pick requests."""
    group = parser.add_argument_group("which requests")
    group.add_argument("--since", metavar="TIME", help=WHEN)
    group.add_argument("--until", metavar="TIME", help="the same; up to then")
    group.add_argument("--outcome", action="append", choices=OUTCOMES, help="may be given several times")
    group.add_argument(
        "--failed",
        action="store_true",
        help="what was not the client's doing: truncated, violation, upstream_error, failed; refused by the "
        "upstream with 429 or 5xx; rejected by the gateway with 5xx",
    )
    group.add_argument(
        "--rejected",
        action="store_true",
        help="what the gateway itself refused: unknown keys and paths, bodies that are none, limits of keys, and "
        "5xx where no account could be used",
    )
    group.add_argument(
        "--model", metavar="PATTERN", help="as asked for or as answered; * and ? stand for any text and character"
    )
    group.add_argument("--actor", metavar="NAME|ID", help="whose key it was")
    group.add_argument(
        "--account", metavar="NAME", help="the upstream account that served it; nobody served what was refused"
    )
    group.add_argument(
        "--tried", metavar="NAME", help="an upstream account that was tried, whether it served or not"
    )
    group.add_argument("--provider", choices=("anthropic", "openai"))
    group.add_argument("--session", metavar="ID", help="of Claude Code")
    group.add_argument("--stop-reason", metavar="WORD", help="such as end_turn, tool_use, refusal")
    group.add_argument("--status", type=_status, metavar="CODE", help="HTTP status that the client got")
    group.add_argument("--route", metavar="ROUTE", help='such as "POST /v1/messages"')
    group.add_argument("--code", metavar="CODE", help="of a violation of the stream protocol")


def _status(text: str) -> int:
    if not re.fullmatch(r"[1-5][0-9]{2}", text):
        raise argparse.ArgumentTypeError(
            f"must be an HTTP status such as 529, from 100 to 599, not {text[:20]!r}; "
            "499 is that of clients that left"
        )
    return int(text)


def filter_from(args: argparse.Namespace) -> RequestFilter:
    """Return the filter that the options make.

    Raises:
        CommandError: a time cannot be read, there is no such code, or options contradict each other.
    """
    outcomes = frozenset(args.outcome or ())
    if bool(outcomes) + args.failed + args.rejected > 1:
        raise CommandError("of --failed, --rejected and --outcome only one can be used")
    if args.rejected:
        outcomes = frozenset({"rejected"})
    if args.code is not None and args.code not in VIOLATIONS:
        raise CommandError(f"no violation has the code {args.code[:80]!r}; there are: {', '.join(VIOLATIONS)}")
    since, until = parse_period(args.since, args.until)
    return RequestFilter(
        since=since,
        until=until,
        provider=args.provider,
        account=args.account,
        tried=args.tried,
        actor=args.actor,
        model=args.model,
        outcomes=outcomes,
        went_wrong=args.failed,
        stop_reason=args.stop_reason,
        session=args.session,
        route=args.route,
        status=args.status,
        code=args.code,
    )


def parse_period(since: str | None, until: str | None) -> tuple[float | None, float | None]:
    """Return two times that a person wrote, in Unix seconds.

    Raises:
        CommandError: one cannot be read, or the first is not before the second.
    """
    now = datetime.now(UTC).timestamp()
    begin = parse_time(since, now) if since else None
    end = parse_time(until, now) if until else None
    if begin is not None and end is not None and begin >= end:
        raise CommandError("--since must be before --until")
    return begin, end


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
