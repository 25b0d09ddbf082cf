"""Valid streams, built by the grammar."""

from __future__ import annotations

from enum import Enum
from functools import cached_property
from typing import Any, Final

from attrs import define, field
from hypothesis import strategies as st

from sse_fsm.strategies.payloads import (
    COMPLETE_BLOCKS,
    KNOWN_DELTAS,
    STREAMED_BLOCKS,
    UNKNOWN_NAMES,
    block_starts,
    complete_blocks,
    deltas,
    message_deltas,
    message_starts,
    streamed_blocks,
    tool_inputs,
    unknown_blocks,
)
from sse_fsm.strategies.spelling import API_SPELLING, Spelling, spell, spellings, to_json
from sse_fsm.strategies.values import extra_fields, texts

__all__ = ["BOM", "Phase", "Piece", "ValidStream", "event_piece", "valid_streams"]

BOM: Final = b"\xef\xbb\xbf"

_STOP_REASONS: Final = ("end_turn", "max_tokens", "tool_use", "refusal", "a_future_reason", None)
_NOISE: Final = (
    b": keep-alive\n",
    b":\r\n",
    b":\r",
    b"\n",
    b"\r\n",
    b"\r",
    b"id: 42\n\n",
    b"retry: 3000\r\n\r\n",
    b"data:\n\n",
    b"unknown\r\r",
    ": \u2028 é 😀\n".encode(),
)


class Phase(Enum):
    """How far a stream has come."""

    #: Before `message_start`.
    START = "start"
    #: No block is open.
    BETWEEN = "between"
    #: A block is open.
    BLOCK = "block"
    #: Behind a `message_delta`.
    ENDING = "ending"


@define(frozen=True)
class Piece:
    """One event, or one comment, blank line or lone field between events."""

    raw: bytes
    phase: Phase
    """How far the stream has come before it."""
    name: str | None = None
    """Event name; None where this is no event."""
    payload: dict[str, Any] | None = None
    """None where the event has no data."""
    spelling: Spelling = API_SPELLING

    @property
    def is_event(self) -> bool:
        """Whether it counts as an event."""
        return self.name is not None


@define(frozen=True, slots=False)
class ValidStream:
    """A stream that a client must receive as it is."""

    pieces: tuple[Piece, ...]
    bom: bool = False
    """Whether a byte order mark stands first; it is not passed on."""

    @cached_property
    def forwarded(self) -> bytes:
        """What has to leave: all of it but the byte order mark."""
        return b"".join(piece.raw for piece in self.pieces)

    @property
    def data(self) -> bytes:
        """The stream as it comes from the upstream."""
        return BOM + self.forwarded if self.bom else self.forwarded

    @property
    def events(self) -> tuple[Piece, ...]:
        """The events, pings and unknown ones included."""
        return tuple(piece for piece in self.pieces if piece.is_event)

    @property
    def stop_reason(self) -> str | None:
        """Stop reason of the last `message_delta`."""
        ends = [p.payload for p in self.pieces if p.name == "message_delta" and p.payload]
        return ends[-1]["delta"]["stop_reason"]

    def __repr__(self) -> str:
        """Show the bytes, which is what one wants to see of a failing example."""
        return f"<ValidStream {self.data!r}>"


def event_piece(payload: dict[str, Any], phase: Phase, spelling: Spelling = API_SPELLING) -> Piece:
    """Write `payload` as an event of its own type."""
    raw = spell(payload["type"], to_json(payload, spelling.style), spelling)
    return Piece(raw, phase, payload["type"], payload, spelling)


_NOISE_KINDS: Final = st.sampled_from((None, None, None, None, "ping", "unknown", "bare", "bytes"))
_NOISE_BYTES: Final = st.sampled_from(_NOISE)
_NAMES: Final = st.sampled_from(UNKNOWN_NAMES)
_TYPES: Final = st.sampled_from((None, None, None, "another_name", ""))
_FEW_SPELLINGS: Final = st.lists(spellings(), max_size=2)
_REASONS: Final = st.lists(st.sampled_from(_STOP_REASONS), min_size=1, max_size=3)
_PREFILLED: Final = st.sampled_from((0, 0, 0, 0, 0, 1))
_BOM_FIRST: Final = st.sampled_from((False, False, False, True))
_STREAMED: Final = streamed_blocks()
_INDEXES: Final = st.integers(0, 11)
_ANY_BLOCK: Final = streamed_blocks() | complete_blocks() | unknown_blocks()


