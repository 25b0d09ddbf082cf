"""The way of one request through the states, read from what is taken down of it anyway, and only what is new.

Times are seconds since the request came in.
"""

from __future__ import annotations

import math
from collections import Counter, deque
from typing import Any, Final

from attrs import define, field

from gateway.ledger.in_flight import InFlight
from gateway.ledger.record import AttemptRecord
from gateway.ledger.timeline import Entry, Place, TimelineRecorder
from sse_fsm import TRANSITIONS, State
from sse_fsm.blocks import BLOCK_TYPES, DELTA_TYPES
from sse_fsm.events import EventKind

__all__ = ["Edge", "Lane", "Segment"]

Segment = tuple[str, float, float | None]
"""A phase, when it began and when it ended; None while it goes on."""
Edge = tuple[str, str]
"""A state and the event that came in it; `violation` for one that broke a rule."""

_MOST_SEGMENTS: Final = 300
"""Of one lane; of a longer way the oldest part is one segment."""
_EARLIER: Final = "earlier"
_SHORT: Final = 0.02  # seconds between two blocks that nobody would see
_BRIEF: Final = frozenset({"between", "start"})
_RATE_SECONDS: Final = 5.0
_BYTES_PER_TOKEN: Final = 4
_EVENT: Final = (
    'event: content_block_delta\ndata: {"type":"content_block_delta","index":0,"delta":{"type":"%s","%s":""}}\n\n'
)
_AROUND: Final = {
    name: len(_EVENT % (name, DELTA_TYPES[name][0]))
    for name in ("text_delta", "thinking_delta", "input_json_delta")
}
"""Bytes of a delta's event beside what the model wrote; other deltas hold nothing that it did."""
_PADDING: Final = 6
"""Bytes that upstreams put before the last brace of a delta, on average: the API puts up to a dozen or so, lest
their length give away what is in them."""
_FRAME: Final = 'event: %s\ndata: {"type":"%s","index":%d%s}\n\n'
_STARTS: Final = {
    "text": ',"content_block":{"type":"text","text":""}',
    "thinking": ',"content_block":{"type":"thinking","thinking":"","signature":""}',
}
_DELTA: Final = EventKind.CONTENT_BLOCK_DELTA.value
_KINDS: Final = {kind.value: kind for kind in EventKind}
_PHASES: Final = {
    State.AWAIT_START: "start",
    State.BETWEEN_BLOCKS: "between",
    State.IN_BLOCK: "text",
    State.ENDING: "ending",
    State.STOPPED: "stopped",
    State.FAILED: "failed",
    State.VIOLATED: "violated",
}


