"""Traces: a span for each request and for each of its attempts, made when the request is over.

Names are those of the OpenTelemetry semantic conventions for HTTP (1.44) and for generative AI (repository
`semantic-conventions-genai`, `docs/gen-ai/client-inference.md`, as of November 2026). Requests wait for nothing of
this: spans go into a bounded queue, a thread of the SDK's own sends them, and drops them when it cannot keep up.
"""

from __future__ import annotations

import asyncio
import secrets
import threading
from collections.abc import AsyncGenerator, Iterable, Iterator
from contextlib import asynccontextmanager, suppress
from typing import Any, Final

from attrs import define
from opentelemetry.context import Context
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import SERVICE_NAME, Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.sdk.trace.id_generator import IdGenerator
from opentelemetry.sdk.trace.sampling import Sampler
from opentelemetry.trace import (
    NonRecordingSpan,
    Span,
    SpanContext,
    SpanKind,
    Status,
    StatusCode,
    TraceFlags,
    Tracer,
    set_span_in_context,
)
from opentelemetry.util.types import AttributeValue

from gateway.ledger.record import AttemptRecord, RequestRecord
from gateway.observation.request_metrics import attempt_class
from gateway.telemetry.logs import get_logger, printable

__all__ = ["Spans", "open_spans"]

_log = get_logger(__name__)

_SERVICE: Final = "claude-stream-gateway"
_NANO: Final = 10**9
_MILLION: Final = 10**6
_GIVING_UP_SECONDS: Final = 1.0
_SHUTDOWN_SECONDS: Final = 3.0
"""For what is left to be sent; a collector that is away must not hold up the end of the process."""
_SERVER_ERROR: Final = 500
_BAD_REQUEST: Final = 400
_WELL: Final = frozenset({"complete", "repaired", "cancelled", "refused", "rejected"})
"""Outcomes that are no failure of the gateway's, or of what is behind it, beyond what the status says."""
_OPERATIONS: Final = {
    "POST /v1/messages/count_tokens": "count_tokens",
    "GET /v1/models": "list_models",
    "GET /v1/models/{id}": "get_model",
    "POST /v1/embeddings": "embeddings",
    "POST /v1/completions": "text_completion",
}
"""`chat` on all other routes. Those that the conventions have no name for are called what the API calls them."""


class _ChosenIds(IdGenerator):
    """Gives spans the ids that were chosen for them: the upstream, the log and the ledger have them already."""

    def __init__(self) -> None:
        self.trace_id = 0
        self.span_id = 0

    def generate_trace_id(self) -> int:
        return self.trace_id

    def generate_span_id(self) -> int:
        return self.span_id

    def is_trace_id_random(self) -> bool:
        return True


@define(eq=False)
class Spans:
    """Makes the spans of requests that are over. Belongs to one event loop."""

    tracer: Tracer
    sampler: Sampler
    _ids: _ChosenIds

    def announce(self, record: RequestRecord, attempt: AttemptRecord) -> str:
        """Return the `traceparent` that makes the upstream's spans children of an attempt's."""
        if record.trace_id is None:
            record.trace_id = secrets.token_hex(16)
        attempt.span_id = secrets.token_hex(8)
        decided = self.sampler.should_sample(_parent(record.traceparent), int(record.trace_id, 16), record.route)
        return f"00-{record.trace_id}-{attempt.span_id}-{TraceFlags(decided.decision.is_sampled()):02x}"

    def settled(self, record: RequestRecord) -> None:
        """Make the spans of one; give it the id of its trace, if its client brought none."""
        parent = _parent(record.traceparent)
        if record.trace_id is None:
            record.trace_id = secrets.token_hex(16)
        self._ids.trace_id = int(record.trace_id, 16)
        self._ids.span_id = int(secrets.token_hex(8), 16)
        began = round(record.at * _NANO)
        ended = began + (record.milliseconds or 0) * _MILLION
        attributes = _attributes(_request_facts(record))
        span = self.tracer.start_span(
            record.route, parent, SpanKind.SERVER, attributes=attributes, start_time=began
        )
        if span.is_recording():
            self._fill(span, record, began, ended)
        span.end(ended)

    def _fill(self, span: Span, record: RequestRecord, began: int, ended: int) -> None:
        if record.milliseconds_to_first_byte is not None:
            span.add_event("gateway.head_sent", timestamp=began + record.milliseconds_to_first_byte * _MILLION)
        if record.milliseconds_to_content is not None:
            # Up to here a failure would have been tried on another account.
            span.add_event("gateway.commit", timestamp=began + record.milliseconds_to_content * _MILLION)
        problem = _problem(record)
        if problem is not None:
            span.set_attribute("error.type", problem)
            span.set_status(Status(StatusCode.ERROR, record.outcome))
        context = set_span_in_context(span)
        for attempt in record.attempts:
            self._add_attempt(context, record, attempt, began, ended)

    def _add_attempt(
        self, context: Context, record: RequestRecord, attempt: AttemptRecord, began: int, ended: int
    ) -> None:
        served = attempt is record.attempts[-1] and attempt.fault is None and record.account is not None
        start = began + (attempt.began_milliseconds or 0) * _MILLION
        end = max(start, ended) if served else start + attempt.milliseconds * _MILLION
        attributes = _attributes(_attempt_facts(record, attempt, served=served))
        operation = attributes["gen_ai.operation.name"]
        self._ids.span_id = int(attempt.span_id or secrets.token_hex(8), 16)
        span = self.tracer.start_span(
            f"{operation} {attributes['gen_ai.request.model']}" if record.model else str(operation),
            context,
            SpanKind.CLIENT,
            attributes=attributes,
            start_time=start,
        )
        problem = attempt.fault or (_problem(record) if served else None)
        if problem is not None:
            span.set_attribute("error.type", problem)
            span.set_status(Status(StatusCode.ERROR, problem))
        span.end(end)


