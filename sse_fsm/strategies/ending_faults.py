"""Streams that end where or how they should not."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from attrs import evolve
from hypothesis import strategies as st

from sse_fsm.strategies.damage import BrokenStream
from sse_fsm.strategies.order_faults import sound_events
from sse_fsm.strategies.streams import BOM, Piece, ValidStream, event_piece

__all__ = ["ENDING_FAULTS"]

Draw = st.DrawFn
_REASONS: Final = ("eof", "cut", "timeout", "shutdown")


def _cut(draw: Draw, stream: ValidStream) -> BrokenStream:
    """Cut the stream anywhere before it is complete."""
    whole = len(stream.data) - len(stream.pieces[-1].raw)
    size = draw(st.integers(0, whole + _needed(stream.pieces[-1]) - 1))
    return _ended(stream, size, draw(st.sampled_from(_REASONS)))


def _lost_end(draw: Draw, stream: ValidStream) -> BrokenStream:
    """Leave out `message_stop`, and perhaps a part of what came just before it."""
    ends = [at for at, piece in enumerate(stream.pieces) if piece.name == "message_delta"]
    at = ends[-1] + 1
    told = _telling(stream, at)
    least = sum(len(piece.raw) for piece in told.pieces[:at])
    most = least + sum(len(piece.raw) for piece in told.pieces[at:]) - len(told.pieces[-1].raw)
    start = len(BOM) if told.bom else 0
    return _ended(told, start + draw(st.integers(least, most)), draw(st.sampled_from(_REASONS)))


def _telling(stream: ValidStream, at: int) -> ValidStream:
    """Return `stream` with a stop reason in its last `message_delta`, which is the piece before `at`."""
    last = stream.pieces[at - 1]
    payload = last.payload or {}
    changed = event_piece(
        payload | {"delta": payload["delta"] | {"stop_reason": "end_turn"}}, last.phase, last.spelling
    )
    return ValidStream((*stream.pieces[: at - 1], changed, *stream.pieces[at:]), stream.bom)


def _cancelled(draw: Draw, stream: ValidStream) -> BrokenStream:
    """Let the client go away before the stream is complete."""
    broken = _cut(draw, stream)
    return evolve(broken, outcome="cancelled", reason="cancelled")


def _upstream_error(draw: Draw, stream: ValidStream) -> BrokenStream:
    """Let the upstream end the stream with an error event, at any point."""
    at = draw(st.integers(0, len(stream.pieces) - 1))
    before = b"".join(piece.raw for piece in stream.pieces[:at]) + draw(sound_events("error")).raw
    more = draw(st.sampled_from((b"", b": goodbye\n\n", b"\n", b"data: {", b"\xff")))
    if before.endswith(b"\r"):
        more = more.lstrip(b"\n")
    reason = draw(st.sampled_from((*_REASONS, "cancelled")))
    return BrokenStream((BOM if stream.bom else b"") + before + more, "upstream_error", before, reason=reason)


def _ended(stream: ValidStream, size: int, reason: str) -> BrokenStream:
    """Return the first `size` bytes of `stream`, and what must become of them."""
    start = len(BOM) if stream.bom else 0
    position = start
    stop_reason = None
    for piece in stream.pieces:
        if size < position + _needed(piece):
            break
        position = min(size, position + len(piece.raw))
        if piece.name == "message_delta":
            stop_reason = (piece.payload or {})["delta"]["stop_reason"]
    outcome = "truncated" if stop_reason is None else "repaired"
    return BrokenStream(stream.data[:size], outcome, stream.data[start:position], reason=reason)


def _needed(piece: Piece) -> int:
    """Return how many bytes of the piece make it whole: the LF of a last CR LF is not needed."""
    return len(piece.raw) - piece.raw.endswith(b"\r\n")


ENDING_FAULTS: Final[dict[str, tuple[None, Callable[[Draw, ValidStream], BrokenStream]]]] = {
    "cut anywhere": (None, _cut),
    "message_stop lost": (None, _lost_end),
    "client gone": (None, _cancelled),
    "upstream error": (None, _upstream_error),
}
"""By what happened: no code, and the function that makes it happen."""
