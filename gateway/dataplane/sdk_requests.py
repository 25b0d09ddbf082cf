"""What of a Messages request the local runtime can carry, and what is refused because it cannot.

The runtime takes a conversation, not a Messages request. A field that it would drop, or replace by its own, is
refused by name: an answer to another request than the one that was sent would be worse than none.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping, Sequence
from typing import Any, Final

import msgspec
from attrs import define, field

from gateway.wire.errors import ApiError, encode_json
from gateway.wire.requests import read_facts

__all__ = ["CARRIED", "REFUSED", "SESSION_HEADER", "Conversation", "SdkRequest", "read_sdk_request"]

SESSION_HEADER: Final = "x-claude-code-session-id"
"""Names the session where `metadata.user_id` does not."""

CARRIED: Final[Mapping[str, str]] = {
    "model": "the id of a Claude model, such as `claude-sonnet-5`; aliases are refused",
    "max_tokens": "a whole number from 1 on, put into the runtime's request as it is",
    "messages": "text alone: strings, or `text` blocks; the first and the last turn are the user's. Earlier turns "
    "are carried where a pooled session has had them, word for word, and refused otherwise",
    "system": "a string, or a list of one `text` block; it follows the runtime's own first line",
    "stream": "true or false",
    "metadata": "`user_id` alone, which names the session; upstream the runtime sends its own",
    "thinking": '`{"type": "disabled"}` alone, which is also what is sent without the field',
}
"""Fields that are carried, and how far."""

REFUSED: Final[Mapping[str, str]] = {
    "cache_control": "the runtime places its own cache breakpoints",
    "container": "the runtime runs no code",
    "context_management": "the runtime manages its context by itself",
    "inference_geo": "the runtime does not pass it on",
    "mcp_servers": "servers that a client names must not reach the runtime",
    "output_config": "the runtime sets effort and format by itself",
    "output_format": "the runtime sets effort and format by itself",
    "service_tier": "the runtime does not pass it on",
    "speed": "the runtime does not pass it on",
    "stop_sequences": "the runtime has none",
    "temperature": "the runtime samples with its own",
    "tool_choice": "tools are off",
    "tools": "tools are off, and the runtime would run them here instead of handing them to the client",
    "top_k": "the runtime samples with its own",
    "top_p": "the runtime samples with its own",
}
"""Known fields that are refused, and why. So is every field that is in neither table, every content block that is
no text, the query of the URL, the header `anthropic-beta`, and an `anthropic-version` that is not known."""

_ADVICE: Final = "Leave it out, or use /claude/v1/messages, which passes everything on."
_VERSIONS: Final = ("2023-06-01", "2026-10-21")
"""The runtime speaks the first. The second takes some fields away, none of which is carried, so that for all the
rest they are one (`anthropic` Python SDK 2.12.0, MIGRATION.md)."""
# It becomes a setting of the runtime: no alias, no option, no path, no suffix with a meaning of its own.
_MODEL: Final = re.compile(r"claude-[a-z0-9]+(?:[-.][a-z0-9]+){0,8}", re.ASCII)
_LONGEST_MODEL: Final = 80
_LONGEST_SESSION: Final = 1024
_MOST_TOKENS: Final = 2**31


@define(frozen=True)
class Conversation:
    """The turns of a conversation, as a digest that says whether two are the same without keeping a word."""

    turns: int = 0
    digest: bytes = b""

    def then(self, role: str, texts: Sequence[str]) -> Conversation:
        """Return the conversation with one more turn.

        Args:
            role: `user` or `assistant`.
            texts: of its blocks. The blocks of an answer count as one text: clients may join them.
        """
        blocks = ["".join(texts)] if role == "assistant" else list(texts)
        turn = encode_json([self.digest.hex(), role, blocks])
        return Conversation(self.turns + 1, hashlib.sha256(turn).digest())


@define(frozen=True)
class SdkRequest:
    """A request that can be carried."""

    model: str
    max_tokens: int
    stream: bool
    system: str | None = field(repr=False)
    before: Conversation
    """Everything up to the last turn."""
    texts: tuple[str, ...] = field(repr=False)
    """The blocks of the last turn, which is the user's."""
    session: str | None = field(repr=False)
    """As the client names it; unique for one actor alone."""


