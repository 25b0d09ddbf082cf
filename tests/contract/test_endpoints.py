"""Every path of the data plane, as clients of both API versions use it."""

from __future__ import annotations

import asyncio
import json

import pytest
from attrs import evolve

from gateway.config import ClientAuth
from tests.contract.harness import ACCOUNT_KEY, MESSAGES, Served, envelope, head, serving
from tests.replay.raw_client import message

pytestmark = pytest.mark.asyncio(loop_scope="module")

COUNT = "/claude/v1/messages/count_tokens"
VERSIONS = pytest.mark.parametrize("version", ["2023-06-01", "2026-10-21"])


def counted() -> dict[str, object]:
    body = message()
    del body["max_tokens"]
    return body


@VERSIONS
@pytest.mark.parametrize("query", ["", "?beta=true"])
async def test_a_stream_comes_in_either_api_version(served: Served, version: str, query: str) -> None:
    usual = [("authorization", f"Bearer {served.key}"), ("anthropic-version", version)]
    answer = await served.ask(message(stream=True), MESSAGES + query, usual=usual)
    assert (answer.status, answer.ended) == (200, "complete")
    names = [name for name, _ in answer.events]
    assert (names[0], names[-1]) == ("message_start", "message_stop")
    (got,) = served.upstream.requests
    assert got.raw_path == f"/v1/messages{query}".encode()
    assert got.header_values("anthropic-version") == [version]
    assert served.ledger.of(answer).usage is not None


@VERSIONS
async def test_a_message_comes_in_either_api_version(served: Served, version: str) -> None:
    usual = [("x-api-key", served.key), ("anthropic-version", version)]
    answer = await served.ask(message(), usual=usual)
    assert (answer.status, answer.ended) == (200, "complete")
    assert answer.json()["type"] == "message"
    assert answer.header("content-length") == str(len(answer.body))


