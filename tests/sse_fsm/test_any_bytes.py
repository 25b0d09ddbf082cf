"""What a client gets when the upstream sends anything at all."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from sse_fsm import EndReason
from sse_fsm.strategies import broken_streams, chunkings, stream_bytes, valid_streams
from tests.sse_fsm.checker import classify
from tests.sse_fsm.driving import SMALL, run_guard

_EXPECTED = {
    "complete": "complete",
    "repaired": "complete",
    "truncated": "failed",
    "violation": "failed",
    "upstream_error": "failed",
    "cancelled": "prefix",
}


@st.composite
def damaged_bytes(draw: st.DrawFn) -> bytes:
    """Streams with up to four random changes to their bytes, cut off anywhere."""
    data = draw(
        valid_streams(max_blocks=2).map(lambda stream: stream.data) | broken_streams().map(lambda b: b.data)
    )
    data = data[:4096]
    for _ in range(draw(st.integers(0, 4))):
        start = draw(st.integers(0, len(data)))
        end = draw(st.integers(start, min(start + 40, len(data))))
        data = (
            data[:start] + draw(stream_bytes().map(lambda b: b[:20]) | st.just(data[start:end] * 2)) + data[end:]
        )
    return data[: draw(st.just(len(data)) | st.integers(0, len(data)))]


@given(stream_bytes() | damaged_bytes(), st.sampled_from(EndReason), st.sampled_from((None, SMALL, 64)), st.data())
def test_whatever_comes_in_what_goes_out_is_valid_or_says_that_it_is_not(
    upstream: bytes, reason: EndReason, bound: int | None, data: st.DataObject
) -> None:
    run = run_guard(data.draw(chunkings(upstream)), reason=reason, max_event_bytes=bound)

    ended_well = classify(run.received)
    if run.verdict.code in ("event_after_stop", "event_after_error") or (
        run.verdict.code and ended_well == "complete"
    ):
        # The stream had ended before; what came behind its end was kept back.
        assert ended_well in ("complete", "failed")
    else:
        assert ended_well == _EXPECTED[run.verdict.outcome]
    assert run.verdict.bytes_in == len(upstream)
    assert run.verdict.bytes_out == len(run.received)


@given(stream_bytes() | damaged_bytes(), st.data())
def test_what_leaves_before_the_end_is_the_upstreams_own_beginning(upstream: bytes, data: st.DataObject) -> None:
    run = run_guard(data.draw(chunkings(upstream)))

    assert upstream.removeprefix(b"\xef\xbb\xbf").startswith(run.data)
