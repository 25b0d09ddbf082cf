"""What came of one stream: its events with their times, the state machine's verdict, and the message."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

from attrs import define, field

from sse_fsm import EndReason, EventKind, JudgedEvent, MessageAccumulator, Mode, Outcome, StreamGuard, Verdict

__all__ = ["StreamReading", "TimedEvent"]

_MOST_EVENTS: Final = 200_000
_CONTENT: Final = frozenset({EventKind.CONTENT_BLOCK_DELTA, EventKind.CONTENT_BLOCK_STOP, EventKind.MESSAGE_DELTA})


@define(frozen=True)
class TimedEvent:
    """One event and when its last byte had come."""

    at: float
    """Seconds since the request began to be sent."""
    kind: EventKind
    name: str
    index: int | None
    """Content index, for the three block events."""
    detail: str
    """Type of the block that starts, or of the delta."""
    raw: bytes
    """As it came, its blank line included."""

    @property
    def shape(self) -> str:
        """What two streams with other words in them have in common."""
        index = "" if self.index is None else f"[{self.index}]"
        return " ".join(part for part in (self.name + index, self.detail) if part)


@define(eq=False)
class StreamReading:
    """Judges a stream while it comes, as the gateway itself judges those of its upstream."""

    events: list[TimedEvent] = field(factory=list)
    """Those that the state machine allowed, pings and unknown ones included."""
    verdict: Verdict | None = None
    """Set by `finish`."""
    _at: float = 0.0
    _guard: StreamGuard = field(init=False)
    _message: MessageAccumulator = field(factory=MessageAccumulator)

    def __attrs_post_init__(self) -> None:
        """Begin before the first byte."""
        self._guard = StreamGuard(mode=Mode.OBSERVE, observer=self._see)

    def feed(self, chunk: bytes, at: float) -> None:
        """Take in the next bytes, which came `at` seconds after the request began."""
        self._at = at
        self._guard.feed(chunk)

    @property
    def is_over(self) -> bool:
        """Whether the stream itself has said that nothing more comes."""
        return bool(self.events) and self.events[-1].kind in (EventKind.MESSAGE_STOP, EventKind.ERROR)

    def finish(self, reason: EndReason) -> Verdict:
        """End the stream and return the verdict."""
        _, self.verdict = self._guard.finish(reason)
        return self.verdict

    @property
    def message(self) -> dict[str, Any] | None:
        """The message so far as a JSON object, as the official SDKs would return it."""
        return self._message.to_json()

    @property
    def first_content_at(self) -> float | None:
        """When the first delta, end of a block or `message_delta` had come; None if none did."""
        return next((event.at for event in self.events if event.kind in _CONTENT), None)

    def gaps(self) -> Iterator[float]:
        """Yield the seconds between events that came in different pieces, from the first content on."""
        first = self.first_content_at
        if first is None:
            return
        last = first
        for event in self.events:
            if event.at > last:
                yield event.at - last
                last = event.at

    def describe(self) -> str:
        """Say in a few words how it ended."""
        verdict = self.verdict
        if verdict is None:
            return "still running"
        if verdict.violation is not None:
            return f"violation: {verdict.violation}"
        if verdict.outcome is Outcome.UPSTREAM_ERROR:
            error: Mapping[str, Any] = verdict.error or {}
            return f"error event, {error.get('type')}: {error.get('message')}"
        return _SPOKEN.get(verdict.outcome, verdict.outcome.value)

    def _see(self, judged: JudgedEvent) -> None:
        if judged.kind is not EventKind.PING:
            self._message.observe(judged)
        if len(self.events) < _MOST_EVENTS or judged.kind in (EventKind.MESSAGE_STOP, EventKind.ERROR):
            self.events.append(_timed(judged, self._at))


_SPOKEN: Final[Mapping[Outcome, str]] = {
    Outcome.COMPLETE: "complete",
    Outcome.REPAIRED: "message_stop is missing",
    Outcome.TRUNCATED: "ended before the message was complete",
    Outcome.CANCELLED: "given up on",
}


def _timed(judged: JudgedEvent, at: float) -> TimedEvent:
    payload = judged.payload
    index = payload.get("index") if judged.kind in _BLOCK_EVENTS else None
    detail = ""
    if judged.kind is EventKind.CONTENT_BLOCK_START:
        detail = str(payload["content_block"].get("type"))
    elif judged.kind is EventKind.CONTENT_BLOCK_DELTA:
        detail = str(payload["delta"].get("type"))
    name = (judged.frame.event or b"").decode(errors="replace")
    return TimedEvent(at, judged.kind, name, index, detail, judged.frame.raw)


_BLOCK_EVENTS: Final = frozenset(
    {EventKind.CONTENT_BLOCK_START, EventKind.CONTENT_BLOCK_DELTA, EventKind.CONTENT_BLOCK_STOP}
)
