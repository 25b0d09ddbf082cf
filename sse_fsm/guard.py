"""What may leave: the guard between an upstream stream and a client.

In mode `enforce` a client behind the guard receives a valid stream, or a valid prefix of one that ends in
exactly one error event, whatever the upstream sends in whatever chunks and whatever dies when. Where the
upstream stream is valid the client's bytes are the upstream's, a leading byte order mark aside. Whole events
leave, never a part of one. In mode `observe` the bytes pass as they came and only the verdict says what the
guard would have done.

The fast path. Most events are text deltas in the API's own spelling. One compiled pattern per open block takes
a whole run of them, JSON string syntax included, and makes no object. It accepts nothing that the machine
would refuse; a property test compares the two on everything.
"""

from __future__ import annotations

from collections.abc import Callable
from enum import StrEnum
from typing import Any, Final, Protocol

from attrs import define, field

from sse_fsm.blocks import BLOCK_TYPES
from sse_fsm.encoding import MESSAGE_STOP, PING, encode_error
from sse_fsm.events import EventKind
from sse_fsm.framing import DEFAULT_MAX_EVENT_BYTES, Frame, FrameDecoder
from sse_fsm.machine import JudgedEvent, State, StreamMachine
from sse_fsm.message import apply_fallback, apply_message_delta
from sse_fsm.payload import check_utf8
from sse_fsm.runs import DeltaRun
from sse_fsm.tool_input import ToolInputCheck
from sse_fsm.violations import EventTooLarge, ProtocolViolation

__all__ = ["EndReason", "Mode", "Outcome", "Recorder", "Step", "StreamGuard", "Verdict"]


class Mode(StrEnum):
    """What the guard does about a broken stream."""

    #: Only valid streams leave.
    ENFORCE = "enforce"
    #: Everything leaves as it came; the verdict tells.
    OBSERVE = "observe"


class Outcome(StrEnum):
    """How a stream ended."""

    #: `message_stop` was seen.
    COMPLETE = "complete"
    #: All content and a stop reason were seen; the guard added the missing `message_stop`.
    REPAIRED = "repaired"
    #: The stream ended too early; the guard ended it with an error event.
    TRUNCATED = "truncated"
    #: The upstream ended it with an error event.
    UPSTREAM_ERROR = "upstream_error"
    #: A rule was broken; the guard ended it with an error event.
    VIOLATION = "violation"
    #: The client went away.
    CANCELLED = "cancelled"


class EndReason(StrEnum):
    """Why nothing more comes from the upstream."""

    #: The upstream closed the stream in the regular way.
    EOF = "eof"
    #: The connection broke, or the body ended short of its announced end.
    CUT = "cut"
    #: The upstream was silent, or took, too long.
    TIMEOUT = "timeout"
    #: The gateway is going down and its patience with running streams has ended.
    SHUTDOWN = "shutdown"
    #: The client went away.
    CANCELLED = "cancelled"


_TRUNCATION_ERRORS: Final[dict[EndReason, tuple[str, str]]] = {
    EndReason.EOF: ("api_error", "The upstream closed the stream before the message was complete."),
    EndReason.CUT: ("api_error", "The connection to the upstream broke before the message was complete."),
    EndReason.TIMEOUT: ("timeout_error", "The upstream did not go on with the message in time."),
    EndReason.SHUTDOWN: ("api_error", "The gateway is restarting and had to end this stream."),
}
_RETRY_ADVICE: Final = " What you received is incomplete; send the request again."


@define
class Step:
    """What one chunk led to."""

    data: bytes
    """Bytes to forward now."""
    terminal: bytes = b""
    """The event that ends the stream, to be forwarded last: `message_stop` or an error event. Apart, so that a
    caller can make its records durable before the client sees the end."""
    events: int = 0
    """Events judged in this chunk."""


