"""A client that runs tools gets through its loop."""

import json
from typing import Any

import pytest

from gateway.replay.server import ReplayUpstream
from gateway.replay.tool_loop import minimal_value
from tests.replay.raw_client import RawResponse, ask, message

BASH = {
    "name": "Bash",
    "input_schema": {"type": "object", "properties": {"command": {"type": "string"}}, "required": ["command"]},
}
WEATHER = {
    "name": "get_weather",
    "description": "Look up the weather.",
    "input_schema": {
        "type": "object",
        "properties": {
            "city": {"type": "string"},
            "unit": {"enum": ["celsius", "fahrenheit"]},
            "days": {"type": "integer", "minimum": 2},
            "note": {"type": "string"},
        },
        "required": ["city", "unit", "days"],
    },
}
ASK_FOR_TOOL = [{"role": "user", "content": "Please use a tool."}]


def tool_input(answer: RawResponse) -> tuple[str | None, Any]:
    """Return name and input of the call in a stream, the input put together from its fragments."""
    name, fragments = None, []
    for _, data in answer.events:
        if data.get("content_block", {}).get("type") == "tool_use":
            assert data["content_block"]["input"] == {}
            name = data["content_block"]["name"]
        if data.get("delta", {}).get("type") == "input_json_delta":
            fragments.append(data["delta"]["partial_json"])
    if name is None:
        return None, None
    assert fragments[0] == ""
    assert len(fragments) > 1
    return name, json.loads("".join(fragments))


async def test_bash_is_called_first_and_its_result_is_quoted(upstream: ReplayUpstream) -> None:
    first = await ask(upstream, message(stream=True, tools=[WEATHER, BASH]))
    name, value = tool_input(first)
    assert (name, value["command"]) == ("Bash", "echo replay-tool-ok")
    assert dict(first.events)["message_delta"]["delta"]["stop_reason"] == "tool_use"

    call = next(data["content_block"] for _, data in first.events if "tool_use" in str(data.get("content_block")))
    turns = [
        {"role": "user", "content": "hi"},
        {"role": "system", "content": "In the middle."},
        {"role": "assistant", "content": [{**call, "input": value}]},
        {
            "role": "user",
            "content": [
                {
                    "type": "tool_result",
                    "tool_use_id": call["id"],
                    "content": [{"type": "text", "text": "replay-tool-ok\n"}],
                }
            ],
        },
    ]
    second = (await ask(upstream, message(tools=[WEATHER, BASH], messages=turns))).json()
    assert second["content"] == [{"type": "text", "text": "The tool answered: replay-tool-ok"}]
    assert second["stop_reason"] == "end_turn"

    turns += [{"role": "assistant", "content": "Done."}, {"role": "user", "content": "Thanks!"}]
    third = (await ask(upstream, message(tools=[WEATHER, BASH], messages=turns))).json()
    assert third["stop_reason"] == "end_turn"


@pytest.mark.parametrize("stream", [True, False])
async def test_another_tool_is_called_when_the_text_says_tool(upstream: ReplayUpstream, stream: bool) -> None:  # noqa: FBT001 - a parameter of the test
    answer = await ask(upstream, message(stream=stream, tools=[WEATHER], messages=ASK_FOR_TOOL))
    if stream:
        name, value = tool_input(answer)
    else:
        call = answer.json()["content"][-1]
        name, value = call["name"], call["input"]
    assert name == "get_weather"
    assert value == {"city": "replay", "unit": "celsius", "days": 2}


async def test_without_that_word_a_request_with_tools_gets_text(upstream: ReplayUpstream) -> None:
    assert (await ask(upstream, message(tools=[WEATHER]))).json()["stop_reason"] == "end_turn"


@pytest.mark.parametrize(
    ("changes", "header", "called"),
    [
        ({"tool_choice": {"type": "any"}}, None, "Bash"),
        ({"tool_choice": {"type": "tool", "name": "get_weather"}}, None, "get_weather"),
        ({"tool_choice": {"type": "none"}}, None, None),
        ({}, "get_weather", "get_weather"),
        ({}, "none", None),
        ({}, "unknown", None),
        ({"messages": ASK_FOR_TOOL, "tools": []}, None, None),
        ({"messages": ASK_FOR_TOOL, "tools": [{"type": "bash_20250124", "name": "bash"}]}, None, None),
    ],
)
async def test_choice_and_header_decide_which_tool_is_called(
    upstream: ReplayUpstream, changes: dict[str, Any], header: str | None, called: str | None
) -> None:
    body = {**message(stream=True, tools=[BASH, WEATHER]), **changes}
    headers = [] if header is None else [("x-replay-tool", header)]
    assert tool_input(await ask(upstream, body, headers=headers))[0] == called


@pytest.mark.parametrize(
    ("schema", "value"),
    [
        ({"type": "string", "minLength": 8}, "replay.."),
        ({"type": "string", "maxLength": 2}, "re"),
        ({"type": ["null", "integer"]}, 1),
        ({"type": "boolean"}, True),
        ({"type": "null"}, None),
        ({"const": 5}, 5),
        ({"default": []}, []),
        ({"type": "array", "items": {"type": "number"}, "minItems": 2}, [1, 1]),
        ({"anyOf": [{"type": "integer", "minimum": 7}, {"type": "string"}]}, 7),
        ({"$ref": "#/$defs/name", "$defs": {"name": {"enum": ["a"]}}}, "a"),
        ({"type": "object", "required": ["x"]}, {"x": {}}),
        ({}, {}),
    ],
)
def test_a_minimal_value_fits_its_schema(schema: dict[str, Any], value: Any) -> None:
    assert minimal_value(schema, schema) == value


def test_a_schema_that_contains_itself_ends() -> None:
    schema = {"type": "object", "required": ["child"], "properties": {"child": {"$ref": "#"}}}
    assert isinstance(minimal_value(schema, schema), dict)
