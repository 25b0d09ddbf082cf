"""What faults do to an answer before and while it travels."""

import re
import zlib
from collections.abc import Sequence

from gateway.replay.answers import event
from gateway.replay.delivery import Answer, Delivery, Mark
from gateway.replay.errors import NAMED, ApiError, by_status, named
from gateway.replay.faults import Fault
from gateway.replay.fixtures import ErrorFixture
from gateway.replay.headers import http_date, unified_limits

GARBAGE = b"\xff\xfe\x00<garbage>\n\n"
EXTRA_RESPONSE_BYTES = b"bytes behind the end"

_INDEX = re.compile(rb'("index":\s*)(\d+)')
_NAME_LINE = re.compile(rb"^event:[^\r\n]*", re.MULTILINE)
_DATE_AHEAD = 2.0


def error_of(fault: Fault, recorded: ErrorFixture | None) -> ApiError | ErrorFixture:
    """Return the error that a ``status`` or ``error`` fault asks for.

    ``recorded`` is the fixture of its name, if the corpus has one; it is played as it is unless the fault says
    more about it.
    """
    if recorded is not None:
        return ErrorFixture(recorded.status, [*recorded.headers, *_retry_headers(fault)], recorded.body)
    if fault.status is not None:
        base = by_status(fault.status)
    elif fault.name in NAMED:
        base = named(fault.name)
    else:
        raise ApiError(400, f"replay: no error named {fault.name!r}; built in are: {', '.join(NAMED)}")
    return ApiError(
        base.status,
        fault.message or base.message,
        fault.type or base.error_type,
        {"error_code": fault.code} if fault.code else base.details,
        _retry_headers(fault),
    )


def _retry_headers(fault: Fault) -> list[tuple[str, str]]:
    headers = []
    if fault.retry_after is not None:
        word, _, ahead = fault.retry_after.partition(":")
        if word == "date":
            headers.append(("retry-after", http_date(float(ahead or _DATE_AHEAD))))
        else:
            headers.append(("retry-after", fault.retry_after))
    if fault.retry_after_ms is not None:
        headers.append(("retry-after-ms", str(fault.retry_after_ms)))
    if fault.should_retry is not None:
        headers.append(("x-should-retry", "true" if fault.should_retry else "false"))
    if fault.unified:
        headers.extend(unified_limits(rejected=True))
    return headers


def apply(faults: Sequence[Fault], answer: Answer, delivery: Delivery) -> None:
    """Change an answer and the way it is delivered as the faults say.

    Bytes are damaged before headers, headers before the way; what concerns streams alone leaves a JSON answer
    as it is. Raises ``ApiError`` (400) for a place that the answer does not have.
    """
    if answer.streamed:
        for fault in faults:
            _damage_stream(fault, answer, delivery)
    else:
        faults = [fault for fault in faults if not fault.streams_only]
    for fault in faults:
        if fault.kind == "body":
            answer.pieces = [(fault.value or "").encode()]
        _change_headers(fault, answer)
    if any(fault.kind == "gzip" for fault in faults):
        answer.headers = [*answer.headers, ("Content-Encoding", "gzip")]
        answer.pieces = _compress(answer.pieces)
    for fault in faults:
        _change_delivery(fault, answer, delivery)


def _damage_stream(fault: Fault, answer: Answer, delivery: Delivery) -> None:
    pieces = answer.pieces
    match fault.kind:
        case "error-event":
            place = _place(fault, answer, 0)
            error_type = fault.type or "overloaded_error"
            message = fault.message or (
                "Overloaded" if error_type == "overloaded_error" else "Internal server error"
            )
            error = event("error", {"error": {"type": error_type, "message": message}})
            answer.pieces = [*pieces[:place], error, *(pieces[place:] if fault.goes_on else ())]
        case "duplicate-start":
            place = _place(fault, answer, 1)
            answer.pieces = [*pieces[:place], pieces[0], *pieces[place:]]
        case "skip-index":
            answer.pieces = [_shift_index(piece, fault.block or 0) for piece in pieces]
        case "wrong-name":
            place = _place(fault, answer, 2)
            name = (fault.name or "ping").encode()
            if place == len(pieces):
                raise ApiError(400, f"replay: wrong-name: the answer has no event {place}")
            renamed = _NAME_LINE.sub(b"event: " + name, pieces[place], count=1)
            answer.pieces = [*pieces[:place], renamed, *pieces[place + 1 :]]
        case "garbage":
            place = _place(fault, answer, 2)
            answer.pieces = [*pieces[:place], GARBAGE, *pieces[place:]]
        case "after-stop":
            delta = {"index": 0, "delta": {"type": "text_delta", "text": "too late"}}
            answer.pieces = [*pieces, event("content_block_delta", delta)]
        case "crlf":
            answer.pieces = [re.sub(rb"\r\n|\n|\r", b"\r\n", piece) for piece in pieces]
        case "pings":
            answer.pieces = [piece for piece in pieces if not piece.startswith(b"event: message_stop")]
            pause = 1.0 if fault.seconds is None else fault.seconds
            delivery.endless = (b'event: ping\ndata: {"type": "ping"}\n\n', pause)


