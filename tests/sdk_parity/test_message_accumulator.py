"""What the accumulator promises beyond equality with the SDKs."""

from __future__ import annotations

from typing import Any

import pytest

from sse_fsm import Message, MessageAccumulator
from sse_fsm.blocks import UNSET, TextBlock, ToolUseBlock


def _start(**message: Any) -> dict[str, Any]:
    usage = {"input_tokens": 3, "output_tokens": 1}
    return {
        "type": "message_start",
        "message": {"content": [], "model": "claude-opus-5-5", "usage": usage} | message,
    }


def _block(index: int, **block: Any) -> dict[str, Any]:
    return {"type": "content_block_start", "index": index, "content_block": block}


def _delta(index: int, kind: str, **fields: Any) -> dict[str, Any]:
    return {"type": "content_block_delta", "index": index, "delta": {"type": kind, **fields}}


def _stop(index: int) -> dict[str, Any]:
    return {"type": "content_block_stop", "index": index}


def _end(usage: dict[str, Any] | None = None, **delta: Any) -> dict[str, Any]:
    return {
        "type": "message_delta",
        "delta": {"stop_reason": "end_turn"} | delta,
        "usage": usage or {"output_tokens": 9},
    }


def _added(*payloads: dict[str, Any]) -> MessageAccumulator:
    accumulator = MessageAccumulator()
    for payload in payloads:
        accumulator.add(payload)
    return accumulator


def _message(*payloads: dict[str, Any]) -> dict[str, Any]:
    message = _added(*payloads).to_json()
    assert message is not None
    return message


def test_there_is_no_message_before_message_start() -> None:
    accumulator = _added({"type": "ping"}, {}, {"type": "rate_limit_hint", "left": 3})
    assert accumulator.to_json() is None
    assert accumulator.message is None


def test_message_so_far_can_be_asked_for_in_the_middle_of_a_block() -> None:
    accumulator = _added(_start(), _block(0, type="tool_use", id="t", name="n", input={}))
    seen = []
    for fragment in ('{"city": "Par', 'is", "days"', ": 1", "2}"):
        accumulator.add(_delta(0, "input_json_delta", partial_json=fragment))
        message = accumulator.message
        assert isinstance(message, Message)
        assert isinstance(message.content[0], ToolUseBlock)
        seen.append(message.content[0].input)
    assert seen == [{}, {"city": "Paris"}, {"city": "Paris", "days": 1}, {"city": "Paris", "days": 12}]
    assert accumulator.unparsed_inputs == {}


def test_a_message_handed_out_does_not_change_any_more() -> None:
    accumulator = _added(_start(), _block(0, type="text", text="", citations=None))
    accumulator.add(_delta(0, "text_delta", text="one"))
    accumulator.add(_delta(0, "citations_delta", citation={"type": "char_location"}))
    before = accumulator.to_json()
    for payload in (
        _delta(0, "text_delta", text=" two"),
        _delta(0, "citations_delta", citation={"type": "page_location"}),
        _stop(0),
        _block(1, type="text", text=""),
        _stop(1),
        _end(),
    ):
        accumulator.add(payload)
    assert before is not None
    assert before["content"] == [{"type": "text", "text": "one", "citations": [{"type": "char_location"}]}]
    assert before["usage"] == {"input_tokens": 3, "output_tokens": 1}
    assert "stop_reason" not in before


def test_events_fed_in_are_not_changed() -> None:
    citations: list[Any] = []
    start, block = _start(), _block(0, type="text", text="", citations=citations)
    _added(start, block, _delta(0, "citations_delta", citation={}), _stop(0), _end({"output_tokens": 7}))
    assert start == _start()
    assert citations == []


def test_absent_stays_absent_and_null_stays_null() -> None:
    message = _added(_start(stop_sequence=None), _block(0, type="text", text="", citations=None), _stop(0)).message
    assert message is not None
    assert message.stop_reason is UNSET
    assert message.stop_sequence is None
    assert message.usage.cache_creation is UNSET
    block = message.content[0]
    assert isinstance(block, TextBlock)
    assert block.citations is None


