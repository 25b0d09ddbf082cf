"""`gateway requests summary`: how it goes, on one page."""

from __future__ import annotations

import argparse
import json
import sys
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any, Final

from attrs import define

from gateway.cli.columns import Columns
from gateway.cli.common import Subparsers, add_command, add_config_option, settings_from, warn
from gateway.cli.request_output import seconds
from gateway.cli.request_reading import pages, what_there_is, with_queries
from gateway.cli.sums import Percentiles, Period, add_sum_options, percentiles, totals_filter, usage
from gateway.ledger.readable import attempts_of, why
from gateway.ledger.row import RequestRow
from gateway.store.request_queries import RequestFilter, RequestQueries, TotalsFilter
from gateway.telemetry.logs import printable
from gateway.telemetry.times import iso

__all__ = ["add_summary"]

_MOST_FAILED: Final = 2000
_SHOWN: Final = 10
_NOTHING: Final = "-"
_NUMBERS: Final = ("REQUESTS", "ATTEMPTS", "COST $", "FIRST P50", "P95", "TOTAL P50", "P95")
_SPECIAL: Final = {"unpriced": "without a cost", "partial": "with a part of it"}

_EXAMPLES: Final = """\
examples:
  gateway requests summary
  gateway requests summary --since 1h --account production
  gateway requests summary --since 7d --json

Outcomes, costs and times are of the sums that `gateway usage` shows too, of whole spans of time. What went wrong
is counted from the newest 2,000 requests that `gateway requests list --failed` would show.
"""


def add_summary(actions: Subparsers) -> None:
    """Add the action."""
    parser = add_command(
        actions,
        "summary",
        summary="outcomes, times, costs and errors on one page",
        about="How it goes: outcomes, accounts and models with times and costs, and what went wrong.",
        examples=_EXAMPLES,
    )
    parser.add_argument("--json", action="store_true", help="print a JSON object")
    add_sum_options(parser, since="24h")
    add_config_option(parser)
    parser.set_defaults(run=_run)


@define(frozen=True)
class _Summary:
    period: Period
    total: Mapping[str, Any]
    outcomes: Mapping[str, int]
    accounts: Sequence[Mapping[str, Any]]
    models: Sequence[Mapping[str, Any]]
    errors: Counter[tuple[str, str]]
    """Failed requests by outcome and reason."""
    faults: Counter[tuple[str, str]]
    """Attempts of failed requests by account and fault."""
    looked_at: int
    """Failed requests."""


def _run(args: argparse.Namespace) -> int:
    period = Period.of(args.since, args.until)

    async def read(queries: RequestQueries) -> _Summary:
        wanted = await totals_filter(queries, args)
        summary = await _summary(queries, period, wanted, args)
        if not summary.total["requests"]:
            for sentence in await what_there_is(queries, actor=args.actor, account=args.account, model=args.model):
                print(sentence, file=sys.stderr)
        if waiting := (await queries.unsummed()).number:
            warn(f"{waiting} requests are in no sum yet; a running gateway adds them up within seconds")
        return summary

    summary = with_queries(settings_from(args), read)
    if args.json:
        print(json.dumps(_as_json(summary), indent=2))
    else:
        _print(summary)
    return 0


async def _summary(
    queries: RequestQueries, period: Period, wanted: TotalsFilter, args: argparse.Namespace
) -> _Summary:
    where = (period.span, period.since, period.until)
    (total,) = await queries.totals(*where, wanted=wanted)
    by_outcome = await queries.totals(*where, by=["outcome"], wanted=wanted)
    failed = RequestFilter(
        since=period.since,
        until=period.until,
        actor=args.actor,
        model=args.model,
        provider=args.provider,
        tried=args.account,
        outcomes=frozenset(args.outcome or ()),
        went_wrong=True,
    )
    rows = [row async for page in pages(queries, failed, _MOST_FAILED) for row in page]
    return _Summary(
        period,
        usage(total) | _of(await _times(queries, period, (), wanted)),
        dict(sorted(((row["outcome"], row["requests"]) for row in by_outcome), key=lambda pair: -pair[1])),
        await _groups(queries, period, "account", wanted),
        await _groups(queries, period, "model", wanted),
        Counter((row.outcome or _NOTHING, why(row) or _NOTHING) for row in rows),
        _faults(rows),
        len(rows),
    )


