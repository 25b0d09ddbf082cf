"""What requests cost, worked out again."""

from __future__ import annotations

from datetime import UTC, datetime

from hypothesis import given
from hypothesis import strategies as st

from gateway.ledger.recosting import cost_of_row
from gateway.pricing.book import PriceBook
from gateway.pricing.cost import cost_of
from gateway.pricing.usage import Usage
from tests.cli_costs.command import DAY, Costs
from tests.pricing.golden import CASES

USAGE = {"input_tokens": 1000, "output_tokens": 200}
SAGA = '[[price]]\nmodel = "claude-saga-9"\ninput = 20\noutput = 100\n'  # 1000*20 + 200*100 = 40000 -> $0.04


def prices_file(costs: Costs, text: str) -> None:
    costs.monkeypatch.setenv("GATEWAY_PRICES_FILE", costs.file("prices.toml", text))


def test_a_model_that_was_not_known_is_priced_when_it_is_and_the_sums_follow(costs_anywhere: Costs) -> None:
    costs = costs_anywhere
    known = costs.request(USAGE, model="claude-opus-5-5")  # 1000*4 + 200*20 = 8000 -> $0.008
    new = costs.request(USAGE, model="claude-saga-9")
    late = costs.request(USAGE, model="claude-saga-9")
    costs.record(known, new)
    costs.record(late, sums=False)
    assert costs.rows()[new.id] == (None, "unknown model")
    assert costs.day_total() == (8_000_000, 1)

    assert "1 had no cost" not in costs.run("recompute").out
    prices_file(costs, SAGA)
    done = costs.run("recompute")

    assert done.status == 0
    assert "looked at 2, changed 2: 2 had no cost before" in done.out
    assert "+$0.080000" in done.out
    assert costs.rows() == {known.id: (8_000_000, None), new.id: (40_000_000, None), late.id: (40_000_000, None)}
    assert costs.day_total() == (48_000_000, 0)


def test_it_may_be_run_again_and_changes_nothing(costs: Costs) -> None:
    costs.record(costs.request(USAGE, model="claude-saga-9"), costs.request(USAGE))
    prices_file(costs, SAGA)
    costs.run("recompute", "--dry-run")
    costs.run("recompute", "--all")
    before = costs.rows(), costs.day_total()
    again = costs.run("recompute", "--all", "--json").json
    assert (again["looked_at"], again["changed"], again["difference_usd"]) == (2, 0, "0.000000")
    assert (costs.rows(), costs.day_total()) == before
    # And what changed something is in the audit log.
    assert costs.audit() == [("costs.recompute", {"requests": 1, "had_no_cost": 1, "difference_usd": 0.04})]


def test_a_dry_run_says_what_would_change_and_changes_nothing(costs: Costs) -> None:
    costs.record(costs.request(USAGE, model="claude-saga-9"))
    prices_file(costs, SAGA)
    before = costs.rows(), costs.day_total()
    done = costs.run("recompute", "--dry-run")
    assert "would change 1: 1 had no cost before" in done.out
    assert "would change by +$0.040000" in done.out
    assert (costs.rows(), costs.day_total()) == before


def test_known_costs_change_with_all_alone(costs: Costs) -> None:
    request = costs.request(USAGE)
    costs.record(request)
    prices_file(costs, '[[price]]\nmodel = "claude-opus-5-5"\ninput = 1\noutput = 5\n')  # 1000 + 1000 -> $0.002
    assert "changed 0" in costs.run("recompute").out
    assert "changed by -$0.006000" in costs.run("recompute", "--all").out
    assert costs.rows()[request.id] == (2_000_000, None)
    assert costs.day_total() == (2_000_000, 0)


def test_requests_are_priced_as_of_when_they_came_in(costs: Costs) -> None:
    old = costs.request(USAGE, at=datetime(2026, 11, 1, tzinfo=UTC), model="claude-saga-9")
    new = costs.request(USAGE, model="claude-saga-9")
    costs.record(old, new)
    prices_file(costs, SAGA + SAGA.replace("20", "2").replace("100", "1") + "until = 2026-11-15\n")
    costs.run("recompute")
    # 1000*2 + 200*1 = 2200
    assert costs.rows() == {old.id: (2_200_000, None), new.id: (40_000_000, None)}


