"""What a person reads who debugs with curl: one sentence for each thing that can be wrong."""

from __future__ import annotations

import json
import tomllib
from pathlib import Path
from typing import Any

import pytest

from sse_fsm import (
    EndReason,
    EventKind,
    Frame,
    ProtocolViolation,
    StreamGuard,
    StreamMachine,
    encode_error,
    encode_event,
)
from sse_fsm.tool_input import TOOL_INPUT_LIMIT
from sse_fsm.violations import VIOLATIONS, _leaves
from tests.sse_fsm.driving import run_guard
from tests.sse_fsm.grammar import FRAMES
from tests.sse_fsm.test_official_sdk import stream_of

STREAMS = Path(__file__).parents[2] / "fixtures" / "streams"
SENTENCES = tomllib.loads(Path(__file__).with_name("sentences.toml").read_text("utf-8"))

TRUNCATED = {
    "eof": ("api_error", "The upstream closed the stream before the message was complete."),
    "cut": ("api_error", "The connection to the upstream broke before the message was complete."),
    "timeout": ("timeout_error", "The upstream did not go on with the message in time."),
    "shutdown": ("api_error", "The gateway is restarting and had to end this stream."),
}
ADVICE = " What you received is incomplete; send the request again."


def error_in(event: bytes) -> dict[str, Any]:
    """Decode an error event that the guard wrote, and check its form."""
    assert event.startswith(b"event: error\ndata: {")
    assert event.endswith(b"}\n\n")
    return json.loads(event[len(b"event: error\ndata: ") :])


@pytest.mark.parametrize("name", SENTENCES)
def test_a_violation_is_told_in_one_sentence_with_event_and_byte(name: str) -> None:
    run = run_guard([(STREAMS / f"{name}.sse").read_bytes()])

    assert str(run.verdict.violation) == SENTENCES[name]
    violation = run.verdict.violation
    assert violation is not None
    assert violation.args == (violation.reason, violation.event_number, violation.offset)
    if not name.startswith("broken-after"):
        assert error_in(run.terminal) == {
            "type": "error",
            "error": {
                "type": "api_error",
                "message": f"The upstream broke the stream protocol: {SENTENCES[name]}.{ADVICE}",
            },
            "request_id": "req_1",
        }


@pytest.mark.parametrize("reason", TRUNCATED)
def test_a_truncated_stream_says_why_and_what_to_do(reason: str) -> None:
    kind, text = TRUNCATED[reason]

    guard = StreamGuard(request_id="req_2")
    last, verdict = guard.finish(EndReason(reason))

    assert verdict.outcome == "truncated"
    assert verdict.reason == reason
    assert error_in(last) == {
        "type": "error",
        "error": {"type": kind, "message": text + ADVICE},
        "request_id": "req_2",
    }


def test_without_a_request_id_there_is_none_in_the_error() -> None:
    assert encode_error("api_error", "é") == (
        'event: error\ndata: {"type":"error","error":{"type":"api_error","message":"é"}}\n\n'.encode()
    )
    assert "request_id" not in error_in(StreamGuard().finish()[0])


def test_an_event_is_written_as_the_api_writes_it() -> None:
    assert (
        encode_event({"type": "future", "x": ["日", 1]})
        == 'event: future\ndata: {"type":"future","x":["日",1]}\n\n'.encode()
    )
    assert encode_event({"type": "x", "y": "\ud800"}) == b'event: x\ndata: {"type":"x","y":"\\ud800"}\n\n'
    with pytest.raises(KeyError):
        encode_event({})


def test_an_event_that_is_too_large_is_named_with_the_bound() -> None:
    run = run_guard([b"event: ping\ndata: {}\r\n: ", b"x" * 40], max_event_bytes=30)

    assert str(run.verdict.violation) == (
        "event 1 at byte 0: this event is longer than 30 bytes [event_too_large]"
    )


@pytest.mark.parametrize(("kind", "field"), [("text", "text"), ("thinking", "thinking")])
def test_a_delta_for_a_block_that_began_without_its_string_is_told_so(kind: str, field: str) -> None:
    data = stream_of(block={"type": kind}, deltas=({"type": f"{kind}_delta", field: "x"},))

    assert str(run_guard([data]).verdict.violation).endswith(
        f": {kind}_delta came for a {kind} block that began without a string `{field}` [missing_field]"
    )


def test_a_long_name_or_type_is_cut_in_the_sentence() -> None:
    name = "n" * 100
    run = run_guard([f"event: {name}\ndata: [\n\n".encode()])
    assert f"the data of {'n' * 64} is not JSON" in str(run.verdict.violation)

    run = run_guard([b'event: ping\ndata: {"type":"%b"}\n\n' % name.encode()])
    assert str(run.verdict.violation) == (
        f'event 1 at byte 0: the event is named ping but its data has type "{"n" * 63} [name_type_mismatch]'
    )

    whole = b"".join(FRAMES[letter].raw for letter in "sme")
    behind = whole + b'event: x\ndata: {"type":"%b"}\n\n' % name.encode()
    assert f": {'n' * 64} came after message_stop" in str(run_guard([behind]).verdict.violation)
    nameless = whole + b"event: x\n\n"
    assert ": an unknown event came after message_stop" in str(run_guard([nameless]).verdict.violation)


def test_an_unfinished_last_event_is_noted_with_its_size() -> None:
    run = run_guard([FRAMES["s"].raw + b"event: ping\n"])

    assert run.verdict.notes == ("unfinished_event: the last 12 bytes had no blank line behind",)


