"""A WebSocket below `/v1` is a tunnel: frames of any kind go through untouched, and so does its end."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator

import aiohttp
import pytest

from gateway.config import ClientAuth
from tests.contract.harness import serving
from tests.faults.scripted import Exchange, ScriptedUpstream
from tests.openai_routes.stage import KEY, Stage, connected, exactly, rest, staged
from tests.replay.raw_client import LIMIT

UPGRADE = (
    b"GET /v1/realtime?model=gpt-realtime HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n"
    b"Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits\r\n\r\n"
)
SWITCHED = (
    b"HTTP/1.1 101 Switching Protocols\r\nupgrade: WebSocket\r\nConnection: upgrade\r\n"
    b"sec-websocket-accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n"
)


@pytest.fixture
async def stage() -> AsyncGenerator[Stage]:
    async with staged() as running:
        yield running


@pytest.mark.parametrize("path", ["/v1/realtime?model=gpt-realtime", "/v1/responses"])
async def test_a_conversation_is_the_same_with_the_gateway_and_without(stage: Stage, path: str) -> None:
    heard = []
    async with aiohttp.ClientSession(headers={"authorization": f"Bearer {KEY}"}) as session:
        for host, port in stage.places.values():
            url = f"http://{host}:{port}{path}"
            async with session.ws_connect(url, protocols=("realtime",), compress=15, autoping=False) as socket:
                messages = [(await socket.receive()).data] if "realtime" in path else []
                await socket.send_str('{"type":"response.create"}')
                while not messages or "response.completed" not in messages[-1]:
                    messages.append((await socket.receive()).data)
                await socket.send_bytes(bytes(range(256)) * 400)
                messages.append((await socket.receive()).data)
                await socket.send_str("\N{GREEK SMALL LETTER GAMMA}" * 70_000)
                messages.append((await socket.receive()).data)
                await socket.ping(b"are you there")
                pong = await socket.receive()
                messages.append((pong.type, bytes(pong.data)))
                await socket.send_str("close 4001 enough of this")
                end = await socket.receive()
                heard.append((socket.protocol, socket.compress, messages, end.data, end.extra, socket.close_code))
    direct, forwarded = heard
    assert forwarded == direct
    assert forwarded[0] == "realtime"
    assert forwarded[1]
    assert forwarded[3:] == (4001, "enough of this", 4001)
    *_, first, second = stage.openai.arrivals
    assert first.credential == second.credential == f"Bearer {KEY}"
    assert first.messages == second.messages


async def test_any_bytes_go_through_both_ways_once_the_protocol_has_switched() -> None:
    async def talk(exchange: Exchange) -> None:
        await exchange.send(SWITCHED + b"at once")
        await exchange.send(b"heard " + await exchange.reader.readexactly(9))
        assert await exchange.reader.read() == b"GET / HTTP/1.1\r\n\r\n"
        await exchange.send(b"after its half is closed")
        exchange.close()

    async with (
        ScriptedUpstream(talk) as upstream,
        serving(openai_base_url=upstream.url) as served,
        connected((served.gateway.host, served.gateway.port)) as (reader, writer),
    ):
        # The client need not wait for the answer to its upgrade, and its first bytes must not get lost.
        writer.write(UPGRADE + b"\xff\x00no")
        assert await exactly(reader, len(SWITCHED) + 7) == SWITCHED + b"at once"
        writer.write(b"frame")
        assert await exactly(reader, 15) == b"heard \xff\x00noframe"
        writer.write(b"GET / HTTP/1.1\r\n\r\n")
        writer.write_eof()
        assert await rest(reader) == b"after its half is closed"


async def test_an_end_of_the_upstream_leaves_the_client_time_to_say_goodbye() -> None:
    goodbye: list[bytes] = []

    async def talk(exchange: Exchange) -> None:
        await exchange.send(SWITCHED)
        exchange.writer.write_eof()
        goodbye.append(await exchange.reader.read())
        exchange.close()

    async with (
        ScriptedUpstream(talk) as upstream,
        serving(openai_base_url=upstream.url) as served,
        connected((served.gateway.host, served.gateway.port)) as (reader, writer),
    ):
        writer.write(UPGRADE)
        assert await rest(reader) == SWITCHED
        writer.write(b"goodbye")
        writer.write_eof()
        async with asyncio.timeout(LIMIT):
            while not goodbye:  # noqa: ASYNC110 - the upstream's script tells in no other way
                await asyncio.sleep(0.005)
    assert goodbye == [b"goodbye"]


async def test_a_client_that_says_all_at_once_gets_its_answer() -> None:
    async def talk(exchange: Exchange) -> None:
        assert await exchange.reader.read() == b""
        await exchange.send(SWITCHED + b"all there is")
        exchange.close()

    async with (
        ScriptedUpstream(talk) as upstream,
        serving(openai_base_url=upstream.url) as served,
        connected((served.gateway.host, served.gateway.port)) as (reader, writer),
    ):
        writer.write(UPGRADE)
        writer.write_eof()
        assert await rest(reader) == SWITCHED + b"all there is"


async def test_a_reset_of_the_upstream_resets_the_client() -> None:
    heard = asyncio.Event()

    async def talk(exchange: Exchange) -> None:
        await exchange.send(SWITCHED)
        await heard.wait()
        exchange.reset()

    async with (
        ScriptedUpstream(talk) as upstream,
        serving(openai_base_url=upstream.url) as served,
        connected((served.gateway.host, served.gateway.port)) as (reader, writer),
    ):
        writer.write(UPGRADE)
        assert await exactly(reader, len(SWITCHED)) == SWITCHED
        heard.set()
        assert await rest(reader) is None


async def test_a_client_that_drops_its_websocket_drops_the_upstreams() -> None:
    gone = asyncio.Event()

    async def talk(exchange: Exchange) -> None:
        await exchange.send(SWITCHED)
        await exchange.gone()
        gone.set()

    async with ScriptedUpstream(talk) as upstream, serving(openai_base_url=upstream.url) as served:
        async with connected((served.gateway.host, served.gateway.port)) as (reader, writer):
            writer.write(UPGRADE)
            assert await exactly(reader, len(SWITCHED)) == SWITCHED
        async with asyncio.timeout(LIMIT):
            await gone.wait()


async def test_a_refused_upgrade_is_an_ordinary_answer_on_a_connection_that_goes_on(stage: Stage) -> None:
    async with connected(stage.places["forwarded"]) as (reader, writer):
        refused = UPGRADE.replace(b"/v1/realtime", b"/v1/elsewhere")
        for _ in range(2):
            writer.write(refused)
            assert (await reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 404 ")
            await reader.readuntil(b"}}")
    assert [arrival.lines[2] for arrival in stage.openai.arrivals] == [b"Upgrade: websocket"] * 2


@pytest.mark.parametrize("protocol", ["h2c", "websocket, h2c", "TLS/1.0"])
async def test_no_other_protocol_opens_a_way_round_the_gateway(protocol: str) -> None:
    async def switch(exchange: Exchange) -> None:
        await exchange.send(b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: h2c\r\nConnection: Upgrade\r\n\r\n")
        await exchange.gone()

    async with (
        ScriptedUpstream(switch) as upstream,
        serving(openai_base_url=upstream.url) as served,
        connected((served.gateway.host, served.gateway.port)) as (reader, writer),
    ):
        writer.write(
            f"GET /v1/models HTTP/1.1\r\nHost: x\r\nUpgrade: {protocol}\r\nHTTP2-Settings: AAMAAABk\r\n"
            "Connection: keep-alive, Upgrade, HTTP2-Settings\r\nA: b\r\n\r\n".encode()
        )
        assert (await reader.readuntil(b"\r\n")) == b"HTTP/1.1 502 Bad Gateway\r\n"
        lines = upstream.exchanges[0].head.split(b"\r\n")
        assert lines[2:] == [b"Connection: keep-alive", b"A: b", b"", b""]


async def test_a_gateway_that_asks_for_no_key_opens_no_websocket_for_a_page_from_elsewhere() -> None:
    async with (
        staged(client_auth=ClientAuth.OFF) as stage,
        connected(stage.places["forwarded"]) as (reader, writer),
    ):
        writer.write(UPGRADE.replace(b"Host: x", b"Host: localhost\r\nOrigin: https://elsewhere.example"))
        assert (await reader.readuntil(b"\r\n")).startswith(b"HTTP/1.1 403 ")
    assert not stage.openai.arrivals
