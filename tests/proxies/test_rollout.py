"""A canary behind a proxy of docs/deploy can fail, drain and be taken out, and nobody else notices."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable

import aiohttp
import pytest

from gateway.replay.openai import OpenAIReplay
from tests.faults.scripted import (
    CLOSING,
    LAST_CHUNK,
    OPENING,
    STREAM_HEAD,
    Exchange,
    ScriptedUpstream,
    chunk,
    json_head,
)
from tests.proxies.behind import KINDS, MESSAGES, Behind, behind, free_port, until_well
from tests.replay.raw_client import LIMIT, RawResponse, message

EACH = pytest.mark.parametrize("name", list(KINDS))
QUICK = {
    "nginx": {},
    "haproxy": {"check inter 2s": "check inter 50ms"},
    "caddy": {"health_interval 2s": "health_interval 50ms"},
}
"""Health checks that a test need not wait for."""
ELSEWHERE = b'{"served by": "the existing proxy"}'


def envelope_of_a_retry(answer: RawResponse) -> None:
    """Check that this is an error in the API's form, which clients try again."""
    assert answer.status in (502, 503)
    assert answer.header("content-type") == "application/json"
    body = json.loads(answer.body)
    assert body["type"] == "error"
    assert body["error"]["type"] == "api_error"
    assert "Try again" in body["error"]["message"]
    assert answer.values("request-id") == [body["request_id"]]
    assert body["request_id"].startswith("req_")
    assert len(body["request_id"]) > 20
    assert answer.header("x-should-retry") is None
    retry_after = answer.header("retry-after")
    assert retry_after is not None
    assert 0 < int(retry_after) <= 60


async def eventually(ask: Callable[[], Awaitable[bool]]) -> None:
    """Ask until it is so."""
    async with asyncio.timeout(LIMIT):
        while not await ask():  # noqa: ASYNC110 - a proxy offers no event to wait for
            await asyncio.sleep(0.02)


async def answer_elsewhere(exchange: Exchange) -> None:
    """Answer as an existing proxy that has a /claude of its own."""
    await exchange.send(json_head(len(ELSEWHERE)), ELSEWHERE)


@EACH
async def test_a_canary_that_is_away_is_an_error_to_retry_and_the_existing_proxy_goes_on(name: str) -> None:
    async with (
        OpenAIReplay() as existing,
        behind(name, existing=existing, canary_port=free_port(), changes=QUICK[name]) as stage,
        stage.connect() as client,
    ):
        for _ in range(2):
            await client.send(MESSAGES, message(stream=True), usual=stage.canary.usual)
            envelope_of_a_retry(await client.receive())
        envelope_of_a_retry(await stage.ask(message(padding="x" * 2**20)))
        envelope_of_a_retry(await stage.ask(target="/claude/v1/models"))
        beside = await stage.ask(target="/v1/models", usual=())

    assert (beside.status, beside.ended) == (200, "complete")
    assert [arrival.target for arrival in existing.arrivals] == ["/v1/models"]


@EACH
async def test_a_canary_that_comes_back_is_served_from_again(name: str) -> None:
    port = free_port()
    async with behind(name, canary_port=port, changes=QUICK[name]) as stage:
        envelope_of_a_retry(await stage.stream())
        server = await asyncio.start_server(_answer_anything, "127.0.0.1", port)
        async with server:
            await until_well(stage)


