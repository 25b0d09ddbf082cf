"""Claude Code itself, print mode, through the gateway."""

from __future__ import annotations

import asyncio
import json
import signal
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from gateway.replay.answers import ANSWER, words
from gateway.replay.models import CATALOGUE
from gateway.replay.server import ReplayUpstream
from gateway.replay.tool_loop import BASH_COMMAND
from tests.e2e.claude_code import PARTIAL, STREAM_JSON, ClaudeCode, pointed_at, until_text
from tests.e2e.stage import UPSTREAM_KEY, Place, behind_gateway, direct


@pytest.fixture
async def paced() -> AsyncIterator[Place]:
    """Give a place whose answers take a while, as a model's do."""
    async with behind_gateway(ReplayUpstream(tokens_per_second=100)) as gateway:
        yield gateway


def outcomes(place: Place) -> list[str | None]:
    return [record.outcome for record in place.records]


async def test_it_answers_and_its_request_arrives_as_it_sent_it(claude: ClaudeCode, place: Place) -> None:
    finished = await claude.run("-p", "hello", environ=pointed_at(place))
    assert (finished.status, finished.output.strip()) == (0, ANSWER)
    (request,) = place.upstream.requests
    assert request.raw_path == b"/v1/messages?beta=true"
    assert f"claude-cli/{claude.version}" in (request.header("user-agent") or "")
    assert "claude-code-20250219" in (request.header("anthropic-beta") or "").split(",")
    assert request.header("anthropic-version") == "2023-06-01"
    assert request.header("x-claude-code-session-id") is not None
    body = json.loads(request.body)
    assert body["system"][0]["text"].startswith("x-anthropic-billing-header")
    assert "context_management" in body
    assert request.credential == ("x-api-key", UPSTREAM_KEY)
    assert not any(place.key in value for _, value in request.headers)
    (record,) = place.records
    assert (record.outcome, record.status, record.stop_reason) == ("complete", 200, "end_turn")


async def test_it_runs_a_tool_loop_and_its_events_tell(claude: ClaudeCode, paced: Place) -> None:
    finished = await claude.run(
        *(
            "-p",
            "Run the command: echo hello",
            "--allowedTools",
            "Bash",
            *STREAM_JSON,
            "--include-partial-messages",
        ),
        environ=pointed_at(paced, tools=True),
    )
    assert finished.status == 0
    assert finished.result["subtype"] == "success"
    assert finished.result["result"] == "The tool answered: replay-tool-ok"
    assert finished.result["num_turns"] == 2
    assert finished.result["usage"]["output_tokens"] == sum(
        (record.usage or {})["output_tokens"] for record in paced.records
    )
    said = [event for event in finished.events if event["type"] in {"assistant", "user"}]
    blocks = [block for event in said for block in event["message"]["content"]]
    assert [block["type"] for block in blocks] == ["text", "tool_use", "tool_result", "text"]
    assert (blocks[1]["name"], blocks[1]["input"]["command"]) == ("Bash", BASH_COMMAND)
    assert (blocks[2]["tool_use_id"], blocks[2]["content"]) == (blocks[1]["id"], "replay-tool-ok")
    asked = {request.request_id for request in paced.upstream.requests}
    assert {event["request_id"] for event in said if event["type"] == "assistant"} == asked
    streamed = [event["event"] for event in finished.events if event["type"] == "stream_event"]
    starts = [number for number, event in enumerate(streamed) if event["type"] == "message_start"]
    assert len(starts) == 2
    for turn in (streamed[: starts[1]], streamed[starts[1] :]):
        assert [event["type"] for event in turn[-2:]] == ["message_delta", "message_stop"]
    assert [record.stop_reason for record in paced.records] == ["tool_use", "end_turn"]


async def test_it_shows_every_piece_of_text_that_was_streamed(claude: ClaudeCode, paced: Place) -> None:
    finished = await claude.run("-p", "hello", *PARTIAL, environ=pointed_at(paced))
    deltas = [event["event"].get("delta", {}) for event in finished.events if event["type"] == "stream_event"]
    assert [delta["text"] for delta in deltas if delta.get("type") == "text_delta"] == list(words(ANSWER))


async def test_it_can_use_an_api_key_in_place_of_a_token(claude: ClaudeCode, place: Place) -> None:
    environ = pointed_at(place)
    environ["ANTHROPIC_API_KEY"] = environ.pop("ANTHROPIC_AUTH_TOKEN")
    finished = await claude.run("-p", "hello", *STREAM_JSON, environ=environ)
    assert finished.result["result"] == ANSWER
    assert finished.events[0]["apiKeySource"] == "ANTHROPIC_API_KEY"
    assert outcomes(place) == ["complete"]


async def test_it_can_send_what_a_helper_gives_in_both_headers(claude: ClaudeCode, place: Place) -> None:
    environ = pointed_at(place)
    helper = json.dumps({"apiKeyHelper": f"echo {environ.pop('ANTHROPIC_AUTH_TOKEN')}"})
    finished = await claude.run("-p", "hello", "--settings", helper, environ=environ)
    assert finished.output.strip() == ANSWER
    assert outcomes(place) == ["complete"]


