"""The traps of an HTTP proxy's connections: what defaults would do, and what the gateway does."""

from __future__ import annotations

import asyncio
import gc
import os
import socket
from collections.abc import Set as AbstractSet
from contextlib import AsyncExitStack
from typing import Final, cast

import aiohttp
import pytest
from aiohttp import web
from aiohttp.client_proto import ResponseHandler

from gateway.dataplane.connections import ClientConnection, ConnectionServer, Patience
from gateway.store.client_keys import ClientKeyStore
from gateway.store.engine import Database
from gateway.store.secret import load_secret_key
from tests.contract.harness import MESSAGES, SECRET, Served, envelope, head, serving
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
from tests.replay.raw_client import LIMIT, RawConnection, message

MANY: Final = 500
ANSWER: Final = b'{"type":"message"}'


async def answer_json(exchange: Exchange) -> None:
    """Answer with a small JSON body and keep the connection open."""
    await exchange.send(json_head(len(ANSWER)), ANSWER)


def client_connections() -> list[ClientConnection]:
    """Return the open connections of clients."""
    return [thing for thing in gc.get_objects() if type(thing) is ClientConnection and thing.transport is not None]


def halt(connection: RawConnection) -> asyncio.ReadTransport:
    """Stop reading, so that the kernel alone holds bytes for this client; return what can resume it."""
    transport = cast(asyncio.ReadTransport, connection.writer.transport)
    transport.pause_reading()
    return transport


def acquired(served: Served) -> AbstractSet[ResponseHandler]:
    """Return the upstream connections that serve a request now."""
    connector = session_of(served).connector
    assert isinstance(connector, aiohttp.TCPConnector)
    return connector._acquired


def session_of(served: Served) -> aiohttp.ClientSession:
    """Return the session that the gateway sends requests on with."""
    session = served.gateway.data_plane.messages.upstream._session
    assert session is not None
    return session


@pytest.mark.parametrize("expect", ["100-continue", "100-Continue"])
async def test_a_client_that_waits_for_100_continue_is_told_to_go_on(expect: str) -> None:
    body = b'{"model":"claude-opus-5-5","max_tokens":10,"stream":true,"messages":[{"role":"user","content":"hi"}]}'
    lines = [f"content-length: {len(body)}", f"expect: {expect}", "host: g", "anthropic-version: 2023-06-01"]
    async with serving() as served, served.connect() as connection:
        connection.writer.write(head(MESSAGES, *lines, f"x-api-key: {served.key}"))
        assert await connection.until(b"\r\n\r\n") == b"HTTP/1.1 100 Continue\r\n\r\n"
        connection.writer.write(body)
        answer = await connection.receive()
        assert answer.status == 200
        assert b"event: message_stop" in answer.body
        (received,) = served.upstream.requests
        assert received.body == body
        assert received.header("expect") is None


async def test_a_client_without_a_key_is_refused_before_it_sends_its_body() -> None:
    async with serving() as served, served.connect() as connection:
        connection.writer.write(head(MESSAGES, "content-length: 100000", "expect: 100-continue", "host: g"))
        envelope(await connection.receive(), 401, "authentication_error")


async def test_path_and_query_go_on_byte_for_byte() -> None:
    query = "beta=true&a=%2F%41&b=a+b&c=%zz&d=%C3%A9&e=;,[]'"
    async with serving() as served:
        answer = await served.ask(message(), target=f"{MESSAGES}?{query}")
        assert answer.status == 200
        assert served.upstream.requests[0].raw_path == f"/v1/messages?{query}".encode()


async def test_cookies_of_one_client_reach_no_other() -> None:
    async with serving() as served:
        directory = served.gateway.data_plane.settings.data_path
        pepper = await asyncio.to_thread(load_secret_key, SECRET, directory)
        async with Database("", directory) as database:
            store = ClientKeyStore(database)
            _, other_key = await store.create("other", pepper)
            served.gateway.data_plane.messages.admission.keys.replace(await store.all())
        # Not Secure ones, which a jar would keep back on a plain connection anyway.
        first = await served.ask(message(), fault="header:set-cookie=a=1; path=/|header:set-cookie=b=2; path=/")
        assert first.values("set-cookie") == ["a=1; path=/", "b=2; path=/"]
        other = [("cookie", "mine=1"), ("x-api-key", other_key), *served.usual[1:]]
        for usual in (other, served.usual):
            assert (await served.ask(message(), usual=usual)).status == 200
        requests = served.upstream.requests
        assert len({request.connection_id for request in requests}) == 1, "the connection was to be the same"
        assert [request.header_values("cookie") for request in requests] == [[], [], []]


