"""Traces: what spans say of a request, how they hang together, and that a collector that is away harms nobody."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any, Final

import pytest
from aiohttp import web
from attrs import define, field
from hypothesis import given
from hypothesis import strategies as st
from opentelemetry.exporter.otlp.proto.common.trace_encoder import encode_spans
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import Span as SentSpan
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.sdk.trace.sampling import ALWAYS_ON

from gateway.ledger.record import AttemptRecord, RequestRecord
from gateway.observability import TracingUnavailableError
from gateway.observation.tracing import Spans, _ChosenIds
from gateway.pricing.usage import Usage
from tests.contract.harness import Served, serving
from tests.faults.waiting import until
from tests.log_watch import recent_events
from tests.replay.raw_client import message

TRACE: Final = "0af7651916cd43dd8448eb211c80319c"
PARENT: Final = "b7ad6b7169203331"
SERVER: Final = SentSpan.SpanKind.SPAN_KIND_SERVER
CLIENT: Final = SentSpan.SpanKind.SPAN_KIND_CLIENT


@define(eq=False)
class Collector:
    """Takes what a gateway sends by OTLP over HTTP."""

    url: str = ""
    spans: list[SentSpan] = field(factory=list)
    services: set[str] = field(factory=set)
    paths: set[str] = field(factory=set)
    may_answer: asyncio.Event = field(factory=asyncio.Event)
    asked: asyncio.Event = field(factory=asyncio.Event)

    async def handle(self, request: web.BaseRequest) -> web.StreamResponse:
        body = await request.read()
        self.asked.set()
        await self.may_answer.wait()
        self.paths.add(request.path)
        for resource in ExportTraceServiceRequest.FromString(body).resource_spans:
            self.services.add(values(resource.resource.attributes)["service.name"])
            for scope in resource.scope_spans:
                self.spans.extend(scope.spans)
        return web.Response(content_type="application/x-protobuf")

    def of_kind(self, kind: int) -> list[SentSpan]:
        return [span for span in self.spans if span.kind == kind]


def values(attributes: Any) -> dict[str, Any]:
    """Return the attributes of a span as they are in Python."""
    found: dict[str, Any] = {}
    for pair in attributes:
        kind = pair.value.WhichOneof("value")
        value = getattr(pair.value, kind)
        found[pair.key] = [one.string_value for one in value.values] if kind == "array_value" else value
    return found


@pytest.fixture
async def collector(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Collector]:
    running = Collector()
    running.may_answer.set()
    runner = web.ServerRunner(web.Server(running.handle), shutdown_timeout=0.1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    running.url = f"http://127.0.0.1:{site.port}"
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", running.url)
    monkeypatch.setenv("OTEL_BSP_SCHEDULE_DELAY", "20")
    yield running
    running.may_answer.set()
    await runner.cleanup()


@asynccontextmanager
async def tracing(**settings: Any) -> AsyncGenerator[Served]:
    async with serving(otel_enabled=True, **settings) as served:
        yield served


def sent_upstream(served: Served) -> Mapping[str, str]:
    """Return the headers of the last request that the upstream got."""
    return {name.lower(): value for name, value in served.upstream.requests[-1].headers}


async def test_a_request_and_its_attempt_are_spans_of_one_trace_that_log_and_ledger_name_too(
    collector: Collector,
) -> None:
    async with tracing() as served:
        record = served.ledger.of(await served.stream())
        assert "traceparent" not in sent_upstream(served)
        await until(lambda: len(collector.spans) == 2)
    (request,), (attempt,) = collector.of_kind(SERVER), collector.of_kind(CLIENT)
    assert collector.paths == {"/v1/traces"}
    assert collector.services == {"claude-stream-gateway"}
    assert record.counts is not None
    (line,) = [line for line in recent_events() if line["event"] == "request"]
    assert request.trace_id.hex() == attempt.trace_id.hex() == record.trace_id == line["trace_id"]
    assert not request.parent_span_id
    assert attempt.parent_span_id == request.span_id
    assert (request.name, attempt.name) == ("POST /v1/messages", "chat claude-opus-5-5")
    assert [event.name for event in request.events] == ["gateway.head_sent", "gateway.commit"]
    assert request.start_time_unix_nano <= request.events[1].time_unix_nano <= request.end_time_unix_nano
    assert request.start_time_unix_nano <= attempt.start_time_unix_nano <= attempt.end_time_unix_nano
    assert attempt.end_time_unix_nano == request.end_time_unix_nano
    expected = {"http.response.status_code": 200, "gateway.request.id": record.id, "gateway.outcome": "complete"}
    assert expected.items() <= values(request.attributes).items()
    expected = {
        "gen_ai.operation.name": "chat",
        "gen_ai.provider.name": "anthropic",
        "gen_ai.request.model": "claude-opus-5-5",
        "gen_ai.request.stream": True,
        "gen_ai.response.model": record.model_served,
        "gen_ai.response.finish_reasons": ["end_turn"],
        "gen_ai.usage.input_tokens": record.counts.total_input_tokens,
        "gen_ai.usage.output_tokens": record.counts.output_tokens,
        "gen_ai.usage.cache_read.input_tokens": record.counts.cache_read_tokens,
        "gen_ai.usage.cache_write.input_tokens": record.counts.cache_write_tokens,
        "gateway.account": "environment",
        "gateway.attempt.class": "ok",
    }
    assert expected.items() <= values(attempt.attributes).items()
    assert values(attempt.attributes)["gen_ai.response.time_to_first_chunk"] >= 0


async def test_the_trace_of_a_client_goes_on_here_and_reaches_the_upstream_as_the_client_sent_it(
    collector: Collector,
) -> None:
    given_headers = [("traceparent", f"00-{TRACE}-{PARENT}-01"), ("tracestate", "vendor=1")]
    async with tracing() as served:
        await served.stream(headers=given_headers)
        assert dict(given_headers).items() <= sent_upstream(served).items()
        await until(lambda: len(collector.spans) == 2)
    (request,) = collector.of_kind(SERVER)
    assert (request.trace_id.hex(), request.parent_span_id.hex()) == (TRACE, PARENT)


@pytest.mark.parametrize("headers", [[], [("TraceParent", f"00-{TRACE}-{PARENT}-01")]], ids=["none", "a client's"])
async def test_where_it_is_wanted_the_upstream_is_told_of_the_attempt(
    collector: Collector, headers: list[tuple[str, str]]
) -> None:
    async with tracing(otel_propagate=True) as served:
        await served.stream(headers=[*headers, ("tracestate", "vendor=1")])
        sent = [value for name, value in served.upstream.requests[-1].headers if name.lower() == "traceparent"]
        assert sent_upstream(served)["tracestate"] == "vendor=1"
        await until(lambda: len(collector.spans) == 2)
    (attempt,) = collector.of_kind(CLIENT)
    assert sent == [f"00-{attempt.trace_id.hex()}-{attempt.span_id.hex()}-01"]
    assert not headers or attempt.trace_id.hex() == TRACE


async def test_a_trace_that_its_client_does_not_record_is_not_recorded_here_and_the_upstream_knows(
    collector: Collector,
) -> None:
    async with tracing(otel_propagate=True) as served:
        await served.stream(headers=[("traceparent", f"00-{TRACE}-{PARENT}-00")])
        told = sent_upstream(served)["traceparent"]
        assert told.startswith(f"00-{TRACE}-")
        assert told.endswith("-00")
        await served.stream()
        await until(lambda: len(collector.spans) == 2)
    assert TRACE not in {span.trace_id.hex() for span in collector.spans}
    assert served.ledger.records[0].trace_id == TRACE


async def test_what_goes_wrong_is_an_error_on_the_spans_that_it_is_about(collector: Collector) -> None:
    async with tracing() as served:
        await served.stream(fault="status:529")
        await served.stream(fault="cut:event=4")
        await served.ask(message(), usual=[("x-api-key", "wrong")])
        await until(lambda: len(collector.spans) == 5)
    errors = {
        (span.kind, values(span.attributes).get("error.type"), span.status.code == 2) for span in collector.spans
    }
    assert errors == {
        (SERVER, "529", True),
        (CLIENT, "overload", True),
        (SERVER, "truncated", True),
        (CLIENT, "truncated", True),
        (SERVER, None, False),
    }


async def test_a_collector_that_does_not_answer_holds_up_neither_streams_nor_the_end(
    collector: Collector, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_TIMEOUT", "1000")
    collector.may_answer.clear()
    async with tracing() as served:
        await served.assert_serves()
        async with asyncio.timeout(20):
            await collector.asked.wait()
        for _ in range(5):
            await served.assert_serves()
    assert not collector.spans
    assert [line for line in recent_events() if "traces that are left" in line["event"]]


async def test_a_collector_that_is_not_there_harms_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:9")
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_TIMEOUT", "1")
    async with tracing() as served:
        await served.assert_serves()


async def test_the_standard_switch_turns_all_of_it_off(
    collector: Collector, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OTEL_SDK_DISABLED", "true")
    async with tracing(otel_propagate=True) as served:
        await served.assert_serves()
    assert not collector.spans


async def test_without_the_extra_one_sentence_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "gateway.observation.tracing")
    monkeypatch.setitem(sys.modules, "opentelemetry.exporter.otlp.proto.http.trace_exporter", None)
    with pytest.raises(TracingUnavailableError, match=r"pip install 'claude-stream-gateway\[otel\]'"):
        async with tracing():
            raise AssertionError("it runs")


async def test_variables_that_do_not_go_together_are_said_in_one_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OTEL_BSP_MAX_QUEUE_SIZE", "10")
    with pytest.raises(TracingUnavailableError, match="OTEL_… cannot be used: max_export_batch_size must be less"):
        async with tracing():
            raise AssertionError("it runs")


TEXT = st.text(st.characters(exclude_categories=()), max_size=5) | st.just("x" * 1000)
ATTEMPT = st.builds(
    AttemptRecord,
    account=st.text(max_size=5),
    fault=st.none() | st.sampled_from(["overload", "transport"]),
    status=st.none() | st.integers(100, 599),
    milliseconds=st.integers(0, 10**7),
    began_milliseconds=st.none() | st.integers(0, 10**7),
)
RECORD = st.builds(
    RequestRecord,
    id=st.text(max_size=5),
    route=st.text(max_size=20),
    actor=TEXT,
    client=st.none() | TEXT,
    session=st.none() | TEXT,
    model_served=st.none() | TEXT,
    stop_reason=st.none() | TEXT,
    upstream_request_id=st.none() | TEXT,
    provider=st.none() | st.just("anthropic"),
    model=st.none() | TEXT,
    stream=st.booleans(),
    outcome=st.none() | st.sampled_from(["complete", "truncated", "failed"]),
    status=st.none() | st.integers(100, 599),
    traceparent=st.none() | st.just(f"00-{TRACE}-{PARENT}-01"),
    account=st.none() | st.just("one"),
    counts=st.none() | st.builds(Usage, input_tokens=st.none() | st.integers(0, 10**12)),
    attempts=st.lists(ATTEMPT, max_size=4),
    milliseconds=st.none() | st.integers(0, 10**7),
    milliseconds_to_content=st.none() | st.integers(0, 10**7),
)


@given(RECORD)
def test_every_record_makes_one_span_and_one_for_each_attempt_below_it(record: RequestRecord) -> None:
    exporter, ids = InMemorySpanExporter(), _ChosenIds()
    provider = TracerProvider(id_generator=ids, shutdown_on_exit=False)
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    if record.traceparent is not None:
        record.trace_id = TRACE
    Spans(provider.get_tracer("test"), ALWAYS_ON, ids).settled(record)
    *attempts, request = exporter.get_finished_spans()
    assert len(encode_spans(exporter.get_finished_spans()).SerializeToString()) < 12_000
    assert len(attempts) == len(record.attempts)
    assert request.context.trace_id == int(record.trace_id or "", 16)
    for span in attempts:
        assert span.parent is not None
        assert span.parent.span_id == request.context.span_id
        assert request.start_time is not None
        assert span.start_time is not None
        assert span.end_time is not None
        assert request.start_time <= span.start_time <= span.end_time
    assert len({span.context.span_id for span in exporter.get_finished_spans()}) == len(record.attempts) + 1
    served = [span for span in attempts if "gen_ai.usage.input_tokens" in (span.attributes or {})]
    assert len(served) <= 1
