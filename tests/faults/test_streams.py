"""Streams that are odd, slow, compressed or endless."""

from __future__ import annotations

import asyncio
import json
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import pytest

from sse_fsm import encoding
from tests.contract.harness import MESSAGES, envelope, serving
from tests.faults.scripted import (
    BLOCK_START,
    BLOCK_STOP,
    LAST_CHUNK,
    MESSAGE_DELTA,
    MESSAGE_STOP,
    OPENING,
    PING,
    SHORT_STREAM,
    START,
    STREAM_HEAD,
    Exchange,
    ScriptedUpstream,
    chunk,
    delta,
    event,
)
from tests.faults.waiting import until
from tests.replay.raw_client import LIMIT, RawResponse, message

STREAMS: Final = Path(__file__).parents[2] / "fixtures" / "streams"
OUR_PING: Final = encoding.PING


def last_error(answer: RawResponse) -> dict[str, Any]:
    """Check that an answer ends in exactly one error event, and return its `error` object."""
    assert answer.ended == "complete"
    assert answer.body.count(b"event: error\n") == 1
    name, data = answer.body.decode().split("\n\n")[-2].split("\n")
    assert name == "event: error"
    return json.loads(data.removeprefix("data: "))["error"]


def encoded_head(name: str) -> bytes:
    """Return the head of a stream with this content encoding."""
    return STREAM_HEAD.replace(b"\r\n\r\n", f"\r\ncontent-encoding: {name}\r\n\r\n".encode())


def compressed(events: list[bytes], window_bits: int) -> list[bytes]:
    """Compress event by event, each readable as soon as it is there."""
    packer = zlib.compressobj(wbits=window_bits)
    packed = [packer.compress(one) + packer.flush(zlib.Z_SYNC_FLUSH) for one in events]
    packed[-1] += packer.flush()
    return packed


@pytest.mark.parametrize(("name", "bits"), [("gzip", 31), ("x-gzip", 31), ("deflate", 15), ("GZIP", 31)])
async def test_a_stream_compressed_unasked_reaches_the_client_in_the_clear(name: str, bits: int) -> None:
    events = [START, BLOCK_START, *(delta("x" * size) for size in (1, 100_000, 7)), BLOCK_STOP]
    events += [MESSAGE_DELTA, MESSAGE_STOP]

    async def serve(exchange: Exchange) -> None:
        await exchange.send(encoded_head(name))
        for part in compressed(events, bits):
            await exchange.send(chunk(part))
        await exchange.send(LAST_CHUNK)

    async with ScriptedUpstream(serve) as upstream, serving(anthropic_base_url=upstream.url) as served:
        answer = await served.stream(headers=[("accept-encoding", "gzip, br")])
        assert (answer.status, answer.body, answer.ended) == (200, b"".join(events), "complete")
        assert answer.header("content-encoding") is None
        (exchange,) = upstream.exchanges
        assert exchange.header_lines(b"accept-encoding") == [b"accept-encoding: identity"]


@pytest.mark.parametrize("name", ["br", "zstd", "gzip, gzip", "banana"])
async def test_a_stream_in_an_encoding_that_cannot_be_read_is_a_502(name: str) -> None:
    async def serve(exchange: Exchange) -> None:
        await exchange.send(encoded_head(name), chunk(SHORT_STREAM), LAST_CHUNK)

    async with ScriptedUpstream(serve) as upstream, serving(anthropic_base_url=upstream.url) as served:
        envelope(await served.stream(), 502, "api_error")


@pytest.mark.parametrize("damage", ["garbage", "missing end"])
async def test_broken_compression_ends_a_stream_with_an_error_event(damage: str) -> None:
    opening, rest = compressed([OPENING, delta("more") + BLOCK_STOP], 31)
    seen = asyncio.Event()

    async def serve(exchange: Exchange) -> None:
        await exchange.send(encoded_head("gzip"), chunk(opening))
        await seen.wait()
        if damage == "garbage":
            await exchange.send(chunk(b"\xff" * 100))
            await exchange.gone()
        else:
            await exchange.send(chunk(rest[:-12]), LAST_CHUNK)

    async with (
        ScriptedUpstream(serve) as upstream,
        serving(anthropic_base_url=upstream.url) as served,
        served.connect() as connection,
    ):
        await connection.send(MESSAGES, message(stream=True), usual=served.usual)
        assert (await connection.head())[0] == 200
        await connection.until(OPENING)
        seen.set()
        rest_of_answer = await connection.until(LAST_CHUNK)
        assert rest_of_answer.count(b"event: error\n") == 1
        assert b'"type":"api_error"' in rest_of_answer
        await until(lambda: served.ledger.records)
        assert served.ledger.records[0].outcome == "truncated"


