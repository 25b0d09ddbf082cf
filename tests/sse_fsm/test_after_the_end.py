"""Behind the end of a stream nothing leaves, whatever else the upstream says."""

from __future__ import annotations

from hypothesis import example, given
from hypothesis import strategies as st

from sse_fsm import StreamGuard, encode_event
from sse_fsm.strategies import BrokenStream, ValidStream, broken_streams, chunkings, stream_bytes, valid_streams
from tests.sse_fsm.driving import run_guard

MORE = stream_bytes() | valid_streams(max_blocks=1).map(lambda stream: stream.data)


@given(valid_streams(), MORE, st.data())
def test_behind_message_stop_nothing_leaves(stream: ValidStream, more: bytes, data: st.DataObject) -> None:
    run = run_guard(data.draw(chunkings(stream.data + more)))

    # The LF of a CR LF still belongs to the event whose CR has left.
    completed = stream.forwarded.endswith(b"\r") and more.startswith(b"\n")
    assert run.received == stream.forwarded + b"\n" * completed
    assert run.verdict.code is not None or run.verdict.outcome == "complete"


@given(broken_streams(), MORE, st.data())
def test_behind_the_first_violation_or_error_nothing_leaves(
    broken: BrokenStream, more: bytes, data: st.DataObject
) -> None:
    guard = (
        StreamGuard() if broken.max_event_bytes is None else StreamGuard(max_event_bytes=broken.max_event_bytes)
    )
    guard.feed(broken.data)
    assert guard.ended == (broken.outcome in ("violation", "upstream_error"))
    if not guard.ended:
        guard.finish()
        return
    for chunk in data.draw(chunkings(more)):
        step = guard.feed(chunk)
        assert step.data == b""
        assert step.terminal in (b"", b"\n")
    last, verdict = guard.finish()

    assert last == b""
    assert broken.outcome != "violation" or (verdict.code, guard.machine.events) == (broken.code, verdict.events)


@given(st.integers(1, 3))
@example(1)
def test_deltas_in_their_own_chunks_do_not_slip_out_behind_a_violation(number: int) -> None:
    delta = encode_event({"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": "x"}})
    for end in (b"data: {}\n\n", b"event: message_start\ndata: null\n\n", encode_event({"type": "error"})):
        guard = StreamGuard()
        guard.feed(encode_event({"type": "message_start", "message": {"content": [], "usage": {}}}))
        block = {"type": "text", "text": ""}
        guard.feed(encode_event({"type": "content_block_start", "index": 0, "content_block": block}))
        assert guard.feed(delta).data == delta
        assert guard.feed(end).terminal.startswith(b"event: error\n")

        assert [guard.feed(delta).data for _ in range(number)] == [b""] * number
