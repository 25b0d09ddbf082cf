"""A producer that walks its own model of a stream, while the network delivers in pieces of any size."""

from __future__ import annotations

import copy
from typing import Any

from hypothesis import event, settings, target
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from sse_fsm import EndReason, State, StreamGuard
from sse_fsm.strategies import API_SPELLING, Spelling, spell, spellings
from sse_fsm.strategies.payloads import (
    STREAMED_BLOCKS,
    complete_blocks,
    deltas,
    message_deltas,
    message_starts,
    streamed_blocks,
    unknown_blocks,
)
from sse_fsm.strategies.spelling import to_json
from tests.sse_fsm.checker import classify

ILLEGAL = {
    "start": ("content_block_start", "content_block_delta", "content_block_stop", "message_delta", "message_stop"),
    "between": ("message_start", "content_block_delta", "content_block_stop", "message_stop"),
    "block": ("message_start", "content_block_start", "message_delta", "message_stop"),
    "ending": ("message_start", "content_block_start", "content_block_delta", "content_block_stop"),
    "over": (
        "message_start",
        "content_block_start",
        "content_block_delta",
        "content_block_stop",
        "message_delta",
        "message_stop",
        "ping",
        "error",
        "future",
    ),
}
STATES = {
    "start": State.AWAIT_START,
    "between": State.BETWEEN_BLOCKS,
    "block": State.IN_BLOCK,
    "ending": State.ENDING,
    "over": State.STOPPED,
}
BOUND = 4096


