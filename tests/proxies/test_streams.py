"""Behind a proxy with the configuration of docs/deploy, a stream is what it is without."""

from __future__ import annotations

import asyncio
from contextlib import suppress

import pytest

from tests.faults.scripted import (
    CLOSING,
    LAST_CHUNK,
    OPENING,
    SHORT_STREAM,
    STREAM_HEAD,
    Exchange,
    ScriptedUpstream,
    chunk,
    delta,
    json_head,
)
from tests.faults.waiting import until
from tests.proxies.behind import KINDS, MESSAGES, behind, until_well
from tests.replay.raw_client import LIMIT, message

ENDS = b"\r\n0\r\n\r\n"
EACH = pytest.mark.parametrize("name", list(KINDS))
SHORT = {
    "nginx": {"proxy_read_timeout 3600s": "proxy_read_timeout 1s"},
    "haproxy": {"timeout client 1h": "timeout client 1s", "timeout server 1h": "timeout server 1s"},
    "caddy": {"response_header_timeout 1h": "response_header_timeout 1s"},
}
"""A patience that a test can outlast."""


@EACH
async def test_each_event_is_there_before_the_next_one_is_sent(name: str) -> None:
    deltas = [delta(f"word {number}") for number in range(20)]
    seen = asyncio.Semaphore(0)

    async def talk(exchange: Exchange) -> None:
        await exchange.send(STREAM_HEAD, chunk(OPENING))
        for piece in [*deltas, CLOSING]:
            await seen.acquire()
            await exchange.send(chunk(piece))
        await exchange.send(LAST_CHUNK)

    async with (
        ScriptedUpstream(talk) as upstream,
        behind(name, anthropic_base_url=upstream.url) as stage,
        stage.connect() as client,
    ):
        await client.send(MESSAGES, message(stream=True), usual=stage.canary.usual)
        status, headers = await client.head()
        assert status == 200
        assert "content-encoding" not in {header.lower() for header, _ in headers}
        await client.until(OPENING[-60:])
        for piece in deltas:
            seen.release()
            await client.until(piece)
        seen.release()
        await client.until(ENDS)


@EACH
@pytest.mark.parametrize("stream", ["big-tool-input", "framing-crlf", "thinking-interleaved-tools"])
async def test_a_whole_stream_is_the_same_bytes(name: str, stream: str) -> None:
    async with behind(name) as stage:
        headers = [("x-replay-stream", stream), ("accept-encoding", "gzip, br")]
        through = await stage.stream(headers=headers)
        direct = await stage.canary.stream(headers=headers)

    assert (through.status, through.ended) == (200, "complete")
    assert through.body == direct.body
    assert through.header("content-type") == direct.header("content-type")
    assert through.header("content-encoding") is None


@EACH
async def test_pings_keep_a_silent_stream_open_beyond_the_proxys_patience(name: str) -> None:
    goes_on = asyncio.Event()

    async def talk(exchange: Exchange) -> None:
        await exchange.send(STREAM_HEAD, chunk(OPENING))
        await goes_on.wait()
        await exchange.send(chunk(CLOSING), LAST_CHUNK)

    async with (
        ScriptedUpstream(talk) as upstream,
        behind(
            name,
            changes=SHORT[name],
            anthropic_base_url=upstream.url,
            timeouts={"ping_interval_seconds": 0.25},
        ) as stage,
        stage.connect() as client,
    ):
        await client.send(MESSAGES, message(stream=True), usual=stage.canary.usual)
        await client.until(OPENING[-60:])
        for _ in range(6):
            await client.until(b"event: ping\n")
        goes_on.set()
        await client.until(ENDS)


@pytest.mark.parametrize("name", ["nginx", "haproxy"])
async def test_without_pings_the_same_silence_is_too_long(name: str) -> None:
    async def talk(exchange: Exchange) -> None:
        await exchange.send(STREAM_HEAD, chunk(OPENING))
        await exchange.gone()

    async with (
        ScriptedUpstream(talk) as upstream,
        behind(name, changes=SHORT[name], anthropic_base_url=upstream.url) as stage,
    ):
        answer = await stage.stream()

    assert (answer.status, answer.ended) == (200, "eof")


@EACH
@pytest.mark.parametrize("fault", ["hang:head", "hang:event=1", "hang:event=4"])
async def test_a_client_that_leaves_takes_its_upstream_request_with_it(name: str, fault: str) -> None:
    async with behind(name) as stage:
        upstream = stage.canary.upstream
        async with stage.connect() as client:
            headers = [("x-replay-fault", fault)]
            await client.send(MESSAGES, message(stream=True), headers=headers, usual=stage.canary.usual)
            await upstream.wait_for(lambda: upstream.open_streams == 1)
            if fault == "hang:event=4":
                await client.until(b"content_block_delta")
        await upstream.wait_for(lambda: upstream.requests[0].finished == "client_gone")
        await until(lambda: stage.canary.ledger.records)

    (record,) = stage.canary.ledger.records
    assert record.outcome == "cancelled"


# Not Caddy: before 2.8 it ends what was cut as if it were whole, which docs/deploy/proxies.md says.
@pytest.mark.parametrize("name", ["nginx", "haproxy"])
async def test_a_stream_that_the_gateways_death_cuts_is_cut_for_the_client(name: str) -> None:
    async def talk(exchange: Exchange) -> None:
        if exchange.target != MESSAGES.encode():
            await exchange.send(json_head(2), b"{}")
            return
        await exchange.send(STREAM_HEAD, chunk(OPENING))
        exchange.reset()

    async with (
        ScriptedUpstream(talk) as dying,
        behind(name, canary_port=dying.port) as stage,
        stage.connect() as client,
    ):
        await until_well(stage)
        await client.send(MESSAGES, message(stream=True), usual=stage.canary.usual)
        async with asyncio.timeout(LIMIT):
            got = b""
            with suppress(ConnectionError):
                while data := await client.reader.read(2**16):
                    got += data

    assert got.startswith(b"HTTP/1.1 200 ")
    assert not got.endswith(LAST_CHUNK)


@EACH
async def test_a_hundred_streams_use_a_few_connections_to_the_gateway(name: str) -> None:
    async def talk(exchange: Exchange) -> None:
        if exchange.target != MESSAGES.encode():
            await exchange.send(json_head(2), b"{}")
            return
        await exchange.send(STREAM_HEAD, chunk(SHORT_STREAM), LAST_CHUNK)

    async with ScriptedUpstream(talk) as gateway, behind(name, canary_port=gateway.port) as stage:
        await until_well(stage)
        before = gateway.connections
        async with stage.connect() as client:
            for _ in range(100):
                await client.send(MESSAGES, message(stream=True), usual=stage.canary.usual)
                answer = await client.receive()
                assert answer.body == SHORT_STREAM
        assert gateway.connections - before <= 20
        asked = [exchange for exchange in gateway.exchanges if exchange.target == MESSAGES.encode()]
        assert all(b" HTTP/1.1\r\n" in exchange.head for exchange in asked)
