"""Processes that keep the limits of keys together, a ledger, and a clock that tests move."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from typing import Any, Final

from attrs import define, field
from sqlalchemy import func, select

from gateway.actors.key_limiter import KeyLimiter
from gateway.actors.keys import Actor
from gateway.actors.limits import Batch, Outcome, Wanted
from gateway.actors.terms import KeyLimits, KeyTerms
from gateway.actors.use import KeyUse, Spent
from gateway.ledger.record import RequestRecord
from gateway.ledger.row import RequestRow
from gateway.pricing.cost import Cost
from gateway.pricing.usage import Usage
from gateway.store.engine import Database
from gateway.store.errors import StoreUnavailableError
from gateway.store.key_use import KeyUseStore
from gateway.store.requests import RequestStore
from gateway.store.tables import key_reservations, limiting_processes, requests

NOON: Final = 1_795_435_200.0  # 2026-11-23 12:00 UTC, a Monday
MODEL: Final = "claude-opus-5"
BYTES_PER_TOKEN: Final = 4


@define
class Clock:
    """The database's clock, as all processes have it."""

    now: float = NOON

    def __call__(self) -> float:
        return self.now


def price(model: str, given: int, made: int) -> int | None:
    """Return a price at which a token costs a millionth of a dollar."""
    return (given + made) * 1_000 if model.startswith("claude-") else None


def actor(name: str = "laptop", *, models: tuple[str, ...] = (), **limits: int) -> Actor:
    return Actor(f"key_{name}", name, KeyTerms(None, models, KeyLimits(**limits)))


def record(request_id: str, of: Actor, tokens: int = 0, outcome: str = "complete") -> RequestRecord:
    """Return what a request was that used so many tokens, at the price above."""
    half = tokens // 2
    return RequestRecord(
        request_id,
        "POST /claude/v1/messages",
        of.name,
        of.id,
        outcome=outcome,
        counts=Usage(input_tokens=half, output_tokens=tokens - half),
        cost=Cost(nanousd=tokens * 1_000),
    )


def wanted(request_id: str, tokens: int = 0) -> Wanted:
    return Wanted(request_id, [MODEL], 0, tokens)


def row_of(request_id: str, of: Actor, tokens: int) -> dict[str, Any]:
    """Return the row of such a request in the ledger."""
    return RequestRow.of(record(request_id, of, tokens)).columns()


@define(frozen=True)
class FaultyStore(KeyUseStore):
    """A database that may fail, before it has done what it was told or only afterwards."""

    failing: asyncio.Event = field(factory=asyncio.Event)
    failed: asyncio.Event = field(factory=asyncio.Event)
    does_it_all_the_same: bool = False

    async def apply(self, batch: Batch, now: float) -> Outcome:
        if self.failing.is_set():
            if self.does_it_all_the_same:
                await super().apply(batch, now)
            self.failed.set()
            raise StoreUnavailableError("it is away")
        return await super().apply(batch, now)


@define(eq=False)
class Process:
    """One gateway, as far as limits are concerned."""

    limiter: KeyLimiter
    ledger: RequestStore
    task: asyncio.Task[None]
    stopping: asyncio.Event
    open: dict[str, Actor] = field(factory=dict)

    async def ask(self, request_id: str, of: Actor, tokens: int = 0, **wanted: Any) -> None:
        """Send a request that may use so many tokens; raises what a client is told."""
        models = wanted.pop("models", [MODEL])
        await self.limiter.admit(of, Wanted(request_id, models, 0, tokens, **wanted))
        self.open[request_id] = of

    async def end(self, request_id: str, tokens: int = 0, *, is_recorded: bool = True) -> None:
        """Let a request end that used so many tokens."""
        ended = record(request_id, self.open.pop(request_id), tokens)
        if is_recorded:
            await self.ledger.insert([RequestRow.of(ended).columns()])
        self.limiter.settled(ended)

    async def written(self) -> None:
        """Return when everything is in the database."""
        await self.limiter._catch_up()
        while self.limiter._has_work:
            await self.limiter._catch_up()

    async def shows_life(self) -> None:
        self.limiter._life_shown = False
        await self.written()

    async def looks(self) -> None:
        await self.limiter._reclaimer.look()

    async def dies(self) -> None:
        """Die at once, with all that it knows."""
        self.task.cancel()
        with suppress(asyncio.CancelledError):
            await self.task

    async def stops(self) -> None:
        self.stopping.set()
        await self.task


@define(eq=False)
class Cluster:
    """All of them."""

    database: Database
    clock: Clock
    store: KeyUseStore
    tasks: asyncio.TaskGroup
    stack: AsyncExitStack
    processes: list[Process] = field(factory=list)

    async def connect(self) -> Database:
        """Open connections of somebody's own."""
        return await self.stack.enter_async_context(Database(self.database.url, self.database.data_dir))

    async def start(self, store: KeyUseStore | None = None, **changes: Any) -> Process:
        """Start a process."""
        own = await self.connect()
        name = f"process {len(self.processes)}"
        limiter = KeyLimiter(store or KeyUseStore(own), name, self.clock, price, **changes)
        stopping = asyncio.Event()
        task = self.tasks.create_task(limiter.run(stopping))
        process = Process(limiter, RequestStore(own), task, stopping)
        self.processes.append(process)
        return process

    async def use(self, of: Actor) -> KeyUse:
        found = await self.store.use_of(of.id)
        found.roll(self.clock.now)
        return found

    async def reservations(self) -> int:
        async with self.database.read() as connection:
            query = select(func.count()).select_from(key_reservations)
            return (await connection.execute(query)).scalar_one()

    async def known_processes(self) -> set[str]:
        async with self.database.read() as connection:
            return set((await connection.execute(select(limiting_processes.c.owner))).scalars())

    async def recorded(self, of: Actor) -> Spent:
        """Return what the ledger says that a key used."""
        columns = requests.c
        tokens = columns.input_tokens + columns.output_tokens
        query = select(func.count(), func.sum(tokens), func.sum(columns.cost_nanousd))
        async with self.database.read() as connection:
            row = (await connection.execute(query.where(columns.actor_id == of.id))).one()
        return Spent(row[0], int(row[1] or 0), int(row[2] or 0))

    async def hear_nothing(self, seconds: float = 31) -> None:
        """Let time pass in which only those who live are heard of, and let these look twice."""
        self.clock.now += seconds
        alive = [process for process in self.processes if not process.task.done()]
        for _ in range(2):
            for process in alive:
                await process.shows_life()
            for process in alive:
                await process.looks()


@asynccontextmanager
async def cluster(database: Database, count: int = 0) -> AsyncGenerator[Cluster]:
    """Run so many processes on a database; those that are left at the end stop in order."""
    async with AsyncExitStack() as stack, asyncio.TaskGroup() as tasks:
        made = Cluster(database, Clock(), KeyUseStore(database), tasks, stack)
        for _ in range(count):
            await made.start()
        yield made
        for process in made.processes:
            process.stopping.set()