def _parent(traceparent: str | None) -> Context:
    """Return the context of the client's span; an empty one, not that of whoever runs this, if there is none."""
    if traceparent is None:
        return Context()
    _, trace_id, span_id, flags = traceparent.split("-")[:4]
    remote = SpanContext(
        int(trace_id, 16), int(span_id, 16), is_remote=True, trace_flags=TraceFlags(int(flags, 16))
    )
    return set_span_in_context(NonRecordingSpan(remote), Context())


def _problem(record: RequestRecord) -> str | None:
    """Return `error.type` of a request that failed, as the HTTP conventions have it for servers."""
    if record.outcome is not None and record.outcome not in _WELL:
        return record.code or record.outcome
    if record.status is not None and record.status >= _SERVER_ERROR:
        return str(record.status)
    return None


def _attributes(facts: Iterable[tuple[str, AttributeValue | None]]) -> dict[str, AttributeValue]:
    """Return what is known, in texts that can be sent: clients choose what some of it says."""
    return {name: printable(value) for name, value in facts if value is not None}


def _request_facts(record: RequestRecord) -> Iterator[tuple[str, AttributeValue | None]]:
    method, _, route = record.route.partition(" ")
    yield "http.request.method", method
    yield "http.route", route
    yield "http.response.status_code", record.status
    yield "gateway.request.id", record.id
    yield "gateway.outcome", record.outcome
    yield "gateway.actor", record.actor
    yield "gateway.client", record.client
    yield "gateway.attempts", len(record.attempts)
    if record.cost is not None and record.cost.nanousd is not None:
        yield "gateway.cost.usd", record.cost.nanousd / _NANO


def _attempt_facts(
    record: RequestRecord, attempt: AttemptRecord, *, served: bool
) -> Iterator[tuple[str, AttributeValue | None]]:
    yield "gen_ai.operation.name", _OPERATIONS.get(record.route, "chat")
    yield "gen_ai.provider.name", record.provider
    yield "gen_ai.request.model", record.model
    yield "gen_ai.request.stream", True if record.stream else None
    yield "gen_ai.conversation.id", record.session
    yield "http.response.status_code", attempt.status
    yield "gateway.account", attempt.account
    yield "gateway.attempt.class", attempt_class(attempt)
    if served:
        yield from _served_facts(record, attempt)


def _served_facts(record: RequestRecord, attempt: AttemptRecord) -> Iterator[tuple[str, AttributeValue | None]]:
    """Say what the answer was: on one span alone, so that tokens are not counted twice."""
    yield "gen_ai.response.model", record.model_served
    yield "gen_ai.response.finish_reasons", [record.stop_reason] if record.stop_reason else None
    yield "gateway.upstream.request.id", record.upstream_request_id
    if record.stream and record.milliseconds_to_content is not None:
        waited = record.milliseconds_to_content - (attempt.began_milliseconds or 0)
        yield "gen_ai.response.time_to_first_chunk", max(0, waited) / 1000
    counts = record.counts
    if counts is not None:
        yield "gen_ai.usage.input_tokens", counts.total_input_tokens
        yield "gen_ai.usage.output_tokens", counts.output_tokens
        yield "gen_ai.usage.cache_read.input_tokens", counts.cache_read_tokens
        yield "gen_ai.usage.cache_write.input_tokens", counts.cache_write_tokens
        yield "gen_ai.usage.reasoning.output_tokens", counts.thinking_tokens


@asynccontextmanager
async def open_spans(exporter: Any = None) -> AsyncGenerator[Spans]:
    """Send spans for as long as the context lasts; then what is left, for a few seconds at most.

    Args:
        exporter: where to; default the collector that the standard variables (`OTEL_EXPORTER_OTLP_…`) name.
    """
    ids = _ChosenIds()
    # A thread, because resources are looked up in files and packages.
    exporter = exporter or await asyncio.to_thread(OTLPSpanExporter)
    provider = await asyncio.to_thread(_make_provider, ids, exporter)
    try:
        yield Spans(provider.get_tracer("gateway"), provider.sampler, ids)
    finally:
        # Who is asked to end between two tries to send does so.
        await _within(_SHUTDOWN_SECONDS, provider.shutdown, give_up=exporter.shutdown)


def _make_provider(ids: IdGenerator, exporter: Any) -> TracerProvider:
    resource = Resource.create()
    if str(resource.attributes.get(SERVICE_NAME, "unknown_service")).startswith("unknown_service"):
        resource = resource.merge(Resource({SERVICE_NAME: _SERVICE}))
    provider = TracerProvider(id_generator=ids, resource=resource, shutdown_on_exit=False)
    provider.add_span_processor(BatchSpanProcessor(exporter))
    return provider


async def _within(seconds: float, work: Any, *, give_up: Any) -> None:
    """Do blocking work in a thread that nobody waits for much longer than this."""
    loop = asyncio.get_running_loop()
    done = asyncio.Event()

    def run() -> None:
        try:
            work()
        finally:
            with suppress(RuntimeError):  # the loop has ended meanwhile
                loop.call_soon_threadsafe(done.set)

    threading.Thread(target=run, name="end-of-traces", daemon=True).start()
    try:
        async with asyncio.timeout(seconds):
            await done.wait()
    except TimeoutError:
        _log.warning("traces that are left could not be sent in time", seconds=seconds)
        with suppress(TimeoutError):
            async with asyncio.timeout(_GIVING_UP_SECONDS):
                await asyncio.to_thread(give_up)
                await done.wait()
