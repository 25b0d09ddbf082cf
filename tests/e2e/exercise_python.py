"""Uses whatever `anthropic` package can be imported in every way that an application does.

Arguments: base URL and key. Output: a JSON object with what each way gave, by its name.
"""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import Callable
from typing import Any

import anthropic
from anthropic import Anthropic, AsyncAnthropic

MODEL = "claude-opus-5-5"
TURN: Any = [{"role": "user", "content": "hello"}]
ASK: Any = {"model": MODEL, "max_tokens": 256, "messages": TURN}
WEATHER: Any = {
    "name": "get_weather",
    "description": "Look up the weather.",
    "input_schema": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
}


def _ask(model: str) -> Any:
    return {**ASK, "model": model}


def _text(message: Any) -> str:
    return "".join(block.text for block in message.content if block.type == "text")


def create(client: Anthropic) -> Any:
    """Ask for a whole message."""
    message = client.messages.create(**ASK)
    return {"text": _text(message), "stop_reason": message.stop_reason, "request_id": message._request_id}


def stream_helper(client: Anthropic) -> Any:
    """Read the text of a stream as it comes, then its message."""
    with client.messages.stream(**ASK) as stream:
        pieces = list(stream.text_stream)
        message = stream.get_final_message()
    return {"pieces": pieces, "text": _text(message), "output_tokens": message.usage.output_tokens}


def plain_stream(client: Anthropic) -> Any:
    """Read the events of a stream."""
    with client.messages.create(**ASK, stream=True) as stream:
        return [event.type for event in stream]


def raw_response(client: Anthropic) -> Any:
    """Look at the HTTP answer before its message."""
    raw = client.messages.with_raw_response.create(**ASK)
    return {"status": raw.status_code, "headers": dict(raw.headers), "text": _text(raw.parse())}


def streaming_response(client: Anthropic) -> Any:
    """Read the lines of a stream as they are."""
    with client.messages.with_streaming_response.create(**ASK, stream=True) as response:
        return [line for line in response.iter_lines() if line.startswith("event:")]


def count_tokens(client: Anthropic) -> Any:
    """Count the tokens of a prompt."""
    return client.messages.count_tokens(model=MODEL, messages=TURN).input_tokens


def list_models(client: Anthropic) -> Any:
    """List all models, five to a page."""
    return [model.id for model in client.models.list(limit=5)]


def retrieve_model(client: Anthropic) -> Any:
    """Look up one model by its alias."""
    return client.models.retrieve("claude-opus-4-5").id


def tool_loop(client: Anthropic) -> Any:
    """Run a tool as the model asks and send its result back."""
    turns: Any = [{"role": "user", "content": "Use the tool."}]
    with client.messages.stream(model=MODEL, max_tokens=256, messages=turns, tools=[WEATHER]) as stream:
        first = stream.get_final_message()
    call: Any = first.content[-1]
    result = {"type": "tool_result", "tool_use_id": call.id, "content": "21 degrees"}
    content = [block.to_dict() for block in first.content]
    turns += [{"role": "assistant", "content": content}, {"role": "user", "content": [result]}]
    second = client.messages.create(model=MODEL, max_tokens=256, messages=turns, tools=[WEATHER])
    return {"stop_reason": first.stop_reason, "input": call.input, "text": _text(second)}


def tool_runner(client: Anthropic) -> Any:
    """Let the SDK run the loop."""

    @anthropic.beta_tool
    def get_weather(city: str) -> str:
        """Look up the weather.

        Args:
            city: its name.
        """
        return f"in {city}: 21 degrees"

    turns: Any = [{"role": "user", "content": "Use the tool."}]
    runner = client.beta.messages.tool_runner(model=MODEL, max_tokens=256, messages=turns, tools=[get_weather])
    return _text(runner.until_done())


