"""Clients that leave, leave nothing behind."""

import asyncio
import gc

import pytest
from aiohttp.web_protocol import RequestHandler

from gateway.replay.server import ReplayUpstream
from tests.replay.raw_client import LIMIT, connected, message

CLIENTS = 200


@pytest.mark.parametrize("fault", ["hang:head", "hang:event=2", "drip:0.001", "pings:1000"])
async def test_clients_that_leave_during_silence_leave_no_task_and_no_connection(
    upstream: ReplayUpstream, fault: str
) -> None:
    before = asyncio.all_tasks()

    async def leave() -> None:
        async with connected(upstream) as connection:
            await connection.send(body=message(stream=True), headers=[("x-replay-fault", fault)])
            await everyone_is_here.wait()

    everyone_is_here = asyncio.Event()
    async with asyncio.TaskGroup() as group:
        for _ in range(CLIENTS):
            group.create_task(leave())
        await upstream.wait_for(lambda: upstream.open_streams == CLIENTS, LIMIT)
        everyone_is_here.set()
    await upstream.wait_for(
        lambda: sum(record.finished == "client_gone" for record in upstream.requests) == CLIENTS, LIMIT
    )
    assert upstream.open_streams == 0
    left = asyncio.all_tasks() - before
    if left:
        _, running = await asyncio.wait(left, timeout=LIMIT)
        assert not running
    del left
    gc.collect()
    handlers = [thing for thing in gc.get_objects() if type(thing) is RequestHandler]
    # The loop itself may still hold the very last one.
    assert len(handlers) <= 1


async def test_a_slow_reader_holds_the_answer_back_without_piling_it_up(upstream: ReplayUpstream) -> None:
    sized = [("x-replay-tokens", "5000"), ("x-replay-delta-bytes", "10000")]
    async with connected(upstream) as connection:
        await connection.send(body=message(stream=True, max_tokens=9000), headers=sized)
        await connection.head()
        assert upstream.requests[0].finished is None
    await upstream.wait_for(lambda: upstream.requests[0].finished == "client_gone", LIMIT)