def read_sdk_request(body: bytes | bytearray, headers: Mapping[str, str], query: str) -> SdkRequest:
    """Read a request, and refuse what cannot be carried.

    Raises:
        ApiError: 400, naming the field.
    """
    if query:
        raise _refused("query", "the runtime makes its own requests")
    if "anthropic-beta" in headers:
        raise _refused("anthropic-beta", "the runtime chooses its own betas")
    if headers.get("anthropic-version", _VERSIONS[0]) not in _VERSIONS:
        raise _refused("anthropic-version", f"it is made for {' and '.join(_VERSIONS)}")
    facts = read_facts(body)
    try:
        fields: dict[str, Any] = msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        raise _bad("The request body holds characters or nesting that the local runtime cannot carry.") from None
    for name in fields:
        if name not in CARRIED:
            raise _refused(_short(name), REFUSED.get(name, "the local runtime does not know it"))
    if len(facts.model) > _LONGEST_MODEL or not _MODEL.fullmatch(facts.model):
        raise _bad("model: the local runtime takes the full id of a Claude model alone, such as claude-sonnet-5.")
    if fields.get("thinking", {"type": "disabled"}) != {"type": "disabled"}:
        raise _refused("thinking", "the runtime is run without it")
    before, texts = _messages(fields.get("messages"))
    return SdkRequest(
        model=facts.model,
        max_tokens=_max_tokens(fields),
        stream=facts.stream,
        system=_system(fields.get("system")),
        before=before,
        texts=texts,
        session=_session(fields.get("metadata"), headers.get(SESSION_HEADER)),
    )


def _max_tokens(fields: Mapping[str, Any]) -> int:
    if "max_tokens" not in fields:
        raise _bad("max_tokens: Field required")
    value = fields["max_tokens"]
    if not isinstance(value, int) or isinstance(value, bool) or not 1 <= value < _MOST_TOKENS:
        raise _bad("max_tokens: Input should be a whole number from 1 on")
    return value


def _messages(messages: Any) -> tuple[Conversation, tuple[str, ...]]:
    if not isinstance(messages, list) or not messages:
        raise _bad("messages: Input should be a list of at least one message")
    before = Conversation()
    for number, message in enumerate(messages):
        name = f"messages.{number}"
        if not isinstance(message, dict) or message.keys() != {"role", "content"}:
            raise _bad(f"{name}: the local runtime takes a role and content, and nothing else.")
        expected = "assistant" if number % 2 else "user"
        if message["role"] != expected:
            raise _bad(f"{name}.role: the local runtime takes turns in alternation; expected `{expected}` here.")
        texts = _texts(f"{name}.content", message["content"])
        if number == len(messages) - 1:
            if expected == "assistant":
                raise _bad(f"{name}: the local runtime cannot go on with an answer that the client has begun.")
            return before, texts
        before = before.then(expected, texts)
    raise AssertionError  # the loop returns at the last message


def _texts(name: str, content: Any) -> tuple[str, ...]:
    blocks = [{"type": "text", "text": content}] if isinstance(content, str) else content
    if not isinstance(blocks, list) or not blocks:
        raise _bad(f"{name}: Input should be text, or a list of at least one block")
    texts = []
    for number, block in enumerate(blocks):
        place = f"{name}.{number}" if blocks is content else name
        if not isinstance(block, dict) or block.get("type") != "text":
            raise _bad(f"{place}: the local runtime carries text alone. {_ADVICE}")
        # Blocks of an answer come back with what the API put into them.
        extra = next(
            (key for key, value in block.items() if key not in {"type", "text"} and value is not None), None
        )
        if extra is not None:
            raise _refused(f"{place}.{_short(extra)}", "it carries text alone")
        text = block.get("text")
        if not isinstance(text, str) or not text.strip():
            raise _bad(f"{place}: text content blocks must contain more than white space")
        texts.append(text)
    return tuple(texts)


def _system(system: Any) -> str | None:
    if system is None or system in ("", []):
        return None
    texts = _texts("system", system)
    if len(texts) > 1:
        raise _bad("system: the local runtime carries one text; join the blocks.")
    return texts[0]


def _session(metadata: Any, header: str | None) -> str | None:
    if metadata is not None and not isinstance(metadata, dict):
        raise _bad("metadata: Input should be an object")
    for name in metadata or {}:
        if name != "user_id":
            raise _refused(f"metadata.{_short(name)}", "the runtime sends its own metadata")
    user_id = (metadata or {}).get("user_id")
    if user_id is not None and not isinstance(user_id, str):
        raise _bad("metadata.user_id: Input should be a valid string")
    session = user_id or header or None
    if session is not None and len(session) > _LONGEST_SESSION:
        raise _bad("metadata.user_id: longer than any session's name; use an id.")
    return session


def _refused(name: str, why: str) -> ApiError:
    return _bad(f"{name}: the local runtime cannot carry it: {why}. {_ADVICE}")


def _bad(message: str) -> ApiError:
    return ApiError(400, message)


def _short(name: str) -> str:
    return name if len(name) <= 60 else name[:60] + "…"  # noqa: PLR2004 - one line
