"""Sums of requests as commands ask for them: which period, which requests, under which names."""

from __future__ import annotations

import argparse
from collections.abc import Collection, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Final

from gateway.cli.common import CommandError
from gateway.cli.request_arguments import OUTCOMES, WHEN, parse_period
from gateway.ledger import sums
from gateway.ledger.sums import labels, usage
from gateway.ledger.totals import percentile
from gateway.store.request_queries import RequestQueries, TotalsFilter

__all__ = ["Percentiles", "Period", "add_sum_options", "labels", "percentiles", "totals_filter", "usage"]

_OF_LATENCIES: Final = frozenset({"start", "provider", "model", "account"})
"""What times are kept by."""

Percentiles = Mapping[tuple[Any, ...], tuple[float | None, float | None]]
"""By group, the median and the 95th percentile in milliseconds."""


class Period(sums.Period):
    """Whole spans of time, as a person asks for them."""

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
        begin, end = parse_period(since, until)
        try:
            return cls.covering(begin, end, datetime.now(UTC).timestamp(), by)
        except ValueError:
            raise CommandError("--since must be a time that has been, and before --until") from None


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
