"""Keys with limits, as several processes keep them together: on SQLite and on PostgreSQL."""

from __future__ import annotations

import asyncio
import random
from pathlib import Path

import pytest
from sqlalchemy import literal_column, update

from gateway.actors.keys import Actor
from gateway.actors.terms import NANO
from gateway.actors.use import Spent
from gateway.store.engine import Database
from gateway.store.tables import key_reservations, key_use
from gateway.wire.errors import ApiError
from tests.limits.cluster import FaultyStore, Process, actor, cluster, record, row_of, wanted
from tests.postgres import Postgres


async def refused(process: Process, request_id: str, of: Actor, tokens: int = 0, **wanted: object) -> ApiError:
    with pytest.raises(ApiError) as found:
        await process.ask(request_id, of, tokens, **wanted)
    return found.value


async def test_slots_are_those_of_all_processes_and_come_back_when_a_request_ends(database: Database) -> None:
    two = actor(concurrent=2)
    async with cluster(database, 2) as running:
        here, there = running.processes
        await here.ask("a", two)
        await there.ask("b", two)
        for process in (here, there):
            error = await refused(process, "c", two)
            assert (error.status, error.kind, error.should_retry) == (429, "rate_limit_error", None)
            assert error.retry_after == 2
            assert "2 requests at the same time, and has 2" in error.message
        await there.end("b")
        await there.ask("c", two)
        assert (await running.use(two)).running == 2
        await here.end("a")
        await there.end("c")
        await there.written()
        await here.written()
        assert (await running.use(two)).running == 0
        assert await running.reservations() == 0


async def test_a_slot_that_ends_in_another_process_at_this_moment_is_not_missed(database: Database) -> None:
    one = actor(concurrent=1)
    async with cluster(database, 2) as running:
        here, there = running.processes
        for number in range(10):
            await here.ask(f"h{number}", one)
            await here.end(f"h{number}")
            await there.ask(f"t{number}", one)
            await there.end(f"t{number}")


async def test_requests_per_minute_are_counted_over_all_processes(database: Database) -> None:
    five = actor(requests_per_minute=5)
    async with cluster(database, 2) as running:
        for number in range(5):
            await running.processes[number % 2].ask(f"{number}", five)
        error = await refused(running.processes[1], "6", five)
        assert (error.status, error.retry_after, error.should_retry) == (429, 12, None)
        assert "5 requests per minute" in error.message
        running.clock.now += 12
        await running.processes[0].ask("6", five)
        assert (await refused(running.processes[1], "7", five)).retry_after == 12


async def test_of_many_requests_at_once_exactly_as_many_are_let_in_as_are_allowed(database: Database) -> None:
    seven = actor(concurrent=7)
    async with cluster(database, 3) as running:

        async def one(number: int) -> bool:
            try:
                await running.processes[number % 3].ask(f"{number}", seven)
            except ApiError:
                return False
            return True

        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(one(number)) for number in range(30)]
        assert sum(task.result() for task in tasks) == 7
        assert (await running.use(seven)).running == 7


