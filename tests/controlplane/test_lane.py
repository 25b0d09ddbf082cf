"""Reading a stream's way while it lasts: nothing is lost or counted twice, however often one looks."""

from __future__ import annotations

import re
from collections import Counter
from pathlib import Path
from typing import Any, Final

import pytest
from attrs import define, field
from hypothesis import given
from hypothesis import strategies as st

from gateway.controlplane.lane import Lane
from gateway.ledger import timeline
from gateway.ledger.record import AttemptRecord, RequestRecord
from gateway.ledger.timeline import TimelineRecorder
from sse_fsm import StreamGuard
from sse_fsm.events import EventKind
from sse_fsm.strategies import broken_streams, valid_streams

STREAMS: Final = Path(__file__).parents[2] / "fixtures" / "streams"


@define(eq=False)
class Request:
    """A request in flight, with a clock of its own."""

    now: float = 0.0
    record: RequestRecord = field(factory=lambda: RequestRecord("req", "POST /v1/messages", "ana"))
    started: float = 0.0
    guard: StreamGuard | None = None
    heard: float | None = None
    longest_gap: float = 0.0
    body_bytes: int | None = None

    def begin(self, began_milliseconds: int) -> StreamGuard:
        """Begin an attempt that has come to a stream."""
        self.record.attempts.append(AttemptRecord("red", began_milliseconds=began_milliseconds))
        guard = StreamGuard(recorder=TimelineRecorder(lambda: self.now, 0.0))
        self.guard = guard
        return guard


def check(lane: Lane) -> None:
    """Check that a lane has neither gaps nor overlaps."""
    for (_, _, ended), (_, began, _) in zip(lane.segments, lane.segments[1:], strict=False):
        assert ended == began
    if lane.segments:
        assert lane.segments[-1][2] is None


def broken(lane: Lane) -> int:
    """Return how many rules were broken."""
    return sum(count for (_, event), count in lane.edges.items() if event == "violation")


def phases(lane: Lane) -> list[str]:
    """Return the phases of a lane that do not depend on when one looks."""
    return [phase for phase, *_ in lane.segments if phase not in {"head", "start", "between"}]


@given(
    (valid_streams() | broken_streams()).map(lambda stream: stream.data),
    st.lists(st.tuples(st.integers(1, 400), st.floats(0, 2), st.booleans()), max_size=60),
)
def test_however_often_one_looks_the_edges_are_those_of_the_whole_stream(data: bytes, steps: list[Any]) -> None:
    request, often, once = Request(), Lane(), Lane()
    often.read(request, 0.0)
    guard = request.begin(10)
    request.now = 0.1
    for size, seconds, looks in [*steps, (len(data), 0.0, True)]:
        request.now += seconds
        guard.feed(data[:size])
        data = data[size:]
        if looks:
            often.read(request, request.now)
            check(often)
    often.read(request, request.now)
    once.read(request, request.now)
    assert often.edges == once.edges
    # What is wrong with a frame is no event.
    assert often.edges.total() - guard.machine.events in {0, broken(often)}
    assert phases(often) == phases(once)
    assert often.tokens == once.tokens


def test_the_counts_of_a_long_stream_stay_exact_when_its_timeline_makes_room() -> None:
    request, lane = Request(), Lane()
    guard = request.begin(0)
    delta = (
        b'event: content_block_delta\ndata: {"type":"content_block_delta","index":0,'
        b'"delta":{"type":"text_delta","text":"four"}}\n\n'
    )
    guard.feed(
        b'event: message_start\ndata: {"type":"message_start","message":{"id":"m","type":"message",'
        b'"role":"assistant","model":"x","content":[],"stop_reason":null,"stop_sequence":null,'
        b'"usage":{"input_tokens":1,"output_tokens":1}}}\n\n'
        b'event: content_block_start\ndata: {"type":"content_block_start","index":0,'
        b'"content_block":{"type":"text","text":""}}\n\n'
    )
    deltas = 3 * timeline._MOST_ENTRIES
    for number in range(deltas):
        request.now += 0.3
        guard.feed(delta)
        if number % 100 == 0:
            lane.read(request, request.now)
    lane.read(request, request.now)
    edges = lane.edges
    assert edges == Counter(
        {
            ("AWAIT_START", EventKind.MESSAGE_START.value): 1,
            ("BETWEEN_BLOCKS", EventKind.CONTENT_BLOCK_START.value): 1,
            ("IN_BLOCK", EventKind.CONTENT_BLOCK_DELTA.value): deltas,
        }
    )
    assert lane.tokens == deltas
    for _ in range(3):
        request.now += 1.0
        guard.feed(2 * delta)
        lane.read(request, request.now)
    assert lane.tokens_per_second() == 2.0
    check(lane)


@pytest.mark.parametrize("name", ["big-3200-deltas", "text-padded", "claude-code-turn"])
def test_tokens_are_estimated_from_what_the_model_wrote_and_not_from_what_is_around_it(name: str) -> None:
    request, lane = Request(), Lane()
    guard = request.begin(0)
    data = (STREAMS / f"{name}.sse").read_bytes()
    guard.feed(data)
    lane.read(request, 1.0)
    fields = rb'"(?:text|thinking|partial_json)":"((?:[^"\\]|\\.)*)"\}'
    written = sum(map(len, re.findall(rb'_delta",' + fields, data)))
    assert written / 4 * 0.75 <= lane.tokens <= written / 4 * 1.25


def test_attempts_that_were_refused_are_parts_of_the_way() -> None:
    request, lane = Request(), Lane()
    lane.read(request, 0.1)
    assert lane.segments == [("waiting", 0.0, None)]
    request.record.attempts.append(AttemptRecord("red", "overload", 529, 400, began_milliseconds=100))
    lane.read(request, 0.6)
    assert lane.segments == [("waiting", 0.0, 0.1), ("refused", 0.1, 0.5), ("waiting", 0.5, None)]
    request.record.attempts.append(AttemptRecord("green", began_milliseconds=700))
    lane.read(request, 0.8)
    assert [phase for phase, *_ in lane.segments] == ["waiting", "refused", "waiting", "head"]
    assert lane.phase == "head"
    check(lane)