async def _answer_anything(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await reader.readuntil(b"\r\n\r\n")
    writer.write(json_head(2, "connection: close") + b"{}")
    writer.close()


# nginx asks nobody for their health: it is told by a line of its file, and docs/deploy/proxies.md says how.
@pytest.mark.parametrize("name", ["haproxy", "caddy"])
async def test_a_gateway_that_drains_gets_no_new_requests_and_its_streams_end_as_they_should(name: str) -> None:
    goes_on = asyncio.Event()

    async def talk(exchange: Exchange) -> None:
        await exchange.send(STREAM_HEAD, chunk(OPENING))
        await goes_on.wait()
        await exchange.send(chunk(CLOSING), LAST_CHUNK)

    async def is_refused() -> bool:
        answer = await stage.ask(target="/claude", usual=())
        return answer.status == 503

    async with (
        ScriptedUpstream(talk) as upstream,
        behind(name, anthropic_base_url=upstream.url, changes=QUICK[name]) as stage,
        stage.connect() as client,
    ):
        await client.send(MESSAGES, message(stream=True), usual=stage.canary.usual)
        await client.until(OPENING[-60:])
        stage.canary.gateway.data_plane.draining = True
        await eventually(is_refused)
        envelope_of_a_retry(await stage.stream())
        goes_on.set()
        await client.until(b"message_stop")
        await client.until(b"\r\n0\r\n\r\n")


async def test_behind_nginx_one_of_two_gateways_can_be_away_unnoticed() -> None:
    both = {
        "server 127.0.0.1:8787;": f"server 127.0.0.1:{free_port()}; server 127.0.0.1:8787;",
        "proxy_next_upstream off;": "proxy_next_upstream error;",
    }
    async with behind("nginx", changes=both) as stage:
        answers = [await stage.ask(message(padding="x" * 100_000)) for _ in range(4)]

    assert [answer.status for answer in answers] == [200] * 4


@EACH
async def test_one_line_and_a_reload_take_the_canary_out_and_break_no_stream(name: str) -> None:
    goes_on = asyncio.Event()

    async def talk(exchange: Exchange) -> None:
        await exchange.send(STREAM_HEAD, chunk(OPENING))
        await goes_on.wait()
        await exchange.send(chunk(CLOSING), LAST_CHUNK)

    async def be_beside(exchange: Exchange) -> None:
        if exchange.target == b"/v1/chat/completions":
            await talk(exchange)
        else:
            await answer_elsewhere(exchange)

    async def is_elsewhere() -> bool:
        return (await stage.ask(target="/claude", usual=())).body == ELSEWHERE

    async with (
        ScriptedUpstream(talk) as upstream,
        ScriptedUpstream(be_beside) as existing,
        behind(name, existing=existing, anthropic_base_url=upstream.url, changes=QUICK[name]) as stage,
        stage.connect() as client,
        stage.connect() as other,
    ):
        await client.send(MESSAGES, message(stream=True), usual=stage.canary.usual)
        await other.send("/v1/chat/completions", b"{}", usual=())
        for connection in (client, other):
            await connection.until(OPENING[-60:])
        await stage.edit_and_reload(*stage.kind.rollback)
        await eventually(is_elsewhere)

        goes_on.set()
        for connection in (client, other):
            await connection.until(b"message_stop")
            await connection.until(b"\r\n0\r\n\r\n")
        assert (await stage.ask(message(stream=True))).body == ELSEWHERE
        assert len(upstream.exchanges) == 1

        before, after = stage.kind.rollback
        await stage.edit_and_reload(after, before)
        await eventually(lambda: _greets(stage))


async def _greets(stage: Behind) -> bool:
    answer = await stage.ask(target="/claude", usual=())
    return answer.json().get("message") == "hello"


# Not Caddy: it closes WebSockets when it reads its file again, or from 2.7 on after stream_close_delay.
@pytest.mark.parametrize("name", ["nginx", "haproxy"])
async def test_a_websocket_to_the_existing_proxy_outlives_the_rollback(name: str) -> None:
    async def is_elsewhere() -> bool:
        return (await stage.ask(target="/claude", usual=())).status == 404

    async with (
        behind(name) as stage,
        aiohttp.ClientSession() as session,
        session.ws_connect(f"{stage.url}/v1/responses") as socket,
    ):
        await socket.send_str("before")
        assert await socket.receive_str() == "before"
        await stage.edit_and_reload(*stage.kind.rollback)
        await eventually(is_elsewhere)
        await socket.send_str("after")
        assert await socket.receive_str() == "after"


SHARED = {
    "nginx": {
        "by_key": ("set $claude_to canary;", "set $claude_to $by_key;"),
        "by_header": ("set $claude_to canary;", "set $claude_to $by_header;"),
        "by_share": ("set $claude_to canary;", "set $claude_to $by_share;"),
    },
    "haproxy": {
        "by_key": ("set-var(txn.claude_to) str(canary)", "set-var(txn.claude_to) var(txn.by_key)"),
        "by_header": ("set-var(txn.claude_to) str(canary)", "set-var(txn.claude_to) var(txn.by_header)"),
        "by_share": ("set-var(txn.claude_to) str(canary)", "set-var(txn.claude_to) var(txn.by_share)"),
    },
    "caddy": {
        "by_key": ("#   expression", "expression"),
        "by_header": ("#   header X-Claude-Canary", "header X-Claude-Canary"),
    },
}


async def serves(stage: Behind, *headers: tuple[str, str]) -> bool:
    """Whether such a request comes to the gateway."""
    answer = await stage.ask(target="/claude/v1/models", usual=headers)
    return answer.body != ELSEWHERE


@EACH
async def test_clients_with_a_key_of_the_gateways_can_be_the_only_ones_it_serves(name: str) -> None:
    async with (
        ScriptedUpstream(answer_elsewhere) as existing,
        behind(name, existing=existing, changes=dict([SHARED[name]["by_key"]])) as stage,
    ):
        assert await serves(stage, ("x-api-key", stage.canary.key))
        assert await serves(stage, ("authorization", f"Bearer {stage.canary.key}"))
        assert not await serves(stage, ("x-api-key", "sk-ant-api03-x"))
        assert not await serves(stage, ("authorization", "Bearer sk-csg_x"))
        assert not await serves(stage)


@EACH
async def test_requests_that_ask_for_the_canary_can_be_the_only_ones_it_serves(name: str) -> None:
    async with (
        ScriptedUpstream(answer_elsewhere) as existing,
        behind(name, existing=existing, changes=dict([SHARED[name]["by_header"]])) as stage,
    ):
        assert await serves(stage, ("x-claude-canary", "yes"))
        assert not await serves(stage, ("x-claude-canary", "no"))
        assert not await serves(stage)


@pytest.mark.parametrize("name", ["nginx", "haproxy"])
async def test_a_part_of_the_sessions_comes_to_the_canary_and_each_stays_where_it_is(name: str) -> None:
    async with (
        ScriptedUpstream(answer_elsewhere) as existing,
        behind(name, existing=existing, changes=dict([SHARED[name]["by_share"]])) as stage,
    ):
        first, again = [
            [await serves(stage, ("x-claude-code-session-id", f"session-{number}")) for number in range(100)]
            for _ in range(2)
        ]

    assert first == again
    assert 2 <= sum(first) <= 25
