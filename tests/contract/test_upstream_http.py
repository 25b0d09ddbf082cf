"""Upstreams whose HTTP is odd or broken: what can be read is passed on, the rest is an honest 502."""

from __future__ import annotations

import pytest

from tests.contract.canned import canned, canned_answer
from tests.contract.harness import envelope, serving
from tests.contract.test_headers import WHOLE_STREAM
from tests.replay.raw_client import message

pytestmark = pytest.mark.asyncio(loop_scope="module")

LENGTH = b"content-length: 2\r\n\r\n{}"
BROKEN = {
    "words": b"hello there\r\n\r\n",
    "nothing": b"",
    "half a head": b"HTTP/1.1 200 OK\r\ncontent-le",
    "bare CR in a header": b"HTTP/1.1 200 OK\r\nx-a: b\rc\r\n" + LENGTH,
    "NUL in a header": b"HTTP/1.1 200 OK\r\nx-a: b\0c\r\n" + LENGTH,
    "two lengths": b"HTTP/1.1 200 OK\r\ncontent-length: 3\r\n" + LENGTH,
    "length and chunks": b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n" + LENGTH,
    "endless header": b"HTTP/1.1 200 OK\r\nx-a: " + b"a" * 100_000 + b"\r\n" + LENGTH,
    "wrong chunk": b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nzz\r\n{}\r\n0\r\n\r\n",
    "another protocol": b"HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\n",
}


@pytest.mark.parametrize("stream", [True, False], ids=["stream", "message"])
@pytest.mark.parametrize("answer", BROKEN.values(), ids=BROKEN)
async def test_an_upstream_that_speaks_no_http_is_a_502(answer: bytes, *, stream: bool) -> None:
    async with canned(answer, close=True) as upstream, serving(anthropic_base_url=upstream.url) as served:
        got = await served.ask(message(stream=stream))
        error = envelope(got, 502, "api_error")
        assert "127.0.0.1" not in error["message"]
        assert got.header("upgrade") is None


async def test_an_answer_up_to_the_end_of_the_connection_is_whole() -> None:
    reply = canned_answer(WHOLE_STREAM, headers=[("content-type", "text/event-stream")], length=False)
    async with canned(reply, close=True) as upstream, serving(anthropic_base_url=upstream.url) as served:
        got = await served.stream()
        assert (got.status, got.body) == (200, WHOLE_STREAM)
    reply = canned_answer(b'{"type":"message"}', length=False).replace(b"HTTP/1.1", b"HTTP/1.0")
    async with canned(reply, close=True) as upstream, serving(anthropic_base_url=upstream.url) as served:
        got = await served.ask(message())
        assert (got.status, got.body) == (200, b'{"type":"message"}')


async def test_hints_before_an_answer_are_skipped() -> None:
    reply = b"HTTP/1.1 103 Early Hints\r\nlink: </x>\r\n\r\n" + canned_answer(b'{"type":"message"}')
    async with canned(reply) as upstream, serving(anthropic_base_url=upstream.url) as served:
        got = await served.ask(message())
        assert (got.status, got.body, got.header("link")) == (200, b'{"type":"message"}', None)


async def test_a_header_that_is_no_utf_8_harms_no_other() -> None:
    headers: list[tuple[str, str | bytes]] = [("x-first", "1"), ("x-odd", b"caf\xe9"), ("x-last", "2")]
    async with canned(canned_answer(b"{}", headers=headers)) as upstream:
        async with serving(anthropic_base_url=upstream.url) as served, served.connect() as connection:
            body = b'{"model":"m"}'
            lines = f"POST /claude/v1/messages HTTP/1.1\r\nhost: x\r\nx-api-key: {served.key}\r\n".encode()
            connection.writer.write(lines + b"x-odd: caf\xe9\r\nx-next: 3\r\ncontent-length: 13\r\n\r\n" + body)
            got = await connection.receive()
        assert (got.status, got.header("x-first"), got.header("x-last")) == (200, "1", "2")
        (request,) = upstream.requests
        assert b"x-next: 3\r\n" in request
        assert request.endswith(body)
