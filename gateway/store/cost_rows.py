"""The records of requests, as those read them who work out costs: in the order of time, page by page."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from typing import Any, Final

from attrs import define
from sqlalchemy import ColumnElement, Select, and_, func, or_, select

from gateway.store.engine import Database
from gateway.store.former_names import AccountNames
from gateway.store.request_rows import EARLIEST, LATEST
from gateway.store.tables import request_totals, requests

__all__ = ["CostRows", "RowFilter"]

_READ: Final = (
    "id",
    "at",
    "route",
    "provider",
    "account",
    "model",
    "model_served",
    "outcome",
    "stop_reason",
    "input_tokens",
    "output_tokens",
    "thinking_tokens",
    "cache_read_tokens",
    "cache_write_tokens",
    "cache_write_5m_tokens",
    "cache_write_1h_tokens",
    "web_searches",
    "web_fetches",
    "code_executions",
    "iterations",
    "service_tier",
    "inference_geo",
    "speed",
    "cost_nanousd",
    "cost_note",
)
_COLUMNS: Final = tuple(requests.c[name] for name in _READ)
_SUMMED: Final = (
    "requests",
    "unpriced",
    "input_tokens",
    "output_tokens",
    "cache_read_tokens",
    "cache_write_5m_tokens",
    "cache_write_1h_tokens",
    "web_searches",
    "cost_nanousd",
)
_DAY: Final = 86400


@define(frozen=True, kw_only=True)
class RowFilter:
    """Which rows; None or empty for all."""

    since: float | None = None
    """Unix seconds, included."""
    until: float | None = None
    """Unix seconds, not included."""
    provider: str | None = None
    accounts: frozenset[str] = frozenset()
    """Names of accounts."""
    only_unpriced: bool = False
    """Those whose cost is not known."""
    only_unsummed: bool = False
    """Those that are in no sum yet."""


@define
class CostRows:
    """Reads the table `requests`. Every method raises `StoreError` if the database cannot be used."""

    database: Database

    async def page(
        self, wanted: RowFilter, *, after: tuple[float, str] | None, limit: int
    ) -> Sequence[Mapping[str, Any]]:
        """Return the next rows, by the names of the columns, in the order of `at` and `id`.

        Args:
            wanted: which rows.
            after: `at` and `id` of the last row of the page before; None for the first page.
            limit: how many.
        """
        query: Select[Any] = _matching(select(*_COLUMNS), wanted, is_first=after is None)
        if after is not None:
            at, row_id = after
            behind = or_(requests.c.at > at, and_(requests.c.at == at, requests.c.id > row_id))
            # The first condition alone is one that an index can follow.
            query = query.where(requests.c.at >= at, behind)
        query = query.order_by(requests.c.at, requests.c.id).limit(limit)
        async with self.database.read() as connection:
            names = await AccountNames.read(connection, wanted.accounts)
            query = query.where(*_of_accounts(wanted, partial(names.of_requests, requests.c)))
            return (await connection.execute(query)).mappings().all()

    async def count(self, wanted: RowFilter) -> int:
        """Return how many rows there are."""
        async with self.database.read() as connection:
            names = await AccountNames.read(connection, wanted.accounts)
            query = _matching(select(func.count()), wanted)
            query = query.where(*_of_accounts(wanted, partial(names.of_requests, requests.c)))
            return (await connection.execute(query)).scalar_one()

    async def sums_of_day(self, day: float, wanted: RowFilter) -> Sequence[Mapping[str, Any]]:
        """Return the sums of a day's requests by model, which outlive the rows.

        Args:
            day: its begin in UTC, in Unix seconds.
            wanted: whose; the time is not looked at.
        """
        totals = request_totals.c
        sums = (func.sum(totals[name]).label(name) for name in _SUMMED)
        query = select(totals.model, *sums).where(totals.span == _DAY, totals.start == int(day))
        if wanted.provider is not None:
            query = query.where(totals.provider == wanted.provider)
        query = query.group_by(totals.model).order_by(totals.model)
        async with self.database.read() as connection:
            names = await AccountNames.read(connection, wanted.accounts)
            query = query.where(*_of_accounts(wanted, partial(names.of_sums, totals)))
            return (await connection.execute(query)).mappings().all()


def _matching(query: Any, wanted: RowFilter, *, is_first: bool = True) -> Any:
    if is_first:
        # One bound on each side: of two SQLite may follow the wider one.
        query = query.where(requests.c.at >= (EARLIEST if wanted.since is None else wanted.since))
    query = query.where(requests.c.at < (LATEST if wanted.until is None else wanted.until))
    if wanted.provider is not None:
        query = query.where(requests.c.provider == wanted.provider)
    if wanted.only_unpriced:
        query = query.where(requests.c.cost_nanousd.is_(None))
    if wanted.only_unsummed:
        query = query.where(requests.c.summed.is_(False))
    return query.select_from(requests)


def _of_accounts(wanted: RowFilter, is_of: Callable[[str], ColumnElement[bool]]) -> Iterator[ColumnElement[bool]]:
    if wanted.accounts:
        yield or_(*map(is_of, sorted(wanted.accounts)))
