"""Sound events in places where they may not be."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from typing import Any, Final

from hypothesis import strategies as st

from sse_fsm.strategies.damage import BrokenStream, insert, places, rewrite, spoil
from sse_fsm.strategies.payloads import (
    COMPLETE_BLOCKS,
    KNOWN_DELTAS,
    STREAMED_BLOCKS,
    block_starts,
    complete_blocks,
    deltas,
    error_payloads,
    message_deltas,
    message_starts,
    streamed_blocks,
    unknown_blocks,
)
from sse_fsm.strategies.spelling import spellings
from sse_fsm.strategies.streams import Phase, Piece, ValidStream, event_piece

__all__ = ["ORDER_FAULTS", "sound_events"]

Draw = st.DrawFn
_BLOCK_EVENTS: Final = ("content_block_start", "content_block_delta", "content_block_stop")
_ANY_DELTA: Final = st.one_of(*(deltas(kind) for kind in (*KNOWN_DELTAS, "future_delta")))
_ANY_BLOCK: Final = streamed_blocks() | complete_blocks() | unknown_blocks()
_INDEXES: Final = st.integers(-2, 5) | st.sampled_from((2**31, 2**64, -(10**30)))


@st.composite
def sound_events(draw: Draw, kind: str, phase: Phase = Phase.START) -> Piece:
    """Draw an event of one kind that is sound in itself; its index is any."""
    match kind:
        case "message_start":
            payload = draw(message_starts())
        case "content_block_start":
            payload = block_starts(draw(_INDEXES), draw(_ANY_BLOCK))
        case "content_block_delta":
            delta = draw(_ANY_DELTA)
            payload = {"type": kind, "index": draw(_INDEXES), "delta": delta}
        case "content_block_stop":
            payload = {"type": kind, "index": draw(_INDEXES)}
        case "message_delta":
            payload = draw(message_deltas(stop_reason="end_turn"))
        case "error":
            payload = draw(error_payloads())
        case _:
            payload = {"type": kind}
    return event_piece(payload, phase, draw(spellings()))


def _out_of_place(
    code: str, kinds: tuple[str, ...], phases: tuple[Phase, ...]
) -> Callable[[Draw, ValidStream], BrokenStream]:
    def apply(draw: Draw, stream: ValidStream) -> BrokenStream:
        at = draw(st.sampled_from([at for at, piece in enumerate(stream.pieces) if piece.phase in phases]))
        return insert(stream, at, draw(sound_events(draw(st.sampled_from(kinds)))), code)

    return apply


def _lost_message_start(draw: Draw, stream: ValidStream) -> BrokenStream:  # noqa: ARG001 - all faults are called alike
    at = next(at for at, piece in enumerate(stream.pieces) if piece.name == "message_start")
    return _without(stream, at, "event_before_message_start")


def _lost_block_start(draw: Draw, stream: ValidStream) -> BrokenStream:
    at = places(draw, stream, "content_block_start")
    then = _next_known(stream, at).name
    code = "delta_outside_block" if then == "content_block_delta" else "block_stop_outside_block"
    return _without(stream, at, code)


def _lost_block_stop(draw: Draw, stream: ValidStream) -> BrokenStream:
    at = places(draw, stream, "content_block_stop")
    then = _next_known(stream, at).name
    code = "block_start_inside_block" if then == "content_block_start" else "message_delta_with_open_block"
    return _without(stream, at, code)


def _lost_message_deltas(draw: Draw, stream: ValidStream) -> BrokenStream:  # noqa: ARG001 - all faults are called alike
    kept = tuple(piece for piece in stream.pieces if piece.name != "message_delta")
    at = len(kept) - 1
    return spoil(ValidStream(kept, stream.bom), at, kept[at:], "message_stop_before_message_delta")


def _twice(name: str, code: str) -> Callable[[Draw, ValidStream], BrokenStream]:
    def apply(draw: Draw, stream: ValidStream) -> BrokenStream:
        at = places(draw, stream, name)
        return insert(stream, at + 1, stream.pieces[at], code)

    return apply


def _swapped(
    first: str, second: str, code: str, *, late: bool = False
) -> Callable[[Draw, ValidStream], BrokenStream]:
    """Swap two neighbours; what comes too early is the violation, or what comes too late."""

    def apply(draw: Draw, stream: ValidStream) -> BrokenStream:
        pieces = stream.pieces
        known = [at for at, piece in enumerate(pieces) if _is_known(piece)]
        pairs = [(a, b) for a, b in pairwise(known) if (pieces[a].name, pieces[b].name) == (first, second)]
        a, b = draw(st.sampled_from(pairs))
        swapped = (*pieces[:a], pieces[b], *pieces[a + 1 : b], pieces[a], *pieces[b + 1 :])
        at = b if late else a
        return spoil(ValidStream(swapped, stream.bom), at, swapped[at:], code)

    return apply


def _shifted_index(
    code: str, names: tuple[str, ...], shifts: st.SearchStrategy[int]
) -> Callable[[Draw, ValidStream], BrokenStream]:
    def apply(draw: Draw, stream: ValidStream) -> BrokenStream:
        at = places(draw, stream, *names)
        payload = _payload(stream.pieces[at])
        return rewrite(stream, at, payload | {"index": payload["index"] + draw(shifts)}, code)

    return apply


def _misfit(draw: Draw, stream: ValidStream) -> BrokenStream:
    """Put a delta into a block that it does not fit."""
    starts = [at for at, piece in enumerate(stream.pieces) if piece.name == "content_block_start"]
    kinds = {at: _payload(stream.pieces[at])["content_block"]["type"] for at in starts}
    known = [at for at in starts if kinds[at] in STREAMED_BLOCKS or kinds[at] in COMPLETE_BLOCKS]
    if not known:
        stream, known = _with_known_block(draw, stream, starts[0])
        kinds = {known[0]: _payload(stream.pieces[known[0]])["content_block"]["type"]}
    at = draw(st.sampled_from(known))
    start = _payload(stream.pieces[at])
    wrong = [kind for kind in KNOWN_DELTAS if kind not in STREAMED_BLOCKS.get(kinds[at], ())]
    delta = draw(deltas(draw(st.sampled_from(wrong))))
    payload = {"type": "content_block_delta", "index": start["index"], "delta": delta}
    return insert(
        stream, at + 1, event_piece(payload, Phase.BLOCK, stream.pieces[at].spelling), "delta_type_mismatch"
    )


def _with_known_block(draw: Draw, stream: ValidStream, at: int) -> tuple[ValidStream, list[int]]:
    piece = stream.pieces[at]
    payload = _payload(piece) | {"content_block": draw(streamed_blocks() | complete_blocks())}
    known = event_piece(payload, piece.phase, piece.spelling)
    return ValidStream((*stream.pieces[:at], known, *stream.pieces[at + 1 :]), stream.bom), [at]


def _after_stop(draw: Draw, stream: ValidStream) -> BrokenStream:
    more = draw(
        sound_events(
            draw(st.sampled_from((*_BLOCK_EVENTS, "message_start", "message_stop", "ping", "error", "future")))
        )
    )
    return insert(stream, len(stream.pieces), more, "event_after_stop")


def _after_error(draw: Draw, stream: ValidStream) -> BrokenStream:
    """Let an upstream's error event be followed by what it had still to say."""
    at = draw(st.integers(0, len(stream.pieces) - 1))
    error = draw(sound_events("error", stream.pieces[at].phase))
    failed = ValidStream((*stream.pieces[:at], error), stream.bom)
    rest = [piece for piece in stream.pieces[at:] if piece.is_event]
    return spoil(failed, at + 1, rest, "event_after_error")


