"""`gateway usage` and `gateway requests summary`: the sums that people ask for, and nothing left out of them."""

from __future__ import annotations

import csv
import io
import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.cli import main
from gateway.cli.sums import Period
from gateway.ledger.record import AttemptRecord, SwitchRecord
from gateway.ledger.totals import SPANS
from gateway.pricing.cost import Cost
from tests.cli_requests.filling import NOW, a_request, make_keys, put

OVERLOADED = [AttemptRecord("red", "overload", 529, 7), AttemptRecord("green", "overload", 529, 7)]


@pytest.fixture(autouse=True)
def keys(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Give the command a database with requests of two keys; return their ids."""
    monkeypatch.setenv("GATEWAY_DATA_DIR", str(tmp_path))
    ids = make_keys(tmp_path, "ci", "laptop")
    by: list[dict[str, Any]] = [
        {"actor": name, "actor_id": actor} for name, actor in zip(("ci", "laptop"), ids, strict=True)
    ]
    nothing: dict[str, Any] = {"counts": None, "account": None, "model_served": None}
    put(
        tmp_path,
        [
            a_request(0, account="red", **by[0]),
            a_request(1, account="red", milliseconds_to_content=3200, **by[0]),
            a_request(2, account="green", switch=SwitchRecord("red", "overload", 1000, 0.5), **by[1]),
            a_request(3, outcome="truncated", cost=Cost(nanousd=9_000_000, note="partial"), reason="cut", **by[1]),
            a_request(
                4, model="claude-saga-9", model_served=None, cost=Cost(nanousd=None, note="unknown model"), **by[1]
            ),
            a_request(
                5, outcome="refused", status=529, attempts=OVERLOADED, **nothing, cost=Cost(nanousd=0), **by[0]
            ),
            a_request(
                6, outcome="rejected", status=401, attempts=[], **nothing, cost=Cost(nanousd=0), actor_id=None
            ),
            a_request(7, at=NOW - 5 * 86400, account="red", **by[0]),
        ],
    )
    return ids


def sums(capsys: pytest.CaptureFixture[str], *arguments: str) -> dict[str, Any]:
    assert main(["usage", "--json", *arguments]) == 0
    printed = capsys.readouterr()
    assert printed.err == ""
    return json.loads(printed.out)


def test_models_are_summed_over_a_month_unless_something_else_is_asked_for(
    capsys: pytest.CaptureFixture[str],
) -> None:
    report = sums(capsys)
    assert [(group["model"], group["requests"], group["unpriced"]) for group in report["groups"]] == [
        ("claude-opus-5-5", 7, 0),
        ("claude-saga-9", 1, 1),
    ]
    total = report["total"]
    assert (total["requests"], total["unpriced"], total["partial"]) == (8, 1, 1)
    assert total["cost_usd"] == pytest.approx(4 * 0.018 + 0.009)
    assert (total["input_tokens"], total["cache_read_tokens"], total["output_tokens"]) == (6000, 18_000, 1200)
    assert total["cached_share"] == 0.75
    assert (total["switches"], total["switch_usd"]) == (1, 0.5)
    assert report["span_seconds"] == 86400
    assert datetime.fromisoformat(report["since"]).astimezone(UTC).hour == 0


def test_actors_have_their_names(capsys: pytest.CaptureFixture[str], keys: list[str]) -> None:
    groups = sums(capsys, "--by", "actor,model", "--since", "7d")["groups"]
    found = [(group["actor"], group["actor_id"], group["model"], group["requests"]) for group in groups]
    # What cost most comes first.
    assert found[:2] == [("ci", keys[0], "claude-opus-5-5", 4), ("laptop", keys[1], "claude-opus-5-5", 2)]
    assert set(found[2:]) == {("laptop", keys[1], "claude-saga-9", 1), (None, None, "claude-opus-5-5", 1)}


def test_keys_of_one_name_are_told_apart(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, keys: list[str]
) -> None:
    (other,) = make_keys(tmp_path, "ci")
    put(tmp_path, [a_request(100, actor="ci", actor_id=other)])
    groups = sums(capsys, "--by", "actor", "--actor", "ci")["groups"]
    assert [group["actor"] for group in groups] == [f"ci ({keys[0]})", f"ci ({other})"]
    assert sums(capsys, "--actor", other)["total"]["requests"] == 1


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["--actor", "ci"], 4),
        (["--actor", "ci", "--since", "1h"], 3),
        (["--account", "red"], 3),
        (["--model", "claude-saga-*"], 1),
        (["--outcome", "refused", "--outcome", "rejected"], 2),
        (["--since", "2d"], 7),
        (["--until", "3d"], 1),
        (["--provider", "openai"], 0),
    ],
)
def test_what_is_summed_can_be_chosen(
    capsys: pytest.CaptureFixture[str], arguments: list[str], expected: int
) -> None:
    report = sums(capsys, *arguments)
    assert report["total"]["requests"] == sum(group["requests"] for group in report["groups"]) == expected


@pytest.mark.parametrize(
    "period",
    [["--since", "2999-01-01"], ["--since", "1h", "--until", "2h"], ["--since", "1m", "--until", "1m"]],
)
def test_a_period_that_is_none_is_refused(capsys: pytest.CaptureFixture[str], period: list[str]) -> None:
    assert main(["usage", *period]) == 1
    assert "--since must be" in capsys.readouterr().err


@given(
    ago=st.floats(0, 1.7e9),
    length=st.none() | st.floats(1, 1.7e9),
    by=st.sampled_from([(), ("hour",), ("day",)]),
)
def test_a_period_is_of_whole_spans_and_leaves_out_nothing_that_was_asked_for(
    ago: float, length: float | None, by: tuple[str, ...]
) -> None:
    before = datetime.now(UTC).timestamp()
    until = None if length is None or length >= ago else f"{ago - length:f}s"
    period = Period.of(f"{ago + 1:f}s", until, by)
    assert period.span in SPANS
    assert period.since % period.span == 0
    assert 0 <= period.since <= max(before - ago, 0)
    assert period.since < period.until
    asked = before if until is None else before - (ago - (length or 0))
    assert period.until >= min(asked, before) - 1


def test_days_and_hours_come_in_their_order(capsys: pytest.CaptureFixture[str]) -> None:
    days = [group["day"] for group in sums(capsys, "--by", "day")["groups"]]
    assert days == sorted(days)
    assert days[0] == datetime.fromtimestamp(NOW - 5 * 86400, UTC).date().isoformat()
    hours = [group["hour"] for group in sums(capsys, "--by", "hour", "--since", "2d")["groups"]]
    assert hours == sorted(hours)
    assert hours[-1] == datetime.fromtimestamp(NOW, UTC).strftime("%Y-%m-%d %H:00")


def test_times_to_the_first_content_are_told_where_they_are_known(capsys: pytest.CaptureFixture[str]) -> None:
    by_account = {group["account"]: group for group in sums(capsys, "--by", "account", "--since", "2d")["groups"]}
    assert by_account["red"]["first_content_p50_ms"] == pytest.approx(800, rel=0.05)
    assert by_account["red"]["first_content_p95_ms"] == pytest.approx(3200, rel=0.05)
    assert by_account["green"]["first_content_p95_ms"] == pytest.approx(800, rel=0.05)
    by_actor = sums(capsys, "--by", "actor")
    assert {group["first_content_p50_ms"] for group in by_actor["groups"]} == {None}
    assert by_actor["total"]["first_content_p50_ms"] is not None
    assert sums(capsys, "--actor", "ci")["total"]["first_content_p50_ms"] is None


def test_a_table_ends_with_the_total_and_leaves_out_what_is_nowhere(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["usage", "--by", "account", "--since", "1h"]) == 0
    period, heading, *lines = capsys.readouterr().out.splitlines()
    assert period.endswith(" UTC")
    assert heading.split()[:3] == ["ACCOUNT", "REQUESTS", "INPUT"]
    assert "UNPRICED" in heading
    assert "SEARCHES" not in heading
    assert lines[-1].split()[:2] == ["total", "7"]
    assert main(["usage", "--by", "account", "--account", "red"]) == 0
    assert "UNPRICED" not in capsys.readouterr().out


def test_costs_that_are_not_known_are_no_costs_of_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["usage", "--model", "claude-saga-9"]) == 0
    assert capsys.readouterr().out.splitlines()[2].split()[7] == "?"


def test_a_spreadsheet_gets_a_line_for_each_group(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["usage", "--by", "actor,outcome", "--csv"]) == 0
    rows = list(csv.DictReader(io.StringIO(capsys.readouterr().out)))
    assert {(row["actor"], row["outcome"], row["requests"]) for row in rows} == {
        ("ci", "complete", "3"),
        ("ci", "refused", "1"),
        ("laptop", "complete", "2"),
        ("laptop", "truncated", "1"),
        ("", "rejected", "1"),
    }


@pytest.mark.parametrize("by", ["colour", "", "day,hour", "actor,,colour"])
def test_what_cannot_be_grouped_by_is_refused(capsys: pytest.CaptureFixture[str], by: str) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["usage", "--by", by])
    assert ended.value.code == 2
    assert "argument --by" in capsys.readouterr().err


def test_a_name_that_there_is_not_is_answered_with_those_that_there_are(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert main(["usage", "--actor", "nobody"]) == 0
    printed = capsys.readouterr()
    assert printed.err == "no key has the name or id 'nobody'; there are: ci, laptop\n"
    assert "No requests are in these sums." in printed.out


@pytest.mark.parametrize("command", [["usage"], ["requests", "summary"]])
def test_requests_that_are_in_no_sum_yet_are_not_kept_quiet(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, command: list[str]
) -> None:
    put(tmp_path, [a_request(200), a_request(201)], is_summed=False)
    assert main(command) == 0
    assert "2 requests are in no sum yet" in capsys.readouterr().err


def test_a_summary_says_how_it_goes(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["requests", "summary", "--json", "--since", "1d"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert report["outcomes"] == {"complete": 4, "refused": 1, "rejected": 1, "truncated": 1}
    assert report["total"]["requests"] == 7
    assert report["total"]["duration_p95_ms"] == pytest.approx(4000, rel=0.05)
    accounts = {group["account"]: group["requests"] for group in report["accounts"]}
    assert accounts == {"red": 2, "environment": 2, "green": 1, None: 2}
    assert {group["model"]: group["requests"] for group in report["models"]} == {
        "claude-opus-5-5": 6,
        "claude-saga-9": 1,
    }
    assert report["failed"] == 2
    assert report["errors"] == [
        {"outcome": "truncated", "why": "the connection to the upstream broke", "requests": 1},
        {"outcome": "refused", "why": "overload", "requests": 1},
    ]
    assert report["faults"] == [
        {"account": "red", "fault": "overload", "attempts": 1},
        {"account": "green", "fault": "overload", "attempts": 1},
    ]


def test_a_summary_for_people_has_it_on_one_page(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["requests", "summary"]) == 0
    out = capsys.readouterr().out
    assert ": 7 requests, $0.0630 (1 without a cost, 1 with a part of it)" in out.splitlines()[0]
    assert "what went wrong (--failed):" in out
    assert "faults of accounts in these:" in out
    assert main(["requests", "summary", "--account", "red"]) == 0
    assert "the connection to the upstream broke" not in capsys.readouterr().out


def test_a_summary_of_nothing_is_no_error(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["requests", "summary", "--provider", "openai"]) == 0
    assert "0 requests" in capsys.readouterr().out
