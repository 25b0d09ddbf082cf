"""Trouble on one side of the gateway does not reach the other, nor does a credential."""

from __future__ import annotations

import asyncio

import pytest

from gateway.replay.openai import OpenAIReplay
from gateway.replay.openai_exchanges import recorded_exchanges
from gateway.replay.server import ReplayUpstream
from tests.contract.harness import ACCOUNT_KEY, Served, serving
from tests.faults.scripted import Exchange, ScriptedUpstream
from tests.openai_routes.stage import KEY, connected, exactly, staged

CHAT = next(exchange for exchange in recorded_exchanges() if exchange.name == "chat")
NOBODY = "http://127.0.0.1:1"


async def forwards(served: Served) -> bool:
    """Whether a request below `/v1` gets its recorded answer."""
    async with connected((served.gateway.host, served.gateway.port)) as (reader, writer):
        writer.write(CHAT.request("x"))
        return await exactly(reader, len(CHAT.answer())) == CHAT.answer()


@pytest.mark.parametrize("fault", ["status=500", "status=529", "error=overloaded_error", "refuse", "cut@3"])
async def test_v1_is_untouched_while_claude_fails(fault: str) -> None:
    async with staged() as stage, asyncio.TaskGroup() as tasks:
        for _ in range(5):
            failing = tasks.create_task(stage.served.stream(fault=fault))
            assert await forwards(stage.served)
            await failing
        assert await forwards(stage.served)
        assert not [arrival for arrival in stage.openai.arrivals if arrival.target != CHAT.target]


async def test_v1_is_untouched_while_nobody_answers_for_claude() -> None:
    async with staged(anthropic_base_url=NOBODY) as stage:
        assert (await stage.served.stream()).status == 502
        assert await forwards(stage.served)


async def test_v1_is_untouched_while_claudes_upstream_is_hostile() -> None:
    async def flood(exchange: Exchange) -> None:
        await exchange.send(b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n\r\n" + b"\xff" * 2**20)
        exchange.reset()

    async with ScriptedUpstream(flood) as hostile, staged(anthropic_base_url=hostile.url) as stage:
        for _ in range(5):
            await stage.served.stream()
            assert await forwards(stage.served)


async def test_claude_is_untouched_while_nobody_answers_for_v1() -> None:
    async with serving(openai_base_url=NOBODY) as served:
        for _ in range(5):
            assert not await forwards(served)
            await served.assert_serves()


@pytest.mark.parametrize("answer", [b"", b"\xff" * 2**20, b"HTTP/1.1 200 OK\r\n\r\nhalf"])
async def test_claude_is_untouched_while_v1s_upstream_is_hostile(answer: bytes) -> None:
    async def hurt(exchange: Exchange) -> None:
        await exchange.send(answer)
        exchange.reset()

    async with ScriptedUpstream(hurt) as hostile, serving(openai_base_url=hostile.url) as served:
        for _ in range(5):
            async with connected((served.gateway.host, served.gateway.port)) as (_, writer):
                writer.write(CHAT.request("x"))
                await served.assert_serves()


async def test_refusals_of_keys_and_quotas_on_one_side_change_nothing_on_the_other() -> None:
    async with staged(OpenAIReplay(api_keys={"another"}), upstream=ReplayUpstream()) as stage:
        for _ in range(20):
            async with connected(stage.places["forwarded"]) as (reader, writer):
                writer.write(CHAT.request("x"))
                assert await reader.readline() == b"HTTP/1.1 401 Unauthorized\r\n"
        await stage.served.assert_serves()


async def test_no_credential_crosses_over_and_neither_token_endpoint_is_touched() -> None:
    async with staged() as stage:
        await stage.served.assert_serves()
        assert await forwards(stage.served)
        for arrival in stage.openai.arrivals:
            assert ACCOUNT_KEY.encode() not in arrival.head + arrival.raw_body
            assert stage.served.key.encode() not in arrival.head + arrival.raw_body
        for request in stage.served.upstream.requests:
            assert KEY not in str(request.headers)
            assert KEY.encode() not in request.body
        assert not stage.openai.tokens.records
        assert not stage.served.upstream.tokens.records
        assert {request.raw_path for request in stage.served.upstream.requests} == {b"/v1/messages"}
        assert {arrival.target for arrival in stage.openai.arrivals} == {CHAT.target}