def test_a_cost_that_is_known_stays_where_the_model_no_longer_is(costs: Costs) -> None:
    prices_file(costs, SAGA)
    costs.prices = PriceBook.load(costs.data_dir.parent / "prices.toml")
    request = costs.request(USAGE, model="claude-saga-9")
    costs.record(request)
    costs.monkeypatch.delenv("GATEWAY_PRICES_FILE")
    assert costs.run("recompute", "--all", "--json").json["changed"] == 0
    assert costs.rows()[request.id] == (40_000_000, None)


def test_a_time_and_a_model_can_be_chosen(costs: Costs) -> None:
    wanted = costs.request(USAGE, model="claude-saga-9-20260901")
    other = costs.request(USAGE, model="claude-saga-8")
    early = costs.request(USAGE, at=datetime(2026, 11, 1, tzinfo=UTC), model="claude-saga-9")
    costs.record(wanted, other, early)
    prices_file(costs, SAGA + SAGA.replace("-9", "-8"))
    costs.run("recompute", "--model", "claude-saga-9", "--since", "2026-11-10", "--until", "2026-11-22")
    assert {name for name, (cost, _) in costs.rows().items() if cost is not None} == {wanted.id}
    assert costs.run("recompute", "--since", "2026-11-22", "--until", "2026-11-10").status == 1
    assert "is no time" in costs.run("recompute", "--since", "yesterday-ish").err


def test_what_is_still_not_known_is_listed(costs: Costs) -> None:
    costs.record(*(costs.request(USAGE, model="claude-saga-9") for _ in range(3)), costs.request(None))
    done = costs.run("recompute")
    assert "3  claude-saga-9: unknown model" in done.out
    assert "1  claude-opus-5-5: no usage" in done.out
    assert costs.run("recompute", "--json").json["unknown"][0] == {
        "model": "claude-saga-9",
        "reason": "unknown model",
        "requests": 3,
    }


def test_many_requests_are_taken_in_pages(costs: Costs) -> None:
    records = [costs.request(USAGE, model="claude-saga-9") for _ in range(1203)]
    costs.record(*records)
    prices_file(costs, SAGA)
    assert costs.run("recompute", "--json").json["priced"] == 1203
    assert costs.day_total() == (1203 * 40_000_000, 0)


def test_a_row_costs_what_its_answer_did() -> None:
    prices = PriceBook.load()
    # What the blocks of a fallback say is not in the row.
    for case in (case for case in CASES if not case.fallback_categories):
        usage = Usage.of(case.usage)
        cost = cost_of(
            usage,
            model=case.model,
            prices=prices,
            at=case.at.timestamp(),
            outcome=case.outcome,
            stop_reason=case.stop_reason,
            had_output=case.had_output,
            refusal_category=case.refusal_category,
            provider=case.provider,
            route=case.route,
        )
        row = (usage or Usage()).columns() | {
            "at": case.at.timestamp(),
            "route": case.route,
            "provider": case.provider,
            "model": case.model,
            "model_served": None,
            "outcome": case.outcome,
            "stop_reason": case.stop_reason,
            "cost_note": cost.note,
        }
        assert cost_of_row(row, prices) == cost, case.name


@given(
    st.dictionaries(st.sampled_from(["input_tokens", "iterations", "speed", "cost_note", "outcome"]), st.text())
)
def test_a_row_that_holds_nonsense_has_a_cost_or_a_reason(nonsense: dict[str, str]) -> None:
    row = {
        "at": DAY.timestamp(),
        "route": "",
        "provider": "anthropic",
        "model": "claude-opus-5",
        "model_served": None,
    }
    row |= {"outcome": "complete", "stop_reason": "refusal", "cost_note": None}
    found = cost_of_row(row | nonsense, PriceBook.load())
    assert found.nanousd is not None or found.note


def test_the_bill_of_a_request_names_the_models_where_there_are_several(costs: Costs) -> None:
    iterations = [
        {"type": "message", "model": "claude-fable-5", "input_tokens": 1000, "output_tokens": 30},
        {"type": "fallback_message", "model": "claude-opus-4-8", "input_tokens": 1000, "output_tokens": 200},
    ]
    request = costs.request({"output_tokens": 200, "iterations": iterations}, model="claude-opus-4-8")
    costs.record(request)
    shown = costs.run("show", request.id, command="requests").out
    bill = [line.split() for line in shown.splitlines() if " at $" in line]
    assert [(line[0], line[2], line[-1]) for line in bill] == [
        ("1,000", "claude-fable-5", "$0.010000"),
        ("30", "claude-fable-5", "$0.001500"),
        ("1,000", "claude-opus-4-8", "$0.005000"),
        ("200", "claude-opus-4-8", "$0.005000"),
    ]
