"""Requests are added up once each, and forgotten after a while; what they add up to stays."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence
from contextlib import AsyncExitStack
from datetime import UTC, datetime, timedelta, tzinfo
from pathlib import Path
from typing import Any, Self

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import event

from gateway.config import Retention
from gateway.ledger.record import RequestRecord, SwitchRecord
from gateway.ledger.row import RequestRow
from gateway.ledger.totals import SPANS, SUMS, bucket_of, percentile
from gateway.ledger.upkeep import Upkeep
from gateway.pricing.cost import Cost
from gateway.pricing.usage import Usage
from gateway.store.engine import Database
from gateway.store.request_queries import RequestFilter, RequestQueries, TotalsFilter
from gateway.store.request_totals import CostChange, RequestTotals
from gateway.store.requests import RequestStore
from tests.ledger.writing import make_record
from tests.log_watch import recent_events

START = 1_795_000_000.0
LATER = START + 10 * 86400
DAY = 86400.0


def priced(number: int, **changes: Any) -> RequestRecord:
    return make_record(
        number,
        **{
            "at": START + number,
            "counts": Usage(input_tokens=10, output_tokens=5, cache_read_tokens=3, cache_write_tokens=2),
            "cost": Cost(nanousd=1000),
            "model_served": "claude-opus-5-5",
            "stop_reason": "end_turn",
            "milliseconds": 2000,
            "milliseconds_to_content": 500,
            **changes,
        },
    )


async def put(database: Database, records: Sequence[RequestRecord]) -> None:
    rows = [RequestRow.of(record) for record in records]
    timelines = [timeline for row in rows if (timeline := row.timeline_columns()) is not None]
    await RequestStore(database).insert([row.columns() for row in rows], timelines)


async def sum_up(database: Database) -> int:
    totals = RequestTotals(database)
    number = 0
    while step := await totals.sum_up(100):
        number += step
    return number


async def total(database: Database, span: int = 86400, **wanted: Any) -> dict[str, int]:
    rows = await RequestQueries(database).totals(span, 0, LATER, wanted=TotalsFilter(**wanted))
    assert len(rows) == 1
    return rows[0]


async def test_every_request_is_in_the_sums_of_each_span_once(database: Database) -> None:
    await put(database, [priced(number) for number in range(250)])
    assert await sum_up(database) == 250
    assert await sum_up(database) == 0
    for span in SPANS:
        sums = await total(database, span)
        assert sums["requests"] == 250
        assert sums["cost_nanousd"] == 250_000
        assert (sums["input_tokens"], sums["output_tokens"]) == (2500, 1250)
        assert (sums["cache_read_tokens"], sums["cache_write_5m_tokens"]) == (750, 500)
        latencies = await RequestQueries(database).latencies("first_content", span, 0, LATER)
        assert latencies == {(): {bucket_of(500): 250}}


async def test_processes_that_add_up_at_the_same_time_add_each_request_once(
    database_url: str, tmp_path: Path
) -> None:
    async with (
        Database(database_url, tmp_path) as one,
        Database(database_url, tmp_path) as two,
        Database(database_url, tmp_path) as three,
    ):
        await put(one, [priced(number) for number in range(600)])

        async def work(database: Database) -> None:
            while await unsummed(database):
                await RequestTotals(database).sum_up(20)

        async with asyncio.TaskGroup() as tasks:
            for database in (one, two, three):
                tasks.create_task(work(database))
        assert (await total(one))["requests"] == 600


async def test_costs_that_change_while_requests_are_added_up_are_in_the_sums(
    database_url: str, tmp_path: Path
) -> None:
    async with Database(database_url, tmp_path) as one, Database(database_url, tmp_path) as two:
        unknown = Cost(nanousd=None, note="unknown model")
        await put(one, [priced(number, cost=unknown) for number in range(1000)])

        async def recost() -> None:
            for start in range(0, 1000, 100):
                changes = [CostChange(f"req_{number}", 7, None) for number in range(start, start + 100)]
                await RequestTotals(two).recost(changes)

        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(sum_up(one))
            tasks.create_task(recost())
        await sum_up(one)
        sums = await total(one)
        assert (sums["requests"], sums["unpriced"], sums["cost_nanousd"]) == (1000, 0, 7000)


async def test_requests_that_are_in_no_sum_are_found_without_a_look_at_all(database: Database) -> None:
    asked: list[tuple[str, Any]] = []

    def note(_: Any, __: Any, statement: str, parameters: Any, *___: Any) -> None:
        if statement.startswith("SELECT") and "summed = false" in statement:
            asked.append((statement, parameters))

    await put(database, [priced(number) for number in range(3)])
    assert database._engine is not None
    event.listen(database._engine.sync_engine, "before_cursor_execute", note)
    if not database.is_postgres:
        # There the second one goes by a connection of its own.
        await database.write_to_sqlite(
            lambda connection: connection.set_trace_callback(lambda statement: note(0, 0, statement, ()))
        )
    assert await RequestTotals(database).sum_up(2) == 2
    event.remove(database._engine.sync_engine, "before_cursor_execute", note)
    assert len(asked) == 2
    async with database.read() as connection:
        driver: Any = (await connection.get_raw_connection()).driver_connection
        for statement, parameters in asked:
            if database.is_postgres:
                await driver.execute("SET enable_seqscan = off")
                plan = [row[0] for row in await driver.fetch(f"EXPLAIN {statement}", *parameters)]
            else:
                cursor = await driver.execute(f"EXPLAIN QUERY PLAN {statement}", parameters)
                plan = [row[3] for row in await cursor.fetchall()]
            assert any("ix_requests_unsummed" in line for line in plan), plan


async def test_a_row_that_holds_nonsense_keeps_no_other_from_being_summed_and_deleted(database: Database) -> None:
    await put(database, [priced(number) for number in range(5)])
    await put(database, [priced(5, at=1e300), priced(6, at=-1e300)])
    await put(database, [priced(number, cost=Cost(nanousd=2**63 - 1)) for number in (7, 8)])
    assert await sum_up(database) == 9
    assert await sum_up(database) == 0
    assert (await total(database))["requests"] == 5
    assert await RequestTotals(database).recost([CostChange(f"req_{number}", 7, None) for number in (4, 5)]) == 2
    assert (await total(database))["cost_nanousd"] == 4007
    assert await RequestTotals(database).delete_before(LATER, 100) == 8


async def unsummed(database: Database) -> bool:
    async with database.read() as connection:
        result = await connection.exec_driver_sql("SELECT count(*) FROM requests WHERE summed = false")
        return bool(result.scalar_one())


async def test_what_is_summed_by_can_be_asked_for(database: Database) -> None:
    await put(
        database,
        [
            priced(0),
            priced(1, account="second", cost=Cost(nanousd=None, note="unknown model")),
            priced(2, outcome="truncated", cost=Cost(nanousd=10, note="partial", is_partial=True)),
            priced(3, model_served=None, model="anything a client thinks of"),
            priced(5, model_served=None, model="claude-of-somebodys-dreams", status=404, outcome="refused"),
            priced(4, switch=SwitchRecord("first", "overload", 1000, 0.5)),
        ],
    )
    await sum_up(database)
    assert (await total(database, account="second"))["unpriced"] == 1
    assert (await total(database, outcome="truncated"))["partial"] == 1
    assert (await total(database, model="(other)"))["requests"] == 2
    assert (await total(database))["switch_nanousd"] == 500_000_000
    by_outcome = await RequestQueries(database).totals(3600, 0, LATER, by=["outcome"])
    assert {row["outcome"]: row["requests"] for row in by_outcome} == {"complete": 4, "truncated": 1, "refused": 1}


async def test_another_price_changes_the_row_and_what_it_adds_to_the_sums(database: Database) -> None:
    await put(database, [priced(number, cost=Cost(nanousd=None, note="unknown model")) for number in range(3)])
    await sum_up(database)
    await put(database, [priced(3, cost=Cost(nanousd=None, note="unknown model"))])
    totals = RequestTotals(database)
    assert await totals.recost([CostChange(f"req_{number}", 7, None) for number in (0, 1, 3, 99)]) == 3
    assert (await total(database))["cost_nanousd"] == 14
    assert (await total(database))["unpriced"] == 1
    await sum_up(database)
    sums = await total(database)
    assert (sums["requests"], sums["cost_nanousd"], sums["unpriced"]) == (4, 21, 1)
    row = await RequestQueries(database).get("req_3")
    assert row is not None
    assert (row.cost_nanousd, row.cost_note) == (7, None)


async def test_old_requests_are_deleted_and_their_sums_stay(database: Database) -> None:
    now = datetime.now(UTC).timestamp()
    old, new = now - 91 * DAY, now - 89 * DAY
    await put(database, [priced(number, at=old, timeline=b"t") for number in range(450)])
    await put(database, [priced(number, at=new, timeline=b"t") for number in range(1000, 1003)])
    upkeep = Upkeep(RequestTotals(database), Retention(days=90, timeline_days=90), sum_seconds=0.01)
    # Nothing goes that is in no sum yet.
    await upkeep.tidy(asyncio.Event())
    assert upkeep.deleted == 0
    await sum_up(database)
    await upkeep.tidy(asyncio.Event())
    assert upkeep.deleted == 450
    (told,) = (line for line in recent_events() if "deleted" in line["event"])
    assert (told["event"], told["level"]) == ("old records of requests were deleted", "info")
    assert (told["rows"], told["days"]) == (450, 90)
    queries = RequestQueries(database)
    assert [row.id for row in (await queries.page(RequestFilter(), limit=10)).rows] == [
        "req_1002",
        "req_1001",
        "req_1000",
    ]
    assert await queries.timeline("req_1000") == b"t"
    assert await queries.timeline("req_1") is None
    (sums,) = await queries.totals(86400, 0, now)
    assert sums["requests"] == 453


async def test_when_there_is_too_much_the_oldest_go(database: Database) -> None:
    await put(database, [priced(number, reason="x" * 1000) for number in range(1500)])
    await sum_up(database)
    totals = RequestTotals(database)
    assert await totals.excess(10**9) == 0
    upkeep = Upkeep(totals, Retention(days=100_000, bytes=2 * 1024 * 1024))
    await upkeep.tidy(asyncio.Event())
    assert 0 < upkeep.deleted < 1500
    (told,) = (line for line in recent_events() if "deleted" in line["event"])
    assert "before their time" in told["event"]
    assert (told["level"], told["rows"], told["bytes"]) == ("warning", upkeep.deleted, 2 * 1024 * 1024)
    page = await RequestQueries(database).page(RequestFilter(), limit=2)
    assert page.rows[0].id == "req_1499"
    assert (await total(database))["requests"] == 1500
    # What was deleted is not deleted again, but for what the first estimate was short of.
    before = upkeep.deleted
    await upkeep.tidy(asyncio.Event())
    assert upkeep.deleted - before < before / 4


async def test_processes_that_delete_the_oldest_together_delete_no_more_than_one(
    database_url: str, tmp_path: Path
) -> None:
    async with AsyncExitStack() as opened:
        several = [await opened.enter_async_context(Database(database_url, tmp_path)) for _ in range(4)]
        await put(several[0], [priced(number, reason="x" * 1000) for number in range(1500)])
        await sum_up(several[0])
        retention = Retention(days=100_000, bytes=2 * 1024 * 1024)
        excess = await RequestTotals(several[0]).excess(retention.bytes)
        assert excess > 100
        async with asyncio.TaskGroup() as tasks:
            for database in several:
                tasks.create_task(Upkeep(RequestTotals(database), retention).tidy(asyncio.Event()))
        left = (await RequestQueries(several[0]).count(RequestFilter())).number
        # What was deleted leaves its pages one by one, so that one that begins later may find a little more.
        assert 1500 - 1.5 * excess < left <= 1500 - excess


async def test_a_host_whose_clock_is_years_ahead_deletes_nothing_early(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    await put(database, [priced(0, at=datetime.now(UTC).timestamp())])
    await sum_up(database)

    class Ahead(datetime):
        @classmethod
        def now(cls, tz: tzinfo | None = None) -> Self:
            return super().now(tz) + timedelta(days=1000)

    monkeypatch.setattr("gateway.ledger.upkeep.datetime", Ahead)
    await Upkeep(RequestTotals(database), Retention()).tidy(asyncio.Event())
    assert await RequestQueries(database).get("req_0") is not None


async def test_a_request_that_was_answered_by_the_model_it_asked_for_counts_once(database: Database) -> None:
    model = "claude-opus-5-5"
    await put(database, [priced(0), priced(1, model=None), priced(2, model_served=None), priced(3, model="other")])
    await put(database, [priced(4, model="other", model_served="other"), priced(5, model_served="other")])
    found = await RequestQueries(database).count(RequestFilter(model=model))
    assert (found.number, found.is_exact) == (5, True)
    assert len((await RequestQueries(database).page(RequestFilter(model=model), limit=9)).rows) == 5


async def test_timelines_go_before_their_requests(database: Database) -> None:
    now = datetime.now(UTC).timestamp()
    await put(database, [priced(0, at=now - 20 * DAY, timeline=b"old"), priced(1, at=now - DAY, timeline=b"new")])
    await sum_up(database)
    await Upkeep(RequestTotals(database), Retention()).tidy(asyncio.Event())
    queries = RequestQueries(database)
    assert await queries.timeline("req_0") is None
    assert await queries.get("req_0") is not None
    assert await queries.timeline("req_1") == b"new"


@given(st.lists(st.integers(0, 10_000_000), min_size=1, max_size=50), st.sampled_from([0.5, 0.95, 1.0]))
def test_a_percentile_is_at_most_a_twentieth_off(times: list[int], share: float) -> None:
    buckets: dict[int, int] = {}
    for ms in times:
        buckets[bucket_of(ms)] = buckets.get(bucket_of(ms), 0) + 1
    found = percentile(buckets, share)
    rank = max(0, -(-len(times) * int(share * 100) // 100) - 1)
    true = sorted(times)[rank]
    assert found is not None
    assert abs(found - true) <= true * 0.05 + 1


def test_no_requests_have_no_percentile() -> None:
    assert percentile({}, 0.5) is None


def test_the_sums_have_the_columns_of_the_table() -> None:
    assert json.dumps(SUMS).count('"') == 2 * 15
