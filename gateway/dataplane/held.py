"""Looking into a whole answer that came under a status of success: every one of them is a JSON object."""

from __future__ import annotations

import zlib
from typing import Any, Final

import msgspec
from attrs import define

from gateway.dataplane.encoded import WINDOW_BITS
from gateway.wire.errors import read_error

__all__ = ["HeldAnswer", "look_into", "refusal_category"]

_SPACE: Final = b" \t\r\n"
_LONGEST_PART: Final = 16 * 1024  # bytes of JSON
_LONGEST_USAGE: Final = 256 * 1024  # of hundreds of iterations


@define(frozen=True)
class HeldAnswer:
    """What an answer turned out to be; a good one is neither."""

    error: dict[str, Any] | None = None
    """The `error` object, if it is Anthropic's error envelope."""
    problem: str | None = None
    """What the upstream did wrong, as the predicate of a sentence."""
    usage: dict[str, Any] | None = None
    """Of a message, as the API counts it."""
    stop_reason: str | None = None
    """Of a message; so are the next ones."""
    model: str | None = None
    has_output: bool | None = None
    """Whether it has any content; None where it is no message."""
    refusal_category: str | None = None


def look_into(body: bytes, encoding: str, limit: int) -> HeldAnswer:
    """Say whether this is the JSON object that it should be.

    Args:
        body: as it came.
        encoding: value of `content-encoding`; empty for none. What cannot be read here counts as good.
        limit: most bytes to make of a compressed body; one that holds more counts as good.
    """
    if not body:
        return HeldAnswer(problem="answered 200 without any content")
    try:
        plain = _in_the_clear(body, encoding.strip().lower(), limit)
    except zlib.error:
        return HeldAnswer(problem="answered 200 with compressed content that is broken or breaks off")
    if plain is None:
        return HeldAnswer()
    if (error := read_error(plain)) is not None:
        return HeldAnswer(error=error)
    return _read(plain) or HeldAnswer(problem="answered 200 with something else than JSON")


def _in_the_clear(body: bytes, encoding: str, limit: int) -> bytes | None:
    """Return the decoded body; None if it cannot be looked into.

    Raises:
        zlib.error: the compressed data is broken or not whole.
    """
    if encoding in {"", "identity"}:
        return body
    bits = WINDOW_BITS.get(encoding)
    if bits is None:
        return None
    inflate = zlib.decompressobj(wbits=bits)
    try:
        plain = inflate.decompress(body, limit + 1)
    except zlib.error:
        if bits == zlib.MAX_WBITS:
            # Many mean the bare data by "deflate" (RFC 9110, section 8.4.1.2), and clients take it.
            return None
        raise
    if len(plain) > limit:
        return None
    if not inflate.eof:
        raise zlib.error("the compressed body ended too early")
    # Several members are legal, if unheard of.
    return None if inflate.unused_data else plain


class _Message(msgspec.Struct):
    usage: msgspec.Raw | msgspec.UnsetType = msgspec.UNSET
    stop_reason: msgspec.Raw | msgspec.UnsetType = msgspec.UNSET
    model: msgspec.Raw | msgspec.UnsetType = msgspec.UNSET
    stop_details: msgspec.Raw | msgspec.UnsetType = msgspec.UNSET
    service_tier: msgspec.Raw | msgspec.UnsetType = msgspec.UNSET
    content: msgspec.Raw | msgspec.UnsetType = msgspec.UNSET


def _read(body: bytes) -> HeldAnswer | None:
    """Return what is of interest in one whole JSON object; None for anything else. The rest is read over."""
    if not body.lstrip(_SPACE).startswith(b"{"):
        return None
    try:
        try:
            found = _read_over(body)
        except msgspec.DecodeError:
            # msgspec refuses lone surrogates, which are JSON. In a copy every escape of one becomes that of
            # another character, which is all the same to whoever reads over it.
            if b"\\ud" not in body and b"\\uD" not in body:
                return None
            found = _read_over(body.replace(b"\\ud", b"\\u0").replace(b"\\uD", b"\\u0"))
    except msgspec.DecodeError:
        return None
    except RecursionError:
        return HeldAnswer()  # too deep to be read here, which is no reason to refuse it
    usage, stop_reason, model = _value(found.usage, _LONGEST_USAGE), _value(found.stop_reason), _value(found.model)
    tier = _value(found.service_tier)
    if isinstance(usage, dict) and isinstance(tier, str):
        # OpenAI says it beside the usage, Anthropic inside.
        usage.setdefault("service_tier", tier)
    return HeldAnswer(
        usage=usage if isinstance(usage, dict) else None,
        stop_reason=stop_reason if isinstance(stop_reason, str) else None,
        model=model if isinstance(model, str) else None,
        has_output=_has_output(found.content),
        refusal_category=refusal_category(_value(found.stop_details)),
    )


def refusal_category(stop_details: object) -> str | None:
    """Return what a message calls the refusal that it ended with; None for none, or where it has no name."""
    category = stop_details.get("category") if isinstance(stop_details, dict) else None
    return category if isinstance(category, str) else None


def _has_output(content: msgspec.Raw | msgspec.UnsetType) -> bool | None:
    """Return whether a list of content blocks has any, without reading them."""
    if not isinstance(content, msgspec.Raw):
        return None
    return bytes(memoryview(content)[:_LONGEST_PART]).translate(None, _SPACE) != b"[]"


def _value(raw: msgspec.Raw | msgspec.UnsetType, limit: int = _LONGEST_PART) -> Any:
    """Build a small part of an answer; None for a large one."""
    if not isinstance(raw, msgspec.Raw) or len(memoryview(raw)) > limit:
        return None
    try:
        return msgspec.json.decode(raw)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None


_read_over: Final = msgspec.json.Decoder(_Message).decode
