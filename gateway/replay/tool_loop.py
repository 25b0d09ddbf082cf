"""Deciding what to say: plain text, a call of a client's tool, or a text that quotes the tool's result."""

from typing import Any

import attrs

from gateway.replay.answers import ANSWER, Reply, TextBlock, ToolUseBlock, text_of, words

BASH_COMMAND = "echo replay-tool-ok"
_MAX_DEPTH = 8
_QUOTE_LENGTH = 2_000


@attrs.frozen
class Wishes:
    """What the ``x-replay-*`` request headers ask of a made-up answer."""

    tokens: int | None = None
    delta_bytes: int | None = None
    tool: str | None = None
    """Name of the tool to call; ``none`` for no call."""


def compose(body: dict[str, Any], input_tokens: int, wishes: Wishes) -> Reply:
    """Return the reply that a model working with tools would give to this request.

    A ``tool_result`` in the last user message is answered by a text that quotes it. Before any tool has run, a
    tool named ``Bash`` is called with a harmless command. Another tool is called when the last user text holds
    the word "tool", when ``tool_choice`` forces one, or when ``wishes`` name it.
    """
    blocks: tuple[TextBlock | ToolUseBlock, ...]
    turn = _last_user_content(body)
    result = _tool_result_text(turn)
    if result is not None:
        text = f"The tool answered: {result}"
        return _text_reply(body, words(text), input_tokens)
    if wishes.tokens is None and wishes.delta_bytes is None:
        call = _tool_call(body, turn, wishes)
        if call is not None:
            blocks = (TextBlock(words("I will use a tool for that.")), call)
            return Reply(body["model"], blocks, "tool_use", input_tokens, 40)
        return _text_reply(body, words(ANSWER), input_tokens)
    tokens = len(words(ANSWER)) if wishes.tokens is None else wishes.tokens
    return _text_reply(body, text_of(tokens, wishes.delta_bytes), input_tokens)


def _text_reply(body: dict[str, Any], pieces: tuple[str, ...], input_tokens: int) -> Reply:
    limit = body["max_tokens"]
    if limit == 0:
        return Reply(body["model"], (), "max_tokens", input_tokens, 0)
    kept = pieces[:limit]
    stop_reason = "end_turn" if len(kept) == len(pieces) else "max_tokens"
    return Reply(body["model"], (TextBlock(kept),), stop_reason, input_tokens, max(len(kept), 1))


def _last_user_content(body: dict[str, Any]) -> list[dict[str, Any]]:
    for message in reversed(body["messages"]):
        if isinstance(message, dict) and message.get("role") == "user":
            return _blocks(message.get("content"))
    return []


def _blocks(content: Any) -> list[dict[str, Any]]:
    if isinstance(content, str):
        return [{"type": "text", "text": content}]
    if isinstance(content, list):
        return [block for block in content if isinstance(block, dict)]
    return []


def _tool_result_text(turn: list[dict[str, Any]]) -> str | None:
    for block in turn:
        if block.get("type") == "tool_result":
            parts = (str(part.get("text", "")) for part in _blocks(block.get("content")))
            return " ".join("".join(parts).split())[:_QUOTE_LENGTH]
    return None


def _tool_call(body: dict[str, Any], turn: list[dict[str, Any]], wishes: Wishes) -> ToolUseBlock | None:
    choice = body.get("tool_choice") or {}
    tools = {
        tool["name"]: tool
        for tool in body.get("tools") or []
        if isinstance(tool, dict) and isinstance(tool.get("name"), str) and "input_schema" in tool
    }
    if not tools or wishes.tool == "none" or choice.get("type") == "none":
        return None
    wanted = wishes.tool or (choice.get("name") if choice.get("type") == "tool" else None)
    if wanted is None:
        said_tool = any("tool" in str(block.get("text", "")).lower() for block in turn)
        if "Bash" in tools and not _any_tool_ran(body):
            wanted = "Bash"
        elif said_tool or choice.get("type") == "any":
            wanted = next(iter(tools))
    if not isinstance(wanted, str) or wanted not in tools:
        return None
    if wanted == "Bash":
        return ToolUseBlock(
            "Bash", {"command": BASH_COMMAND, "description": "Print a line that proves the tool ran"}
        )
    schema = tools[wanted]["input_schema"]
    value = minimal_value(schema, schema)
    return ToolUseBlock(wanted, value if isinstance(value, dict) else {})


def _any_tool_ran(body: dict[str, Any]) -> bool:
    return any(
        block.get("type") == "tool_result"
        for message in body["messages"]
        if isinstance(message, dict)
        for block in _blocks(message.get("content"))
    )


def minimal_value(schema: Any, root: Any, depth: int = 0) -> Any:
    """Return a small value that fits a JSON Schema, as far as the common keywords go.

    ``root`` is the document that local ``$ref`` pointers lead into.
    """
    if not isinstance(schema, dict) or depth > _MAX_DEPTH:
        return "replay"
    for keyword in ("const", "default"):
        if keyword in schema:
            return schema[keyword]
    for keyword in ("enum", "examples"):
        if schema.get(keyword):
            return schema[keyword][0]
    if isinstance(schema.get("$ref"), str):
        return minimal_value(_resolve(schema["$ref"], root), root, depth + 1)
    for keyword in ("anyOf", "oneOf", "allOf"):
        if schema.get(keyword):
            return minimal_value(schema[keyword][0], root, depth + 1)
    return _value_of_type(schema, root, depth)


def _value_of_type(schema: dict[str, Any], root: Any, depth: int) -> Any:
    kind = schema.get("type")
    if isinstance(kind, list):
        kind = next((name for name in kind if name != "null"), "null")
    match kind:
        case "object" | None:
            properties = schema.get("properties") or {}
            return {
                name: minimal_value(properties.get(name, {}), root, depth + 1)
                for name in schema.get("required") or ()
            }
        case "array":
            item = schema.get("items", {})
            return [minimal_value(item, root, depth + 1) for _ in range(schema.get("minItems", 0))]
        case "integer" | "number":
            return schema.get("minimum", 1)
        case "boolean":
            return True
        case "null":
            return None
    return "replay".ljust(schema.get("minLength", 0), ".")[: schema.get("maxLength")]


def _resolve(pointer: str, root: Any) -> Any:
    found = root
    for part in pointer.removeprefix("#/").split("/"):
        found = found.get(part.replace("~1", "/").replace("~0", "~")) if isinstance(found, dict) else None
    return found
