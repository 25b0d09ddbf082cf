"""All that is known of one request."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any, Final

import msgspec

from gateway.accounts.health import CONSEQUENCES
from gateway.controlplane.request_curl import curl_command
from gateway.controlplane.request_views import RequestView, request_view, usd
from gateway.controlplane.violation_views import RuleView, find_rule
from gateway.ledger.readable import OBSERVED, attempts_of, decoded, ended_by, notes_of
from gateway.ledger.recosting import cost_of_row
from gateway.ledger.row import RequestRow
from gateway.pricing.book import PriceBook
from gateway.pricing.cost import Cost, CostLine
from gateway.pricing.usage import Iteration, Usage

__all__ = ["RequestDetail", "request_detail"]

_BROKE_AT: Final = re.compile(r"at event ([0-9]{1,15}), byte ([0-9]{1,15})\Z")
_BY_PIECE: Final = frozenset({"web_searches"})
_FAULTS: Final[Mapping[str, str]] = {fault.value: row.upstream_says for fault, row in CONSEQUENCES.items()}


class AttemptView(msgspec.Struct, kw_only=True):
    """One try at one account."""

    account: str
    fault: str | None
    """Class of what went wrong; none for the attempt that served."""
    fault_means: str | None
    """What that class is."""
    status: int | None
    """HTTP status of the upstream; none where no answer came."""
    ms: int | None
    began_ms: int | None
    """After the request came in; none for requests of older versions."""


class SwitchView(msgspec.Struct, kw_only=True):
    """The request's session left the account that had its prompt cached."""

    account: str
    """The one that it left."""
    reason: str
    cached_tokens: int
    """That have to be written to a cache again."""
    usd: float | None
    """What that costs beyond reading them, about; none where the price is not known."""


class SamplingView(msgspec.Struct, kw_only=True):
    """One sampling inside an answer."""

    type: str | None
    model: str | None
    input_tokens: int | None
    cache_read_tokens: int | None
    cache_write_tokens: int | None
    output_tokens: int | None


class UsageView(msgspec.Struct, kw_only=True):
    """What the upstream counted; none for what it did not say."""

    input_tokens: int | None
    """Neither written to the cache nor read from it."""
    cache_read_tokens: int | None
    cache_write_tokens: int | None
    cache_write_5m_tokens: int | None
    """Part of `cache_write_tokens`, and so is the next one."""
    cache_write_1h_tokens: int | None
    output_tokens: int | None
    thinking_tokens: int | None
    """Part of `output_tokens`."""
    web_searches: int | None
    web_fetches: int | None
    code_executions: int | None
    service_tier: str | None
    inference_geo: str | None
    speed: str | None
    samplings: list[SamplingView]
    """Where the answer is made of several."""


class FactorView(msgspec.Struct, kw_only=True):
    """What a price is multiplied by."""

    what: str
    value: float


class CostLineView(msgspec.Struct, kw_only=True):
    """One line of the bill."""

    kind: str
    what: str
    """The kind in words."""
    model: str | None
    quantity: int
    per: int
    """So many of them cost `unit_usd`: a million tokens, or one."""
    list_usd: float
    """Before the factors."""
    factors: list[FactorView]
    unit_usd: float
    usd: float


class CostView(msgspec.Struct, kw_only=True):
    """What the request cost, and why."""

    usd: float | None
    """As it was recorded; none where it is not known."""
    note: str | None
    """Why it is not known, or what is special about it."""
    lines: list[CostLineView]
    """Worked out again, with the prices that are known now for the time of the request."""
    now_usd: float | None
    """Their sum; it differs from what was recorded if prices have been corrected since."""
    is_partial: bool
    """Whether the answer did not come to its end, so that it may have cost more."""


class ViolationView(msgspec.Struct, kw_only=True):
    """Which rule of the stream protocol was broken, and where."""

    code: str
    rule: RuleView | None
    """None for a code that this version does not know."""
    event_number: int | None
    """Of the event that broke it; the first is 1."""
    byte: int | None
    """Where that event begins in the stream."""
    is_enforced: bool
    """Whether the gateway ended the stream there; otherwise it only watched it (`stream_mode`)."""


class RequestDetail(msgspec.Struct, kw_only=True):
    """All that is known of one request. Never what was asked or answered."""

    request: RequestView
    reason: str | None
    """Why it ended as it did, where that is said."""
    attempts: list[AttemptView]
    switch: SwitchView | None
    usage: UsageView
    cost: CostView
    violation: ViolationView | None
    is_observed: bool
    """Whether a stream that did not end well went on to the client as it came (`stream_mode = "observe"`)."""
    notes: list[str]
    agent: str | None
    api_version: str | None
    trace_id: str | None
    upstream_request_id: str | None
    events: int
    bytes_in: int
    """From the upstream."""
    bytes_out: int
    """To the client."""
    curl: str | None
    """A command that asks the same kind of thing; its key is in GATEWAY_KEY."""


