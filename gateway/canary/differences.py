"""What is not the same in two answers to the same request.

Without `strict` that is what a client's code may stumble over: status, kind and order of events, stop reason,
tokens of the prompt, the shape of errors, headers that clients act on. Words may differ, because a model finds
others each time. With it the bytes have to be the same too, which they are before a replayed upstream.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import zip_longest
from typing import Any, Final, TypeVar

from attrs import define, evolve

from gateway.canary.client import Ending, Exchange
from gateway.canary.expectations import is_envelope
from gateway.canary.shapes import event_order, outline
from gateway.canary.streams import StreamReading
from sse_fsm import EventKind, Outcome

__all__ = ["Difference", "differences"]

_Event = TypeVar("_Event")

_HEADERS: Final = ("content-type", "request-id", "retry-after", "retry-after-ms", "x-should-retry")
_LIMITS: Final = "anthropic-ratelimit-"
_MODELS: Final = "/v1/models"
_SAME_EACH_TIME: Final = ("/v1/models", "/v1/messages/count_tokens")
_OK: Final = range(200, 300)
_WORTH: Final[Mapping[Outcome, int]] = {Outcome.COMPLETE: 2, Outcome.UPSTREAM_ERROR: 1}
"""How good an outcome is for a client: whole; or not, and it says so. Others leave the client without an end."""
_SHOWN: Final = 240
_TOTAL_INPUT: Final = ("input_tokens", "cache_creation_input_tokens", "cache_read_input_tokens")


@define(frozen=True)
class Difference:
    """One thing that is not the same."""

    what: str
    old: str
    new: str
    better: bool = False
    """Whether the new one did what the old one failed to do."""


def differences(old: Exchange, new: Exchange, *, strict: bool, status: int = 200) -> Iterator[Difference]:
    """Yield what is not the same in two answers, the weightiest first.

    Args:
        old: the answer of the one that is measured by.
        new: the answer of the one that is measured.
        strict: whether bytes count.
        status: that the answer ought to have.
    """
    if old.status != new.status:
        better = new.status == status
        # A status that says so is better than a stream that breaks off: it is what clients try again for.
        better |= new.status is not None and old.stream is not None and not _worth(old.stream)
        yield Difference("status", _status(old), _status(new), better)
        return
    if old.ending is not new.ending and old.stream is None:
        better = new.ending is Ending.COMPLETE
        yield Difference("end of the answer", str(old.ending), str(new.ending), better)
    if old.content_type != new.content_type:
        yield Difference("content-type", old.content_type or "none", new.content_type or "none")
    yield from _headers(old, new)
    if old.status not in _OK:
        yield from _errors(old, new, strict=strict)
    elif old.stream is not None and new.stream is not None:
        yield from _streams(old, new, strict=strict)
    else:
        yield from _bodies(old, new, strict=strict)


def _status(exchange: Exchange) -> str:
    return str(exchange.status) if exchange.status is not None else exchange.trouble or "no answer"


def _headers(old: Exchange, new: Exchange) -> Iterator[Difference]:
    for name in _HEADERS:
        if name in old.headers and name not in new.headers:
            yield Difference(f"header {name}", old.headers[name], "none")
    retry_after = new.header("retry-after")
    if retry_after is not None and not retry_after.isdecimal():
        yield Difference(
            "header retry-after", old.header("retry-after") or "none", f"{retry_after}, no whole seconds"
        )
    if (should := new.header("x-should-retry")) is not None and "x-should-retry" in old.headers:
        yield from _unless_equal("header x-should-retry", old.headers["x-should-retry"], should)
    lost = sorted(
        name.lower() for name in set(old.headers) if name.lower().startswith(_LIMITS) and name not in new.headers
    )
    if lost:
        yield Difference("headers of rate limits", ", ".join(lost), "none")
    if (coding := new.header("content-encoding")) != old.header("content-encoding"):
        yield Difference("header content-encoding", old.header("content-encoding") or "none", coding or "none")


def _errors(old: Exchange, new: Exchange, *, strict: bool) -> Iterator[Difference]:
    one, other = old.json(), new.json()
    if strict:
        yield from _unless_equal("error", _without_id(one), _without_id(other))
        return
    better = is_envelope(other) and not is_envelope(one)
    for what, read in (("error envelope", _envelope), ("error.type", _error_type), ("error code", _error_code)):
        for difference in _unless_equal(what, read(one), read(other)):
            yield evolve(difference, better=better)


def _envelope(value: Any) -> Any:
    if not isinstance(value, dict):
        return "no JSON object"
    error = value.get("error")
    names = sorted(error) if isinstance(error, dict) else type(error).__name__
    return f"type {value.get('type')!r}, members {sorted(value)}, error {[n for n in names if n != 'details']}"


def _error_type(value: Any) -> Any:
    error = value.get("error") if isinstance(value, dict) else None
    return error.get("type") if isinstance(error, dict) else None


def _error_code(value: Any) -> Any:
    error = value.get("error") if isinstance(value, dict) else None
    details = error.get("details") if isinstance(error, dict) else None
    return details.get("error_code") if isinstance(details, dict) else None


def _without_id(value: Any) -> Any:
    if not isinstance(value, dict):
        return value
    return {name: item for name, item in value.items() if name != "request_id"}


def _streams(old: Exchange, new: Exchange, *, strict: bool) -> Iterator[Difference]:
    assert old.stream is not None  # noqa: S101 - the only caller has looked
    assert new.stream is not None  # noqa: S101 - same
    one, other = old.stream.verdict, new.stream.verdict
    better = False
    if one is not None and other is not None and (one.outcome, one.code) != (other.outcome, other.code):
        better = _worth(new.stream) > _worth(old.stream)
        yield Difference("outcome of the stream", old.stream.describe(), new.stream.describe(), better)
    elif old.ending is not new.ending:
        better = new.ending is Ending.COMPLETE
        yield Difference("end of the answer", str(old.ending), str(new.ending), better)
    if strict:
        first = _first_of_events(_raw_events(old.stream), _raw_events(new.stream), _as_text)
    else:
        first = _first_of_events(event_order(old.stream.events), event_order(new.stream.events), str)
    if first is not None:
        yield evolve(first, better=better)
    if not better:
        yield from _messages(old.message or {}, new.message or {}, strict=strict)


def _worth(stream: StreamReading) -> int:
    return _WORTH.get(stream.verdict.outcome, 0) if stream.verdict is not None else 0


def _raw_events(stream: StreamReading) -> list[bytes]:
    return [event.raw for event in stream.events if event.kind is not EventKind.PING]


def _as_text(raw: bytes) -> str:
    return raw.decode("utf-8", "replace").strip()


def _first_of_events(
    old: Sequence[_Event], new: Sequence[_Event], show: Callable[[_Event], str]
) -> Difference | None:
    over = "(the stream is over)"
    for number, (one, other) in enumerate(zip_longest(old, new), 1):
        if one != other:
            before, now = (over if event is None else _short(show(event)) for event in (one, other))
            return Difference(f"event {number}, pings left out", before, now)
    return None


def _bodies(old: Exchange, new: Exchange, *, strict: bool) -> Iterator[Difference]:
    if strict:
        if old.body != new.body:
            yield Difference("body", _short(_text(old)), _short(_text(new)))
        return
    if old.message is not None and new.message is not None:
        yield from _messages(old.message, new.message, strict=False)
        missing = sorted(set(old.message) - set(new.message))
        if missing:
            yield Difference("members of the message", ", ".join(missing), "none")
        return
    path = old.request.path.partition("?")[0]
    one, other = old.json(), new.json()
    if path == _MODELS:
        yield from _lists(one, other)
    elif path.startswith(_SAME_EACH_TIME):
        yield from _unless_equal("body", one, other)
    else:
        yield from _unless_equal("shape of the body", outline(one), outline(other))


def _lists(old: Any, new: Any) -> Iterator[Difference]:
    """Compare lists of models: more of them, and more that is said of them, is no harm."""
    one, other = _by_id(old), _by_id(new)
    if missing := [name for name in one if name not in other]:
        yield Difference("models that are missing", _short(", ".join(missing)), "none")
    names = {name for model in one.values() for name in model}
    told = {name for model in other.values() for name in model}
    if other and (unsaid := sorted(names - told)):
        yield Difference("what is said of models", ", ".join(unsaid), "none")


def _by_id(listed: Any) -> dict[str, dict[str, Any]]:
    data = listed.get("data") if isinstance(listed, dict) else None
    models = data if isinstance(data, list) else []
    return {str(model.get("id")): model for model in models if isinstance(model, dict)}


def _text(exchange: Exchange) -> str:
    return exchange.body.decode("utf-8", "replace")


def _messages(old: Mapping[str, Any], new: Mapping[str, Any], *, strict: bool) -> Iterator[Difference]:
    yield from _unless_equal("model", old.get("model"), new.get("model"))
    yield from _unless_equal("types of the blocks", _block_types(old), _block_types(new))
    for name in ("stop_reason", "stop_sequence"):
        yield from _unless_equal(name, old.get(name), new.get(name))
    one, other = _usage(old), _usage(new)
    missing = sorted(set(one) - set(other))
    if missing:
        yield Difference("members of usage", ", ".join(missing), "none")
    yield from _unless_equal("tokens of the prompt, cached or not", _total_input(one), _total_input(other))
    if one.get("output_tokens") and other.get("output_tokens") == 0:
        yield Difference("tokens of the answer", str(one["output_tokens"]), "0")
    if strict:
        yield from _unless_equal("usage", one, other)


def _block_types(message: Mapping[str, Any]) -> list[str]:
    content = message.get("content")
    blocks = content if isinstance(content, list) else []
    return [str(block.get("type")) if isinstance(block, dict) else "?" for block in blocks]


def _usage(message: Mapping[str, Any]) -> Mapping[str, Any]:
    usage = message.get("usage")
    return usage if isinstance(usage, dict) else {}


def _total_input(usage: Mapping[str, Any]) -> int:
    counts = (usage.get(name) for name in _TOTAL_INPUT)
    return sum(count for count in counts if isinstance(count, int))


def _unless_equal(what: str, old: Any, new: Any) -> Iterator[Difference]:
    if old != new:
        yield Difference(what, _short(old), _short(new))


def _short(value: Any) -> str:
    text = value if isinstance(value, str) else str(value)
    return text if len(text) <= _SHOWN else text[:_SHOWN] + "…"
