"""A stream that is made again from its timeline ends as the recorded one did, and has nothing of it inside."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from gateway.ledger.skeleton import SkeletonError, make_skeleton
from gateway.ledger.timeline import Timeline, TimelineError, TimelineRecorder
from sse_fsm import EndReason, Outcome, StreamGuard, Verdict
from sse_fsm.strategies.chunks import cut_at
from sse_fsm.strategies.faults import FAULTS, BrokenStream, broken_streams
from sse_fsm.strategies.streams import ValidStream, valid_streams

STREAMS = sorted((Path(__file__).parents[2] / "fixtures" / "streams").rglob("*.sse"))


def clock(step: float = 0.01) -> Callable[[], float]:
    """Return a clock that goes on each time it is looked at."""
    ticks = itertools.count()
    return lambda: next(ticks) * step


def record(data: bytes, *, reason: EndReason = EndReason.EOF, step: float = 0.01) -> tuple[Verdict, Timeline]:
    """Let a guard judge a stream, and return the verdict and what was taken down."""
    recorder = TimelineRecorder(clock(step), 0.0)
    guard = StreamGuard(recorder=recorder)
    for chunk in cut_at(data, range(0, len(data), 700)):
        guard.feed(chunk)
    _, verdict = guard.finish(reason)
    return verdict, Timeline.decode(recorder.finish(verdict.outcome, None))


def judge(data: bytes, reason: EndReason = EndReason.EOF) -> Verdict:
    guard = StreamGuard()
    guard.feed(data)
    return guard.finish(reason)[1]


def kept(verdict: Verdict) -> tuple[object, ...]:
    """Return what the skeleton of a stream has in common with it."""
    stop_reason = (verdict.message or {}).get("stop_reason")
    error = (verdict.error or {}).get("type")
    # Which number the event has that broke a rule is a matter of when that was found.
    events = None if verdict.violation is not None else verdict.events
    return verdict.outcome, verdict.code, events, verdict.blocks, stop_reason, error


@pytest.mark.parametrize("path", STREAMS, ids=lambda path: path.stem)
def test_the_recorded_streams_of_the_corpus(path: Path) -> None:
    verdict, timeline = record(path.read_bytes())
    again = judge(make_skeleton(timeline, model="m", usage={}))
    assert kept(again) == kept(verdict)


@given(broken_streams())
def test_a_stream_with_any_fault(broken: BrokenStream) -> None:
    verdict, timeline = record(broken.data, reason=EndReason(broken.reason))
    again = judge(make_skeleton(timeline, model=None, usage={}), EndReason(broken.reason))
    assert again.outcome is verdict.outcome
    assert again.code == verdict.code


@pytest.mark.parametrize("name", [name for name, fault in FAULTS.items() if fault.code])
def test_each_fault(name: str) -> None:
    @settings(max_examples=15)
    @given(broken_streams(name, noise=False))
    def check(broken: BrokenStream) -> None:
        verdict, timeline = record(broken.data)
        again = judge(make_skeleton(timeline, model=None, usage={}))
        assert again.code == verdict.code

    check()


@given(valid_streams())
def test_any_valid_stream(stream: ValidStream) -> None:
    verdict, timeline = record(stream.data)
    assert verdict.outcome is Outcome.COMPLETE
    assert kept(judge(make_skeleton(timeline, model=None, usage={})))[:4] == kept(verdict)[:4]


SECRET = "the-secret-of-the-prompt"
TELLING = [
    (
        b'event: message_start\ndata: {"type":"message_start","message":{"id":"%b","type":"message",'
        b'"role":"assistant","model":"m","content":[],"stop_reason":null,"usage":{"input_tokens":1,"%b":1}}}\n\n'
    ),
    (
        b'event: content_block_start\ndata: {"type":"content_block_start","index":0,'
        b'"content_block":{"type":"text","text":"%b","more":"%b"}}\n\n'
    ),
    (
        b'event: content_block_delta\ndata: {"type":"content_block_delta","index":0,'
        b'"delta":{"type":"text_delta","text":"%b"}}\n\n'
    ),
    (
        b'event: content_block_delta\ndata: {"type":"content_block_delta","index":0,'
        b'"delta":{"type":"citations_delta","citation":{"cited_text":"%b"}}}\n\n'
    ),
    (
        b'event: content_block_delta\ndata: {"type":"content_block_delta","index":0,'
        b'"delta":{"type":"text_delta","text":"%b","input":{"%b":["%b"]}}}\n\n'
    ),
    b": %b\n\n",
    b'event: of the future %b\ndata: {"x":"%b"}\n\n',
]
ENDS = {
    "nothing": b"",
    "an error": b'event: error\ndata: {"type":"error","error":{"type":"%b %b","message":"%b"}}\n\n',
    "no JSON": b'event: content_block_delta\ndata: {"type":"%b"\n\n',
    "another index": b'event: content_block_delta\ndata: {"type":"content_block_delta","index":7,'
    b'"delta":{"type":"text_delta","text":"%b"},"%b":{"text":"%b"}}\n\n',
    "another name": b'event: ping\ndata: {"type":"%b %b"}\n\n',
    "no object": b'event: ping\ndata: ["%b"]\n\n',
    "a number": b"event: ping\ndata: 12345678901234567890123456789\n\n",
    "no name": b'data: {"type":"ping","%b":1}\n\n',
    "no UTF-8": b'event: ping\ndata: {"type":"%b\xff"}\n\n',
    "a block inside": b'event: content_block_start\ndata: {"type":"content_block_start","index":1,'
    b'"content_block":{"type":"tool_use","id":"%b","name":"%b","input":{"%b":"%b"}}}\n\n',
}


@pytest.mark.parametrize("end", ENDS)
def test_nothing_of_the_content_is_kept(end: str) -> None:
    data = b"".join([*TELLING, ENDS[end]]).replace(b"%b", SECRET.encode())
    verdict, timeline = record(data)
    assert end == "nothing" or verdict.outcome in {Outcome.VIOLATION, Outcome.UPSTREAM_ERROR}
    skeleton = make_skeleton(timeline, model="m", usage={})
    assert SECRET.encode() not in skeleton
    assert SECRET not in repr(timeline)
    assert judge(skeleton).code == verdict.code


def long_stream(blocks: int, deltas: int) -> bytes:
    start = (
        b'event: message_start\ndata: {"type":"message_start","message":{"id":"m","type":"message",'
        b'"role":"assistant","model":"m","content":[],"stop_reason":null,'
        b'"usage":{"input_tokens":1,"output_tokens":1}}}\n\n'
    )
    parts = [start]
    for index in range(blocks):
        parts.append(
            b'event: content_block_start\ndata: {"type":"content_block_start","index":%d,'
            b'"content_block":{"type":"text","text":""}}\n\n' % index
        )
        parts += [
            b'event: content_block_delta\ndata: {"type":"content_block_delta","index":%d,'
            b'"delta":{"type":"text_delta","text":"x"}}\n\n' % index
        ] * deltas
        parts.append(b'event: content_block_stop\ndata: {"type":"content_block_stop","index":%d}\n\n' % index)
    return b"".join(parts)


def test_a_long_stream_takes_a_bounded_place_and_loses_no_event() -> None:
    data = long_stream(3, 60_000)
    verdict, timeline = record(data, step=1.0)
    assert len(timeline.entries) < 2100
    assert timeline.left_out == 0
    assert sum(entry.count for entry in timeline.entries) == verdict.events
    assert len(timeline.encode()) < 64 * 1024
    assert kept(judge(make_skeleton(timeline, model=None, usage={}))) == kept(verdict)


def test_one_of_more_blocks_than_can_be_kept_says_that_it_is_not_whole() -> None:
    _, timeline = record(long_stream(1500, 1))
    assert timeline.left_out > 0
    with pytest.raises(SkeletonError, match="left out"):
        make_skeleton(timeline, model=None, usage={})


@given(st.binary(max_size=50))
@example(b"")
def test_what_is_no_timeline_is_said_to_be_none(kept: bytes) -> None:
    with pytest.raises(TimelineError):
        Timeline.decode(kept)


def test_silence_inside_a_block_is_on_the_timeline() -> None:
    times = iter([0.0, 0.1, 0.11, 0.12, 5.12, 5.13, 5.2, 5.3])
    recorder = TimelineRecorder(lambda: next(times), 0.0)
    guard = StreamGuard(recorder=recorder)
    for event in long_stream(1, 4).split(b"\n\n")[:-1]:
        guard.feed(event + b"\n\n")
    _, verdict = guard.finish(EndReason.CUT)
    timeline = Timeline.decode(recorder.finish(verdict.outcome, EndReason.CUT))
    assert [(entry.event, entry.count, round(entry.at, 2)) for entry in timeline.entries] == [
        ("message_start", 1, 0.0),
        ("content_block_start", 1, 0.1),
        ("content_block_delta", 2, 0.11),
        ("content_block_delta", 2, 5.12),
        ("content_block_stop", 1, 5.2),
    ]
    assert (timeline.outcome, timeline.reason, round(timeline.ended_at, 2)) == ("truncated", "cut", 5.3)
