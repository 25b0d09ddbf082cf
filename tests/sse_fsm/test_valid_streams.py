"""What a client gets when the upstream does everything right."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from sse_fsm.strategies import ValidStream, chunkings, valid_streams
from tests.sse_fsm.checker import classify
from tests.sse_fsm.driving import run_guard


@given(valid_streams(), st.data())
def test_a_valid_stream_arrives_byte_by_byte_as_it_was_sent(stream: ValidStream, data: st.DataObject) -> None:
    run = run_guard(data.draw(chunkings(stream.data)))

    assert run.received == stream.forwarded
    assert run.verdict.outcome == "complete"
    assert run.verdict.events == run.events == len(stream.events)
    assert run.verdict.bytes_in == len(stream.data)
    assert run.verdict.bytes_out == len(stream.forwarded)
    assert run.verdict.notes == ()
    assert run.verdict.reason is None
    assert run.committed
    assert run.verdict.message is not None
    assert run.verdict.message["stop_reason"] == stream.stop_reason


@given(valid_streams())
def test_the_end_of_a_valid_stream_is_handed_out_apart_from_the_rest(stream: ValidStream) -> None:
    run = run_guard([stream.data])

    assert run.terminal == stream.pieces[-1].raw


@given(valid_streams())
def test_a_valid_stream_is_one_to_the_second_opinion_too(stream: ValidStream) -> None:
    assert classify(stream.forwarded) == "complete"


@given(
    valid_streams(),
    st.sampled_from((b": bye\n", b": \xff\n", b"id: 1\r\n\r\n", b"\r\n\r\n", b"data: {", b"\xff")),
    st.data(),
)
def test_comments_and_half_events_behind_the_end_are_kept_back(
    stream: ValidStream, more: bytes, data: st.DataObject
) -> None:
    run = run_guard(data.draw(chunkings(stream.data + more)))

    assert run.verdict.outcome == "complete"
    assert run.received == stream.forwarded + (b"\n" if stream.data.endswith(b"\r") and more[0] == 10 else b"")
