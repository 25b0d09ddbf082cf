"""An upstream that dies: what is cut never looks whole, and every client hears the truth in its own form."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Final

import pytest

from sse_fsm import Outcome, StreamGuard
from tests.contract.harness import MESSAGES, Served, envelope, serving
from tests.faults.scripted import (
    CLOSING,
    LAST_CHUNK,
    OPENING,
    SHORT_STREAM,
    STREAM_HEAD,
    Exchange,
    Script,
    ScriptedUpstream,
    chunk,
    json_head,
)
from tests.replay.raw_client import RawResponse, message

FIXTURE: Final = "text-documented-order"
STREAM: Final = (Path(__file__).parents[2] / "fixtures" / "streams" / f"{FIXTURE}.sse").read_bytes()
AT_ONCE: Final = 32
CHUNKED_HEAD: Final = json_head(0).replace(b"content-length: 0", b"transfer-encoding: chunked")


def events_of(stream: bytes) -> list[bytes]:
    """Split a stream whose lines end with LF into its events."""
    return [part + b"\n\n" for part in stream.split(b"\n\n")[:-1]]


def assert_valid_end(answer: RawResponse) -> None:
    """Check that a client with this answer knows what it has: all, or not all."""
    if answer.status != 200:
        assert answer.status in (502, 504)
        envelope(answer, answer.status, "timeout_error" if answer.status == 504 else "api_error")
        return
    assert answer.ended == "complete"
    assert answer.header("content-type") == "text/event-stream; charset=utf-8"
    sent = events_of(STREAM)
    got = events_of(answer.body)
    assert b"".join(got) == answer.body
    if got == sent:
        return
    assert got[:-1] == sent[: len(got) - 1]
    if got[-1].startswith(b"event: message_stop\n"):
        # All but the last event came whole; the gateway knows what the last one says.
        assert len(got) == len(sent)
        return
    name, data = got[-1].decode().split("\n")[:2]
    assert name == "event: error"
    error = json.loads(data.removeprefix("data: "))
    assert error["type"] == "error"
    assert error["error"]["type"] == "api_error"
    guard = StreamGuard()
    guard.feed(answer.body)
    assert guard.finish()[1].outcome is Outcome.UPSTREAM_ERROR


@pytest.mark.parametrize("fault", ["cut:byte={}", "cut:byte={};reset", "eof:byte={}"], ids=["fin", "rst", "eof"])
async def test_a_stream_cut_at_any_byte_reaches_the_client_as_a_valid_one(fault: str) -> None:
    limiter = asyncio.Semaphore(AT_ONCE)
    statuses: set[int] = set()

    async def ask(served: Served, byte: int) -> None:
        async with limiter:
            answer = await served.stream(headers=[("x-replay-stream", FIXTURE)], fault=fault.format(byte))
        assert_valid_end(answer)
        statuses.add(answer.status)

    async with serving() as served, asyncio.TaskGroup() as group:
        for byte in range(len(STREAM)):
            group.create_task(ask(served, byte))
    assert statuses == {200, 502}
    assert len(served.ledger.records) == len(STREAM)
    assert {record.outcome for record in served.ledger.records} == {"truncated", "repaired"}


BODY: Final = json.dumps({"type": "message", "content": [{"type": "text", "text": "x" * 5000}]}).encode()


async def cut_length(exchange: Exchange) -> None:
    """Announce a whole body and send half of it."""
    await exchange.send(json_head(len(BODY)), BODY[: len(BODY) // 2])
    exchange.close()


async def reset_length(exchange: Exchange) -> None:
    """Do the same, and end by RST."""
    await exchange.send(json_head(len(BODY)), BODY[: len(BODY) // 2])
    exchange.reset()


async def cut_chunks(exchange: Exchange) -> None:
    """Send the whole body in chunks, but not the last chunk, which says that it is whole."""
    await exchange.send(CHUNKED_HEAD, chunk(BODY))
    exchange.close()


async def cut_in_chunk(exchange: Exchange) -> None:
    """Break off inside a chunk."""
    await exchange.send(CHUNKED_HEAD, chunk(BODY)[:-100])
    exchange.close()


async def broken_chunks(exchange: Exchange) -> None:
    """Send something that is no chunk."""
    await exchange.send(CHUNKED_HEAD, chunk(BODY), b"this is no chunk size\r\n\r\n")
    exchange.close()


CUTS: Final[list[Script]] = [cut_length, reset_length, cut_chunks, cut_in_chunk, broken_chunks]


@pytest.mark.parametrize("script", CUTS, ids=lambda script: script.__name__)
async def test_a_json_answer_that_is_cut_becomes_an_honest_502(script: Script) -> None:
    async with ScriptedUpstream(script) as upstream, serving(anthropic_base_url=upstream.url) as served:
        answer = await served.ask(message())
        envelope(answer, 502, "api_error")
        assert int(answer.header("retry-after") or 0) > 0
        assert served.ledger.of(answer).outcome == "upstream_error"
        assert len(upstream.exchanges) == 1


@pytest.mark.parametrize("script", CUTS, ids=lambda script: script.__name__)
async def test_a_json_answer_too_large_to_hold_looks_cut_when_it_is_cut(script: Script) -> None:
    async with (
        ScriptedUpstream(script) as upstream,
        serving(anthropic_base_url=upstream.url, limits={"held_body_bytes": 1000}) as served,
    ):
        answer = await served.ask(message())
        if answer.status == 200:
            assert answer.ended in ("eof", "reset")
            assert BODY.startswith(answer.body)
            (record,) = served.ledger.records
            assert (record.outcome, record.reason) == ("truncated", "cut")
        else:
            # The cut was here before the answer had outgrown what is held.
            envelope(answer, 502, "api_error")


async def test_a_large_json_answer_that_falls_silent_looks_cut() -> None:
    async def silent(exchange: Exchange) -> None:
        await exchange.send(json_head(len(BODY)), BODY[:3000])
        await exchange.gone()

    async with (
        ScriptedUpstream(silent) as upstream,
        serving(
            anthropic_base_url=upstream.url,
            limits={"held_body_bytes": 1000},
            timeouts={"upstream_idle_seconds": 0.2},
        ) as served,
    ):
        answer = await served.ask(message())
        assert (answer.status, answer.body) == (200, BODY[:3000])
        assert answer.ended in ("eof", "reset")
        (record,) = served.ledger.records
        assert (record.outcome, record.reason) == ("truncated", "timeout")


async def test_a_large_json_answer_arrives_whole() -> None:
    async def whole(exchange: Exchange) -> None:
        await exchange.send(json_head(len(BODY)), BODY)

    async with (
        ScriptedUpstream(whole) as upstream,
        serving(anthropic_base_url=upstream.url, limits={"held_body_bytes": 1000}) as served,
    ):
        answer = await served.ask(message())
        assert (answer.status, answer.body, answer.ended) == (200, BODY, "complete")
        record = served.ledger.of(answer)
        assert (record.outcome, record.bytes_in, record.bytes_out) == ("complete", len(BODY), len(BODY))


async def test_an_error_answer_that_is_cut_is_not_passed_on_as_a_short_one() -> None:
    async def refuse(exchange: Exchange) -> None:
        head = json_head(200).replace(b"200 OK", b"429 Too Many Requests", 1)
        await exchange.send(head, b'{"type":"error"')
        exchange.close()

    async with ScriptedUpstream(refuse) as upstream, serving(anthropic_base_url=upstream.url) as served:
        envelope(await served.ask(message()), 502, "api_error")


@pytest.mark.parametrize("stream", [True, False])
async def test_bytes_behind_a_closing_answer_do_no_harm(*, stream: bool) -> None:
    async with serving() as served:
        answer = await served.ask(message(stream=stream), fault="after-end|close")
        if answer.status == 200:
            assert answer.ended == "complete"
            assert (b"message_stop" if stream else b'"end_turn"') in answer.body
        else:
            envelope(answer, 502, "api_error")
        await served.assert_serves()


async def test_bytes_behind_an_answer_never_begin_the_next_one() -> None:
    """What an upstream sends unasked must not be taken for the answer to another client's request."""

    async def smuggle(exchange: Exchange) -> None:
        body = b'{"answer":"%b"}' % exchange.target
        foreign = b'{"answer":"of somebody else"}'
        await exchange.send(json_head(len(body)), body, json_head(len(foreign)), foreign)

    async with ScriptedUpstream(smuggle) as upstream, serving(anthropic_base_url=upstream.url) as served:
        for number in range(3):
            answer = await served.ask(message(), target=f"{MESSAGES}?n={number}")
            if answer.status == 200:
                assert answer.body == b'{"answer":"/v1/messages?n=%d"}' % number
            else:
                envelope(answer, 502, "api_error")


