"""What the gateway recorded beside what Anthropic reports."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.pricing.drift import Drift
from gateway.pricing.exports import ExportError, model_id, read_export
from tests.cli_costs.command import Costs

OPUS = {
    "input_tokens": 1000,
    "cache_creation_input_tokens": 5000,
    "cache_creation": {"ephemeral_5m_input_tokens": 2000, "ephemeral_1h_input_tokens": 3000},
    "cache_read_input_tokens": 10000,
    "output_tokens": 500,
    "server_tool_use": {"web_search_requests": 2},
}
TODAY, AFTER = "2026-11-20", "2026-11-21"
OPUS_USD = Decimal("0.07")  # 1000*4 + 2000*5 + 3000*8 + 10000*0.20 + 500*20 + 2*10000 = 70000
SONNET = {"input_tokens": 2000, "output_tokens": 100}  # 2000*2 + 100*10 = 5000 -> $0.005


def usage_result(model: str = "claude-opus-5-5-20260901", **changes: Any) -> dict[str, Any]:
    """Return a result as in the documentation's example."""
    return {
        "uncached_input_tokens": 1000,
        "cache_creation": {"ephemeral_1h_input_tokens": 3000, "ephemeral_5m_input_tokens": 2000},
        "cache_read_input_tokens": 10000,
        "output_tokens": 500,
        "server_tool_use": {"web_search_requests": 2},
        "api_key_id": None,
        "workspace_id": None,
        "model": model,
        "service_tier": "standard",
        "context_window": "0-200k",
    } | changes


def cost_result(amount: str, model: str | None = "claude-opus-5-5", **changes: Any) -> dict[str, Any]:
    """Return a result of the report of costs; amounts are in cents."""
    return {
        "currency": "USD",
        "amount": amount,
        "workspace_id": None,
        "model": model,
        "cost_type": "tokens",
    } | changes


def page(*results: dict[str, Any], day: str = "2026-11-20T00:00:00Z") -> dict[str, Any]:
    return {
        "data": [{"starting_at": day, "ending_at": day, "results": list(results)}],
        "has_more": False,
        "next_page": None,
    }


def test_what_agrees_is_shown_as_equal_by_day_and_model(costs_anywhere: Costs) -> None:
    costs = costs_anywhere
    costs.record(costs.request(OPUS), costs.request(SONNET, model="claude-sonnet-5-5"))
    sonnet = usage_result(
        "claude-sonnet-5-5",
        uncached_input_tokens=2000,
        output_tokens=100,
        cache_creation={},
        cache_read_input_tokens=0,
        server_tool_use={"web_search_requests": 0},
    )
    usage = costs.file("usage.json", page(usage_result(), sonnet))
    costs_file = costs.file(
        "costs.json",
        page(
            cost_result("5.0"), cost_result("2", cost_type="web_search"), cost_result("0.5", "claude-sonnet-5-5")
        ),
    )
    done = costs.run("reconcile", usage, costs_file)
    assert done.status == 0
    assert "all within 1 %" in done.out
    lines = done.out.splitlines()
    assert lines[1].split() == ["2026-11-20", "claude-opus-5-5", "input", "1,000", "1,000", "0", "0"]
    assert [line.split()[-5:] for line in lines if " USD " in line] == [
        ["USD", "0.070000", "0.070000", "0", "0"],
        ["USD", "0.005000", "0.005000", "0", "0"],
        ["USD", "0.075000", "0.075000", "0", "0"],
    ]


def test_drift_is_named_by_kind_with_its_share_and_beyond_the_tolerance_the_status_is_1(costs: Costs) -> None:
    costs.record(costs.request(OPUS))
    export = costs.file("usage.json", page(usage_result(output_tokens=1500)))
    done = costs.run("reconcile", export, "--json")
    assert done.status == 1
    found = done.json
    day = found["days"][0]
    assert day["counts"]["output"] == {"ours": 500, "theirs": 1500, "difference": 1000, "percent": 66.6667}
    assert day["counts"]["input"]["difference"] == 0
    # 1000 more tokens of output at $20 a million.
    assert day["usd"]["difference"] == "0.020000"
    assert day["usd"]["theirs_is"] == "priced here"
    assert (day["is_beyond"], found["is_within"], found["total"]["usd"]["ours"]) == (True, False, "0.070000")
    assert costs.run("reconcile", export, "--tolerance", "25").status == 0
    assert "beyond 1 %: 2" in costs.run("reconcile", export).out