async def test_a_stream_that_claims_to_be_compressed_and_is_not_is_a_502() -> None:
    async def serve(exchange: Exchange) -> None:
        await exchange.send(encoded_head("gzip"), chunk(SHORT_STREAM), LAST_CHUNK)

    async with ScriptedUpstream(serve) as upstream, serving(anthropic_base_url=upstream.url) as served:
        envelope(await served.stream(), 502, "api_error")


async def test_a_compression_bomb_is_handed_on_piece_by_piece() -> None:
    bomb = zlib.compressobj(wbits=31)
    packed = bomb.compress(OPENING) + bomb.compress(b": " + b"x" * (64 * 2**20)) + bomb.flush()

    async def serve(exchange: Exchange) -> None:
        await exchange.send(encoded_head("gzip"), chunk(packed), LAST_CHUNK)

    limits = {"event_bytes": 2**20}
    async with (
        ScriptedUpstream(serve) as upstream,
        serving(anthropic_base_url=upstream.url, limits=limits) as served,
    ):
        answer = await served.stream()
        assert "longer than" in last_error(answer)["message"] or last_error(answer)["type"] == "api_error"
        record = served.ledger.of(answer)
        assert (record.outcome, record.code) == ("violation", "event_too_large")
        assert record.bytes_in < 2 * 2**20


@pytest.mark.parametrize("ending", ["pings", "silence", "one more event", "unfinished event"])
async def test_a_finished_message_whose_stream_never_ends_is_ended(ending: str) -> None:
    async def serve(exchange: Exchange) -> None:
        await exchange.send(STREAM_HEAD, chunk(OPENING + BLOCK_STOP + MESSAGE_DELTA))
        if ending == "one more event":
            await exchange.send(chunk(event("news", '{"type":"news"}')))
        if ending == "unfinished event":
            await exchange.send(chunk(b"event: message_st"))
        while ending == "pings":
            await exchange.send(chunk(PING))
            await asyncio.sleep(0.01)  # the upstream's pace
        await exchange.gone()

    async with (
        ScriptedUpstream(serve) as upstream,
        serving(anthropic_base_url=upstream.url, timeouts={"stop_grace_seconds": 0.15}) as served,
    ):
        async with asyncio.timeout(LIMIT):
            answer = await served.stream()
        assert answer.ended == "complete"
        assert answer.body.endswith(encoding.MESSAGE_STOP)
        assert b"event: error" not in answer.body
        record = served.ledger.of(answer)
        assert (record.outcome, record.stop_reason, record.reason) == ("repaired", "end_turn", "timeout")


async def test_a_message_that_takes_long_to_its_stop_reason_is_not_ended() -> None:
    async with serving(timeouts={"stop_grace_seconds": 0.05}) as served:
        answer = await served.stream(fault="hang:event=4;seconds=0.4")
        assert served.ledger.of(answer).outcome == "complete"


async def test_a_long_event_that_drips_in_leaves_room_for_pings() -> None:
    long = delta("y" * 2000)

    async def serve(exchange: Exchange) -> None:
        await exchange.send(STREAM_HEAD, chunk(OPENING))
        for at in range(0, len(long), 50):
            await exchange.send(chunk(long[at : at + 50]))
            await asyncio.sleep(0.01)  # the upstream's pace
        await exchange.send(chunk(BLOCK_STOP + MESSAGE_DELTA + MESSAGE_STOP), LAST_CHUNK)

    async with (
        ScriptedUpstream(serve) as upstream,
        serving(anthropic_base_url=upstream.url, timeouts={"ping_interval_seconds": 0.1}) as served,
    ):
        answer = await served.stream()
        before, pings, after = answer.body.partition(OUR_PING)
        assert before == OPENING
        assert pings
        assert after.replace(OUR_PING, b"") == long + BLOCK_STOP + MESSAGE_DELTA + MESSAGE_STOP
        assert served.ledger.of(answer).outcome == "complete"


