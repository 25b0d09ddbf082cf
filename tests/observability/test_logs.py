"""Which requests the log tells of, and what it says of them."""

from __future__ import annotations

import io
import os
import threading
from collections import Counter
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.ledger.log_line import is_chosen
from gateway.telemetry import logs
from tests.contract.harness import serving
from tests.log_watch import recent_events


def lines() -> list[dict[str, Any]]:
    """Return the lines of requests that this test brought about."""
    return [line for line in recent_events() if line["event"] == "request"]


async def test_one_line_says_what_a_request_was_and_what_became_of_it() -> None:
    async with serving() as served:
        answer = await served.stream()
        record = served.ledger.of(answer)
    (line,) = lines()
    assert line["request_id"] == record.id
    assert record.counts is not None
    assert record.cost is not None
    assert record.cost.nanousd is not None
    expected = {
        "provider": "anthropic",
        "actor": "contract",
        "model": "claude-opus-5-5",
        "stop_reason": "end_turn",
        "outcome": "complete",
        "status": 200,
        "input_tokens": record.counts.input_tokens,
        "output_tokens": record.counts.output_tokens,
        "cost_usd": record.cost.nanousd / 1e9,
    }
    assert {name: line[name] for name in expected} == expected
    assert [attempt["status"] for attempt in line["attempts"]] == [200]


async def test_the_trace_that_a_client_is_part_of_is_named_in_the_line() -> None:
    trace = "0af7651916cd43dd8448eb211c80319c"
    async with serving() as served:
        await served.stream(headers=[("traceparent", f"00-{trace}-b7ad6b7169203331-01")])
        await served.stream(headers=[("traceparent", f"00-{'0' * 32}-b7ad6b7169203331-01")])
    assert [line.get("trace_id") for line in lines()] == [trace, None]


@pytest.mark.parametrize(
    ("value", "named"),
    [
        ("00-{}-b7ad6b7169203331-01", 1),
        ("01-{}-b7ad6b7169203331-01", 1),
        ("01-{}-b7ad6b7169203331-01-of-a-later-version", 1),
        ("00-{}-b7ad6b7169203331-01-extra", 0),
        ("00-{}-b7ad6b7169203331-01-", 0),
        ("ff-{}-b7ad6b7169203331-01", 0),
        ("00-{}-0000000000000000-01", 0),
        ("00-{}-b7ad6b7169203331-0", 0),
    ],
)
async def test_a_trace_that_the_standard_calls_invalid_is_none(value: str, named: int) -> None:
    trace = "0af7651916cd43dd8448eb211c80319c"
    async with serving() as served:
        await served.stream(headers=[("traceparent", value.format(trace))])
    assert [line["trace_id"] for line in lines() if "trace_id" in line] == [trace] * named


async def test_with_a_share_of_nothing_only_what_did_not_end_well_gets_a_line() -> None:
    async with serving(log_sample=0.0) as served:
        await served.assert_serves()
        await served.stream(fault="cut:event=4")
        await served.ask(target="/claude/v1/nothing")
        outcomes = Counter(record.outcome for record in served.ledger.records)
    assert outcomes["complete"] == 1
    assert [(line["outcome"], line["level"]) for line in lines()] == [
        ("truncated", "warning"),
        ("rejected", "info"),
    ]


@given(st.floats(0, 1), st.floats(0, 1))
def test_processes_agree_on_what_is_sampled_and_a_larger_share_has_all_of_a_smaller_one(
    one: float, two: float
) -> None:
    ids = [f"req_{number}" for number in range(200)]
    fewer, more = ([name for name in ids if is_chosen(name, share)] for share in sorted((one, two)))
    assert set(fewer) <= set(more)
    assert all(is_chosen(name, 1.0) and not is_chosen(name, 0.0) for name in ids)
    assert abs(len(more) - max(one, two) * len(ids)) <= 40


class _Stuck(io.StringIO):
    """A stream that takes nothing until it is told to."""

    def __init__(self) -> None:
        super().__init__()
        self.free = threading.Event()
        self.reached = threading.Event()

    def write(self, text: str) -> int:
        self.reached.set()
        self.free.wait()
        return super().write(text)

    def isatty(self) -> bool:
        return False


def test_lines_that_nobody_takes_are_bounded_dropped_and_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(logs, "_QUEUE_LINES", 100)
    stream = _Stuck()
    logs.configure_logs(fmt="json", stream=stream)
    try:
        log = logs.get_logger("test")
        log.info("the first")
        assert stream.reached.wait(10)
        for _ in range(1000):
            log.info("more")
        assert logs.dropped_lines() == 900
        stream.free.set()
        logs.close_logs(10)
        text = stream.getvalue()
        assert text.count('"event":"more"') == 100
        assert '"lines": 900' in text
    finally:
        stream.free.set()
        logs.close_logs()


def test_a_log_whose_reader_has_gone_is_no_reason_to_stop() -> None:
    reader, writer = os.pipe()
    os.close(reader)
    stream = os.fdopen(writer, "w")
    logs.configure_logs(fmt="json", stream=stream)
    log = logs.get_logger("test")
    for _ in range(100):
        log.info("a line")
    logs.close_logs(10)
    with suppress(BrokenPipeError):
        stream.close()
