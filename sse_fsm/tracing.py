"""A stream as a person reads it: one line for each event, and one for what became of it all.

Pure like everything around it: chunks and times in, lines out. `python -m sse_fsm trace` does the reading.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final

from sse_fsm.events import EventKind
from sse_fsm.foreign import HEAD_BYTES, describe_foreign, describe_http_head
from sse_fsm.framing import Frame, FrameDecoder
from sse_fsm.guard import EndReason, Mode, Outcome, StreamGuard, Verdict
from sse_fsm.machine import JudgedEvent, State
from sse_fsm.printing import Paint, excerpt, quoted, spoken_usage
from sse_fsm.violations import ProtocolViolation

__all__ = ["Tracer", "describe_verdict"]

_LIST_HEAD: Final = ("#", "time", "gap", "state", "event", "content")
_STATES_WIDTH: Final = 2 * len(State.BETWEEN_BLOCKS.name) + 3
_EVENT_WIDTH: Final = len(EventKind.CONTENT_BLOCK_DELTA)
_COLOURS: Final[Mapping[EventKind, str]] = {
    EventKind.MESSAGE_START: "bold",
    EventKind.MESSAGE_DELTA: "bold",
    EventKind.MESSAGE_STOP: "green",
    EventKind.CONTENT_BLOCK_START: "cyan",
    EventKind.ERROR: "yellow",
    EventKind.PING: "dim",
    EventKind.UNKNOWN: "dim",
}
_OUTCOMES: Final[Mapping[Outcome, tuple[str, str]]] = {
    Outcome.COMPLETE: ("green", "the stream is valid from its first event to message_stop"),
    Outcome.REPAIRED: ("yellow", "message_stop is missing; all content and the stop reason were there"),
    Outcome.TRUNCATED: ("red", "the stream ended before the message was complete"),
    Outcome.UPSTREAM_ERROR: ("yellow", "the upstream ended the stream with an error event"),
    Outcome.VIOLATION: ("red", "the stream broke the protocol"),
    Outcome.CANCELLED: ("yellow", "nobody waited for the rest of the stream"),
}


class Tracer:
    """Turns the chunks of one stream into lines of text."""

    def __init__(self, *, paint: Paint, timed: bool) -> None:
        """Start before the first byte.

        Args:
            paint: colours the lines or does not.
            timed: whether to show when events came; of a file that only tells how fast the disk is.
        """
        self.verdict: Verdict | None = None
        """Set by `finish`."""
        self._paint = paint
        self._timed = timed
        self._judged: list[JudgedEvent] = []
        self._guard = StreamGuard(mode=Mode.OBSERVE, observer=self._judged.append)
        self._frames = FrameDecoder()
        self._beginning = b""
        self._state = State.AWAIT_START
        self._last = 0.0

    @property
    def violated(self) -> bool:
        """Whether the stream broke a rule, so that nothing more can be said about it."""
        return self._state is State.VIOLATED

    def head(self) -> str:
        """Return the head line of the list."""
        return self._paint("dim", self._row(*_LIST_HEAD))

    def feed(self, chunk: bytes, at: float) -> Iterator[str]:
        """Take in more of the stream and give a line for each event in it.

        Args:
            chunk: the next bytes; may end anywhere.
            at: when they came, in seconds since the start.
        """
        self._beginning += chunk[: HEAD_BYTES - len(self._beginning)]
        self._judged.clear()
        self._guard.feed(chunk)
        violation = self._guard.machine.violation
        frames = self._noise_and_last(chunk, violation)
        for item in sorted([*self._judged, *frames], key=_offset):
            yield self._event(item, at) if isinstance(item, JudgedEvent) else self._noise(item, at)
        if violation is not None and not self.violated:
            yield self._violation(violation, at)

    def finish(self, reason: EndReason, at: float) -> Iterator[str]:
        """End the stream and give the lines that say what became of it.

        Args:
            reason: why nothing more comes.
            at: when it ended, in seconds since the start.
        """
        _, self.verdict = self._guard.finish(reason)
        yield from describe_verdict(self.verdict, self._beginning, self._paint, at if self._timed else None)

    def _noise_and_last(self, chunk: bytes, violation: ProtocolViolation | None) -> list[Frame]:
        """Return the frames between events that say something, up to the violation."""
        end = violation.offset if violation else None
        found = []
        try:
            self._frames.feed(chunk)
            while (frame := self._frames.next_frame()) is not None and (end is None or frame.offset < end):
                if frame.is_noise and frame.raw.strip():
                    found.append(frame)
        except ProtocolViolation:
            pass  # the guard has found it too
        return found

    def _event(self, judged: JudgedEvent, at: float) -> str:
        kind = judged.kind
        self._state = judged.after
        name = excerpt((judged.frame.event or b"").decode(errors="replace"), _EVENT_WIDTH)
        describe = _CONTENT.get(kind)
        try:
            content = describe(judged.payload) if describe else ""
        except (AttributeError, TypeError):
            # A nested object that no rule needs may have any shape.
            content = excerpt(judged.payload)
        line = self._row(str(judged.number), *self._times(at), _arrow(judged.before, judged.after), name, content)
        return self._paint(_COLOURS[kind], line) if kind in _COLOURS else line

    def _noise(self, frame: Frame, at: float) -> str:
        first = frame.raw.strip().splitlines()[0].decode(errors="replace")
        hint = describe_http_head(frame.raw)
        if hint is not None:
            return self._paint("yellow", f"note: {hint}")
        if first.startswith(":"):
            name, content = "(comment)", excerpt(first[1:].strip())
        else:
            name, content = "(no event)", quoted(first)
        states = _arrow(self._state, self._state)
        return self._paint("dim", self._row("", *self._times(at, event=False), states, name, content))

    def _violation(self, violation: ProtocolViolation, at: float) -> str:
        states = _arrow(self._state, State.VIOLATED)
        self._state = State.VIOLATED
        number = str(violation.event_number)
        content = f"{violation.code}: {excerpt(violation.reason, 400)} (byte {violation.offset})"
        return self._paint("red", self._row(number, *self._times(at), states, "VIOLATION", content))

    def _times(self, at: float, *, event: bool = True) -> tuple[str, str]:
        gap = at - self._last
        if event:
            self._last = at
        return f"{at:.3f}s", f"+{gap:.3f}s" if event else ""

    def _row(self, *cells: str) -> str:
        number, time, gap, states, event, content = cells
        times = f"{time:>10} {gap:>10}  " if self._timed else ""
        return f"{number:>6}  {times}{states:<{_STATES_WIDTH}}  {event:<{_EVENT_WIDTH}}  {content}".rstrip()


def describe_verdict(verdict: Verdict, beginning: bytes, paint: Paint, seconds: float | None) -> Iterator[str]:
    """Give the lines that say what became of a stream.

    Args:
        verdict: the guard's.
        beginning: the first bytes of the input, to tell what it is if it is no stream.
        paint: colours the lines or does not.
        seconds: how long it took; None where that means nothing.
    """
    colour, sentence = _OUTCOMES[verdict.outcome]
    foreign = describe_foreign(beginning) if not verdict.events else None
    if foreign is not None and verdict.outcome is Outcome.TRUNCATED:
        sentence = foreign
    elif verdict.violation is not None:
        sentence = excerpt(str(verdict.violation), 400)
    elif verdict.error is not None:
        sentence += f", {excerpt(verdict.error.get('type'))}: {excerpt(verdict.error.get('message'), 400)}"
    yield paint(colour, f"{verdict.outcome.value}: {sentence}")
    facts = [f"{verdict.events} events", f"{verdict.bytes_in} bytes"]
    if seconds is not None:
        facts.append(f"{seconds:.3f} s")
    if verdict.message is not None:
        facts.append(f"stop reason {excerpt(verdict.message.get('stop_reason'))}")
        facts.append(f"tokens: {spoken_usage(verdict.message.get('usage')) or 'none told'}")
    yield "  " + "; ".join(facts)
    for note in verdict.notes if foreign is None else ():
        yield paint("yellow", f"  note: {excerpt(note, 400)}")


def _offset(item: JudgedEvent | Frame) -> int:
    return item.frame.offset if isinstance(item, JudgedEvent) else item.offset


def _arrow(before: State, after: State) -> str:
    return f"{before.name} → {after.name}"


def _join(*parts: str) -> str:
    return "  ".join(part for part in parts if part)


def _message_start(payload: Mapping[str, Any]) -> str:
    message = payload["message"]
    return _join(excerpt(message.get("model", "")), excerpt(message.get("id", "")), spoken_usage(message["usage"]))


def _block_start(payload: Mapping[str, Any]) -> str:
    block = payload["content_block"]
    known = [excerpt(block[name]) for name in ("name", "id", "tool_use_id", "file_id") if name in block]
    if isinstance(block.get("to"), dict):
        known.append(excerpt(block["to"].get("model")))
    return _join(f"[{payload['index']}] {excerpt(block['type'])}", *known)


def _block_delta(payload: Mapping[str, Any]) -> str:
    delta = payload["delta"]
    kind = delta["type"]
    if kind == "signature_delta":
        content = f"{len(delta['signature'])} characters"
    elif kind == "citations_delta":
        citation = delta["citation"]
        content = _join(excerpt(citation.get("type", "")), quoted(citation.get("cited_text", "")))
    elif kind in _DELTA_TEXTS:
        content = quoted(delta.get(_DELTA_TEXTS[kind]))
    else:
        content = excerpt({name: value for name, value in delta.items() if name != "type"})
    return _join(f"[{payload['index']}] {excerpt(kind)}", content)


_DELTA_TEXTS: Final = {
    "text_delta": "text",
    "input_json_delta": "partial_json",
    "thinking_delta": "thinking",
    "compaction_delta": "content",
}


def _block_stop(payload: Mapping[str, Any]) -> str:
    return f"[{payload['index']}]"


def _message_delta(payload: Mapping[str, Any]) -> str:
    delta = payload["delta"]
    stop = excerpt(delta.get("stop_reason"))
    if delta.get("stop_sequence") is not None:
        stop += f" {quoted(delta['stop_sequence'])}"
    details = delta.get("stop_details")
    return _join(stop, spoken_usage(payload["usage"]), excerpt(details) if details is not None else "")


def _error(payload: Mapping[str, Any]) -> str:
    error = payload["error"]
    return f"{excerpt(error.get('type'))}: {excerpt(error.get('message'), 400)}"


_CONTENT: Final[Mapping[EventKind, Callable[[Mapping[str, Any]], str]]] = {
    EventKind.MESSAGE_START: _message_start,
    EventKind.CONTENT_BLOCK_START: _block_start,
    EventKind.CONTENT_BLOCK_DELTA: _block_delta,
    EventKind.CONTENT_BLOCK_STOP: _block_stop,
    EventKind.MESSAGE_DELTA: _message_delta,
    EventKind.ERROR: _error,
    EventKind.UNKNOWN: excerpt,
}