async def test_a_burst_of_thirty_token_counts_is_answered(served: Served) -> None:
    answers = await asyncio.gather(*(served.ask(counted(), f"{COUNT}?beta=true") for _ in range(30)))
    assert [answer.status for answer in answers] == [200] * 30
    expected = {"input_tokens": len(json.dumps(counted())) // 4}
    assert all(answer.json() == expected for answer in answers)
    assert {request.raw_path for request in served.upstream.requests} == {b"/v1/messages/count_tokens?beta=true"}
    assert len(served.ledger.records) == 30


async def test_models_come_page_by_page(served: Served) -> None:
    whole = (await served.ask(target="/claude/v1/models?limit=1000")).json()
    assert whole["has_more"] is False
    pages = []
    query = "?limit=7"
    while True:
        page = (await served.ask(target=f"/claude/v1/models{query}")).json()
        pages += page["data"]
        if not page["has_more"]:
            break
        query = f"?limit=7&after_id={page['last_id']}"
    assert pages == whole["data"]
    assert len(served.upstream.requests) == 1 + len(pages) // 7 + 1


async def test_one_model_comes_by_id_and_alias(served: Served) -> None:
    answer = await served.ask(target="/claude/v1/models/claude-haiku-4-5")
    assert answer.json()["id"] == "claude-haiku-4-5-20251001"
    assert served.upstream.requests[0].raw_path == b"/v1/models/claude-haiku-4-5"


async def test_an_unknown_model_is_the_upstreams_404(served: Served) -> None:
    answer = await served.ask(target="/claude/v1/models/gpt-5?beta=true")
    assert answer.status == 404
    assert answer.json()["error"] == {"type": "not_found_error", "message": "model: gpt-5"}
    assert answer.json()["request_id"] == served.upstream.requests[0].request_id


@pytest.mark.parametrize(
    "segment",
    ["claude-opus-5-5[1m]", "claude-opus-5-5%5b1m%5D", "a%20b", "100%", "a;b=c,(d)", "eu.claude-v1:0", "%3F"],
)
async def test_which_model_ids_there_are_is_for_the_upstream_to_say(served: Served, segment: str) -> None:
    answer = await served.ask(target=f"/claude/v1/models/{segment}?beta=true")
    (got,) = served.upstream.requests
    assert got.raw_path == f"/v1/models/{segment}?beta=true".encode()
    assert (answer.status, answer.json()["request_id"]) == (404, got.request_id)


@pytest.mark.parametrize("target", ["/claude/v1/models", "/claude/v1/models/claude-opus-5-5", MESSAGES, COUNT])
async def test_nothing_that_reaches_an_account_opens_without_a_key(served: Served, target: str) -> None:
    body = b"" if "models" in target else message()
    answer = await served.ask(body, target, usual=[("anthropic-version", "2023-06-01")])
    envelope(answer, 401, "authentication_error")
    assert served.upstream.requests == []


@pytest.mark.parametrize("method", ["HEAD", "GET"])
@pytest.mark.parametrize("target", ["/claude", "/claude/", "/claude/api/hello", "/claude?x=1"])
async def test_a_warm_up_probe_is_answered_here_without_a_key(served: Served, method: str, target: str) -> None:
    answer = await served.ask(target=target, usual=(), method=method)
    assert (answer.status, answer.ended) == (200, "complete")
    assert (answer.body == b"") == (method == "HEAD")
    assert served.upstream.requests == []


@pytest.mark.parametrize("method", ["HEAD", "GET"])
@pytest.mark.parametrize(("target", "status"), [("/healthz", "ok"), ("/readyz", "ready")])
async def test_health_is_answered_without_a_key(served: Served, method: str, target: str, status: str) -> None:
    answer = await served.ask(target=target, usual=(), method=method)
    assert answer.status == 200
    if method == "GET":
        assert answer.json()["status"] == status


async def test_without_an_account_the_gateway_is_alive_but_not_ready() -> None:
    async with serving(anthropic_api_key="") as served:
        assert (await served.ask(target="/healthz", usual=())).status == 200
        ready = await served.ask(target="/readyz", usual=())
        assert (ready.status, ready.json()) == (503, {"status": "no upstream account", "rollout": "canary"})
        answer = await served.stream()
        envelope(answer, 503, "api_error")
        assert answer.header("retry-after") == "30"


async def test_a_gateway_whose_accounts_are_all_paused_is_not_ready() -> None:
    async with serving() as served:
        pool = served.gateway.data_plane.messages.backend.pool
        (account,) = pool.accounts
        pool.replace([evolve(account, paused_at=1.0)], ())
        ready = await served.ask(target="/readyz", usual=())
        assert (ready.status, ready.json()) == (
            503,
            {"status": "no upstream account is of use", "rollout": "canary"},
        )


async def test_a_gateway_that_only_forwards_is_ready_without_an_account() -> None:
    async with serving(anthropic_api_key="", openai_base_url="http://127.0.0.1:9") as served:
        assert (await served.ask(target="/readyz", usual=())).status == 200


async def test_with_client_auth_off_nobody_needs_a_key() -> None:
    async with serving(client_auth=ClientAuth.OFF) as served:
        usual = [("host", "127.0.0.1:8787"), ("anthropic-version", "2023-06-01")]
        answer = await served.stream(usual=usual)
        assert answer.status == 200
        answer = await served.stream(usual=[*usual, ("x-api-key", "whatever")])
        assert answer.status == 200
        assert {request.credential for request in served.upstream.requests} == {("x-api-key", ACCOUNT_KEY)}


@pytest.mark.parametrize(
    ("name", "value"), [("x-api-key", "sk-ant-api03-client"), ("authorization", "Bearer sk-ant-api03-client")]
)
async def test_in_passthrough_a_client_pays_with_its_own_credential(name: str, value: str) -> None:
    async with serving(client_auth=ClientAuth.PASSTHROUGH, anthropic_api_key="") as served:
        answer = await served.stream(usual=[("anthropic-version", "2023-06-01"), (name, value)])
        assert answer.status == 200
        (got,) = served.upstream.requests
        assert got.credential == (name, value)
        record = served.ledger.of(answer)
        assert "sk-ant" not in repr(record)
        answer = await served.stream(usual=[("anthropic-version", "2023-06-01")])
        envelope(answer, 401, "authentication_error")
        assert len(served.upstream.requests) == 1


async def test_one_connection_serves_one_request_after_another(served: Served) -> None:
    async with served.connect() as connection:
        for number in range(3):
            await connection.send(MESSAGES, message(stream=number % 2 == 0), usual=served.usual)
            answer = await connection.receive()
            assert (answer.status, answer.ended) == (200, "complete")
        await connection.send("/claude/v1/nothing", usual=served.usual)
        envelope(await connection.receive(), 404, "not_found_error")
        await connection.send("/healthz", usual=())
        assert (await connection.receive()).status == 200


async def test_a_target_in_absolute_form_is_as_good_as_its_path(served: Served) -> None:
    body = json.dumps(message()).encode()
    request = head(
        f"http://anything.example:80{MESSAGES}?beta=true",
        "Host: gateway.example",
        f"x-api-key: {served.key}",
        "anthropic-version: 2023-06-01",
        f"Content-Length: {len(body)}",
        "Connection: close",
    )
    (answer,) = await served.raw(request + body)
    assert answer.status == 200
    assert served.upstream.requests[0].raw_path == b"/v1/messages?beta=true"