async def test_long_headers_pass_in_both_directions() -> None:
    async with serving() as served:
        long = "a" * 9_000
        answer = await served.stream(headers=[("x-long", long)], fault="big-header")
        assert answer.status == 200
        assert served.upstream.requests[0].header("x-long") == long
        assert answer.header("x-replay-big") == "b" * 9_000


async def test_five_hundred_streams_run_at_once() -> None:
    async with serving() as served:

        async def stay(done: asyncio.Event) -> None:
            async with served.connect() as connection:
                headers = [("x-replay-fault", "hang:event=4")]
                await connection.send(MESSAGES, message(stream=True), headers=headers, usual=served.usual)
                await connection.until(b"content_block_delta")
                await done.wait()

        done = asyncio.Event()
        async with asyncio.TaskGroup() as group:
            for _ in range(MANY):
                group.create_task(stay(done))
            await served.upstream.wait_for(lambda: served.upstream.open_streams == MANY, LIMIT)
            await until(lambda: len(served.gateway.data_plane.messages.relays) == MANY)
            assert (await served.ask(method="GET", target="/readyz")).status == 200
            done.set()
        assert len({request.connection_id for request in served.upstream.requests}) == MANY


async def test_a_stream_outlives_every_default_timeout(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(aiohttp.client, "DEFAULT_TIMEOUT", aiohttp.ClientTimeout(total=0.2, sock_read=0.2))
    async with serving() as served:
        timeout = session_of(served).timeout
        assert (timeout.total, timeout.sock_read, timeout.connect) == (None, None, None)
        answer = await served.stream(fault="hang:event=4;seconds=0.6")
        assert b"event: message_stop" in answer.body
        assert served.ledger.of(answer).outcome == "complete"
        assert (await served.ask(message(), fault="hang:head;seconds=0.6")).status == 200


async def test_every_option_took_effect_on_connections_of_clients() -> None:
    async with serving() as served, served.connect() as connection:
        await connection.send("/healthz")
        assert (await connection.receive()).status == 200
        (protocol,) = client_connections()
        server = protocol._manager
        assert server is not None
        assert server.handler_cancellation
        assert protocol._read_bufsize == 64 * 1024
        assert protocol.max_field_size == protocol.max_line_size == 64 * 1024
        assert protocol.keepalive_timeout == 75
        assert protocol.access_logger is None
        transport = protocol.transport
        assert transport is not None
        raw = transport.get_extra_info("socket")
        assert raw.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY) == 1
        assert raw.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE) == 1


async def test_every_option_took_effect_on_connections_to_the_upstream() -> None:
    async with serving() as served, served.connect() as connection:
        headers = [("x-replay-fault", "hang:event=4")]
        await connection.send(MESSAGES, message(stream=True), headers=headers, usual=served.usual)
        await connection.until(b"content_block_delta")
        session = session_of(served)
        assert isinstance(session.cookie_jar, aiohttp.DummyCookieJar)
        assert not session.trust_env
        assert not session.auto_decompress
        assert session.connector is not None
        assert session.connector.limit == 0
        (protocol,) = acquired(served)
        assert protocol._read_bufsize == 64 * 1024
        assert protocol.transport is not None
        raw = protocol.transport.get_extra_info("socket")
        assert raw.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY) == 1
        assert raw.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE) == 1


async def test_an_option_that_does_not_exist_fails_instead_of_dropping_all_others() -> None:
    async def handler(_request: web.BaseRequest) -> web.StreamResponse:
        raise AssertionError

    server = ConnectionServer(handler, patience=Patience(1, 1), options={"acess_log": None})
    with pytest.raises(TypeError, match="acess_log"):
        server()


