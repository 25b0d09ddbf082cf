"""What the guard lets through the official Python SDK accumulates; what it would throw on the guard stops."""

from __future__ import annotations

import json
from typing import Any

import anthropic
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from jiter import from_json

from sse_fsm import StreamGuard, encode_event
from sse_fsm.strategies import broken_streams, valid_streams
from sse_fsm.strategies.payloads import tool_inputs
from sse_fsm.strategies.values import texts
from tests.sse_fsm.checker import classify
from tests.sse_fsm.driving import run_guard
from tests.sse_fsm.official_sdk import accumulate
from tests.sse_fsm.test_any_bytes import damaged_bytes

BETA = pytest.mark.parametrize("beta", [False, True], ids=["ga", "beta"])


def fares_well(received: bytes, *, beta: bool) -> bool:
    """Whether the SDK comes to the end of what a client received: a message, or the error that ends the stream."""
    ends = classify(received)
    try:
        accumulate(received, beta=beta)
    except anthropic.APIStatusError:
        return ends == "failed"
    except Exception as error:  # noqa: BLE001 - whatever it throws is what is asked for
        # A tool's input that was no JSON before the stream broke off in it: the note would come at its end.
        return ends == "failed" and str(error).startswith("Unable to parse tool parameter JSON")
    return ends == "complete"


@BETA
@given(stream=valid_streams())
def test_the_sdk_makes_a_message_of_every_valid_stream(stream: Any, *, beta: bool) -> None:
    message = accumulate(stream.forwarded, beta=beta)

    assert message.stop_reason == stream.stop_reason


@BETA
@given(data=broken_streams().map(lambda broken: broken.data) | damaged_bytes())
def test_the_sdk_never_chokes_on_what_the_guard_lets_through(data: bytes, *, beta: bool) -> None:
    run = run_guard([data])

    assert fares_well(run.received, beta=beta) or any(note.startswith("tool_input") for note in run.verdict.notes)


@BETA
@given(data=broken_streams().map(lambda broken: broken.data) | damaged_bytes())
def test_what_the_sdk_throws_on_is_stopped_or_noted(data: bytes, *, beta: bool) -> None:
    try:
        accumulate(data, beta=beta)
    except anthropic.APIStatusError:
        return
    except Exception:  # noqa: BLE001 - whatever it throws is what is asked for
        verdict = run_guard([data]).verdict
        assert verdict.outcome != "complete" or data.startswith(b"\xef\xbb\xbf") or verdict.notes


MESSAGE = {"id": "msg_1", "type": "message", "role": "assistant", "model": "m", "content": [], "usage": {}}
ODD: list[Any] = [None, 5, "x", [], {}, [1], {"x": 1}, True, 1.5]


def stream_of(
    *,
    message: dict[str, Any] | None = None,
    block: dict[str, Any] | None = None,
    deltas: tuple[dict[str, Any], ...] = (),
    end: dict[str, Any] | None = None,
    index: int = 0,
) -> bytes:
    """Write a stream of one block, with the parts given in place of the ordinary ones."""
    ending = {"type": "message_delta", "delta": {"stop_reason": "end_turn"}, "usage": {"output_tokens": 5}}
    events = [
        {"type": "message_start", "message": MESSAGE | (message or {})},
        {"type": "content_block_start", "index": index, "content_block": block or {"type": "text", "text": ""}},
        *({"type": "content_block_delta", "index": index, "delta": delta} for delta in deltas),
        {"type": "content_block_stop", "index": index},
        ending | (end or {}),
        {"type": "message_stop"},
    ]
    return b"".join(map(encode_event, events))


def odd_streams() -> dict[str, bytes]:
    """Streams whose fields have types that nobody would expect."""
    found: dict[str, bytes] = {}
    for odd in ODD:
        for name in (
            "id",
            "role",
            "model",
            "type",
            "stop_reason",
            "stop_details",
            "container",
            "usage",
            "content",
        ):
            found[f"message.{name} {odd}"] = stream_of(message={name: odd})
        found[f"a block before the first {odd}"] = stream_of(message={"content": [odd]}, index=1)
        for name in ("stop_reason", "stop_sequence", "stop_details", "container"):
            found[f"message_delta.delta.{name} {odd}"] = stream_of(end={"delta": {name: odd}})
        for name in ("input_tokens", "server_tool_use", "output_tokens_details", "iterations", "fallback_credit"):
            found[f"message_delta.usage.{name} {odd}"] = stream_of(end={"usage": {"output_tokens": 1, name: odd}})
        for name in ("context_management", "input_transformations"):
            found[f"message_delta.{name} {odd}"] = stream_of(end={name: odd})
        tool = {"type": "tool_use", "id": odd, "name": odd, "input": odd}
        found[f"tool {odd}"] = stream_of(block=tool, deltas=({"type": "input_json_delta", "partial_json": "{}"},))
        for name, kind, delta in (
            ("citations", "text", {"type": "citations_delta", "citation": {}}),
            ("text", "text", {"type": "text_delta", "text": "x"}),
            ("signature", "thinking", {"type": "signature_delta", "signature": "x"}),
            ("thinking", "thinking", {"type": "thinking_delta", "thinking": "x"}),
            ("content", "compaction", {"type": "compaction_delta", "content": odd}),
        ):
            found[f"{kind}.{name} {odd}"] = stream_of(block={"type": kind, name: odd}, deltas=(delta,))
        found[f"result {odd}"] = stream_of(block={"type": "web_search_tool_result", "content": odd})
        found[f"fallback.to {odd}"] = stream_of(block={"type": "fallback", "to": odd})
        found[f"fallback.to.model {odd}"] = stream_of(block={"type": "fallback", "to": {"model": odd}})
    return found


