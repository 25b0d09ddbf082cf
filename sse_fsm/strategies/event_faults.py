"""Events that are not what they should be, wherever they stand."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any, Final

from hypothesis import strategies as st

from sse_fsm.strategies.damage import BrokenStream, places, plain, replace, rewrite, spoil
from sse_fsm.strategies.payloads import KNOWN_DELTAS, UNKNOWN_NAMES, deltas
from sse_fsm.strategies.spelling import spell, to_json
from sse_fsm.strategies.streams import Phase, Piece, ValidStream, event_piece
from sse_fsm.strategies.values import LONE_SURROGATES

__all__ = ["EVENT_FAULTS"]

Draw = st.DrawFn
Apply = Callable[[Draw, ValidStream], BrokenStream]

_NAMES: Final = (
    "message_start",
    "content_block_start",
    "content_block_delta",
    "content_block_stop",
    "message_delta",
    "message_stop",
    "ping",
    "error",
)
_NOT_UTF8: Final = (b"\xff", b"\xc3", b"\x80", b"\xc0\xaf", b"\xed\xa0\x80", b"\xf4\x90\x80\x80", b"\xe2\x82")
_NOT_JSON: Final = (
    "{",
    "}",
    "[DONE]",
    "<html>",
    "{'type': 'ping'}",
    '{"type":"ping",}',
    '{"type":"ping"}}',
    '{"type":"ping"}{"type":"ping"}',
    '{"type":"ping","x":NaN}',
    '{"type":"ping","x":-Infinity}',
    '{"type":"ping","x":01}',
    '{"type":"ping","x":"\x01"}',
    '{"type":"ping","x":"\\x41"}',
    '{"type":"ping","x":"\\ud83"}',
    '{"type":"ping","x":tru}',
    '{"type":"ping","x":' + "9" * 5000 + "}",
    '{"type":"ping","x":' + "[" * 600 + "]" * 600 + "}",
    '{"type":"ping","x":' + '{"x":' * 600 + "1" + "}" * 601,
    "\ufeff{}",
    "  ",
    "\u00a0{}",
)
_NOT_OBJECTS: Final = ("[]", "null", "true", "0", "1e400", '"message_stop"', '[{"type":"ping"}]', " [ ] ")
_NOT_STRINGS: Final = (None, 5, 1.5, True, [], ["text"], {})
_NOT_INTEGERS: Final = (None, "0", 0.0, True, False, [], {})
_NOT_OBJECT_VALUES: Final = (None, "x", 1, True, [])
_ABSENT: Final = object()


def _invalid_utf8(draw: Draw, stream: ValidStream) -> BrokenStream:
    """Put bytes that are not UTF-8 anywhere into an event or a comment, its line ends excepted."""
    at = draw(st.integers(0, len(stream.pieces) - 1))
    raw = stream.pieces[at].raw
    cut = draw(st.integers(0, len(raw.rstrip(b"\r\n"))))
    return replace(stream, at, raw[:cut] + draw(st.sampled_from(_NOT_UTF8)) + raw[cut:], "invalid_utf8")


def _too_large(draw: Draw, stream: ValidStream) -> BrokenStream:
    at = draw(st.integers(0, len(stream.pieces) - 1))
    bound = max(len(piece.raw) for piece in stream.pieces)
    filler = b"x" * (bound + draw(st.integers(1, 40)))
    piece = Piece(draw(st.sampled_from((b": %b\n", b"event: %b\n\n", b"data: %b", b"%b"))) % filler, Phase.START)
    return spoil(stream, at, [piece, *stream.pieces[at:]], "event_too_large", max_event_bytes=bound)


def _nameless(draw: Draw, stream: ValidStream) -> BrokenStream:
    at = places(draw, stream)
    piece = stream.pieces[at]
    name = draw(st.sampled_from((None, "")))
    raw = spell(name, to_json(piece.payload or {}, piece.spelling.style), plain(piece.spelling))
    return replace(stream, at, raw, "missing_event_name")


def _dataless(draw: Draw, stream: ValidStream) -> BrokenStream:
    at = places(draw, stream, *_NAMES)
    piece = stream.pieces[at]
    return replace(
        stream, at, spell(piece.name, draw(st.sampled_from((None, ""))), plain(piece.spelling)), "missing_data"
    )


def _with_data(code: str, texts: tuple[str, ...]) -> Apply:
    def apply(draw: Draw, stream: ValidStream) -> BrokenStream:
        at = places(draw, stream)
        piece = stream.pieces[at]
        return replace(stream, at, spell(piece.name, draw(st.sampled_from(texts)), plain(piece.spelling)), code)

    return apply


def _cut_json(draw: Draw, stream: ValidStream) -> BrokenStream:
    at = places(draw, stream)
    piece = stream.pieces[at]
    text = to_json(piece.payload or {})
    short = text[: draw(st.integers(1, len(text) - 1))]
    return replace(
        stream, at, spell(piece.name, short.encode(errors="replace"), plain(piece.spelling)), "invalid_json"
    )


def _surrogate_key(draw: Draw, stream: ValidStream) -> BrokenStream:
    at = places(draw, stream, "message_start", "content_block_start")
    payload = copy.deepcopy(stream.pieces[at].payload or {})
    inner = payload.get("message", payload.get("content_block"))
    target = draw(st.sampled_from([value for value in (payload, inner, inner.get("usage")) if value is not None]))
    target[draw(st.sampled_from(LONE_SURROGATES))] = 1
    return rewrite(stream, at, payload, "invalid_json")


def _surrogate_fragment(draw: Draw, stream: ValidStream) -> BrokenStream:
    at = places(draw, stream, "content_block_delta", "content_block_stop")
    payload = stream.pieces[at].payload or {}
    delta = {"type": "input_json_delta", "partial_json": draw(st.sampled_from(LONE_SURROGATES))}
    piece = event_piece({"type": "content_block_delta", "index": payload["index"], "delta": delta}, Phase.BLOCK)
    return spoil(stream, at, [piece, *stream.pieces[at:]], "invalid_json")


def _renamed(draw: Draw, stream: ValidStream) -> BrokenStream:
    """Give an event of a known type another name."""
    at = places(draw, stream, *_NAMES)
    piece = stream.pieces[at]
    name = draw(st.sampled_from([name for name in (*_NAMES, *UNKNOWN_NAMES) if name != piece.name]))
    raw = spell(name, to_json(piece.payload or {}, piece.spelling.style), plain(piece.spelling))
    return replace(stream, at, raw, "name_type_mismatch")


def _retyped(draw: Draw, stream: ValidStream) -> BrokenStream:
    """Let the data of an event say that it is of another type, or of none."""
    at = places(draw, stream)
    piece = stream.pieces[at]
    known = piece.name in _NAMES
    wrong = (*_NAMES, *UNKNOWN_NAMES, "", *_NOT_STRINGS, _ABSENT) if known else (*_NAMES, *_NOT_STRINGS, _ABSENT)
    said = draw(st.sampled_from([said for said in wrong if said != piece.name]))
    return rewrite(stream, at, _with(piece.payload or {}, ("type",), said), "name_type_mismatch")


def _field(code: str, name: str, path: tuple[str, ...], wrong: tuple[Any, ...]) -> Apply:
    """Take away a field of an event, or give it a value of a wrong type."""

    def apply(draw: Draw, stream: ValidStream) -> BrokenStream:
        at = places(draw, stream, name)
        value = draw(st.sampled_from((_ABSENT, *wrong)))
        return rewrite(stream, at, _with(stream.pieces[at].payload or {}, path, value), code)

    return apply


def _delta_field(draw: Draw, stream: ValidStream) -> BrokenStream:
    """Send a known delta without the field that it is there for, or with a wrong one."""
    at = places(draw, stream, "content_block_delta", "content_block_stop")
    index = (stream.pieces[at].payload or {})["index"]
    kind = draw(st.sampled_from([kind for kind in KNOWN_DELTAS if kind != "compaction_delta"]))
    field = {"input_json_delta": "partial_json", "citations_delta": "citation"}.get(
        kind, kind.removesuffix("_delta")
    )
    wrong = _NOT_OBJECT_VALUES if kind == "citations_delta" else _NOT_STRINGS
    value = draw(st.sampled_from((_ABSENT, *wrong)))
    payload = {"type": "content_block_delta", "index": index, "delta": _with(draw(deltas(kind)), (field,), value)}
    piece = event_piece(payload, Phase.BLOCK, stream.pieces[at].spelling)
    return spoil(stream, at, [piece, *stream.pieces[at:]], "missing_field")


def _block_field(draw: Draw, stream: ValidStream) -> BrokenStream:
    """Start a block without a field that accumulators read at once."""
    at = places(draw, stream, "content_block_start")
    model = draw(st.sampled_from(_NOT_STRINGS))
    block = draw(
        st.sampled_from(
            (
                {"type": "fallback"},
                {"type": "fallback", "to": None},
                {"type": "fallback", "to": {}},
                {"type": "fallback", "to": {"model": model}},
                {"type": "text", "text": "", "citations": 5},
                {"type": "text", "text": "", "citations": {"x": 1}},
            )
        )
    )
    payload = (stream.pieces[at].payload or {}) | {"content_block": block}
    return rewrite(stream, at, payload, "missing_field")


def _unappendable(draw: Draw, stream: ValidStream) -> BrokenStream:
    """Start a block without the string that its deltas are to be appended to."""
    at = places(draw, stream, "content_block_start")
    piece = stream.pieces[at]
    payload = piece.payload or {}
    kind = draw(st.sampled_from(("text", "thinking")))
    block = _with({"type": kind}, (kind,), draw(st.sampled_from((_ABSENT, *_NOT_STRINGS))))
    start = event_piece(payload | {"content_block": block}, piece.phase, piece.spelling)
    delta = {"type": f"{kind}_delta", kind: "x"}
    more = event_piece({"type": "content_block_delta", "index": payload["index"], "delta": delta}, Phase.BLOCK)
    begun = ValidStream((*stream.pieces[:at], start, *stream.pieces[at + 1 :]), stream.bom)
    return spoil(begun, at + 1, [more, *stream.pieces[at + 1 :]], "missing_field")


def _with(payload: dict[str, Any], path: tuple[str, ...], value: Any) -> dict[str, Any]:
    changed = copy.deepcopy(payload)
    inner = changed
    for key in path[:-1]:
        inner = inner[key]
    if value is _ABSENT:
        inner.pop(path[-1], None)
    else:
        inner[path[-1]] = value
    return changed


EVENT_FAULTS: Final = {
    "bytes that are not UTF-8": ("invalid_utf8", _invalid_utf8),
    "event too large": ("event_too_large", _too_large),
    "no event name": ("missing_event_name", _nameless),
    "no data": ("missing_data", _dataless),
    "data that is not JSON": ("invalid_json", _with_data("invalid_json", _NOT_JSON)),
    "data cut short": ("invalid_json", _cut_json),
    "lone surrogate in a key": ("invalid_json", _surrogate_key),
    "lone surrogate in a tool's input": ("invalid_json", _surrogate_fragment),
    "data that is not an object": ("payload_not_object", _with_data("payload_not_object", _NOT_OBJECTS)),
    "another event's name": ("name_type_mismatch", _renamed),
    "another event's type": ("name_type_mismatch", _retyped),
    "no message": ("missing_field", _field("missing_field", "message_start", ("message",), _NOT_OBJECT_VALUES)),
    "no message content": (
        "missing_field",
        _field("missing_field", "message_start", ("message", "content"), (None, "x", 0, {}, True)),
    ),
    "no usage in message_start": (
        "missing_usage",
        _field("missing_usage", "message_start", ("message", "usage"), _NOT_OBJECT_VALUES),
    ),
    "no index in block start": (
        "missing_field",
        _field("missing_field", "content_block_start", ("index",), _NOT_INTEGERS),
    ),
    "no index in delta": (
        "missing_field",
        _field("missing_field", "content_block_delta", ("index",), _NOT_INTEGERS),
    ),
    "no index in block stop": (
        "missing_field",
        _field("missing_field", "content_block_stop", ("index",), _NOT_INTEGERS),
    ),
    "no content block": (
        "missing_field",
        _field("missing_field", "content_block_start", ("content_block",), _NOT_OBJECT_VALUES),
    ),
    "no block type": (
        "missing_field",
        _field("missing_field", "content_block_start", ("content_block", "type"), _NOT_STRINGS),
    ),
    "no delta": ("missing_field", _field("missing_field", "content_block_delta", ("delta",), _NOT_OBJECT_VALUES)),
    "no delta type": (
        "missing_field",
        _field("missing_field", "content_block_delta", ("delta", "type"), _NOT_STRINGS),
    ),
    "delta without its content": ("missing_field", _delta_field),
    "block without its fields": ("missing_field", _block_field),
    "block that cannot be appended to": ("missing_field", _unappendable),
    "no changes in message_delta": (
        "missing_field",
        _field("missing_field", "message_delta", ("delta",), _NOT_OBJECT_VALUES),
    ),
    "no usage in message_delta": (
        "missing_usage",
        _field("missing_usage", "message_delta", ("usage",), _NOT_OBJECT_VALUES),
    ),
    "no output tokens in message_delta": (
        "missing_usage",
        _field("missing_usage", "message_delta", ("usage", "output_tokens"), _NOT_INTEGERS),
    ),
}
"""By what is wrong: the code, and the function that makes it wrong."""
