"""The little that is read of a Messages request: never a closed schema.

What the API accepts depends on version, betas and model, so everything that is not needed here is left to the
upstream to judge (Anthropic docs, "Versioning").
"""

from __future__ import annotations

import json
import math
import re
import zlib
from typing import Any, Final

import msgspec
from attrs import define, field

from gateway.wire.errors import ApiError
from sse_fsm.payload import parse_json

__all__ = ["ANY_MODEL", "RequestFacts", "decode_body", "read_facts"]

ANY_MODEL: Final = "(any that the API chooses)"
"""Stands for models that a request does not name, such as those of `fallbacks: "default"`."""
_SUPPORTED_ENCODINGS: Final = "gzip, deflate and identity"


@define(frozen=True)
class RequestFacts:
    """What the gateway needs to know of a request body."""

    model: str
    stream: bool = False
    user_id: str | None = None
    """`metadata.user_id`, opaque; session affinity reads it."""
    max_tokens: int = 0
    """As asked for; 0 where that is missing or no number."""
    _system: msgspec.Raw | msgspec.UnsetType = field(default=msgspec.UNSET, repr=False)
    _messages: msgspec.Raw | msgspec.UnsetType = field(default=msgspec.UNSET, repr=False)
    _fallbacks: msgspec.Raw | msgspec.UnsetType = field(default=msgspec.UNSET, repr=False)
    _tools: msgspec.Raw | msgspec.UnsetType = field(default=msgspec.UNSET, repr=False)

    def models(self) -> list[str]:
        """Return every model that may work on the answer: the one asked for, fallbacks, and those of tools.

        Source: `anthropic` Python SDK 2.12.0, `beta_fallbacks_param.py` and `beta_advisor_tool_20260301_param.py`.
        `ANY_MODEL` stands for those that cannot be told.
        """
        found = [self.model]
        for raw in (self._fallbacks, self._tools):
            if isinstance(raw, msgspec.Raw) and (data := bytes(raw)) != b"null":
                found += _models(data)
        return found

    def opening(self) -> bytes | None:
        """Return how the conversation opens: the first block of the system prompt and that of the first message.

        It stays the same from turn to turn, and so tells conversations apart where nothing better does. None if
        there are no messages.
        """
        if not isinstance(self._messages, msgspec.Raw):
            return None
        system = _first_text(self._system) if isinstance(self._system, msgspec.Raw) else b""
        return system + b"\0" + _first_text(self._messages)


class _Body(msgspec.Struct):
    model: msgspec.Raw | msgspec.UnsetType = msgspec.UNSET
    max_tokens: msgspec.Raw | msgspec.UnsetType = msgspec.UNSET
    fallbacks: msgspec.Raw | msgspec.UnsetType = msgspec.UNSET
    tools: msgspec.Raw | msgspec.UnsetType = msgspec.UNSET
    stream: msgspec.Raw | msgspec.UnsetType = msgspec.UNSET
    metadata: msgspec.Raw | msgspec.UnsetType = msgspec.UNSET
    system: msgspec.Raw | msgspec.UnsetType = msgspec.UNSET
    messages: msgspec.Raw | msgspec.UnsetType = msgspec.UNSET


class _Model(msgspec.Struct):
    model: Any = None


class _Metadata(msgspec.Struct):
    user_id: msgspec.Raw | msgspec.UnsetType = msgspec.UNSET


_decode_body: Final = msgspec.json.Decoder(_Body).decode
_decode_models: Final = msgspec.json.Decoder(list[_Model]).decode
_decode_metadata: Final = msgspec.json.Decoder(_Metadata).decode
_json: Final = json.JSONDecoder()
_LONGEST_VALUE: Final = 16 * 1024  # bytes of JSON; longer ones are not looked into
_LOOKED_INTO: Final = 64 * 1024  # bytes of a prompt or a conversation in which its first text is looked for
_TAKEN: Final = 4 * 1024  # bytes of it, where that cannot be found
_LONGEST_NUMBER: Final = 1024  # characters; of a longer one the most is believed
_MOST_TOKENS: Final = 10**12  # more than anybody has
_SURROGATE: Final = re.compile(rb"\\u[dD]([89a-fA-F])")
_STREAM_VALUES: Final = {b"true": True, b"false": False, b"null": False}


def read_facts(body: bytes | bytearray) -> RequestFacts:
    """Read a request body without building what is not needed of it, whatever its size and shape.

    Raises:
        ApiError: 400, in the API's words: the body is not JSON, not an object, `model` is missing or not a
            string, or `stream` is not a boolean.
    """
    try:
        fields = _parse(body)
    except msgspec.ValidationError:
        raise _bad("The request body is not valid: a JSON object is required") from None
    except msgspec.DecodeError as error:
        raise _bad(f"The request body is not valid JSON: {_reason(error)}") from None
    except RecursionError:
        raise _bad("The request body is not valid JSON: it is nested too deeply") from None
    if not isinstance(fields.model, msgspec.Raw):
        raise _bad("model: Field required")
    if len(memoryview(fields.model)) > _LONGEST_VALUE:
        raise _bad("model: Input should be the id of a model, not a text of this length")
    model = _text(fields.model)
    if model is None:
        raise _bad("model: Input should be a valid string")
    stream = _STREAM_VALUES.get(bytes(fields.stream)) if isinstance(fields.stream, msgspec.Raw) else False
    if stream is None:
        raise _bad("stream: Input should be a valid boolean")
    return RequestFacts(
        model,
        stream,
        _user_id(fields.metadata),
        _number(fields.max_tokens),
        fields.system,
        fields.messages,
        fields.fallbacks,
        fields.tools,
    )


