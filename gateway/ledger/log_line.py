"""The log line of a request."""

from __future__ import annotations

import hashlib
from typing import Any, Final

from attrs import asdict, define

from gateway.ledger.record import RequestRecord
from gateway.telemetry.logs import get_logger

__all__ = ["RequestLog", "is_chosen"]

_log = get_logger(__name__)

_WELL: Final = "complete"
_LEVELS: Final = {"truncated": "warning", "violation": "warning", "upstream_error": "warning", "failed": "error"}
"""Of the outcomes that somebody may want to do something about; what clients do wrong is none of them."""


@define(frozen=True)
class RequestLog:
    """Writes one log line per request, of what is known of it; at a higher level where something is amiss."""

    share: float = 1.0
    """Of the requests that ended well, those that get a line."""

    def settled(self, record: RequestRecord) -> None:
        """Write the line."""
        if record.outcome == _WELL and not is_chosen(record.id, self.share):
            return
        write = getattr(_log, _LEVELS.get(record.outcome or "", "info"))
        write("request", **{name: value for name, value in _facts(record).items() if value is not None})


def is_chosen(request_id: str, share: float) -> bool:
    """Choose a share of requests by their ids, so that each is chosen everywhere or nowhere."""
    digest = hashlib.blake2b(request_id.encode(errors="replace"), digest_size=8).digest()
    return int.from_bytes(digest, "big") < share * 2**64


def _facts(record: RequestRecord) -> dict[str, Any]:
    counts, cost = record.counts, record.cost
    facts: dict[str, Any] = {
        "request_id": record.id,
        "upstream_request_id": record.upstream_request_id,
        "trace_id": record.trace_id,
        "route": record.route,
        "provider": record.provider,
        "actor": record.actor,
        "model": record.model,
        "model_served": record.model_served if record.model_served != record.model else None,
        "stream": record.stream,
        "client": record.client,
        "session": record.session,
        "agent": record.agent,
        "outcome": record.outcome,
        "status": record.status,
        "code": record.code,
        "reason": record.reason,
        "stop_reason": record.stop_reason,
    }
    if counts is not None:
        facts |= {
            "input_tokens": counts.input_tokens,
            "cache_creation_input_tokens": counts.cache_write_tokens,
            "cache_creation_5m_tokens": counts.cache_write_5m_tokens,
            "cache_creation_1h_tokens": counts.cache_write_1h_tokens,
            "cache_read_input_tokens": counts.cache_read_tokens,
            "output_tokens": counts.output_tokens,
            "thinking_tokens": counts.thinking_tokens,
            "web_searches": counts.web_search_requests or None,
        }
    if cost is not None:
        facts["cost_usd"] = cost.nanousd / 1e9 if cost.nanousd is not None else None
        facts["cost_note"] = cost.note
    return facts | {
        "account": record.account,
        "switch": asdict(record.switch) if record.switch is not None else None,
        "attempts": [
            {"account": a.account, "fault": a.fault, "status": a.status, "ms": a.milliseconds}
            for a in record.attempts
        ],
        "events": record.events or None,
        "bytes_out": record.bytes_out or None,
        "ms_to_first_byte": record.milliseconds_to_first_byte,
        "ms_to_content": record.milliseconds_to_content,
        "longest_gap_ms": record.longest_gap_milliseconds,
        "ms": record.milliseconds,
        "notes": list(record.notes) or None,
    }
