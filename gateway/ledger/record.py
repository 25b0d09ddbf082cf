"""The record of one request, and where it goes."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, Protocol

from attrs import asdict, define, field

from gateway.telemetry.logs import get_logger

__all__ = ["AttemptRecord", "Ledger", "LogLedger", "RequestRecord", "SwitchRecord"]

_log = get_logger(__name__)


@define
class AttemptRecord:
    """One try at one account."""

    account: str
    fault: str | None = None
    status: int | None = None
    milliseconds: int = 0


@define
class SwitchRecord:
    """A session left the account that had its prompt cached."""

    account: str
    """The account that it left."""
    reason: str
    cached_tokens: int = 0
    """Tokens of its prompt that were cached there, and have to be written again."""
    usd: float | None = None
    """What that costs beyond reading them, in USD; None where the model's price is not known."""


@define
class RequestRecord:
    """What became of one request. Never prompt or answer text."""

    id: str
    route: str
    actor: str
    """Name of the actor; `actor_id` is what does not change."""
    actor_id: str | None = None
    provider: str | None = None
    """Whose API was asked."""
    at: float = field(factory=lambda: datetime.now(UTC).timestamp())
    """When the request began, in Unix seconds."""
    model: str | None = None
    stream: bool = False
    outcome: str | None = None
    """`complete`, `repaired`, `truncated`, `upstream_error`, `violation`, `cancelled`; `refused` by the upstream
    before any content, `rejected` by the gateway itself, `failed` by a fault of the gateway's own."""
    status: int | None = None
    """HTTP status that the client got."""
    upstream_request_id: str | None = None
    code: str | None = None
    """Violation code."""
    reason: str | None = None
    """One sentence, where the outcome needs one."""
    stop_reason: str | None = None
    usage: Mapping[str, Any] | None = None
    attempts: list[AttemptRecord] = field(factory=list)
    """The last one served the request, if any did."""
    account: str | None = None
    """The account that served it."""
    switch: SwitchRecord | None = None
    events: int = 0
    bytes_in: int = 0
    bytes_out: int = 0
    milliseconds_to_content: int | None = None
    milliseconds: int | None = None
    notes: tuple[str, ...] = ()


class Ledger(Protocol):
    """Where records go."""

    async def settle(self, record: RequestRecord) -> None:
        """Make the record durable; called exactly once per request, before its last event leaves."""
        ...


class LogLedger:
    """Writes each record as one log line."""

    async def settle(self, record: RequestRecord) -> None:
        """Log the record."""
        usage = {name: count for name, count in (record.usage or {}).items() if isinstance(count, int)}
        facts = {
            "request_id": record.id,
            "upstream_request_id": record.upstream_request_id,
            "route": record.route,
            "provider": record.provider,
            "actor": record.actor,
            "model": record.model,
            "stream": record.stream,
            "outcome": record.outcome,
            "status": record.status,
            "code": record.code,
            "reason": record.reason,
            "stop_reason": record.stop_reason,
            "input_tokens": usage.get("input_tokens"),
            "cache_creation_input_tokens": usage.get("cache_creation_input_tokens"),
            "cache_read_input_tokens": usage.get("cache_read_input_tokens"),
            "output_tokens": usage.get("output_tokens"),
            "account": record.account,
            "switch": asdict(record.switch) if record.switch is not None else None,
            "attempts": [
                {"account": a.account, "fault": a.fault, "status": a.status, "ms": a.milliseconds}
                for a in record.attempts
            ],
            "events": record.events or None,
            "bytes_out": record.bytes_out or None,
            "ms_to_content": record.milliseconds_to_content,
            "ms": record.milliseconds,
            "notes": list(record.notes) or None,
        }
        _log.info("request", **{name: value for name, value in facts.items() if value is not None})
