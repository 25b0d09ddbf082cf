"""The message that a valid stream adds up to, held against a plain sum of its events."""

from __future__ import annotations

import json
from typing import Any

from hypothesis import given

from sse_fsm import Message, MessageAccumulator, StreamGuard, encode_event
from sse_fsm.strategies import ValidStream, valid_streams
from tests.sse_fsm.driving import run_guard
from tests.sse_fsm.test_official_sdk import stream_of

KNOWN_STREAMED = ("text", "thinking", "tool_use", "server_tool_use", "mcp_tool_use", "compaction")


def plain_sum(payloads: list[dict[str, Any]]) -> dict[str, Any]:
    """Add up events in the most obvious way."""
    message: dict[str, Any] = {}
    for payload in json.loads(json.dumps(payloads)):
        match payload["type"]:
            case "message_start":
                message = payload["message"]
            case "content_block_start":
                message["content"].append(payload["content_block"])
                if payload["content_block"]["type"] == "fallback":
                    message["model"] = payload["content_block"]["to"]["model"]
            case "content_block_delta" if message["content"][-1]["type"] in KNOWN_STREAMED:
                add_delta(message["content"][-1], payload["delta"])
            case "message_delta":
                for name in ("stop_reason", "stop_sequence", "stop_details"):
                    message[name] = payload["delta"].get(name)
                message |= {k: v for k, v in payload.items() if k == "context_management" and v is not None}
                counts = {name: count for name, count in payload["usage"].items() if count is not None}
                message["usage"].update(counts)
    return message | {"content": [with_input(block) for block in message["content"]]}


def with_input(block: dict[str, Any]) -> dict[str, Any]:
    """Read the fragments of a tool's input."""
    text = block.pop("fragments", "")
    return block | {"input": json.loads(text)} if text else block


def add_delta(block: dict[str, Any], delta: dict[str, Any]) -> None:
    """Add one delta that fits its block."""
    match delta["type"]:
        case "text_delta":
            block["text"] = joined(block["text"], delta["text"])
        case "thinking_delta":
            block["thinking"] = joined(block["thinking"], delta["thinking"])
        case "signature_delta":
            block["signature"] = delta["signature"]
        case "citations_delta":
            block["citations"] = [*(block.get("citations") or []), delta["citation"]]
        case "compaction_delta":
            block["content"] = delta["content"]
        case "input_json_delta":
            block["fragments"] = block.get("fragments", "") + delta["partial_json"]


def joined(one: str, other: str) -> str:
    """Join two texts; halves of a character find each other, as they do when JSON is read."""
    return json.loads(json.dumps(one + other))


@given(valid_streams())
def test_a_message_is_the_sum_of_its_events(stream: ValidStream) -> None:
    accumulator = MessageAccumulator()
    guard = StreamGuard(observer=accumulator.observe)
    guard.feed(stream.data)
    _, verdict = guard.finish()
    expected = plain_sum([piece.payload for piece in stream.events if piece.payload is not None])

    assert json.dumps(accumulator.to_json(), sort_keys=True) == json.dumps(expected, sort_keys=True)
    assert accumulator.unparsed_inputs == {}
    assert type(accumulator.message) is Message
    # The guard keeps the same message without its content.
    assert json.dumps(verdict.message, sort_keys=True) == json.dumps(expected | {"content": []}, sort_keys=True)
    assert run_guard([stream.data]).verdict.message == verdict.message


def message_of(data: bytes) -> tuple[dict[str, Any], MessageAccumulator]:
    accumulator = MessageAccumulator()
    guard = StreamGuard(observer=accumulator.observe)
    guard.feed(data)
    message = accumulator.to_json()
    assert message is not None
    return message, accumulator


def test_what_message_delta_says_of_the_message_is_kept() -> None:
    changes = {"stop_reason": "pause_turn", "stop_details": {"type": "refusal"}, "container": {"id": "c"}}
    edits = {"context_management": {"applied_edits": [1]}, "input_transformations": [{"type": "thinking_dropped"}]}
    usage = {
        "output_tokens": 5,
        "input_tokens": 6,
        "cache_creation_input_tokens": 7,
        "cache_read_input_tokens": 8,
        "server_tool_use": {"web_search_requests": 1},
        "output_tokens_details": {"thinking_tokens": 2},
        "iterations": [{"type": "message"}],
        "fallback_credit": {"status": {"type": "redeemed"}},
        "service_tier": "ignored",
    }
    data = stream_of(end={"delta": changes, "usage": usage} | edits)
    nothing_new = encode_event({"type": "message_delta", "delta": {}, "usage": {"output_tokens": 9}})
    stop = encode_event({"type": "message_stop"})

    message, _ = message_of(data)
    later, _ = message_of(data.removesuffix(stop) + nothing_new + stop)

    for found in (message, run_guard([data]).verdict.message or {}):
        assert {name: found[name] for name in (*changes, *edits)} == changes | edits
        assert found["stop_sequence"] is None
        assert found["usage"] == {name: count for name, count in usage.items() if name != "service_tier"}
    assert (later["stop_reason"], later["stop_details"], later["container"]) == (None, None, {"id": "c"})
    assert {name: later[name] for name in edits} == edits
    assert later["usage"] == message["usage"] | {"output_tokens": 9}


def test_citations_join_those_that_the_block_began_with() -> None:
    first = {"type": "text", "text": "", "citations": [{"n": 1}]}
    deltas = tuple({"type": "citations_delta", "citation": {"n": number}} for number in (2, 3))

    message, _ = message_of(stream_of(block=first, deltas=deltas))

    assert message["content"] == [first | {"citations": [{"n": 1}, {"n": 2}, {"n": 3}]}]


def test_inputs_that_are_no_json_are_handed_out_as_text() -> None:
    def unparsed(*fragments: str) -> tuple[Any, dict[int, str]]:
        block = {"type": "tool_use", "input": {"from": "start"}}
        deltas = tuple({"type": "input_json_delta", "partial_json": fragment} for fragment in fragments)
        message, accumulator = message_of(stream_of(block=block, deltas=deltas))
        return message["content"][0]["input"], accumulator.unparsed_inputs

    assert unparsed('{"a":', "1}") == ({"a": 1}, {})
    assert unparsed("") == ({"from": "start"}, {})
    assert unparsed("no", "pe") == ({"from": "start"}, {0: "nope"})
    assert unparsed('{"a":1,"b":[2', "") == ({"a": 1, "b": [2]}, {0: '{"a":1,"b":[2'})
