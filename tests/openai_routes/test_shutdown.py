"""At the end of the gateway what is under way below `/v1` may finish, and what is idle is closed."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack

from tests.contract.harness import serving
from tests.faults.scripted import Exchange, ScriptedUpstream
from tests.openai_routes.stage import connected, exactly, rest
from tests.openai_routes.test_websocket import SWITCHED, UPGRADE
from tests.replay.raw_client import LIMIT, message

GET = b"GET /v1/models HTTP/1.1\r\nHost: x\r\n\r\n"
BEGUN = b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhello"


async def test_an_answer_under_way_is_finished_and_an_idle_connection_closed() -> None:
    go_on = asyncio.Event()

    async def answer(exchange: Exchange) -> None:
        if exchange.target == b"/v1/models":
            await exchange.send(BEGUN)
            await go_on.wait()
            await exchange.send(b"hello")
        else:
            await exchange.send(BEGUN + b"hello")

    async with ScriptedUpstream(answer) as upstream, AsyncExitStack() as stack:
        served = await stack.enter_async_context(
            serving(openai_base_url=upstream.url, timeouts={"drain_seconds": LIMIT})
        )
        place = (served.gateway.host, served.gateway.port)
        async with (
            connected(place) as (idle, asks),
            connected(place) as (busy, writer),
            asyncio.TaskGroup() as tasks,
        ):
            asks.write(GET.replace(b"models", b"files"))
            assert await exactly(idle, len(BEGUN) + 5) == BEGUN + b"hello"
            writer.write(GET)
            assert await exactly(busy, len(BEGUN)) == BEGUN
            ending = tasks.create_task(stack.aclose())
            assert await rest(idle) == b""
            assert not ending.done()
            go_on.set()
            assert await rest(busy) == b"hello"


async def test_a_request_that_comes_while_others_are_waited_for_is_finished_too() -> None:
    first, second, claude = asyncio.Event(), asyncio.Event(), asyncio.Event()

    async def answer(exchange: Exchange) -> None:
        await exchange.send(BEGUN)
        await (first if exchange.target == b"/v1/models" else second).wait()
        await exchange.send(b"hello")

    async def think(exchange: Exchange) -> None:
        claude.set()
        await first.wait()
        await second_begun.wait()
        exchange.reset()

    second_begun = asyncio.Event()
    async with (
        ScriptedUpstream(answer) as upstream,
        ScriptedUpstream(think) as thinking,
        AsyncExitStack() as stack,
    ):
        served = await stack.enter_async_context(
            serving(
                openai_base_url=upstream.url,
                anthropic_base_url=thinking.url,
                timeouts={"drain_seconds": LIMIT},
            )
        )
        place = (served.gateway.host, served.gateway.port)
        async with (
            connected(place) as (busy, writer),
            connected(place) as (idle, later),
            asyncio.TaskGroup() as tasks,
        ):
            asked = tasks.create_task(served.ask(message()))
            await claude.wait()
            later.write(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n")
            await idle.readuntil(b"}")
            writer.write(GET)
            assert await exactly(busy, len(BEGUN)) == BEGUN
            ending = tasks.create_task(stack.aclose())
            first.set()
            assert await rest(busy) == b"hello"
            # Nothing is forwarded at this moment, and a request for Claude is still waited for.
            later.write(GET.replace(b"models", b"files"))
            assert await exactly(idle, len(BEGUN)) == BEGUN
            second_begun.set()
            assert (await asked).status >= 500
            await asyncio.wait([ending], timeout=0.5)
            assert not ending.done()
            second.set()
            assert await rest(idle) == b"hello"


async def test_what_does_not_finish_is_cut() -> None:
    async def hang(exchange: Exchange) -> None:
        await exchange.send(SWITCHED if b"Upgrade" in exchange.head else BEGUN)
        await exchange.gone()

    async with ScriptedUpstream(hang) as upstream, AsyncExitStack() as stack:
        served = await stack.enter_async_context(serving(openai_base_url=upstream.url))
        place = (served.gateway.host, served.gateway.port)
        async with connected(place) as (busy, writer), connected(place) as (tunnel, upgrade):
            writer.write(GET)
            upgrade.write(UPGRADE)
            assert await exactly(busy, len(BEGUN)) == BEGUN
            assert await exactly(tunnel, len(SWITCHED)) == SWITCHED
            await stack.aclose()
            assert await rest(busy) in (b"", None)
            assert await rest(tunnel) in (b"", None)
        async with asyncio.timeout(LIMIT):
            for exchange in upstream.exchanges:
                await exchange.gone()
