"""The records of requests in the database."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from attrs import define
from sqlalchemy import select
from sqlalchemy.dialects import postgresql, sqlite

from gateway.store.engine import Database
from gateway.store.tables import requests

__all__ = ["RequestStore"]


@define(frozen=True)
class RequestStore:
    """The table `requests`."""

    database: Database

    async def insert(self, rows: Sequence[Mapping[str, Any]]) -> None:
        """Insert rows, all or none; one whose id is there already stays as it is.

        When this returns they are on the database's disk. Of rows that are none it finds out whether the table can
        be written to at all.

        Args:
            rows: values by the names of the columns.

        Raises:
            StoreUnavailableError: the database is away or busy; the same may work later.
            StoreError: it does not take these rows.
        """
        insert = postgresql.insert if self.database.is_postgres else sqlite.insert
        async with self.database.write() as connection:
            if rows:
                await connection.execute(insert(requests).on_conflict_do_nothing(), rows)
            else:
                await connection.execute(select(requests.c.id).limit(1))
