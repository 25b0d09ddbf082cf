"""The records of requests, as commands read them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Collection
from datetime import UTC, datetime
from typing import Final, TypeVar

from gateway.cli.common import CommandError
from gateway.config import Settings
from gateway.ledger.row import RequestRow
from gateway.store.engine import Database, Opening
from gateway.store.errors import StoreError
from gateway.store.request_queries import Cursor, RequestFilter, RequestQueries, is_pattern
from gateway.telemetry.logs import printable

__all__ = ["pages", "what_there_is", "with_queries"]

_T = TypeVar("_T")
_PAGE: Final = 500
_DAY: Final = 86400
_SHOWN: Final = 20
_OF_SUMS: Final = {
    "account": ("account", "no account has the name"),
    "tried": ("account", "no account has the name"),
    "model": ("model", "since yesterday no answer was of the model"),
    "stop_reason": ("stop_reason", "since yesterday no answer had the stop reason"),
    "route": ("route", "since yesterday no request had the route"),
}
"""What the sums know of a filter: their column, and what is said where it does not have a value."""


def with_queries(settings: Settings, work: Callable[[RequestQueries], Awaitable[_T]]) -> _T:
    """Open the database and do what is to be done with its records of requests.

    Raises:
        CommandError: it cannot be used.
    """

    async def run() -> _T:
        async with Database.of(settings, Opening.EXISTING) as database:
            return await work(RequestQueries(database))

    try:
        return asyncio.run(run())
    except StoreError as error:
        raise CommandError(str(error)) from None


async def pages(
    queries: RequestQueries, wanted: RequestFilter, limit: int | None
) -> AsyncIterator[list[RequestRow]]:
    """Return requests in pages, the newest first; some may be empty."""
    after: Cursor | None = None
    left = limit
    while left is None or left > 0:
        page = await queries.page(wanted, limit=_PAGE if left is None else min(left, _PAGE), after=after)
        yield list(page.rows)
        if left is not None:
            left -= len(page.rows)
        if page.after is None:
            return
        after = page.after


async def what_there_is(queries: RequestQueries, **wanted: str | None) -> list[str]:
    """Return a sentence for each part of a filter that names what is not known, with names that are.

    Args:
        queries: for the names.
        wanted: by the fields of `RequestFilter`; those of which no list of names is kept are passed over.
    """
    said: list[str] = []
    if (actor := wanted.get("actor")) is not None:
        names = await queries.actor_names()
        if actor not in names and actor not in names.values():
            said.append(_sentence("no key has the name or id", actor, set(names.values())))
    now = datetime.now(UTC).timestamp()
    for field, (column, what) in _OF_SUMS.items():
        value = wanted.get(field)
        if value is None or (field == "model" and is_pattern(value)):
            continue
        rows = await queries.totals(_DAY, now - _DAY, now + 1, by=[column])
        known = {row[column] for row in rows} - {""}
        if column == "account":
            known.update(await queries.account_names())
        if known and value not in known:
            said.append(_sentence(what, value, known))
    return said


def _sentence(what: str, value: str, known: Collection[str]) -> str:
    names = sorted(known)
    more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    there_are = ", ".join(printable(name, 80) for name in names[:_SHOWN]) or "none"
    return f"{what} {printable(value, 80)!r}; there are: {there_are}{more}"