def test_counts_are_cumulative_and_null_overwrites_nothing_but_the_stop_fields() -> None:
    split = {"ephemeral_5m_input_tokens": 40, "ephemeral_1h_input_tokens": 60}
    usage = {"input_tokens": 5, "output_tokens": 2, "cache_creation_input_tokens": 100, "cache_creation": split}
    message = _message(
        _start(usage=usage, container={"id": "c1"}),
        _end({"output_tokens": 10, "input_tokens": 25}, stop_reason="pause_turn", stop_sequence="x"),
        _end({"output_tokens": 12, "input_tokens": None, "cache_creation_input_tokens": 0}, container=None),
    )
    assert message["usage"] == {
        "input_tokens": 25,
        "output_tokens": 12,
        "cache_creation_input_tokens": 0,
        "cache_creation": split,
    }
    assert (message["stop_reason"], message["stop_sequence"], message["stop_details"]) == ("end_turn", None, None)
    assert message["container"] == {"id": "c1"}


def test_signature_replaces_and_text_appends() -> None:
    message = _message(
        _start(),
        _block(0, type="thinking", thinking="I ", signature="old"),
        _delta(0, "thinking_delta", thinking="thi"),
        _delta(0, "signature_delta", signature="new"),
        _delta(0, "thinking_delta", thinking="nk"),
        _stop(0),
    )
    assert message["content"] == [{"type": "thinking", "thinking": "I think", "signature": "new"}]


def test_fallback_block_names_the_model_of_the_message() -> None:
    to = {"model": "claude-sonnet-5-5"}
    assert _message(_start(), _block(0, type="fallback", to=to), _stop(0))["model"] == "claude-sonnet-5-5"


def test_compaction_takes_the_last_word_and_invents_no_field() -> None:
    block = {"type": "compaction", "content": None}
    events = [_start(), _block(0, **block), _delta(0, "compaction_delta", content="summary"), _stop(0)]
    assert _message(*events)["content"] == [{"type": "compaction", "content": "summary"}]
    events[2] = _delta(0, "compaction_delta", content=None, encrypted_content="secret")
    assert _message(*events)["content"] == [{"type": "compaction", "content": None, "encrypted_content": "secret"}]


def test_a_character_cut_in_two_by_deltas_is_whole_again() -> None:
    message = _message(
        _start(),
        _block(0, type="text", text="\ufeff"),
        _delta(0, "text_delta", text="a\ud83d"),
        _delta(0, "text_delta", text="\ude00b\udc00"),
        _stop(0),
    )
    assert message["content"][0]["text"] == "\ufeffa\U0001f600b\udc00"


def test_content_that_message_start_brought_comes_first() -> None:
    message = _message(_start(content=[{"type": "text", "text": "a"}]), _block(1, type="text", text="b"), _stop(1))
    assert [block["text"] for block in message["content"]] == ["a", "b"]


@pytest.mark.parametrize(
    "payloads",
    [
        [_block(0, type="text", text="")],
        [_end()],
        [_start(), _start()],
        [_start(), _delta(0, "text_delta", text="x")],
        [_start(), _stop(0)],
        [_start(), _block(0, type="text", text=""), _block(1, type="text", text="")],
    ],
)
def test_an_order_that_no_machine_allows_is_refused(payloads: list[dict[str, Any]]) -> None:
    with pytest.raises(RuntimeError, match="may not come here"):
        _added(*payloads)


def test_a_megabyte_of_tool_input_in_tiny_deltas_is_read_once() -> None:
    # To read it again with each delta would take hours; the timeout of the suite is the judge.
    fragments = ['{"lines": ["', *("x" * 9 + "\\n" for _ in range(100_000)), '"]}']
    deltas = [_delta(0, "input_json_delta", partial_json=fragment) for fragment in fragments]
    message = _message(_start(), _block(0, type="tool_use", id="t", name="n", input={}), *deltas, _stop(0))
    assert message["content"][0]["input"] == {"lines": ["xxxxxxxxx\n" * 100_000]}


def test_a_megabyte_of_cut_tool_input_is_read() -> None:
    fragment = '{"rows": [' + '{"id": 123456, "tags": ["a", "b"]}, ' * 30_000 + '{"id": 12'
    accumulator = _added(
        _start(),
        _block(0, type="tool_use", id="t", name="n", input={}),
        _delta(0, "input_json_delta", partial_json=fragment),
        _stop(0),
    )
    message = accumulator.to_json()
    assert message is not None
    assert len(message["content"][0]["input"]["rows"]) == 30_001
    assert accumulator.unparsed_inputs == {0: fragment}
