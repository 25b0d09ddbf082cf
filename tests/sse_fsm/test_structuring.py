"""Events become attrs objects and JSON again without any loss."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sse_fsm import EventKind, StreamGuard, encode_event
from sse_fsm import converter as public_converter
from sse_fsm.blocks import (
    BLOCK_CLASSES,
    DELTA_CLASSES,
    UNSET,
    CompleteBlock,
    TextBlock,
    UnknownBlock,
    UnknownDelta,
)
from sse_fsm.events import EVENT_CLASSES, Event, Message, MessageDelta, MessageStart, UnknownEvent, Usage
from sse_fsm.strategies import ValidStream, valid_streams
from sse_fsm.strategies.payloads import error_payloads
from sse_fsm.strategies.values import json_values
from sse_fsm.structuring import _make_converter
from tests.sse_fsm.driving import run_guard


def to_event(payload: Any) -> Any:
    """Structure one event."""
    # Made anew each time, so that mutants of what makes it are seen.
    return _make_converter().structure(payload, Event)  # ty: ignore[invalid-argument-type] - cattrs takes unions


def same(one: Any, other: Any) -> bool:
    """Whether two JSON values are the same, 1 and true and 1.0 being three."""
    return json.dumps(one, sort_keys=True) == json.dumps(other, sort_keys=True)


@given(valid_streams())
def test_every_event_of_a_valid_stream_survives_the_way_there_and_back(stream: ValidStream) -> None:
    run = run_guard([stream.data], observed=True)

    converter = _make_converter()
    for judged, piece in zip(run.judged, stream.events, strict=True):
        event = judged.event
        assert type(event) is EVENT_CLASSES[judged.kind] or judged.kind is EventKind.UNKNOWN
        assert judged.number == run.judged.index(judged) + 1
        expected = {"type": piece.name} if piece.payload is None else piece.payload
        assert same(converter.unstructure(event), expected)
        assert same(public_converter.unstructure(event), expected)


@given(error_payloads())
def test_an_error_event_survives_too(payload: dict[str, Any]) -> None:
    assert same(_make_converter().unstructure(to_event(payload)), payload)


@given(
    st.dictionaries(st.sampled_from(("input_tokens", "cache_creation", "extra", "x")), json_values(), max_size=4)
)
def test_fields_that_are_absent_null_or_unknown_stay_so(usage: dict[str, Any]) -> None:
    converter = _make_converter()
    if not isinstance(usage.get("cache_creation"), dict | None):
        with pytest.raises(TypeError, match="JSON object"):
            converter.structure(usage, Usage)
        return
    structured = converter.structure(usage, Usage)

    assert same(converter.unstructure(structured), usage)
    assert (structured.input_tokens is UNSET) == ("input_tokens" not in usage)
    assert not UNSET


@pytest.mark.parametrize("kind", [*BLOCK_CLASSES, "future_block"])
def test_a_block_becomes_the_class_of_its_type(kind: str) -> None:
    payload = {"type": "content_block_start", "index": 3, "content_block": {"type": kind, "new": [1]}}

    event = to_event(payload)

    assert type(event.content_block) is BLOCK_CLASSES.get(kind, UnknownBlock)
    assert (event.index, event.content_block.type, event.content_block.extra) == (3, kind, {"new": [1]})


@pytest.mark.parametrize(
    ("kind", "field"),
    [
        ("text_delta", "text"),
        ("input_json_delta", "partial_json"),
        ("thinking_delta", "thinking"),
        ("signature_delta", "signature"),
        ("citations_delta", "citation"),
        ("compaction_delta", "content"),
        ("future_delta", None),
    ],
)
def test_a_delta_becomes_the_class_of_its_type(kind: str, field: str | None) -> None:
    delta = {"type": kind} if field is None else {"type": kind, field: "x"}

    event = to_event({"type": "content_block_delta", "index": 0, "delta": delta})

    assert type(event.delta) is DELTA_CLASSES.get(kind, UnknownDelta)
    assert field is None or getattr(event.delta, field) == "x"


def test_nested_parts_become_objects_that_can_be_read_by_name() -> None:
    start = to_event(
        {
            "type": "message_start",
            "message": {
                "content": [{"type": "text", "text": "a"}, {"type": "container_upload", "file_id": "f"}],
                "usage": {"input_tokens": 3, "cache_creation": {"ephemeral_5m_input_tokens": 2}},
            },
        }
    )
    end = to_event({"type": "message_delta", "delta": {"stop_reason": "end_turn"}, "usage": {"output_tokens": 7}})

    assert type(start) is MessageStart
    assert start.message.content == [
        TextBlock(text="a"),
        CompleteBlock("container_upload", extra={"file_id": "f"}),
    ]
    assert start.message.usage.cache_creation.ephemeral_5m_input_tokens == 2
    assert start.message.usage.cache_creation.ephemeral_1h_input_tokens is UNSET
    assert start.message.model is UNSET
    assert type(end) is MessageDelta
    assert (end.delta.stop_reason, end.usage.output_tokens) == ("end_turn", 7)


@pytest.mark.parametrize("value", [None, 5, "x", [], {}, {"type": 5}, {"type": None}])
def test_what_is_no_object_with_a_type_is_refused(value: Any) -> None:
    with pytest.raises(TypeError, match=r"^a block, delta or event needs a JSON object with a string `type`$"):
        to_event(value)


def test_an_object_where_none_may_be_missing_is_refused() -> None:
    with pytest.raises(TypeError, match="Message needs a JSON object, not list"):
        _make_converter().structure([], Message)
    with pytest.raises(TypeError, match="message"):
        to_event({"type": "message_start"})


def test_an_unknown_event_without_data_still_has_its_name() -> None:
    seen: list[Any] = []
    guard = StreamGuard(observer=seen.append)
    guard.feed(b"event: future\n\n" + encode_event({"type": "other", "x": 1}))

    assert [judged.event for judged in seen] == [UnknownEvent("future"), UnknownEvent("other", extra={"x": 1})]