async def test_nothing_behind_message_stop_reaches_the_client() -> None:
    async def talk_on(exchange: Exchange) -> None:
        await exchange.send(STREAM_HEAD, chunk(SHORT_STREAM + OPENING), chunk(CLOSING), LAST_CHUNK)

    async with ScriptedUpstream(talk_on) as upstream, serving(anthropic_base_url=upstream.url) as served:
        answer = await served.stream()
        assert (answer.body, answer.ended) == (SHORT_STREAM, "complete")


async def test_a_stream_ends_with_its_last_event_though_the_upstream_keeps_the_connection_open() -> None:
    async def linger(exchange: Exchange) -> None:
        await exchange.send(STREAM_HEAD, chunk(SHORT_STREAM))
        await exchange.gone()

    async with ScriptedUpstream(linger) as upstream, serving(anthropic_base_url=upstream.url) as served:
        answer = await served.stream()
        assert (answer.body, answer.ended) == (SHORT_STREAM, "complete")
        assert served.ledger.of(answer).outcome == "complete"


async def test_a_redirect_of_the_upstream_is_neither_followed_nor_passed_on() -> None:
    async def redirect(exchange: Exchange) -> None:
        await exchange.send(
            b"HTTP/1.1 307 Temporary Redirect\r\nlocation: /elsewhere\r\ncontent-length: 0\r\n\r\n"
        )

    async with ScriptedUpstream(redirect) as upstream, serving(anthropic_base_url=upstream.url) as served:
        for stream in (True, False):
            answer = await served.ask(message(stream=stream))
            envelope(answer, 502, "api_error")
            assert answer.header("location") is None
        assert [exchange.target for exchange in upstream.exchanges] == [b"/v1/messages"] * 2


@pytest.mark.parametrize(
    "head",
    [
        b"HTTP/1.1 banana\r\n\r\n",
        b"SSH-2.0-OpenSSH_9.2\r\n",
        b"HTTP/1.1 200 OK\r\ncontent-length: -5\r\n\r\n",
        b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\ncontent-length: 6\r\n\r\nhello",
        b"HTTP/1.1 200 OK\r\nx: " + b"x" * 100_000 + b"\r\n\r\n",
        b"HTTP/1.1 200",
        b"",
    ],
    ids=["status", "other-protocol", "negative-length", "two-lengths", "endless-header", "half-a-line", "nothing"],
)
async def test_an_answer_that_is_no_http_becomes_a_502(head: bytes) -> None:
    async def answer_so(exchange: Exchange) -> None:
        await exchange.send(head)
        exchange.close()

    async with ScriptedUpstream(answer_so) as upstream, serving(anthropic_base_url=upstream.url) as served:
        for stream in (True, False):
            envelope(await served.ask(message(stream=stream)), 502, "api_error")
        assert len(upstream.exchanges) == 2
