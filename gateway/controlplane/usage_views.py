"""Sums of requests as the admin API gives them: usage by groups, and what the prompt cache did."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any, Final, Literal

import msgspec

from gateway.ledger.export import csv_cell
from gateway.ledger.sums import Period, labels, usage
from gateway.ledger.totals import SUMS
from gateway.pricing.book import PriceBook
from gateway.pricing.model_price import EXACT

__all__ = [
    "COLUMNS",
    "CacheGroup",
    "CacheReport",
    "Dimension",
    "UsageGroup",
    "UsageReport",
    "UsageSums",
    "as_csv",
    "cache_report",
    "rest_groups",
    "sums_less",
    "usage_groups",
    "usage_sums",
]

Dimension = Literal["day", "hour", "model", "actor", "account", "provider", "outcome", "stop_reason"]

COLUMNS: Final[Mapping[str, str]] = {
    "day": "start",
    "hour": "start",
    "model": "model",
    "actor": "actor_id",
    "account": "account",
    "provider": "provider",
    "outcome": "outcome",
    "stop_reason": "stop_reason",
}
"""What can be grouped by, and the column that has it."""
_DATES: Final = {"hour": "%Y-%m-%d %H:%M", "day": "%Y-%m-%d"}
_PROVIDERS: Final = ("anthropic", "openai")


class UsageSums(msgspec.Struct, kw_only=True):
    """What some requests used."""

    requests: int
    errors: int
    """Of which did not go well: they broke off, or the upstream refused them."""
    partial: int
    """Of which broke off, so that they may have cost more."""
    unpriced: int
    """Of which have no known cost."""
    attempts: int
    input_tokens: int
    """Neither written to the cache nor read from it."""
    cache_write_tokens: int
    cache_write_5m_tokens: int
    cache_write_1h_tokens: int
    cache_read_tokens: int
    output_tokens: int
    thinking_tokens: int
    """In `output_tokens` already."""
    web_searches: int
    cached_share: float | None
    """Of all prompts, what was read from the cache; null where there were no prompts."""
    cost_usd: float
    """Of the requests whose cost is known."""
    switches: int
    """Requests whose session left the account that had its prompt cached."""
    switch_usd: float
    """What it cost to cache those prompts again."""


class UsageGroup(msgspec.Struct, kw_only=True, omit_defaults=True):
    """The sums of those requests that have something in common; what they have none of is left out."""

    start: float | None = None
    """When the day or hour begins, in Unix seconds."""
    model: str | None = None
    actor: str | None = None
    """Name of the key, with its id where another key has the name too."""
    actor_id: str | None = None
    account: str | None = None
    provider: str | None = None
    outcome: str | None = None
    stop_reason: str | None = None
    has_price: bool | None = None
    """Of a model: whether its price is known now."""
    is_rest: bool = False
    """Whether these are all that are in no other group of this time."""
    sums: UsageSums


class UsageReport(msgspec.Struct, kw_only=True):
    """Sums of requests."""

    since: float
    """When the first hour or day of the sums begins."""
    until: float
    """When the last one ends, or now."""
    span_seconds: int
    """Of how long spans of time the sums are made."""
    groups: list[UsageGroup]
    """In the order of time; without it those that cost most come first."""
    has_more: bool
    """Whether there are more groups than the answer was to have."""
    total: UsageSums
    """Of all, those that are in none of these groups too."""
    waiting: int
    """Requests that are in no sum yet; there they will be within seconds."""


class CacheGroup(msgspec.Struct, kw_only=True, omit_defaults=True):
    """What the prompt cache did for some requests."""

    start: float | None = None
    model: str | None = None
    provider: str | None = None
    read_tokens: int
    write_tokens: int
    input_tokens: int
    """Of the prompts, what was neither read from the cache nor written to it."""
    hit_share: float | None
    """Of all prompts, what was read from the cache; null where there were none."""
    saved_usd: float
    """What reads cost less than input would have, less what writes cost more; of models with a price."""
    is_priced: bool
    """Whether prices are known of all that is in it."""


class CacheReport(msgspec.Struct, kw_only=True):
    """What the prompt cache did."""

    since: float
    until: float
    span_seconds: int
    by_time: list[CacheGroup]
    by_model: list[CacheGroup]
    """Those with the largest prompts first."""
    total: CacheGroup
    has_more: bool
    """Whether there was more than could be looked at: then the total is too low."""


def usage_sums(row: Mapping[str, Any]) -> UsageSums:
    """Return sums as the database gives them."""
    return UsageSums(errors=row["errors"], **usage(row))


def usage_groups(
    rows: Sequence[Mapping[str, Any]],
    by: Sequence[Dimension],
    names: Mapping[str, str],
    prices: PriceBook,
    now: float,
) -> list[UsageGroup]:
    """Return groups as the database gives them.

    Args:
        rows: sums with what they are grouped by.
        by: what they are grouped by.
        names: of actors, by their ids.
        prices: to see which models have one.
        now: Unix seconds.
    """
    shown = labels({row["actor_id"] for row in rows}, names) if "actor" in by else {}
    priced: dict[str, bool] = {}
    groups: list[UsageGroup] = []
    for row in rows:
        group = UsageGroup(sums=usage_sums(row))
        for name in by:
            column = COLUMNS[name]
            value = row[column]
            if column == "start":
                group.start = value
            elif value:
                setattr(group, column, value)
        if group.actor_id is not None:
            group.actor = shown[group.actor_id]
        if (model := group.model) is not None:
            if model not in priced:
                priced[model] = any(prices.find(model, now, provider) for provider in _PROVIDERS)
            group.has_price = priced[model]
        groups.append(group)
    return groups


def sums_less(
    all_of_them: Iterable[Mapping[str, Any]], some: Iterable[Mapping[str, Any]]
) -> list[Mapping[str, Any]]:
    """Return sums by `start` less those of some groups; where nothing is left, there is none."""
    left = {row["start"]: dict(row) for row in all_of_them}
    names = (*SUMS, "errors")
    for row in some:
        rest = left.get(row["start"])
        if rest is None:
            continue
        for name in names:
            rest[name] -= row[name]
    # Requests may have been added up between the two questions.
    return [row for row in left.values() if row["requests"] > 0]


def rest_groups(rows: Iterable[Mapping[str, Any]]) -> list[UsageGroup]:
    """Return what is in no other group, by time."""
    return [UsageGroup(start=row["start"], is_rest=True, sums=usage_sums(row)) for row in rows]


def as_csv(groups: Iterable[UsageGroup], by: Sequence[Dimension]) -> bytes:
    """Return groups as a table for spreadsheets; days and hours are written in UTC."""
    sums = UsageSums.__struct_fields__
    getters: list[tuple[str, Callable[[UsageGroup], Any]]] = []
    for name in by:
        if name == "actor":
            getters.append(("actor", lambda group: group.actor))
        if (form := _DATES.get(name)) is not None:
            getters.append((name, lambda group, form=form: _date(group.start, form)))
        else:
            column = COLUMNS[name]
            getters.append((column, lambda group, column=column: getattr(group, column)))
    file = io.StringIO()
    writer = csv.writer(file)
    writer.writerow([*(name for name, _ in getters), *sums])
    for group in groups:
        own = [csv_cell(get(group)) for _, get in getters]
        writer.writerow([*own, *(getattr(group.sums, name) for name in sums)])
    return file.getvalue().encode()


def _date(start: float | None, form: str) -> str:
    return "" if start is None else datetime.fromtimestamp(start, UTC).strftime(form)


class _Tally:
    """Adds up what a cache did."""

    def __init__(self) -> None:
        self.read = self.written = self.input = 0
        self.saved = Decimal(0)
        self.is_priced = True

    def add(self, row: Mapping[str, Any], saved: Decimal | None) -> None:
        self.read += row["cache_read_tokens"]
        self.written += row["cache_write_5m_tokens"] + row["cache_write_1h_tokens"]
        self.input += row["input_tokens"]
        if saved is None:
            self.is_priced = False
        else:
            self.saved += saved

    @property
    def prompt(self) -> int:
        return self.read + self.written + self.input

    def shown(self, **of: Any) -> CacheGroup:
        return CacheGroup(
            read_tokens=self.read,
            write_tokens=self.written,
            input_tokens=self.input,
            hit_share=self.read / self.prompt if self.prompt else None,
            saved_usd=float(self.saved),
            is_priced=self.is_priced,
            **of,
        )


def cache_report(
    rows: Iterable[Mapping[str, Any]], period: Period, prices: PriceBook, *, has_more: bool
) -> CacheReport:
    """Return what the prompt cache did; docs/cost-and-usage.md says how it is worked out.

    Args:
        rows: sums by `start`, `provider` and `model`.
        period: of the sums.
        prices: to look prices up in.
        has_more: whether there were more rows.
    """
    total = _Tally()
    by_time: dict[int, _Tally] = {}
    by_model: dict[tuple[str, str], _Tally] = {}
    for row in rows:
        saved = _saved(row, prices)
        if not any(row[name] for name in _OF_PROMPTS):
            continue
        total.add(row, saved)
        by_time.setdefault(row["start"], _Tally()).add(row, saved)
        by_model.setdefault((row["provider"], row["model"]), _Tally()).add(row, saved)
    models = sorted(by_model.items(), key=lambda item: -item[1].prompt)
    return CacheReport(
        since=period.since,
        until=period.until,
        span_seconds=period.span,
        by_time=[tally.shown(start=start) for start, tally in sorted(by_time.items())],
        by_model=[
            tally.shown(provider=provider or None, model=model or None) for (provider, model), tally in models
        ],
        total=total.shown(),
        has_more=has_more,
    )


_OF_PROMPTS: Final = ("input_tokens", "cache_read_tokens", "cache_write_5m_tokens", "cache_write_1h_tokens")


def _saved(row: Mapping[str, Any], prices: PriceBook) -> Decimal | None:
    """Return what reads from the cache saved less what writes cost more, in USD; None where no price is known."""
    counts = {name: row[name] for name in _OF_PROMPTS[1:]}
    if not any(counts.values()):
        return Decimal(0)
    price = prices.find(row["model"], row["start"], row["provider"] or "anthropic")
    if price is None:
        return None
    rates = price.standard.base
    saved = EXACT.multiply(EXACT.subtract(rates.input, rates.cache_read), Decimal(counts["cache_read_tokens"]))
    for name, rate in (
        ("cache_write_5m_tokens", rates.cache_write_5m),
        ("cache_write_1h_tokens", rates.cache_write_1h),
    ):
        more = EXACT.multiply(EXACT.subtract(rate, rates.input), Decimal(counts[name]))
        saved = EXACT.subtract(saved, more)
    return saved.scaleb(-6, EXACT)