def test_less_than_a_cent_is_never_too_far(costs: Costs) -> None:
    costs.record(costs.request({"input_tokens": 100, "output_tokens": 100}))  # $0.0024
    assert costs.run("reconcile", costs.file("costs.json", page(cost_result("1.1")))).status == 0
    assert costs.run("reconcile", costs.file("costs.json", page(cost_result("2.1")))).status == 1


def test_a_report_of_costs_without_models_is_compared_by_day(costs: Costs) -> None:
    costs.record(costs.request(OPUS), costs.request(SONNET, model="claude-sonnet-5-5"))
    export = costs.file("costs.json", page(cost_result("7.5", None)))
    done = costs.run("reconcile", export, "--json")
    assert done.status == 0
    assert [(row["model"], row["usd"]["ours"], row["usd"]["theirs"]) for row in done.json["days"]] == [
        ("(all)", "0.075000", "0.075000")
    ]
    assert done.json["days"][0]["counts"] == {}


def test_models_that_only_one_side_has_are_shown(costs: Costs) -> None:
    costs.record(costs.request(SONNET, model="claude-sonnet-5-5"))
    done = costs.run("reconcile", costs.file("usage.json", page(usage_result())), "--json")
    assert {row["model"]: (row["usd"]["ours"], row["usd"]["theirs"]) for row in done.json["days"]} == {
        "claude-opus-5-5": ("0.000000", "0.070000"),
        "claude-sonnet-5-5": ("0.005000", "0.000000"),
    }
    sonnet = next(row for row in done.json["days"] if row["model"] == "claude-sonnet-5-5")
    assert sonnet["usd"]["percent"] is None
    assert done.status == 1


def test_only_the_days_of_the_report_count_in_utc(costs: Costs) -> None:
    inside = [datetime(2026, 11, 20, tzinfo=UTC), datetime(2026, 11, 20, 23, 59, 59, tzinfo=UTC)]
    outside = [datetime(2026, 11, 19, 23, 59, 59, tzinfo=UTC), datetime(2026, 11, 21, tzinfo=UTC)]
    costs.record(*(costs.request(SONNET, at=at, model="claude-sonnet-5-5") for at in inside + outside))
    hours = [page(cost_result("1", "claude-sonnet-5-5"), day="2026-11-20T22:00:00-05:00")]
    assert costs.run("reconcile", costs.file("c.json", hours), "--json").json["days"][0]["day"] == "2026-11-21"
    done = costs.run("reconcile", costs.file("c.json", page(cost_result("1", "claude-sonnet-5-5"))), "--json")
    assert done.json["requests"] == 2
    assert done.json["total"]["usd"]["ours"] == "0.010000"


def test_what_is_not_billed_is_not_counted(costs: Costs) -> None:
    costs.record(
        costs.request(OPUS, outcome="rejected"),
        costs.request(OPUS, stop_reason="refusal", has_output=False),
        costs.request(OPUS, route="POST /v1/messages/count_tokens"),
        costs.request(OPUS, provider="openai", model="gpt-5.4"),
        costs.request(SONNET, model="claude-sonnet-5-5", account="other"),
        costs.request(OPUS),
    )
    done = costs.run("reconcile", costs.file("u.json", page(usage_result())), "--account", "environment", "--json")
    assert done.status == 0
    assert done.json["total"]["counts"]["input"] == {"ours": 1000, "theirs": 1000, "difference": 0, "percent": 0.0}


def test_requests_that_several_models_served_are_parted_by_model(costs: Costs) -> None:
    iterations = [
        {"type": "message", "model": "claude-sonnet-5-5", "input_tokens": 1000, "output_tokens": 300},
        {"type": "advisor_message", "model": "claude-opus-5-5", "input_tokens": 2000, "output_tokens": 400},
    ]
    usage = {"input_tokens": 1000, "output_tokens": 300, "iterations": iterations}
    costs.record(costs.request(usage, model="claude-sonnet-5-5"))
    nothing = {"cache_creation": {}, "cache_read_input_tokens": 0, "server_tool_use": None}
    export = page(
        usage_result("claude-sonnet-5-5", uncached_input_tokens=1000, output_tokens=300, **nothing),
        usage_result("claude-opus-5-5", uncached_input_tokens=2000, output_tokens=400, **nothing),
    )
    done = costs.run("reconcile", costs.file("u.json", export), "--tolerance", "0", "--json")
    assert done.status == 0
    assert [row["usd"]["difference"] for row in done.json["days"]] == ["0.000000", "0.000000"]


