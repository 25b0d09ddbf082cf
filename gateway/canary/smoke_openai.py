"""Whether `/v1/*` still reaches the existing proxy, as it would without the gateway."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

from attrs import define, evolve, field

from gateway.canary.checks import CheckResult, judged, not_checked
from gateway.canary.client import CanaryClient, Ending, Exchange, Key, Request, Target, encode
from gateway.canary.expectations import problems_of_status, words_of_error
from gateway.canary.shapes import outline

__all__ = ["OpenAISide", "check_openai"]

_CLAUDE: Final = "/claude"
_CHEAP: Final = ("nano", "mini", "luna", "flash", "lite")
_FALLBACK: Final = "gpt-5-nano"
_MOST_SILENT: Final = 2
_DONE: Final = b"data: [DONE]"
_OF_EACH_ANSWER: Final = frozenset(
    {"age", "connection", "content-length", "date", "keep-alive", "set-cookie", "transfer-encoding"}
)
"""Headers that may differ from one answer to the next."""
_NAMES: Final = (
    ("/v1: models", "200, the list of the existing proxy"),
    ("/v1: chat", "200, a completion of the existing proxy"),
    ("/v1: chat stream", "200, a stream of the existing proxy to [DONE]"),
)


@define(frozen=True)
class OpenAISide:
    """What is known of the proxy behind `/v1`."""

    key: str = field(default="", repr=False)
    """A key of that proxy; without one it can only be seen whether it refuses in the same words."""
    base_url: str = ""
    """Where it is reached without the gateway, to compare; without `/v1`."""
    model: str = ""

    @property
    def paid_requests(self) -> int:
        """How many requests have a model answer."""
        return (2 if self.key else 0) * (2 if self.base_url else 1)


async def check_openai(
    client: CanaryClient, claude: Target, side: OpenAISide, max_tokens: int
) -> list[CheckResult]:
    """Ask below `/v1` of the gateway's root, and the proxy itself where its address is known.

    Raises:
        CannotRunError: the proxy's base URL is none.
    """
    if not claude.base_url.endswith(_CLAUDE):
        return _none("the base URL does not end in /claude, so there is no /v1 beside it")
    if not side.key and not side.base_url:
        return _none("give --openai-key, --openai-base-url or both")
    root = Target(claude.base_url.removesuffix(_CLAUDE), side.key, headers=claude.headers, openai=True)
    direct = Target.of(side.base_url, side.key, openai=True) if side.base_url else None
    if direct is not None:
        direct = evolve(direct, base_url=direct.base_url.removesuffix("/v1"))
    key = Key.OWN if side.key else Key.NONE
    results = []
    model, silent = side.model, 0
    for (name, expected), request in zip(_NAMES, _requests(model, max_tokens, key), strict=True):
        if silent >= _MOST_SILENT:
            results.append(not_checked(name, expected, f"{silent} answers in a row did not come in time"))
            continue
        if model and request.body is not None:
            request = _with_model(request, model)  # noqa: PLW2901 - known only since the list came
        exchange = await client.try_send(root, request)
        silent = silent + 1 if exchange.ending is Ending.TIMEOUT else 0
        problems = list(_problems(exchange, known=bool(side.key)))
        exchanges = [exchange]
        if direct is not None:
            alone = await client.try_send(direct, request)
            exchanges.append(alone)
            problems += _differences(alone, exchange)
        if direct is not None and not side.key:
            expected = "the same refusal with and without the gateway"  # noqa: PLW2901 - no key, no answer
        model = model or _choose(exchange)
        note = "compared with the proxy itself" if direct is not None else "not compared: no --openai-base-url"
        results.append(judged(name, expected, exchanges, problems, note))
    return results


def _none(why: str) -> list[CheckResult]:
    return [not_checked(name, expected, why) for name, expected in _NAMES]


def _requests(model: str, max_tokens: int, key: Key) -> tuple[Request, Request, Request]:
    body: dict[str, Any] = {
        "model": model,
        "max_completion_tokens": max_tokens,
        "messages": [{"role": "user", "content": "Reply with the single word: ok"}],
    }
    return (
        Request("GET", "/v1/models", key=key),
        Request("POST", "/v1/chat/completions", encode(body), key=key),
        Request("POST", "/v1/chat/completions", encode({**body, "stream": True}), key=key),
    )


def _with_model(request: Request, model: str) -> Request:
    return evolve(request, body=(request.body or b"").replace(b'"model":""', b'"model":' + encode(model), 1))


def _choose(listed: Exchange) -> str:
    value = listed.json()
    data = value.get("data") if isinstance(value, dict) else None
    models = data if isinstance(data, list) else []
    ids = [model["id"] for model in models if isinstance(model, dict) and isinstance(model.get("id"), str)]
    chatty = [name for name in ids if "embedding" not in name]
    return next((name for word in _CHEAP for name in chatty if word in name), next(iter(chatty), _FALLBACK))


def _problems(exchange: Exchange, *, known: bool) -> Iterator[str]:
    if exchange.is_from_gateway:
        yield f"the gateway answered itself: {exchange.status} ({words_of_error(exchange)})"
        return
    if not known:
        return
    problems = list(problems_of_status(exchange))
    yield from problems
    if problems:
        return
    if exchange.content_type == "text/event-stream":
        if _DONE not in exchange.body:
            yield "the stream ended without [DONE]"
    elif not isinstance(exchange.json(), dict):
        yield "the body is no JSON object"


def _differences(alone: Exchange, through: Exchange) -> Iterator[str]:
    """Yield what the gateway has changed, which is to be nothing."""
    for what, one, other in (
        ("status", alone.status, through.status),
        ("content-type", alone.header("content-type"), through.header("content-type")),
        ("end of the answer", alone.ending, through.ending),
        ("shape of the body", _shape(alone), _shape(through)),
    ):
        if one != other:
            yield f"{what} differs: {_short(one)} without the gateway, {_short(other)} with it"
    lost = {name.lower() for name in alone.headers} - {name.lower() for name in through.headers} - _OF_EACH_ANSWER
    if lost:
        yield f"lost headers: {', '.join(sorted(lost))}"


def _shape(exchange: Exchange) -> Any:
    """Return what two answers to the same question have in common, whatever words and ids are in them."""
    if exchange.content_type == "text/event-stream":
        return ("stream", exchange.body.rstrip().endswith(_DONE))
    return outline(exchange.json())


def _short(value: Any) -> str:
    text = str(value)
    return text if len(text) <= 120 else text[:120] + "…"  # noqa: PLR2004 - one cell of a table