class Conversation(RuleBasedStateMachine):
    """The model is `phase`, `blocks` and `open`; it never asks the guard what is allowed."""

    def __init__(self) -> None:
        """Begin before the first event."""
        super().__init__()
        self.guard = StreamGuard(max_event_bytes=BOUND)
        self.sent = b""
        self.pending = b""
        self.received = b""
        self.phase = "start"
        self.blocks = 0
        self.open: str | None = None
        self.events = 0
        self.stop_reason: str | None = None

    @initialize(how=spellings())
    def settle_on_a_spelling(self, how: Spelling) -> None:
        self.how = how

    def send(self, payload: dict[str, Any]) -> None:
        self.events += 1
        self.put(spell(payload["type"], to_json(payload, self.how.style), self.how))

    def put(self, data: bytes) -> None:
        self.sent += data
        self.pending += data

    @precondition(lambda self: self.phase == "start")
    @rule(payload=message_starts())
    def start_the_message(self, payload: dict[str, Any]) -> None:
        self.send(payload)
        self.phase = "between"

    @precondition(lambda self: self.phase == "between")
    @rule(block=streamed_blocks() | complete_blocks() | unknown_blocks())
    def open_a_block(self, block: dict[str, Any]) -> None:
        self.send({"type": "content_block_start", "index": self.blocks, "content_block": block})
        self.phase, self.open = "block", block["type"]
        self.blocks += 1

    @precondition(lambda self: self.phase == "block" and self.open in STREAMED_BLOCKS)
    @rule(data=st.data())
    def send_a_delta(self, data: st.DataObject) -> None:
        kind = data.draw(st.sampled_from(STREAMED_BLOCKS[self.open or ""]))
        self.send({"type": "content_block_delta", "index": self.blocks - 1, "delta": data.draw(deltas(kind))})

    @precondition(lambda self: self.phase == "block")
    @rule(delta=deltas("future_delta"))
    def send_an_unknown_delta(self, delta: dict[str, Any]) -> None:
        self.send({"type": "content_block_delta", "index": self.blocks - 1, "delta": delta})

    @precondition(lambda self: self.phase == "block")
    @rule()
    def close_the_block(self) -> None:
        self.send({"type": "content_block_stop", "index": self.blocks - 1})
        self.phase, self.open = "between", None

    @precondition(lambda self: self.phase in ("between", "ending"))
    @rule(reason=st.none() | st.just("end_turn"), data=st.data())
    def end_the_content(self, reason: str | None, data: st.DataObject) -> None:
        self.send(data.draw(message_deltas(stop_reason=reason)))
        self.phase, self.stop_reason = "ending", reason

    @precondition(lambda self: self.phase == "ending")
    @rule()
    def stop_the_message(self) -> None:
        self.send({"type": "message_stop"})
        self.phase = "over"

    @precondition(lambda self: self.phase != "over")
    @rule(name=st.sampled_from(("ping", "future_event")))
    def say_nothing(self, name: str) -> None:
        self.send({"type": name})

    @precondition(lambda self: self.phase != "over")
    @rule(line=st.sampled_from((b": comment\n", b"\n", b": \r\n")))
    def keep_alive(self, line: bytes) -> None:
        self.put(line)

    @rule(size=st.integers(0, 400))
    def deliver(self, size: int) -> None:
        """Let the network bring some of what was sent; competes with all that sends."""
        chunk, self.pending = self.pending[:size], self.pending[size:]
        step = self.guard.feed(chunk)
        self.received += step.data + step.terminal

    @rule(data=st.data())
    def no_event_out_of_place_is_let_through(self, data: st.DataObject) -> None:
        """Try on a copy, so that the conversation can go on."""
        kind = data.draw(st.sampled_from(ILLEGAL[self.phase]))
        guard = copy.deepcopy(self.guard)
        guard.feed(self.pending)
        before = guard.machine.events
        payload = {
            "message_start": {"message": {"content": [], "usage": {}}},
            "content_block_start": {"index": self.blocks, "content_block": {"type": "text", "text": ""}},
            "content_block_delta": {"index": self.blocks - 1, "delta": {"type": "future"}},
            "content_block_stop": {"index": self.blocks - 1},
            "message_delta": {"delta": {}, "usage": {"output_tokens": 1}},
        }.get(kind, {})
        step = guard.feed(spell(kind, to_json({"type": kind, **payload}), API_SPELLING))
        assert guard.machine.violation is not None
        assert guard.machine.violation.event_number == before + 1
        assert step.data == b""
        assert bool(step.terminal) == (self.phase != "over")

    @rule(reason=st.sampled_from(EndReason))
    def any_end_now_leaves_a_whole_stream(self, reason: EndReason) -> None:
        guard = copy.deepcopy(self.guard)
        last, verdict = guard.finish(reason)
        ends = classify(self.received + last)
        assert ends == {"complete": "complete", "repaired": "complete", "cancelled": "prefix"}.get(
            verdict.outcome, "failed"
        )

    @invariant()
    def what_was_received_is_a_beginning_of_what_was_sent(self) -> None:
        assert self.sent.startswith(self.received)

    @invariant()
    def no_more_than_one_event_is_kept_back(self) -> None:
        assert self.guard._decoder.pending <= BOUND
        assert len(self.received) + len(self.pending) + self.guard._decoder.pending <= len(self.sent)

    @invariant()
    def the_guard_stands_where_the_model_stands(self) -> None:
        if not self.pending:
            assert self.guard.machine.state is STATES[self.phase]
            assert self.guard.machine.blocks == self.blocks
            assert self.guard.machine.open_block == self.open
            assert self.guard.machine.events == self.events

    def teardown(self) -> None:
        """Deliver the rest and end."""
        self.deliver(len(self.pending))
        last, verdict = self.guard.finish()
        if self.phase == "over":
            assert verdict.outcome == "complete"
            assert last == b""
            assert self.received == self.sent
        else:
            repaired = self.phase == "ending" and self.stop_reason is not None
            assert verdict.outcome == ("repaired" if repaired else "truncated")
            assert classify(self.received + last) == ("complete" if repaired else "failed")
        event(f"end={verdict.outcome}")
        target(float(self.events))


TestConversation = Conversation.TestCase
TestConversation.settings = settings(max_examples=max(40, settings().max_examples // 3), stateful_step_count=40)