def test_days_whose_requests_are_deleted_are_compared_by_their_sums(costs: Costs) -> None:
    old, kept, late = costs.request(OPUS), costs.request(OPUS), costs.request(OPUS)
    costs.record(old, kept)
    costs.record(late, sums=False)
    costs.forget(old.id)
    result = usage_result(
        uncached_input_tokens=3000,
        output_tokens=1500,
        cache_read_input_tokens=30000,
        cache_creation={"ephemeral_1h_input_tokens": 9000, "ephemeral_5m_input_tokens": 6000},
        server_tool_use={"web_search_requests": 6},
    )
    done = costs.run("reconcile", costs.file("u.json", page(result)), "--tolerance", "0", "--json")
    assert done.status == 0
    assert done.json["days_from_sums"] == ["2026-11-20"]
    assert all(drift["difference"] == 0 for drift in done.json["total"]["counts"].values())
    assert "from sums" in costs.run("reconcile", costs.file("u.json", page(result))).out


def test_requests_without_a_cost_are_mentioned(costs: Costs) -> None:
    costs.record(costs.request(OPUS, model="claude-saga-9"))
    done = costs.run("reconcile", costs.file("u.json", page(usage_result("claude-saga-9"))))
    assert "1 of ours has no cost: unknown model; add the price, then `gateway costs recompute`" in done.out
    assert "1 row of theirs has no cost" in done.out


def test_it_is_said_of_what_has_no_cost_whether_anything_can_be_done(costs: Costs) -> None:
    costs.record(
        costs.request(SONNET, model="claude-saga-9"),
        *(costs.request(None) for _ in range(2)),
        costs.request(None, outcome="truncated"),
    )
    saga = '[[price]]\nmodel = "claude-saga-9"\ninput = 20\noutput = 100\n'
    costs.monkeypatch.setenv("GATEWAY_PRICES_FILE", costs.file("prices.toml", saga))
    export = costs.file("u.json", page(usage_result()))
    done = costs.run("reconcile", export)
    assert "1 of ours has no cost: there was no price then, and there is one now: `gateway costs recom" in done.out
    assert "3 of ours have no cost: no usage came with the answer" in done.out
    assert costs.run("reconcile", export, "--json").json["ours_without_cost"] == {"no usage": 3, "priced now": 1}
    costs.run("recompute")
    assert "there was no price then" not in costs.run("reconcile", export).out


def test_of_days_whose_requests_are_deleted_only_the_number_without_a_cost_is_known(costs: Costs) -> None:
    gone = [costs.request(SONNET, model="claude-saga-9") for _ in range(2)]
    costs.record(*gone)
    costs.forget(*(record.id for record in gone))
    done = costs.run("reconcile", costs.file("u.json", page(usage_result())))
    assert "2 of ours have no cost: not kept any more, but in sums" in done.out


def test_a_report_whose_next_page_is_missing_is_warned_of(costs: Costs) -> None:
    costs.record(costs.request(OPUS))
    first = {
        **page(usage_result()),
        "data": [
            {"starting_at": f"{TODAY}T00:00:00Z", "ending_at": f"{AFTER}T00:00:00Z", "results": [usage_result()]}
        ],
        "has_more": True,
        "next_page": "page_abc",
    }
    second, later = (
        page(usage_result(), day=f"{AFTER}T00:00:00Z"),
        page(usage_result(), day="2026-11-25T00:00:00Z"),
    )
    costs_page = page(cost_result("7"), day=f"{AFTER}T00:00:00Z")
    one = costs.file("one.json", first)
    alone = costs.run("reconcile", one)
    assert alone.status == 0
    assert f"the report of usage is not whole: it goes on after {TODAY} (has_more)" in alone.err
    for other, is_whole in ((second, True), (later, False), (costs_page, False)):
        done = costs.run("reconcile", one, costs.file("two.json", other))
        assert ("is not whole" not in done.err) is is_whole
    assert "is not whole" not in costs.run("reconcile", costs.file("both.json", [second, first])).err


def test_the_same_file_given_twice_is_refused(costs: Costs) -> None:
    one, copy = costs.file("u.json", page(usage_result())), costs.file("copy.json", page(usage_result()))
    for files in ((one, one), (one, copy)):
        done = costs.run("reconcile", *files)
        assert (done.status, done.out) == (1, "")
        assert f"{files[1]} is the same as {one}, and would count twice" in done.err


def test_an_account_that_never_was_is_named(costs: Costs) -> None:
    costs.record(costs.request(OPUS, account="production"))
    export = costs.file("u.json", page(usage_result()))
    done = costs.run("reconcile", export, "--account", "production", "--account", "nobody", "--account", "no-one")
    assert (done.status, done.out) == (1, "")
    assert "no account is called 'no-one', 'nobody'; `gateway accounts list`" in done.err
    assert costs.run("reconcile", export, "--account", "production").status == 0


