"""Statements that SQLAlchemy writes differently for each database."""

from __future__ import annotations

from typing import Any, Final, TypeVar

from sqlalchemy import GenerativeSelect, Table
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.ext.asyncio import AsyncConnection

from gateway.store.tables import revisions

__all__ = ["ACCOUNTS", "KEYS", "bump", "insert", "locking"]

_Query = TypeVar("_Query", bound=GenerativeSelect)

ACCOUNTS: Final = "accounts"
"""Topic of everything that is said about accounts."""
KEYS: Final = "keys"
"""Topic of client keys."""


def insert(connection: AsyncConnection, table: Table) -> Any:
    """Return an INSERT that knows ON CONFLICT."""
    return (postgresql.insert if connection.dialect.name == "postgresql" else sqlite.insert)(table)


def locking(query: _Query) -> _Query:
    """Return the query such that the rows it finds stay as they are until the transaction ends.

    To be locked in this order, lest two writers wait for each other: an account, what belongs to it, the revision.
    SQLite, which leaves the clause out, has but one writer anyway.
    """
    return query.with_for_update()


async def bump(connection: AsyncConnection, topic: str) -> None:
    """Say that something changed, as the last statement of the transaction that changes it."""
    statement = insert(connection, revisions).values(topic=topic, version=1)
    await connection.execute(
        statement.on_conflict_do_update(
            index_elements=[revisions.c.topic], set_={revisions.c.version: revisions.c.version + 1}
        )
    )
