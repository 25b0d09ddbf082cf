"""Where the network cuts a stream changes nothing."""

from __future__ import annotations

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from sse_fsm import EndReason, FrameDecoder, ProtocolViolation
from sse_fsm.strategies import broken_streams, chunkings, cut_at, stream_bytes, valid_streams
from tests.sse_fsm.driving import SMALL, run_guard

ANY_STREAM = (
    valid_streams(max_blocks=2).map(lambda stream: stream.data)
    | broken_streams().map(lambda broken: broken.data)
    | stream_bytes()
)
BOUNDS = st.sampled_from((None, SMALL, 64)) | st.integers(1, 200)


@given(ANY_STREAM, st.sampled_from(EndReason), BOUNDS, st.booleans(), st.data())
def test_verdict_bytes_events_and_notes_are_the_same_for_any_chunking(
    stream: bytes,
    reason: EndReason,
    bound: int | None,
    observed: bool,  # noqa: FBT001 - Hypothesis draws it
    data: st.DataObject,
) -> None:
    chunks = data.draw(chunkings(stream))

    whole = run_guard([stream], reason=reason, max_event_bytes=bound, observed=observed)
    cut = run_guard(chunks, reason=reason, max_event_bytes=bound, observed=observed)

    assert cut.observable == whole.observable


@given(ANY_STREAM, BOUNDS, st.data())
@example(b"data: 12345\r\n\r\n", 14, None)
@example(b": 2345\r\n", 7, None)
def test_frames_are_the_same_for_any_chunking(
    stream: bytes, bound: int | None, data: st.DataObject | None
) -> None:
    ways = [cut_at(stream, range(1, len(stream)))]
    if data is not None:
        ways.append(data.draw(chunkings(stream)))

    whole = decode([stream], bound)

    assert [decode(chunks, bound) for chunks in ways] == [whole] * len(ways)


@given(ANY_STREAM, st.data())
def test_frames_add_up_to_the_stream(stream: bytes, data: st.DataObject) -> None:
    decoder = FrameDecoder()
    raw = bytearray()
    for chunk in data.draw(chunkings(stream)):
        decoder.feed(chunk)
        while (frame := decoder.next_frame()) is not None:
            assert frame.offset == len(raw) + (3 if stream.startswith(b"\xef\xbb\xbf") else 0)
            raw += frame.raw
    assert len(raw) + decoder.pending + (3 if stream.startswith(b"\xef\xbb\xbf") else 0) == len(stream)
    assert stream.removeprefix(b"\xef\xbb\xbf").startswith(bytes(raw))


@pytest.mark.parametrize(
    ("stream", "frames"),
    [
        (b"\n\n", [b"\n", b"\n"]),
        (b"\r\n\n", [b"\r\n", b"\n"]),
        (b"\r\r\n", [b"\r", b"\r\n"]),
        (b"\n\r\n\r", [b"\n", b"\r\n", b"\r"]),
        (b": a\r\n\n: b\r: c\n", [b": a\r\n", b"\n", b": b\r", b": c\n"]),
        (b"id: 1\r\n\r\n\n", [b"id: 1\r\n\r\n", b"\n"]),
        (b"data: x\r\rdata: y\n\r\n\n", [b"data: x\r\r", b"data: y\n\r\n", b"\n"]),
        (b"data: x\r\ny\n\nz", [b"data: x\r\ny\n\n"]),
    ],
)
def test_a_frame_is_one_event_or_one_line_between_events(stream: bytes, frames: list[bytes]) -> None:
    decoder = FrameDecoder()
    decoder.feed(stream)
    found = []
    while (frame := decoder.next_frame()) is not None:
        found.append(frame.raw)

    assert found == frames


def decode(chunks: list[bytes], bound: int | None) -> tuple[list[tuple[int, bytes | None, bytes | None]], str]:
    """Return what the events say and where they begin, and how the decoding ended."""
    decoder = FrameDecoder() if bound is None else FrameDecoder(max_event_bytes=bound)
    found: list[tuple[int, bytes | None, bytes | None]] = []
    for chunk in chunks:
        decoder.feed(chunk)
        try:
            while (frame := decoder.next_frame()) is not None:
                if not frame.is_noise:
                    found.append((frame.offset, frame.event, frame.data))
        except ProtocolViolation as violation:
            return found, str(violation)
    return found, f"{decoder.pending} bytes at {decoder.offset}"
