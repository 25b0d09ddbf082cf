"""JSON objects of single events, all of them legal.

Shapes: Anthropic docs, "Streaming messages"; the `anthropic` Python SDK 2.12.0, `types/` and `types/beta/`.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import cache
from itertools import pairwise
from typing import Any, Final

from hypothesis import strategies as st

from sse_fsm.strategies.values import extra_fields, json_values, texts, token_counts

__all__ = [
    "COMPLETE_BLOCKS",
    "KNOWN_DELTAS",
    "STREAMED_BLOCKS",
    "UNKNOWN_NAMES",
    "block_starts",
    "complete_blocks",
    "deltas",
    "error_payloads",
    "message_deltas",
    "message_starts",
    "streamed_blocks",
    "tool_inputs",
    "unknown_blocks",
]

Payload = dict[str, Any]

STREAMED_BLOCKS: Final[Mapping[str, tuple[str, ...]]] = {
    "text": ("text_delta", "citations_delta"),
    "thinking": ("thinking_delta", "signature_delta"),
    "tool_use": ("input_json_delta",),
    "server_tool_use": ("input_json_delta",),
    "mcp_tool_use": ("input_json_delta",),
    "compaction": ("compaction_delta",),
}
"""Block types that deltas follow, with the delta types that fit them."""

KNOWN_DELTAS: Final = (
    "text_delta",
    "input_json_delta",
    "thinking_delta",
    "signature_delta",
    "citations_delta",
    "compaction_delta",
)

UNKNOWN_NAMES: Final = ("future_event", "message", "content_block", "événement", "Ping", "message_stop2")
"""Event names that the protocol does not know."""

_UNKNOWN_TYPES: Final = ("future_block", "connector_text", "テキスト", "")

_STARTS: Final[tuple[Payload, ...]] = (
    {"type": "text", "text": ""},
    {"type": "text", "text": "", "citations": None},
    {"type": "thinking", "thinking": "", "signature": ""},
    {"type": "tool_use", "id": "toolu_01", "name": "get_weather", "input": {}},
    {"type": "server_tool_use", "id": "srvtoolu_01", "name": "web_search", "input": {}},
    {"type": "mcp_tool_use", "id": "mcptoolu_01", "name": "x", "server_name": "s", "input": {}},
    {"type": "compaction", "content": None},
)

_RESULT_ERROR: Final = {"type": "tool_result_error", "error_code": "unavailable"}
_COMPLETE: Final[tuple[Payload, ...]] = (
    {"type": "redacted_thinking", "data": "EmwKAhgBEgy3va3pzix/LafPsn4a"},
    {"type": "web_search_tool_result", "tool_use_id": "srvtoolu_01", "content": []},
    {"type": "web_search_tool_result", "tool_use_id": "srvtoolu_01", "content": _RESULT_ERROR},
    {"type": "web_fetch_tool_result", "tool_use_id": "srvtoolu_01", "content": _RESULT_ERROR},
    {"type": "code_execution_tool_result", "tool_use_id": "srvtoolu_01", "content": _RESULT_ERROR},
    {"type": "bash_code_execution_tool_result", "tool_use_id": "srvtoolu_01", "content": _RESULT_ERROR},
    {"type": "text_editor_code_execution_tool_result", "tool_use_id": "srvtoolu_01", "content": _RESULT_ERROR},
    {"type": "tool_search_tool_result", "tool_use_id": "srvtoolu_01", "content": _RESULT_ERROR},
    {
        "type": "advisor_tool_result",
        "tool_use_id": "srvtoolu_01",
        "content": {"type": "advisor_result", "text": "x"},
    },
    {"type": "mcp_tool_result", "tool_use_id": "mcptoolu_01", "is_error": False, "content": "fine"},
    {"type": "mcp_tool_listing", "mcp_server_name": "s", "tools": []},
    {"type": "container_upload", "file_id": "file_011"},
    {
        "type": "fallback",
        "from": {"model": "claude-opus-5-5"},
        "to": {"model": "claude-opus-5"},
        "trigger": {"type": "refusal", "category": None},
    },
)

COMPLETE_BLOCKS: Final = frozenset(block["type"] for block in _COMPLETE)
"""Known block types that no delta follows."""


_STOP_SEQUENCES: Final = st.none() | texts()
_MAYBE: Final = st.booleans()
_SEPARATORS: Final = st.sampled_from((None, (",", ":")))
_TOOL_INPUTS: Final = st.dictionaries(texts(), json_values(), max_size=3)


@st.composite
def message_starts(draw: st.DrawFn, *, prefilled: int = 0) -> Payload:
    """`message_start`, its content holding `prefilled` text blocks (the API sends none)."""
    usage = {"input_tokens": draw(token_counts()), "output_tokens": 1, **draw(extra_fields())}
    if draw(_MAYBE):
        split = {"ephemeral_5m_input_tokens": 2, "ephemeral_1h_input_tokens": draw(token_counts())}
        usage |= {"cache_creation_input_tokens": None, "cache_creation": split, "service_tier": "standard"}
    message = {
        "id": "msg_01",
        "type": "message",
        "role": "assistant",
        "model": "claude-sonnet-5-5",
        "content": [{"type": "text", "text": "before"}] * prefilled,
        "stop_reason": None,
        "stop_sequence": None,
        "usage": usage,
        **draw(extra_fields()),
    }
    return {"type": "message_start", "message": message, **draw(extra_fields())}


@cache
def streamed_blocks() -> st.SearchStrategy[Payload]:
    """`content_block` objects of the types that deltas follow."""
    return st.builds(lambda block, extra: {**block, **extra}, st.sampled_from(_STARTS), extra_fields())


@cache
def complete_blocks() -> st.SearchStrategy[Payload]:
    """`content_block` objects of the known types that arrive whole."""
    return st.builds(lambda block, extra: {**block, **extra}, st.sampled_from(_COMPLETE), extra_fields())


@cache
def unknown_blocks() -> st.SearchStrategy[Payload]:
    """`content_block` objects of types that do not exist yet, with fields of any shape."""
    return st.builds(
        lambda kind, text, extra: {"type": kind, "text": text, **extra},
        st.sampled_from(_UNKNOWN_TYPES),
        json_values(),
        extra_fields(),
    )


def block_starts(index: int, block: Payload) -> Payload:
    """`content_block_start` of a block."""
    return {"type": "content_block_start", "index": index, "content_block": block}


_DELTA_FIELDS: Final[Mapping[str, tuple[str, st.SearchStrategy[Any]]]] = {
    "text_delta": ("text", texts(surrogates=True)),
    "thinking_delta": ("thinking", texts(surrogates=True)),
    "signature_delta": ("signature", texts()),
    "input_json_delta": ("partial_json", texts()),
    "citations_delta": (
        "citation",
        st.builds(
            lambda text, extra: {"type": "char_location", "cited_text": text, "document_index": 0, **extra},
            texts(surrogates=True),
            extra_fields(),
        ),
    ),
    "compaction_delta": ("content", st.none() | texts()),
}


@cache
def deltas(kind: str) -> st.SearchStrategy[Payload]:
    """`delta` objects of one type; a type that is not known gets any fields."""
    field, values = _DELTA_FIELDS.get(kind, ("text", json_values()))
    return st.builds(lambda value, extra: {"type": kind, field: value, **extra}, values, extra_fields())


@st.composite
def tool_inputs(draw: st.DrawFn, *, pieces: int) -> list[str]:
    """Draw a JSON object and cut it into `pieces` fragments anywhere, also inside an escape."""
    value = draw(_TOOL_INPUTS)
    text = json.dumps(value, ensure_ascii=draw(_MAYBE), separators=draw(_SEPARATORS))
    cuts = sorted(draw(st.lists(st.integers(0, len(text)), max_size=max(pieces - 1, 0))))
    edges = [0, *cuts, len(text)]
    return [text[start:end] for start, end in pairwise(edges)]


@st.composite
def message_deltas(draw: st.DrawFn, *, stop_reason: str | None) -> Payload:
    """`message_delta` with the stop reason asked for."""
    usage: Payload = {"output_tokens": draw(token_counts())}
    if draw(_MAYBE):
        usage |= {
            "input_tokens": None,
            "cache_read_input_tokens": draw(token_counts()),
            "server_tool_use": {"web_search_requests": 1},
            "iterations": [{"type": "compaction", "input_tokens": 1, "output_tokens": 2}],
        }
    delta = {"stop_reason": stop_reason, "stop_sequence": draw(_STOP_SEQUENCES), **draw(extra_fields())}
    more = {"context_management": {"applied_edits": []}} if draw(_MAYBE) else {}
    return {"type": "message_delta", "delta": delta, "usage": usage, **more, **draw(extra_fields())}


@cache
def error_payloads() -> st.SearchStrategy[Payload]:
    """`error` events as the API sends them, and in shapes that it may yet take."""
    error = st.sampled_from(
        (
            {"type": "overloaded_error", "message": "Overloaded"},
            {"type": "api_error", "message": "Internal server error"},
            {"type": "future_error", "message": None, "details": []},
        )
    )
    return st.builds(lambda error, extra: {"type": "error", "error": error, **extra}, error, extra_fields())
