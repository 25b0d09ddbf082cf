"""`/api/v1/usage`: what was used and what it cost, from the sums that outlive the records of requests."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Final, Literal

import msgspec
from aiohttp import web
from attrs import evolve

from gateway.controlplane.access import Access
from gateway.controlplane.endpoints import Call, answer_bytes, endpoint
from gateway.controlplane.parts import Parts
from gateway.controlplane.usage_views import (
    COLUMNS,
    CacheReport,
    Dimension,
    UsageGroup,
    UsageReport,
    as_csv,
    cache_report,
    rest_groups,
    sums_less,
    usage_groups,
    usage_sums,
)
from gateway.ledger.outcomes import Outcome
from gateway.ledger.sums import DAY, Period
from gateway.store.request_queries import MOST_GROUPS, TotalsFilter
from gateway.wire.errors import ApiError

__all__ = ["ENDPOINTS"]

_THIRTY_DAYS: Final = 30 * DAY
_MOST_DIMENSIONS: Final = 2
_USUAL_GROUPS: Final = 1000

Moment = Annotated[float, msgspec.Meta(ge=0, le=253_402_300_799, description="Unix seconds.")]
Name = Annotated[str, msgspec.Meta(min_length=1, max_length=1000)]


class SumsQuery(msgspec.Struct, kw_only=True):
    """Which requests are summed."""

    since: Moment | None = None
    """30 days ago, if it is not given."""
    until: Moment | None = None
    """Now, if it is not given."""
    provider: Literal["anthropic", "openai"] | None = None
    account: Name | None = None
    actor: Name | None = None
    """Name or id of a key."""
    model: Name | None = None
    """`*` and `?` stand for any text and any character."""
    outcome: list[Outcome] = []
    stop_reason: Name | None = None


class GroupsQuery(SumsQuery, kw_only=True):
    """Which requests are summed, and how they are grouped."""

    by: list[Dimension] = []
    """Up to two, and `day` or `hour`, not both; days and hours are those of UTC."""


class UsageQuery(GroupsQuery, kw_only=True):
    """The same, and how many groups there may be."""

    limit: Annotated[int, msgspec.Meta(ge=1, le=MOST_GROUPS)] = _USUAL_GROUPS
    top: Annotated[int, msgspec.Meta(ge=1, le=20)] | None = None
    """Of groups by day or hour and something else: only of so many of these that cost most, and of the rest
    together."""


class CacheQuery(SumsQuery, kw_only=True):
    """Which requests are summed, by which spans of time."""

    span: Literal["day", "hour"] = "day"


@endpoint("GET", "/api/v1/usage", access=Access.VIEWER, query=UsageQuery, answer=UsageReport)
async def get_usage(parts: Parts, call: Call) -> web.StreamResponse:
    """Add up requests, tokens and costs.

    Sums are kept by hour for 400 days and by day for good; they outlive the records of requests. A period is of
    whole hours or days, in UTC: the answer says which.
    """
    query: UsageQuery = call.query
    by, period, wanted = _groups_of(query), _period(parts, query, query.by), await _wanted(parts, query)
    columns = [COLUMNS[name] for name in by]
    rest: Sequence[Mapping[str, Any]] = ()
    if query.top is None:
        rows, has_more = await _rows(parts, period, columns, wanted, query.limit)
    else:
        rows, rest, has_more = await _top_rows(parts, period, columns, wanted, query)
    (total,) = await parts.requests.totals(period.span, period.since, period.until, wanted=wanted)
    waiting = await parts.requests.unsummed()
    names = await _names(parts, rows, by)
    now = parts.database.clock()

    def work() -> bytes:
        return msgspec.json.encode(
            UsageReport(
                since=period.since,
                until=period.until,
                span_seconds=period.span,
                groups=[*usage_groups(rows, by, names, parts.prices, now), *rest_groups(rest)],
                has_more=has_more,
                total=usage_sums(total),
                waiting=waiting.number,
            )
        )

    return answer_bytes(await asyncio.to_thread(work), "application/json")


@endpoint("GET", "/api/v1/usage.csv", access=Access.VIEWER, query=GroupsQuery, media_type="text/csv")
async def get_usage_csv(parts: Parts, call: Call) -> web.StreamResponse:
    """Export sums as a table for spreadsheets.

    The same groups as of `/api/v1/usage`, up to 10,000. Texts that a spreadsheet would take for a formula begin
    with an apostrophe.
    """
    query: GroupsQuery = call.query
    by, period, wanted = _groups_of(query), _period(parts, query, query.by), await _wanted(parts, query)
    rows, _ = await _rows(parts, period, [COLUMNS[name] for name in by], wanted, MOST_GROUPS)
    if not by:
        rows = await parts.requests.totals(period.span, period.since, period.until, wanted=wanted)
    names = await _names(parts, rows, by)
    now = parts.database.clock()

    def work() -> bytes:
        groups: list[UsageGroup] = usage_groups(rows, by, names, parts.prices, now)
        return as_csv(groups, by)

    headers = {"content-disposition": f'attachment; filename="usage-{"-".join(by) or "total"}.csv"'}
    return answer_bytes(await asyncio.to_thread(work), "text/csv; charset=utf-8", headers=headers)


@endpoint("GET", "/api/v1/usage/cache", access=Access.VIEWER, query=CacheQuery, answer=CacheReport)
async def get_cache_usage(parts: Parts, call: Call) -> web.StreamResponse:
    """Tell what the prompt cache did, and what it saved.

    Saved is what the tokens that were read would have cost more as input, less what those that were written cost
    more than input: at the standard rates of their day, without the factors of tiers, speeds and places.
    """
    query: CacheQuery = call.query
    period, wanted = _period(parts, query, [query.span]), await _wanted(parts, query)
    rows, has_more = await _rows(parts, period, ("start", "provider", "model"), wanted, MOST_GROUPS)

    def work() -> bytes:
        return msgspec.json.encode(cache_report(rows, period, parts.prices, has_more=has_more))

    return answer_bytes(await asyncio.to_thread(work), "application/json")


def _groups_of(query: GroupsQuery) -> Sequence[Dimension]:
    by: tuple[Dimension, ...] = tuple(dict.fromkeys(query.by))
    if len(by) > _MOST_DIMENSIONS:
        raise ApiError(400, "`by` takes two dimensions at the most.")
    if {"day", "hour"} <= set(by):
        raise ApiError(400, "`by` takes day or hour, not both.")
    return by


def _period(parts: Parts, query: SumsQuery, by: Sequence[str]) -> Period:
    now = parts.database.clock()
    until = now if query.until is None else min(query.until, now)
    since = max(until - _THIRTY_DAYS, 0.0) if query.since is None else query.since
    try:
        return Period.covering(since, until, now, by)
    except ValueError:
        raise ApiError(400, "`since` must be a time that has been, and lie before `until`.") from None


async def _wanted(parts: Parts, query: SumsQuery) -> TotalsFilter:
    actor = query.actor
    return TotalsFilter(
        provider=query.provider,
        account=query.account,
        actor_id=None if actor is None else frozenset({actor, *await parts.requests.actor_ids(actor)}),
        model=query.model,
        outcome=frozenset(query.outcome) if query.outcome else None,
        stop_reason=query.stop_reason,
    )


async def _rows(
    parts: Parts, period: Period, columns: Sequence[str], wanted: TotalsFilter, most: int
) -> tuple[Sequence[Mapping[str, Any]], bool]:
    """Return sums by group and whether there are more; none where nothing is grouped."""
    if not columns:
        return (), False
    rows = await parts.requests.totals(
        period.span,
        period.since,
        period.until,
        by=columns,
        wanted=wanted,
        most=most + 1,
        dearest_first="start" not in columns,
    )
    return rows[:most], len(rows) > most


async def _top_rows(
    parts: Parts, period: Period, columns: Sequence[str], wanted: TotalsFilter, query: UsageQuery
) -> tuple[Sequence[Mapping[str, Any]], Sequence[Mapping[str, Any]], bool]:
    """Return the sums of those that cost most by time, those of the rest by time, and whether there are more."""
    others = [column for column in columns if column != "start"]
    if len(columns) != _MOST_DIMENSIONS or len(others) != 1:
        raise ApiError(400, "`top` goes with `by` day or hour and something else.")
    (column,) = others
    dearest, _ = await _rows(parts, period, others, wanted, query.top or 1)
    kept = evolve(wanted, **{column: frozenset(row[column] for row in dearest)})
    rows, has_more = await _rows(parts, period, ["start", column], kept, query.limit)
    all_of_them, has_more_times = await _rows(parts, period, ["start"], wanted, query.limit)
    return rows, await asyncio.to_thread(sums_less, all_of_them, rows), has_more or has_more_times


async def _names(parts: Parts, rows: Sequence[Mapping[str, Any]], by: Sequence[Dimension]) -> Mapping[str, str]:
    if "actor" not in by:
        return {}
    return await parts.requests.actor_names({row["actor_id"] for row in rows})


ENDPOINTS: Final = (get_usage, get_usage_csv, get_cache_usage)