def test_a_tool_input_that_is_too_large_to_check_is_noted() -> None:
    def notes(size: int) -> tuple[str, ...]:
        fragments = ['{"a":"', "x" * (size - 8), '"}']
        deltas = tuple({"type": "input_json_delta", "partial_json": fragment} for fragment in fragments)
        # Quotes travel as two bytes each.
        run = run_guard([stream_of(block={"type": "tool_use", "input": {}}, deltas=deltas)])
        assert run.verdict.outcome == "complete"
        return run.verdict.notes

    unchecked = ("tool_input_unchecked: the input of block 0 is too large to check",)
    assert notes(TOOL_INPUT_LIMIT - 4) == ()
    assert notes(TOOL_INPUT_LIMIT - 3) == unchecked
    assert notes(TOOL_INPUT_LIMIT + 5000) == unchecked
    assert TOOL_INPUT_LIMIT == 262_144


def test_each_tool_of_a_message_is_checked_by_itself() -> None:
    """A block's fragments are forgotten at its end, and the note names the right block."""
    events: list[dict[str, Any]] = [{"type": "message_start", "message": {"content": [], "usage": {}}}]
    for index, (kind, delta, text) in enumerate(
        [
            ("tool_use", "input_json_delta", '{"a":1}'),
            ("server_tool_use", "input_json_delta", "nope"),
            ("text", "text_delta", "nope"),
            ("future_block", "input_json_delta", "nope"),
            ("tool_use", "input_json_delta", '{"b":2}'),
            ("mcp_tool_use", "input_json_delta", '{"b":[}'),
            ("tool_use", "input_json_delta", ""),
            ("tool_use", "input_json_delta", '{"c":{}}'),
        ]
    ):
        field = "partial_json" if delta == "input_json_delta" else "text"
        events += [
            {
                "type": "content_block_start",
                "index": index,
                "content_block": {"type": kind, "text": "", "input": {}},
            },
            {"type": "content_block_delta", "index": index, "delta": {"type": delta, field: text}},
            {"type": "content_block_stop", "index": index},
        ]
    data = b"".join(map(encode_event, events))
    expected = tuple(
        f"tool_input_invalid: not every SDK can read the model's input of block {index}" for index in (1, 5)
    )

    assert run_guard([data]).verdict.notes == expected
    assert run_guard([data], observed=True).verdict.notes == expected
    assert run_guard([data[at : at + 1] for at in range(len(data))]).verdict.notes == expected


@pytest.mark.parametrize(
    ("fragments", "readable"),
    [
        (['{"a":1}'], True),
        ([" \t\n\r{}"], True),
        (["", " {", "}"], True),
        ([" ", "{}"], False),
        (["", "\n", "{}"], False),
        (["\u00a0{}"], False),
        (["X{}"], False),
        (["{} "], True),
        (["[]"], False),
        (["1"], False),
        ([""], True),
        (['{"a":"\\ud83d\\ude00"}'], True),
        (['{"a":"\\ud83d"}'], False),
        (['{"\\uDE00":1}'], False),
        (['{"a":' + "[" * 199 + "]" * 199 + "}"], True),
        (['{"a":' + "[" * 200 + "]" * 200 + "}"], False),
        (["{"], False),
        (['{"a":NaN}'], False),
    ],
)
def test_a_tool_input_that_sdks_cannot_read_is_noted(fragments: list[str], readable: bool) -> None:  # noqa: FBT001 - a parameter
    deltas = tuple({"type": "input_json_delta", "partial_json": fragment} for fragment in fragments)
    data = stream_of(block={"type": "tool_use", "input": {}}, deltas=deltas)

    for observed in (False, True):
        run = run_guard([data], observed=observed)
        assert run.received == data
        assert bool(run.verdict.notes) != readable


def test_an_unknown_event_may_say_of_itself_what_it_likes() -> None:
    run = run_guard([b'event: future\ndata: {"type":"\\ud800"}\n\n', FRAMES["s"].raw])

    assert run.verdict.outcome == "truncated"
    assert run.verdict.events == 2


def test_a_machine_shows_where_it_stands() -> None:
    machine = StreamMachine()
    assert repr(machine) == "<StreamMachine AWAIT_START after 0 events>"
    machine.receive(FRAMES["s"])
    machine.receive(FRAMES["A"])
    assert repr(machine) == "<StreamMachine IN_BLOCK after 2 events, block 0: tool_use>"
    with pytest.raises(ProtocolViolation) as first:
        machine.receive(FRAMES["e"])
    with pytest.raises(ProtocolViolation) as second:
        machine.receive(FRAMES["p"])
    assert second.value is first.value
    assert machine.events == 3
    assert repr(machine) == "<StreamMachine VIOLATED after 3 events, block 0: tool_use>"


def test_what_the_machine_judged_can_be_looked_at() -> None:
    machine = StreamMachine()
    frame = Frame(b"", 7, b"ping", b'{"type":"ping"}')

    judged = machine.receive(frame)

    assert (judged.frame, judged.number, judged.kind, judged.payload) == (
        frame,
        1,
        EventKind.PING,
        {"type": "ping"},
    )
    assert judged.before is judged.after is machine.state


def test_every_rule_has_one_code_and_is_found_by_it() -> None:
    assert list(VIOLATIONS.values()) == _leaves(ProtocolViolation)
    assert all(violation.code == code for code, violation in VIOLATIONS.items())
    assert all(not violation.__subclasses__() for violation in VIOLATIONS.values())
    assert list(VIOLATIONS)[:4] == ["event_too_large", "invalid_utf8", "missing_event_name", "missing_data"]
