"""What the metrics say of requests, in a running gateway."""

from __future__ import annotations

import asyncio
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.ledger.record import AttemptRecord, RequestRecord
from gateway.observation.request_metrics import RequestMetrics
from gateway.pricing.usage import Usage
from gateway.replay.openai import OpenAIReplay
from gateway.telemetry.metrics import BoundedNames, GatewayMetrics
from tests.contract.harness import MESSAGES, Served, serving
from tests.faults.waiting import until
from tests.observability.scraping import parse, scrape
from tests.replay.raw_client import LIMIT, message

ROUTE = "POST /v1/messages"


async def test_a_stream_is_counted_with_its_attempts_times_tokens_and_cost() -> None:
    async with serving(control=True) as served:
        await served.assert_serves()
        found = await scrape(served.gateway.control_url)
        (record,) = served.ledger.records
        assert record.counts is not None
        assert record.cost is not None
        assert record.cost.nanousd
        assert found.value("gateway_requests_total", route=ROUTE, outcome="complete", provider="anthropic") == 1
        assert found.value("gateway_attempts_total", **{"class": "ok"}) == 1
        model = record.model_served or ""
        tokens = {
            kind: found.value("gateway_tokens_total", model=model, kind=kind) for kind in ("input", "output")
        }
        assert tokens == {"input": record.counts.input_tokens, "output": record.counts.output_tokens}
        cost = found.value("gateway_cost_usd_total", model=model, provider="anthropic")
        assert cost == pytest.approx(record.cost.nanousd / 1e9)
        for name, labels in (
            ("gateway_time_to_first_byte_seconds_count", {"route": ROUTE}),
            ("gateway_time_to_content_seconds_count", {"model": model}),
            ("gateway_longest_gap_seconds_count", {"provider": "anthropic"}),
            ("gateway_request_duration_seconds_count", {"route": ROUTE, "stream": "true"}),
        ):
            assert found.value(name, **labels) == 1, name


async def test_every_end_of_a_request_is_counted_as_its_record_has_it() -> None:
    async with serving(control=True) as served:
        for fault in (
            "status:529",
            "error-event:overloaded_error;event=4",
            "cut:event=4",
            "eof:event=4",
            "duplicate-start;event=4",
        ):
            await served.stream(fault=fault)
        await served.ask(message())
        await served.ask(target="/claude/v1/models")
        await served.ask(target="/claude/v1/nothing")
        await served.ask(message(), usual=[("x-api-key", "wrong")])
        await leave_in_the_middle(served)
        found = await scrape(served.gateway.control_url)
        outcomes = Counter(record.outcome for record in served.ledger.records)
        assert len(outcomes) >= 5, outcomes
        for outcome, count in outcomes.items():
            assert found.value("gateway_requests_total", outcome=str(outcome)) == count, outcome
        attempts = [attempt for record in served.ledger.records for attempt in record.attempts]
        assert found.value("gateway_attempts_total") == len(attempts)
        codes = Counter(record.code for record in served.ledger.records if record.code)
        assert codes
        for code, count in codes.items():
            assert found.value("gateway_violations_total", code=code) == count


async def leave_in_the_middle(served: Served) -> None:
    known = len(served.ledger.records)
    async with served.connect() as connection:
        headers = [("x-replay-fault", "hang:event=4")]
        await connection.send(MESSAGES, message(stream=True), headers=headers, usual=served.usual)
        await connection.until(b"content_block_delta")
        connection.writer.transport.abort()
    await until(lambda: len(served.ledger.records) > known)


async def test_open_streams_and_places_are_shown_while_they_are_open_and_not_afterwards() -> None:
    async with serving(control=True) as served:
        async with served.connect() as connection:
            headers = [("x-replay-fault", "hang:event=4")]
            await connection.send(MESSAGES, message(stream=True), headers=headers, usual=served.usual)
            await connection.until(b"content_block_delta")
            found = await scrape(served.gateway.control_url)
            assert found.value("gateway_streams_open", provider="anthropic") == 1
            assert found.value("gateway_requests_in_flight", provider="anthropic") == 1
        await until(lambda: served.ledger.records)
        found = await scrape(served.gateway.control_url)
        assert found.value("gateway_streams_open") == 0
        assert found.value("gateway_requests_in_flight") == 0