def test_several_pages_in_one_file_are_read_whatever_stands_between_them(costs: Costs) -> None:
    one, two = (
        json.dumps(page(usage_result())),
        json.dumps(page(usage_result(), day="2026-11-21T00:00:00Z"), indent=2),
    )
    for text in (f"{one}\n{two}\n", f"[{one}, {two}]", f"\ufeff{one}{two}"):
        done = costs.run("reconcile", costs.file("u.json", text), "--json")
        assert [row["day"] for row in done.json["days"]] == ["2026-11-20", "2026-11-21"]


USAGE_HEAD = (
    "usage_date_utc,model_version,api_key,workspace,usage_type,context_window,usage_input_tokens_no_cache,"
    "usage_input_tokens_cache_write_5m,usage_input_tokens_cache_write_1h,usage_input_tokens_cache_read,"
    "usage_output_tokens,web_search_count,inference_geo,speed"
)
COST_HEAD = (
    "usage_date_utc,model,workspace,api_key,usage_type,context_window,token_type,cost_usd,list_price_usd,cost_type,"
    "inference_geo,speed"
)


def test_the_csv_files_of_the_console_are_read(costs: Costs) -> None:
    costs.record(costs.request(OPUS))
    usage = costs.file(
        "usage.csv",
        f'{USAGE_HEAD}\r\n2026-11-20,claude-opus-5-5,"key, of mine",Default,standard,≤ 200k,'
        "1000,2000,3000,10000,500,2,global,\r\n",
    )
    rows = [
        ("input_no_cache", "0.00"),
        ("input_cache_write_5m", "0.01"),
        ("output", "0.04"),
        ("web_search", "0.02"),
    ]
    cost_rows = [
        f"2026-11-20,Claude Opus 5.5,Default,key,message,≤ 200k,{kind},{amount},{amount},token,global,"
        for kind, amount in rows
    ]
    spent = costs.file("cost.csv", "\n".join([COST_HEAD, *cost_rows, ""]))
    both = costs.run("reconcile", usage, spent, "--json")
    assert both.status == 0
    assert both.json["total"]["usd"]["theirs"] == "0.070000"
    assert all(drift["difference"] == 0 for drift in both.json["total"]["counts"].values())
    # Without the other file the cost is worked out from the counts.
    assert (
        costs.run("reconcile", usage, "--tolerance", "0", "--json").json["total"]["usd"]["difference"]
        == "0.000000"
    )


def test_prices_of_what_is_reported_follow_its_tier_place_and_size(costs: Costs) -> None:
    nothing = {"cache_creation": {}, "cache_read_input_tokens": 0, "server_tool_use": None}
    opus = usage_result("claude-opus-5-5", uncached_input_tokens=1_000_000, output_tokens=0, **nothing)
    haiku = usage_result("claude-haiku-5-5", uncached_input_tokens=1_000_000, output_tokens=0, **nothing)
    for changed, expected in (
        (opus, "4.000000"),
        (opus | {"service_tier": "batch"}, "2.000000"),
        (opus | {"inference_geo": "us", "speed": "fast"}, "8.800000"),
        # A million tokens are many prompts, and how long each was is not said.
        (haiku, "0.100000"),
        (haiku | {"context_window": "200k-1M"}, "0.500000"),
    ):
        done = costs.run("reconcile", costs.file("u.json", page(changed)), "--json")
        assert done.json["total"]["usd"]["theirs"] == expected


def test_that_nothing_was_recorded_is_said(costs: Costs) -> None:
    done = costs.run("reconcile", costs.file("u.json", page(usage_result())))
    assert done.status == 1
    assert "no requests to Anthropic on these days" in done.err


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        ("", "no export of usage or costs"),
        ("{", "no JSON at character 0"),
        ("[" * 100_000, "no JSON"),
        ("{}", "no list `data`"),
        ('{"error": {"type": "authentication_error"}}', "an error of the API's"),
        ('{"data": [3]}', "buckets with `results`"),
        ('{"data": []}', "reports nothing"),
        (page({"model": "m"}), "neither uncached_input_tokens nor amount"),
        (page(cost_result("x")), "amount: 'x' is no number"),
        (page(cost_result("NaN")), "is no number"),
        (page(cost_result("1", currency="EUR")), "'EUR' rather than USD"),
        (page(cost_result("1"), day="someday"), "'someday' is no day"),
        ("a,b\n1,2\n", "no export of usage or costs"),
        (f"{COST_HEAD}\n2026-11-20,Claude Opus 5.5,,,,,,much,,,,\n", "cost_usd in line 2: 'much' is no number"),
        (f"{USAGE_HEAD}\n2026-11-20,claude-opus-5-5,,,,,1.5,,,,,,,\n", "is no count"),
        (f"{USAGE_HEAD}\n20th,claude-opus-5-5,,,,,1,,,,,,,\n", "'20th' is no day in line 2"),
    ],
)
def test_a_file_that_is_no_export_is_refused_in_a_sentence(costs: Costs, content: Any, complaint: str) -> None:
    done = costs.run("reconcile", costs.file("export", content))
    assert done.status == 1
    assert complaint in done.err
    assert done.err.count("\n") == 1
    assert not done.out


