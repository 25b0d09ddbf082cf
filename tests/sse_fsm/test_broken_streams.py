"""What a client gets when the upstream makes one mistake."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sse_fsm import VIOLATIONS, Outcome
from sse_fsm.strategies import FAULTS, BrokenStream, broken_streams, chunkings
from tests.sse_fsm.checker import classify, read_events
from tests.sse_fsm.driving import run_guard

EACH = settings(max_examples=max(12, settings().max_examples // 5))


@pytest.mark.parametrize("fault", FAULTS)
@EACH
@given(st.data())
def test_each_mistake_is_named_and_the_stream_ends_there(fault: str, data: st.DataObject) -> None:
    broken = data.draw(broken_streams(fault))
    run = run_guard(
        data.draw(chunkings(broken.data)), reason=broken.reason, max_event_bytes=broken.max_event_bytes
    )
    verdict = run.verdict

    assert (verdict.outcome, verdict.code) == (broken.outcome, broken.code)
    assert FAULTS[fault].code in (None, broken.code)
    if verdict.violation is not None:
        assert verdict.violation.event_number == verdict.events == broken.event_number or (
            broken.code in ("event_too_large", "invalid_utf8")
            and verdict.violation.event_number == broken.event_number
        )
        assert verdict.violation.offset == broken.offset
    assert run.received.startswith(broken.forwarded)
    rest = run.received[len(broken.forwarded) :]
    match broken.outcome:
        case "repaired":
            assert [name for name, _ in read_events(rest)] == ["message_stop"]
            assert classify(run.received) == "complete"
        case "cancelled" | "upstream_error":
            assert rest == b""
        case _ if broken.code in ("event_after_stop", "event_after_error"):
            assert rest == b""
        case _:
            assert [name for name, _ in read_events(rest)] == ["error"]
            assert classify(run.received) == "failed"


def test_the_strategies_make_every_violation_and_every_outcome() -> None:
    """Most faults always make the same violation; what the others make is looked at."""
    found = {fault.code for fault in FAULTS.values() if fault.code}
    open_ended = [name for name, fault in FAULTS.items() if fault.code is None]

    @settings(max_examples=150, derandomize=True, database=None)
    @given(broken_streams(*open_ended, noise=False))
    def collect(broken: BrokenStream) -> None:
        found.add(broken.code or broken.outcome)

    collect()

    assert found == {*VIOLATIONS, *Outcome} - {"complete", "violation"}