def beta(client: Anthropic) -> Any:
    """Ask the beta interface, with two betas."""
    betas = ["files-api-2025-04-14", "made-up-2026-01-01"]
    with client.beta.messages.stream(**_ask("claude-beta"), betas=betas) as stream:
        return _text(stream.get_final_message())


def auth_token(client: Anthropic) -> Any:
    """Send the key as a bearer token."""
    return _text(Anthropic(auth_token=client.api_key, base_url=client.base_url).messages.create(**ASK))


def both_credentials(client: Anthropic) -> Any:
    """Send the key in both headers."""
    headers = {"x-api-key": str(client.api_key), "authorization": f"Bearer {client.api_key}"}
    return _text(client.messages.create(**ASK, extra_headers=headers))


def _error(ask: Callable[[], Any]) -> Any:
    try:
        ask()
    except anthropic.APIStatusError as error:
        body: Any = error.body
        return {
            "class": type(error).__name__,
            "status": error.status_code,
            "type": body["error"]["type"],
            "message": body["error"]["message"],
            "request_id": error.request_id,
        }
    return None


def wrong_key(client: Anthropic) -> Any:
    """Use a key that the gateway does not know."""
    return _error(lambda: client.with_options(api_key="csg_wrong").messages.create(**ASK))


def refused(client: Anthropic) -> Any:
    """Get a refusal of the upstream."""
    fault = {"x-replay-fault": "status:403;message=Not for you"}
    return _error(lambda: client.messages.create(**ASK, extra_headers=fault))


def retried(client: Anthropic) -> Any:
    """Get through a rate limit and an overload by trying again."""
    return [
        _text(client.messages.create(**_ask(model))) for model in ("claude-limited-once", "claude-overloaded-once")
    ]


def overloaded(client: Anthropic) -> Any:
    """Give up after as many overloads as there are tries."""
    return _error(lambda: client.messages.create(**_ask("claude-overloaded")))


def error_in_stream(client: Anthropic) -> Any:
    """Meet an error event in the middle of a stream."""

    def ask() -> None:
        fault = {"x-replay-fault": "error-event:overloaded_error;event=8"}
        with client.messages.stream(**ASK, extra_headers=fault) as stream:
            stream.get_final_message()

    return _error(ask)


def abort(client: Anthropic) -> Any:
    """Leave a stream after its first text."""
    fault = {"x-replay-fault": "hang:event=8"}
    with client.messages.stream(**_ask("claude-aborted"), extra_headers=fault) as stream:
        return next(iter(stream.text_stream))


async def asynchronous(base_url: str, key: str) -> Any:
    """Do the usual at once, many times over."""
    async with AsyncAnthropic(api_key=key, base_url=base_url) as client:

        async def streamed() -> str:
            async with client.messages.stream(**ASK) as stream:
                return "".join([text async for text in stream.text_stream])

        async def counted() -> int:
            return (await client.messages.count_tokens(model=MODEL, messages=TURN)).input_tokens

        return {
            "streams": await asyncio.gather(*(streamed() for _ in range(10))),
            "counts": await asyncio.gather(*(counted() for _ in range(30))),
            "message": _text(await client.messages.create(**ASK)),
            "models": [model.id async for model in client.models.list(limit=5)],
        }


WAYS = (
    create,
    stream_helper,
    plain_stream,
    raw_response,
    streaming_response,
    count_tokens,
    list_models,
    retrieve_model,
    tool_loop,
    tool_runner,
    beta,
    auth_token,
    both_credentials,
    wrong_key,
    refused,
    retried,
    overloaded,
    error_in_stream,
    abort,
)


def main() -> None:
    """Go every way and say what came of it."""
    base_url, key = sys.argv[1:]
    with Anthropic(api_key=key, base_url=base_url, max_retries=1) as client:
        report = {way.__name__: way(client) for way in WAYS}
    report["asynchronous"] = asyncio.run(asynchronous(base_url, key))
    report["version"] = anthropic.__version__
    json.dump(report, sys.stdout)


if __name__ == "__main__":
    main()
