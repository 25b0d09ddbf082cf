"""What the record of a request adds to the metrics."""

from __future__ import annotations

from typing import Final

from attrs import define, field

from gateway.ledger.record import AttemptRecord, RequestRecord
from gateway.telemetry.metrics import BoundedNames, GatewayMetrics

__all__ = ["RequestMetrics", "attempt_class"]

_MOST_ROUTES: Final = 50
_OTHER: Final = "other"
_GATEWAY: Final = "gateway"
"""Provider of what no provider was asked for."""
_BAD_REQUEST: Final = 400
_NANO: Final = 1e9


def attempt_class(attempt: AttemptRecord) -> str:
    """Return the fault class of an attempt; `ok` for none, `unfinished` where nothing came of it."""
    if attempt.fault is not None:
        return attempt.fault
    return "ok" if attempt.status is not None and attempt.status < _BAD_REQUEST else "unfinished"


@define(frozen=True)
class RequestMetrics:
    """Counts requests when they are settled."""

    metrics: GatewayMetrics
    _models: BoundedNames = field(factory=BoundedNames)
    _routes: BoundedNames = field(factory=lambda: BoundedNames(_MOST_ROUTES))

    def settled(self, record: RequestRecord) -> None:
        """Count one."""
        metrics = self.metrics
        provider = record.provider or _GATEWAY
        route = self._route(record)
        model = self._model(record)
        metrics.requests.labels(provider, route, record.outcome or _OTHER).inc()
        for attempt in record.attempts:
            metrics.attempts.labels(provider, attempt_class(attempt)).inc()
        if record.code is not None:
            metrics.violations.labels(provider, record.code).inc()
        if record.switch is not None:
            metrics.switches.labels(provider).inc()
        self._time(record, provider, route, model)
        self._count_use(record, provider, model)

    def _route(self, record: RequestRecord) -> str:
        """Name the route: one on which a provider was asked for something, for any path can be made up."""
        return self._routes.fold(record.route) if record.attempts else self._routes.known(record.route)

    def _model(self, record: RequestRecord) -> str:
        """Name the model: one that has answered before, for anything can be asked for."""
        if record.model_served is not None:
            return self._models.fold(record.model_served)
        return self._models.known(record.model)

    def _time(self, record: RequestRecord, provider: str, route: str, model: str) -> None:
        metrics = self.metrics
        if record.milliseconds_to_first_byte is not None:
            metrics.first_byte.labels(route).observe(record.milliseconds_to_first_byte / 1000)
        if record.stream and record.milliseconds_to_content is not None:
            metrics.content.labels(provider, model).observe(record.milliseconds_to_content / 1000)
        if record.longest_gap_milliseconds is not None:
            metrics.gaps.labels(provider).observe(record.longest_gap_milliseconds / 1000)
        if record.milliseconds is not None:
            stream = "true" if record.stream else "false"
            metrics.durations.labels(route, stream).observe(record.milliseconds / 1000)

    def _count_use(self, record: RequestRecord, provider: str, model: str) -> None:
        counts, metrics = record.counts, self.metrics
        if counts is not None:
            short, long = counts.cache_write_5m_tokens, counts.cache_write_1h_tokens
            if short is None and long is None:
                # An upstream that does not say for how long writes for the usual five minutes.
                short = counts.cache_write_tokens
            for kind, count in (
                ("input", counts.input_tokens),
                ("output", counts.output_tokens),
                ("cache_read", counts.cache_read_tokens),
                ("cache_write_5m", short),
                ("cache_write_1h", long),
            ):
                if count:
                    metrics.tokens.labels(provider, model, kind).inc(count)
            if counts.thinking_tokens:
                metrics.thinking_tokens.labels(provider, model).inc(counts.thinking_tokens)
            for tool, count in (
                ("web_search", counts.web_search_requests),
                ("web_fetch", counts.web_fetch_requests),
                ("code_execution", counts.code_execution_requests),
            ):
                if count:
                    metrics.server_tool_uses.labels(provider, tool).inc(count)
        cost = record.cost
        if cost is not None and cost.nanousd is None:
            metrics.unpriced.labels(provider, model).inc()
        elif cost is not None and cost.nanousd:
            metrics.cost.labels(provider, model).inc(cost.nanousd / _NANO)
