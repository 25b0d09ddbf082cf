"""What a client of the local SDK transport gets."""

from __future__ import annotations

import json
from typing import Final

import anthropic
import pytest

from tests.contract.harness import ACCOUNT_KEY, GATEWAY_ID, envelope
from tests.faults.waiting import until
from tests.sdk_runtime.asking import (
    MODEL,
    SDK,
    ask,
    asked_upstream,
    follow_up,
    question,
    runtimes,
    sdk_serving,
)


async def test_a_stream_comes_delta_by_delta_and_ends_once() -> None:
    async with sdk_serving() as served:
        answer = await ask(served, question("Hello there", system="Be brief.", max_tokens=77))

        assert answer.status == 200, answer.body
        names = [name for name, _ in answer.events]
        assert names[0] == "message_start"
        assert names.count("content_block_delta") > 10
        assert names[-3:] == ["content_block_stop", "message_delta", "message_stop"]
        assert names.count("message_stop") == 1
        record = served.ledger.of(answer)
        assert (record.outcome, record.stop_reason, record.status) == ("complete", "end_turn", 200)
        assert record.route == "POST /claude-sdk/v1/messages"
        assert (record.actor, record.model, record.stream) == ("contract", MODEL, True)
        (sent,) = served.upstream.requests
        assert sent.credential == ("x-api-key", ACCOUNT_KEY)
        assert answer.header("request-id") == record.upstream_request_id == sent.request_id
        body = json.loads(sent.body)
        assert (body["model"], body["max_tokens"], body["tools"]) == (MODEL, 77, [])
        assert "thinking" not in body
        assert body["system"][-1]["text"] == "Be brief."


async def test_deltas_leave_while_the_upstream_is_still_answering() -> None:
    async with sdk_serving() as served, served.connect() as connection:
        served.upstream.faults.push("hang:event=4")
        await connection.send(SDK, question(), usual=served.usual)
        await connection.until(b"content_block_delta")
        assert served.upstream.open_streams == 1


async def test_without_a_stream_the_whole_message_comes() -> None:
    async with sdk_serving() as served:
        answer = await ask(served, question(stream=False))

        assert answer.status == 200, answer.body
        assert answer.header("content-type") == "application/json"
        message = answer.json()
        assert (message["type"], message["role"], message["model"]) == ("message", "assistant", MODEL)
        assert [block["type"] for block in message["content"]] == ["text"]
        assert message["content"][0]["text"].startswith("The replay upstream answers: ")
        assert message["stop_reason"] == "end_turn"
        record = served.ledger.of(answer)
        assert (record.outcome, record.usage) == ("complete", message["usage"])


async def test_the_official_sdk_reads_it() -> None:
    async with (
        sdk_serving() as served,
        anthropic.AsyncAnthropic(
            base_url=f"{served.gateway.url}/claude-sdk", api_key=served.key, max_retries=0
        ) as client,
        client.messages.stream(
            model=MODEL, max_tokens=100, messages=[{"role": "user", "content": "Hello"}]
        ) as stream,
    ):
        message = await stream.get_final_message()
    assert (message.stop_reason, [block.type for block in message.content]) == ("end_turn", ["text"])


async def test_an_answer_that_reaches_max_tokens_costs_one_request() -> None:
    async with sdk_serving() as served:
        answer = await ask(served, question(max_tokens=5))

        assert answer.events[-2][1]["delta"]["stop_reason"] == "max_tokens"
        assert served.ledger.of(answer).outcome == "complete"
        await until(lambda: not runtimes())
        assert len(served.upstream.requests) == 1


@pytest.mark.parametrize(
    ("fault", "stream", "status", "kind"),
    [
        ("status:429;retry-after=7", True, 429, "rate_limit_error"),
        ("error-event:overloaded_error;event=1", True, 529, "overloaded_error"),
        ("cut:event=1", True, 502, "api_error"),
        ("status:529", False, 529, "overloaded_error"),
        ("eof:event=5", False, 502, "api_error"),
    ],
)
async def test_trouble_before_any_content_has_the_status_it_deserves(
    fault: str, status: int, kind: str, *, stream: bool
) -> None:
    async with sdk_serving() as served:
        served.upstream.faults.push(fault, times="forever")
        answer = await ask(served, question(stream=stream))

        assert (answer.status, answer.json()["error"]["type"]) == (status, kind), answer.body
        assert answer.header("retry-after") == ("7" if status == 429 else answer.header("retry-after"))
        record = served.ledger.of(answer)
        assert record.status == status
        assert record.outcome in {"refused", "upstream_error"}
        assert ACCOUNT_KEY.encode() not in answer.body
        assert served.upstream.url.removeprefix("http://").encode() not in answer.body


async def test_a_refused_credential_of_the_gateway_is_not_blamed_on_the_client() -> None:
    async with sdk_serving() as served:
        served.upstream.faults.push("status:401")
        error = envelope(await ask(served, question()), 503, "api_error")
        assert "operator" in error["message"]


@pytest.mark.parametrize(
    ("fault", "kind"),
    [
        ("hang:event=4;seconds=0.2|cut:event=5", "api_error"),
        ("error-event:overloaded_error;event=5", "overloaded_error"),
        ("duplicate-start;event=5", "api_error"),
    ],
)
async def test_a_stream_that_breaks_off_upstream_says_so_though_the_runtime_does_not(
    fault: str, kind: str
) -> None:
    async with sdk_serving() as served:
        served.upstream.faults.push(fault)
        answer = await ask(served, question())

        assert answer.status == 200
        names = [name for name, _ in answer.events]
        assert "content_block_delta" in names
        assert names[-1] == "error"
        assert names.count("error") == 1
        assert not {"message_stop", "message_delta"} & set(names)
        assert answer.events[-1][1]["error"]["type"] == kind
        assert served.ledger.of(answer).outcome == "upstream_error"


async def test_a_client_without_a_key_is_not_served() -> None:
    async with sdk_serving() as served:
        answer = await ask(served, question(), usual=[("content-type", "application/json")])
        envelope(answer, 401, "authentication_error")
        assert answer.header(GATEWAY_ID)
        assert not served.upstream.requests


TEXTS: Final = (
    ("/help",),
    ("!ls",),
    ("@/etc/passwd what is in there?",),
    ("#remember that I was here",),
    (
        "/compact",
        "/model opus",
        "/clear",
        "exit",
        "  lead and trail  ",
        "\r\n odd \x00 \x1b[31m",
        "e\u0301 \u200b",
    ),
)


async def test_prompts_reach_the_model_as_they_are_and_are_no_commands() -> None:
    async with sdk_serving(sdk_pool_size=1) as served:
        system = "/help @/etc/passwd --version\n "
        body = question([{"type": "text", "text": "Hello"}], system=system, metadata={"user_id": "one"})
        answer = await ask(served, body)
        for texts in TEXTS:
            body = follow_up(body, answer, "")
            body["messages"][-1]["content"] = [{"type": "text", "text": text} for text in texts]
            answer = await ask(served, body)
            assert answer.status == 200, answer.body

        *_, conversation = asked_upstream(served)
        assert conversation[::2] == [["Hello"], *map(list, TEXTS)]
        assert len(served.upstream.requests) == 1 + len(TEXTS)
        for sent in served.upstream.requests:
            assert json.loads(sent.body)["system"][-1]["text"] == system
            assert b"root:" not in sent.body