async def _groups(
    queries: RequestQueries, period: Period, column: str, wanted: TotalsFilter
) -> list[dict[str, Any]]:
    rows = await queries.totals(period.span, period.since, period.until, by=[column], wanted=wanted)
    times = await _times(queries, period, (column,), wanted)
    groups = [{column: row[column] or None} | usage(row) | _of(times, row[column]) for row in rows]
    return sorted(groups, key=lambda group: -group["requests"])


async def _times(
    queries: RequestQueries, period: Period, by: Sequence[str], wanted: TotalsFilter
) -> dict[str, Percentiles]:
    return {
        measure: await percentiles(queries, measure, period, by, wanted)
        for measure in ("first_content", "duration")
    }


def _of(times: Mapping[str, Percentiles], *group: str) -> dict[str, int | None]:
    found: dict[str, int | None] = {}
    for measure, by_group in times.items():
        for name, ms in zip(("p50", "p95"), by_group.get(group, (None, None)), strict=True):
            found[f"{measure}_{name}_ms"] = None if ms is None else round(ms)
    return found


def _faults(rows: Sequence[RequestRow]) -> Counter[tuple[str, str]]:
    return Counter(
        (str(attempt.get("account")), str(attempt["fault"]))
        for row in rows
        for attempt in attempts_of(row)
        if attempt.get("fault")
    )


def _as_json(summary: _Summary) -> dict[str, Any]:
    return {
        "since": iso(summary.period.since),
        "until": iso(summary.period.until),
        "total": summary.total,
        "outcomes": summary.outcomes,
        "accounts": summary.accounts,
        "models": summary.models,
        "failed": summary.looked_at,
        "errors": [
            {"outcome": outcome, "why": reason, "requests": number}
            for (outcome, reason), number in summary.errors.most_common()
        ],
        "faults": [
            {"account": account, "fault": fault, "attempts": number}
            for (account, fault), number in summary.faults.most_common()
        ],
    }


def _print(summary: _Summary) -> None:
    total = summary.total
    print(f"{summary.period}: {total['requests']:,} requests, ${total['cost_usd']:,.4f}{_but(total)}")
    if total["requests"]:
        _print_table(
            ("OUTCOME", "REQUESTS", "SHARE"),
            [
                (outcome or _NOTHING, f"{n:,}", f"{n / total['requests']:.1%}")
                for outcome, n in summary.outcomes.items()
            ],
        )
        print()
        _print_groups("account", summary.accounts, total)
        _print_groups("model", summary.models, total)
    _print_counts("what went wrong (--failed):", ("OUTCOME", "WHY", "REQUESTS"), summary.errors)
    _print_counts("faults of accounts in these:", ("ACCOUNT", "FAULT", "ATTEMPTS"), summary.faults)
    if summary.looked_at == _MOST_FAILED:
        print(f"There are more; these are of the newest {_MOST_FAILED:,}.")


def _but(total: Mapping[str, Any]) -> str:
    said = [f"{total[name]:,} {what}" for name, what in _SPECIAL.items() if total[name]]
    return f" ({', '.join(said)})" if said else ""


def _print_groups(name: str, groups: Sequence[Mapping[str, Any]], total: Mapping[str, Any]) -> None:
    shown = groups[:_SHOWN]
    lines = [(_text(group[name]), *_cells(group)) for group in shown]
    if len(groups) > len(shown):
        lines.append((f"({len(groups) - len(shown)} more)", *[""] * len(_NUMBERS)))
    lines.append(("all", *_cells(total)))
    _print_table((name.upper(), *_NUMBERS), lines)
    print()


def _cells(sums: Mapping[str, Any]) -> tuple[str, ...]:
    return (
        f"{sums['requests']:,}",
        f"{sums['attempts']:,}",
        "?" if sums["unpriced"] and not sums["cost_usd"] else f"{sums['cost_usd']:,.4f}",
        *(
            seconds(sums[f"{measure}_{name}_ms"])
            for measure in ("first_content", "duration")
            for name in ("p50", "p95")
        ),
    )


def _print_counts(title: str, names: Sequence[str], counts: Counter[tuple[str, str]]) -> None:
    if not counts:
        return
    print(title)
    _print_table(names, [(*map(_text, key), f"{number:,}") for key, number in counts.most_common(_SHOWN)])
    if len(counts) > _SHOWN:
        print(f"and {len(counts) - _SHOWN} kinds more; --json has them all")
    print()


def _print_table(names: Sequence[str], lines: Sequence[Sequence[str]]) -> None:
    Columns(names, frozenset({*_NUMBERS, "SHARE"})).print(lines)


def _text(value: str | None) -> str:
    return _NOTHING if value is None else printable(value, 60)