async def test_a_budget_that_is_used_up_says_so_and_when_it_is_there_again(database: Database) -> None:
    poor = actor("ci", nanousd_day=NANO // 100)
    async with cluster(database, 2) as running:
        here, there = running.processes
        await here.ask("a", poor, 1_000)
        await here.end("a", 10_000)
        await here.written()
        error = await refused(there, "b", poor)
        assert (error.status, error.kind) == (429, "rate_limit_error")
        assert (error.should_retry, error.retry_after) == (False, None)
        assert error.message == (
            "The key ci has used 0.01 of its 0.01 USD for today. The budget resets at 2026-11-24 00:00 UTC; until "
            "then the operator of the gateway can raise it with `gateway keys limits ci`."
        )
        running.clock.now += 86_400
        await there.ask("b", poor)


async def test_what_requests_under_way_may_use_holds_others_back_only_until_they_end(database: Database) -> None:
    poor = actor(tokens_week=1_000)
    async with cluster(database, 2) as running:
        here, there = running.processes
        await here.ask("a", poor, 64_000)
        error = await refused(there, "b", poor, 10)
        assert (error.status, error.should_retry, error.retry_after) == (429, None, 2)
        assert "has used 0 of its 1000 tokens for this week, and its requests under way" in error.message
        await here.end("a", 900)
        await there.ask("b", poor, 64_000)
        await there.end("b", 100)
        await there.written()
        assert (await refused(here, "c", poor)).should_retry is False


async def test_tokens_per_minute_count_all_that_a_request_uses(database: Database) -> None:
    slow = actor(tokens_per_minute=600)
    async with cluster(database, 1) as running:
        (here,) = running.processes
        await here.ask("a", slow, 100)
        await here.end("a", 1_200)
        error = await refused(here, "b", slow)
        assert (error.retry_after, error.should_retry) == (60, None)
        running.clock.now += 61
        await here.ask("b", slow, 100)


async def test_a_client_that_leaves_at_any_moment_leaves_no_slot_taken(database: Database) -> None:
    one = actor(concurrent=1)
    async with cluster(database, 1) as running:
        (here,) = running.processes
        for steps in range(40):
            asking = asyncio.ensure_future(here.limiter.admit(one, wanted(f"{steps}")))
            for _ in range(steps):
                await asyncio.sleep(0)
            asking.cancel()
            await asyncio.wait({asking})
            if not asking.cancelled() and asking.exception() is None:
                here.open[f"{steps}"] = one
                await here.end(f"{steps}")
            await here.written()
            use = await running.use(one)
            assert (use.running, use.reserved_tokens) == (0, 0), steps
            assert await running.reservations() == 0
        await here.ask("last", one)


async def test_what_a_process_held_that_died_is_free_again_and_counts_as_the_ledger_says(
    database: Database,
) -> None:
    some = actor(concurrent=3, nanousd_month=NANO, tokens_per_minute=1_000_000)
    async with cluster(database, 2) as running:
        here, there = running.processes
        for name in "abc":
            await here.ask(name, some, 5_000)
        # Of one the row is there, and nobody was told to count it.
        await there.ledger.insert([row_of("a", some, 700)])
        await here.dies()
        await running.hear_nothing(29)
        assert (await running.use(some)).running == 3
        await running.hear_nothing(2)
        use = await running.use(some)
        assert (use.running, use.reserved_tokens, use.reserved_nanousd) == (0, 0, 0)
        assert use.total == Spent(1, 700, 700_000)
        # The row of another comes late, from the spool.
        await there.ledger.insert([row_of("b", some, 300)])
        await running.hear_nothing()
        assert (await running.use(some)).total == Spent(2, 1_000, 1_000_000) == await running.recorded(some)
        assert await running.reservations() == 1
        await running.hear_nothing(3 * 86_400)
        assert await running.reservations() == 0
        assert await running.known_processes() == {"process 0", "process 1"}
        await (await running.start()).looks()
        assert "process 0" not in await running.known_processes()


async def test_a_process_that_was_only_silent_settles_what_it_let_in_once(database: Database) -> None:
    some = actor(concurrent=3)
    async with cluster(database, 2) as running:
        here, there = running.processes
        await here.ask("a", some, 5_000)
        await here.ask("b", some, 5_000)
        running.clock.now += 31
        for _ in range(2):
            await there.looks()
        assert (await running.use(some)).running == 0
        await here.end("a", 100)
        await here.written()
        await there.ledger.insert([row_of("b", some, 50)])
        await there.looks()
        await here.end("b", 50)
        await here.written()
        use = await running.use(some)
        assert use.total == Spent(2, 150, 150_000) == await running.recorded(some)
        assert (use.running, await running.reservations()) == (0, 0)


async def test_a_stream_of_a_day_gives_its_slot_back_and_is_counted_when_it_ends(database: Database) -> None:
    one = actor(concurrent=1)
    async with cluster(database, 1) as running:
        (here,) = running.processes
        await here.ask("a", one)
        await running.hear_nothing(86_401)
        await here.ask("b", one)
        await here.end("a", 10)
        await here.end("b", 5)
        await here.written()
        use = await running.use(one)
        assert (use.running, use.total.tokens) == (0, 15)


async def test_what_a_process_held_that_died_before_the_clock_was_set_back_is_free_again(
    database: Database,
) -> None:
    two = actor(concurrent=2)
    async with cluster(database, 2) as running:
        dying, living = running.processes
        running.clock.now += 400 * 86_400
        await dying.ask("a", two)
        await living.ask("b", two)
        await dying.dies()
        running.clock.now -= 400 * 86_400
        await refused(living, "c", two)
        await running.hear_nothing()
        await living.ask("c", two)
        await refused(living, "d", two)
        for name in ("b", "c"):
            await living.end(name)
        await living.written()
        assert (await running.use(two)).running == 0


async def test_counts_of_a_key_that_cannot_be_read_begin_anew_and_cost_no_other_key_its_limits(
    database: Database,
) -> None:
    bad, good = actor("bad", concurrent=1, tokens_per_minute=1_000), actor("good", concurrent=1)
    async with cluster(database, 1) as running:
        (here,) = running.processes
        for name, of in (("a", bad), ("b", good)):
            await here.ask(name, of, 10)
            await here.end(name, 10)
        await here.written()
        # PostgreSQL takes no other values for a column than those of its kind; SQLite takes any.
        columns, values = (key_use.c.tokens_until,), ("'Infinity'", "'-Infinity'", "'NaN'")
        if not database.is_postgres:
            columns = (*columns, key_use.c.day_tokens, key_use.c.month_start)
            values = ("9e999", "'x'", "x'00'", "-1.5")
        for value in values:
            wrong = {column: literal_column(value) for column in columns}
            async with running.database.write() as connection:
                await connection.execute(update(key_use).where(key_use.c.key_id == bad.id).values(wrong))
            await here.limiter.report(bad)
            await here.ask(f"c{value}", bad, 10)
            await here.ask(f"d{value}", good, 10)
            await refused(here, "e", good)
            await here.end(f"c{value}", 10)
            await here.end(f"d{value}", 10)
            await here.written()
            assert here.limiter._away_since is None
        assert (await running.use(bad)).running == 0
        assert (await running.use(good)).total.tokens == (await running.recorded(good)).tokens


async def test_a_reservation_that_cannot_be_read_keeps_no_other_from_being_freed(database: Database) -> None:
    one, other = actor("one", concurrent=1), actor("other", concurrent=1)
    async with cluster(database, 2) as running:
        dying, living = running.processes
        await dying.ask("a", one)
        await dying.ask("b", other)
        await dying.dies()
        columns = {key_reservations.c.at: literal_column("'NaN'")}
        if not database.is_postgres:
            columns = dict.fromkeys((*columns, key_reservations.c.tokens), literal_column("'x'"))
        async with running.database.write() as connection:
            await connection.execute(update(key_reservations).where(key_reservations.c.id == "a").values(columns))
        await running.hear_nothing()
        for name, of in (("c", one), ("d", other)):
            await living.ask(name, of)
            await living.end(name)
        await running.hear_nothing(2 * 86_401)
        assert await running.reservations() == 0


async def test_keys_without_limits_ask_no_database_and_are_counted_all_the_same(database: Database) -> None:
    free = actor()
    async with cluster(database, 1) as running:
        (here,) = running.processes
        for number in range(50):
            # Without a single wait.
            with pytest.raises(StopIteration):
                here.limiter.admit(free, wanted(f"{number}")).send(None)
            here.limiter.settled(record(f"{number}", free, 10))
        report = await here.limiter.report(free)
        assert report["total"] == {"requests": 50, "tokens": 500, "usd": 0.0005}
        assert (await running.use(free)).day.spent == Spent(50, 500, 500_000)
        assert await running.reservations() == 0


@pytest.mark.parametrize("is_done", [False, True])
async def test_what_was_used_is_counted_once_though_nobody_knows_whether_a_commit_went_well(
    database: Database, *, is_done: bool
) -> None:
    free, some = actor("free"), actor("some", concurrent=5)
    async with cluster(database) as running:
        faulty = FaultyStore(await running.connect(), does_it_all_the_same=is_done)
        here = await running.start(faulty)
        await here.ask("a", some, 10)
        faulty.failing.set()
        await here.end("a", 7)
        await here.ask("x", free)
        await here.end("x", 3)
        # This one finds out that the database is away; from here on what is known decides.
        await here.ask("b", some, 10)
        await here.ask("c", some, 10)
        await here.end("b", 20)
        faulty.failing.clear()
        await here.written()
        assert (await running.use(some)).running == 1
        await here.end("c", 30)
        await here.written()
        assert (await running.use(some)).total == Spent(3, 57, 57_000) == await running.recorded(some)
        assert (await running.use(free)).total == Spent(1, 3, 3_000)
        assert ((await running.use(some)).running, await running.reservations()) == (0, 0)


async def test_without_the_database_limits_are_kept_by_what_is_known(database: Database) -> None:
    some = actor(concurrent=2, tokens_day=1_000)
    async with cluster(database) as running:
        faulty = FaultyStore(await running.connect())
        here = await running.start(faulty)
        await here.ask("a", some, 10)
        await here.end("a", 900)
        await here.written()
        faulty.failing.set()
        await here.ask("b", some, 10)
        await here.ask("c", some, 10)
        assert (await refused(here, "d", some)).status == 429
        await here.end("b", 100)
        assert "1000 of its 1000 tokens" in (await refused(here, "d", some)).message
        await here.end("c", 1)
        faulty.failing.clear()
        await here.written()
        assert (await running.use(some)).total == Spent(3, 1_001, 1_001_000)


async def test_a_database_that_stays_away_ends_the_grace(database: Database) -> None:
    async with cluster(database) as running:
        faulty = FaultyStore(await running.connect())
        faulty.failing.set()
        here = await running.start(faulty, grace_seconds=0)
        error = await refused(here, "a", actor(concurrent=1))
        assert (error.status, error.kind, error.retry_after) == (503, "api_error", 15)
        await here.ask("b", actor("free"))
        faulty.failing.clear()


async def test_a_process_that_stops_in_order_leaves_nothing_uncounted(database: Database) -> None:
    free, some = actor("free"), actor("some", concurrent=5)
    async with cluster(database, 1) as running:
        (here,) = running.processes
        for number, of in enumerate([free, some] * 5):
            await here.ask(f"{number}", of, 10)
            await here.end(f"{number}", 10)
        await here.stops()
        assert (await running.use(free)).total == (await running.use(some)).total == Spent(5, 50, 50_000)


async def test_two_processes_that_lock_the_same_keys_do_not_wait_for_each_other_for_ever(
    database: Database,
) -> None:
    keys = [actor(f"{number}", concurrent=50) for number in range(8)]
    async with cluster(database, 3) as running:

        async def client(process: Process, name: str) -> None:
            for number in range(2):
                for of in random.sample(keys, len(keys)):
                    await process.ask(f"{name} {number} {of.name}", of)
                    await process.end(f"{name} {number} {of.name}", 1)

        async with asyncio.TaskGroup() as group:
            for number, process in enumerate(running.processes * 2):
                group.create_task(client(process, f"{number}"))
        for process in running.processes:
            await process.written()
        for of in keys:
            assert (await running.use(of)).total == Spent(12, 12, 12_000)


async def test_a_postgresql_that_is_killed_and_started_again_costs_no_request_and_no_count(
    postgres: Postgres, migrated: str, tmp_path: Path
) -> None:
    some, free = actor("some", concurrent=2), actor("free")
    async with Database(postgres.restore(migrated), tmp_path) as database, cluster(database, 1) as running:
        (here,) = running.processes
        await here.ask("before", some, 10)
        await asyncio.to_thread(postgres.kill)
        try:
            await here.end("before", 5, is_recorded=False)
            await here.ask("during", some, 10)
            await here.ask("free", free)
            await here.end("free", 3, is_recorded=False)
            assert here.limiter._away_since is not None
        finally:
            await asyncio.to_thread(postgres.start)
        await here.written()
        assert (await running.use(some)).running == 1
        await here.end("during", 7)
        await here.written()
        assert (await running.use(some)).total == Spent(2, 12, 12_000)
        assert (await running.use(free)).total == Spent(1, 3, 3_000)
        assert here.limiter._away_since is None