@define
class _Builder:
    """Writes a stream event by event, with noise between events."""

    draw: st.DrawFn
    noise: bool
    phase: Phase = Phase.START
    pieces: list[Piece] = field(factory=list)
    spelling: st.SearchStrategy[Spelling] = field(init=False)

    def __attrs_post_init__(self) -> None:
        """Settle on few spellings, as an upstream would."""
        more = self.draw(_FEW_SPELLINGS) if self.noise else []
        self.spelling = st.sampled_from([API_SPELLING, *more]) if more else st.just(API_SPELLING)

    def add(self, payload: dict[str, Any], after: Phase | None = None) -> None:
        """Add an event, after which the stream has come to `after`."""
        if self.noise:
            self.add_noise()
        self.pieces.append(event_piece(payload, self.phase, self.draw(self.spelling)))
        self.phase = after or self.phase

    def add_noise(self) -> None:
        """Perhaps add a ping, an unknown event, a comment or a blank line."""
        match self.draw(_NOISE_KINDS):
            case "ping":
                payload = {"type": "ping", **self.draw(extra_fields())}
                self.pieces.append(event_piece(payload, self.phase, self.draw(self.spelling)))
            case "bytes":
                self.pieces.append(Piece(self.draw(_NOISE_BYTES), self.phase))
            case "unknown":
                name, how = self.draw(_NAMES), self.draw(self.spelling)
                said = self.draw(_TYPES)
                payload = {
                    "type": name if said is None else said,
                    "index": self.draw(texts()),
                    **self.draw(extra_fields()),
                }
                self.pieces.append(
                    Piece(spell(name, to_json(payload, how.style), how), self.phase, name, payload, how)
                )
            case "bare":
                name, how = self.draw(_NAMES), self.draw(self.spelling)
                self.pieces.append(Piece(spell(name, None, Spelling(how.line_ends)), self.phase, name))


@st.composite
def valid_streams(
    draw: st.DrawFn,
    *,
    min_blocks: int = 0,
    max_blocks: int = 3,
    min_deltas: int = 0,
    max_deltas: int = 3,
    noise: bool = True,
) -> ValidStream:
    """Draw a valid stream, of any kind that the protocol allows.

    Args:
        min_blocks: content blocks at least.
        max_blocks: content blocks at most.
        min_deltas: deltas at least in each block, except in blocks that arrive whole. If it is not 0 the first
            block is none of those.
        max_deltas: deltas at most in each block; a tool's input may add one.
        noise: also pings, unknown events, comments, and spellings other than the API's.
    """
    build = _Builder(draw, noise)
    prefilled = draw(_PREFILLED) if noise else 0
    build.add(draw(message_starts(prefilled=prefilled)), Phase.BETWEEN)
    blocks = draw(st.integers(min_blocks, max_blocks))
    for index in range(prefilled, prefilled + blocks):
        block = draw(_STREAMED if min_deltas and index == prefilled else _ANY_BLOCK)
        _add_block(build, index, block, draw(st.integers(min_deltas, max_deltas)))
    for reason in draw(_REASONS):
        build.add(draw(message_deltas(stop_reason=reason)), Phase.ENDING)
    build.add({"type": "message_stop", **draw(extra_fields())})
    return ValidStream(tuple(build.pieces), bom=noise and draw(_BOM_FIRST))


def _add_block(build: _Builder, index: int, block: dict[str, Any], number: int) -> None:
    build.add(block_starts(index, block), Phase.BLOCK)
    for delta in build.draw(_deltas_for(block["type"], number)):
        extra = build.draw(extra_fields())
        build.add({"type": "content_block_delta", "index": index, "delta": delta, **extra})
    build.add({"type": "content_block_stop", "index": index}, Phase.BETWEEN)


@st.composite
def _deltas_for(draw: st.DrawFn, block: str, number: int) -> list[dict[str, Any]]:
    fitting = STREAMED_BLOCKS.get(block, ())
    if number and fitting == ("input_json_delta",):
        fragments = draw(tool_inputs(pieces=number))
        return [{"type": "input_json_delta", "partial_json": text, **draw(extra_fields())} for text in fragments]
    if block in COMPLETE_BLOCKS:
        kinds, number = ("future_delta",), min(number, draw(st.integers(0, 1)))
    else:
        kinds = (*(fitting or KNOWN_DELTAS), "future_delta")
    return [draw(deltas(kinds[draw(_INDEXES) % len(kinds)])) for _ in range(number)]