def _first_text(raw: msgspec.Raw) -> bytes:
    """Return the first text in a system prompt or in a list of messages, without reading all of it.

    What is marked for caching moves through a conversation; its texts do not change.
    """
    start = bytes(memoryview(raw)[:_LOOKED_INTO])
    text = start.decode("utf-8", "replace").lstrip(" \t\r\n")
    try:
        value, _ = _json.raw_decode(text.removeprefix("[").lstrip(" \t\r\n"))
    except (ValueError, RecursionError):
        return start[:_TAKEN]
    if isinstance(value, dict):
        content = value.get("content", value)
        value = content[0] if isinstance(content, list) and content else content
    if isinstance(value, dict) and isinstance(value.get("text"), str):
        value = value["text"]
    found = value if isinstance(value, str) else json.dumps(value)
    return found.encode("utf-8", "surrogatepass")


def _user_id(metadata: msgspec.Raw | msgspec.UnsetType) -> str | None:
    if not isinstance(metadata, msgspec.Raw):
        return None
    try:
        user_id = _decode_metadata(metadata).user_id
    except msgspec.DecodeError:
        return None  # no object; what that means is the upstream's to say
    return _text(user_id) if isinstance(user_id, msgspec.Raw) else None


def _models(data: bytes) -> list[str]:
    """Return the models of the objects in a list."""
    try:
        # As below: without the surrogates that msgspec refuses, and in which no model's name is lost.
        objects = _decode_models(_without_surrogates(data))
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return [ANY_MODEL]
    return [one.model if isinstance(one.model, str) else ANY_MODEL for one in objects if one.model is not None]


def _number(raw: msgspec.Raw | msgspec.UnsetType) -> int:
    """Return a count of tokens, in whichever way an upstream may understand it: `8000`, `8e3` or `"8000"`."""
    data = bytes(memoryview(raw)[: _LONGEST_NUMBER + 1]) if isinstance(raw, msgspec.Raw) else b""
    if len(data) > _LONGEST_NUMBER:
        return _MOST_TOKENS
    try:
        number = float(data.strip(b'"'))
    except ValueError:
        return 0
    return math.ceil(min(number, _MOST_TOKENS)) if number > 0 else 0


def _text(raw: msgspec.Raw) -> str | None:
    """Return the string that a piece of JSON is; None for anything else, and for what is too long to look at."""
    data = bytes(raw) if len(memoryview(raw)) <= _LONGEST_VALUE else b""
    if not data.startswith(b'"'):
        return None
    try:
        return parse_json(data)
    except ValueError as error:
        raise _bad(f"The request body is not valid JSON: {error}") from None


def _parse(body: bytes | bytearray) -> _Body:
    try:
        return _decode_body(body)
    except msgspec.ValidationError:
        raise
    except msgspec.DecodeError:
        # Lone surrogates are refused by msgspec, but they are JSON, and the upstream's to judge.
        if _SURROGATE.search(body) is None:
            raise
        return _decode_body(_without_surrogates(body))


def _without_surrogates(data: bytes | bytearray) -> bytes:
    """Return a copy in which every escape of a surrogate is one of another character.

    That is all the same to whoever skips it. None becomes ASCII: a name that is none of ours must not become one.
    """
    return _SURROGATE.sub(rb"\\u0\1", data)


def _reason(error: msgspec.DecodeError) -> str:
    text = str(error).removeprefix("JSON is malformed: ")
    return re.sub(r"\(byte (\d+)\)", r"at byte \1", text)


def _bad(message: str) -> ApiError:
    return ApiError(400, message)


def decode_body(body: bytes | bytearray, encoding: str, limit: int) -> bytes | bytearray:
    """Return the body as it is inside its content encoding, to be read; what is sent on stays encoded.

    Args:
        body: as received.
        encoding: value of `content-encoding`; empty for none.
        limit: most bytes to make of it.

    Raises:
        ApiError: 400 for an encoding that is not supported or does not decode, 413 above the limit; with the
            API's own error codes.
    """
    name = encoding.strip().lower()
    if name in {"", "identity"}:
        return body
    if name not in {"gzip", "x-gzip", "deflate"}:
        raise ApiError(
            400,
            f"This content-encoding is not supported here; use {_SUPPORTED_ENCODINGS}",
            error_code="request_body_encoding_unsupported",
        )
    decoder = zlib.decompressobj(wbits=zlib.MAX_WBITS if name == "deflate" else zlib.MAX_WBITS | 16)
    try:
        plain = decoder.decompress(body, limit + 1)
    except zlib.error:
        raise _undecodable(name) from None
    if len(plain) > limit:
        raise ApiError(
            413,
            f"Request exceeds the maximum size: more than {limit} bytes after decoding",
            error_code="request_body_too_large_after_decoding",
        )
    if not decoder.eof or decoder.unused_data:
        raise _undecodable(name)
    return plain


def _undecodable(name: str) -> ApiError:
    return ApiError(400, f"The request body is not valid {name}", error_code="request_body_encoding_invalid")
