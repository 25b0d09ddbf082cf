"""Bodies of any size stream both ways in bounded memory, and many requests at once are all served."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable
from hashlib import sha256

import aiohttp
import psutil

from gateway.replay.openai_exchanges import recorded_exchanges
from tests.contract.harness import serving
from tests.faults.scripted import Exchange, ScriptedUpstream
from tests.openai_routes.stage import connected, exactly, staged
from tests.replay.raw_client import LIMIT

PIECE = bytes(range(256)) * 1024
MUCH = 200 * 2**20
BOUND = 32 * 2**20


async def test_an_upload_of_200_megabytes_is_never_held() -> None:
    process = psutil.Process()
    digest = sha256()

    async def pieces() -> AsyncGenerator[bytes]:
        for _ in range(MUCH // len(PIECE)):
            digest.update(PIECE)
            yield PIECE
            sizes.append(process.memory_info().rss)

    async with staged() as stage, aiohttp.ClientSession() as session:
        url = f"{stage.gateway.url}/v1/files"
        async with session.post(url, data=b"warm") as answer:
            assert answer.status == 200
        sizes = [process.memory_info().rss]
        async with session.post(url, data=pieces()) as answer:
            assert answer.status == 200
        assert stage.last.body_bytes == MUCH
        assert stage.last.body_sha256 == digest.hexdigest()
    assert max(sizes) - sizes[0] < BOUND


async def test_an_answer_of_200_megabytes_is_never_held() -> None:
    process = psutil.Process()

    async def answer(exchange: Exchange) -> None:
        await exchange.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
        for _ in range(MUCH // len(PIECE)):
            await exchange.send(b"%x\r\n%b\r\n" % (len(PIECE), PIECE))
        await exchange.send(b"0\r\n\r\n")

    async with (
        ScriptedUpstream(answer) as upstream,
        serving(openai_base_url=upstream.url) as served,
        aiohttp.ClientSession() as session,
    ):
        sizes = [process.memory_info().rss]
        got = 0
        async with session.get(f"{served.gateway.url}/v1/files/x/content") as response:
            async for piece in response.content.iter_any():
                got += len(piece)
                sizes.append(process.memory_info().rss)
    assert got == MUCH
    assert max(sizes) - sizes[0] < BOUND


async def test_a_client_that_does_not_read_stops_the_upstream() -> None:
    sent = 0

    async def answer(exchange: Exchange) -> None:
        nonlocal sent
        await exchange.send(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % MUCH)
        while sent < MUCH:
            await exchange.send(PIECE)
            sent += len(PIECE)

    async with (
        ScriptedUpstream(answer) as upstream,
        serving(openai_base_url=upstream.url) as served,
        connected((served.gateway.host, served.gateway.port), limit=2**16) as (reader, writer),
    ):
        writer.write(b"GET /v1/files/x/content HTTP/1.1\r\nHost: x\r\n\r\n")
        await _standing_still(lambda: sent)
        assert 0 < sent < BOUND
        assert len(await exactly(reader, MUCH // 2)) == MUCH // 2


async def test_an_upstream_that_does_not_read_stops_the_client() -> None:
    resume = asyncio.Event()
    got = 0

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal got
        await reader.readuntil(b"\r\n\r\n")
        await resume.wait()
        while got < BOUND * 2:
            got += len(await reader.read(2**20))
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
        writer.close()

    async with await asyncio.start_server(serve, "127.0.0.1", 0) as upstream:
        port = upstream.sockets[0].getsockname()[1]
        async with (
            serving(openai_base_url=f"http://127.0.0.1:{port}") as served,
            connected((served.gateway.host, served.gateway.port)) as (reader, writer),
            asyncio.TaskGroup() as tasks,
        ):
            sent = 0

            async def upload() -> None:
                nonlocal sent
                writer.write(b"POST /v1/files HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n" % (BOUND * 2))
                while sent < BOUND * 2:
                    writer.write(PIECE)
                    await writer.drain()
                    sent += len(PIECE)

            tasks.create_task(upload())
            await _standing_still(lambda: sent)
            assert sent < BOUND
            resume.set()
            assert (await exactly(reader, 40)).endswith(b"ok")


async def test_a_thousand_requests_at_once_are_all_answered() -> None:
    exchange = next(exchange for exchange in recorded_exchanges() if exchange.name == "chat")
    request, expected = exchange.request("x"), exchange.answer()

    async def ask(place: tuple[str, int]) -> None:
        async with connected(place) as (reader, writer):
            writer.write(request)
            assert await exactly(reader, len(expected)) == expected

    async with staged() as stage, asyncio.TaskGroup() as tasks:
        for _ in range(1000):
            tasks.create_task(ask(stage.places["forwarded"]))
    assert len(stage.openai.arrivals) == 1000


async def _standing_still(count: Callable[[], int]) -> None:
    """Return once a number that grows has stopped to."""
    async with asyncio.timeout(LIMIT):
        seen, still = -1, 0
        while still < 20:
            await asyncio.sleep(0.01)
            still = still + 1 if count() == seen and seen > 0 else 0
            seen = count()