async def test_context_counts_everything_at_once(claude: ClaudeCode, place: Place) -> None:
    finished = await claude.run("-p", "/context", environ=pointed_at(place))
    assert finished.status == 0
    assert "Context Usage" in finished.output
    requests = place.upstream.requests
    assert {request.raw_path for request in requests} == {b"/v1/messages/count_tokens?beta=true"}
    assert len(requests) >= 20
    assert outcomes(place) == ["complete"] * len(requests)


async def test_it_finds_the_models(claude: ClaudeCode, place: Place, tmp_path: Path) -> None:
    environ = pointed_at(place) | {
        "CLAUDE_CODE_ENABLE_GATEWAY_MODEL_DISCOVERY": "1",
        "CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC": "",
    }
    await claude.run("-p", "hello", environ=environ, home=tmp_path)
    assert b"/v1/models?limit=1000" in {request.raw_path for request in place.upstream.requests}
    found = json.loads((tmp_path / ".claude" / "cache" / "gateway-models.json").read_text())
    assert found["baseUrl"] == place.base_url
    assert [model["id"] for model in found["models"]] == [model["id"] for model in CATALOGUE]


async def test_it_talks_to_the_gateway_alone(claude: ClaudeCode, place: Place) -> None:
    asked: list[bytes] = []

    async def note(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        asked.append(await reader.readline())
        writer.close()
        await writer.wait_closed()

    proxy = await asyncio.start_server(note, "127.0.0.1", 0)
    async with proxy:
        address = f"http://127.0.0.1:{proxy.sockets[0].getsockname()[1]}"
        environ = pointed_at(place, tools=True) | {"HTTP_PROXY": address, "HTTPS_PROXY": address}
        finished = await claude.run("-p", "hello", "--allowedTools", "Bash", environ=environ)
    assert finished.output.strip() == "The tool answered: replay-tool-ok"
    assert asked == []


async def test_a_key_that_the_gateway_does_not_know_fails_at_once(claude: ClaudeCode, place: Place) -> None:
    environ = pointed_at(place, retries=10) | {"ANTHROPIC_AUTH_TOKEN": "csg_wrong"}
    finished = await claude.run("-p", "hello", environ=environ)
    assert finished.status == 1
    assert finished.output.startswith(
        "Failed to authenticate. API Error: 401 This gateway does not know that key."
    )
    assert [(record.status, record.outcome) for record in place.records] == [(401, "rejected")]
    assert place.upstream.requests == []


async def test_straight_at_the_api_a_wrong_key_is_tried_again_and_again(claude: ClaudeCode) -> None:
    async with direct(ReplayUpstream(api_keys={"another"})) as upstream:
        finished = await claude.run("-p", "hello", environ=pointed_at(upstream, retries=1))
        assert finished.status == 1
        assert upstream.asked == ["stream"] * 2


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
async def test_ending_it_in_the_middle_ends_the_upstream_too(
    claude: ClaudeCode, place: Place, number: signal.Signals
) -> None:
    place.upstream.faults.push("hang:event=8")
    arguments = ("-p", "hello", *PARTIAL)
    async with claude.started(*arguments, environ=pointed_at(place)) as process:
        await until_text(process)
        (request,) = place.upstream.requests
        assert request.finished is None
        process.send_signal(number)
        await place.upstream.wait_for(lambda: request.finished is not None)
        await process.communicate()
    assert request.finished == "client_gone"
    (record,) = place.records
    assert (record.outcome, record.status) == ("cancelled", 200)
    assert (record.usage or {})["input_tokens"] > 0


async def test_silence_ends_in_an_error_that_it_recovers_from(claude: ClaudeCode) -> None:
    upstream = ReplayUpstream()
    upstream.faults.push("hang:event=8")
    settings = {"GATEWAY_TIMEOUTS__UPSTREAM_IDLE_SECONDS": "1"}
    async with behind_gateway(upstream, settings) as gateway:
        finished = await claude.run("-p", "hello", environ=pointed_at(gateway))
        # Straight at the API it would wait for five minutes.
        assert (finished.status, finished.output.strip()) == (0, ANSWER)
        assert gateway.asked == ["stream", "whole"]
        assert outcomes(gateway) == ["truncated", "complete"]


async def test_a_head_sent_during_a_silence_before_content_does_not_disturb_it(claude: ClaudeCode) -> None:
    upstream = ReplayUpstream()
    upstream.faults.push("hang:event=2;seconds=2")
    settings = {
        "GATEWAY_TIMEOUTS__COMMIT_DEADLINE_SECONDS": "0.5",
        "GATEWAY_TIMEOUTS__PING_INTERVAL_SECONDS": "0.5",
    }
    async with behind_gateway(upstream, settings) as gateway:
        finished = await claude.run("-p", "hello", environ=pointed_at(gateway))
        assert (finished.status, finished.output.strip()) == (0, ANSWER)
        assert outcomes(gateway) == ["complete"]
