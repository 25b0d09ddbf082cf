"""The records of requests in the database."""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any, Final

from attrs import define
from sqlalchemy import Table, select
from sqlalchemy.dialects import postgresql

from gateway.store.engine import Database
from gateway.store.tables import request_timelines, requests

__all__ = ["RequestStore"]

# Made once: SQLAlchemy knows a statement that it has compiled by its identity sooner than by its structure.
_INTO_POSTGRES: Final = postgresql.insert(requests).on_conflict_do_nothing()
_TIMELINE_INTO_POSTGRES: Final = postgresql.insert(request_timelines).on_conflict_do_nothing()


@define(frozen=True)
class RequestStore:
    """The table `requests`."""

    database: Database

    async def insert(self, rows: Sequence[Mapping[str, Any]], timelines: Sequence[Mapping[str, Any]] = ()) -> None:
        """Insert rows, all or none; one whose id is there already stays as it is.

        When this returns they are on the database's disk. Of rows that are none it finds out whether the table can
        be written to at all.

        Args:
            rows: values by the names of the columns.
            timelines: those of `request_timelines`.

        Raises:
            StoreUnavailableError: the database is away or busy; the same may work later.
            StoreError: it does not take these rows.
        """
        if not self.database.is_postgres:
            await self.database.write_to_sqlite(partial(_insert_into_sqlite, rows, timelines))
            return
        async with self.database.write() as connection:
            if rows:
                await connection.execute(_INTO_POSTGRES, rows)
                if timelines:
                    await connection.execute(_TIMELINE_INTO_POSTGRES, timelines)
            else:
                await connection.execute(select(requests.c.id).limit(1))


def _insert_into_sqlite(
    rows: Sequence[Mapping[str, Any]], timelines: Sequence[Mapping[str, Any]], connection: sqlite3.Connection
) -> None:
    if not rows:
        connection.execute("SELECT id FROM requests LIMIT 1").fetchone()
        return
    connection.executemany(_named(requests, rows[0]), rows)
    if timelines:
        connection.executemany(_named(request_timelines, timelines[0]), timelines)


def _named(table: Table, row: Mapping[str, Any]) -> str:
    """Return an INSERT of rows like this one; the names of its values are those of columns."""
    columns = [column.name for column in table.columns if column.name in row]
    values = ", ".join(f":{name}" for name in columns)
    return f"INSERT INTO {table.name} ({', '.join(columns)}) VALUES ({values}) ON CONFLICT DO NOTHING"  # noqa: S608 - names of ours
