"""Sums of requests as commands ask for them: which period, which requests, under which names."""

from __future__ import annotations

import argparse
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Final

from attrs import define

from gateway.cli.common import CommandError
from gateway.cli.request_arguments import OUTCOMES, WHEN, parse_period
from gateway.ledger.totals import percentile
from gateway.store.request_queries import RequestQueries, TotalsFilter

__all__ = ["Percentiles", "Period", "add_sum_options", "labels", "percentiles", "totals_filter", "usage"]

_FINE: Final = 300
HOUR: Final = 3600
DAY: Final = 86400
_FINE_LASTS: Final = 47 * HOUR
_HOURS_LAST: Final = 399 * DAY
_MOST_FINE: Final = 6 * HOUR
_MOST_HOURS: Final = 8 * DAY
_PER_USD: Final = 1e9
_OF_LATENCIES: Final = frozenset({"start", "provider", "model", "account"})
"""What times are kept by."""

Percentiles = Mapping[tuple[Any, ...], tuple[float | None, float | None]]
"""By group, the median and the 95th percentile in milliseconds."""


@define(frozen=True)
class Period:
    """Whole spans of time."""

    since: float
    """Unix seconds, when the first span begins."""
    until: float
    """When the last one ends, or now."""
    span: int
    """Seconds."""

    @classmethod
    def of(cls, since: str, until: str | None, by: Collection[str] = ()) -> Period:
        """Return the spans that two times lie in.

        Args:
            since: as a person wrote it; so is the next one.
            until: None for now.
            by: `hour` or `day`, if it is asked for by these.

        Raises:
            CommandError: one of them is no time, they are in the wrong order, or all of it is still to come.
        """
        now = datetime.now(UTC).timestamp()
        begin, end = parse_period(since, until)
        begin, end = max(begin or 0.0, 0.0), now if end is None else min(end, now)
        if begin >= end:
            raise CommandError("--since must be a time that has been, and before --until")
        length, age = end - begin, now - begin
        if "hour" in by:
            span = HOUR
        elif "day" in by or length > _MOST_HOURS or age > _HOURS_LAST:
            span = DAY
        else:
            span = _FINE if length <= _MOST_FINE and age <= _FINE_LASTS else HOUR
        return cls(begin // span * span, min(-(-end // span) * span, now), span)

    def __str__(self) -> str:
        """Return it as people read it."""
        return f"{_minute(self.since)} to {_minute(self.until)} UTC"


def _minute(at: float) -> str:
    return datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%d %H:%M")


def add_sum_options(parser: argparse.ArgumentParser, *, since: str) -> None:
    """Add the options by which people pick what is summed."""
    group = parser.add_argument_group("which requests")
    group.add_argument("--since", metavar="TIME", default=since, help=f"{WHEN}; default {since}")
    group.add_argument(
        "--until", metavar="TIME", help="the same; up to then. Sums are of whole hours or days, in UTC"
    )
    group.add_argument("--actor", metavar="NAME|ID", help="whose key it was")
    group.add_argument(
        "--model",
        metavar="PATTERN",
        help="that answered, or else was asked for; * and ? stand for any text, character",
    )
    group.add_argument("--account", metavar="NAME", help="the upstream account that served it")
    group.add_argument("--provider", choices=("anthropic", "openai"))
    group.add_argument("--outcome", action="append", choices=OUTCOMES, help="may be given several times")


async def totals_filter(queries: RequestQueries, args: argparse.Namespace) -> TotalsFilter:
    """Return the filter that the options make.

    Raises:
        StoreError: the database cannot be used.
    """
    actors = None if args.actor is None else frozenset({args.actor, *await queries.actor_ids(args.actor)})
    return TotalsFilter(
        actor_id=actors,
        model=args.model,
        account=args.account,
        provider=args.provider,
        outcome=frozenset(args.outcome) if args.outcome else None,
    )


def usage(sums: Mapping[str, Any]) -> dict[str, Any]:
    """Return sums as scripts are given them."""
    written = sums["cache_write_5m_tokens"] + sums["cache_write_1h_tokens"]
    prompt = sums["input_tokens"] + written + sums["cache_read_tokens"]
    return {
        "requests": sums["requests"],
        "input_tokens": sums["input_tokens"],
        "cache_write_tokens": written,
        "cache_write_5m_tokens": sums["cache_write_5m_tokens"],
        "cache_write_1h_tokens": sums["cache_write_1h_tokens"],
        "cache_read_tokens": sums["cache_read_tokens"],
        "cached_share": round(sums["cache_read_tokens"] / prompt, 4) if prompt else None,
        "output_tokens": sums["output_tokens"],
        "thinking_tokens": sums["thinking_tokens"],
        "web_searches": sums["web_searches"],
        "cost_usd": sums["cost_nanousd"] / _PER_USD,
        "unpriced": sums["unpriced"],
        "partial": sums["partial"],
        "attempts": sums["attempts"],
        "switches": sums["switches"],
        "switch_usd": sums["switch_nanousd"] / _PER_USD,
    }


async def percentiles(
    queries: RequestQueries, measure: str, period: Period, by: Sequence[str], wanted: TotalsFilter
) -> Percentiles:
    """Return the median and the 95th percentile in milliseconds by group.

    Nothing where times are not kept by what is asked for: they are by provider, model, account and time alone.

    Raises:
        StoreError: the database cannot be used.
    """
    if not _OF_LATENCIES.issuperset(by) or wanted.actor_id is not None or wanted.outcome is not None:
        return {}
    found = await queries.latencies(measure, period.span, period.since, period.until, by=by, wanted=wanted)
    return {group: (percentile(buckets, 0.5), percentile(buckets, 0.95)) for group, buckets in found.items()}


def labels(ids: Collection[str], names: Mapping[str, str]) -> dict[str, str]:
    """Return under which names actors are shown: their own, with the id behind where two have the same."""
    shown = {actor: names.get(actor, actor) for actor in ids}
    often = Counter(shown.values())
    return {actor: f"{name} ({actor})" if often[name] > 1 else name for actor, name in shown.items()}
