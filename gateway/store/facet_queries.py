"""By what requests can be told apart: names that occur in their records."""

from __future__ import annotations

from typing import Final

from attrs import define
from sqlalchemy import TextClause, select, text
from sqlalchemy.ext.asyncio import AsyncConnection

from gateway.ledger.totals import names_a_model
from gateway.store.engine import Database
from gateway.store.tables import accounts, former_names, requests

__all__ = ["FacetQueries", "Facets"]

_MOST: Final = 500
_ASKED: Final = 1000
"""Names of models that are looked at: clients may ask for anything."""
_NEWEST: Final = 3000
"""Requests that are looked at for what no index has."""


@define(frozen=True)
class Facets:
    """What there is of each, up to 500, in the order of the alphabet."""

    providers: list[str]
    accounts: list[str]
    models: list[str]
    routes: list[str]
    """Of the newest requests; and so are the stop reasons and the providers."""
    stop_reasons: list[str]


def _distinct(column: str, index: str) -> dict[bool, TextClause]:
    """Return what reads the values of a column, from one to the next in its index; by whether it is PostgreSQL.

    Neither database does so by itself: it would look at all rows, or at all entries of the index.
    """
    found = {}
    for is_postgres in (False, True):
        table = "requests" if is_postgres else f"requests INDEXED BY {index}"
        first = f"SELECT {column} FROM {table} WHERE {column} IS NOT NULL"  # noqa: S608 - names of ours
        order = f"ORDER BY {column} LIMIT 1"
        found[is_postgres] = text(
            f"WITH RECURSIVE found(value) AS (SELECT ({first} {order}) UNION ALL "  # noqa: S608 - likewise
            f"SELECT ({first} AND {column} > found.value {order}) FROM found WHERE found.value IS NOT NULL) "
            "SELECT value FROM found WHERE value IS NOT NULL LIMIT :most"
        )
    return found


_ACCOUNTS: Final = _distinct("account", "ix_requests_account_at_id")
_SERVED: Final = _distinct("model_served", "ix_requests_model_served_at_id")
_MODELS: Final = _distinct("model", "ix_requests_model_at_id")


@define
class FacetQueries:
    """Reads the records of requests. Every method raises `StoreError` if there is no database."""

    database: Database

    async def read(self) -> Facets:
        """Return what there is."""
        column = requests.c
        newest = select(column.provider, column.route, column.stop_reason)
        newest = newest.order_by(column.at.desc(), column.id.desc()).limit(_NEWEST)
        newest = newest.with_hint(requests, "INDEXED BY ix_requests_at_id", "sqlite")
        async with self.database.read() as connection:
            served = await self._values(connection, _SERVED, _MOST)
            asked = await self._values(connection, _MODELS, _ASKED)
            used = await self._values(connection, _ACCOUNTS, _MOST)
            present = (await connection.execute(select(accounts.c.name).limit(_MOST))).scalars().all()
            former = (await connection.execute(select(former_names.c.name).distinct())).scalars().all()
            late = (await connection.execute(select(newest.subquery()).distinct())).all()
        models = [*served, *(name for name in asked if name not in served and names_a_model(name))]
        names = {*present, *(name for name in used if name not in former)}
        providers, routes, stop_reasons = (
            sorted({value for value in values if value and isinstance(value, str)})[:_MOST]
            for values in (zip(*late, strict=True) if late else ((), (), ()))
        )
        return Facets(
            providers=providers,
            accounts=sorted(names)[:_MOST],
            models=sorted(models[:_MOST]),
            routes=routes,
            stop_reasons=stop_reasons,
        )

    async def _values(self, connection: AsyncConnection, query: dict[bool, TextClause], most: int) -> list[str]:
        rows = await connection.execute(query[self.database.is_postgres], {"most": most})
        # In a damaged row there may be anything.
        return [value for value in rows.scalars() if isinstance(value, str)]