@pytest.mark.parametrize(
    ("fault", "change"),
    [
        ("crlf", lambda stream: stream.replace(b"\n", b"\r\n")),
        ("one-byte", lambda stream: stream),
        ("drip:20000", lambda stream: stream),
        ("one-byte|crlf", lambda stream: stream.replace(b"\n", b"\r\n")),
    ],
    ids=["crlf", "one-byte", "drip", "one-byte-crlf"],
)
async def test_odd_framing_and_pace_reach_the_client_unchanged(
    fault: str, change: Callable[[bytes], bytes]
) -> None:
    stream = (STREAMS / "text-documented-order.sse").read_bytes()
    async with serving() as served:
        answer = await served.stream(headers=[("x-replay-stream", "text-documented-order")], fault=fault)
        assert (answer.body, answer.ended) == (change(stream), "complete")


async def test_a_silent_upstream_is_ended_with_one_error_event() -> None:
    timeouts = {"upstream_idle_seconds": 0.3, "ping_interval_seconds": 0.1}
    async with serving(timeouts=timeouts) as served:
        answer = await served.stream(fault="hang:event=4")
        assert last_error(answer)["type"] == "timeout_error"
        assert OUR_PING in answer.body
        record = served.ledger.of(answer)
        assert (record.outcome, record.reason) == ("truncated", "timeout")
        await served.upstream.wait_for(lambda: served.upstream.requests[0].finished == "client_gone")


async def test_an_upstream_that_talks_for_ever_is_ended_in_time() -> None:
    async with serving(timeouts={"stream_total_seconds": 0.4}) as served:
        headers = [("x-replay-tokens", "100000"), ("x-replay-tokens-per-second", "100")]
        answer = await served.ask(message(stream=True, max_tokens=200_000), headers=headers)
        assert last_error(answer)["type"] == "timeout_error"


async def test_a_silence_before_any_content_ends_in_a_head_and_a_ping() -> None:
    async with serving(timeouts={"commit_deadline_seconds": 0.2}) as served, served.connect() as connection:
        headers = [("x-replay-fault", "hang:event=1")]
        await connection.send(MESSAGES, message(stream=True), headers=headers, usual=served.usual)
        status, _ = await connection.head()
        assert status == 200
        got = await connection.until(OUR_PING)
        assert b"event: message_start\n" in got


async def test_pings_in_place_of_content_do_not_put_off_the_head_for_ever() -> None:
    pings = 0

    async def serve(exchange: Exchange) -> None:
        nonlocal pings
        await exchange.send(STREAM_HEAD, chunk(START + BLOCK_START))
        while True:
            await exchange.send(chunk(PING))
            pings += 1
            await asyncio.sleep(0.005)  # the upstream's pace

    async with (
        ScriptedUpstream(serve) as upstream,
        serving(anthropic_base_url=upstream.url, timeouts={"commit_deadline_seconds": 0.2}) as served,
        served.connect() as connection,
    ):
        await connection.send(MESSAGES, message(stream=True), usual=served.usual)
        assert (await connection.head())[0] == 200
        assert pings < 200
        await connection.until(PING)


async def test_an_upstream_that_hangs_before_its_head_is_a_504() -> None:
    async with serving(timeouts={"upstream_head_seconds": 0.2}) as served:
        for stream in (True, False):
            answer = await served.ask(message(stream=stream), fault="hang:head")
            envelope(answer, 504, "timeout_error")


async def test_an_upstream_that_is_not_there_is_a_502() -> None:
    async with ScriptedUpstream(lambda exchange: exchange.gone()) as gone:
        url = gone.url
    async with serving(anthropic_base_url=url) as served:
        envelope(await served.stream(), 502, "api_error")


async def test_many_pings_of_a_busy_gateway_never_fall_inside_an_event() -> None:
    """Pings come from a timer, events from a socket; every interleaving must be whole events."""
    pieces = [delta(f"{number:03}" + "z" * 300) for number in range(60)]
    stream = b"".join([OPENING, *pieces, BLOCK_STOP, MESSAGE_DELTA, MESSAGE_STOP])

    async def serve(exchange: Exchange) -> None:
        await exchange.send(STREAM_HEAD)
        for at in range(0, len(stream), 97):
            await exchange.send(chunk(stream[at : at + 97]))
            await asyncio.sleep(0.001)  # lets the timer in between
        await exchange.send(LAST_CHUNK)

    async with (
        ScriptedUpstream(serve) as upstream,
        serving(anthropic_base_url=upstream.url, timeouts={"ping_interval_seconds": 0.002}) as served,
    ):
        answer = await served.stream()
        assert OUR_PING in answer.body
        assert answer.body.replace(OUR_PING, b"") == stream
        assert all(part.startswith(b"event: ") for part in answer.body.split(b"\n\n")[:-1])
