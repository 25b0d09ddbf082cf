"""What clients do to the process of a gateway: its event loop keeps turning and its memory stays."""

from __future__ import annotations

import asyncio
import base64
import logging
import math
import random
import sys
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Final

import pytest

from gateway.replay.server import ReplayUpstream
from tests.contract.harness import MESSAGES
from tests.faults.gateway_process import GatewayProcess, started
from tests.faults.waiting import until
from tests.replay.raw_client import message

_log = logging.getLogger(__name__)

STALL: Final = 40.0
"""Milliseconds of work at a stretch. The aim is 20; the rest is for slow machines."""
LARGE: Final = 20 * 2**20
CLIENTS: Final = 2000
BATCH: Final = 200
MOST_GROWTH: Final = 24 * 1024  # KiB, most of it pages of the database; aborted streams that stay cost 40 MiB


@asynccontextmanager
async def watched(upstream_url: str, **environ: str) -> AsyncGenerator[GatewayProcess]:
    """Start a gateway that can be asked about itself."""
    command = [sys.executable, "-m", "tests.faults.watched_gateway"]
    async with started(upstream_url, command, **environ) as running:
        await until(lambda: running.named("gateway is ready") or running.process.returncode is not None)
        assert running.process.returncode is None, running.errors
        yield running


async def ask(running: GatewayProcess, question: str) -> float:
    """Ask the gateway about itself."""
    assert running.process.stdin is not None
    seen = len(running.errors)
    running.process.stdin.write(f"{question}\n".encode())
    await until(lambda: len(running.errors) > seen)
    return float(running.errors[-1])


async def settled(running: GatewayProcess) -> None:
    """Wait until no request waits for its record to be written any more."""
    before = math.inf
    while (now := await ask(running, "tasks")) < before:
        before = now
        await asyncio.sleep(0.2)


def text_of(kind: str) -> str | list[dict[str, str]]:
    """Return content of about 20 MiB."""
    if kind == "document":
        return base64.b64encode(random.Random(1).randbytes(LARGE * 3 // 4)).decode()
    if kind == "prose":
        return 'He said: "no".\n' * (LARGE // 17)
    return [{"type": "text", "text": "many small blocks"}] * (LARGE // 55)


@pytest.mark.parametrize("kind", ["document", "prose", "blocks"])
async def test_a_request_body_of_20_mb_holds_nobody_up(kind: str) -> None:
    body = message(stream=True, messages=[{"role": "user", "content": text_of(kind)}])
    async with ReplayUpstream() as upstream, watched(upstream.url, DIAGNOSTICS="all") as running:
        assert (await running.ask()).status == 200
        gaps = []
        for _ in range(3):
            await ask(running, "gap")
            async with running.connect() as connection:
                await connection.send(MESSAGES, body, usual=running.usual)
                assert (await connection.receive()).status == 200
            gaps.append(await ask(running, "gap"))
        _log.info("%s: the loop worked for %s ms at a stretch", kind, gaps)
        # Where neighbours take the processor's cache away, even work takes longer.
        assert min(gaps) < STALL, gaps


async def test_two_thousand_clients_that_leave_during_silence_cost_no_memory() -> None:
    async with ReplayUpstream() as upstream, watched(upstream.url) as running:

        async def leave(number: int, everyone_is_here: asyncio.Event) -> None:
            async with running.connect() as connection:
                fault = ("hang:head", "hang:event=1", "hang:event=4")[number % 3]
                headers = [("x-replay-fault", fault)]
                await connection.send(MESSAGES, message(stream=True), headers=headers, usual=running.usual)
                await everyone_is_here.wait()
                connection.writer.transport.abort()

        async def batch() -> None:
            everyone_is_here = asyncio.Event()
            async with asyncio.TaskGroup() as group:
                for number in range(BATCH):
                    group.create_task(leave(number, everyone_is_here))
                await upstream.wait_for(lambda: upstream.open_streams == BATCH)
                everyone_is_here.set()
            await upstream.wait_for(lambda: upstream.open_streams == 0)

        await batch()  # buffers and caches have their size now
        await settled(running)
        tasks, objects, memory = [await ask(running, question) for question in ("tasks", "objects", "rss")]
        for _ in range(0, CLIENTS, BATCH):
            await batch()
        await settled(running)
        assert await ask(running, "tasks") <= tasks
        assert await ask(running, "objects") <= objects + 1
        grown = await ask(running, "rss") - memory
        _log.info("%d KiB more after %d clients, %d before", grown, CLIENTS, memory)
        assert grown < MOST_GROWTH
        assert (await running.ask()).status == 200