def _without(stream: ValidStream, at: int, code: str) -> BrokenStream:
    """Leave out piece `at`; the violation is the first known event behind it."""
    then = next(i for i in range(at + 1, len(stream.pieces)) if _is_known(stream.pieces[i]))
    pieces = (*stream.pieces[:at], *stream.pieces[at + 1 :])
    return spoil(ValidStream(pieces, stream.bom), then - 1, pieces[then - 1 :], code)


def _next_known(stream: ValidStream, at: int) -> Piece:
    return next(piece for piece in stream.pieces[at + 1 :] if _is_known(piece))


def _is_known(piece: Piece) -> bool:
    return piece.name in (*_BLOCK_EVENTS, "message_start", "message_delta", "message_stop")


def _payload(piece: Piece) -> dict[str, Any]:
    if piece.payload is None:
        raise TypeError("this piece has no payload")
    return piece.payload


_AFTER_START: Final = (Phase.BETWEEN, Phase.BLOCK, Phase.ENDING)
_NO_BLOCK: Final = (Phase.BETWEEN, Phase.ENDING)
_UP: Final = st.integers(1, 3) | st.just(2**64)
_DOWN: Final = _UP.map(lambda shift: -shift)

ORDER_FAULTS: Final = {
    "event before message_start": (
        "event_before_message_start",
        _out_of_place(
            "event_before_message_start", (*_BLOCK_EVENTS, "message_delta", "message_stop"), (Phase.START,)
        ),
    ),
    "message_start lost": ("event_before_message_start", _lost_message_start),
    "message_start out of place": (
        "duplicate_message_start",
        _out_of_place("duplicate_message_start", ("message_start",), _AFTER_START),
    ),
    "message_start twice": ("duplicate_message_start", _twice("message_start", "duplicate_message_start")),
    "block index too high": ("block_index_gap", _shifted_index("block_index_gap", ("content_block_start",), _UP)),
    "block index too low": (
        "block_index_reused",
        _shifted_index("block_index_reused", ("content_block_start",), _DOWN),
    ),
    "wrong block named": (
        "block_index_mismatch",
        _shifted_index("block_index_mismatch", ("content_block_delta", "content_block_stop"), _UP | _DOWN),
    ),
    "delta outside a block": (
        "delta_outside_block",
        _out_of_place("delta_outside_block", ("content_block_delta",), _NO_BLOCK),
    ),
    "block start lost": (None, _lost_block_start),
    "delta before its block": (
        "delta_outside_block",
        _swapped("content_block_start", "content_block_delta", "delta_outside_block"),
    ),
    "block stop outside a block": (
        "block_stop_outside_block",
        _out_of_place("block_stop_outside_block", ("content_block_stop",), _NO_BLOCK),
    ),
    "block stop twice": ("block_stop_outside_block", _twice("content_block_stop", "block_stop_outside_block")),
    "block start inside a block": (
        "block_start_inside_block",
        _out_of_place("block_start_inside_block", ("content_block_start",), (Phase.BLOCK,)),
    ),
    "block start twice": ("block_start_inside_block", _twice("content_block_start", "block_start_inside_block")),
    "block stop lost": (None, _lost_block_stop),
    "delta behind its block": (
        "delta_outside_block",
        _swapped("content_block_delta", "content_block_stop", "delta_outside_block", late=True),
    ),
    "misfitting delta": ("delta_type_mismatch", _misfit),
    "block after message_delta": (
        "block_after_message_delta",
        _out_of_place("block_after_message_delta", ("content_block_start",), (Phase.ENDING,)),
    ),
    "message_delta inside a block": (
        "message_delta_with_open_block",
        _out_of_place("message_delta_with_open_block", ("message_delta",), (Phase.BLOCK,)),
    ),
    "message_delta before the last block's end": (
        "message_delta_with_open_block",
        _swapped("content_block_stop", "message_delta", "message_delta_with_open_block"),
    ),
    "message_stop inside a block": (
        "message_stop_with_open_block",
        _out_of_place("message_stop_with_open_block", ("message_stop",), (Phase.BLOCK,)),
    ),
    "message_stop too early": (
        "message_stop_before_message_delta",
        _out_of_place("message_stop_before_message_delta", ("message_stop",), (Phase.BETWEEN,)),
    ),
    "message_delta lost": ("message_stop_before_message_delta", _lost_message_deltas),
    "event after message_stop": ("event_after_stop", _after_stop),
    "event after error": ("event_after_error", _after_error),
}
"""By what happened: the code, None where it depends on the stream, and the function that makes it happen."""
