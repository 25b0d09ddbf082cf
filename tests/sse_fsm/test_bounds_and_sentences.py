"""Bounds on what is kept, and sentences that name the field at fault."""

from __future__ import annotations

from typing import Any

import pytest

from sse_fsm import StreamGuard, encode_event


def _start(**fields: Any) -> dict[str, Any]:
    message = {"id": "msg_1", "model": "claude", "content": [], "usage": {"output_tokens": 1}, **fields}
    return {"type": "message_start", "message": message}


def _block(block: dict[str, Any], index: int = 0) -> dict[str, Any]:
    return {"type": "content_block_start", "index": index, "content_block": block}


def test_of_a_huge_message_start_only_plain_values_are_kept() -> None:
    usage = {"output_tokens": 1, "input_tokens": 7, "future": [{}] * 30_000}
    guard = StreamGuard()

    step = guard.feed(encode_event(_start(usage=usage, future={"a": [1] * 10})))

    assert not step.terminal
    _, verdict = guard.finish()
    assert verdict.message == {
        "id": "msg_1",
        "model": "claude",
        "content": [],
        "usage": {"output_tokens": 1, "input_tokens": 7},
    }


def test_of_a_message_start_of_usual_size_all_but_the_content_is_kept() -> None:
    guard = StreamGuard()

    guard.feed(encode_event(_start(future={"a": [1]}, usage={"output_tokens": 1, "future": [2]})))

    _, verdict = guard.finish()
    assert verdict.message is not None
    assert (verdict.message["future"], verdict.message["usage"]["future"]) == ({"a": [1]}, [2])


def test_at_most_twenty_notes_are_made_of_a_stream() -> None:
    guard = StreamGuard()
    guard.feed(encode_event(_start()))
    for index in range(25):
        delta = {"type": "input_json_delta", "partial_json": "{nope"}
        guard.feed(encode_event(_block({"type": "tool_use", "id": "t", "name": "n", "input": {}}, index)))
        guard.feed(encode_event({"type": "content_block_delta", "index": index, "delta": delta}))
        guard.feed(encode_event({"type": "content_block_stop", "index": index}))

    _, verdict = guard.finish()

    assert len([note for note in verdict.notes if note.startswith("tool_input_invalid")]) == 20


@pytest.mark.parametrize(
    ("event", "code", "sentence"),
    [
        (
            _block({"type": "text", "text": "", "citations": 1}),
            "missing_field",
            "the text block has `citations` that are neither a JSON array nor null",
        ),
        (_block({"type": "fallback"}), "missing_field", "the fallback block has no `to` that is a JSON object"),
        (
            _block({"type": "fallback", "to": {}}),
            "missing_field",
            "the fallback block's `to` has no `model` that is a JSON string",
        ),
        (
            {
                "type": "content_block_delta",
                "index": 0,
                "delta": {"type": "input_json_delta", "partial_json": "\ud800"},
            },
            "invalid_json",
            "`partial_json` holds a lone surrogate, which has no UTF-8 form",
        ),
    ],
)
def test_the_sentence_names_the_field_at_fault(event: dict[str, Any], code: str, sentence: str) -> None:
    guard = StreamGuard()
    guard.feed(encode_event(_start()))

    guard.feed(encode_event(event))

    _, verdict = guard.finish()
    assert verdict.violation is not None
    assert (verdict.code, verdict.violation.reason) == (code, sentence)