@define
class Verdict:
    """What became of a whole stream."""

    outcome: Outcome
    reason: EndReason | None = None
    """Why the input ended; None where the stream itself said so."""
    violation: ProtocolViolation | None = None
    error: dict[str, Any] | None = None
    """`error` object of the upstream's error event."""
    notes: tuple[str, ...] = ()
    """Things worth knowing that are no violation, such as a tool input that is not JSON."""
    events: int = 0
    bytes_in: int = 0
    bytes_out: int = 0
    """Bytes handed out, those that the guard itself wrote included."""
    message: dict[str, Any] | None = None
    """The message as a JSON object, its content left out: model, stop reason, usage."""
    blocks: int = 0
    """Content blocks that were started."""

    @property
    def code(self) -> str | None:
        """The violation's code."""
        return self.violation.code if self.violation else None


Observer = Callable[[JudgedEvent], None]


class Recorder(Protocol):
    """Hears of everything that the guard judges, runs of deltas as a whole; it must be quick and never raise."""

    def run(self, number: int, size: int) -> None:
        """Take note of so many deltas of the open block, of so many bytes together."""
        ...

    def event(self, judged: JudgedEvent) -> None:
        """Take note of any other event that was allowed."""
        ...

    def broke(self, violation: ProtocolViolation, frame: Frame | None) -> None:
        """Take note of what broke a rule; `frame` is the event, where there is a whole one."""
        ...


