"""`/v1/*` served from a pool of accounts, and kept apart from everything of Anthropic's."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Any

import openai
import pytest
from attrs import define

from gateway.config import OpenAIMode
from gateway.replay.openai import OpenAIReplay
from gateway.replay.server import ReplayUpstream
from tests.account_path.harness import NewAccount, Pooled, pooled
from tests.contract.harness import ACCOUNT_KEY
from tests.replay.raw_client import RawResponse

CHAT = {"model": "gpt-5", "messages": [{"role": "user", "content": "Say hello"}]}


def key_account(name: str) -> NewAccount:
    """Return an account with a key of its own."""
    return NewAccount(name, api_key=f"sk-proj-of-{name}", provider="openai")


@define
class Both:
    """A gateway with a pool for each provider."""

    served: Pooled
    openai: OpenAIReplay
    anthropic: ReplayUpstream

    async def ask(self, target: str = "/v1/chat/completions", body: Any = CHAT, **options: Any) -> RawResponse:
        """Ask below /v1 with the gateway's key."""
        usual = [("authorization", f"Bearer {self.served.key}"), ("content-type", "application/json")]
        return await self.served.ask(body, target, usual=usual, **options)

    def keys_that_arrived(self) -> list[str]:
        """Return the credentials of what arrived at the API, in order."""
        return [
            (arrival.credential or "").removeprefix("Bearer ")
            for arrival in self.openai.arrivals
            if arrival.target.startswith("/v1/")
        ]


@asynccontextmanager
async def both(*accounts: NewAccount, api: OpenAIReplay, **settings: Any) -> AsyncGenerator[Both]:
    """Run a gateway with accounts of OpenAI's, and the environment's of Anthropic's."""
    async with ReplayUpstream() as anthropic:
        usual: dict[str, Any] = {
            "openai_mode": OpenAIMode.POOL,
            "openai_base_url": api.url,
            "anthropic_api_key": ACCOUNT_KEY,
        }
        async with pooled(*accounts, upstream=anthropic, **{**usual, **settings}) as served:
            yield Both(served, api, anthropic)


async def test_a_request_is_served_with_an_accounts_key_and_the_clients_own_stays_here() -> None:
    red = key_account("red")
    async with OpenAIReplay(api_keys={red.key}) as api, both(red, api=api) as running:
        answer = await running.ask()
        assert answer.status == 200
        assert json.loads(answer.body)["object"] == "chat.completion"
        assert running.keys_that_arrived() == [red.key]
        assert running.served.key.encode() not in b"".join(arrival.head for arrival in api.arrivals)
        record = running.served.ledger.of(answer)
        assert (record.account, record.model, record.outcome) == ("red", "gpt-5", "complete")


async def test_a_stream_arrives_as_the_upstream_sent_it() -> None:
    red = key_account("red")
    async with OpenAIReplay() as api, both(red, api=api) as running:
        through = await running.ask(body={**CHAT, "stream": True})
        assert through.status == 200
        assert (through.header("content-type") or "").startswith("text/event-stream")
        assert through.body.endswith(b"data: [DONE]\n\n")


@pytest.mark.parametrize(("good", "bad"), [("green", "red"), ("red", "green")])
async def test_a_key_that_is_refused_is_replaced_by_another_account_and_needs_a_person(
    good: str, bad: str
) -> None:
    accounts = [key_account("red"), key_account("green")]
    keys = {account.name: account.key for account in accounts}
    async with OpenAIReplay(api_keys={keys[good]}) as api, both(*accounts, api=api) as running:
        for _ in range(4):
            assert (await running.ask()).status == 200
        assert running.keys_that_arrived().count(keys[bad]) <= 1
        assert running.keys_that_arrived().count(keys[good]) == 4


