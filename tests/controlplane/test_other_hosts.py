"""A database that hosts share: what ended on any of them is told of by way of it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from datetime import UTC, datetime
from pathlib import Path

import pytest

from gateway.ledger.record import RequestRecord
from gateway.ledger.row import RequestRow
from gateway.store.engine import Database
from gateway.store.request_following import Follower
from gateway.store.request_queries import RequestFilter, RequestQueries
from gateway.store.requests import RequestStore
from tests.controlplane.feed_reader import watching
from tests.dashboard.site import gateway_site
from tests.ledger.writing import make_record
from tests.postgres import Postgres


@pytest.fixture
async def database(database_url: str, tmp_path: Path) -> AsyncIterator[Database]:
    async with Database(database_url, tmp_path) as opened:
        yield opened


async def put(database: Database, records: Sequence[RequestRecord]) -> None:
    await RequestStore(database).insert([RequestRow.of(record).columns() for record in records])


async def test_requests_are_told_of_from_the_database_that_hosts_share(postgres: Postgres) -> None:
    url = await asyncio.to_thread(postgres.create_database)
    async with gateway_site(traffic=False, database_url=url) as site:
        before = await site.stream()
        await site.settled()
        async with watching(site.url, site.token, "?topics=request,health") as reader:
            health = await reader.until("health")
            assert (health["database"], health["database_answers"]) == ("postgresql", True)
            answer = await site.stream()
            told = await reader.until("request")
            assert told["id"] in {answer.header("x-gateway-request-id"), before.header("x-gateway-request-id")}


async def test_all_that_ended_is_found_however_many_and_however_long_they_took(database: Database) -> None:
    follower = Follower(RequestQueries(database), RequestFilter())
    now = datetime.now(UTC).timestamp()
    await put(database, [make_record(0, at=now - 10, milliseconds=5_000)])
    assert await follower.look(only_count=True) == []
    assert await follower.look() == []
    lasting = make_record(1, at=now - 7000, milliseconds=6_990_000)
    await put(
        database, [*(make_record(number, at=now - 3, milliseconds=20) for number in range(2, 5002)), lasting]
    )
    assert {row.id for row in await follower.look()} == {f"req_{number}" for number in range(1, 5002)}
    # Most looks go back no further than records usually are late; every tenth finds those that are later.
    await put(database, [make_record(5002, at=now - 100, milliseconds=10)])
    late = [row.id for _ in range(10) for row in await follower.look()]
    assert (late, follower.left_out) == (["req_5002"], False)


async def test_after_the_database_was_away_nothing_old_is_told_as_new(postgres: Postgres) -> None:
    url = await asyncio.to_thread(postgres.create_database)
    async with gateway_site(traffic=False, database_url=url) as site:
        await site.stream()
        await site.settled()
        async with watching(site.url, site.token, "?topics=request,health") as reader:
            await reader.until("health", lambda health: health["database_answers"])
            await asyncio.to_thread(postgres.stop)
            try:
                await reader.until("health", lambda health: not health["database_answers"])
            finally:
                await asyncio.to_thread(postgres.start)
            while (event := await reader.next()).topic != "reset":
                assert event.topic == "health"
            newest = (await site.stream()).header("x-gateway-request-id")
            assert (await reader.until("request"))["id"] == newest
