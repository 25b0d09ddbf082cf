"""What goes into a request's record: facts of the client's headers, of the stream, and of the answer."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final

from aiohttp import web

from gateway.dataplane.held import refusal_category
from gateway.dataplane.relay import StreamRelay
from gateway.ledger.readable import OBSERVED
from gateway.ledger.record import RequestRecord
from gateway.ledger.redaction import short_word
from gateway.ledger.timeline import TimelineRecorder
from gateway.wire.errors import new_request_id
from sse_fsm import EndReason, Outcome, StreamGuard, Verdict

__all__ = [
    "CLIENT_CLOSED",
    "begin_record",
    "note_commit",
    "note_end",
    "note_message",
    "note_timeline",
    "note_verdict",
    "route_of",
]

CLIENT_CLOSED: Final = 499
"""nginx's status for a client that went away; never sent, only recorded."""
_LONGEST: Final = 200  # characters of a header's value that are kept
_HEADERS: Final = {
    "session": "x-claude-code-session-id",
    "agent": "x-claude-code-agent-id",
    "request_class": "x-claude-code-request-class",
    "api_version": "anthropic-version",
}
# W3C Trace Context, section 3.2.2: version ff is invalid, 00 has four fields, and later ones may have more behind.
_TRACEPARENT: Final = re.compile(
    r"(?!ff|00-.{52}-)[0-9a-f]{2}-(?!0{32})([0-9a-f]{32})-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}(?:-|\Z)"
)
_TRACEPARENT_LENGTH: Final = 55  # of the four fields
_WORDS: Final = frozenset(
    {
        "assistants",
        "audio",
        "batches",
        "cancel",
        "chat",
        "complete",
        "completions",
        "containers",
        "content",
        "conversations",
        "count_tokens",
        "edits",
        "embeddings",
        "evals",
        "files",
        "fine_tuning",
        "generations",
        "images",
        "input_items",
        "input_tokens",
        "items",
        "jobs",
        "messages",
        "models",
        "moderations",
        "organization",
        "parts",
        "realtime",
        "responses",
        "runs",
        "speech",
        "steps",
        "threads",
        "transcriptions",
        "translations",
        "uploads",
        "usage",
        "v1",
        "variations",
        "vector_stores",
        "videos",
    }
)
"""Segments of paths that are no ids, of both APIs."""
_MOST_SEGMENTS: Final = 8


def begin_record(request: web.BaseRequest, path: str, *, provider: str) -> RequestRecord:
    """Return the record of a request that has just come in.

    Args:
        request: of the client.
        path: where it goes, without a query.
        provider: whose API is asked.
    """
    headers = request.headers
    record = RequestRecord(
        id=new_request_id(), route=f"{request.method} {route_of(path)}", actor="unknown", provider=provider
    )
    for name, header in _HEADERS.items():
        if (value := headers.get(header)) is not None:
            setattr(record, name, value[:_LONGEST])
    if (client := headers.get("user-agent")) is not None:
        # What follows the first product and its version says how it was built, and where it runs.
        record.client = client.partition(" ")[0][:_LONGEST]
        if record.client in {"Anthropic/Python", "AsyncAnthropic/Python", "Anthropic/JS"}:
            record.client = " ".join(client.split(" ")[:2])[:_LONGEST]
    if (trace := headers.get("traceparent")) is not None and (found := _TRACEPARENT.match(trace)):
        record.trace_id, record.traceparent = found.group(1), trace[:_TRACEPARENT_LENGTH]
    return record


def route_of(path: str) -> str:
    """Return a path without ids, so that there are not more routes than the API has."""
    segments = path.split("/")
    known = ["{id}" if segment and segment not in _WORDS else segment for segment in segments[:_MOST_SEGMENTS]]
    return "/".join(known) + ("/…" if len(segments) > _MOST_SEGMENTS else "")


def note_verdict(record: RequestRecord, verdict: Verdict, *, is_observed: bool = False) -> None:
    """Put into the record what became of a stream; `is_observed` if that was only watched."""
    record.code = verdict.code
    record.events = verdict.events
    record.bytes_in, record.bytes_out = verdict.bytes_in, verdict.bytes_out
    record.notes = verdict.notes
    if is_observed and verdict.outcome is not Outcome.COMPLETE:
        record.notes += (OBSERVED,)
    record.has_output = verdict.blocks > 0
    if verdict.violation is not None:
        # Its own sentence may quote what the upstream sent, which is for the client alone.
        record.reason = f"at event {verdict.violation.event_number}, byte {verdict.violation.offset}"
    elif verdict.outcome is Outcome.UPSTREAM_ERROR:
        record.reason = short_word((verdict.error or {}).get("type")) or "an error without a type"
    elif verdict.reason not in (None, EndReason.EOF):
        record.reason = verdict.reason
    if verdict.message is not None:
        message = verdict.message
        note_message(record, message.get("model"), message.get("stop_reason"), message.get("usage"))
        record.refusal_category = refusal_category(message.get("stop_details"))


def note_commit(guard: StreamGuard) -> None:
    """Say on the stream's timeline that the client's answer begins now."""
    if isinstance(guard.recorder, TimelineRecorder):
        guard.recorder.committed()


def note_end(record: RequestRecord, outcome: str, milliseconds: int, relay: StreamRelay | None) -> None:
    """Put into the record how and when the request ended; `relay` is that of its stream, if it came to one."""
    record.outcome = str(outcome)
    record.milliseconds = milliseconds
    if record.milliseconds_to_first_byte is None and record.status != CLIENT_CLOSED:
        record.milliseconds_to_first_byte = milliseconds
    if relay is not None:
        record.longest_gap_milliseconds = round(relay.longest_gap * 1000)


def note_timeline(record: RequestRecord, guard: StreamGuard | None) -> None:
    """Keep the timeline of a stream that did not end well."""
    if guard is None or record.outcome == Outcome.COMPLETE or not isinstance(guard.recorder, TimelineRecorder):
        return
    record.timeline = guard.recorder.finish(record.outcome or "", record.reason)


def note_message(
    record: RequestRecord, model: object, stop_reason: object, usage: Mapping[str, Any] | None
) -> None:
    """Put into the record what a message says of itself, where it is of the type that it should be."""
    record.model_served = model if isinstance(model, str) else None
    record.stop_reason = stop_reason if isinstance(stop_reason, str) else None
    record.usage = usage