def request_detail(row: RequestRow, prices: PriceBook, base_url: str) -> RequestDetail:
    """Return all that is known of a request.

    Args:
        row: its record.
        prices: to work its cost out again.
        base_url: of the data plane.
    """
    notes = notes_of(row)
    is_observed = OBSERVED in notes
    return RequestDetail(
        request=request_view(row),
        reason=ended_by(row),
        attempts=[_attempt(attempt) for attempt in attempts_of(row)],
        switch=_switch(decoded(row.switch)),
        usage=_usage(Usage.from_columns(row.columns()) or Usage()),
        cost=_cost(row, cost_of_row(row.columns(), prices)),
        violation=_violation(row, is_enforced=not is_observed),
        is_observed=is_observed,
        notes=notes,
        agent=row.agent,
        api_version=row.api_version,
        trace_id=row.trace_id,
        upstream_request_id=row.upstream_request_id,
        events=row.events,
        bytes_in=row.bytes_in,
        bytes_out=row.bytes_out,
        curl=curl_command(row, base_url),
    )


def _attempt(attempt: Mapping[str, Any]) -> AttemptView:
    fault = attempt.get("fault")
    return AttemptView(
        account=str(attempt.get("account")),
        fault=None if fault is None else str(fault),
        fault_means=_FAULTS.get(str(fault)),
        status=_whole(attempt.get("status")),
        ms=_whole(attempt.get("ms")),
        began_ms=_whole(attempt.get("began_ms")),
    )


def _switch(switch: Any) -> SwitchView | None:
    if not isinstance(switch, dict):
        return None
    cost = switch.get("usd")
    return SwitchView(
        account=str(switch.get("account")),
        reason=str(switch.get("reason")),
        cached_tokens=_whole(switch.get("cached_tokens")) or 0,
        usd=float(cost) if isinstance(cost, (int, float)) else None,
    )


def _whole(value: Any) -> int | None:
    return value if isinstance(value, int) else None


def _usage(usage: Usage) -> UsageView:
    return UsageView(
        input_tokens=usage.input_tokens,
        cache_read_tokens=usage.cache_read_tokens,
        cache_write_tokens=usage.cache_write_tokens,
        cache_write_5m_tokens=usage.cache_write_5m_tokens,
        cache_write_1h_tokens=usage.cache_write_1h_tokens,
        output_tokens=usage.output_tokens,
        thinking_tokens=usage.thinking_tokens,
        web_searches=usage.web_search_requests,
        web_fetches=usage.web_fetch_requests,
        code_executions=usage.code_execution_requests,
        service_tier=usage.service_tier,
        inference_geo=usage.inference_geo,
        speed=usage.speed,
        samplings=[_sampling(one) for one in usage.iterations],
    )


def _sampling(one: Iteration) -> SamplingView:
    return SamplingView(
        type=one.type,
        model=one.model,
        input_tokens=one.input_tokens,
        cache_read_tokens=one.cache_read_tokens,
        cache_write_tokens=one.cache_write_tokens,
        output_tokens=one.output_tokens,
    )


def _cost(row: RequestRow, now: Cost) -> CostView:
    return CostView(
        usd=usd(row.cost_nanousd),
        note=row.cost_note,
        lines=list(_cost_lines(now)),
        now_usd=usd(now.nanousd),
        is_partial=now.is_partial,
    )


def _cost_lines(cost: Cost) -> Iterator[CostLineView]:
    for line in cost.lines:
        yield CostLineView(
            kind=line.kind,
            what=line.what,
            model=line.model,
            quantity=line.quantity,
            per=1 if line.kind in _BY_PIECE else 1_000_000,
            list_usd=float(_listed(line)),
            factors=[FactorView(what=factor.what, value=float(factor.value)) for factor in line.factors],
            unit_usd=float(line.unit_usd),
            usd=float(line.usd),
        )


def _listed(line: CostLine) -> Any:
    return line.unit_usd if line.list_usd is None else line.list_usd


def _violation(row: RequestRow, *, is_enforced: bool) -> ViolationView | None:
    if row.code is None:
        return None
    place = _BROKE_AT.fullmatch(row.reason or "")
    return ViolationView(
        code=row.code,
        rule=find_rule(row.code),
        event_number=None if place is None else int(place[1]),
        byte=None if place is None else int(place[2]),
        is_enforced=is_enforced,
    )
