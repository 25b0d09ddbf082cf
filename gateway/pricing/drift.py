"""Ours and theirs side by side: how far what was recorded here is from what the provider reports."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, date, datetime, time
from decimal import Decimal
from typing import Final

from attrs import define, field

from gateway.pricing.book import PriceBook
from gateway.pricing.cost import KINDS, cost_of_many
from gateway.pricing.exports import ANY_MODEL, Reported
from gateway.pricing.usage import Iteration, Usage

__all__ = ["Amounts", "Comparison", "Drift", "add_usage", "compare", "sum_up"]

_HUNDRED: Final = Decimal(100)
_CENT: Final = Decimal("0.01")
_NOON: Final = time(12, tzinfo=UTC)


@define
class Amounts:
    """What was used and what it cost."""

    counts: dict[str, int] = field(factory=lambda: dict.fromkeys(KINDS, 0))
    usd: Decimal = Decimal(0)
    is_counted: bool = False
    """Whether there are counts at all: a report of costs has none."""
    is_priced: bool = False
    """Whether the cost is as it was reported; otherwise it was worked out here from the counts."""
    rounding: Decimal = Decimal(0)
    """By how many USD a reported cost may be off, because each of its parts was rounded."""
    unpriced: int = 0
    """Of our requests, those whose cost is not known; of theirs, rows."""

    def add(self, other: Amounts) -> None:
        """Add what another one has."""
        for kind, count in other.counts.items():
            self.counts[kind] += count
        self.usd += other.usd
        self.rounding += other.rounding
        self.is_counted |= other.is_counted
        self.is_priced |= other.is_priced
        self.unpriced += other.unpriced


@define(frozen=True)
class Drift:
    """One number of ours beside theirs."""

    ours: Decimal
    theirs: Decimal

    @property
    def difference(self) -> Decimal:
        """Theirs less ours: above 0 where the provider reports more."""
        return self.theirs - self.ours

    @property
    def percent(self) -> Decimal | None:
        """The difference in per cent of theirs; None where they have nothing and we have something."""
        if not self.difference:
            return Decimal(0)
        return self.difference / self.theirs * _HUNDRED if self.theirs else None


@define(frozen=True, kw_only=True)
class Comparison:
    """A model on a day."""

    day: date | None
    """None for the sum of all days."""
    model: str
    ours: Amounts
    theirs: Amounts

    @property
    def usd(self) -> Drift:
        """What it cost."""
        return Drift(self.ours.usd, self.theirs.usd)

    def is_beyond(self, tolerance: Decimal) -> bool:
        """Say whether the costs differ by more than so many per cent, and by more than rounding explains."""
        percent = self.usd.percent
        is_noticed = abs(self.usd.difference) > max(_CENT, self.theirs.rounding)
        return is_noticed and (percent is None or abs(percent) > tolerance)

    @property
    def counts(self) -> Mapping[str, Drift]:
        """By kind; empty where the report has none."""
        if not self.theirs.is_counted:
            return {}
        return {
            kind: Drift(Decimal(self.ours.counts[kind]), Decimal(self.theirs.counts[kind]))
            for kind in KINDS
            if self.ours.counts[kind] or self.theirs.counts[kind]
        }


_Key = tuple[date, str]


def sum_up(reported: Iterable[Reported], prices: PriceBook) -> dict[_Key, Amounts]:
    """Return what was reported by day and model.

    What has no cost in any of the reports is priced here, with the prices of its day at noon.
    """
    counted: dict[_Key, Amounts] = defaultdict(Amounts)
    priced: dict[_Key, Amounts] = defaultdict(Amounts)
    for one in reported:
        key = (one.day, one.model)
        if one.usd is not None:
            priced[key].usd += one.usd
            priced[key].rounding += one.rounding
            priced[key].is_priced = True
        if one.usage is not None:
            amounts = counted[key]
            amounts.is_counted = True
            add_usage(amounts, one.usage)
            cost = _price(one, one.usage, prices)
            amounts.usd += cost or 0
            amounts.unpriced += cost is None
    days = {day for day, _ in priced}
    for key, amounts in counted.items():
        if key[0] in days:
            # What a day's report of costs does not have cost nothing, or is in the sum of the day.
            amounts.usd, amounts.is_priced, amounts.unpriced = Decimal(0), True, 0
    for key, amounts in priced.items():
        counted[key].add(amounts)
    return dict(counted)


def add_usage(amounts: Amounts, usage: Usage | Iteration) -> None:
    """Count tokens and searches."""
    long = usage.cache_write_1h_tokens or 0
    counts = {
        "input": usage.input_tokens,
        "cache_write_5m": max((usage.cache_write_tokens or 0) - long, 0),
        "cache_write_1h": long,
        "cache_read": usage.cache_read_tokens,
        "output": usage.output_tokens,
        "web_searches": usage.web_search_requests if isinstance(usage, Usage) else 0,
    }
    for kind, count in counts.items():
        amounts.counts[kind] += count or 0


def compare(ours: Mapping[_Key, Amounts], theirs: Mapping[_Key, Amounts]) -> Sequence[Comparison]:
    """Return both side by side by day and model, then all together.

    Where a day is reported without models, ours of that day are added up.
    """
    lumped = {day for day, model in theirs if model == ANY_MODEL}
    left, right = _lump(ours, lumped), _lump(theirs, lumped)
    nothing = Amounts(is_counted=any(amounts.is_counted for amounts in theirs.values()))
    rows = [
        Comparison(
            day=key[0],
            model=key[1],
            ours=left.get(key, Amounts()),
            theirs=right.get(key, nothing),
        )
        for key in sorted(left.keys() | right.keys())
    ]
    all_ours, all_theirs = Amounts(), Amounts()
    for row in rows:
        all_ours.add(row.ours)
        all_theirs.add(row.theirs)
    return [*rows, Comparison(day=None, model=ANY_MODEL, ours=all_ours, theirs=all_theirs)]


def _lump(amounts: Mapping[_Key, Amounts], days: set[date]) -> dict[_Key, Amounts]:
    found: dict[_Key, Amounts] = defaultdict(Amounts)
    for (day, model), one in amounts.items():
        found[day, ANY_MODEL if day in days else model].add(one)
    return dict(found)


def _price(one: Reported, usage: Usage, prices: PriceBook) -> Decimal | None:
    if one.model == ANY_MODEL:
        return None
    noon = datetime.combine(one.day, _NOON).timestamp()
    return cost_of_many(usage, model=one.model, prices=prices, at=noon, prompt_tokens=one.prompt_tokens)
