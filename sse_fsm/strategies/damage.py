"""Broken streams, and the few operations that break them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from attrs import define
from hypothesis import strategies as st

from sse_fsm.strategies.spelling import Spelling, spell, to_json
from sse_fsm.strategies.streams import BOM, Piece, ValidStream

__all__ = ["BrokenStream", "insert", "places", "replace", "rewrite", "spoil"]


@define(frozen=True)
class BrokenStream:
    """A stream with one fault, and what must become of it."""

    data: bytes
    """The stream as it comes from the upstream."""
    outcome: str
    """The outcome that must be found: `violation`, `truncated`, `repaired`, `upstream_error`, `cancelled`."""
    forwarded: bytes
    """What has to leave before whatever ends the stream; for `upstream_error` the error event is included."""
    code: str | None = None
    """Code of the violation."""
    event_number: int | None = None
    """1-based number of the event that is the violation."""
    offset: int | None = None
    """Where that event begins, in bytes from the start of `data`."""
    reason: str = "eof"
    """Why nothing more comes, as a value of `EndReason`."""
    max_event_bytes: int | None = None
    """Bound on one event that the violation needs; None for the default."""


def spoil(
    stream: ValidStream, at: int, pieces: Sequence[Piece], code: str, *, max_event_bytes: int | None = None
) -> BrokenStream:
    """Return `stream` with all from piece `at` on replaced by `pieces`, the first of which is the violation."""
    before = stream.pieces[:at]
    forwarded = b"".join(piece.raw for piece in before)
    start = BOM if stream.bom else b""
    return BrokenStream(
        start + forwarded + b"".join(piece.raw for piece in pieces),
        "violation",
        forwarded,
        code,
        sum(piece.is_event for piece in before) + 1,
        len(start) + len(forwarded),
        max_event_bytes=max_event_bytes,
    )


def replace(stream: ValidStream, at: int, raw: bytes, code: str) -> BrokenStream:
    """Put other bytes in the place of piece `at`."""
    return spoil(stream, at, [Piece(raw, stream.pieces[at].phase), *stream.pieces[at + 1 :]], code)


def rewrite(stream: ValidStream, at: int, payload: dict[str, Any], code: str) -> BrokenStream:
    """Give event `at` another payload, its name kept."""
    piece = stream.pieces[at]
    return replace(stream, at, spell(piece.name, to_json(payload, piece.spelling.style), piece.spelling), code)


def insert(stream: ValidStream, at: int, piece: Piece, code: str) -> BrokenStream:
    """Put one event before piece `at`."""
    return spoil(stream, at, [piece, *stream.pieces[at:]], code)


def places(draw: st.DrawFn, stream: ValidStream, *names: str) -> int:
    """Draw the place of an event of one of these names; of any event with data where none is given."""
    fitting = [
        at
        for at, piece in enumerate(stream.pieces)
        if piece.payload is not None and (not names or piece.name in names)
    ]
    return draw(st.sampled_from(fitting))


def plain(spelling: Spelling) -> Spelling:
    """Return the spelling without lines that add data or name events."""
    return Spelling(spelling.line_ends, spelling.style, spelling.space)
