"""Counters: which of a stream's count, what is made of them, and how they are stored."""

from __future__ import annotations

import json
import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from gateway.dataplane.held import look_into
from gateway.pricing.usage import Iteration, Usage
from sse_fsm import StreamGuard

CORPUS = Path(__file__).parents[2] / "fixtures"
MANIFEST = tomllib.loads((CORPUS / "manifest.toml").read_text("utf-8"))
STREAMS = [entry for entry in MANIFEST["stream"] if "usage" in entry]
COUNTERS = {
    "input_tokens": "input_tokens",
    "output_tokens": "output_tokens",
    "cache_read_input_tokens": "cache_read_tokens",
    "cache_creation_input_tokens": "cache_write_tokens",
}


def guarded(data: bytes) -> Usage | None:
    guard = StreamGuard()
    guard.feed(data)
    _, verdict = guard.finish()
    return Usage.of((verdict.message or {}).get("usage"))


def usages_in(data: bytes) -> Iterator[Mapping[str, Any]]:
    """Yield what each event of a legal stream says of usage, read in the simplest way."""
    for block in data.decode("utf-8-sig").replace("\r\n", "\n").replace("\r", "\n").split("\n\n"):
        lines = [line.removeprefix("data:") for line in block.split("\n") if line.startswith("data:")]
        try:
            event = json.loads("\n".join(lines))
        except ValueError:
            continue
        if event.get("type") in ("message_start", "message_delta"):
            yield (event.get("message") or event).get("usage") or {}


@pytest.mark.parametrize("entry", STREAMS, ids=lambda entry: entry["name"])
def test_the_counters_of_a_stream_are_those_that_were_worked_out_for_it(entry: dict[str, Any]) -> None:
    assert guarded((CORPUS / entry["file"]).read_bytes()) == Usage.of(entry["usage"])


@pytest.mark.parametrize(
    "entry", [entry for entry in STREAMS if entry["verdict"] == "complete"], ids=lambda entry: entry["name"]
)
def test_of_each_counter_the_last_that_is_not_null_counts(entry: dict[str, Any]) -> None:
    data = (CORPUS / entry["file"]).read_bytes()
    found = guarded(data)
    assert found is not None
    for name, field in COUNTERS.items():
        said = [usage[name] for usage in usages_in(data) if usage.get(name) is not None]
        if name == "cache_creation_input_tokens" and found.cache_write_5m_tokens is not None:
            assert found.cache_write_tokens == max(said, default=0)
        else:
            assert getattr(found, field) == (said[-1] if said else None)


def test_output_is_cumulative_and_overwrites() -> None:
    def event(payload: dict[str, Any]) -> bytes:
        return f"event: {payload['type']}\ndata: {json.dumps(payload)}\n\n".encode()

    message = {
        "id": "msg_1",
        "type": "message",
        "role": "assistant",
        "model": "claude-opus-5-5",
        "content": [],
        "stop_reason": None,
        "stop_sequence": None,
        "usage": {
            "input_tokens": 2679,
            "cache_creation_input_tokens": 100,
            "cache_creation": {"ephemeral_5m_input_tokens": 0, "ephemeral_1h_input_tokens": 100},
            "output_tokens": 3,
            "service_tier": "standard",
        },
    }

    def delta(stop_reason: str | None, usage: dict[str, Any]) -> bytes:
        changes = {"stop_reason": stop_reason, "stop_sequence": None}
        return event({"type": "message_delta", "delta": changes, "usage": usage})

    data = b"".join(
        [
            event({"type": "message_start", "message": message}),
            delta(None, {"output_tokens": 10, "input_tokens": None}),
            # Server tools let the prompt grow.
            delta("end_turn", {"output_tokens": 510, "input_tokens": 10682, "cache_creation_input_tokens": 150}),
            event({"type": "message_stop"}),
        ]
    )
    assert guarded(data) == Usage(
        input_tokens=10682,
        output_tokens=510,
        cache_write_tokens=150,
        cache_write_5m_tokens=50,
        cache_write_1h_tokens=100,
        service_tier="standard",
    )


def test_the_whole_prompt_is_what_is_new_what_is_written_and_what_is_read() -> None:
    usage = Usage.of({"input_tokens": 1, "cache_creation_input_tokens": 20, "cache_read_input_tokens": 300})
    assert usage is not None
    assert usage.total_input_tokens == 321


@pytest.mark.parametrize(
    "raw", [None, {}, [], 3, "usage", {"input_tokens": None}, {"input_tokens": "12"}, {"new": 1}]
)
def test_where_nothing_is_said_there_is_no_usage(raw: Any) -> None:
    assert Usage.of(raw) is None


