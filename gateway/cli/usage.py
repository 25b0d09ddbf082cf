"""`gateway usage`: what was used and what it cost, by whom and of what."""

from __future__ import annotations

import argparse
import csv
import json
import sys
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Final

from attrs import define

from gateway.cli.columns import Columns
from gateway.cli.common import Subparsers, add_command, add_config_option, settings_from, warn
from gateway.cli.request_output import seconds
from gateway.cli.request_reading import what_there_is, with_queries
from gateway.cli.sums import Percentiles, Period, add_sum_options, labels, percentiles, totals_filter, usage
from gateway.ledger.export import csv_cell
from gateway.store.request_queries import MOST_GROUPS, RequestQueries, TotalsFilter
from gateway.telemetry.logs import printable
from gateway.telemetry.times import iso

__all__ = ["add_parser"]

_BY: Final = {
    "actor": "actor_id",
    "model": "model",
    "account": "account",
    "provider": "provider",
    "outcome": "outcome",
    "stop-reason": "stop_reason",
    "route": "route",
    "day": "start",
    "hour": "start",
}
"""What can be grouped by, and the column that has it."""
_NOTHING: Final = "-"
_FORMATS: Final = {"hour": "%Y-%m-%d %H:%M", "day": "%Y-%m-%d"}

_EXAMPLES: Final = """\
examples:
  gateway usage                                    the last 30 days by model
  gateway usage --by actor,model --since 7d        who used which model
  gateway usage --by day --actor ci --csv          what one key used, day by day, for a spreadsheet
  gateway usage --by account --since 24h           how accounts share the work, and what leaving one cost
  gateway usage --by hour --model 'claude-opus-*' --since 2d --json

From the sums that gateways keep by hour (400 days) and by day (for good): requests that are deleted stay in them.
Hours and days are in UTC. INPUT was neither written to the cache nor read from it; CACHED is the share of the
prompts that was read. UNPRICED are requests whose cost is not known, PARTIAL those that broke off. SWITCHES are
sessions that left the account that had their prompt cached, with what it cost to cache it again. P50 and P95 are
times to the first content, within 5 %; they are kept by model, account, provider and time, not by actor or by
outcome.
"""


def add_parser(subparsers: Subparsers) -> None:
    """Add the subcommand."""
    parser = add_command(
        subparsers,
        "usage",
        summary="sum up requests, tokens and costs",
        about="What was used and what it cost: sums by actor, model, account, time and more.",
        examples=_EXAMPLES,
    )
    parser.add_argument(
        "--by", type=_groups, default=("model",), metavar="WHAT,…", help=f"{', '.join(_BY)}; default model"
    )
    form = parser.add_mutually_exclusive_group()
    form.add_argument("--json", action="store_true", help="print a JSON object")
    form.add_argument("--csv", action="store_true", help="print CSV, without the total")
    add_sum_options(parser, since="30d")
    add_config_option(parser)
    parser.set_defaults(run=_run)


def _groups(text: str) -> tuple[str, ...]:
    names = tuple(dict.fromkeys(name.strip().replace("_", "-") for name in text.split(",") if name.strip()))
    unknown = [name for name in names if name not in _BY]
    if unknown or not names:
        raise argparse.ArgumentTypeError(f"must be of {', '.join(_BY)}, not {text[:40]!r}")
    if {"day", "hour"} <= set(names):
        raise argparse.ArgumentTypeError("day and hour do not go together")
    return names


@define(frozen=True)
class _Report:
    period: Period
    by: Sequence[str]
    groups: Sequence[Mapping[str, Any]]
    total: Mapping[str, Any]


def _run(args: argparse.Namespace) -> int:
    period = Period.of(args.since, args.until, args.by)

    async def read(queries: RequestQueries) -> _Report:
        wanted = await totals_filter(queries, args)
        report = await _report(queries, period, args.by, wanted)
        if not report.groups:
            for sentence in await what_there_is(queries, actor=args.actor, account=args.account, model=args.model):
                print(sentence, file=sys.stderr)
        if waiting := (await queries.unsummed()).number:
            warn(f"{waiting} requests are in no sum yet; a running gateway adds them up within seconds")
        return report

    report = with_queries(settings_from(args), read)
    if len(report.groups) == MOST_GROUPS:
        warn(f"there are more than these {MOST_GROUPS} groups; the total is that of all")
    if args.json:
        print(json.dumps(_as_json(report), indent=2))
    elif args.csv:
        _write_csv(report)
    else:
        _print(report)
    return 0


