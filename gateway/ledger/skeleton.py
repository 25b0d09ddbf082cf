"""A stream made again from its timeline: the same events in the same order, with nothing in them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

import msgspec

from gateway.ledger.readable import attempts_of
from gateway.ledger.row import RequestRow
from gateway.ledger.timeline import Entry, Timeline
from sse_fsm import Outcome, StreamGuard
from sse_fsm.blocks import BLOCK_TYPES, DELTA_TYPES

__all__ = ["SkeletonError", "make_skeleton", "skeleton_of", "why_no_timeline"]

_USUAL_BYTES: Final = 110
"""Of a delta without its text."""
_MOST_TEXT: Final = 4096
_TOO_LARGE: Final = 8 * 1024 * 1024 + 1
_EMPTY: Final[dict[type | None, Any]] = {str: "", dict: {}, None: None}
_OF_BLOCKS: Final[dict[str, dict[str, Any]]] = {
    "tool_use": {"id": "toolu_skeleton", "name": "skeleton", "input": {}},
    "server_tool_use": {"id": "srvtoolu_skeleton", "name": "skeleton", "input": {}},
    "mcp_tool_use": {"id": "mcptoolu_skeleton", "name": "skeleton", "server_name": "skeleton", "input": {}},
    "redacted_thinking": {"data": ""},
    "fallback": {"from": {"model": "skeleton"}, "to": {"model": "skeleton"}},
}

_BROKEN: Final[dict[str, bytes]] = {
    "missing_field": b'event: content_block_delta\ndata: {"type":"content_block_delta"}\n\n',
    "invalid_utf8": b"event: ping\ndata: \xff\n\n",
    "invalid_json": b"event: ping\ndata: {\n\n",
}
"""Events that break a rule wherever they come."""


class SkeletonError(Exception):
    """A stream cannot be made again; the message says why."""


def why_no_timeline(row: RequestRow) -> str:
    """Return a sentence for people: why there is no timeline of a request."""
    if not row.stream:
        why = "it was no stream"
    elif row.outcome == Outcome.COMPLETE:
        why = "one is kept of streams that did not end well, and this one did"
    elif not row.events and not any(_has_begun(attempt) for attempt in attempts_of(row)):
        why = "nothing had streamed when the request ended"
    else:
        why = "one is kept for as long as [retention] timeline_days says"
    return f"no timeline of {row.id} was kept: {why}"


def _has_begun(attempt: Mapping[str, Any]) -> bool:
    status = attempt.get("status")
    return isinstance(status, int) and 200 <= status <= 299  # noqa: PLR2004 - of success


def skeleton_of(row: RequestRow, timeline: Timeline | None) -> bytes:
    """Return the stream of a request, without its content.

    Args:
        row: the request.
        timeline: its timeline, if one was kept.

    Raises:
        SkeletonError: none was, or it was too long to be kept whole.
    """
    if timeline is None:
        raise SkeletonError(why_no_timeline(row))
    usage = {
        "input_tokens": row.input_tokens or 0,
        "cache_creation_input_tokens": row.cache_write_tokens or 0,
        "cache_read_input_tokens": row.cache_read_tokens or 0,
        "output_tokens": row.output_tokens or 0,
    }
    return make_skeleton(timeline, model=row.model_served or row.model, usage=usage)


def make_skeleton(timeline: Timeline, *, model: str | None, usage: dict[str, int]) -> bytes:
    """Return a stream that ends as the recorded one did.

    Args:
        timeline: of the stream.
        model: that served it.
        usage: counters for `message_start`, by the API's names.

    Raises:
        SkeletonError: it was too long to be kept whole.
    """
    if timeline.left_out:
        raise SkeletonError(
            f"{timeline.left_out} events of this stream were left out of its timeline, which was too long"
        )
    sound = b"".join(part for entry in timeline.entries for part in _frames(entry, model, usage))
    if timeline.violation is None:
        return sound
    if timeline.violation == "event_too_large":
        return sound + b'event: ping\ndata: {"type":"ping","x":"%b"}\n\n' % (b"x" * _TOO_LARGE)
    whole = sound + (timeline.broken or b"")
    # What was wrong may have to do with content that is no more, such as a block that began without its text.
    return whole if _code_of(whole) == timeline.violation else sound + _BROKEN.get(timeline.violation, b"")


def _code_of(data: bytes) -> str | None:
    guard = StreamGuard()
    guard.feed(data)
    return guard.finish()[1].code


def _frames(entry: Entry, model: str | None, usage: dict[str, int]) -> Iterator[bytes]:
    name = entry.event
    if name == "content_block_delta":
        yield from _deltas(entry)
    elif name in _MAKERS:
        yield _frame(name, _MAKERS[name](entry))
    elif name == "message_start":
        message = {
            "id": "msg_skeleton",
            "type": "message",
            "role": "assistant",
            "model": model or "skeleton",
            "content": [{"type": "text", "text": ""}] * (entry.index or 0),
            "stop_reason": None,
            "stop_sequence": None,
            "usage": {"input_tokens": 0, "output_tokens": 0} | usage,
        }
        yield _frame(name, {"message": message})
    elif name != "committed":
        yield _frame(name, {})


def _deltas(entry: Entry) -> Iterator[bytes]:
    kind = entry.detail or "skeleton_delta"
    field, json_type = DELTA_TYPES.get(kind, ("", None))
    delta: dict[str, Any] = {"type": kind}
    if field:
        delta[field] = _EMPTY[json_type]
    if kind in {"text_delta", "thinking_delta"}:
        delta[field] = "x" * min(max(entry.size // max(entry.count, 1) - _USUAL_BYTES, 1), _MOST_TEXT)
    frame = _frame(entry.event, {"index": entry.index, "delta": delta})
    for _ in range(entry.count):
        yield frame


def _block_start(entry: Entry) -> dict[str, Any]:
    kind = entry.detail or "skeleton"
    known = BLOCK_TYPES.get(kind)
    fields = dict.fromkeys(known.text_fields.values(), "") if known is not None else {}
    return {"index": entry.index, "content_block": {"type": kind, **fields, **_OF_BLOCKS.get(kind, {})}}


_MAKERS: Final[dict[str, Any]] = {
    "content_block_start": _block_start,
    "content_block_stop": lambda entry: {"index": entry.index},
    "message_delta": lambda entry: {
        "delta": {"stop_reason": entry.detail, "stop_sequence": None},
        "usage": {"output_tokens": 0},
    },
    "error": lambda entry: {"error": {"type": entry.detail or "api_error", "message": ""}},
}


def _frame(name: str, payload: dict[str, Any]) -> bytes:
    return b"event: %b\ndata: %b\n\n" % (name.encode(), msgspec.json.encode({"type": name, **payload}))