def test_a_file_that_is_not_there_and_one_that_is_no_text_are_refused(costs: Costs) -> None:
    assert "cannot be read" in costs.run("reconcile", "/nonexistent/usage.json").err
    path = costs.data_dir / "binary"
    path.write_bytes(b"\xff\xfe{}")
    with pytest.raises(ExportError, match="not UTF-8"):
        read_export(path)


@pytest.mark.parametrize("text", ["-1", "101", "nan", "some"])
def test_a_tolerance_that_is_none_is_used_wrongly(costs: Costs, text: str) -> None:
    assert costs.run("reconcile", "file", f"--tolerance={text}").status == 2


def test_names_of_the_console_are_ids_of_models() -> None:
    names = {
        "Claude Haiku 4.5": "claude-haiku-4-5",
        "claude-opus-4-5-20251101": "claude-opus-4-5",
        "Claude Opus 5": "claude-opus-5",
        "": "(all)",
    }
    assert {name: model_id(name) for name in names} == names


@given(st.decimals(0, 10**6, places=6), st.decimals(0, 10**6, places=6))
def test_drift_is_theirs_less_ours_in_per_cent_of_theirs(ours: Decimal, theirs: Decimal) -> None:
    drift = Drift(ours, theirs)
    assert drift.ours + drift.difference == drift.theirs
    if drift.percent is None:
        assert theirs == 0 < ours
    else:
        assert (drift.percent > 0) == (theirs > ours)
        assert drift.percent <= 100


def test_prices_are_shown_with_their_source(costs: Costs) -> None:
    listed = costs.run("prices")
    assert listed.status == 0
    rows = {line.split()[0]: line.split() for line in listed.out.splitlines() if line.startswith("claude-")}
    assert rows["claude-opus-5-5"] == ["claude-opus-5-5", "4", "20", "5", "8", "0.2", "genai-prices"]
    assert rows["claude-mythos-5"][-1] == "corrections"
    assert "prompts above 100,000    0.5" in costs.run("prices", "claude-haiku-5-5").out


def test_prices_are_shown_as_they_were_and_as_the_operator_has_them(costs: Costs) -> None:
    then = costs.run("prices", "claude-sonnet-5-5-20260901", "--at", "2026-10-01", "--json").json[0]
    now = costs.run("prices", "claude-sonnet-5-5", "--at", "2026-11-01", "--json").json[0]
    assert (then["source"], then["usd_per_million_tokens"]["cache_read"]) == ("corrections", "0.2")
    assert (now["source"], now["usd_per_million_tokens"]["cache_read"]) == ("genai-prices", "0.1")
    assert now["service_tiers"]["batch"] == {"factor": "0.5"}
    own = costs.file("prices.toml", '[[price]]\nmodel = "claude-saga-9"\ninput = 20\noutput = 100\nfast = 3\n')
    costs.monkeypatch.setenv("GATEWAY_PRICES_FILE", own)
    shown = costs.run("prices", "claude-saga-9").out
    assert "override" in shown
    assert f"With {own} as it is now; a gateway has it as it was when that was started." in shown
    assert "speed fast: times 3" in shown


def test_prices_of_openai_are_shown_when_asked_for(costs: Costs) -> None:
    assert "gpt-5.4 " in costs.run("prices", "--provider", "openai").out
    [found] = costs.run("prices", "gpt-5.4", "--json").json
    assert found["provider"] == "openai"
    assert found["service_tiers"]["flex"]["input"] == "1.25"


def test_a_model_without_a_price_and_a_file_that_cannot_be_used_are_said(costs: Costs) -> None:
    done = costs.run("prices", "claude-saga-9")
    assert (done.status, done.out) == (1, "")
    assert "no price is known for 'claude-saga-9'" in done.err
    costs.monkeypatch.setenv("GATEWAY_PRICES_FILE", costs.file("prices.toml", "[[price]]\nmodel = 3\n"))
    for action in (["prices"], ["recompute"], ["reconcile", "x"]):
        assert "model: must be a text" in costs.run(*action).err
