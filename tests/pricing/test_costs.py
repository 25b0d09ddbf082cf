"""What answers cost, by a table of cases that were worked out by hand."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal

import pytest

from gateway.pricing.book import PriceBook
from gateway.pricing.cost import Cost, cost_of
from gateway.pricing.usage import Usage
from tests.pricing.golden import CASES, Case, evaluate

PRICES = PriceBook.load()


def cost(case: Case) -> Cost:
    return cost_of(
        Usage.of(case.usage),
        model=case.model,
        prices=PRICES,
        at=case.at.timestamp(),
        outcome=case.outcome,
        stop_reason=case.stop_reason,
        had_output=case.had_output,
        refusal_category=case.refusal_category,
        fallback_categories=case.fallback_categories,
        provider=case.provider,
        route=case.route,
    )


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_an_answer_costs_what_was_worked_out_by_hand(case: Case) -> None:
    found = cost(case)
    assert (found.nanousd, found.note) == (case.nanousd, case.note)


def test_the_sums_of_the_table_are_right() -> None:
    for case in CASES:
        assert (case.sum is None) == (case.usd is None), case.name
        if case.sum is not None and case.usd is not None:
            products, _, total = case.sum.partition("=")
            assert evaluate(products) == Decimal(total.strip()) == Decimal(case.usd).scaleb(6), case.name


def test_the_lines_of_a_bill_add_up_to_it() -> None:
    for case in CASES:
        found = cost(case)
        assert sum((line.usd for line in found.lines), Decimal(0)) == Decimal(found.nanousd or 0).scaleb(-9)
        for line in found.lines:
            each = Decimal(1) if line.kind == "web_searches" else Decimal("0.000001")
            assert line.usd == line.quantity * line.unit_usd * each, case.name


def test_the_table_has_every_model_of_the_price_list() -> None:
    priced = {case.model for case in CASES if case.name.startswith("all kinds of tokens")}
    assert priced >= {
        "claude-fable-5-2",
        "claude-mythos-5-2",
        "claude-fable-5-1",
        "claude-mythos-5-1",
        "claude-fable-5",
        "claude-mythos-5",
        "claude-mythos-preview",
        "claude-opus-5-5",
        "claude-opus-5",
        "claude-opus-4-8",
        "claude-opus-4-7",
        "claude-opus-4-6",
        "claude-opus-4-5",
        "claude-opus-4-1",
        "claude-opus-4",
        "claude-sonnet-5-5",
        "claude-sonnet-5",
        "claude-sonnet-4-6",
        "claude-sonnet-4-5",
        "claude-sonnet-4",
        "claude-haiku-5-5",
        "claude-haiku-4-5",
        "claude-haiku-3-5",
    }


@pytest.mark.parametrize("outcome", ["truncated", "upstream_error", "violation", "cancelled", "failed"])
def test_what_broke_off_is_marked_as_partial_even_where_its_cost_is_not_known(outcome: str) -> None:
    found = cost_of(
        None,
        model="claude-opus-5-5",
        prices=PRICES,
        at=datetime(2026, 11, 20, tzinfo=UTC).timestamp(),
        outcome=outcome,
        stop_reason=None,
    )
    assert found == Cost(nanousd=None, note="no usage; partial", is_partial=True)


def test_a_cost_beyond_what_a_database_holds_is_not_known_rather_than_wrong() -> None:
    one = {"type": "message", "input_tokens": 10**12, "output_tokens": 10**12}
    raw = {"iterations": [one] * 200}
    found = cost_of(
        Usage.of(raw),
        model="claude-opus-4-1",
        prices=PRICES,
        at=datetime(2026, 11, 20, tzinfo=UTC).timestamp(),
        outcome="complete",
        stop_reason="end_turn",
    )
    assert (found.nanousd, found.note) == (None, "too large")


def test_a_model_that_samples_several_times_is_one_hop_of_a_fallback() -> None:
    def one(kind: str, model: str | None, output: int) -> dict[str, object]:
        return {"type": kind, "model": model, "input_tokens": 1000, "output_tokens": output}

    usage = Usage.of(
        {
            "iterations": [
                one("message", "claude-fable-5", 10),
                one("message", None, 0),
                one("message", "claude-opus-5", 0),
                one("fallback_message", "claude-opus-4-8", 10),
            ]
        }
    )

    def billed(*categories: str | None) -> list[str | None]:
        found = cost_of(
            usage,
            model="claude-opus-4-8",
            prices=PRICES,
            at=datetime(2026, 11, 20, tzinfo=UTC).timestamp(),
            outcome="complete",
            stop_reason="end_turn",
            fallback_categories=categories,
        )
        return [line.model for line in found.lines if line.kind == "input"]

    assert billed() == ["claude-fable-5", "claude-opus-4-8"]
    assert billed("cyber", "bio") == ["claude-fable-5", "claude-opus-5", "claude-opus-4-8"]
    # A sampling that does not say whose it was is of the same model as the one before.
    assert billed("bio", None) == ["claude-fable-5", "claude-fable-5", "claude-opus-4-8"]
