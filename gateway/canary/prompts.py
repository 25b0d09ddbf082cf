"""Requests that every tool here may send: short questions, so that a run with a real key costs next to nothing."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Final

from gateway.canary.client import CanaryClient, Exchange, Request, Target, encode

__all__ = [
    "TOOL",
    "TOOL_FIELD",
    "ask",
    "choose_model",
    "count",
    "find_claude",
    "list_models",
    "messages",
    "tool_result_turn",
    "tool_turn",
]

TOOL: Final = "note_word"
TOOL_FIELD: Final = "word"
_TOOLS: Final = [
    {
        "name": TOOL,
        "description": "Notes one word.",
        "input_schema": {
            "type": "object",
            "properties": {TOOL_FIELD: {"type": "string", "enum": ["smoke", "fire"]}},
            "required": [TOOL_FIELD],
        },
    }
]
_LINES: Final = ("haiku", "sonnet", "opus")
"""From the cheapest line of models on."""
_FALLBACK: Final = "claude-haiku-4-5"


def messages(body: Mapping[str, Any], **options: Any) -> Request:
    """Return a request for a message."""
    return Request("POST", "/v1/messages", encode(body), **options)


def ask(model: str, max_tokens: int, text: str, *, stream: bool = False, **fields: Any) -> dict[str, Any]:
    """Return the body of a question."""
    body: dict[str, Any] = {"model": model, "max_tokens": max_tokens}
    if stream:
        body["stream"] = True
    return {**body, **fields, "messages": [{"role": "user", "content": text}]}


def tool_turn(model: str, max_tokens: int) -> dict[str, Any]:
    """Return the body of a streamed request that has to be answered by a call of the tool."""
    return ask(
        model,
        max_tokens,
        "Use the tool to note the word smoke.",
        stream=True,
        tools=_TOOLS,
        tool_choice={"type": "tool", "name": TOOL},
    )


def tool_result_turn(first: Mapping[str, Any], content: Iterable[Any]) -> dict[str, Any]:
    """Return the body of the turn that follows a call: `content` as the model gave it, and the tool's result."""
    content = list(content)
    results = [
        {"type": "tool_result", "tool_use_id": block.get("id"), "content": "noted"}
        for block in content
        if isinstance(block, dict) and block.get("type") == "tool_use"
    ]
    turns = [{"role": "assistant", "content": content}, {"role": "user", "content": results}]
    return {
        **{name: value for name, value in first.items() if name != "tool_choice"},
        "messages": [*first["messages"], *turns],
    }


def count(model: str, *, padded_to: int = 0) -> Request:
    """Return a request that counts tokens, its JSON padded with white space to so many bytes.

    White space between the tokens of JSON means nothing (RFC 8259, section 2): every byte has to be carried, and
    a model has nothing more to read.
    """
    body = encode({"model": model, "messages": [{"role": "user", "content": "How many tokens are these?"}]})
    padding = b" " * (padded_to - len(body))
    return Request("POST", "/v1/messages/count_tokens", body[:1] + padding + body[1:])


def list_models() -> Request:
    """Return a request for all models."""
    return Request("GET", "/v1/models?limit=1000")


def choose_model(listed: Exchange) -> str:
    """Return a cheap model of a list: the newest of the first line that there is."""
    value = listed.json()
    data = value.get("data") if isinstance(value, dict) else None
    entries = data if isinstance(data, list) else []
    models = [model for model in entries if isinstance(model, dict) and isinstance(model.get("id"), str)]
    models.sort(key=lambda model: str(model.get("created_at", "")), reverse=True)
    for line in _LINES:
        for model in models:
            if line in model["id"]:
                return model["id"]
    return models[0]["id"] if models else _FALLBACK


async def find_claude(client: CanaryClient, target: Target) -> str:
    """Return the base URL under which Claude is served: below the root of one of our gateways that is `/claude`.

    Raises:
        CannotRunError: nothing can be connected with.
    """
    if target.base_url.count("/") > 2:  # noqa: PLR2004 - those of http://
        return target.base_url
    # No credential goes along: nobody knows yet what this is.
    nobody = Target(target.base_url, headers=target.headers)
    hello = await client.send(nobody, Request("GET", "/claude/api/hello"))
    value = hello.json()
    is_ours = hello.status == 200 and isinstance(value, dict) and "message" in value  # noqa: PLR2004 - it is there
    return target.base_url + "/claude" if is_ours else target.base_url
