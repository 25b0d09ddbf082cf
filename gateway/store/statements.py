"""Statements that SQLAlchemy writes differently for each database."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final, TypeVar

from sqlalchemy import GenerativeSelect, Table, select
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.ext.asyncio import AsyncConnection

from gateway.store.tables import accounts, revisions

__all__ = ["ACCOUNTS", "KEYS", "LIMITS", "SESSIONS", "bump", "insert", "known_accounts", "locking"]

_Query = TypeVar("_Query", bound=GenerativeSelect)

ACCOUNTS: Final = "accounts"
"""Topic of everything that is said about accounts."""
KEYS: Final = "keys"
"""Topic of client keys."""
SESSIONS: Final = "sessions"
"""Topic of the accounts that sessions have."""
LIMITS: Final = "limits"
"""Topic of what answers said of the accounts' limits."""


def insert(connection: AsyncConnection, table: Table) -> Any:
    """Return an INSERT that knows ON CONFLICT."""
    return (postgresql.insert if connection.dialect.name == "postgresql" else sqlite.insert)(table)


def locking(query: _Query) -> _Query:
    """Return the query such that the rows it finds stay as they are until the transaction ends.

    To be locked in this order, lest two writers wait for each other: an account, what belongs to it, the revision.
    SQLite, which leaves the clause out, has but one writer anyway.
    """
    return query.with_for_update()


async def known_accounts(connection: AsyncConnection, ids: Iterable[str]) -> frozenset[str]:
    """Return which of these accounts there are; they stay until the transaction ends, whatever else they do."""
    query = select(accounts.c.id).where(accounts.c.id.in_(sorted(set(ids)))).order_by(accounts.c.id)
    return frozenset((await connection.execute(query.with_for_update(read=True, key_share=True))).scalars())


async def bump(connection: AsyncConnection, topic: str) -> int:
    """Say that something changed, and return the topic's new version.

    As the last statement of the transaction that changes it. Or before the rows, where these take the version
    along for others to read what is newer than what they have: as others wait here until the transaction ends,
    versions come to be seen in their order.
    """
    statement = insert(connection, revisions).values(topic=topic, version=1)
    statement = statement.on_conflict_do_update(
        index_elements=[revisions.c.topic], set_={revisions.c.version: revisions.c.version + 1}
    )
    return (await connection.execute(statement.returning(revisions.c.version))).scalar_one()
