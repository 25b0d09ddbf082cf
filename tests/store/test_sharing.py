"""Several processes that share sessions and limits through a database."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack
from random import Random

import pytest
from attrs import define, evolve, field
from sqlalchemy import ColumnElement, func, select, update

from gateway.accounts.account import Account, AccountKind
from gateway.accounts.changes import Change, LimitsSeen, SessionPinned
from gateway.accounts.need import Need, Observation
from gateway.accounts.pins import SessionPin, kept_seconds
from gateway.accounts.pool import AccountPool
from gateway.accounts.quota import SeenWindow
from gateway.config import Routing, Strategy
from gateway.providers.limits import LimitWindow, RateLimits
from gateway.shared_use import SharedUse
from gateway.store.accounts import AccountStore
from gateway.store.engine import Database
from gateway.store.limits import LimitStore
from gateway.store.sessions import START, SessionStore
from gateway.store.statements import SESSIONS
from gateway.store.tables import account_limits, revisions, session_pins
from gateway.store.watch import Watcher

IDLE = 3600.0
NAMES = "abc"
SESSION = "a-session"


@define
class Process:
    """What a gateway has in memory, and how it shares that."""

    database: Database
    strategy: Strategy = Strategy.ROUND_ROBIN
    pool: AccountPool = field(init=False)
    use: SharedUse = field(init=False)
    watcher: Watcher = field(init=False)

    def __attrs_post_init__(self) -> None:
        """Start without anything."""
        routing = Routing(self.strategy, affinity_idle_seconds=IDLE)
        self.pool = AccountPool(routing, clock=self.database.clock, random=Random(1), tell=self.tell)
        self.use = SharedUse(SessionStore(self.database), LimitStore(self.database), IDLE, [self.pool])
        callbacks = {
            "accounts": self.load_accounts,
            "sessions": self.use.load_sessions,
            "limits": self.use.load_limits,
        }
        self.watcher = Watcher(self.database, callbacks)

    def tell(self, change: Change) -> None:
        if isinstance(change, SessionPinned):
            self.use.tell_session(change.pin)
        elif isinstance(change, LimitsSeen):
            self.use.tell_limits(change)

    async def load_accounts(self) -> None:
        self.pool.replace(await AccountStore(self.database).all(), ())

    async def ask(self, session: str | None = SESSION, limits: RateLimits | None = None) -> str:
        """Send a request that goes well; return the name of its account."""
        need = Need("opus", session)
        lease = await self.pool.acquire(need, ())
        assert lease is not None
        with lease:
            self.pool.report(lease.account.id, need, Observation(limits=limits or RateLimits()))
        return lease.account.name

    async def written(self) -> None:
        """Have everything written that is to be told."""
        stopping = asyncio.Event()
        stopping.set()
        async with asyncio.TaskGroup() as group:
            for writes in (self.use.session_writes, self.use.limit_writes):
                group.create_task(writes.run(stopping))


@pytest.fixture
async def processes(database: Database) -> AsyncIterator[list[Process]]:
    """Give three processes with the same accounts, which do not choose alike."""
    store = AccountStore(database)
    for name in NAMES:
        await store.add(Account(f"acc_{name}", name, "anthropic", AccountKind.API_KEY))
    async with AsyncExitStack() as stack:
        made = []
        for number in range(3):
            opened = await stack.enter_async_context(Database(database.url, database.data_dir))
            process = Process(opened)
            await process.watcher.look()
            for _ in range(number):
                await process.ask(None)
            made.append(process)
        yield made


async def settled(processes: Sequence[Process]) -> None:
    """Let everybody write and look."""
    for process in processes:
        await process.written()
    for process in processes:
        await process.watcher.look()


async def asked(processes: Sequence[Process], session: str = SESSION) -> set[str]:
    return {await process.ask(session) for process in processes}


async def count(database: Database, *conditions: ColumnElement[bool]) -> int:
    async with database.read() as connection:
        query = select(func.count()).select_from(session_pins).where(*conditions)
        return (await connection.execute(query)).scalar_one()


async def version(database: Database, topic: str = SESSIONS) -> int:
    async with database.read() as connection:
        query = select(revisions.c.version).where(revisions.c.topic == topic)
        return (await connection.execute(query)).scalar_one_or_none() or 0


def pins(count: int, used_at: float, account_id: str = "acc_a", start: int = 0) -> list[SessionPin]:
    return [SessionPin(f"{number:032x}", account_id, used_at) for number in range(start, start + count)]


async def test_processes_that_meet_a_session_at_the_same_moment_end_on_one_account(
    processes: list[Process],
) -> None:
    first = await processes[0].ask()
    assert len({first, await processes[1].ask(), await processes[2].ask()}) == 3
    async with asyncio.TaskGroup() as group:
        for process in processes:
            group.create_task(process.written())
    for process in processes:
        await process.watcher.look()
    assert len(await asked(processes)) == 1


async def test_a_session_that_left_a_paused_account_is_found_where_it_went(processes: list[Process]) -> None:
    home = await processes[0].ask()
    await settled(processes)
    assert await asked(processes) == {home}
    await AccountStore(processes[2].database).pause(f"acc_{home}")
    for process in processes:
        await process.watcher.look()
    moved_to = await processes[1].ask()
    assert moved_to != home
    await settled(processes)
    await AccountStore(processes[2].database).resume(f"acc_{home}")
    await settled(processes)
    assert await asked(processes) == {moved_to}


async def test_a_process_that_starts_later_finds_the_sessions(processes: list[Process]) -> None:
    homes = {f"session {number}": await processes[0].ask(f"session {number}") for number in range(50)}
    await processes[0].written()
    late = Process(processes[0].database)
    await late.watcher.look()
    assert {session: await late.ask(session) for session in reversed(homes)} == homes


async def test_many_new_sessions_cost_few_transactions(processes: list[Process]) -> None:
    before = await version(processes[0].database)
    for number in range(1_200):
        await processes[0].ask(f"{number}")
    await processes[0].written()
    assert await version(processes[0].database) - before == 3
    assert await count(processes[0].database) == 1_200
    await processes[1].watcher.look()
    assert await processes[1].ask("1199") == await processes[0].ask("1199")


async def test_nothing_is_written_for_sessions_that_everybody_knows(processes: list[Process]) -> None:
    await processes[0].ask()
    await settled(processes)
    before = await version(processes[0].database)
    for _ in range(10):
        await asked(processes)
    await settled(processes)
    assert await version(processes[0].database) == before


async def test_of_more_sessions_than_fit_into_memory_the_newest_are_read(processes: list[Process]) -> None:
    store = processes[0].use.sessions
    now = store.database.clock()
    for start in range(0, 40, 10):
        await store.write(pins(10, now, start=start), IDLE)
    found, place = await store.after(await store.place_before(20), IDLE, 1_000)
    assert {pin.session_key for pin in found} == {pin.session_key for pin in pins(30, now, start=10)}
    assert await store.after(place, IDLE, 1_000) == ([], place)
    assert await store.place_before(40) == START


async def test_pages_hold_every_session_once(processes: list[Process]) -> None:
    store = processes[0].use.sessions
    now = store.database.clock()
    for start in range(0, 30, 15):
        await store.write(pins(15, now, start=start), IDLE)
    found, place = [], START
    while page := (await store.after(place, IDLE, 4))[0]:
        found += page
        place = (await store.after(place, IDLE, 4))[1]
    assert found == pins(30, now)


async def test_idle_sessions_are_deleted_a_few_at_a_time_by_whoever_comes(processes: list[Process]) -> None:
    store = processes[0].use.sessions
    now = store.database.clock()
    await store.write(pins(25, now - kept_seconds(IDLE) - 60), IDLE)
    await store.write(pins(5, now - IDLE + 60, start=25), IDLE)
    assert await store.forget(IDLE, 10) == 10
    async with asyncio.TaskGroup() as group:
        for process in processes:
            group.create_task(process.use.sessions.forget(IDLE, 10))
    while await store.forget(IDLE, 10):
        pass
    assert await count(store.database) == 5


async def test_idle_sessions_go_when_new_ones_come(processes: list[Process]) -> None:
    one = processes[0]
    await one.use.sessions.write(pins(1_500, one.database.clock() - kept_seconds(IDLE) - 60), IDLE)
    for number in range(501):
        await one.ask(f"{number}")
    await one.written()
    assert await count(one.database) == 501


async def test_an_account_that_is_removed_takes_its_sessions_along_and_no_late_news_brings_them_back(
    processes: list[Process],
) -> None:
    here, there = processes[:2]
    home = await here.ask()
    other = next(name for name in NAMES if name != home)
    await here.use.sessions.write(pins(1, here.database.clock(), f"acc_{other}"), IDLE)
    await here.written()
    await AccountStore(there.database).remove(f"acc_{home}")
    assert await count(there.database, session_pins.c.account_id == f"acc_{home}") == 0
    await here.ask("another session")
    for name in NAMES:
        await here.use.sessions.write(pins(2, here.database.clock(), f"acc_{name}", 10), IDLE)
    await settled(processes)
    assert await count(there.database, session_pins.c.account_id == f"acc_{home}") == 0
    moved_to = await here.ask()
    assert moved_to != home
    await settled(processes)
    assert await asked(processes) == {moved_to}


async def test_whoever_reads_while_many_write_misses_nothing(processes: list[Process]) -> None:
    now = processes[0].database.clock()
    reader = processes[2].use.sessions
    found: dict[str, SessionPin] = {}
    place = START

    async def write(process: Process, start: int) -> None:
        for first in range(start, start + 200, 20):
            await process.use.sessions.write(pins(20, now, start=first), IDLE)

    async def read() -> None:
        nonlocal place
        while len(found) < 800:
            page, place = await reader.after(place, IDLE, 7)
            found.update((pin.session_key, pin) for pin in page)

    async with asyncio.timeout(30), asyncio.TaskGroup() as group:
        group.create_task(read())
        for number in range(4):
            group.create_task(write(processes[number % 2], number * 200))
    assert sorted(found.values(), key=lambda pin: pin.session_key) == pins(800, now)


async def test_writers_of_the_same_sessions_and_who_removes_and_tidies_do_not_get_stuck(
    processes: list[Process],
) -> None:
    now = processes[0].database.clock()
    store = AccountStore(processes[2].database)
    rounds = 8

    async def write(process: Process, name: str, order: int) -> None:
        for moves in range(rounds):
            told = [evolve(pin, moves=moves) for pin in pins(40, now, f"acc_{name}")][::order]
            await process.use.sessions.write(told, IDLE)

    async def tidy() -> None:
        for _ in range(rounds):
            await processes[2].use.sessions.forget(-kept_seconds(0.0), 5)

    async def remove() -> None:
        for _ in range(rounds):
            await store.add(Account("acc_d", "d", "anthropic", AccountKind.API_KEY))
            await store.remove("acc_d")

    async with asyncio.timeout(30), asyncio.TaskGroup() as group:
        group.create_task(write(processes[0], "a", 1))
        group.create_task(write(processes[1], "d", -1))
        group.create_task(write(processes[1], "b", -1))
        group.create_task(tidy())
        group.create_task(remove())
    assert await count(processes[0].database, session_pins.c.account_id == "acc_d") == 0


async def test_news_of_sessions_wait_for_a_database_that_is_away(processes: list[Process]) -> None:
    here, there, _ = processes
    home = await here.ask()
    await here.database.close()
    stopping = asyncio.Event()
    async with asyncio.timeout(30), asyncio.TaskGroup() as group:
        group.create_task(here.use.session_writes.run(stopping))
        assert await here.ask() == home
        await here.database.open()
        await here.use.session_writes.flushed()
        stopping.set()
    await there.watcher.look()
    assert await there.ask() == home


# Limits


def limits(share: float, resets_at: float | None, family: str = "account") -> RateLimits:
    return RateLimits((LimitWindow("5h", family, share, resets_at, "allowed"),))


async def test_what_one_process_saw_of_limits_all_know_and_so_does_one_that_starts(
    processes: list[Process],
) -> None:
    here, there, _ = processes
    resets_at = here.database.clock() + 600
    name = await here.ask(None, limits(0.9, resets_at))
    await settled(processes)
    late = Process(here.database, Strategy.HEADROOM)
    await late.watcher.look()
    for process in (there, late):
        (window,) = process.pool.windows(f"acc_{name}")
        assert (window.utilization, window.status) == (0.9, "allowed")
        assert window.resets_at == pytest.approx(resets_at)
    assert name not in {await late.ask(None) for _ in range(4)}


async def test_older_news_of_a_limit_does_not_replace_newer_and_what_is_over_is_not_read(
    processes: list[Process],
) -> None:
    store = processes[0].use.limits
    now = store.database.clock()

    def seen(name: str, share: float, at: float, resets_at: float | None) -> LimitsSeen:
        return LimitsSeen("acc_a", (SeenWindow(LimitWindow(name, "account", share, resets_at), at),))

    await store.write([seen("5h", 0.5, now - 5, now + 600), seen("7d", 0.6, now - 5, now - 1)])
    await store.write([seen("5h", 0.4, now - 9, now + 600), seen("requests", 0.7, now - 5, None)])
    await store.write([seen("tokens", 0.7, now - 4_000, None), seen("odd", float("nan"), now, float("inf"))])
    found, _ = await store.after(-1)
    shares = {one.window.name: one.window.utilization for told in found for one in told.windows}
    assert shares == {"5h": 0.5, "requests": 0.7, "odd": None}
    await store.write([seen("5h", 0.8, now, now + 600)])
    async with store.database.read() as connection:
        kept = set((await connection.execute(select(account_limits.c.window_name))).scalars())
    assert kept == {"5h", "requests", "odd"}


async def test_limits_of_an_account_that_is_gone_are_not_written(processes: list[Process]) -> None:
    store = processes[0].use.limits
    window = LimitWindow("5h", "account", 0.5, store.database.clock() + 600)
    await store.write([LimitsSeen("acc_gone", (SeenWindow(window, store.database.clock()),))])
    assert await store.after(-1) == ([], -1)


async def test_only_what_is_new_of_limits_is_read(processes: list[Process]) -> None:
    here, there, _ = processes
    now = here.database.clock()
    first = await here.ask(None, limits(0.5, now + 600))
    await settled(processes)
    async with here.database.write() as connection:
        await connection.execute(update(account_limits).values(utilization=0.1))
    second = await here.ask(None, limits(0.6, now + 600))
    assert first != second
    await settled(processes)
    known = {one: there.pool.windows(f"acc_{one}")[0].utilization for one in (first, second)}
    assert known == {first: 0.5, second: 0.6}
