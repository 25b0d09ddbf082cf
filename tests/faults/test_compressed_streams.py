"""What may follow the end of compressed data: another member, and nothing else."""

from __future__ import annotations

import asyncio
import zlib
from typing import Final

import pytest

from tests.contract.harness import MESSAGES, envelope, serving
from tests.faults.scripted import (
    CLOSING,
    LAST_CHUNK,
    OPENING,
    STREAM_HEAD,
    Exchange,
    ScriptedUpstream,
    chunk,
    delta,
)
from tests.replay.raw_client import message

WINDOW_BITS: Final = {"gzip": 31, "deflate": 15}
GARBAGE: Final = b"\xff" * 60_000


def head(encoding: str) -> bytes:
    """Return the head of a stream with this content encoding."""
    return STREAM_HEAD.replace(b"\r\n\r\n", f"\r\ncontent-encoding: {encoding}\r\n\r\n".encode())


def packed(data: bytes, encoding: str) -> bytes:
    """Compress data whole."""
    packer = zlib.compressobj(wbits=WINDOW_BITS[encoding])
    return packer.compress(data) + packer.flush()


@pytest.mark.parametrize("size", [1, 700, 10**6])
async def test_a_stream_of_several_gzip_members_reaches_the_client_whole(size: int) -> None:
    parts = [OPENING, b"", delta("x" * 200_000), *[delta("abc")] * 50, b"", CLOSING]
    body = b"".join(packed(part, "gzip") for part in parts)

    async def serve(exchange: Exchange) -> None:
        await exchange.send(head("gzip"))
        for start in range(0, len(body), size):
            await exchange.send(chunk(body[start : start + size]))
        await exchange.send(LAST_CHUNK)

    async with ScriptedUpstream(serve) as upstream, serving(anthropic_base_url=upstream.url) as served:
        answer = await served.stream()
        assert (answer.status, answer.body, answer.ended) == (200, b"".join(parts), "complete")
        assert served.ledger.of(answer).outcome == "complete"


@pytest.mark.parametrize("encoding", WINDOW_BITS)
async def test_what_is_no_member_behind_the_compressed_data_ends_the_stream_at_once(encoding: str) -> None:
    seen = asyncio.Event()
    cut_off = asyncio.Event()

    async def serve(exchange: Exchange) -> None:
        await exchange.send(head(encoding), chunk(packed(OPENING, encoding)))
        await seen.wait()
        await exchange.send(chunk(GARBAGE))
        await exchange.gone()
        cut_off.set()

    async with (
        ScriptedUpstream(serve) as upstream,
        serving(anthropic_base_url=upstream.url) as served,
        served.connect() as connection,
    ):
        await connection.send(MESSAGES, message(stream=True), usual=served.usual)
        await connection.until(OPENING)
        seen.set()
        rest = await connection.until(LAST_CHUNK)
        assert rest.count(b"event: error\n") == 1
        await cut_off.wait()


async def test_a_gzip_member_that_breaks_off_behind_a_whole_one_is_a_cut() -> None:
    async def serve(exchange: Exchange) -> None:
        await exchange.send(
            head("gzip"), chunk(packed(b": x\n\n", "gzip") + packed(OPENING, "gzip")[:9]), LAST_CHUNK
        )

    async with ScriptedUpstream(serve) as upstream, serving(anthropic_base_url=upstream.url) as served:
        envelope(await served.stream(), 502, "api_error")