@define(eq=False)
class Lane:
    """One request's."""

    segments: list[Segment] = field(factory=list, init=False)
    _edges: Counter[Edge] = field(factory=Counter, init=False)
    _earlier_edges: Counter[Edge] = field(factory=Counter, init=False)
    """Of streams that were refused before they had content, when another one took their place."""
    _recorder: TimelineRecorder | None = field(default=None, init=False)
    _place: Place = field(factory=Place, init=False)
    _before: list[Segment] = field(factory=list, init=False)
    """Of attempts, before the stream that is read now."""
    _state: State = field(default=State.AWAIT_START, init=False)
    _written: int = field(default=0, init=False)
    """Bytes that the model wrote, as far as they are in entries, and what its deltas are padded with."""
    _deltas: int = field(default=0, init=False)
    """In which it wrote them."""
    _is_padded: bool = field(default=False, init=False)
    """Whether an event of known length was longer."""
    _broken: bool = field(default=False, init=False)
    _pace: deque[tuple[float, int]] = field(factory=lambda: deque(maxlen=16), init=False)

    @property
    def phase(self) -> str:
        """What the request is at."""
        return self.segments[-1][0] if self.segments else "waiting"

    @property
    def edges(self) -> Counter[Edge]:
        """How often which event came in which state."""
        edges = self._earlier_edges + self._edges
        last = self._recorder.open_deltas if self._recorder is not None else None
        if last is not None:
            edges[self._state.name, _DELTA] += last.count
        return edges

    @property
    def tokens(self) -> int:
        """Output tokens so far, estimated from the bytes that came."""
        written, deltas = self._written, self._deltas
        if self._recorder is not None and (last := self._recorder.open_deltas) is not None and _is_text(last):
            written, deltas = written + _written(last), deltas + last.count
        if self._is_padded:
            written -= deltas * _PADDING
        return max(0, written) // _BYTES_PER_TOKEN

    @property
    def has_stream(self) -> bool:
        """Whether the answer is a stream of events that are looked into."""
        return self._recorder is not None

    def read(self, request: InFlight, now: float) -> None:
        """Bring the lane up to date.

        Args:
            request: whose it is.
            now: seconds since it came in.
        """
        guard = request.guard
        recorder = guard.recorder if guard is not None else None
        if isinstance(recorder, TimelineRecorder):
            if recorder is not self._recorder:
                self._change_stream(recorder, request.record.attempts, now)
            self._read_on(recorder, now)
        elif self._recorder is None:
            self._read_attempts(request, now)
        self._pace.append((now, self.tokens))

    def tokens_per_second(self) -> float | None:
        """Return how many output tokens came in a second lately, estimated; None where nothing is known yet."""
        if len(self._pace) < 2 or not self.has_stream:  # noqa: PLR2004 - two looks
            return None
        last, tokens = self._pace[-1]
        first, before = next(each for each in self._pace if last - each[0] <= _RATE_SECONDS)
        return None if last - first <= 0 else max(0.0, round((tokens - before) / (last - first), 1))

    def _read_attempts(self, request: InFlight, now: float) -> None:
        """Draw a request whose answer is no stream that is looked into, or has not begun."""
        record = request.record
        segments = _way_of_attempts(record.attempts, now)
        if request.body_bytes is not None and record.milliseconds_to_content is not None:
            at = record.milliseconds_to_content / 1000
            segments = _closed(segments, at)
            segments.append(("body", at, None))
        self.segments = segments

    def _change_stream(self, recorder: TimelineRecorder, attempts: list[AttemptRecord], now: float) -> None:
        if self._recorder is not None:
            self._read_on(self._recorder, now)
            self._earlier_edges = self.edges
            self._edges = Counter()
        self._recorder, self._place = recorder, Place()
        self._before = _way_to_stream(attempts, now)
        self.segments = []

    def _begin_stream(self, at: float) -> None:
        self.segments = list(self._before)
        self._edges.clear()
        self._state, self._broken = State.AWAIT_START, False
        self._written, self._deltas, self._is_padded = 0, 0, False
        self._enter("start", at)

    def _read_on(self, recorder: TimelineRecorder, now: float) -> None:
        entries, is_anew = recorder.read_on(self._place)
        if is_anew or not self.segments:
            self._begin_stream(entries[0].at if entries else now)
        for entry in entries:
            self._add(entry)
        if recorder.violation is not None and not self._broken:
            self._broken = True
            self._edges[self._state.name, "violation"] += 1
            self._enter("violated", now)
        if len(self.segments) > _MOST_SEGMENTS:
            rest = self.segments[-_MOST_SEGMENTS // 2 :]
            self.segments = [(_EARLIER, 0.0, rest[0][1]), *rest]

    def _add(self, entry: Entry) -> None:
        if entry.event == "committed":
            return
        kind = _KINDS.get(entry.event, EventKind.UNKNOWN)
        self._edges[self._state.name, kind.value] += entry.count
        if entry.event == _DELTA:
            if _is_text(entry):
                self._written += _written(entry)
                self._deltas += entry.count
            return
        self._is_padded = self._is_padded or entry.size > _known_size(entry)
        after: Any = TRANSITIONS[self._state][kind]
        if not isinstance(after, State):
            return
        if after is not self._state or kind is EventKind.CONTENT_BLOCK_START:
            self._state = after
            phase = _PHASES[after]
            if after is State.IN_BLOCK:
                phase = entry.detail if entry.detail is not None and entry.detail in BLOCK_TYPES else "other"
            self._enter(phase, entry.at)

    def _enter(self, phase: str, at: float) -> None:
        segments = self.segments
        at = round(at, 3)
        lasts = len(segments) > 1 and segments[-1][0] in _BRIEF and at - segments[-1][1] < _SHORT
        if lasts:
            # What came before it is drawn up to now.
            segments.pop()
        if segments:
            last, began, ended = segments[-1]
            if lasts or ended is None or ended > at:
                segments[-1] = (last, began, max(began, at))
        segments.append((phase, at, None))


def _way_of_attempts(attempts: list[AttemptRecord], now: float) -> list[Segment]:
    """Draw the way up to now of a request that nothing has been answered to."""
    segments: list[Segment] = [("waiting", 0.0, None)]
    for attempt in attempts:
        if attempt.began_milliseconds is None:
            continue
        began = attempt.began_milliseconds / 1000
        segments = _closed(segments, began)
        if attempt.fault is None:
            segments.append(("head", began, None))
        else:
            ended = began + attempt.milliseconds / 1000
            segments += [("refused", began, ended), ("waiting", min(ended, now), None)]
    return segments


def _way_to_stream(attempts: list[AttemptRecord], now: float) -> list[Segment]:
    segments = _way_of_attempts(attempts, now)
    if segments[-1][0] == "waiting" and len(segments) > 1 and segments[-2][0] == "refused":
        # The stream itself was refused, for what came before its content.
        segments = segments[:-1]
    return segments


def _closed(segments: list[Segment], at: float) -> list[Segment]:
    """Return segments with the last of them ended; one of no length is left out."""
    *rest, (phase, began, ended) = segments
    if ended is not None:
        return segments
    return [*rest, (phase, began, at)] if at > began else rest


def _is_text(entry: Entry) -> bool:
    """Whether deltas hold what the model wrote."""
    return entry.detail in _AROUND


def _written(entry: Entry) -> int:
    """Return the bytes that the model wrote in some deltas, and their padding, about."""
    return max(0, entry.size - entry.count * _AROUND.get(entry.detail or "", 0))


def _known_size(entry: Entry) -> float:
    """Return how many bytes an event has without padding; infinity for most, of which that is not known."""
    rest = "" if entry.event == EventKind.CONTENT_BLOCK_STOP else _STARTS.get(entry.detail or "")
    is_known = entry.event in (EventKind.CONTENT_BLOCK_STOP, EventKind.CONTENT_BLOCK_START)
    if rest is None or not is_known or entry.index is None:
        return math.inf
    return len(_FRAME % (entry.event, entry.event, entry.index, rest))
