"""The records of requests in the database."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from attrs import define
from sqlalchemy import select
from sqlalchemy.dialects import postgresql, sqlite

from gateway.store.engine import Database
from gateway.store.tables import request_timelines, requests

__all__ = ["RequestStore"]

# Made once: SQLAlchemy knows a statement that it has compiled by its identity sooner than by its structure.
_INTO_SQLITE: Final = sqlite.insert(requests).on_conflict_do_nothing()
_INTO_POSTGRES: Final = postgresql.insert(requests).on_conflict_do_nothing()

_TIMELINE_INTO_SQLITE: Final = sqlite.insert(request_timelines).on_conflict_do_nothing()
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
        insert = _INTO_POSTGRES if self.database.is_postgres else _INTO_SQLITE
        async with self.database.write() as connection:
            if rows:
                await connection.execute(insert, rows)
                if timelines:
                    insert = _TIMELINE_INTO_POSTGRES if self.database.is_postgres else _TIMELINE_INTO_SQLITE
                    await connection.execute(insert, timelines)
            else:
                await connection.execute(select(requests.c.id).limit(1))
