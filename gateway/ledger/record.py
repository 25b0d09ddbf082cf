"""The record of one request, and where it goes."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, Protocol

from attrs import define, field

from gateway.pricing.cost import Cost
from gateway.pricing.usage import Usage

__all__ = ["AttemptRecord", "Ledger", "RecordObserver", "RequestRecord", "SwitchRecord"]


@define
class AttemptRecord:
    """One try at one account."""

    account: str
    fault: str | None = None
    status: int | None = None
    milliseconds: int = 0
    began_milliseconds: int | None = None
    """When it began, after the request did."""
    span_id: str | None = None
    """Of its span, in hexadecimal, where the upstream was told of it."""


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
    session: str | None = None
    """`x-claude-code-session-id`, as the client sent it; so are the next three."""
    agent: str | None = None
    """`x-claude-code-agent-id`: of a subagent."""
    request_class: str | None = None
    """`x-claude-code-request-class`: main, subagent, workflow, compaction or auxiliary."""
    client: str | None = None
    """Name and version of the client, from its User-Agent."""
    api_version: str | None = None
    """`anthropic-version`."""
    trace_id: str | None = None
    """Of the W3C trace that the request is part of, in hexadecimal."""
    traceparent: str | None = None
    """As the client sent it, if it is valid: the span that this request is part of."""
    model_served: str | None = None
    """The model that answered, as the answer says."""
    upstream_request_id: str | None = None
    code: str | None = None
    """Violation code."""
    reason: str | None = None
    """One sentence, where the outcome needs one."""
    stop_reason: str | None = None
    usage: Mapping[str, Any] | None = None
    """As the upstream counted, its last words first; `counts` is what they mean."""
    has_output: bool | None = None
    """Whether the answer has any content; None where that is not known."""
    refusal_category: str | None = None
    """Of an answer that ended with a refusal, what the upstream called it."""
    counts: Usage | None = None
    """Filled in when the request is settled, and so is the next one."""
    cost: Cost | None = None
    attempts: list[AttemptRecord] = field(factory=list)
    """The last one served the request, if any did."""
    account: str | None = None
    """The account that served it."""
    switch: SwitchRecord | None = None
    events: int = 0
    bytes_in: int = 0
    bytes_out: int = 0
    milliseconds_to_first_byte: int | None = None
    """Until the client was sent the head of its answer."""
    milliseconds_to_content: int | None = None
    milliseconds: int | None = None
    longest_gap_milliseconds: int | None = None
    """Longest silence of the upstream in a stream, after its content began."""
    notes: tuple[str, ...] = ()
    timeline: bytes | None = None
    """When which events came, of a stream that did not end well."""


class Ledger(Protocol):
    """Where records go."""

    async def settle(self, record: RequestRecord) -> None:
        """Make the record durable; called exactly once per request, before its last event leaves."""
        ...


class RecordObserver(Protocol):
    """Whoever wants to know of each request when it is over: metrics, logs, limits, traces."""

    def settled(self, record: RequestRecord) -> None:
        """Take note of it, at once and without waiting for anything; the client's last event waits for this."""
        ...
