"""What one stream and all answers together show: whether events come one by one, and whose ids they carry."""

from __future__ import annotations

import secrets
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from typing import Final

from attrs import evolve

from gateway.canary import prompts
from gateway.canary.client import Exchange, Request
from gateway.wire.errors import error_message

__all__ = ["SLOWLY", "is_told_by", "note_of_pieces", "problems_of_ids", "problems_of_pieces", "told_to_fail"]

_FAULT: Final = "x-replay-fault"
SLOWLY: Final[Mapping[str, str]] = {"x-replay-tokens": "32", "x-replay-tokens-per-second": "40"}
"""Headers that have the replay upstream take its time for a stream; others know nothing of them."""
_SLOW_SECONDS: Final = 0.4
_BUFFERED: Final = 0.25
_LEAST_SECONDS: Final = 0.3
_LEAST_EVENTS: Final = 5
_AT_ONCE: Final = 0.05


def told_to_fail(model: str) -> Request:
    """Return a request, free where a real model is behind, that the replay upstream refuses as it is told to."""
    fault = {_FAULT: f"status:400;message=smoke-{secrets.token_hex(8)}"}
    return evolve(prompts.count(model), headers=fault)


def is_told_by(refused: Exchange) -> bool:
    """Whether the replay upstream has answered what `told_to_fail` returned."""
    message = refused.request.headers[_FAULT].rpartition("=")[2]
    return error_message(refused.body) == message


def problems_of_pieces(exchange: Exchange) -> Iterator[str]:
    """Check that what the replay upstream has sent `SLOWLY` has come so, and not all at its end."""
    span = _span(exchange)
    if span is not None and exchange.seconds >= _SLOW_SECONDS and span < exchange.seconds * _BUFFERED:
        yield (
            f"it came all at once after {exchange.milliseconds} ms, though the upstream sent it token by token: "
            "something on the way buffers"
        )


def note_of_pieces(exchange: Exchange) -> str:
    """Say that a stream came all at once, which may be so because a model was quick; empty if it did not."""
    span = _span(exchange)
    if span is None or exchange.seconds < _LEAST_SECONDS or span > exchange.seconds * _AT_ONCE:
        return ""
    return (
        f"it came all at once after {exchange.milliseconds} ms: if that is so again and again, something on the "
        "way buffers, which `gateway doctor` can tell"
    )


def _span(exchange: Exchange) -> float | None:
    """Return the seconds from the first content to the last event; None where there are too few to tell."""
    stream = exchange.stream
    if stream is None or stream.first_content_at is None or len(stream.events) < _LEAST_EVENTS:
        return None
    return stream.events[-1].at - stream.first_content_at


def problems_of_ids(exchanges: Iterable[Exchange]) -> Iterator[str]:
    """Check that no two answers have the same `request-id`: a request could not be found by it."""
    found = Counter(exchange.request_id for exchange in exchanges if exchange.request_id)
    yield from (f"{number} answers have the request-id {id_}" for id_, number in found.items() if number > 1)