async def test_an_expired_token_is_renewed_at_its_own_endpoint_and_nothing_of_it_comes_near_anthropic() -> None:
    async with OpenAIReplay(api_keys=set()) as api:
        pair = api.tokens.issue()
        api.tokens.expire(pair.access_token)
        red = NewAccount("red", tokens=pair, provider="openai", token_url=f"{api.url}/oauth/token")
        async with both(red, api=api) as running:
            async with asyncio.TaskGroup() as group:
                tasks = [group.create_task(running.ask()) for _ in range(20)]
            assert {task.result().status for task in tasks} == {200}
            assert [record.outcome for record in api.tokens.records] == ["granted"]
            await running.served.assert_serves()
            assert not running.anthropic.tokens.records
            sent = [str(request.headers) + repr(request.body) for request in running.anthropic.requests]
            assert not any("sk-ant-oat01" in text or "sk-ant-ort01" in text for text in sent)
            assert {request.credential for request in running.anthropic.requests} == {("x-api-key", ACCOUNT_KEY)}
            assert all(ACCOUNT_KEY.encode() not in arrival.head for arrival in api.arrivals)


async def test_anthropics_trouble_leaves_v1_alone_and_the_other_way_round() -> None:
    red = key_account("red")
    async with OpenAIReplay(api_keys={red.key}) as api, ReplayUpstream(api_keys=set()) as anthropic:
        pair = anthropic.tokens.issue()
        anthropic.faults.push("hang:head", path="*", times="forever")
        blue = NewAccount("blue", tokens=pair, expires_in=-5)
        settings: dict[str, Any] = {"openai_mode": OpenAIMode.POOL, "openai_base_url": api.url}
        async with pooled(red, blue, upstream=anthropic, **settings) as served:
            running = Both(served, api, anthropic)
            for _ in range(5):
                assert (await running.ask()).status == 200
            anthropic.faults.clear()
            api.api_keys = set()
            assert (await running.ask()).status == 503
            await served.until_condition_of("red")
            (blue_now,) = [one for one in await served.store.all() if one.name == "blue"]
            assert blue_now.condition.value == "ok"


async def test_without_a_key_of_the_gateway_the_answer_is_a_401_in_openais_words() -> None:
    async with OpenAIReplay() as api, both(key_account("red"), api=api) as running:
        answer = await running.served.ask(
            CHAT, "/v1/chat/completions", usual=[("authorization", "Bearer sk-other")]
        )
        assert answer.status == 401
        assert set(json.loads(answer.body)["error"]) == {"message", "type", "param", "code"}
        assert not api.arrivals


@pytest.mark.parametrize("target", ["/v1/../claude", "/v1/%2e%2e/x", "/v1/a/..%2fb"])
async def test_a_path_that_climbs_out_of_v1_goes_nowhere(target: str) -> None:
    async with OpenAIReplay() as api, both(key_account("red"), api=api) as running:
        answer = await running.ask(target)
        assert answer.status == 400
        assert "error" in json.loads(answer.body)
        assert not api.arrivals


async def test_the_official_package_works_with_a_key_of_the_gateway() -> None:
    red = key_account("red")
    async with OpenAIReplay(api_keys={red.key}) as api, both(red, api=api) as running:
        client = openai.AsyncOpenAI(
            base_url=f"{running.served.gateway.url}/v1", api_key=running.served.key, max_retries=0
        )
        async with client:
            answer = await client.chat.completions.create(
                model="gpt-5", messages=[{"role": "user", "content": "Say hello"}]
            )
            assert answer.choices
            stream = await client.chat.completions.create(
                model="gpt-5", messages=[{"role": "user", "content": "Say hello"}], stream=True
            )
            assert [chunk async for chunk in stream]
            assert (await client.models.list()).data


async def test_a_websocket_is_refused_with_a_way_to_have_one() -> None:
    async with OpenAIReplay() as api, both(key_account("red"), api=api) as running:
        answer = await running.ask(
            method="GET", target="/v1/realtime", body=b"", headers=[("upgrade", "websocket")]
        )
        assert answer.status == 501
        assert "GATEWAY_OPENAI_MODE" in json.loads(answer.body)["error"]["message"]
