"""What tells the requests and answers of one API from those of another on their way through the gateway."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import msgspec
from attrs import define

from gateway.wire.errors import ApiError
from gateway.wire.openai_errors import openai_body
from gateway.wire.requests import RequestFacts, decode_body, read_facts

__all__ = ["ANTHROPIC", "OPENAI", "Contract"]


@define(frozen=True)
class Contract:
    """One API's."""

    read_facts: Callable[[bytes | bytearray], RequestFacts]
    """Reads what the gateway needs to know of a request body; may refuse one with `ApiError`."""
    decode_body: Callable[[bytes | bytearray, str, int], bytes | bytearray]
    """Undoes a content encoding, to read the body; the other arguments are its name and the most bytes to make of
    it. May refuse with `ApiError`."""
    error_body: Callable[[ApiError, str], bytes]
    """Encodes an answer in the gateway's own name; the other argument is its request id."""
    is_looked_into: bool
    """Whether answers are held until they show what they are, and streams go through the guard."""


class _Body(msgspec.Struct):
    model: str = ""


_decode: Final = msgspec.json.Decoder(_Body).decode


def _facts_of_any(body: bytes | bytearray) -> RequestFacts:
    """Read the model, if it is JSON that names one; a form or a file is the upstream's to judge."""
    try:
        return RequestFacts(_decode(body).model)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return RequestFacts("")


def _decode_if_possible(body: bytes | bytearray, encoding: str, limit: int) -> bytes | bytearray:
    """Undo an encoding that is known here; what others hold is the upstream's to judge, like all of a body."""
    try:
        return decode_body(body, encoding, limit)
    except ApiError:
        return b""


ANTHROPIC: Final = Contract(read_facts, decode_body, ApiError.body, is_looked_into=True)
OPENAI: Final = Contract(
    _facts_of_any, _decode_if_possible, lambda error, _: openai_body(error), is_looked_into=False
)
