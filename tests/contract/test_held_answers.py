"""Answers that are no streams: what a 200 must be, and how long the whole of one may take."""

from __future__ import annotations

import asyncio
import gzip
import json
import zlib
from typing import Any, Final

import pytest

from tests.contract.canned import canned, canned_answer
from tests.contract.harness import MESSAGES, envelope, serving
from tests.contract.test_headers import WHOLE_STREAM
from tests.faults.scripted import Exchange, ScriptedUpstream, json_head
from tests.replay.raw_client import message

pytestmark = pytest.mark.asyncio(loop_scope="module")

JSON: Final = ("content-type", "application/json")
GZIP: Final = [JSON, ("content-encoding", "gzip")]
DEFLATE: Final = [JSON, ("content-encoding", "deflate")]
CUT: Final = b'{"type":"message","content":[{"ty'
LARGE: Final = b'{"type":"message","content":[' + b'{"type":"text","text":"abc"},' * 80_000 + b"0]}"
ENDPOINTS: Final[list[tuple[str, Any]]] = [
    (MESSAGES, message()),
    (MESSAGES + "/count_tokens", message()),
    ("/claude/v1/models", b""),
    ("/claude/v1/models/claude-opus-5-5", b""),
]

BROKEN: Final = {
    "nothing": canned_answer(b""),
    "no content": canned_answer(b"", "204 No Content"),
    "blank": canned_answer(b" \r\n"),
    "cut at the end of the connection": canned_answer(CUT, length=False),
    "large and cut at the end of the connection": canned_answer(LARGE[:-1], length=False),
    "web page as text": canned_answer(b"<html>Welcome</html>", headers=[("content-type", "text/plain")]),
    "web page as JSON": canned_answer(b"<html>Welcome</html>"),
    "stream": canned_answer(WHOLE_STREAM, headers=[("content-type", "text/event-stream; charset=utf-8")]),
    "stream as JSON": canned_answer(WHOLE_STREAM),
    "array": canned_answer(b"[{}]"),
    "text": canned_answer(b'"ok"'),
    "two objects": canned_answer(b"{}{}"),
    "gzip cut": canned_answer(gzip.compress(LARGE)[:-9], headers=GZIP),
    "gzip of a cut": canned_answer(gzip.compress(CUT), headers=GZIP),
    "gzip of nothing": canned_answer(gzip.compress(b""), headers=GZIP),
    "no gzip": canned_answer(b"{}", headers=GZIP),
    "deflate of a web page": canned_answer(zlib.compress(b"<html>"), headers=DEFLATE),
}


@pytest.mark.parametrize("answer", BROKEN.values(), ids=BROKEN)
async def test_a_200_that_is_no_json_object_is_a_502(answer: bytes) -> None:
    async with canned(answer, close=True) as upstream, serving(anthropic_base_url=upstream.url) as served:
        for target, body in ENDPOINTS:
            got = await served.ask(body, target)
            envelope(got, 502, "api_error")
            assert got.header("retry-after") is not None
            assert served.ledger.of(got).outcome == "upstream_error"


def bare_deflate(data: bytes) -> bytes:
    """Compress data without the frame that belongs around it, as some servers do."""
    packer = zlib.compressobj(wbits=-15)
    return packer.compress(data) + packer.flush()


GOOD: Final = {
    "empty object": (b"{}", [JSON]),
    "without a type": (b'{"a":1}', []),
    "as text": (b'{"a":1}', [("content-type", "text/plain")]),
    "space around": (b' \r\n{"a" : [1.50, 1e999, -0]}\n\n', [JSON]),
    "lone surrogate": (rb'{"a":"\ud800","b":"\\ud83d \uDC00"}', [JSON]),
    "long number": (b'{"a":' + b"9" * 6_000 + b"}", [JSON]),
    "deep": (b'{"a":' * 3_000 + b"1" + b"}" * 3_000, [JSON]),
    "large": (LARGE, [JSON]),
    "gzip": (gzip.compress(LARGE), GZIP),
    "gzip of several members": (gzip.compress(b'{"a":') + gzip.compress(b"1}"), GZIP),
    "gzip of more than is held": (gzip.compress(b'{"a":"' + b"x" * 10_000_000 + b'"}'), GZIP),
    "deflate": (zlib.compress(b'{"a":1}'), DEFLATE),
    "bare deflate": (bare_deflate(b'{"a":1}'), DEFLATE),
    "unknown encoding": (b"\x0b\x00{}", [JSON, ("content-encoding", "br")]),
}


@pytest.mark.parametrize(("body", "headers"), GOOD.values(), ids=GOOD)
async def test_a_json_object_passes_byte_for_byte(body: bytes, headers: list[tuple[str, str]]) -> None:
    answer = canned_answer(body, headers=headers)
    async with canned(answer) as upstream, serving(anthropic_base_url=upstream.url) as served:
        for target, request in ENDPOINTS:
            got = await served.ask(request, target)
            assert (got.status, got.body, got.ended) == (200, body, "complete")
            assert [got.header(name) for name, _ in headers] == [value for _, value in headers]
            assert served.ledger.of(got).outcome == "complete"


async def test_a_compressed_error_under_status_200_gets_the_status_of_its_type_in_the_clear() -> None:
    error = {"type": "overloaded_error", "message": "Overloaded"}
    body = gzip.compress(json.dumps({"type": "error", "error": error}).encode())
    answer = canned_answer(body, headers=GZIP)
    async with canned(answer) as upstream, serving(anthropic_base_url=upstream.url) as served:
        got = await served.ask(message())
        assert got.header("content-encoding") is None
        assert envelope(got, 529, "overloaded_error") == error


@pytest.mark.parametrize(
    ("status", "stream"), [("200 OK", False), ("429 Too Many Requests", False), ("529 Overloaded", True)]
)
async def test_an_answer_that_trickles_in_for_ever_is_a_504(status: str, *, stream: bool) -> None:
    cut_off = asyncio.Event()

    async def trickle(exchange: Exchange) -> None:
        try:
            await exchange.send(json_head(10**6).replace(b"200 OK", status.encode(), 1), b"{")
            while not exchange.reader.at_eof():
                await exchange.send(b" ")
                await asyncio.sleep(0.01)  # slow, but never silent
        finally:
            cut_off.set()

    timeouts = {"upstream_head_seconds": 0.4, "upstream_idle_seconds": 10.0}
    async with (
        ScriptedUpstream(trickle) as upstream,
        serving(anthropic_base_url=upstream.url, timeouts=timeouts) as served,
    ):
        got = await served.ask(message(stream=stream))
        envelope(got, 504, "timeout_error")
        await cut_off.wait()
