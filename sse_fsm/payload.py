"""Frame to payload: what one event must be when looked at alone.

The rules are the ones that the official SDKs' accumulators rely on: where they would throw, or silently lose
an event, a violation is raised; where they would not, the payload passes with whatever else it carries.

Source: `anthropic` Python SDK 2.12.0, `_streaming.py` and `lib/streaming/_messages.py`; `@anthropic-ai/sdk`
1.12.0, `core/streaming.ts` and `lib/MessageStream.ts`.

Not covered: the Python SDK passes JSON keys as keyword arguments to `BaseModel.construct` in `_models.py` and so
stumbles over the two keys `_fields_set` and `_BaseModel__cls`. They are names of its own inside, not of the
protocol, and no rule here mentions them.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from typing import Any, Final, NoReturn

import msgspec

from sse_fsm.blocks import DELTA_TYPES
from sse_fsm.events import KINDS_BY_NAME, EventKind
from sse_fsm.framing import Frame
from sse_fsm.violations import (
    InvalidJson,
    InvalidUtf8,
    MissingData,
    MissingEventName,
    MissingField,
    MissingUsage,
    NameTypeMismatch,
    PayloadNotObject,
)

__all__ = ["MAX_DEPTH", "Payload", "check_utf8", "parse_json", "read_payload"]

Payload = dict[str, Any]
"""The decoded JSON object of an event; empty for an unknown event that has no data."""

MAX_DEPTH: Final = 500
"""Levels of arrays and objects in one event at most. The Python SDK parses with the standard library, which
gives up at the interpreter's recursion limit: 1000 less the depth of the caller's stack. A fixed bound far below
makes the verdict the same wherever the guard runs, and leaves the client as much stack again."""

_STRING: Final = re.compile(rb'"(?:[^"\\]++|\\.)*+"', re.DOTALL)
_BRACKET: Final = re.compile(rb"[\[\]{}]")
_SURROGATE_ESCAPE: Final = re.compile(rb"\\u[dD][89a-fA-F]")

_decode: Final = msgspec.json.Decoder().decode
_JSON_TYPES: Final[Mapping[type, str]] = {str: "string", dict: "object"}


def parse_json(data: bytes, *, max_depth: int = MAX_DEPTH) -> Any:
    """Decode UTF-8 JSON exactly as `json.loads` would, but refuse `NaN`, `Infinity` and bottomless nesting.

    msgspec is several times faster and refuses a few things that are JSON all the same (lone surrogates,
    floats out of range), so what it refuses is asked again of the standard library, whose answer counts.

    Raises:
        ValueError: `data` is not JSON, is nested deeper than `max_depth`, or an integer in it has more digits
            than Python accepts.
        RecursionError: the caller's own stack is so deep that there is no room left.
    """
    if data.count(b"[") + data.count(b"{") > max_depth and _depth(data) > max_depth:
        raise ValueError(f"it is nested deeper than {max_depth} levels")
    try:
        return _decode(data)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return json.loads(data.decode(), parse_constant=_refuse_constant)


def _depth(data: bytes) -> int:
    """Return how deeply arrays and objects are nested in `data`; any number where it is not JSON."""
    depth = deepest = 0
    for bracket in _BRACKET.findall(_STRING.sub(b"", data)):
        if bracket in b"[{":
            depth += 1
            deepest = max(deepest, depth)
        else:
            depth -= 1
    return deepest


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not JSON")


def check_utf8(frame: Frame, number: int) -> None:
    """Make sure that every line of `frame` decodes.

    Raises:
        InvalidUtf8: it does not.
    """
    raw = frame.raw
    if not raw.isascii():
        try:
            raw.decode()
        except UnicodeDecodeError as error:
            at = frame.offset + error.start
            raise InvalidUtf8(
                f"the bytes are not UTF-8 at byte {at} of the stream",
                event_number=number,
                offset=frame.offset,
            ) from None


def read_payload(frame: Frame, number: int) -> tuple[EventKind, Payload]:
    """Return the kind and the payload of an event frame.

    Args:
        frame: a frame that is not noise.
        number: 1-based number of the event in its stream.

    Raises:
        InvalidUtf8, MissingEventName, MissingData, InvalidJson, PayloadNotObject, NameTypeMismatch,
        MissingField, MissingUsage: the event breaks that rule.
    """
    check_utf8(frame, number)
    where = {"event_number": number, "offset": frame.offset}
    if frame.event is None:
        raise MissingEventName("there is data but no `event:` line, so SDKs would skip it", **where)
    kind = KINDS_BY_NAME.get(frame.event, EventKind.UNKNOWN)
    if not frame.data:
        if kind is EventKind.UNKNOWN:
            return kind, {}
        raise MissingData(f"{kind.value} has no data, so SDKs would skip it", **where)
    try:
        payload = parse_json(frame.data)
    except ValueError as error:
        raise InvalidJson(f"the data of {_name(frame)} is not JSON: {error}", **where) from None
    except RecursionError:
        raise InvalidJson(f"the data of {_name(frame)} is nested too deeply", **where) from None
    if not isinstance(payload, dict):
        raise PayloadNotObject(f"the data of {_name(frame)} is not a JSON object", **where)
    said = payload.get("type")
    if said != kind.value and not (kind is EventKind.UNKNOWN and _may_be_unknown(said)):
        raise NameTypeMismatch(f"the event is named {_name(frame)} but its data has type {_short(said)}", **where)
    check = _CHECKS.get(kind)
    if check is not None:
        check(payload, where)
    if kind in _KEYWORD_KINDS and _SURROGATE_ESCAPE.search(frame.data) and not _encodable_keys(payload):
        raise InvalidJson(f"a key in the data of {_name(frame)} is a lone surrogate", **where)
    return kind, payload


def _may_be_unknown(said: Any) -> bool:
    """Whether an event of unknown name may say that it is of this type: not if SDKs would act on it."""
    return isinstance(said, str) and said.encode(errors="replace") not in KINDS_BY_NAME


def _name(frame: Frame) -> str:
    return (frame.event or b"?").decode(errors="replace")[:64]


def _short(value: Any) -> str:
    return json.dumps(value)[:64]


def _is_int(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _require(payload: Payload, field: str, wanted: type, where: dict[str, int], *, of: str) -> Any:
    value = payload.get(field)
    if not isinstance(value, wanted):
        raise MissingField(f"{of} has no `{field}` that is a JSON {_JSON_TYPES[wanted]}", **where)
    return value


def _require_index(payload: Payload, where: dict[str, int]) -> None:
    if not _is_int(payload.get("index")):
        raise MissingField(f"{payload['type']} has no integer `index`", **where)


def _check_message_start(payload: Payload, where: dict[str, int]) -> None:
    message = _require(payload, "message", dict, where, of="message_start")
    if not isinstance(message.get("content"), list):
        raise MissingField("message_start.message has no `content` that is a JSON array", **where)
    if not isinstance(message.get("usage"), dict):
        raise MissingUsage("message_start.message has no `usage` object", **where)


def _check_block_start(payload: Payload, where: dict[str, int]) -> None:
    _require_index(payload, where)
    block = _require(payload, "content_block", dict, where, of="content_block_start")
    kind = _require(block, "type", str, where, of="content_block")
    if kind == "text" and not isinstance(block.get("citations"), list | None):
        # Accumulators append citations to it.
        raise MissingField("the text block has `citations` that are neither a JSON array nor null", **where)
    if kind == "fallback":
        # Both SDKs' beta accumulators take the message's model from here.
        to = _require(block, "to", dict, where, of="the fallback block")
        _require(to, "model", str, where, of="the fallback block's `to`")


def _check_block_delta(payload: Payload, where: dict[str, int]) -> None:
    _require_index(payload, where)
    delta = _require(payload, "delta", dict, where, of="content_block_delta")
    kind = _require(delta, "type", str, where, of="delta")
    known = DELTA_TYPES.get(kind)
    if known is None:
        return
    field, wanted = known
    if wanted is not None:
        value = _require(delta, field, wanted, where, of=kind)
        if kind == "input_json_delta" and not _encodable(value):
            # The Python SDK encodes each fragment by itself.
            raise InvalidJson("`partial_json` holds a lone surrogate, which has no UTF-8 form", **where)


def _encodable(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _encodable_keys(value: Any) -> bool:
    """Whether every key of every object in `value` has a UTF-8 form."""
    rest = [value]
    while rest:
        item = rest.pop()
        if isinstance(item, dict):
            if not all(map(_encodable, item)):
                return False
            rest.extend(item.values())
        elif isinstance(item, list):
            rest.extend(item)
    return True


def _check_block_stop(payload: Payload, where: dict[str, int]) -> None:
    _require_index(payload, where)


def _check_message_delta(payload: Payload, where: dict[str, int]) -> None:
    _require(payload, "delta", dict, where, of="message_delta")
    usage = payload.get("usage")
    if not isinstance(usage, dict) or not _is_int(usage.get("output_tokens")):
        raise MissingUsage("message_delta has no `usage` with an integer `output_tokens`", **where)


_KEYWORD_KINDS: Final = frozenset({EventKind.MESSAGE_START, EventKind.CONTENT_BLOCK_START})
"""Events whose objects the Python SDK takes apart into keyword arguments, which pydantic needs as UTF-8."""

_CHECKS: Final[Mapping[EventKind, Callable[[Payload, dict[str, int]], None]]] = {
    EventKind.MESSAGE_START: _check_message_start,
    EventKind.CONTENT_BLOCK_START: _check_block_start,
    EventKind.CONTENT_BLOCK_DELTA: _check_block_delta,
    EventKind.CONTENT_BLOCK_STOP: _check_block_stop,
    EventKind.MESSAGE_DELTA: _check_message_delta,
}
