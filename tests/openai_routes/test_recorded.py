"""Recorded requests arrive, and their answers come back, byte for byte as without the gateway."""

from __future__ import annotations

from collections.abc import AsyncGenerator

import pytest
import pytest_asyncio

from gateway.replay.openai_exchanges import RecordedExchange, recorded_exchanges
from tests.openai_routes.stage import Stage, connected, exactly, rest, staged

EXCHANGES = recorded_exchanges()
HOST = "api.example:8443"


pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def stage() -> AsyncGenerator[Stage]:
    async with staged() as running:
        yield running


def others(lines: list[bytes]) -> list[bytes]:
    """Return the lines of a head without that of the host."""
    return [line for line in lines if not line.startswith(b"Host: ")]


async def test_there_are_enough_of_them() -> None:
    assert len(EXCHANGES) >= 60
    assert len({exchange.name for exchange in EXCHANGES}) == len(EXCHANGES)
    assert all(
        exchange.origin.startswith(("https://", "RFC ", "openai-python ", "constructed: "))
        for exchange in EXCHANGES
    )
    statuses = {exchange.status for exchange in EXCHANGES}
    assert statuses >= {200, 204, 302, 304, 307, 400, 401, 403, 404, 409, 413, 422, 429, 500, 502, 503, 504}


@pytest.mark.parametrize("exchange", EXCHANGES, ids=lambda exchange: exchange.name)
async def test_a_request_and_its_answer_are_the_same_with_the_gateway_and_without(
    stage: Stage, exchange: RecordedExchange
) -> None:
    request = exchange.request(HOST, ("x-replay-answer", exchange.name))
    expected = exchange.answer()
    if "Expect: 100-continue" in request.decode("latin-1"):
        expected = b"HTTP/1.1 100 Continue\r\n\r\n" + expected
    arrivals = []
    for place in stage.places.values():
        async with connected(place) as (reader, writer):
            writer.write(request)
            assert await exactly(reader, len(expected)) == expected
            if exchange.framing == "close":
                assert await rest(reader) == b""
            arrivals.append(stage.last)
    direct, forwarded = arrivals
    head, _, body = request.partition(b"\r\n\r\n")
    assert direct.lines == head.split(b"\r\n")
    assert direct.raw_body == body
    assert others(forwarded.lines) == others(direct.lines)
    assert forwarded.raw_body == direct.raw_body
    assert forwarded.lines.index(b"Host: " + stage.openai.url.removeprefix("http://").encode()) == 1


async def test_one_connection_carries_all_of_them_one_after_the_other(stage: Stage) -> None:
    before = stage.openai.connections
    async with connected(stage.places["forwarded"]) as (reader, writer):
        for exchange in EXCHANGES:
            if exchange.framing == "close":
                continue
            expected = exchange.answer()
            if ("Expect", "100-continue") in map(tuple, exchange.request_headers):
                expected = b"HTTP/1.1 100 Continue\r\n\r\n" + expected
            writer.write(exchange.request(HOST, ("x-replay-answer", exchange.name)))
            assert await exactly(reader, len(expected)) == expected, exchange.name
    assert stage.openai.connections == before + 1


async def test_requests_sent_all_at_once_are_answered_in_their_order(stage: Stage) -> None:
    chosen = [
        exchange for exchange in EXCHANGES if exchange.framing != "close" and exchange.name != "files-expect"
    ]
    async with connected(stage.places["forwarded"]) as (reader, writer):
        writer.write(b"".join(each.request(HOST, ("x-replay-answer", each.name)) for each in chosen))
        expected = b"".join(exchange.answer() for exchange in chosen)
        assert await exactly(reader, len(expected)) == expected
    arrived = list(stage.openai.arrivals)[-len(chosen) :]
    assert [arrival.target for arrival in arrived] == [exchange.target for exchange in chosen]


async def test_bytes_that_come_one_at_a_time_make_the_same_request(stage: Stage) -> None:
    chosen = [exchange for exchange in EXCHANGES if exchange.name in {"files-chunked", "unusual-headers", "chat"}]
    for exchange in chosen:
        request, expected = exchange.request(HOST, ("x-replay-answer", exchange.name)), exchange.answer()
        async with connected(stage.places["forwarded"]) as (reader, writer):
            for at in range(len(request)):
                writer.write(request[at : at + 1])
                await writer.drain()
            assert await exactly(reader, len(expected)) == expected
        assert stage.last.raw_body == request.partition(b"\r\n\r\n")[2]
