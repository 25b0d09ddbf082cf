"""Run a guard over chunks and keep what can be seen from outside."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from attrs import define, field

from sse_fsm import DEFAULT_MAX_EVENT_BYTES, EndReason, JudgedEvent, Mode, StreamGuard, Verdict

SMALL = 512
"""A bound on one event that fuzzed bytes can reach."""


@define
class Run:
    """All that one guard gave for one stream."""

    data: bytes
    """What left before the end."""
    terminal: bytes
    """What left as the end, the guard's own last words included."""
    verdict: Verdict
    committed: bool
    events: int
    """Sum over the steps."""
    judged: list[JudgedEvent] = field(factory=list)

    @property
    def received(self) -> bytes:
        """What a client got."""
        return self.data + self.terminal

    @property
    def observable(self) -> dict[str, Any]:
        """Everything that chunking must not change."""
        verdict = self.verdict
        return {
            "data": self.data,
            "terminal": self.terminal,
            "events": (self.events, verdict.events),
            "committed": self.committed,
            "verdict": (verdict.outcome, verdict.reason, verdict.code, str(verdict.violation), verdict.notes),
            "error": verdict.error,
            "message": repr(verdict.message),
            "bytes": (verdict.bytes_in, verdict.bytes_out),
        }


def run_guard(
    chunks: Iterable[bytes],
    *,
    reason: str = "eof",
    mode: str = "enforce",
    max_event_bytes: int | None = None,
    observed: bool = False,
) -> Run:
    """Feed a guard, check at each step what must hold at each step, and return what it gave.

    Args:
        chunks: the stream as the network cut it.
        reason: why it ended, as a value of `EndReason`.
        mode: `enforce` or `observe`.
        max_event_bytes: bound on one event.
        observed: whether an observer looks on, which turns the guard's fast path off.
    """
    bound = max_event_bytes or DEFAULT_MAX_EVENT_BYTES
    judged: list[JudgedEvent] = []
    guard = StreamGuard(
        mode=Mode(mode), max_event_bytes=bound, request_id="req_1", observer=judged.append if observed else None
    )
    data, terminal, events = bytearray(), bytearray(), 0
    for chunk in chunks:
        over = guard.ended
        step = guard.feed(chunk)
        assert not over or not step.data, "something left behind the end"
        assert not over or step.terminal in (b"", b"\n"), "something left behind the end"
        assert not (terminal and step.data), "the end was not the last thing that left"
        # Judged bytes are gone from the buffer; what stays is one unfinished event, or half a byte order mark.
        kept = guard._decoder.pending
        assert guard.machine.violation is not None or kept <= max(bound, 2), "the buffer is not bounded"
        data += step.data
        terminal += step.terminal
        events += step.events
    last, verdict = guard.finish(EndReason(reason))
    assert guard.finish(EndReason(reason)) == (b"", verdict), "the second verdict is another one"
    assert guard.ended
    assert guard.ping() == b""
    return Run(bytes(data), bytes(terminal) + last, verdict, guard.committed, events, judged)
