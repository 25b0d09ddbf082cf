"""Frame to payload: what one event must be when looked at alone.

The rules are the ones that the official SDKs' accumulators rely on: where they would throw, or silently lose
an event, a violation is raised; where they would not, the payload passes with whatever else it carries.

Source: `anthropic` Python SDK 2.12.0, `_streaming.py` and `lib/streaming/_messages.py`; `@anthropic-ai/sdk`
1.12.0, `core/streaming.ts` and `lib/MessageStream.ts`.
"""

from __future__ import annotations

import json
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

__all__ = ["Payload", "check_utf8", "parse_json", "read_payload"]

Payload = dict[str, Any]
"""The decoded JSON object of an event; empty for an unknown event that has no data."""

_decode: Final = msgspec.json.Decoder().decode
_JSON_TYPES: Final[Mapping[type, str]] = {str: "string", dict: "object"}


def parse_json(data: bytes) -> Any:
    """Decode UTF-8 JSON exactly as `json.loads` would, but refuse `NaN` and `Infinity`.

    msgspec is several times faster and refuses a few things that are JSON all the same (lone surrogates,
    floats out of range), so what it refuses is asked again of the standard library, whose answer counts.

    Raises:
        ValueError: `data` is not JSON, or an integer in it has more digits than Python accepts.
        RecursionError: `data` is nested too deeply.
    """
    try:
        return _decode(data)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return json.loads(data.decode(), parse_constant=_refuse_constant)


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


def _check_block_stop(payload: Payload, where: dict[str, int]) -> None:
    _require_index(payload, where)


def _check_message_delta(payload: Payload, where: dict[str, int]) -> None:
    _require(payload, "delta", dict, where, of="message_delta")
    usage = payload.get("usage")
    if not isinstance(usage, dict) or not _is_int(usage.get("output_tokens")):
        raise MissingUsage("message_delta has no `usage` with an integer `output_tokens`", **where)


_CHECKS: Final[Mapping[EventKind, Callable[[Payload, dict[str, int]], None]]] = {
    EventKind.MESSAGE_START: _check_message_start,
    EventKind.CONTENT_BLOCK_START: _check_block_start,
    EventKind.CONTENT_BLOCK_DELTA: _check_block_delta,
    EventKind.CONTENT_BLOCK_STOP: _check_block_stop,
    EventKind.MESSAGE_DELTA: _check_message_delta,
}
