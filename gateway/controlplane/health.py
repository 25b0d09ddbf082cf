"""How the gateway is: its processes, its database, its accounts."""

from __future__ import annotations

import asyncio
import math
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Final, Literal

import msgspec
from attrs import define, field
from sqlalchemy import text

from gateway.accounts.account import ACCOUNT_WIDE, AccountState
from gateway.accounts.backend import Backend
from gateway.config import Settings
from gateway.ledger.in_flight import RequestsInFlight
from gateway.ledger.record import Ledger
from gateway.ledger.writer import LedgerWriter
from gateway.store.engine import Database
from gateway.store.errors import StoreError
from gateway.telemetry.loop_lag import LoopLag

__all__ = ["HealthView", "ProcessVitals", "ProviderHealth", "Vitals", "WorkerHealth"]

_ANSWER_SECONDS: Final = 2.0
_AT_A_TIME: Final = 500
"""Accounts that are looked at before others have their turn."""
_ASK: Final = text("SELECT 1")


class WorkerHealth(msgspec.Struct, kw_only=True):
    """One process that serves."""

    worker: int
    pid: int
    started_at: float
    lag_seconds: float
    """How late the event loop was in the last minute: the median of two looks a second."""
    longest_lag_seconds: float
    in_flight: int
    """Requests."""
    forwarded: int
    """Connections that are joined with one to an existing proxy."""
    records_waiting: int
    """Requests whose record is not durable yet."""
    ledger_away: bool
    """Whether the database takes no records; they go into the spool."""
    is_draining: bool


class ProviderHealth(msgspec.Struct, kw_only=True):
    """The accounts of one provider."""

    provider: str
    accounts: dict[str, int]
    """How many there are in each state."""
    serves: Literal["now", "later", "not", "none"]
    """Whether one of them can serve a request: now; later, by itself; not before somebody has done something; or
    there are no accounts."""
    back_at: float | None
    """Of `later`: when the first is due, in Unix seconds."""
    in_flight: int
    """Places that requests of the first worker have on them."""
    waiting: int
    """Requests of the first worker that wait for a place."""


class HealthView(msgspec.Struct, kw_only=True):
    """How the gateway is now."""

    at: float
    version: str
    readiness: str
    """What `/readyz` of the first worker says: `ready`, or why requests are to go elsewhere."""
    rollout: str
    rollout_approval: str
    database: str
    """`sqlite` or `postgresql`; others than this host may use the latter."""
    database_answers: bool
    spool_bytes: int
    """Of records that are in no database yet."""
    workers: list[WorkerHealth]
    workers_known: bool
    """Whether all workers that run are among these: they tell of themselves only while somebody watches, and need
    a moment to begin."""
    workers_wanted: int
    providers: list[ProviderHealth]


@define(eq=False, kw_only=True)
class ProcessVitals:
    """Where to look in one process."""

    worker: int
    pid: int
    requests: RequestsInFlight
    ledger: Ledger
    lag: LoopLag
    forwarded: Callable[[], int]
    is_draining: Callable[[], bool]
    readiness: Callable[[], str]
    started_at: float = field(factory=lambda: datetime.now(UTC).timestamp(), init=False)

    def look(self) -> WorkerHealth:
        """Return how it is."""
        ledger = self.ledger if isinstance(self.ledger, LedgerWriter) else None
        return WorkerHealth(
            worker=self.worker,
            pid=self.pid,
            started_at=self.started_at,
            lag_seconds=round(self.lag.typical, 4),
            longest_lag_seconds=round(self.lag.longest, 4),
            in_flight=len(self.requests.now),
            forwarded=self.forwarded(),
            records_waiting=ledger.waiting if ledger is not None else 0,
            ledger_away=ledger is not None and ledger.is_away,
            is_draining=self.is_draining(),
        )


@define(eq=False, kw_only=True)
class Vitals:
    """Where to look in the whole gateway."""

    settings: Settings
    version: str
    database: Database
    backends: Sequence[Backend]
    process: ProcessVitals

    async def look(self, others: Iterable[WorkerHealth] = (), *, are_all: bool = True) -> HealthView:
        """Return how the gateway is; takes seconds at the most.

        Args:
            others: what the other processes say of themselves.
            are_all: whether those that say nothing are not there.
        """
        answers = await self._answers()
        size = 0
        if isinstance(self.process.ledger, LedgerWriter):
            size = await asyncio.to_thread(_size, self.process.ledger.spool.directory)
        return HealthView(
            at=datetime.now(UTC).timestamp(),
            version=self.version,
            readiness=self.process.readiness(),
            rollout=self.settings.rollout.value,
            rollout_approval=self.settings.rollout_approval,
            database="postgresql" if self.database.is_postgres else "sqlite",
            database_answers=answers,
            spool_bytes=size,
            workers=sorted([self.process.look(), *others], key=lambda one: one.worker),
            workers_known=are_all,
            workers_wanted=self.settings.workers,
            providers=[await _provider(backend) for backend in self.backends],
        )

    async def _answers(self) -> bool:
        try:
            async with asyncio.timeout(_ANSWER_SECONDS), self.database.read() as connection:
                await connection.execute(_ASK)
        except (StoreError, TimeoutError):
            return False
        return True


async def _provider(backend: Backend) -> ProviderHealth:
    pool = backend.pool
    states: Counter[str] = Counter()
    serves_now, back_at = False, math.inf
    for number, account in enumerate(pool.accounts):
        if number % _AT_A_TIME == _AT_A_TIME - 1:
            await asyncio.sleep(0)
        with suppress(KeyError):  # it was removed meanwhile
            state, cooling, _ = pool.state(account.id)
            states[state.value] += 1
            if state not in (AccountState.ACTIVE, AccountState.COOLING):
                continue
            # Where but one class of models has a rest, the others are served.
            until = [rest.until for rest in cooling if rest.family == ACCOUNT_WIDE]
            serves_now |= not until
            back_at = min(back_at, max(until, default=math.inf))
    is_later = not serves_now and back_at < math.inf
    return ProviderHealth(
        provider=backend.provider.name,
        accounts=dict(states),
        serves="now" if serves_now else "later" if is_later else "not" if states else "none",
        back_at=back_at if is_later else None,
        in_flight=pool.in_flight,
        waiting=pool.waiting,
    )


def _size(directory: Path) -> int:
    """Return the bytes of records in a spool; what is deleted meanwhile has none."""
    size = 0
    for path in directory.glob("requests-*.jsonl"):
        with suppress(OSError):
            size += path.stat().st_size
    return size