async def test_a_post_that_meets_a_stale_connection_is_sent_once_more_on_a_fresh_one() -> None:
    """Every idle connection is stale at once, as after a restart of the upstream."""
    restarted = False
    everyone_is_here = asyncio.Event()

    async def serve(exchange: Exchange) -> None:
        if restarted and exchange.connection <= 5:
            exchange.close()
            return
        if not restarted:
            if len(upstream.exchanges) == 5:
                everyone_is_here.set()
            await everyone_is_here.wait()
        await answer_json(exchange)

    async with ScriptedUpstream(serve) as upstream, serving(anthropic_base_url=upstream.url) as served:
        async with asyncio.TaskGroup() as group:
            for _ in range(5):
                group.create_task(served.ask(message()))
        assert upstream.connections == 5
        restarted = True
        upstream.exchanges.clear()
        answer = await served.ask(message(max_tokens=77))
        assert (answer.status, answer.body) == (200, ANSWER)
        stale, fresh = upstream.exchanges
        assert (stale.connection <= 5, fresh.connection) == (True, 6)
        assert stale.body == fresh.body
        assert len(served.ledger.of(answer).attempts) == 1


@pytest.mark.parametrize(
    ("reply", "status"),
    [(b"", 502), (b"HTTP/1.1 20", 502), (b"HTTP/1.1 200 OK\r\ncontent-le", 502)],
    ids=["nothing-on-a-fresh-one", "part-of-a-status-line", "part-of-a-head"],
)
async def test_a_post_that_may_have_been_served_is_not_sent_again(reply: bytes, status: int) -> None:
    async def serve(exchange: Exchange) -> None:
        if exchange.connection == 1 and len(upstream.exchanges) == 1 and reply:
            await answer_json(exchange)
            return
        await exchange.send(reply)
        exchange.close()

    async with ScriptedUpstream(serve) as upstream, serving(anthropic_base_url=upstream.url) as served:
        if reply:
            assert (await served.ask(message())).status == 200
        envelope(await served.ask(message()), status, "api_error")
        assert len(upstream.exchanges) == (2 if reply else 1)


async def test_connections_to_the_upstream_are_used_again() -> None:
    async with serving() as served:
        for stream in (True, False, True):
            assert (await served.ask(message(stream=stream))).status == 200
            await until(lambda: not acquired(served))
        assert {request.connection_id for request in served.upstream.requests} == {1}


async def test_a_large_request_body_arrives_whole() -> None:
    received = asyncio.Event()

    async def serve(exchange: Exchange) -> None:
        received.set()
        await answer_json(exchange)

    text = "x" * (20 * 2**20)
    async with ScriptedUpstream(serve) as upstream, serving(anthropic_base_url=upstream.url) as served:
        body = message(messages=[{"role": "user", "content": text}])
        answer = await served.ask(body)
        assert answer.status == 200
        (exchange,) = upstream.exchanges
        assert exchange.body.count(b"x") >= len(text)
        assert exchange.header_lines(b"transfer-encoding") == []


async def test_a_slow_reader_slows_the_upstream_down_and_gets_everything() -> None:
    event = delta("x" * 100_000)
    count = 400
    sent = 0

    async def flood(exchange: Exchange) -> None:
        nonlocal sent
        await exchange.send(STREAM_HEAD, chunk(OPENING))
        for _ in range(count):
            await exchange.send(chunk(event))
            sent += 1
        await exchange.send(chunk(CLOSING), LAST_CHUNK)

    async with ScriptedUpstream(flood) as upstream, serving(anthropic_base_url=upstream.url) as served:
        async with served.connect() as connection:
            reading = halt(connection)
            await connection.send(MESSAGES, message(stream=True), usual=served.usual)
            before = -1
            while before < sent or not sent:
                before = sent
                await asyncio.sleep(0.3)  # the question is whether nothing moves
            assert sent < count / 2, "the gateway or the kernel held it all"
            (protocol,) = client_connections()
            assert protocol.transport is not None
            assert protocol.transport.get_write_buffer_size() < 4 * len(event)
            reading.resume_reading()
            answer = await connection.receive()
        assert answer.body == OPENING + event * count + CLOSING
        assert served.ledger.of(answer).outcome == "complete"


