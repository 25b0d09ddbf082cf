"""Observing changes nothing, and pings may be put in wherever the guard gives one."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sse_fsm import EndReason, Mode, StreamGuard, encode_error, encode_event
from sse_fsm.strategies import ValidStream, broken_streams, chunkings, stream_bytes, valid_streams
from tests.sse_fsm.checker import classify, read_events
from tests.sse_fsm.driving import SMALL, run_guard
from tests.sse_fsm.test_any_bytes import damaged_bytes
from tests.sse_fsm.test_chunking import ANY_STREAM


@given(ANY_STREAM | damaged_bytes(), st.sampled_from(EndReason), st.sampled_from((None, SMALL)), st.data())
def test_observing_passes_every_byte_and_gives_the_same_verdict(
    stream: bytes, reason: EndReason, bound: int | None, data: st.DataObject
) -> None:
    chunks = data.draw(chunkings(stream))

    observing = run_guard_observing(chunks, reason, bound)
    enforcing = run_guard(chunks, reason=reason, max_event_bytes=bound)

    received, verdict = observing
    assert received == stream
    assert verdict.bytes_out == verdict.bytes_in == len(stream)
    assert str(verdict.violation) == str(enforcing.verdict.violation)
    for name in ("outcome", "reason", "code", "notes", "events", "error"):
        assert getattr(verdict, name) == getattr(enforcing.verdict, name)
    assert repr(verdict.message) == repr(enforcing.verdict.message)


def run_guard_observing(chunks: list[bytes], reason: EndReason, bound: int | None):  # noqa: ANN201 - a pair of what it gave
    guard = StreamGuard(mode=Mode.OBSERVE, max_event_bytes=bound or 2**20)
    received = bytearray()
    for chunk in chunks:
        step = guard.feed(chunk)
        assert step.data == chunk
        assert step.terminal == b""
        assert not guard.ended
        received += step.data
    last, verdict = guard.finish(reason)
    assert last == b""
    assert guard.ended
    return bytes(received), verdict


@given(valid_streams() | broken_streams() | stream_bytes(), st.data())
def test_pings_between_chunks_leave_the_stream_valid(stream, data: st.DataObject) -> None:  # noqa: ANN001 - one of three types
    upstream = stream if isinstance(stream, bytes) else stream.data
    chunks = data.draw(chunkings(upstream))
    pinged = data.draw(st.sets(st.integers(0, len(chunks)), max_size=6))
    plain = run_guard(chunks)
    guard = StreamGuard()
    received, pings = bytearray(), 0

    for number, chunk in enumerate([*chunks, b""]):
        if number in pinged:
            ping = guard.ping()
            pings += bool(ping)
            received += ping
        step = guard.feed(chunk)
        received += step.data + step.terminal
    last, verdict = guard.finish()
    received += last

    assert classify(bytes(received)) == classify(plain.received)
    assert (verdict.outcome, verdict.code, verdict.events) == (
        plain.verdict.outcome,
        plain.verdict.code,
        plain.verdict.events,
    )
    assert verdict.bytes_out == len(received)
    names = [name for name, _ in read_events(bytes(received))]
    assert names.count("ping") == pings + [name for name, _ in read_events(plain.received)].count("ping")


# A byte order mark passes in this mode too, but behind a ping it would be no mark any more.
@given(valid_streams().filter(lambda stream: not stream.bom), st.data())
def test_pings_while_observing_never_fall_inside_an_event(stream: ValidStream, data: st.DataObject) -> None:
    guard = StreamGuard(mode=Mode.OBSERVE)
    received = bytearray()
    for chunk in data.draw(chunkings(stream.data)):
        received += guard.ping() + guard.feed(chunk).data
    guard.finish()

    assert classify(bytes(received)) == "complete"


def test_a_ping_is_given_before_and_in_a_message_and_never_behind_its_end() -> None:
    guard = StreamGuard()
    ping = encode_event({"type": "ping"}).replace(b":", b": ").replace(b":  ", b": ")
    for payload in (
        {"type": "message_start", "message": {"content": [], "usage": {}}},
        {"type": "message_delta", "delta": {}, "usage": {"output_tokens": 1}},
    ):
        assert guard.ping() == ping
        guard.feed(encode_event(payload) + b"event: half")
        # What is not whole has not left, so a ping cannot fall into it.
        assert guard.ping() == ping
        guard.feed(b"\n\n")
    assert guard.ping() == ping
    guard.feed(encode_event({"type": "message_stop"}))
    assert guard.ping() == b""


def test_no_ping_behind_an_error_or_a_violation() -> None:
    for end in (encode_error("api_error", "x"), b"data: {}\n\n"):
        for mode in Mode:
            guard = StreamGuard(mode=mode)
            guard.feed(end)
            assert guard.ping() == b""


def test_a_guard_that_has_given_its_verdict_takes_no_more() -> None:
    guard = StreamGuard()
    guard.finish()

    with pytest.raises(RuntimeError, match="one guard per stream"):
        guard.feed(b"")