@define(eq=False, on_setattr=[])  # converting at each assignment would cost more than the judging
class StreamGuard:
    """Judges a stream chunk by chunk and says what may leave.

    Not safe for use from several threads; one guard serves one stream.
    """

    mode: Mode = field(default=Mode.ENFORCE, converter=Mode)
    max_event_bytes: int = DEFAULT_MAX_EVENT_BYTES
    request_id: str | None = None
    """Put into error events that the guard writes."""
    observer: Observer | None = None
    """Called with each allowed event. Turns the fast path off."""
    recorder: Recorder | None = None
    """Told of each allowed event, and of the one that was not. Leaves the fast path on."""
    machine: StreamMachine = field(factory=StreamMachine, init=False)
    committed: bool = field(default=False, init=False)
    """Whether content was seen. Until then nothing that a client would miss has been released, and a caller
    may drop what it holds back and begin with another upstream."""
    message: dict[str, Any] | None = field(default=None, init=False)
    """The message so far as a JSON object, its content left out."""
    error: dict[str, Any] | None = field(default=None, init=False)
    _decoder: FrameDecoder = field(init=False)
    _tool_input: ToolInputCheck = field(factory=ToolInputCheck, init=False)
    _run: DeltaRun | None = field(default=None, init=False)
    _try_runs: bool = field(default=True, init=False)
    _ended: bool = field(default=False, init=False)
    _at_very_end: bool = field(default=False, init=False)
    _bytes_in: int = field(default=0, init=False)
    _bytes_out: int = field(default=0, init=False)
    _verdict: Verdict | None = field(default=None, init=False)

    def __attrs_post_init__(self) -> None:
        """Make the decoder with the bound given."""
        self._decoder = FrameDecoder(max_event_bytes=self.max_event_bytes)

    @property
    def ended(self) -> bool:
        """Whether the end of the stream has been handed out; nothing more will leave."""
        return self._ended and (self.mode is Mode.ENFORCE or self._verdict is not None)

    @property
    def state(self) -> State:
        """Where the stream stands."""
        return self.machine.state

    @property
    def bytes_in(self) -> int:
        """Bytes of the stream so far."""
        return self._bytes_in

    def ping(self) -> bytes:
        """Return a ping to send now, or nothing where it could fall inside an event or behind the end."""
        between_events = self.mode is Mode.ENFORCE or not self._decoder.pending
        if self._ended or not between_events or self.machine.state >= State.STOPPED:
            return b""
        self._bytes_out += len(PING)
        return PING

    def feed(self, chunk: bytes) -> Step:
        """Judge the next bytes of the stream; `chunk` may end anywhere.

        Never raises: what is wrong with the stream is in the step, as an error event, and in the verdict.

        Raises:
            RuntimeError: `finish` was called before.
        """
        if self._verdict is not None:
            raise RuntimeError("this guard has given its verdict; use one guard per stream")
        size = len(chunk)
        self._bytes_in += size
        # The live case: the chunk is one delta, or several, and nothing else.
        run = self._run
        if run is not None and (number := self._decoder.pass_run(chunk, run)):
            self._bytes_out += size
            self._accept_run(chunk, number)
            return Step(chunk, b"", number)
        before = self.machine.events
        released, terminal = self._judge(chunk)
        if self.mode is Mode.OBSERVE:
            released, terminal = chunk, b""
        self._bytes_out += len(released) + len(terminal)
        return Step(released, terminal, self.machine.events - before)

    def finish(self, reason: EndReason = EndReason.EOF) -> tuple[bytes, Verdict]:
        """End the stream: return the bytes that make it whole, or say that it is not, and the verdict.

        Calling it again gives the same verdict and no more bytes.

        Args:
            reason: why nothing more comes. It matters only where the stream has not ended by itself.
        """
        if self._verdict is not None:
            return b"", self._verdict
        outcome, data = self._conclude(EndReason(reason))
        self._ended = True
        if self.mode is Mode.OBSERVE:
            data = b""
        self._bytes_out += len(data)
        ended_by_itself = outcome in (Outcome.COMPLETE, Outcome.UPSTREAM_ERROR, Outcome.VIOLATION)
        self._verdict = Verdict(
            outcome,
            reason=None if ended_by_itself else EndReason(reason),
            violation=self.machine.violation,
            error=self.error,
            notes=tuple(self._notes()),
            events=self.machine.events,
            bytes_in=self._bytes_in,
            bytes_out=self._bytes_out,
            message=self.message,
            blocks=self.machine.blocks,
        )
        return data, self._verdict

    def _notes(self) -> list[str]:
        notes = list(self._tool_input.notes)
        if self._decoder.pending and self.machine.state is not State.VIOLATED:
            notes.append(f"unfinished_event: the last {self._decoder.pending} bytes had no blank line behind")
        return notes

    def _conclude(self, reason: EndReason) -> tuple[Outcome, bytes]:
        state = self.machine.state
        if state is State.STOPPED:
            return Outcome.COMPLETE, b""
        if state is State.FAILED:
            return Outcome.UPSTREAM_ERROR, b""
        if state is State.VIOLATED:
            return Outcome.VIOLATION, b""
        if reason is EndReason.CANCELLED:
            return Outcome.CANCELLED, b""
        if state is State.ENDING and self.machine.stop_reason is not None:
            return Outcome.REPAIRED, MESSAGE_STOP
        kind, text = _TRUNCATION_ERRORS[reason]
        return Outcome.TRUNCATED, encode_error(kind, text + _RETRY_ADVICE, request_id=self.request_id)

    def _judge(self, chunk: bytes) -> tuple[bytes, bytes]:
        """Return what `chunk` releases, and the event that ends the stream if it is in there."""
        decoder = self._decoder
        if self.machine.state is State.VIOLATED:
            return b"", b""
        decoder.feed(chunk)
        released: list[bytes] = []
        terminal: list[bytes] = []
        self._try_runs = True
        frame: Frame | None = None
        try:
            while True:
                run = self._take_run()
                if run is not None:
                    released.append(run)
                    continue
                frame = decoder.next_frame()
                if frame is None:
                    break
                if frame.is_noise:
                    self._pass_noise(frame, released, terminal)
                elif self._receive(frame) in _ENDS:
                    terminal.append(frame.raw)
                else:
                    released.append(frame.raw)
        except ProtocolViolation as violation:
            if self.recorder is not None:
                # A frame that is too large is none yet, and the one before it did nothing.
                whole = None if isinstance(violation, EventTooLarge) else frame
                self.recorder.broke(violation, whole)
            terminal.append(self._stop_at(violation))
        return released[0] if len(released) == 1 else b"".join(released), b"".join(terminal)

    def _take_run(self) -> bytes | None:
        if self._run is None or not self._try_runs or not self._decoder.is_fresh:
            return None
        run, number = self._decoder.take_run(self._run)
        if not number:
            # A delta that no run begins with is in another spelling, and so will be its neighbours: to ask for
            # each of them would cost more than it could save.
            self._try_runs = False
            return None
        self._accept_run(run, number)
        return run

    def _receive(self, frame: Frame) -> State:
        self._at_very_end = False
        judged = self.machine.receive(frame)
        self._remember(judged)
        if judged.kind is not EventKind.CONTENT_BLOCK_DELTA:
            self._try_runs = True
        if judged.after in _ENDS:
            self._ended = self._at_very_end = True
            self._run = None
        return judged.after

    def _pass_noise(self, frame: Frame, released: list[bytes], terminal: list[bytes]) -> None:
        if not self._ended:
            check_utf8(frame, self.machine.events + 1)
            released.append(frame.raw)
        elif self._at_very_end and frame.completes_line:
            # The LF of a CR LF whose CR has left already: still the last event, so that a chunk boundary
            # between the two changes nothing.
            terminal.append(frame.raw)
        self._at_very_end = False

    def _accept_run(self, run: bytes, number: int) -> None:
        self.committed = True
        self.machine.events += number
        if self.recorder is not None:
            self.recorder.run(number, len(run))
        if self._tool_input.block >= 0:
            self._tool_input.add_run(run)

    def _remember(self, judged: JudgedEvent) -> None:
        """Keep what later events and the verdict need."""
        kind, payload = judged.kind, judged.payload
        if kind is EventKind.CONTENT_BLOCK_DELTA:
            self.committed = True
            fragment = payload["delta"].get("partial_json")
            if self._tool_input.block >= 0 and isinstance(fragment, str):
                self._tool_input.add(fragment)
        elif kind is EventKind.CONTENT_BLOCK_START:
            self._open_block(payload["index"], payload["content_block"], judged.frame.raw)
        elif kind is EventKind.CONTENT_BLOCK_STOP:
            self.committed = True
            self._run = None
            self._tool_input.end()
        elif kind is EventKind.MESSAGE_START:
            self.message = _without_content(payload["message"], large=len(judged.frame.raw) > _LARGE_START)
        elif kind is EventKind.MESSAGE_DELTA and self.message is not None:
            self.committed = True
            apply_message_delta(self.message, payload)
        elif kind is EventKind.ERROR:
            error = payload.get("error")
            self.error = error if isinstance(error, dict) else {}
        if self.recorder is not None:
            self.recorder.event(judged)
        if self.observer is not None:
            self.observer(judged)

    def _open_block(self, index: int, block: dict[str, Any], raw: bytes) -> None:
        kind: str = block["type"]
        known = BLOCK_TYPES.get(kind)
        if known is None or known.starts_complete:
            self.committed = True
        if kind == "fallback" and self.message is not None:
            apply_fallback(self.message, block)
        if known is not None and "input_json_delta" in known.deltas:
            self._tool_input.begin(index)
        streamed = _RUNS.get(kind)
        if streamed is not None and self.observer is None:
            delta, appended_to = streamed
            if appended_to is None or isinstance(block.get(appended_to), str):
                self._run = DeltaRun(index, delta, spaced=b'"type": "' in raw)

    def _stop_at(self, violation: ProtocolViolation) -> bytes:
        if isinstance(violation, EventTooLarge):
            violation = EventTooLarge(
                violation.reason, event_number=self.machine.events + 1, offset=violation.offset
            )
        self.machine.violate(violation)
        self._run = None
        if self._ended:
            return b""
        self._ended = True
        text = f"The upstream broke the stream protocol: {violation}.{_RETRY_ADVICE}"
        return encode_error("api_error", text, request_id=self.request_id)


_ENDS: Final = frozenset({State.STOPPED, State.FAILED})

_RUNS: Final[dict[str, tuple[str, str | None]]] = {
    "text": ("text_delta", "text"),
    "thinking": ("thinking_delta", "thinking"),
    "tool_use": ("input_json_delta", None),
    "server_tool_use": ("input_json_delta", None),
    "mcp_tool_use": ("input_json_delta", None),
}
"""Per block type the delta that comes in runs, and the block's field that it is appended to."""


_LARGE_START: Final = 64 * 1024  # bytes of a message_start of which only what fits one line each is kept


def _without_content(message: dict[str, Any], *, large: bool) -> dict[str, Any]:
    usage = message["usage"]
    if large:
        message, usage = _scalars(message), _scalars(usage)
    return {**message, "content": [], "usage": dict(usage)}


def _scalars(value: dict[str, Any]) -> dict[str, Any]:
    return {name: item for name, item in value.items() if not isinstance(item, (dict, list))}