def _shift_index(piece: bytes, first: int) -> bytes:
    if not piece.startswith(b"event: content_block_"):
        return piece

    def shifted(match: re.Match[bytes]) -> bytes:
        number = int(match[2])
        return b"%b%d" % (match[1], number + (number >= first))

    return _INDEX.sub(shifted, piece, count=1)


def _place(fault: Fault, answer: Answer, default: int) -> int:
    place = default if fault.event is None else fault.event
    if place > len(answer.pieces):
        raise ApiError(400, f"replay: {fault.kind}: the answer has only {len(answer.pieces)} events")
    return place


def _change_headers(fault: Fault, answer: Answer) -> None:
    headers = answer.headers
    match fault.kind:
        case "header":
            name = fault.name or ""
            if name.lower() != "set-cookie":
                headers = [pair for pair in headers if pair[0].lower() != name.lower()]
            answer.headers = [*headers, (name, fault.value or "")]
        case "cookies":
            answer.headers = [
                *headers,
                ("Set-Cookie", "__cf_bm=replay-one; path=/; HttpOnly; Secure"),
                ("Set-Cookie", "_cfuvid=replay-two; path=/; HttpOnly; Secure"),
            ]
        case "big-header":
            answer.headers = [*headers, ("x-replay-big", "b" * (fault.size or 9_000))]
        case "unified":
            answer.headers = [*headers, *unified_limits()]


def _compress(pieces: list[bytes]) -> list[bytes]:
    """Compress piece by piece, each decodable as soon as it arrives, as a server does that flushes events."""
    compressor = zlib.compressobj(wbits=zlib.MAX_WBITS | 16)
    packed = [compressor.compress(piece) + compressor.flush(zlib.Z_SYNC_FLUSH) for piece in pieces]
    tail = compressor.flush()
    if not packed:
        return [tail]
    packed[-1] += tail
    return packed


def _change_delivery(fault: Fault, answer: Answer, delivery: Delivery) -> None:
    match fault.kind:
        case "hang" if fault.at != "head":
            delivery.marks.append(Mark(_offset(fault, answer), "wait", seconds=fault.seconds))
        case "cut":
            delivery.marks.append(Mark(_offset(fault, answer), "cut", reset=fault.reset))
        case "eof":
            delivery.marks.append(Mark(_offset(fault, answer), "eof"))
        case "truncate":
            size = sum(map(len, answer.pieces))
            delivery.chunked = delivery.chunked or fault.chunked
            delivery.marks.append(Mark(size // 2 if fault.byte is None else fault.byte, "cut"))
        case "one-byte":
            delivery.slice_size = 1
        case "drip":
            rate = fault.rate or 1.0
            delivery.bytes_per_second = rate
            delivery.slice_size = max(1, int(rate / 20))
        case "close":
            delivery.close = True
        case "drop":
            delivery.drop = True
        case "after-end":
            delivery.after_end = EXTRA_RESPONSE_BYTES


def _offset(fault: Fault, answer: Answer) -> int:
    if fault.byte is not None:
        return fault.byte
    if fault.event is not None:
        return sum(map(len, answer.pieces[: _place(fault, answer, 0)]))
    body = b"".join(answer.pieces)
    for position, byte in enumerate(body):
        if byte >= 0xC0:  # noqa: PLR2004 - the first byte of a UTF-8 sequence of several bytes
            return position + 1
    raise ApiError(400, f"replay: {fault.kind}:utf8: the answer holds no character of several bytes")