async def test_connections_to_an_existing_proxy_are_shown_as_long_as_they_are_open() -> None:
    async with OpenAIReplay() as proxy, serving(control=True, openai_base_url=proxy.url) as served:
        async with served.connect() as connection:
            await connection.send("/v1/models", usual=[("authorization", "Bearer sk-made-up-of-a-clients")])
            assert (await connection.receive()).status == 200
            found = await scrape(served.gateway.control_url)
            assert found.value("gateway_forwarded_connections") == 1
        async with asyncio.timeout(LIMIT):
            while found.value("gateway_forwarded_connections"):
                found = await scrape(served.gateway.control_url)


async def test_accounts_limits_and_what_runs_are_shown() -> None:
    async with serving(control=True) as served:
        await served.assert_serves()
        found = await scrape(served.gateway.control_url)
        assert found.value("gateway_accounts", provider="anthropic", state="active") == 1
        assert found.value("gateway_accounts", provider="anthropic") == 1
        assert 0 < found.value("gateway_limit_utilization_ratio", of="most_used", window="requests/opus") < 1
        assert found.value("gateway_build_info", rollout="canary") == 1
        assert found.value("gateway_workers") == 1


async def test_paths_and_models_that_clients_make_up_never_become_labels() -> None:
    async with serving(control=True) as served:
        for number in range(30):
            await served.ask(message(model=f"made-up-{number}", max_tokens=-1))
            await served.ask(target=f"/claude/v1/made-up-{number}")
            await served.ask(target=f"/claude/v1/models/made-up-{number}")
        found = await scrape(served.gateway.control_url)
        assert not [key for key in found.samples if "made-up" in str(key)]
        assert found.labels("gateway_requests_total", "route") <= {ROUTE, "GET /v1/models/{id}", "other"}


async def test_many_scrapes_at_once_take_nothing_from_streams() -> None:
    async with serving(control=True) as served:
        async with asyncio.TaskGroup() as group:
            streams = [group.create_task(served.stream()) for _ in range(20)]
            scrapes = [group.create_task(scrape(served.gateway.control_url)) for _ in range(20)]
        assert all(stream.result().body.endswith(b"}\n\n") for stream in streams)
        assert all(scraped.result().kinds for scraped in scrapes)


TEXT = st.sampled_from(["a", "b", "c", "d", "e", "\n", "x" * 100]) | st.text(max_size=3)
USAGE = st.builds(
    lambda *counts: Usage(
        **dict(
            zip(
                ("input_tokens", "output_tokens", "thinking_tokens", "cache_write_tokens", "web_search_requests"),
                counts,
                strict=True,
            )
        )
    ),
    *[st.none() | st.integers(0, 10**12)] * 5,
)
RECORD = st.builds(
    RequestRecord,
    id=TEXT,
    route=TEXT | st.just(ROUTE),
    actor=TEXT,
    provider=st.sampled_from(["anthropic", "openai"]) | st.none(),
    model=TEXT | st.none(),
    model_served=TEXT | st.none(),
    stream=st.booleans(),
    outcome=st.sampled_from(["complete", "cancelled", "rejected"]) | st.none(),
    counts=USAGE | st.none(),
    attempts=st.lists(
        st.builds(
            AttemptRecord, account=TEXT, fault=st.none() | st.just("overload"), status=st.none() | st.just(200)
        ),
        max_size=3,
    ),
    milliseconds=st.none() | st.integers(0, 10**9),
    milliseconds_to_content=st.none() | st.integers(0, 10**9),
)


@given(st.lists(RECORD, max_size=15))
def test_whatever_is_asked_for_there_are_not_more_series_than_are_foreseen(records: list[RequestRecord]) -> None:
    metrics = GatewayMetrics()
    observer = RequestMetrics(metrics, BoundedNames(3), BoundedNames(3))
    for record in records:
        observer.settled(record)
    page, _ = metrics.page("")
    found = parse(page)
    assert found.value("gateway_requests_total") == len(records)
    assert len(found.labels("gateway_requests_total", "route")) <= 4
    assert len(found.labels("gateway_tokens_total", "model")) <= 4
    used = sum(
        (record.counts.input_tokens or 0)
        + (record.counts.output_tokens or 0)
        + (record.counts.cache_write_tokens or 0)
        for record in records
        if record.counts is not None
    )
    assert found.value("gateway_tokens_total") == pytest.approx(used)