def strange_values() -> dict[str, bytes]:
    """Streams with values at the edges of JSON, in every place."""
    places = {
        "message": stream_of(message={"x": 12345}),
        "usage": stream_of(message={"usage": {"x": 12345}}),
        "block": stream_of(block={"type": "text", "text": "", "x": 12345}),
        "unknown block": stream_of(block={"type": "future", "x": 12345}),
        "delta": stream_of(deltas=({"type": "text_delta", "text": "", "x": 12345},)),
        "citation": stream_of(deltas=({"type": "citations_delta", "citation": {"x": 12345}},)),
        "end": stream_of(end={"delta": {"x": 12345}}),
    }
    values = {
        "lone surrogate": b'"\\ud800"',
        "lone surrogate as a key": b'{"\\ud800":1}',
        "lone surrogate beside": b'1,"\\udfff":1',
        "infinite number": b"1e999",
        "long number": b"1" * 4000,
        "too long number": b"1" * 5000,
        "400 lists": b"[" * 400 + b"]" * 400,
        "400 objects": b'{"a":' * 400 + b"1" + b"}" * 400,
        "5000 lists": b"[" * 5000 + b"]" * 5000,
        "NaN": b"NaN",
        "NUL": b'"\\u0000"',
    }
    return {
        f"{value} in {place}": data.replace(b"12345", text)
        for place, data in places.items()
        for value, text in values.items()
    }


@BETA
@pytest.mark.parametrize(
    "data", [pytest.param(d, id=name) for name, d in (odd_streams() | strange_values()).items()]
)
def test_odd_types_and_values_are_stopped_where_the_sdk_throws(data: bytes, *, beta: bool) -> None:
    run = run_guard([data])

    if run.verdict.notes == ():
        assert fares_well(run.received, beta=beta)
    if run.verdict.outcome == "complete":
        assert run.received == data


@given(tool_inputs(pieces=4) | st.lists(texts() | st.sampled_from(list('{}[]":,0\\ ')), max_size=6))
@example([" ", "{}"])
@example(['{"a":"\\ud83d', '\\ude00"}'])
@example(['{"a":"\\ud83d"}'])
@example(['{"a":' + "[" * 199 + "]" * 199 + "}"])
@example(['{"a":' + "[" * 200 + "]" * 200 + "}"])
@example(["-", "1"])
@example(['"a', 'b"'])
@example(["1", "2"])
@example(["", "", ""])
@example(['{"a":' + "1" * 5000 + "}"])
def test_a_tool_input_without_a_note_is_read_by_the_sdks_parser_after_each_fragment(fragments: list[str]) -> None:
    deltas = tuple({"type": "input_json_delta", "partial_json": fragment} for fragment in fragments)
    data = stream_of(block={"type": "tool_use", "id": "t", "name": "n", "input": {}}, deltas=deltas)

    guard = StreamGuard()
    step = guard.feed(data)
    _, verdict = guard.finish()

    assert step.data + step.terminal == data
    text = ""
    for fragment in fragments:
        text += fragment
        if text and not verdict.notes:
            from_json(text.encode(), partial_mode=True)
    if "".join(fragments) and not verdict.notes:
        assert type(json.loads(text)) is dict
    assert fares_well(data, beta=False) or verdict.notes


def test_a_tool_input_that_no_client_could_read_leaves_with_a_note() -> None:
    data = stream_of(
        block={"type": "tool_use", "id": "t", "name": "n", "input": {}},
        deltas=({"type": "input_json_delta", "partial_json": '{"a": nope}'},),
    )

    run = run_guard([data])

    assert run.received == data
    assert run.verdict.outcome == "complete"
    assert run.verdict.notes == ("tool_input_invalid: not every SDK can read the model's input of block 0",)
