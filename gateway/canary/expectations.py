"""What an answer of the Messages API has to be like. Each function yields what is wrong, in a few words each.

Sources: Anthropic docs, "Errors", "Messages", "Count tokens", "List models"; `anthropic` Python SDK 2.12.0.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from typing import Any

from gateway.canary.client import Ending, Exchange
from sse_fsm import Outcome

__all__ = [
    "is_envelope",
    "problems_of_count",
    "problems_of_error",
    "problems_of_message",
    "problems_of_model",
    "problems_of_models",
    "problems_of_status",
    "problems_of_stream",
    "problems_of_tool_call",
    "words_of_error",
]


def words_of_error(exchange: Exchange) -> str:
    """Return the type and the message of an error answer, or what else there is to say of one."""
    value = exchange.json() if exchange.stream is None else None
    error = value.get("error") if isinstance(value, dict) else None
    if isinstance(error, dict):
        return f"{error.get('type')}: {str(error.get('message'))[:200]}"
    if exchange.status is None:
        return exchange.trouble or "no answer"
    return exchange.content_type or "no content type"


def problems_of_status(exchange: Exchange, expected: Collection[int] = (200,)) -> Iterator[str]:
    """Check that an answer came, whole, and with one of these statuses."""
    if exchange.status is None:
        yield exchange.trouble or "no answer"
    elif exchange.status not in expected:
        yield f"status {exchange.status} ({words_of_error(exchange)})"
    elif exchange.ending is not Ending.COMPLETE:
        yield f"the answer was {exchange.ending}" + (f" ({exchange.trouble})" if exchange.trouble else "")


def is_envelope(value: Any) -> bool:
    """Whether a JSON value is Anthropic's error envelope."""
    return isinstance(value, dict) and value.get("type") == "error" and isinstance(value.get("error"), dict)


def problems_of_error(exchange: Exchange, statuses: Collection[int], kinds: Collection[str]) -> Iterator[str]:
    """Check an error: its status, and Anthropic's envelope with a type and the request's id."""
    yield from problems_of_status(exchange, statuses)
    if exchange.status not in statuses:
        return
    value = exchange.json()
    if not is_envelope(value):
        yield "the body is not Anthropic's error envelope"
        return
    error = value["error"]
    if error.get("type") not in kinds:
        yield f"error.type is {error.get('type')!r}"
    if not isinstance(error.get("message"), str) or not error["message"]:
        yield "error.message is missing"
    yield from _problems_of_id(exchange)
    if exchange.request_id is not None and value.get("request_id") != exchange.request_id:
        yield "request_id in the body is not the request-id of the header"


def _problems_of_id(exchange: Exchange) -> Iterator[str]:
    if not exchange.request_id:
        yield "the header request-id is missing"


def _problems_of_json(exchange: Exchange) -> Iterator[str]:
    yield from problems_of_status(exchange)
    if exchange.status == 200:  # noqa: PLR2004 - what is looked into
        yield from _problems_of_id(exchange)
        if exchange.content_type != "application/json":
            yield f"content-type is {exchange.content_type or 'missing'}"
        if not isinstance(exchange.json(), dict):
            yield "the body is not a JSON object"


def problems_of_models(exchange: Exchange) -> Iterator[str]:
    """Check a list of models."""
    problems = list(_problems_of_json(exchange))
    yield from problems
    if problems:
        return
    value: dict[str, Any] = exchange.json()
    data = value.get("data")
    if not isinstance(data, list) or not data:
        yield "data is no list of models, or is empty"
    elif any(not isinstance(model, dict) or not isinstance(model.get("id"), str) for model in data):
        yield "a model has no id"
    for name in ("has_more", "first_id", "last_id"):
        if name not in value:
            yield f"{name} is missing"


def problems_of_model(exchange: Exchange, model: str) -> Iterator[str]:
    """Check the description of one model."""
    problems = list(_problems_of_json(exchange))
    yield from problems
    if problems:
        return
    value: dict[str, Any] = exchange.json()
    # An alias leads to an id with a date.
    if value.get("type") != "model" or not f"{value.get('id')}-".startswith(f"{model}-"):
        yield f"it does not describe {model}"


def problems_of_count(exchange: Exchange) -> Iterator[str]:
    """Check a count of tokens."""
    problems = list(_problems_of_json(exchange))
    yield from problems
    if not problems and not _is_count(exchange.json().get("input_tokens"), least=1):
        yield "input_tokens is no number above 0"


def problems_of_message(exchange: Exchange) -> Iterator[str]:
    """Check a message that came whole."""
    problems = list(_problems_of_json(exchange))
    yield from problems
    if not problems:
        yield from _problems_of_body(exchange.json())


def problems_of_stream(exchange: Exchange) -> Iterator[str]:
    """Check a message that was streamed: valid to its `message_stop`, and ended behind it."""
    # A stream that is cut is better described by the state machine than by the connection.
    if exchange.status != 200:  # noqa: PLR2004 - what is looked into
        yield from problems_of_status(exchange)
        return
    yield from _problems_of_id(exchange)
    if exchange.content_encoding is not None:
        yield f"the stream is compressed ({exchange.content_encoding}), so clients get it late"
    if exchange.stream is None or exchange.stream.verdict is None:
        if exchange.content_type != "text/event-stream":
            yield f"content-type is {exchange.content_type or 'missing'}"
        return
    verdict = exchange.stream.verdict
    if verdict.outcome is not Outcome.COMPLETE:
        yield exchange.stream.describe()
        return
    yield from problems_of_status(exchange)
    yield from (f"note: {note}" for note in verdict.notes)
    message = exchange.message
    if message is not None:
        yield from _problems_of_body(message)


def _problems_of_body(message: dict[str, Any]) -> Iterator[str]:
    if message.get("type") != "message":
        yield f"type is {message.get('type')!r}"
    if message.get("role") != "assistant":
        yield f"role is {message.get('role')!r}"
    for name in ("id", "model", "stop_reason"):
        if not isinstance(message.get(name), str):
            yield f"{name} is missing"
    content = message.get("content")
    if not isinstance(content, list) or any(not isinstance(block, dict) for block in content):
        yield "content is no list of blocks"
    usage = message.get("usage")
    if not isinstance(usage, dict):
        yield "usage is missing"
    else:
        for name in ("input_tokens", "output_tokens"):
            if not _is_count(usage.get(name)):
                yield f"usage.{name} is no number"
        if content and usage.get("output_tokens") == 0:
            yield "usage.output_tokens is 0, and there is content"


def problems_of_tool_call(message: dict[str, Any] | None, name: str, field: str) -> Iterator[str]:
    """Check that a message calls the tool, with the one field that its input needs."""
    if message is None:
        return
    blocks = [block for block in message.get("content") or () if isinstance(block, dict)]
    calls = [block for block in blocks if block.get("type") == "tool_use"]
    if message.get("stop_reason") == "max_tokens":
        yield "the tokens were used up before the call was whole; raise --max-tokens"
        return
    if message.get("stop_reason") != "tool_use":
        yield f"stop_reason is {message.get('stop_reason')!r}"
    if len(calls) != 1:
        yield f"there are {len(calls)} tool_use blocks"
        return
    call = calls[0]
    if call.get("name") != name or not isinstance(call.get("id"), str):
        yield "the tool_use block has another name, or no id"
    if not isinstance(call.get("input"), dict) or field not in call["input"]:
        yield f"the tool's input has no {field!r}"


def _is_count(value: Any, least: int = 0) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= least
