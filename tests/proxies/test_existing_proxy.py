"""What is not Claude's goes through a proxy of docs/deploy to the existing one as it always did."""

from __future__ import annotations

import asyncio
import io
from collections.abc import AsyncGenerator
from typing import Any

import aiohttp
import h11
import pytest
import pytest_asyncio
from attrs import define

from gateway.replay.openai import OpenAIArrival, OpenAIReplay
from gateway.replay.openai_exchanges import RecordedExchange, recorded_exchanges
from tests.openai_routes.stage import KEY, connected
from tests.proxies.behind import KINDS, Behind, behind
from tests.replay.raw_client import LIMIT

EXCHANGES = recorded_exchanges()
HOST = "api.example:8443"
pytestmark = pytest.mark.asyncio(loop_scope="module")


@define
class Stage:
    proxy: Behind
    existing: OpenAIReplay

    @property
    def last(self) -> OpenAIArrival:
        return self.existing.arrivals[-1]


@pytest_asyncio.fixture(scope="module", loop_scope="module", params=list(KINDS))
async def stage(request: pytest.FixtureRequest) -> AsyncGenerator[Stage]:
    async with OpenAIReplay() as existing, behind(request.param, existing=existing) as proxy:
        yield Stage(proxy, existing)


async def answered(place: tuple[str, int], exchange: RecordedExchange) -> tuple[h11.Response, bytes]:
    """Send a recorded request and return its final answer."""
    machine = h11.Connection(h11.CLIENT)
    machine.send(h11.Request(method=exchange.method, target="/", headers=[("host", HOST)]))
    machine.send(h11.EndOfMessage())
    found: h11.Response | None = None
    body = b""
    async with connected(place) as (reader, writer), asyncio.timeout(LIMIT):
        writer.write(exchange.request(HOST, ("x-replay-answer", exchange.name)))
        while True:
            match machine.next_event():
                case h11.NEED_DATA:
                    machine.receive_data(await reader.read(2**16))
                case h11.Response() as answer:
                    found = answer
                case h11.Data(data=data):
                    body += bytes(data)
                case h11.EndOfMessage():
                    assert found is not None
                    return found, body


def values(answer: h11.Response, name: bytes) -> list[bytes]:
    """Return the values of a header."""
    return [value for key, value in answer.headers if key == name]


@pytest.mark.parametrize("exchange", EXCHANGES, ids=lambda exchange: exchange.name)
async def test_a_recorded_request_and_its_answer_are_the_same_with_the_proxy_and_without(
    stage: Stage, exchange: RecordedExchange
) -> None:
    direct = await answered((stage.existing.host, stage.existing.port), exchange)
    sent = stage.last
    through = await answered(("127.0.0.1", stage.proxy.port), exchange)

    assert (through[0].status_code, through[1]) == (direct[0].status_code, direct[1])
    for name in (b"content-encoding", b"x-request-id", b"location", b"set-cookie", b"retry-after"):
        assert values(through[0], name) == values(direct[0], name)
    # Caddy guesses a type where there is none.
    assert not values(direct[0], b"content-type") or values(through[0], b"content-type") == values(
        direct[0], b"content-type"
    )
    assert (stage.last.method, stage.last.target) == (sent.method, sent.target)
    assert stage.last.body_sha256 == sent.body_sha256
    assert stage.last.credential == sent.credential


async def test_a_websocket_is_the_same_with_the_proxy_and_without(stage: Stage) -> None:
    heard = []
    async with aiohttp.ClientSession(headers={"authorization": f"Bearer {KEY}"}) as session:
        for base in (stage.existing.url, stage.proxy.url):
            async with session.ws_connect(
                f"{base}/v1/realtime?model=gpt-realtime", protocols=("realtime",), autoping=False
            ) as socket:
                messages: list[Any] = [(await socket.receive()).data]
                await socket.send_str('{"type":"response.create"}')
                while "response.completed" not in messages[-1]:
                    messages.append((await socket.receive()).data)
                await socket.send_bytes(bytes(range(256)) * 400)
                messages.append((await socket.receive()).data)
                await socket.ping(b"are you there")
                messages.append(bytes((await socket.receive()).data))
                await socket.send_str("close 4001 enough of this")
                end = await socket.receive()
                heard.append((socket.protocol, messages, end.data, end.extra))
    direct, through = heard
    assert through == direct
    assert through[2:] == (4001, "enough of this")


@pytest.mark.parametrize("protocol", ["h2c", "h2c-14", "websocket2"])
async def test_nobody_asks_the_existing_proxy_for_another_protocol_than_a_websocket(
    stage: Stage, protocol: str
) -> None:
    async with connected(("127.0.0.1", stage.proxy.port)) as (reader, writer):
        head = f"GET /v1/models HTTP/1.1\r\nHost: {HOST}\r\nUpgrade: {protocol}\r\n"
        writer.write(f"{head}Connection: Upgrade, HTTP2-Settings\r\nHTTP2-Settings: AAMAAABk\r\n\r\n".encode())
        async with asyncio.timeout(LIMIT):
            answer = await reader.readuntil(b"\r\n\r\n")

    assert answer.startswith(b"HTTP/1.1 200"), answer
    names = {line.lower().partition(b":")[0] for line in stage.last.lines}
    assert not names & {b"upgrade", b"http2-settings"}


async def test_the_existing_proxy_learns_where_a_client_is(stage: Stage) -> None:
    async with connected(("127.0.0.1", stage.proxy.port)) as (reader, writer):
        writer.write(b"GET /v1/models HTTP/1.1\r\nHost: api.example:8443\r\n\r\n")
        await reader.readuntil(b"\r\n\r\n")

    lines = [line.lower() for line in stage.last.lines]
    assert b"host: api.example:8443" in lines
    assert b"x-forwarded-for: 127.0.0.1" in lines
    assert b"x-forwarded-proto: http" in lines


async def test_a_body_that_is_too_long_for_the_gateway_is_the_existing_proxys_to_judge(stage: Stage) -> None:
    size = 40 * 2**20
    url = f"{stage.proxy.url}/v1/files"
    async with aiohttp.ClientSession() as session, session.post(url, data=io.BytesIO(bytes(size))) as answer:
        assert answer.status == 200

    assert stage.last.body_bytes == size


@pytest.mark.parametrize("target", ["/claudette", "/claude-sdk2/v1", "/", "/V1/models", "/healthz", "/readyz"])
async def test_what_only_looks_like_the_gateways_goes_to_the_existing_proxy(stage: Stage, target: str) -> None:
    await stage.proxy.ask(target=target, usual=())

    assert stage.last.target == target