@pytest.mark.parametrize("value", [-1, 1.5, "7", True, None, [], {}, 10**12 + 1, float("nan"), float("inf")])
def test_a_count_that_is_none_counts_as_not_said(value: Any) -> None:
    usage = Usage.of(
        {"input_tokens": value, "output_tokens": 7, "server_tool_use": value, "cache_creation": value}
    )
    assert usage == Usage(output_tokens=7)


@pytest.mark.parametrize("value", ["", "x" * 101, "fa\0st", "\ud800", 3, None, "a\nb"])
def test_a_text_that_cannot_be_stored_counts_as_not_said(value: Any) -> None:
    assert Usage.of({"output_tokens": 7, "speed": value, "service_tier": value}) == Usage(output_tokens=7)


def test_too_many_iterations_are_left_out_together() -> None:
    one = {"type": "message", "input_tokens": 1, "output_tokens": 1}
    assert Usage.of({"output_tokens": 7, "iterations": [one] * 1001}) == Usage(output_tokens=7)
    usage = Usage.of({"output_tokens": 7, "iterations": [one] * 1000})
    assert usage is not None
    assert len(usage.iterations) == 1000


def test_usage_is_stored_in_columns_and_comes_back() -> None:
    usage = Usage.of(
        {
            "input_tokens": 1,
            "output_tokens": 2,
            "cache_creation_input_tokens": 7,
            "cache_creation": {"ephemeral_5m_input_tokens": 3, "ephemeral_1h_input_tokens": 4},
            "cache_read_input_tokens": 5,
            "output_tokens_details": {"thinking_tokens": 1},
            "server_tool_use": {
                "web_search_requests": 1,
                "web_fetch_requests": 2,
                "code_execution_requests": 3,
            },
            "service_tier": "standard",
            "inference_geo": "us",
            "speed": "fast",
            "iterations": [
                {"type": "compaction", "input_tokens": 9},
                {"type": "message", "model": "claude-opus-5"},
            ],
        }
    )
    assert usage is not None
    columns = usage.columns()
    assert columns == {
        "input_tokens": 1,
        "output_tokens": 2,
        "thinking_tokens": 1,
        "cache_read_tokens": 5,
        "cache_write_tokens": 7,
        "cache_write_5m_tokens": 3,
        "cache_write_1h_tokens": 4,
        "web_searches": 1,
        "web_fetches": 2,
        "code_executions": 3,
        "service_tier": "standard",
        "inference_geo": "us",
        "speed": "fast",
        "iterations": '[{"type":"compaction","input_tokens":9},{"model":"claude-opus-5","type":"message"}]',
    }
    assert Usage.from_columns(columns) == usage
    assert usage.iterations[1] == Iteration(model="claude-opus-5", type="message")


@pytest.mark.parametrize("text", ["", "{", "3", "[3]", "null", "[" * 100_000, 7, b"[]"])
def test_a_row_whose_iterations_are_damaged_has_none(text: Any) -> None:
    assert Usage.from_columns({"output_tokens": 1, "iterations": text}) == Usage(output_tokens=1)


def test_a_row_without_usage_has_none() -> None:
    assert Usage.from_columns({"id": "1", "input_tokens": None}) is None


def test_openais_input_is_parted_into_what_was_cached_and_what_was_not() -> None:
    usage = Usage.of(
        {
            "prompt_tokens": 1000,
            "completion_tokens": 50,
            "total_tokens": 1050,
            "prompt_tokens_details": {"cached_tokens": 600, "cache_write_tokens": 100},
            "completion_tokens_details": {"reasoning_tokens": 20},
        }
    )
    assert usage == Usage(
        input_tokens=300, output_tokens=50, thinking_tokens=20, cache_read_tokens=600, cache_write_tokens=100
    )
    assert usage.total_input_tokens == 1000


def test_the_service_tier_of_openai_is_found_beside_its_usage() -> None:
    usage = {"prompt_tokens": 10, "completion_tokens": 5, "total_tokens": 15}
    body = json.dumps({"id": "chatcmpl_1", "service_tier": "flex", "usage": usage}).encode()
    assert Usage.of(look_into(body, "", 10_000).usage) == Usage(
        input_tokens=10, output_tokens=5, service_tier="flex"
    )


def test_the_usage_of_an_answer_with_hundreds_of_iterations_is_read() -> None:
    one = {"type": "message", "input_tokens": 100_000, "output_tokens": 1000, "cache_read_input_tokens": 0}
    body = json.dumps({"type": "message", "usage": {"output_tokens": 1, "iterations": [one] * 800}}).encode()
    usage = Usage.of(look_into(body, "", 10**6).usage)
    assert usage is not None
    assert len(usage.iterations) == 800
