"""What the upstream or the client breaks off, the other side sees broken off: never an end that looks ordinary."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest

from tests.contract.harness import serving
from tests.faults.scripted import Exchange, ScriptedUpstream
from tests.openai_routes.stage import connected, exactly, rest, staged
from tests.replay.raw_client import LIMIT

REQUEST = b"POST /v1/chat/completions HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\n{}"
CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\nX-Sum: 1\r\n\r\n"
SIZED = b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhellohello"
UNFRAMED = b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\nhellohello"
HINT = b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n"
HINTED = HINT + SIZED


def passed(answer: bytes, size: int) -> int:
    """Return how much of an answer of which so much has come may have gone on: heads only whole."""
    heads = [len(HINT)] if answer.startswith(HINT) else []
    heads.append(answer.index(b"\r\n\r\n", sum(heads)) + 4)
    return size if size >= heads[-1] else max(end for end in (0, *heads) if end <= size)


@pytest.mark.parametrize("how", [Exchange.close, Exchange.reset], ids=["closed", "reset"])
@pytest.mark.parametrize("answer", [CHUNKED, SIZED, HINTED], ids=["chunked", "sized", "hinted"])
async def test_an_answer_that_is_cut_anywhere_arrives_as_far_as_it_came_and_no_further(
    answer: bytes, how: Callable[[Exchange], None]
) -> None:
    cuts = iter(range(len(answer)))
    taken = asyncio.Event()

    async def cut(exchange: Exchange) -> None:
        await exchange.send(answer[: next(cuts)])
        await taken.wait()
        how(exchange)

    async with ScriptedUpstream(cut) as upstream, serving(openai_base_url=upstream.url) as served:
        for size in range(len(answer)):
            taken.clear()
            async with connected((served.gateway.host, served.gateway.port)) as (reader, writer):
                writer.write(REQUEST)
                # A head goes on when it is whole, or when it is sure that it will not be.
                before = await exactly(reader, passed(answer, size))
                taken.set()
                after = await rest(reader)
                assert before + (after or b"") == answer[:size]


async def test_an_answer_that_ends_with_its_connection_is_reset_when_that_is_reset() -> None:
    passed = asyncio.Event()

    async def cut(exchange: Exchange) -> None:
        await exchange.send(UNFRAMED)
        await passed.wait()
        exchange.reset()

    async with (
        ScriptedUpstream(cut) as upstream,
        serving(openai_base_url=upstream.url) as served,
        connected((served.gateway.host, served.gateway.port)) as (reader, writer),
    ):
        writer.write(REQUEST)
        assert await exactly(reader, len(UNFRAMED)) == UNFRAMED
        passed.set()
        assert await rest(reader) is None


@pytest.mark.parametrize(
    "answered", [b"", CHUNKED[:30], CHUNKED[:52], UNFRAMED], ids=["nothing", "head", "body", "all"]
)
async def test_a_client_that_leaves_takes_its_upstream_request_along(answered: bytes) -> None:
    gone = asyncio.Event()

    async def answer(exchange: Exchange) -> None:
        await exchange.send(answered)
        await exchange.gone()
        gone.set()

    async with ScriptedUpstream(answer) as upstream, serving(openai_base_url=upstream.url) as served:
        async with connected((served.gateway.host, served.gateway.port)) as (reader, writer):
            writer.write(REQUEST)
            passed = answered if b"\r\n\r\n" in answered else b""
            assert await exactly(reader, len(passed)) == passed
        async with asyncio.timeout(LIMIT):
            await gone.wait()


async def test_an_upload_that_is_broken_off_is_broken_off_upstream() -> None:
    async with staged() as stage:
        for body in (b"Content-Length: 100\r\n\r\nhalf", b"Transfer-Encoding: chunked\r\n\r\n64\r\nhalf"):
            async with connected(stage.places["forwarded"]) as (_, writer):
                writer.write(b"POST /v1/files HTTP/1.1\r\nHost: x\r\n" + body)
                arrivals = len(stage.openai.arrivals)
                await stage.openai.wait_for(lambda seen=arrivals: len(stage.openai.arrivals) > seen)
            await stage.openai.wait_for(lambda: stage.last.ended == "client_gone")


async def test_an_upload_that_is_refused_early_brings_the_refusal() -> None:
    refusal = b"HTTP/1.1 413 Too Large\r\nConnection: close\r\nContent-Length: 3\r\n\r\nbig"

    async def refuse(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(refusal)
        writer.close()

    server = await asyncio.start_server(refuse, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    async with (
        server,
        serving(openai_base_url=f"http://127.0.0.1:{port}") as served,
        connected((served.gateway.host, served.gateway.port)) as (reader, writer),
    ):
        writer.write(b"POST /v1/files HTTP/1.1\r\nHost: x\r\nContent-Length: 1000000\r\n\r\n" + bytes(1000))
        answer = b""
        while len(answer) < len(refusal):
            writer.write(bytes(1000))
            answer += await exactly(reader, len(refusal))
        assert answer == refusal
        assert await rest(reader) in (b"", None)


async def test_a_client_that_reads_only_when_it_has_sent_everything_gets_an_early_refusal() -> None:
    refusal = b"HTTP/1.1 413 Too Large\r\nConnection: close\r\nContent-Length: 3\r\n\r\nbig"

    async def refuse(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(refusal)
        writer.write_eof()
        await reader.read()
        writer.close()

    server = await asyncio.start_server(refuse, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    pieces, pause = 26, 0.1
    async with (
        server,
        serving(openai_base_url=f"http://127.0.0.1:{port}") as served,
        connected((served.gateway.host, served.gateway.port)) as (reader, writer),
    ):
        writer.write(b"POST /v1/files HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n" % (1000 * pieces))
        for _ in range(pieces):
            # Longer in all than a client that has fallen silent is listened to.
            await asyncio.sleep(pause)
            writer.write(bytes(1000))
        assert await rest(reader) == refusal


async def test_an_idle_upstream_connection_that_closes_closes_the_clients() -> None:
    async def answer_once(exchange: Exchange) -> None:
        await exchange.send(SIZED)
        exchange.close()

    async with (
        ScriptedUpstream(answer_once) as upstream,
        serving(openai_base_url=upstream.url) as served,
        connected((served.gateway.host, served.gateway.port)) as (reader, writer),
    ):
        writer.write(REQUEST)
        assert await rest(reader) == SIZED


async def test_bytes_that_nobody_asked_for_reach_nobody() -> None:
    async def answer_twice(exchange: Exchange) -> None:
        await exchange.send(SIZED, b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nwrong")
        await exchange.gone()

    async with (
        ScriptedUpstream(answer_twice) as upstream,
        serving(openai_base_url=upstream.url) as served,
        connected((served.gateway.host, served.gateway.port)) as (reader, writer),
    ):
        writer.write(REQUEST)
        assert await rest(reader) == SIZED
