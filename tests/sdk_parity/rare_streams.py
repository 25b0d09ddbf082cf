"""Valid streams that the API has no reason to send today, but that the SDKs have rules for."""

from __future__ import annotations

from typing import Any, Final

from sse_fsm import encode_event
from tests.sdk_parity.playback import Stream

__all__ = ["RARE_STREAMS"]


def _stream(
    *blocks: tuple[dict[str, Any], list[dict[str, Any]]],
    message: dict[str, Any] | None = None,
    ends: tuple[dict[str, Any], ...] = ({},),
) -> Stream:
    start = {
        "id": "msg_rare",
        "type": "message",
        "role": "assistant",
        "model": "claude-opus-5-5",
        "content": [],
        "stop_reason": None,
        "stop_sequence": None,
        "usage": {"input_tokens": 12, "output_tokens": 1},
    }
    events: list[dict[str, Any]] = [{"type": "message_start", "message": start | (message or {})}]
    for index, (block, deltas) in enumerate(blocks):
        events.append({"type": "content_block_start", "index": index, "content_block": block})
        events += [{"type": "content_block_delta", "index": index, "delta": delta} for delta in deltas]
        events.append({"type": "content_block_stop", "index": index})
    for number, end in enumerate(ends):
        changes = {
            "delta": {"stop_reason": "end_turn", "stop_sequence": None},
            "usage": {"output_tokens": 9 + number},
        }
        events.append({"type": "message_delta"} | changes | end)
    events.append({"type": "message_stop"})
    return Stream(b"".join(map(encode_event, events)), beta=True)


def _citation(text: str) -> dict[str, Any]:
    where = {"document_index": 0, "document_title": None, "start_char_index": 0, "end_char_index": len(text)}
    return {"type": "char_location", "cited_text": text, **where}


RARE_STREAMS: Final = {
    "signature-twice": _stream(
        (
            {"type": "thinking", "thinking": "I", "signature": "before"},
            [
                {"type": "signature_delta", "signature": "first"},
                {"type": "thinking_delta", "thinking": " think"},
                {"type": "signature_delta", "signature": "second"},
            ],
        )
    ),
    "citations-from-the-start": _stream(
        (
            {"type": "text", "text": "a", "citations": [_citation("one")]},
            [
                {"type": "citations_delta", "citation": _citation("two")},
                {"type": "text_delta", "text": "b"},
                {"type": "citations_delta", "citation": _citation("three")},
            ],
        )
    ),
    "compaction-twice": _stream(
        (
            {"type": "compaction", "content": "old", "encrypted_content": "old"},
            [
                {"type": "compaction_delta", "content": "first", "encrypted_content": "x"},
                {"type": "compaction_delta", "content": None, "encrypted_content": None},
            ],
        )
    ),
    "tool-input-from-the-start": _stream(
        ({"type": "tool_use", "id": "t1", "name": "n", "input": {"a": 1}}, []),
        (
            {"type": "tool_use", "id": "t2", "name": "n", "input": {"a": 1}},
            [{"type": "input_json_delta", "partial_json": '{"b": 2}'}],
        ),
        (
            {"type": "tool_use", "id": "t3", "name": "n", "input": {"a": 1}},
            [{"type": "input_json_delta", "partial_json": ""}],
        ),
    ),
    "null-overwrites-only-the-stop-fields": _stream(
        message={
            "container": {"id": "c", "expires_at": "2026-11-22T20:00:00Z"},
            "context_management": {"applied_edits": []},
            "usage": {
                "input_tokens": 12,
                "output_tokens": 5,
                "cache_read_input_tokens": 3,
                "server_tool_use": {"web_search_requests": 1, "web_fetch_requests": 0},
            },
        },
        ends=(
            {"delta": {"stop_reason": "refusal", "stop_sequence": "x", "stop_details": {"type": "refusal"}}},
            {
                "delta": {"stop_reason": None, "stop_sequence": None, "stop_details": None, "container": None},
                "usage": {
                    "output_tokens": 0,
                    "input_tokens": None,
                    "cache_read_input_tokens": 0,
                    "server_tool_use": None,
                    "iterations": None,
                },
                "context_management": None,
            },
        ),
    ),
    "fields-that-only-message-start-has": _stream(
        message={
            "usage": {
                "input_tokens": 12,
                "output_tokens": 5,
                "service_tier": "standard",
                "cache_creation": {"ephemeral_5m_input_tokens": 1, "ephemeral_1h_input_tokens": 2},
            }
        },
        ends=(
            {
                "usage": {
                    "output_tokens": 7,
                    "service_tier": "priority",
                    "inference_geo": "us",
                    "cache_creation": {"ephemeral_5m_input_tokens": 9, "ephemeral_1h_input_tokens": 9},
                }
            },
        ),
    ),
}
"""By name; all are asked for through the beta interface, which has the most rules."""