@pytest.mark.parametrize("how", ["stream", "held-body", "large-body", "error-after-close"])
async def test_a_client_that_takes_nothing_is_given_up(how: str) -> None:
    size = 20 * 2**20

    async def flood(exchange: Exchange) -> None:
        if how == "stream":
            await exchange.send(STREAM_HEAD, chunk(OPENING))
            while True:
                await exchange.send(chunk(delta("x" * 100_000)))
        body = b'{"text":"' + b"x" * size + b'"}'
        await exchange.send(json_head(len(body)), body)

    async with (
        ScriptedUpstream(flood) as upstream,
        serving(
            anthropic_base_url=upstream.url,
            timeouts={"client_stalled_seconds": 0.3},
            limits={"held_body_bytes": 1000 if how == "large-body" else 2 * size},
        ) as served,
        served.connect() as connection,
    ):
        halt(connection)
        extra = [("connection", "close")] if how == "error-after-close" else []
        await connection.send(MESSAGES, message(stream=how == "stream"), usual=served.usual, headers=extra)
        await until(lambda: served.ledger.records)
        (record,) = served.ledger.records
        if how in ("stream", "large-body"):
            assert (record.outcome, record.reason) == ("cancelled", "the client took nothing for too long")
        await until(lambda: not client_connections())
        await until(lambda: not served.gateway.data_plane.messages.relays)
        assert not acquired(served)


@pytest.mark.parametrize("how", ["stream", "large-body"])
async def test_a_client_that_takes_nothing_does_not_hold_up_the_end_of_the_gateway(how: str) -> None:
    sent = 0

    async def flood(exchange: Exchange) -> None:
        nonlocal sent
        await exchange.send(STREAM_HEAD + chunk(OPENING) if how == "stream" else json_head(10**9))
        piece = chunk(delta("x" * 100_000)) if how == "stream" else b"x" * 100_000
        while True:
            await exchange.send(piece)
            sent += 1

    async with ScriptedUpstream(flood) as upstream, AsyncExitStack() as outlasting:
        async with serving(anthropic_base_url=upstream.url, limits={"held_body_bytes": 1000}) as served:
            connection = await outlasting.enter_async_context(served.connect())
            halt(connection)
            await connection.send(MESSAGES, message(stream=how == "stream"), usual=served.usual)
            before = -1
            while before < sent or not sent:
                before = sent
                await asyncio.sleep(0.3)  # the question is whether nothing moves
            (protocol,) = client_connections()
            assert protocol.writing_paused
        (record,) = served.ledger.records
        # It was given up; the server's last resort, to cancel whatever is left, was not needed.
        assert (record.outcome, record.reason) == ("cancelled", "the client took nothing for too long")


async def test_a_client_that_reads_slowly_but_steadily_is_not_given_up() -> None:
    """One event of this size takes many times as long as a client may take nothing."""
    event = delta("x" * (6 * 2**20))

    async def serve(exchange: Exchange) -> None:
        await exchange.send(STREAM_HEAD, chunk(OPENING), chunk(event), chunk(CLOSING), LAST_CHUNK)

    patience = 0.25
    async with (
        ScriptedUpstream(serve) as upstream,
        serving(
            anthropic_base_url=upstream.url,
            timeouts={"client_stalled_seconds": patience, "upstream_idle_seconds": 0.3},
        ) as served,
    ):
        raw = socket.socket()
        raw.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 64 * 1024)
        raw.setblocking(False)  # noqa: FBT003 - the standard library's own signature
        loop = asyncio.get_running_loop()
        with raw:
            await loop.sock_connect(raw, (served.gateway.host, served.gateway.port))
            body = b'{"model":"claude-opus-5-5","stream":true}'
            request = head(MESSAGES, "host: g", f"x-api-key: {served.key}", f"content-length: {len(body)}")
            await loop.sock_sendall(raw, request + body)
            got = bytearray()
            began = loop.time()
            while LAST_CHUNK not in got[-64:]:
                piece = await loop.sock_recv(raw, 128 * 1024)
                assert piece, f"given up after {len(got)} bytes"
                got += piece
                if loop.time() - began < 5 * patience:
                    await asyncio.sleep(0.05)  # a slow client
        assert b"x" * 1000 in got
        (record,) = served.ledger.records
        assert record.outcome == "complete"


def test_the_machine_lets_one_process_hold_so_many_sockets() -> None:
    assert os.sysconf("SC_OPEN_MAX") > 4 * MANY


async def test_short_streams_in_pieces_of_one_byte_arrive_whole() -> None:
    async def drip(exchange: Exchange) -> None:
        await exchange.send(STREAM_HEAD)
        for byte in SHORT_STREAM:
            await exchange.send(chunk(bytes((byte,))))
        await exchange.send(LAST_CHUNK)

    async with ScriptedUpstream(drip) as upstream, serving(anthropic_base_url=upstream.url) as served:
        answer = await served.stream()
        assert (answer.body, answer.ended) == (SHORT_STREAM, "complete")
