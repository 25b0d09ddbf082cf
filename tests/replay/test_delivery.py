"""Splitting and marking a body, whatever the body."""

from hypothesis import given
from hypothesis import strategies as st

from gateway.replay.delivery import Mark, steps
from gateway.replay.events import split_events

PIECES = st.lists(st.binary(max_size=12), max_size=8)
LINES = st.lists(st.sampled_from([b"\n", b"\r", b"\r\n", b"data: x", b"event: y", b":"]), max_size=30)


@given(PIECES, st.lists(st.integers(0, 80), max_size=4), st.none() | st.integers(1, 5))
def test_marks_stand_at_their_offset_and_no_byte_is_lost(
    pieces: list[bytes], offsets: list[int], slice_size: int | None
) -> None:
    total = sum(map(len, pieces))
    marks = [Mark(offset, "wait") for offset in offsets]
    sent = b""
    met = []
    for step in steps(pieces, marks, slice_size):
        if isinstance(step, Mark):
            assert len(sent) == min(step.offset, total)
            met.append(step)
        else:
            assert 0 < len(step) <= (slice_size or total)
            sent += step
    assert sent == b"".join(pieces)
    assert met == sorted(marks, key=lambda mark: mark.offset)


@given(LINES)
def test_splitting_a_stream_changes_no_byte_and_leaves_no_blank_line_inside(lines: list[bytes]) -> None:
    stream = b"".join(lines)
    events = split_events(stream)
    assert b"".join(events) == stream
    for event in events:
        text = event.replace(b"\r\n", b"\n").replace(b"\r", b"\n")
        assert b"\n\n" not in text[:-2]


def test_a_stream_is_split_after_each_blank_line() -> None:
    stream = b"event: a\ndata: 1\n\nevent: b\r\ndata: 2\r\n\r\n: c\r\rrest"
    assert split_events(stream) == (
        b"event: a\ndata: 1\n\n",
        b"event: b\r\ndata: 2\r\n\r\n",
        b": c\r\r",
        b"rest",
    )
