"""How much accounts were used and when last, from the records of requests and their sums."""

from __future__ import annotations

import asyncio
from collections.abc import Collection
from typing import Final

from attrs import define
from sqlalchemy import func, select

from gateway.store.engine import Database
from gateway.store.former_names import AccountNames, by_present_name
from gateway.store.tables import accounts, request_totals, requests

__all__ = ["AccountUse", "last_used", "used_since"]

_SUMS: Final = request_totals.c
_READ: Final = (
    _SUMS.input_tokens + _SUMS.cache_read_tokens + _SUMS.cache_write_5m_tokens + _SUMS.cache_write_1h_tokens
)
_AT_A_TIME: Final = 200
"""Accounts that are looked at before others have their turn."""


@define(frozen=True)
class AccountUse:
    """What some requests of one account came to."""

    requests: int = 0
    nanousd: int = 0
    """Of those whose cost is known."""
    unpriced: int = 0
    """Requests whose cost is not known."""
    input_tokens: int = 0
    """Those read from the cache and written to it included."""
    output_tokens: int = 0


async def used_since(database: Database, span: int, since: float) -> dict[str, tuple[int, ...]]:
    """Return what was used of accounts since a time, by their names; those that were not used are left out.

    What is returned are the fields of an `AccountUse` each: to make thousands of those would take long.

    Args:
        database: to be asked, once for all accounts.
        span: of the sums, 300, 3600 or 86400 seconds.
        since: Unix seconds; the span that this lies in is the first.

    Raises:
        StoreError: the database cannot be used.
    """
    summed = (_SUMS.requests, _SUMS.cost_nanousd, _SUMS.unpriced, _READ, _SUMS.output_tokens)
    async with database.read() as connection:
        source, name = await by_present_name(connection, request_totals)
        query = select(name, *map(func.sum, summed)).select_from(source).group_by(name)
        query = query.where(_SUMS.span == span, _SUMS.start >= int(since // span) * span)
        found: dict[str, tuple[int, ...]] = {}
        for part in (await connection.execute(query)).partitions(_AT_A_TIME):
            # PostgreSQL adds up to decimals.
            found.update((name, tuple(map(int, sums))) for name, *sums in part)
            if len(part) == _AT_A_TIME:
                await asyncio.sleep(0)
        return found


async def last_used(database: Database, names: Collection[str]) -> dict[str, float]:
    """Return when the last request that each account served began, in Unix seconds, by the accounts' names.

    Args:
        database: to be asked; one look into an index for each name.
        names: of accounts; those that served none are left out.

    Raises:
        StoreError: the database cannot be used.
    """
    if not names:
        return {}
    newest = select(func.max(requests.c.at)).where(requests.c.account == accounts.c.name).scalar_subquery()
    query = select(accounts.c.name, newest.label("at")).where(accounts.c.name.in_(names))
    async with database.read() as connection:
        found = {row.name: row.at for row in (await connection.execute(query)).all()}
        known = await AccountNames.read(connection, names)
        for name in known.renamed():
            times = []
            for part in known.parts(name):
                query = select(func.max(requests.c.at)).where(known.is_in(part, requests.c))
                times.append((await connection.execute(query)).scalar_one())
            found[name] = max((at for at in times if at is not None), default=None)
    return {name: at for name, at in found.items() if at is not None}
