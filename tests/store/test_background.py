"""What runs beside the requests: noticing changes of others, and telling what traffic learnt."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from gateway.accounts.account import Account, Cooldown
from gateway.store.accounts import AccountStore
from gateway.store.client_keys import ClientKeyStore
from gateway.store.engine import Database, StoreError, StoreUnavailableError
from gateway.store.watch import Watcher
from gateway.store.write_behind import WriteBehind
from tests.log_watch import recent_events
from tests.postgres import Postgres

LIMIT = 30


@asynccontextmanager
async def running(run: Callable[[asyncio.Event], Awaitable[None]]) -> AsyncGenerator[None]:
    stopping = asyncio.Event()

    async def stopped() -> None:
        await run(stopping)

    async with asyncio.timeout(LIMIT), asyncio.TaskGroup() as group:
        group.create_task(stopped())
        try:
            yield
        finally:
            stopping.set()


class Calls:
    """Counts calls, and lets a test wait for the next."""

    def __init__(self) -> None:
        """Begin with none, and with nothing wrong."""
        self.count = 0
        self._called = asyncio.Event()
        self.problem: Exception | None = None

    async def __call__(self) -> None:
        self.count += 1
        self._called.set()
        if self.problem is not None:
            raise self.problem

    async def another(self) -> None:
        self._called.clear()
        await self._called.wait()


async def test_a_change_made_by_another_process_is_noticed(
    database: Database, account: Account, other: Database
) -> None:
    accounts, keys = Calls(), Calls()
    watcher = Watcher(database, {"accounts": accounts, "keys": keys})
    async with running(watcher.run):
        await accounts.another()
        await AccountStore(other).pause(account.id)
        await accounts.another()
        assert keys.count == 1
        await ClientKeyStore(other).create("laptop", b"p")
        await keys.another()
    assert (accounts.count, keys.count) == (2, 2)


async def test_nothing_is_read_while_nothing_changes_and_a_change_is_read_once(
    database: Database, account: Account
) -> None:
    calls = Calls()
    watcher = Watcher(database, {"accounts": calls})
    for _ in range(3):
        await watcher.look()
    assert calls.count == 1
    await AccountStore(database).pause(account.id)
    for _ in range(3):
        await watcher.look()
    assert calls.count == 2


@pytest.mark.parametrize("problem", [StoreError("no such table"), TypeError("secret")])
async def test_a_change_that_could_not_be_taken_over_is_tried_again(
    database: Database, problem: Exception
) -> None:
    calls = Calls()
    calls.problem = problem
    watcher = Watcher(database, {"accounts": calls})
    before = len(troubles())
    for _ in range(2):
        await watcher.look()
    assert calls.count == 2
    assert len(troubles()) == before + 1
    assert "secret" not in str(troubles()[-1])
    calls.problem = None
    for _ in range(2):
        await watcher.look()
    assert calls.count == 3


async def test_another_file_in_the_databases_place_is_taken_over_though_its_revisions_are_the_same(
    tmp_path: Path,
) -> None:
    calls = Calls()
    async with Database("", tmp_path) as database, Database("", tmp_path / "copy"):
        watcher = Watcher(database, {"accounts": calls})
        await watcher.look()
        await asyncio.to_thread((tmp_path / "copy" / "gateway.db").replace, tmp_path / "gateway.db")
        for _ in range(2):
            await watcher.look()
    assert calls.count == 2


class CountingWatcher(Watcher):
    """Counts how often it reads revisions."""

    reads = 0

    async def _read(self) -> dict[str, int]:
        self.reads += 1
        return await super()._read()


async def test_all_who_ask_for_a_look_share_one_that_sees_what_was_there_when_they_asked(
    database: Database, account: Account, other: Database
) -> None:
    accounts, keys = Calls(), Calls()
    watcher = CountingWatcher(database, {"accounts": accounts, "keys": keys}, ("keys",))
    await watcher.look_now()
    assert (accounts.count, keys.count) == (0, 0)
    async with running(watcher.run):
        while not keys.count:
            await keys.another()
        for count in range(2, 6):
            await ClientKeyStore(other).create(f"laptop{count}", b"p")
            before = watcher.reads
            await asyncio.gather(*(watcher.look_now() for _ in range(100)))
            assert keys.count == count
            # One that was under way when they asked, and the one that they asked for.
            assert watcher.reads - before <= 2
        await AccountStore(other).pause(account.id)
        while accounts.count == 1:
            await watcher.look_now()
    async with asyncio.timeout(LIMIT):
        await watcher.look_now()


async def test_whoever_asks_for_a_look_and_goes_harms_nobody_who_waits_for_the_same(
    database: Database, other: Database
) -> None:
    keys = Calls()
    watcher = Watcher(database, {"keys": keys}, ("keys",))
    async with running(watcher.run), asyncio.TaskGroup() as group:
        while not keys.count:
            await keys.another()
        await ClientKeyStore(other).create("laptop", b"p")
        gone, stays = group.create_task(watcher.look_now()), group.create_task(watcher.look_now())
        await asyncio.sleep(0)
        gone.cancel()
        await stays
        assert keys.count == 2


async def test_a_look_that_somebody_asks_for_does_not_say_that_what_it_does_not_look_at_is_well_again(
    database: Database,
) -> None:
    accounts, keys = Calls(), Calls()
    accounts.problem = StoreError("a damaged row")
    watcher = Watcher(database, {"keys": keys, "accounts": accounts}, ("keys",))
    before = len(troubles())
    async with running(watcher.run):
        await accounts.another()
        while accounts.count < 3:
            await watcher.look_now()
    assert len(troubles()) == before + 1


async def test_looking_sets_the_clock(database: Database) -> None:
    now = await database.now()
    database.set_clock(1_000.0, asked_at=asyncio.get_running_loop().time())
    await Watcher(database, {}).look()
    assert abs(database.clock() - now) < 5


def troubles() -> list[dict[str, Any]]:
    return [event for event in recent_events() if event["event"].startswith("cannot read the database")]


async def test_a_database_that_is_down_is_said_once_and_what_is_learnt_meanwhile_is_written_afterwards(
    postgres: Postgres, tmp_path: Path
) -> None:
    async with Database(postgres.create_database(), tmp_path) as database:
        calls, behind, store = Calls(), WriteBehind(), AccountStore(database)
        account = await store.ensure_environment_account("anthropic", "print")
        watcher = Watcher(database, {"accounts": calls})
        await watcher.look()
        before = len(troubles())
        async with running(behind.run):
            await asyncio.to_thread(postgres.kill)
            try:
                await watcher.look()
                await watcher.look()
                assert len(troubles()) == before + 1
                now = database.clock()
                learnt = Cooldown(account.id, "opus", until=now + 600, since=now, fault="quota", reason="")
                behind.put("key", lambda: store.set_cooldown(learnt))
            finally:
                await asyncio.to_thread(postgres.start)
            await behind.flushed()
        assert await store.cooldowns() == [learnt]
        await watcher.look()
        assert calls.count == 2
        assert recent_events()[-1]["event"] == "the database can be read again"


async def test_of_what_waits_only_the_latest_counts() -> None:
    behind, written = WriteBehind(), []

    def write(value: str) -> Callable[[], Awaitable[None]]:
        async def append() -> None:
            written.append(value)

        return append

    for key, value in (("a", "a1"), ("b", "b1"), ("a", "a2")):
        behind.put(key, write(value))
    async with running(behind.run):
        await behind.flushed()
        behind.put("a", write("a3"))
        await behind.flushed()
    assert written == ["b1", "a2", "a3"]


async def test_what_is_put_while_the_same_is_being_written_is_written_too() -> None:
    behind, written = WriteBehind(), []

    async def second() -> None:
        written.append(2)

    async def first() -> None:
        behind.put("key", second)
        written.append(1)

    behind.put("key", first)
    async with running(behind.run):
        await behind.flushed()
    assert written == [1, 2]


async def test_when_too_much_waits_the_oldest_is_dropped_and_counted() -> None:
    behind, written = WriteBehind(most=3), []

    def write(value: int) -> Callable[[], Awaitable[None]]:
        async def append() -> None:
            written.append(value)

        return append

    for number in range(10):
        behind.put(number, write(number))
    assert behind.dropped == 7
    async with running(behind.run):
        await behind.flushed()
    assert written == [7, 8, 9]


@pytest.mark.parametrize("problem", [StoreError("no such table"), ZeroDivisionError("secret")])
async def test_a_write_that_cannot_succeed_does_not_stop_the_others(problem: Exception) -> None:
    behind, written = WriteBehind(), []

    async def bad() -> None:
        raise problem

    async def good() -> None:
        written.append(1)

    behind.put("bad", bad)
    behind.put("good", good)
    async with running(behind.run):
        await behind.flushed()
    assert written == [1]


async def test_what_waits_at_the_end_is_written_within_a_bound() -> None:
    behind, tried, written = WriteBehind(flush_seconds=0.01), asyncio.Event(), []

    async def down() -> None:
        tried.set()
        raise StoreUnavailableError("down")

    async def good() -> None:
        written.append(1)

    behind.put("good", good)
    async with running(behind.run):
        pass
    assert written == [1]
    behind.put("down", down)
    async with running(behind.run):
        await tried.wait()
    assert recent_events()[-1]["lost"] == 1
