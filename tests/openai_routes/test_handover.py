"""One client connection serves `/v1` and everything else, in any order and however the bytes are cut."""

from __future__ import annotations

import asyncio
import json
import random
from collections.abc import AsyncGenerator, Awaitable, Callable

import pytest
import pytest_asyncio

from gateway.replay.openai_exchanges import recorded_exchanges
from tests.contract.harness import MESSAGES
from tests.openai_routes.stage import Stage, connected, exactly, rest, staged
from tests.replay.raw_client import RawConnection, message, render

pytestmark = pytest.mark.asyncio(loop_scope="module")

RECORDED = {exchange.name: exchange for exchange in recorded_exchanges()}
Send = Callable[[bytes], Awaitable[None]]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def stage() -> AsyncGenerator[Stage]:
    async with staged() as running:
        yield running


async def forward(_: Stage, client: RawConnection, send: Send) -> None:
    name = random.choice(["chat", "chat-stream", "files", "files-chunked", "models", "empty", "trailers"])
    expected = RECORDED[name].answer()
    await send(RECORDED[name].request("127.0.0.1", ("x-replay-answer", name)))
    assert await exactly(client.reader, len(expected)) == expected


async def claude(stage: Stage, client: RawConnection, send: Send) -> None:
    body = json.dumps(message(stream=True)).encode()
    await send(render(MESSAGES, stage.served.usual, body, "POST"))
    answer = await client.receive()
    assert answer.status == 200
    assert b"event: message_stop\n" in answer.body


async def health(_: Stage, client: RawConnection, send: Send) -> None:
    await send(render("/healthz", (), b"", "GET"))
    assert (await client.receive()).body == b'{"status":"ok"}'


async def nowhere(_: Stage, client: RawConnection, send: Send) -> None:
    # A refused request whose body looks like one to be forwarded.
    await send(render("/nowhere", (), b"GET /v1/models HTTP/1.1\r\nHost: x\r\n\r\n", "POST"))
    assert (await client.receive()).status == 404


@pytest.mark.parametrize("seed", range(12))
async def test_requests_of_both_kinds_take_turns_on_one_connection(stage: Stage, seed: int) -> None:
    random.seed(seed)
    forwarded = len(stage.openai.arrivals)
    kinds = [random.choice([forward, claude, health, nowhere]) for _ in range(12)]
    async with connected(stage.places["forwarded"]) as (reader, writer):
        client = RawConnection(reader, writer)

        async def send(data: bytes) -> None:
            at = 0
            while at < len(data):
                size = random.choice([1, 2, 5, 20, len(data)])
                writer.write(data[at : at + size])
                await writer.drain()
                # Lets what was written arrive on its own.
                await asyncio.sleep(0)
                at += size

        for kind in kinds:
            await kind(stage, client, send)
    assert len(stage.openai.arrivals) - forwarded == kinds.count(forward)
    assert not [arrival for arrival in stage.openai.arrivals if not arrival.target.startswith("/v1")]


@pytest.mark.parametrize(
    "target",
    ["/v10/models", "/v1beta", "/V1/models", "/v1%2Fmodels", "/%761/models", "//v1/models", "/v", "/v1#x"],
)
async def test_what_only_looks_like_v1_is_not_forwarded(stage: Stage, target: str) -> None:
    before = len(stage.openai.arrivals)
    (answer,) = await stage.served.raw(render(target, [("Connection", "close")], b"", "GET"))
    assert answer.status == 404
    assert len(stage.openai.arrivals) == before


@pytest.mark.parametrize(
    "first",
    [
        b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n",
        b"POST /nowhere HTTP/1.1\r\nHost: localhost\r\nContent-Length: 2\r\n\r\n{}",
        b"POST /nowhere HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n",
    ],
    ids=["no body", "sized body", "chunked body"],
)
async def test_the_rest_of_a_request_is_never_taken_for_another_one(stage: Stage, first: bytes) -> None:
    before = len(stage.openai.arrivals)
    async with connected(stage.places["forwarded"]) as (reader, writer):
        writer.write(first + b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nA: ")
        await reader.readuntil(b"}")
        writer.write(b"GET /v1/models HTTP/1.1\r\n\r\n")
        assert (await rest(reader) or b"").endswith(b'{"status":"ok"}')
    assert len(stage.openai.arrivals) == before


async def test_a_client_that_goes_on_in_the_middle_of_a_piece_is_served(stage: Stage) -> None:
    async with connected(stage.places["forwarded"]) as (reader, writer):
        writer.write(b"POST /nowhere HTTP/1.1\r\nHost: localhost\r\nContent-Length: 4\r\n\r\n")
        await reader.readline()
        writer.write(b"bodyGET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n")
        await reader.readuntil(b'{"status":"ok"}')
        writer.write(b"GET /v1/models HTTP/1.1\r\nHost: x\r\n\r\n")
        assert await reader.readline() == b"HTTP/1.1 200 OK\r\n"


async def test_any_number_of_empty_lines_may_come_before_a_request(stage: Stage) -> None:
    async with connected(stage.places["forwarded"]) as (reader, writer):
        for target in ("/v1/models", "/v1/models", "/healthz", "/v1/models"):
            writer.write(b"\r\n" * 1000)
            await writer.drain()
            writer.write(f"\r\nGET {target} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
            if target == "/healthz":
                assert await reader.readuntil(b"}")
                continue
            expected = RECORDED["models"].answer()
            assert await exactly(reader, len(expected)) == expected


async def test_an_empty_line_behind_a_request_brings_no_answer_of_its_own() -> None:
    async with (
        staged(timeouts={"request_head_seconds": 0.1, "keepalive_seconds": 0.4}) as stage,
        connected(stage.places["forwarded"]) as (reader, writer),
    ):
        writer.write(b"POST /v1/nowhere HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\n{}\r\n")
        assert (await rest(reader) or b"").count(b"HTTP/1.1 ") == 1


async def test_a_target_in_absolute_form_is_forwarded_as_a_path(stage: Stage) -> None:
    async with connected(stage.places["forwarded"]) as (reader, writer):
        writer.write(b"\r\nGET HTTP://gateway.example:80/v1/models?x HTTP/1.1\r\nHost: gateway.example:80\r\n\r\n")
        assert await reader.readline() == b"HTTP/1.1 200 OK\r\n"
    assert stage.last.target == "/v1/models?x"
