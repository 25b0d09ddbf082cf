"""Clients that leave: the upstream is told at once, there is one record, and nothing is left behind."""

from __future__ import annotations

import asyncio
import gc
from collections import Counter
from typing import Final

import aiohttp
import pytest
from attrs import define, evolve, field

from gateway.dataplane.connections import ClientConnection
from gateway.dataplane.messages import _Life
from gateway.dataplane.relay import BodyRelay, StreamRelay
from gateway.ledger.record import RequestRecord
from gateway.replay.server import ReplayUpstream
from sse_fsm import StreamGuard
from tests.account_path.harness import NewAccount, pooled
from tests.contract.harness import MESSAGES, Served, serving
from tests.faults.scripted import OPENING, STREAM_HEAD, Exchange, ScriptedUpstream, chunk, json_head
from tests.faults.waiting import until
from tests.replay.raw_client import LIMIT, RawConnection, message

ACCOUNTS: Final = [NewAccount(name) for name in ("first", "second", "third")]
CLIENTS: Final = 2000
BATCH: Final = 200
KINDS: Final = (ClientConnection, _Life, StreamRelay, BodyRelay, StreamGuard, aiohttp.ClientResponse)


async def ask_and_wait(served: Served, connection: RawConnection, fault: str) -> None:
    """Ask for a stream that falls silent, and return once it is as far as it gets."""
    headers = [("x-replay-fault", fault)]
    await connection.send(MESSAGES, message(stream=True), headers=headers, usual=served.usual)
    if fault == "hang:event=4":
        await connection.until(b"content_block_delta")


def alive() -> dict[str, int]:
    """Count what a request is made of."""
    gc.collect()
    found = Counter(type(thing) for thing in gc.get_objects() if type(thing) in KINDS)
    return {kind.__name__: found[kind] for kind in KINDS}


@pytest.mark.parametrize("fault", ["hang:head", "hang:event=1", "hang:event=4"])
async def test_a_client_that_leaves_ends_the_upstream_request_and_is_recorded_once(fault: str) -> None:
    async with ReplayUpstream() as upstream, pooled(*ACCOUNTS[:2], upstream=upstream) as served:
        async with served.connect() as connection:
            await ask_and_wait(served, connection, fault)
            await served.upstream.wait_for(lambda: served.upstream.open_streams == 1)
        await served.upstream.wait_for(lambda: served.upstream.requests[0].finished == "client_gone")
        await until(lambda: served.ledger.records)
        (record,) = served.ledger.records
        assert record.outcome == "cancelled"
        assert record.status == (200 if fault == "hang:event=4" else 499)
        assert [attempt.fault for attempt in record.attempts] == [None]
        assert len(served.upstream.requests) == 1
        await served.assert_serves()


async def test_a_client_that_leaves_while_another_account_is_tried_stops_the_attempts() -> None:
    async with ReplayUpstream() as upstream, pooled(*ACCOUNTS, upstream=upstream) as served:
        served.upstream.faults.push("status:529")
        served.upstream.faults.push("hang:head")
        async with served.connect() as connection:
            await connection.send(MESSAGES, message(stream=True), usual=served.usual)
            await served.upstream.wait_for(lambda: len(served.upstream.requests) == 2)
        await until(lambda: served.ledger.records)
        (record,) = served.ledger.records
        assert record.outcome == "cancelled"
        assert len({attempt.account for attempt in record.attempts}) == 2
        assert [attempt.fault for attempt in record.attempts] == ["overload", None]
        assert len(served.upstream.requests) == 2


@define
class SlowLedger:
    """Takes a record, and then its time."""

    records: list[RequestRecord] = field(factory=list)
    begun: asyncio.Event = field(factory=asyncio.Event)

    async def settle(self, record: RequestRecord) -> None:
        self.records.append(evolve(record))
        self.begun.set()
        await asyncio.Event().wait()


async def test_a_client_that_leaves_during_the_last_event_has_one_record_of_a_complete_answer() -> None:
    async with serving() as served:
        ledger = served.gateway.data_plane.messages.settlement.ledger = SlowLedger()
        async with served.connect() as connection:
            await connection.send(MESSAGES, message(stream=True), usual=served.usual)
            async with asyncio.timeout(LIMIT):
                await ledger.begun.wait()
        await served.upstream.wait_for(lambda: not served.upstream.open_streams)
        await until(lambda: not served.gateway.data_plane.messages.relays)
        assert [record.outcome for record in ledger.records] == ["complete"]


