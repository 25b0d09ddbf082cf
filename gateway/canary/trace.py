"""An exchange as text: what went out and what came back, without secrets and short enough to be read."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from http import HTTPStatus
from typing import Final

from gateway.canary.client import Ending, Exchange, Piece
from gateway.canary.masking import Masker
from gateway.telemetry.logs import printable
from sse_fsm import EndReason
from sse_fsm.printing import Paint
from sse_fsm.tracing import Tracer

__all__ = ["cell", "counted", "fence", "render", "table", "trimmed"]

_LONGEST_BODY: Final = 700
_LONGEST_VALUE: Final = 160
_LONGEST_CELL: Final = 2000
_FIRST_LINES: Final = 14
_LAST_LINES: Final = 8
_MOST_HEADERS: Final = 40
_SPACES: Final = re.compile(r" {20,}")


def render(exchange: Exchange, mask: Masker) -> str:
    """Return an exchange as lines that look like HTTP; bodies and streams are trimmed, secrets masked."""
    return mask("\n".join(_lines(exchange, mask)))


def _lines(exchange: Exchange, mask: Masker) -> Iterator[str]:
    yield f"{exchange.request.method} {exchange.url}"
    yield from _headers(exchange.sent.items(), mask)
    body = exchange.request.body
    if body is not None:
        yield ""
        yield trimmed(body, mask)
    yield ""
    if exchange.status is None:
        yield f"({exchange.trouble or 'no answer'} after {exchange.seconds:.3f} s)"
        return
    yield f"HTTP {exchange.status} {_phrase(exchange.status)}".rstrip()
    yield from _headers(exchange.headers.items(), mask)
    yield ""
    if exchange.stream is not None:
        yield from _stream(exchange.pieces, exchange.ending, mask)
    else:
        yield trimmed(exchange.body, mask)
    if exchange.ending is not Ending.COMPLETE:
        yield f"(the answer was {exchange.ending}{': ' + exchange.trouble if exchange.trouble else ''})"


def _headers(headers: Iterable[tuple[str, str]], mask: Masker) -> Iterator[str]:
    for number, (name, value) in enumerate(headers):
        if number == _MOST_HEADERS:
            yield "…"
            return
        shown = mask.header(name, value)
        yield f"{name.lower()}: {shown if len(shown) <= _LONGEST_VALUE else shown[:_LONGEST_VALUE] + '…'}"


def _stream(pieces: Iterable[Piece], ending: Ending, mask: Masker) -> Iterator[str]:
    tracer = Tracer(paint=Paint(enabled=False), timed=True)
    events: list[str] = []
    last = 0.0
    for piece in pieces:
        last = piece.at
        events.extend(tracer.feed(piece.data, piece.at))
    reason = {Ending.COMPLETE: EndReason.EOF, Ending.TIMEOUT: EndReason.TIMEOUT}.get(ending, EndReason.CUT)
    ended = list(tracer.finish(reason, last))
    yield tracer.head()
    left_out = len(events) - _FIRST_LINES - _LAST_LINES
    if left_out > 1:
        events = [*events[:_FIRST_LINES], f"     … {left_out} more events …", *events[-_LAST_LINES:]]
    yield from (mask(line) for line in (*events, *ended))


def trimmed(body: bytes, mask: Masker, longest: int = _LONGEST_BODY) -> str:
    """Return a body as text of about `longest` characters at the most, and how long it was if it was longer."""
    if not body:
        return "(no body)"
    # What is masked first cannot be cut in two and be half visible.
    text = mask(body[: 8 * longest].decode("utf-8", "replace"))
    text = "".join(char if char.isprintable() or char == "\n" else "·" for char in text)
    collapsed = _SPACES.sub(" (many spaces) ", text).strip() or "(white space)"
    if len(body) <= 8 * longest and len(collapsed) <= longest:
        return collapsed
    end = mask(body[-2 * longest :].decode("utf-8", "replace")).strip()[-longest // 3 :]
    return f"{collapsed[: longest * 2 // 3]} … {len(body):,} bytes in all … {end}"


def counted(number: int, noun: str) -> str:
    """Return a number with its noun, in the plural where it is not one."""
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def _phrase(status: int) -> str:
    try:
        return HTTPStatus(status).phrase
    except ValueError:
        return ""


def fence(text: str) -> str:
    """Return text as a fenced block of Markdown, whatever fences are in it."""
    marks = "```"
    while marks in text:
        marks += "`"
    return f"{marks}text\n{text}\n{marks}"


def table(head: Iterable[str], rows: Iterable[Iterable[object]]) -> str:
    """Return a table of Markdown, whatever is in the cells."""
    head = list(head)
    lines = [head, ["---"] * len(head), *([cell(value) for value in row] for row in rows)]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def cell(value: object) -> str:
    """Return a value on one line of Markdown, in which nothing of it is markup, nor obeyed by a terminal."""
    text = printable(" ".join(str(value).split()), _LONGEST_CELL)
    for sign in ("\\", "|", "<", ">", "`"):
        text = text.replace(sign, "\\" + sign)
    return text or "-"
