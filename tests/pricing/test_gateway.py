"""What requests through a whole gateway are recorded to cost. Sums are in millionths of a dollar."""

from __future__ import annotations

from pathlib import Path

import pytest

from gateway.cli import main
from gateway.ledger.record import RequestRecord
from tests.contract.harness import Served, serving
from tests.replay.raw_client import message

STREAMS = {
    "refusal-before-output": (0, "refused before output"),
    "refusal-after-output": (1290 * 8 + 23 * 40, "refused midway"),
    "advisor": (2204 * 2 + 40 * 10 + 2310 * 4 + 512 * 20 + 2790 * 2 + 120 * 10, None),
    "compaction-then-text": (180000 * 4 + 3500 * 20 + 23000 * 4 + 1000 * 20, None),
    "fallback-model": (1311 * 4 + 5 * 20 + 1316 * 2 + 59 * 10, "fallback"),
}
MESSAGES = {
    "refusal-before-output": (0, "refused before output"),
    "fallback-served": (1311 * 4 + 1 * 20 + 1316 * 2 + 59 * 10, "fallback"),
}


def cost_in(record: RequestRecord) -> tuple[float | None, str | None]:
    """Return the cost of a record in millionths of a dollar, and its note."""
    assert record.cost is not None
    nanousd = record.cost.nanousd
    return None if nanousd is None else nanousd / 1000, record.cost.note


@pytest.mark.parametrize("name", STREAMS)
async def test_a_stream_costs_what_its_last_counters_say(name: str) -> None:
    async with serving() as served:
        answer = await served.stream({"model": f"replay-{name}"})
        assert cost_in(served.ledger.of(answer)) == STREAMS[name]


@pytest.mark.parametrize("name", MESSAGES)
async def test_an_answer_that_is_no_stream_costs_the_same(name: str) -> None:
    async with serving() as served:
        answer = await served.ask(message(model=f"replay-{name}"))
        assert cost_in(served.ledger.of(answer)) == MESSAGES[name]


async def test_the_category_of_a_refusal_is_known_when_it_is_priced() -> None:
    async with serving() as served:
        answer = await served.stream({"model": "replay-refusal-fallback-token"})
        assert served.ledger.of(answer).refusal_category == "bio"
        answer = await served.ask(message(model="replay-refusal-before-output"))
        assert served.ledger.of(answer).refusal_category == "cyber"


async def test_a_stream_that_breaks_off_costs_what_was_seen(served: Served) -> None:
    answer = await served.stream({"model": "replay-refusal-after-output"}, fault="cut:event=5")
    record = served.ledger.of(answer)
    assert record.outcome == "truncated"
    assert record.cost is not None
    assert record.cost.is_partial
    # The counters of message_start: 1290 tokens of input, and a first one of output.
    assert record.counts is not None
    assert cost_in(record) == (1290 * 8 + (record.counts.output_tokens or 0) * 40, "partial")


async def test_what_is_not_answered_and_what_is_counted_costs_nothing(served: Served) -> None:
    refused = await served.stream(fault="status:529")
    unknown = await served.ask(message(), usual=[("x-api-key", "csg_unknown")])
    counted = await served.ask(message(), "/claude/v1/messages/count_tokens")
    assert counted.status == 200
    assert [cost_in(served.ledger.of(answer)) for answer in (refused, unknown, counted)] == [
        (0, "no answer"),
        (0, "no answer"),
        (0, "free"),
    ]


async def test_a_model_without_a_price_is_served_and_flagged(served: Served) -> None:
    answer = await served.stream({"model": "claude-saga-9"})
    assert answer.status == 200
    assert cost_in(served.ledger.of(answer)) == (None, "unknown model")


def test_a_gateway_with_a_file_of_prices_that_is_wrong_does_not_start(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "prices.toml"
    file.write_text("[[price]]\nmodel = 3\n")
    monkeypatch.setenv("GATEWAY_PRICES_FILE", str(file))
    monkeypatch.setenv("GATEWAY_DATA_DIR", str(tmp_path))
    monkeypatch.setenv("GATEWAY_LISTEN", "127.0.0.1:0")
    assert main(["serve"]) == 1
    assert "model: must be a text" in capsys.readouterr().err
