"""Each settled record is one row of the database, at once or when the database is back."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import event, text

from gateway.config import Limits, Settings
from gateway.ledger.record import AttemptRecord, RequestRecord, SwitchRecord
from gateway.ledger.row import RequestRow
from gateway.ledger.writer import open_ledger
from gateway.pricing.cost import Cost
from gateway.pricing.usage import Iteration, Usage
from gateway.store.engine import Database
from gateway.store.requests import RequestStore
from gateway.store.tables import requests
from tests.faults.waiting import until
from tests.ledger.writing import IMPATIENT, locked, make_record, settle_all, spooled, stored, writing
from tests.log_watch import recent_events


def logged(name: str) -> list[dict[str, Any]]:
    return [found for found in recent_events() if found["event"] == name]


async def test_when_settling_returns_the_record_is_a_row_with_all_that_it_says(database: Database) -> None:
    record = make_record(
        at=1_795_000_000.25,
        upstream_request_id="req_up",
        code="bad-json",
        reason="at event 3, byte 99",
        stop_reason="end_turn",
        counts=Usage(
            input_tokens=1,
            output_tokens=2,
            cache_read_tokens=3,
            cache_write_tokens=4,
            cache_write_5m_tokens=1,
            cache_write_1h_tokens=3,
            thinking_tokens=5,
            web_search_requests=6,
            web_fetch_requests=7,
            code_execution_requests=8,
            iterations=(Iteration(model="claude-opus-5-5", type="message", input_tokens=1),),
            service_tier="standard",
            inference_geo="us",
            speed="fast",
        ),
        cost=Cost(nanousd=123_456_789, note="partial", is_partial=True),
        session="5f1c",
        agent="a1",
        request_class="subagent",
        client="claude-cli/2.1.330",
        api_version="2023-06-01",
        trace_id="0af7651916cd43dd8448eb211c80319c",
        model_served="claude-opus-5-5-20261001",
        timeline=b"\x00\xff",
        attempts=[AttemptRecord("first", "overload", 529, 7), AttemptRecord("environment", None, 200, 12)],
        switch=SwitchRecord("first", "overload", 1000, 0.5),
        events=9,
        bytes_in=10,
        bytes_out=11,
        milliseconds_to_first_byte=10,
        milliseconds_to_content=12,
        milliseconds=13,
        longest_gap_milliseconds=4,
        notes=("a note",),
    )
    async with writing(database) as writer:
        await writer.settle(record)
        rows = await stored(database)
    assert rows == {
        "req_0": {
            "id": "req_0",
            "at": 1_795_000_000.25,
            "route": "POST /claude/v1/messages",
            "provider": "anthropic",
            "account": "environment",
            "actor_id": "key_1",
            "actor": "laptop",
            "model": "claude-opus-5-5",
            "stream": True,
            "outcome": "complete",
            "status": 200,
            "upstream_request_id": "req_up",
            "code": "bad-json",
            "reason": "at event 3, byte 99",
            "stop_reason": "end_turn",
            "input_tokens": 1,
            "output_tokens": 2,
            "cache_read_tokens": 3,
            "cache_write_tokens": 4,
            "attempts": json.dumps(
                [
                    {"account": "first", "fault": "overload", "status": 529, "ms": 7},
                    {"account": "environment", "fault": None, "status": 200, "ms": 12},
                ],
                separators=(",", ":"),
            ),
            "switch": json.dumps({"account": "first", "reason": "overload", "cached_tokens": 1000, "usd": 0.5}),
            "events": 9,
            "bytes_in": 10,
            "bytes_out": 11,
            "ms_to_content": 12,
            "ms": 13,
            "notes": '["a note"]',
            "session": "5f1c",
            "agent": "a1",
            "client": "claude-cli/2.1.330",
            "request_class": "subagent",
            "model_served": "claude-opus-5-5-20261001",
            "api_version": "2023-06-01",
            "iterations": '[{"model":"claude-opus-5-5","type":"message","input_tokens":1}]',
            "service_tier": "standard",
            "inference_geo": "us",
            "speed": "fast",
            "cost_note": "partial",
            "trace_id": "0af7651916cd43dd8448eb211c80319c",
            "thinking_tokens": 5,
            "cache_write_5m_tokens": 1,
            "cache_write_1h_tokens": 3,
            "web_searches": 6,
            "web_fetches": 7,
            "code_executions": 8,
            "cost_nanousd": 123_456_789,
            "ms_to_first_byte": 10,
            "longest_gap_ms": 4,
            "ended_at": 1_795_000_000.263,
            "summed": False,
        }
    }


ANY_TEXT = st.text(st.characters(exclude_categories=()), max_size=20)
HOSTILE = st.builds(
    make_record,
    model=st.none() | ANY_TEXT | st.just("\0") | st.just("m" * 100_000),
    route=ANY_TEXT,
    reason=st.none() | ANY_TEXT,
    stop_reason=st.none() | ANY_TEXT,
    account=st.none() | ANY_TEXT,
    upstream_request_id=st.none() | ANY_TEXT,
    usage=st.none()
    | st.dictionaries(
        st.sampled_from(["input_tokens", "output_tokens", "cache_read_input_tokens"]),
        st.integers() | st.sampled_from([2**63 - 1, 2**63, True, "7", None, 1.5, [], float("nan")]),
    ),
    attempts=st.lists(st.builds(AttemptRecord, ANY_TEXT, st.none() | ANY_TEXT), max_size=3),
    switch=st.none() | st.builds(SwitchRecord, ANY_TEXT, ANY_TEXT, st.integers(), st.none() | st.floats()),
    notes=st.lists(ANY_TEXT, max_size=3).map(tuple),
)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(record=HOSTILE)
async def test_no_value_of_a_record_keeps_it_from_the_database_or_the_spool(
    database: Database, record: RequestRecord
) -> None:
    row = RequestRow.of(record)
    assert repr(RequestRow.from_line(row.to_line())) == repr(row)
    await RequestStore(database).insert([row.columns()])


async def test_records_that_wait_together_are_one_transaction(database: Database) -> None:
    commits: list[Any] = []
    assert database._engine is not None
    if database.is_postgres:
        event.listen(database._engine.sync_engine, "commit", commits.append)
    else:
        await database.write_to_sqlite(
            lambda connection: connection.set_trace_callback(
                lambda statement: commits.append(statement) if statement == "COMMIT" else None
            )
        )
        commits.clear()
    async with writing(database, patience_seconds=20) as writer:
        await settle_all(writer, map(make_record, range(200)))
        # The first to come goes alone, all that come meanwhile together.
        assert 1 <= len(commits) <= 2
        assert len(await stored(database)) == 200


async def test_a_record_is_written_though_its_caller_has_been_cancelled(database: Database) -> None:
    async with writing(database) as writer, asyncio.TaskGroup() as tasks:
        task = tasks.create_task(writer.settle(make_record()))
        await asyncio.sleep(0)
        task.cancel()
    assert list(await stored(database)) == ["req_0"]


async def test_a_record_that_is_settled_twice_is_one_row(database: Database) -> None:
    async with writing(database) as writer:
        await settle_all(writer, [make_record(), make_record(), make_record(1)])
        await writer.settle(make_record(status=500))
    rows = await stored(database)
    assert (len(rows), rows["req_0"]["status"]) == (2, 200)


async def test_while_another_process_locks_the_database_records_are_in_the_spool_and_then_in_the_database(
    tmp_path: Path,
) -> None:
    async with Database("", tmp_path) as database, writing(database, patience_seconds=IMPATIENT) as writer:
        async with locked(database):
            await settle_all(writer, map(make_record, range(20)))
            assert sorted(spooled(tmp_path / "spool")) == sorted(f"req_{number}" for number in range(20))
            assert await stored(database) == {}
            await writer.settle(make_record(20))
            assert writer.counts.spooled == 21
        await until(lambda: not spooled(tmp_path / "spool"))
        assert len(await stored(database)) == 21
        await until(lambda: not writer.is_away)
        await writer.settle(make_record(21))
        assert writer.counts.written == 1
        assert len(await stored(database)) == 22
    assert not list((tmp_path / "spool").iterdir())
    assert len(logged("the database does not take records; they go into the spool")) == 1
    assert len(logged("the database takes records again")) == 1


async def test_a_ledger_that_ends_while_the_database_is_locked_leaves_its_records_to_the_next(
    tmp_path: Path,
) -> None:
    async with (
        Database("", tmp_path) as database,
        writing(database, patience_seconds=IMPATIENT) as writer,
        locked(database),
        asyncio.TaskGroup() as tasks,
    ):
        for number in range(20):
            tasks.create_task(writer.settle(make_record(number)))
        await asyncio.sleep(0)
        writer.close()
    assert len(spooled(tmp_path / "spool")) == 20
    async with Database("", tmp_path) as database, writing(database) as writer:
        await until(lambda: writer.counts.replayed == 20)
        assert len(await stored(database)) == 20


async def test_a_ledger_that_is_cancelled_puts_away_what_it_has(tmp_path: Path) -> None:
    async with Database("", tmp_path) as database:
        async with (
            writing(database, patience_seconds=20) as writer,
            asyncio.TaskGroup() as tasks,
            locked(database),
        ):
            for number in range(3):
                tasks.create_task(writer.settle(make_record(number)))
            await until(lambda: writer._under_way is not None)
            for number in range(3, 6):
                tasks.create_task(writer.settle(make_record(number)))
            await asyncio.sleep(0)
            (run,) = (task for task in asyncio.all_tasks() if task.get_name() == "ledger")
            run.cancel()
        assert len({*spooled(tmp_path / "spool"), *await stored(database)}) == 6


async def test_what_is_settled_after_the_end_is_logged_as_lost(tmp_path: Path) -> None:
    async with Database("", tmp_path) as database:
        async with writing(database) as writer:
            pass
        await writer.settle(make_record())
    assert writer.counts.lost == 1
    assert logged("the record of a request was lost")[0]["request_id"] == "req_0"


async def test_past_the_limit_of_the_spool_records_are_logged_as_lost_and_nobody_waits(tmp_path: Path) -> None:
    room = 5 * (len(RequestRow.of(make_record(10)).to_line()) + 1)
    async with (
        Database("", tmp_path) as database,
        writing(database, limit_bytes=room + 20, patience_seconds=IMPATIENT) as writer,
    ):
        async with locked(database):
            for number in range(10, 20):
                await writer.settle(make_record(number))
            assert (writer.counts.spooled, writer.counts.lost) == (5, 5)
        await until(lambda: writer.counts.replayed == 5)
        assert sorted(await stored(database)) == [f"req_{number}" for number in range(10, 15)]
    lost = logged("the record of a request was lost")
    assert [line["request_id"] for line in lost] == [f"req_{number}" for number in range(15, 20)]
    assert {line["level"] for line in lost} == {"error"}


async def test_a_spool_that_cannot_be_written_costs_records_only_while_the_database_is_away(
    tmp_path: Path,
) -> None:
    (tmp_path / "spool").write_bytes(b"")
    async with Database("", tmp_path) as database, writing(database, patience_seconds=IMPATIENT) as writer:
        await writer.settle(make_record())
        async with locked(database):
            await writer.settle(make_record(1))
            assert logged("the record of a request was lost")[0]["problem"] == "File exists"
        await until(lambda: not writer.is_away)
        await writer.settle(make_record(2))
        assert {"req_0", "req_2"} <= set(await stored(database))


async def test_lines_that_no_database_takes_are_set_aside_and_hold_up_none_of_the_others(
    database: Database, tmp_path: Path
) -> None:
    rows = [RequestRow.of(make_record(number)).to_line() for number in range(4)]
    poison = rows[1].replace(b'"events":0', b'"events":%d' % 2**70)
    assert poison != rows[1]
    (tmp_path / "spool").mkdir()
    (tmp_path / "spool" / "requests-0.jsonl").write_bytes(
        b"\n".join([rows[0], poison, b'{"id":', b'{"id":"torn and mended"}', rows[2], b"", rows[3][:50]])
    )
    (tmp_path / "spool" / "requests-1.jsonl").write_bytes(poison + b"\n")
    (tmp_path / "spool" / "requests-2.jsonl").write_bytes(rows[3] + b"\n")
    async with writing(database) as writer:
        await until(lambda: sorted(path.name for path in (tmp_path / "spool").iterdir()) == ["refused.jsonl"])
        assert (writer.counts.replayed, writer.counts.refused, writer.counts.lost) == (3, 4, 0)
        assert writer.is_away is False
        assert sorted(await stored(database)) == ["req_0", "req_2", "req_3"]
    assert (tmp_path / "spool" / "refused.jsonl").read_bytes().count(poison) == 2
    assert sum(line["set_aside"] for line in logged("records in the spool cannot be written to the database")) == 4


async def test_a_table_that_is_missing_sets_nothing_aside_and_when_it_is_there_again_so_are_the_records(
    database: Database,
) -> None:
    async with writing(database) as writer:
        async with database.write() as connection:
            await connection.execute(text("ALTER TABLE requests RENAME TO gone"))
        await settle_all(writer, map(make_record, range(3)))
        await writer.settle(make_record(3))
        assert writer.counts.spooled == 4
        async with database.write() as connection:
            await connection.execute(text("ALTER TABLE gone RENAME TO requests"))
        await until(lambda: writer.counts.replayed == 4)
        assert len(await stored(database)) == 4
    assert (writer.counts.refused, writer.counts.lost) == (0, 0)


async def test_a_table_that_comes_and_goes_while_the_spool_is_written_sets_nothing_aside(
    database: Database,
) -> None:
    async with writing(database) as writer:
        for turn in range(20):
            async with database.write() as connection:
                await connection.execute(text("ALTER TABLE requests RENAME TO gone"))
            await settle_all(writer, map(make_record, range(20 * turn, 20 * turn + 20)))
            # At another moment of what the writer tries in each turn.
            await asyncio.sleep(0.002 * turn)
            async with database.write() as connection:
                await connection.execute(text("ALTER TABLE gone RENAME TO requests"))
        await until(lambda: not list((database.data_dir / "spool").glob("requests-*")))
        assert len(await stored(database)) == 400
    assert (writer.counts.refused, writer.counts.lost) == (0, 0)


async def test_a_database_without_room_is_one_that_is_away_until_there_is_room(tmp_path: Path) -> None:
    async with Database("", tmp_path) as database, writing(database) as writer:
        # No more pages than it has: SQLite then says that the disk is full.
        await set_pages(database, 1)
        number = 0
        while not writer.is_away:
            await writer.settle(make_record(number, reason="x" * 1000))
            number += 1
        for more in range(number, number + 20):
            await writer.settle(make_record(more))
        assert writer.counts.lost == 0
        assert len({*spooled(tmp_path / "spool"), *await stored(database)}) == number + 20
        await set_pages(database, 2**30)
        await until(lambda: not spooled(tmp_path / "spool"))
        assert len(await stored(database)) == number + 20
    told = logged("the database does not take records; they go into the spool")
    assert all("the disk is full" in line["problem"] for line in told)


async def test_a_full_disk_is_told_once_and_its_end_only_when_a_record_is_in_the_database_again(
    tmp_path: Path,
) -> None:
    # The disk of the spool is the same one, and is full too.
    async with Database("", tmp_path) as database, writing(database, limit_bytes=10) as writer:
        await set_pages(database, 1)
        number = 0
        while not writer.is_away:
            await writer.settle(make_record(number, reason="x" * 1000))
            number += 1
        for more in range(number, number + 10):
            # Everything works that takes no room.
            await until(lambda: writer._may_be_back)
            await writer.settle(make_record(more, reason="x" * 1000))
            assert writer.is_away
        assert writer.counts.lost == 11
        assert len(logged("the database does not take records; they go into the spool")) == 1
        assert logged("the database takes records again") == []
        assert list((tmp_path / "spool").glob("*")) == []
        await set_pages(database, 2**30)
        await until(lambda: writer._may_be_back)
        await writer.settle(make_record(number + 10))
        assert f"req_{number + 10}" in await stored(database)
        assert not writer.is_away
    assert len(logged("the database takes records again")) == 1


async def set_pages(database: Database, count: int) -> None:
    # Each connection has a limit of its own; this is the one that records are written with.
    await database.write_to_sqlite(lambda connection: connection.execute(f"PRAGMA max_page_count = {count}"))


async def test_a_spool_of_another_version_is_read(database: Database, tmp_path: Path) -> None:
    (tmp_path / "spool").mkdir()
    (tmp_path / "spool" / "requests-0.jsonl").write_bytes(
        b'{"id":"req_0","at":1,"route":"POST /claude/v1/messages","of_the_future":[1]}\n'
    )
    async with writing(database) as writer:
        await until(lambda: writer.counts.replayed)
        assert (await stored(database))["req_0"]["model"] is None


async def test_a_gateways_ledger_lies_in_its_data_directory_and_ends_with_it(tmp_path: Path) -> None:
    settings_ = Settings(data_dir=str(tmp_path), limits=Limits(spool_bytes=5000))
    async with Database.of(settings_) as database, asyncio.TaskGroup() as tasks:
        async with open_ledger(database, settings_, tasks) as ledger:
            ledger.patience_seconds = 0.1
            async with locked(database):
                await ledger.settle(make_record())
                assert spooled(tmp_path / "spool") == ["req_0"]
        assert [task for task in asyncio.all_tasks() if task.get_name().startswith("ledger")] == []


def test_a_row_has_the_columns_of_the_table() -> None:
    assert set(RequestRow.of(make_record()).columns()) == set(requests.c.keys()) - {"summed"}