async def test_a_client_that_leaves_in_the_middle_of_a_request_body_reaches_no_upstream() -> None:
    async with serving() as served:
        async with served.connect() as connection:
            head = f"POST {MESSAGES} HTTP/1.1\r\nHost: g\r\nx-api-key: {served.key}\r\nContent-Length: 100\r\n\r\n"
            connection.writer.write(head.encode() + b'{"model":')
            await connection.writer.drain()
        await until(lambda: served.ledger.records)
        (record,) = served.ledger.records
        assert record.outcome == "cancelled"
        assert served.upstream.requests == []


@pytest.mark.parametrize("how", ["stream", "held-body", "large-body"])
async def test_a_client_that_leaves_while_bytes_flow_is_recorded_once(how: str) -> None:
    """Whether the gateway learns of it by a failed write or by the connection's end makes no difference."""
    gone = asyncio.Event()

    async def flood(exchange: Exchange) -> None:
        if how == "stream":
            await exchange.send(STREAM_HEAD, chunk(OPENING))
        else:
            await exchange.send(json_head(10**9))
        try:
            while True:
                piece = b": comment\n\n" * 5000
                await exchange.send(chunk(piece) if how == "stream" else piece)
        except ConnectionError:
            gone.set()

    limits = {"held_body_bytes": 10**9 if how == "held-body" else 100_000}
    async with (
        ScriptedUpstream(flood) as upstream,
        serving(anthropic_base_url=upstream.url, limits=limits) as served,
    ):
        async with served.connect() as connection:
            await connection.send(MESSAGES, message(stream=how == "stream"), usual=served.usual)
            if how == "held-body":
                await until(lambda: upstream.exchanges)
            else:
                await connection.head()
                await connection.reader.readexactly(100_000)
            connection.writer.transport.abort()
        async with asyncio.timeout(LIMIT):
            await gone.wait()
        await until(lambda: served.ledger.records)
        assert [record.outcome for record in served.ledger.records] == ["cancelled"]
        assert len(upstream.exchanges) == 1


async def test_two_thousand_clients_that_leave_during_silence_leave_nothing_behind() -> None:
    async with serving() as served:
        data_plane = served.gateway.data_plane
        await served.assert_serves()
        tasks_before = len(asyncio.all_tasks())
        before = alive()

        async def leave(number: int, everyone_is_here: asyncio.Event) -> None:
            async with served.connect() as connection:
                await ask_and_wait(served, connection, ("hang:head", "hang:event=1", "hang:event=4")[number % 3])
                await everyone_is_here.wait()
                if number % 2:
                    connection.writer.transport.abort()

        for _ in range(0, CLIENTS, BATCH):
            everyone_is_here = asyncio.Event()
            async with asyncio.TaskGroup() as group:
                for number in range(BATCH):
                    group.create_task(leave(number, everyone_is_here))
                await served.upstream.wait_for(lambda: served.upstream.open_streams == BATCH)
                everyone_is_here.set()
            await served.upstream.wait_for(lambda: served.upstream.open_streams == 0)
            await until(lambda: len(served.ledger.records) == len(served.upstream.journal))

        assert Counter(r.finished for r in served.upstream.requests) == {"answered": 1, "client_gone": CLIENTS}
        outcomes = Counter(record.outcome for record in served.ledger.records)
        assert outcomes == {"complete": 1, "cancelled": CLIENTS}
        assert not data_plane.messages.relays
        assert not data_plane.messages.waiting
        assert data_plane._active == 0
        session = data_plane.messages.upstream._session
        assert session is not None
        assert isinstance(session.connector, aiohttp.TCPConnector)
        assert not session.connector._acquired
        assert len(asyncio.all_tasks()) <= tasks_before
        after = alive()
        # The last connection of all may still be on the stack of the loop.
        assert all(after[kind] <= before[kind] + 1 for kind in after), (before, after)
        await served.assert_serves()
