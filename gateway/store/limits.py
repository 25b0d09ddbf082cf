"""What answers said of the accounts' limits, in the database."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import Final

from attrs import define
from sqlalchemy import and_, delete, or_, select

from gateway.accounts.changes import LimitsSeen
from gateway.accounts.quota import STALE_SECONDS, SeenWindow
from gateway.providers.limits import LimitWindow
from gateway.store import statements
from gateway.store.engine import Database, database_time
from gateway.store.rows import storable, structure
from gateway.store.statements import LIMITS, bump, known_accounts
from gateway.store.tables import account_limits

__all__ = ["LimitStore"]

_COLUMNS: Final = account_limits.c
_OVER: Final = or_(
    _COLUMNS.resets_at <= database_time(),
    and_(_COLUMNS.resets_at.is_(None), _COLUMNS.observed_at <= database_time() - STALE_SECONDS),
)

_HOLDS: Final = or_(
    _COLUMNS.resets_at > database_time(),
    and_(_COLUMNS.resets_at.is_(None), _COLUMNS.observed_at > database_time() - STALE_SECONDS),
)


@define(frozen=True)
class _Row:
    account_id: str
    window_name: str
    family: str
    utilization: float | None
    resets_at: float | None
    status: str
    observed_at: float
    version: int


@define(frozen=True)
class LimitStore:
    """The table `account_limits`. Every method raises `StoreError` if the database cannot be used."""

    database: Database

    async def write(self, limits: Iterable[LimitsSeen]) -> None:
        """Write what was seen, unless something newer is there; what is over is deleted.

        What was seen of accounts that are gone is left out.
        """
        seen = {
            (one.account_id, storable(of.window.name), storable(of.window.family)): of
            for one in limits
            for of in one.windows
        }
        async with self.database.write() as connection:
            accounts = await known_accounts(connection, (account_id for account_id, _, _ in seen))
            version = await bump(connection, LIMITS)
            await connection.execute(delete(account_limits).where(_COLUMNS.account_id.in_(accounts), _OVER))
            rows = [
                {
                    "account_id": account_id,
                    "window_name": name,
                    "family": family,
                    "utilization": _finite(of.window.utilization),
                    "resets_at": _finite(of.window.resets_at),
                    "status": storable(of.window.status or ""),
                    "observed_at": of.at,
                    "version": version,
                }
                for (account_id, name, family), of in seen.items()
                if account_id in accounts
            ]
            if rows:
                insert = statements.insert(connection, account_limits)
                names = ("utilization", "resets_at", "status", "observed_at", "version")
                await connection.execute(
                    insert.on_conflict_do_update(
                        index_elements=[_COLUMNS.account_id, _COLUMNS.window_name, _COLUMNS.family],
                        set_={name: insert.excluded[name] for name in names},
                        where=insert.excluded.observed_at > _COLUMNS.observed_at,
                    ),
                    rows,
                )

    async def after(self, version: int) -> tuple[Sequence[LimitsSeen], int]:
        """Return what was written after a version of the topic and is not over, and the version it goes up to."""
        query = select(account_limits).where(_COLUMNS.version > version, _HOLDS).order_by(_COLUMNS.observed_at)
        async with self.database.read() as connection:
            rows = (await connection.execute(query)).mappings().all()
        found = structure(_Row, rows, account_limits.name)
        return [_seen(row) for row in found], max((row.version for row in found), default=version)


def _finite(value: float | None) -> float | None:
    return value if value is not None and math.isfinite(value) else None


def _seen(row: _Row) -> LimitsSeen:
    window = LimitWindow(row.window_name, row.family, row.utilization, row.resets_at, row.status or None)
    return LimitsSeen(row.account_id, (SeenWindow(window, row.observed_at),))
