"""The state machine of a Messages stream.

Two rules hold in this file. What may follow what is said in `TRANSITIONS` and nowhere else. And the table is
asked first: only when it has allowed an event is anything remembered about it.

Theory of operation. One machine judges one stream. An event-triggered table with a cell for every pair of
state and event kind says either the next state or the violation that the pair is; there are no other
transitions. Two things do not fit a table, because they depend on numbers and names inside the events: a
block's `index` must be the number of blocks so far, and deltas must name the open block and fit its type. They
are checked for the three block events after the table has allowed them, in `_check_block`. The first violation
is final: the machine goes to VIOLATED and raises the same violation for whatever comes.

The grammar, from Anthropic docs, "Streaming messages" (noise is a ping or an unknown event):

    stream = *noise message_start *( noise / block ) 1*( message_delta *noise ) message_stop
    block  = content_block_start *( content_block_delta / noise ) content_block_stop

and `error` may end the stream in any state before its end.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import IntEnum
from typing import Any, Final

from attrs import define

from sse_fsm.blocks import BLOCK_TYPES, DELTA_TYPES, BlockType
from sse_fsm.events import Event, EventKind
from sse_fsm.framing import Frame
from sse_fsm.payload import Payload, read_payload
from sse_fsm.structuring import converter
from sse_fsm.violations import (
    BlockAfterMessageDelta,
    BlockIndexGap,
    BlockIndexMismatch,
    BlockIndexReused,
    BlockStartInsideBlock,
    BlockStopOutsideBlock,
    DeltaOutsideBlock,
    DeltaTypeMismatch,
    DuplicateMessageStart,
    EventAfterError,
    EventAfterStop,
    EventBeforeMessageStart,
    MessageDeltaWithOpenBlock,
    MessageStopBeforeMessageDelta,
    MessageStopWithOpenBlock,
    MissingField,
    OrderViolation,
    ProtocolViolation,
)

__all__ = ["TRANSITIONS", "JudgedEvent", "State", "StreamMachine", "Transitions"]


class State(IntEnum):
    """Where a stream stands."""

    #: Nothing but noise so far.
    AWAIT_START = 0
    #: The message has begun and no block is open.
    BETWEEN_BLOCKS = 1
    #: A content block is open.
    IN_BLOCK = 2
    #: `message_delta` has closed the content.
    ENDING = 3
    #: `message_stop` was seen: the message is complete.
    STOPPED = 4
    #: The upstream ended the stream with `event: error`.
    FAILED = 5
    #: A rule was broken; nothing has a meaning any more.
    VIOLATED = 6


Transitions = Mapping[State, Mapping[EventKind, State | type[OrderViolation]]]

TRANSITIONS: Final[Transitions] = {
    State.AWAIT_START: {
        EventKind.PING: State.AWAIT_START,
        EventKind.UNKNOWN: State.AWAIT_START,
        EventKind.MESSAGE_START: State.BETWEEN_BLOCKS,
        EventKind.CONTENT_BLOCK_START: EventBeforeMessageStart,
        EventKind.CONTENT_BLOCK_DELTA: EventBeforeMessageStart,
        EventKind.CONTENT_BLOCK_STOP: EventBeforeMessageStart,
        EventKind.MESSAGE_DELTA: EventBeforeMessageStart,
        EventKind.MESSAGE_STOP: EventBeforeMessageStart,
        EventKind.ERROR: State.FAILED,
    },
    State.BETWEEN_BLOCKS: {
        EventKind.PING: State.BETWEEN_BLOCKS,
        EventKind.UNKNOWN: State.BETWEEN_BLOCKS,
        EventKind.MESSAGE_START: DuplicateMessageStart,
        EventKind.CONTENT_BLOCK_START: State.IN_BLOCK,
        EventKind.CONTENT_BLOCK_DELTA: DeltaOutsideBlock,
        EventKind.CONTENT_BLOCK_STOP: BlockStopOutsideBlock,
        EventKind.MESSAGE_DELTA: State.ENDING,
        EventKind.MESSAGE_STOP: MessageStopBeforeMessageDelta,
        EventKind.ERROR: State.FAILED,
    },
    State.IN_BLOCK: {
        EventKind.PING: State.IN_BLOCK,
        EventKind.UNKNOWN: State.IN_BLOCK,
        EventKind.MESSAGE_START: DuplicateMessageStart,
        EventKind.CONTENT_BLOCK_START: BlockStartInsideBlock,
        EventKind.CONTENT_BLOCK_DELTA: State.IN_BLOCK,
        EventKind.CONTENT_BLOCK_STOP: State.BETWEEN_BLOCKS,
        EventKind.MESSAGE_DELTA: MessageDeltaWithOpenBlock,
        EventKind.MESSAGE_STOP: MessageStopWithOpenBlock,
        EventKind.ERROR: State.FAILED,
    },
    State.ENDING: {
        EventKind.PING: State.ENDING,
        EventKind.UNKNOWN: State.ENDING,
        EventKind.MESSAGE_START: DuplicateMessageStart,
        EventKind.CONTENT_BLOCK_START: BlockAfterMessageDelta,
        EventKind.CONTENT_BLOCK_DELTA: DeltaOutsideBlock,
        EventKind.CONTENT_BLOCK_STOP: BlockStopOutsideBlock,
        EventKind.MESSAGE_DELTA: State.ENDING,
        EventKind.MESSAGE_STOP: State.STOPPED,
        EventKind.ERROR: State.FAILED,
    },
    State.STOPPED: dict.fromkeys(EventKind, EventAfterStop),
    State.FAILED: dict.fromkeys(EventKind, EventAfterError),
}
"""For each state and event kind the next state, or the violation that the event is."""

_REASONS: Final[Mapping[type[OrderViolation], str]] = {
    EventBeforeMessageStart: "{kind} came before message_start",
    DuplicateMessageStart: "message_start came a second time",
    DeltaOutsideBlock: "content_block_delta came while no content block was open",
    BlockStopOutsideBlock: "content_block_stop came while no content block was open",
    BlockStartInsideBlock: "content_block_start came while block {open} was still open",
    MessageDeltaWithOpenBlock: "message_delta came while block {open} was still open",
    MessageStopWithOpenBlock: "message_stop came while block {open} was still open",
    MessageStopBeforeMessageDelta: "message_stop came without a message_delta before it",
    BlockAfterMessageDelta: "content_block_start came after message_delta, which ends the content",
    EventAfterStop: "{kind} came after message_stop, which ends the stream",
    EventAfterError: "{kind} came after an error event, which ends the stream",
}


@define
class JudgedEvent:
    """An event that the machine has allowed."""

    frame: Frame
    number: int
    """1-based; pings and unknown events count, comments do not."""
    kind: EventKind
    payload: Payload
    before: State
    after: State

    @property
    def event(self) -> Event:
        """The event as an attrs object of `sse_fsm.events`.

        Raises:
            TypeError: a nested object that no rule needs has a shape that the classes cannot hold.
        """
        payload = self.payload
        if not payload:
            payload = {"type": (self.frame.event or b"").decode()}
        return converter.structure(payload, Event)  # ty: ignore[invalid-argument-type] - cattrs takes unions


class StreamMachine:
    """Judge of the order of events in one stream."""

    def __init__(self, transitions: Transitions = TRANSITIONS) -> None:
        """Start before the first event; `transitions` is there for tests that break the table on purpose."""
        self._transitions = transitions
        self.state: State = State.AWAIT_START
        self.events = 0
        """Events received, the violating one included. A fast path adds those that it has judged itself."""
        self.blocks = 0
        """Content blocks started, which is the index that the next one must have."""
        self.open_block: str | None = None
        """Type of the open content block."""
        self.stop_reason: str | None = None
        """Of the last `message_delta`."""
        self.violation: ProtocolViolation | None = None
        self._open_type: BlockType | None = None
        self._open_payload: Payload = {}

    def __repr__(self) -> str:
        """Show the state."""
        block = f", block {self.blocks - 1}: {self.open_block}" if self.open_block else ""
        return f"<StreamMachine {self.state.name} after {self.events} events{block}>"

    def receive(self, frame: Frame) -> JudgedEvent:
        """Judge the next event frame.

        Raises:
            ProtocolViolation: the event may not come here; the machine is VIOLATED for good.
        """
        if self.violation is not None:
            raise self.violation
        before = self.state
        self.events += 1
        try:
            kind, payload = read_payload(frame, self.events)
            after = self._judge(kind, payload, frame.offset)
        except ProtocolViolation as violation:
            self.violate(violation)
            raise
        self.state = after
        self._remember(kind, payload, before)
        return JudgedEvent(frame, self.events, kind, payload, before, after)

    def violate(self, violation: ProtocolViolation) -> None:
        """Stop for good because of a violation that was found outside, in the framing."""
        self.violation = violation
        self.state = State.VIOLATED

    def _judge(self, kind: EventKind, payload: Payload, offset: int) -> State:
        cell = self._transitions[self.state][kind]
        if isinstance(cell, State):
            if kind in _BLOCK_EVENTS:
                self._check_block(kind, payload, offset)
            return cell
        reason = _REASONS[cell].format(kind=_spoken(kind, payload), open=self.blocks - 1)
        raise cell(reason, event_number=self.events, offset=offset)

    def _check_block(self, kind: EventKind, payload: Payload, offset: int) -> None:
        where = {"event_number": self.events, "offset": offset}
        index = payload["index"]
        if kind is EventKind.CONTENT_BLOCK_START:
            if index > self.blocks:
                raise BlockIndexGap(
                    f"content_block_start has index {index}, but the next block is {self.blocks}", **where
                )
            if index < self.blocks:
                raise BlockIndexReused(
                    f"content_block_start has index {index} again; the next block is {self.blocks}", **where
                )
            return
        if index != self.blocks - 1:
            raise BlockIndexMismatch(
                f"{kind.value} has index {index}, but block {self.blocks - 1} is open", **where
            )
        if kind is EventKind.CONTENT_BLOCK_DELTA and self._open_type is not None:
            delta = payload["delta"]["type"]
            if delta in DELTA_TYPES and delta not in self._open_type.deltas:
                raise DeltaTypeMismatch(f"{delta} does not fit a {self.open_block} block", **where)
            appended_to = self._open_type.text_fields.get(delta)
            if appended_to is not None and not isinstance(self._open_payload.get(appended_to), str):
                raise MissingField(
                    f"{delta} came for a {self.open_block} block that began without a string `{appended_to}`",
                    **where,
                )

    def _remember(self, kind: EventKind, payload: Payload, before: State) -> None:
        if kind is EventKind.CONTENT_BLOCK_START:
            block: dict[str, Any] = payload["content_block"]
            self.blocks += 1
            self.open_block = block["type"]
            self._open_type = BLOCK_TYPES.get(block["type"])
            self._open_payload = block
        elif kind is EventKind.CONTENT_BLOCK_STOP:
            self.open_block = None
            self._open_type = None
            self._open_payload = {}
        elif kind is EventKind.MESSAGE_DELTA:
            reason = payload["delta"].get("stop_reason")
            self.stop_reason = reason if isinstance(reason, str) else None
        elif kind is EventKind.MESSAGE_START and before is State.AWAIT_START:
            # The API sends an empty list; accumulators append to whatever is there.
            self.blocks = len(payload["message"]["content"])


_BLOCK_EVENTS: Final = frozenset(
    {EventKind.CONTENT_BLOCK_START, EventKind.CONTENT_BLOCK_DELTA, EventKind.CONTENT_BLOCK_STOP}
)


def _spoken(kind: EventKind, payload: Payload) -> str:
    return str(payload.get("type", "an unknown event"))[:64] if kind is EventKind.UNKNOWN else kind.value