async def _report(queries: RequestQueries, period: Period, by: Sequence[str], wanted: TotalsFilter) -> _Report:
    columns = [_BY[name] for name in by]
    where = (period.span, period.since, period.until)
    rows = await queries.totals(*where, by=columns, wanted=wanted)
    names = labels({row["actor_id"] for row in rows}, await queries.actor_names()) if "actor" in by else {}
    times = await percentiles(queries, "first_content", period, columns, wanted)
    groups: list[dict[str, Any]] = []
    for row in rows:
        group: dict[str, Any] = {
            name: _shown(name, row[column], names) for name, column in zip(by, columns, strict=True)
        }
        if "actor" in by:
            group["actor_id"] = row["actor_id"] or None
        groups.append(group | usage(row) | _times(times, tuple(row[column] for column in columns)))
    if "start" not in columns:
        groups.sort(key=lambda group: (-group["cost_usd"], -group["requests"]))
    (total,) = await queries.totals(*where, wanted=wanted)
    times = await percentiles(queries, "first_content", period, (), wanted)
    return _Report(period, by, groups, usage(total) | _times(times, ()))


def _shown(name: str, value: Any, actors: Mapping[str, str]) -> str | None:
    if name in _FORMATS:
        return datetime.fromtimestamp(value, UTC).strftime(_FORMATS[name])
    return (actors.get(value, value) if name == "actor" else value) or None


def _times(times: Percentiles, group: tuple[Any, ...]) -> dict[str, int | None]:
    p50, p95 = times.get(group, (None, None))
    return {
        "first_content_p50_ms": None if p50 is None else round(p50),
        "first_content_p95_ms": None if p95 is None else round(p95),
    }


def _as_json(report: _Report) -> dict[str, Any]:
    return {
        "since": iso(report.period.since),
        "until": iso(report.period.until),
        "span_seconds": report.period.span,
        "by": list(report.by),
        "groups": report.groups,
        "total": report.total,
    }


def _write_csv(report: _Report) -> None:
    ids = ["actor_id"] if "actor" in report.by else []
    heading = [*report.by, *ids, *report.total]
    writer = csv.writer(sys.stdout)
    writer.writerow(heading)
    for group in report.groups:
        writer.writerow([csv_cell(group[name]) for name in heading])


def _print(report: _Report) -> None:
    print(f"{report.period}")
    if not report.groups:
        print("No requests are in these sums. See `gateway usage --help` for what can be asked.")
        return
    lines = [[*(_text(group[name]) for name in report.by), *_cells(group)] for group in report.groups]
    lines.append(["total", *[""] * (len(report.by) - 1), *_cells(report.total)])
    names = [*(name.upper() for name in report.by), *_NUMBERS]
    # What is nowhere needs no column.
    kept = [
        at for at, name in enumerate(names) if name not in _IF_ANY or any(line[at] != _NOTHING for line in lines)
    ]
    table = Columns([names[at] for at in kept], frozenset(_NUMBERS))
    table.print([line[at] for at in kept] for line in lines)


_NUMBERS: Final = (
    "REQUESTS",
    "INPUT",
    "WRITTEN",
    "READ",
    "CACHED",
    "OUTPUT",
    "COST $",
    "UNPRICED",
    "PARTIAL",
    "SEARCHES",
    "SWITCHES",
    "SWITCH $",
    "P50",
    "P95",
)
_IF_ANY: Final = frozenset({"UNPRICED", "PARTIAL", "SEARCHES", "SWITCHES", "SWITCH $", "P50", "P95"})


def _cells(sums: Mapping[str, Any]) -> tuple[str, ...]:
    share = sums["cached_share"]
    is_unknown = sums["unpriced"] and not sums["cost_usd"]
    return (
        f"{sums['requests']:,}",
        f"{sums['input_tokens']:,}",
        f"{sums['cache_write_tokens']:,}",
        f"{sums['cache_read_tokens']:,}",
        _NOTHING if share is None else f"{share:.1%}",
        f"{sums['output_tokens']:,}",
        "?" if is_unknown else f"{sums['cost_usd']:,.4f}",
        _if_any(sums["unpriced"]),
        _if_any(sums["partial"]),
        _if_any(sums["web_searches"]),
        _if_any(sums["switches"]),
        f"{sums['switch_usd']:,.4f}" if sums["switches"] else _NOTHING,
        seconds(sums["first_content_p50_ms"]),
        seconds(sums["first_content_p95_ms"]),
    )


def _text(value: str | None) -> str:
    return _NOTHING if value is None else printable(value, 60)


def _if_any(number: int) -> str:
    return f"{number:,}" if number else _NOTHING
