"""The record keeps its bounds and can be waited on."""

import asyncio

import pytest

from gateway.replay.journal import Journal, ReceivedRequest
from gateway.replay.server import ReplayUpstream
from tests.replay.raw_client import ask, message


def request(body: bytes = b"") -> ReceivedRequest:
    return ReceivedRequest("POST", b"/v1/messages", [], 1, 0.0, body)


def test_the_oldest_records_go_first() -> None:
    journal = Journal(keep_requests=3)
    records = [request() for _ in range(5)]
    for record in records:
        journal.add(record)
    assert list(journal) == records[2:]


def test_large_bodies_push_out_old_records_but_never_the_newest() -> None:
    journal = Journal(keep_bytes=100)
    records = [request(b"x" * size) for size in (40, 40, 40, 500)]
    for record in records[:3]:
        journal.add(record)
    assert list(journal) == records[1:3]
    journal.add(records[3])
    assert list(journal) == records[3:]


def test_the_first_ending_stands() -> None:
    journal = Journal()
    record = request()
    journal.finish(record, "cut", 1.0)
    journal.finish(record, "answered", 2.0)
    assert (record.finished, record.finished_at, record.client_gone_at) == ("cut", 1.0, None)


async def test_waiting_ends_with_the_change_that_was_waited_for() -> None:
    journal = Journal()
    async with asyncio.TaskGroup() as group:
        group.create_task(journal.wait_for(lambda: len(journal) == 2, 10))
        group.create_task(journal.wait_for(lambda: journal.open_streams == 1, 10))
        await asyncio.sleep(0)
        journal.add(request())
        journal.add(request())
        with journal.stream_open():
            await asyncio.sleep(0)


async def test_waiting_in_vain_says_what_was_seen() -> None:
    journal = Journal()
    journal.add(request())
    with pytest.raises(TimeoutError, match=r"1 requests, last: \['POST /v1/messages open'\]"):
        await journal.wait_for(lambda: False, 0.001)


async def test_a_faulty_condition_fails_whoever_waits() -> None:
    journal = Journal()

    def condition() -> bool:
        return bool(len(journal) and 1 / 0)

    async def change() -> None:
        journal.add(request())

    waited, _ = await asyncio.gather(journal.wait_for(condition, 10), change(), return_exceptions=True)
    assert isinstance(waited, ZeroDivisionError)


async def test_a_server_keeps_as_many_requests_as_told() -> None:
    async with ReplayUpstream(keep_requests=2) as upstream:
        for model in ("a", "b", "c"):
            await ask(upstream, message(model=model))
        assert [record.model for record in upstream.requests] == ["b", "c"]
