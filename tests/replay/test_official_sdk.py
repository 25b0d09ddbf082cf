"""The official Python SDK, unchanged, against the replay upstream."""

from collections.abc import AsyncIterator

import anthropic
import pytest

from gateway.replay.answers import ANSWER
from gateway.replay.server import ReplayUpstream

MODEL = "claude-opus-5-5"
TURN: list[anthropic.types.MessageParam] = [{"role": "user", "content": "hi"}]
WEATHER: anthropic.types.ToolParam = {
    "name": "get_weather",
    "input_schema": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
}


@pytest.fixture
async def client(upstream: ReplayUpstream) -> AsyncIterator[anthropic.AsyncAnthropic]:
    async with anthropic.AsyncAnthropic(api_key="made-up", base_url=upstream.url, max_retries=0) as sdk:
        yield sdk


async def test_it_streams(client: anthropic.AsyncAnthropic) -> None:
    async with client.messages.stream(model=MODEL, max_tokens=500, messages=TURN) as stream:
        texts = [text async for text in stream.text_stream]
        final = await stream.get_final_message()
    assert "".join(texts) == ANSWER
    assert final.stop_reason == "end_turn"
    assert final.usage.output_tokens == len(texts)
    assert (final.model, final.role) == (MODEL, "assistant")


async def test_it_gets_a_whole_message(client: anthropic.AsyncAnthropic) -> None:
    answer = await client.messages.create(model=MODEL, max_tokens=500, messages=TURN)
    assert answer.content[0].type == "text"
    assert answer.content[0].text == ANSWER
    assert (answer._request_id or "").startswith("req_")


async def test_it_counts_tokens_and_lists_models(client: anthropic.AsyncAnthropic) -> None:
    counted = await client.messages.count_tokens(model=MODEL, messages=TURN)
    assert counted.input_tokens > 0
    listed = [model.id async for model in client.models.list(limit=5)]
    assert len(listed) == len(set(listed)) > 5
    assert (await client.models.retrieve("claude-opus-4-5")).id == "claude-opus-4-5-20251101"


async def test_it_completes_a_tool_loop(client: anthropic.AsyncAnthropic) -> None:
    turns: list[anthropic.types.MessageParam] = [{"role": "user", "content": "Use the tool."}]
    async with client.messages.stream(model=MODEL, max_tokens=500, messages=turns, tools=[WEATHER]) as stream:
        first = await stream.get_final_message()
    call = first.content[-1]
    assert call.type == "tool_use"
    assert call.input == {"city": "replay"}
    result: anthropic.types.ToolResultBlockParam = {
        "type": "tool_result",
        "tool_use_id": call.id,
        "content": "21 °C",
    }
    used: anthropic.types.ToolUseBlockParam = {
        "type": "tool_use",
        "id": call.id,
        "name": call.name,
        "input": call.input,
    }
    turns += [{"role": "assistant", "content": [used]}, {"role": "user", "content": [result]}]
    second = await client.messages.create(model=MODEL, max_tokens=500, messages=turns, tools=[WEATHER])
    assert second.content[0].type == "text"
    assert second.content[0].text == "The tool answered: 21 °C"


@pytest.mark.parametrize(
    ("fault", "error"),
    [
        ("status:401", anthropic.AuthenticationError),
        ("status:403", anthropic.PermissionDeniedError),
        ("status:404", anthropic.NotFoundError),
        ("status:429;retry-after=1", anthropic.RateLimitError),
        ("status:500", anthropic.InternalServerError),
        ("error-event:overloaded_error;event=5", anthropic.APIStatusError),
        ("refuse", anthropic.APIConnectionError),
    ],
)
async def test_it_raises_its_own_errors(
    client: anthropic.AsyncAnthropic, upstream: ReplayUpstream, fault: str, error: type[Exception]
) -> None:
    upstream.faults.push(fault)
    with pytest.raises(error):
        async with client.messages.stream(model=MODEL, max_tokens=500, messages=TURN) as stream:
            await stream.get_final_message()


async def test_its_retries_outlast_a_short_storm(upstream: ReplayUpstream) -> None:
    upstream.faults.push("status:529;retry-after-ms=1", times=2)
    async with anthropic.AsyncAnthropic(api_key="k", base_url=upstream.url, max_retries=2) as sdk:
        answer = await sdk.messages.create(model=MODEL, max_tokens=500, messages=TURN)
    assert answer.stop_reason == "end_turn"
    assert len(upstream.requests) == 3


async def test_a_cut_stream_does_not_pass_for_a_whole_one(
    client: anthropic.AsyncAnthropic, upstream: ReplayUpstream
) -> None:
    upstream.faults.push("cut:event=5")
    async with client.messages.stream(model=MODEL, max_tokens=500, messages=TURN) as stream:
        with pytest.raises(Exception, match=r"incomplete|peer closed"):
            await stream.get_final_message()
