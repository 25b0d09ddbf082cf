"""`gateway requests`: what the operator finds, and how."""

from __future__ import annotations

import asyncio
import csv
import io
import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from gateway.cli import main
from gateway.ledger.record import AttemptRecord, RequestRecord, SwitchRecord
from gateway.ledger.row import RequestRow
from gateway.pricing.cost import Cost
from gateway.pricing.usage import Usage
from gateway.store.engine import Database
from gateway.store.requests import RequestStore
from tests.ledger.writing import make_record

NOW = datetime.now(UTC).timestamp()
HOUR = 3600.0


def a_request(number: int, **changes: Any) -> RequestRecord:
    facts: dict[str, Any] = {
        "at": NOW - number * HOUR,
        "model_served": "claude-opus-5-5",
        "counts": Usage(input_tokens=1000, output_tokens=200, cache_read_tokens=50_000),
        "cost": Cost(nanousd=18_000_000),
        "stop_reason": "end_turn",
        "milliseconds": 4000,
        "milliseconds_to_content": 800,
        "session": f"session-{number}",
    }
    return make_record(number, **(facts | changes))


RECORDS = [
    a_request(0),
    a_request(1, outcome="truncated", upstream_request_id="req_up", actor="=cmd()", model="\x1b[31mred"),
    a_request(2, outcome="refused", status=529, counts=None, cost=Cost(nanousd=0, note="no answer")),
    a_request(3, outcome="cancelled", cost=Cost(nanousd=None, note="unknown model")),
    a_request(30, switch=SwitchRecord("first", "overload", 1000, 0.5), notes=("a note",)),
    a_request(31, attempts=[AttemptRecord("first", "overload", 529, 7), AttemptRecord("second", None, 200, 12)]),
]


@pytest.fixture(autouse=True)
def filled(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Give the command a database with some requests."""
    monkeypatch.setenv("GATEWAY_DATA_DIR", str(tmp_path))

    async def fill() -> None:
        async with Database("", tmp_path) as database:
            await RequestStore(database).insert([RequestRow.of(record).columns() for record in RECORDS])

    asyncio.run(fill())


def ids(capsys: pytest.CaptureFixture[str], *arguments: str) -> list[str]:
    assert main(["requests", "list", "--json", *arguments]) == 0
    return [row["id"] for row in json.loads(capsys.readouterr().out)]


def test_the_newest_come_first(capsys: pytest.CaptureFixture[str]) -> None:
    assert ids(capsys) == ["req_0", "req_1", "req_2", "req_3", "req_30", "req_31"]
    assert ids(capsys, "--limit", "2") == ["req_0", "req_1"]


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["--since", "90m"], ["req_0", "req_1"]),
        (["--since", "1d", "--until", "90m"], ["req_2", "req_3"]),
        (["--failed"], ["req_1", "req_2"]),
        (["--outcome", "cancelled", "--outcome", "refused"], ["req_2", "req_3"]),
        (["--outcome", "complete", "--since", "1d"], ["req_0"]),
        (["--session", "session-3"], ["req_3"]),
        (["--status", "529"], ["req_2"]),
        (["--account", "nobody"], []),
        (["--actor", "laptop", "--failed"], ["req_2"]),
        (["--actor", "key_1", "--failed"], ["req_1", "req_2"]),
        (["--model", "claude-opus-5-5", "--since", "90m"], ["req_0", "req_1"]),
        (["--provider", "openai"], []),
        (["--stop-reason", "end_turn", "--since", "90m"], ["req_0", "req_1"]),
    ],
)
def test_people_find_what_they_ask_for(
    capsys: pytest.CaptureFixture[str], arguments: list[str], expected: list[str]
) -> None:
    assert ids(capsys, *arguments) == expected


def test_a_table_is_for_people_and_no_terminal_obeys_what_is_in_it(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["requests", "list"]) == 0
    out = capsys.readouterr().out
    heading, *lines = out.splitlines()
    assert heading.split()[:3] == ["TIME", "OUTCOME", "HTTP"]
    assert len(lines) == len(RECORDS)
    assert "\x1b" not in out
    assert (
        lines[0].split()[-10:]
        == [
            "claude-opus-5-5",
            "laptop",
            "environment",
            "51000",
            "200",
            "0.018",
            "0.80",
            "s",
            "4.00",
            "s",
            "req_0",
        ][-10:]
    )
    assert " ? " in lines[3]  # a cost that is not known is not none


def test_one_request_is_found_by_its_own_id_and_by_the_upstreams(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert main(["requests", "show", "req_up"]) == 0
    out = capsys.readouterr().out
    assert "req_1\n" in out
    assert "truncated (end_turn)" in out
    assert "\x1b" not in out


def test_the_bill_is_worked_out_line_by_line(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["requests", "show", "req_0"]) == 0
    out = capsys.readouterr().out
    bill = out.partition("\nbill:\n")[2].splitlines()
    assert bill[0].split()[0] == "1,000"
    assert bill[-1].split() == ["recorded", "$0.018"]


def test_attempts_switches_and_notes_are_told(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["requests", "show", "req_31"]) == 0
    assert "1. first: 529, overload, 7 ms" in capsys.readouterr().out
    assert main(["requests", "show", "req_30"]) == 0
    out = capsys.readouterr().out
    assert "left account first (overload): 1000 cached tokens" in out
    assert "a note" in out


def test_a_request_that_is_not_there_is_an_error_that_says_where_ids_are(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert main(["requests", "show", "req_none"]) == 1
    assert "x-gateway-request-id" in capsys.readouterr().err


@pytest.mark.parametrize("time", ["yesterday", "2026-13-01", "5", ""])
def test_a_time_that_is_none_is_refused_with_examples(capsys: pytest.CaptureFixture[str], time: str) -> None:
    if not time:
        assert main(["requests", "list", "--since", time]) == 0
        return
    assert main(["requests", "list", "--since", time]) == 1
    assert "2026-11-23T10:00" in capsys.readouterr().err


def test_an_export_has_every_request_as_a_line_of_json(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    assert main(["requests", "export", "--output", str(tmp_path / "out.jsonl")]) == 0
    lines = [json.loads(line) for line in (tmp_path / "out.jsonl").read_text().splitlines()]
    assert [line["id"] for line in lines] == ["req_0", "req_1", "req_2", "req_3", "req_30", "req_31"]
    assert lines[0]["cost_usd"] == 0.018
    assert lines[3]["cost_usd"] is None
    assert lines[3]["cost_note"] == "unknown model"
    assert lines[5]["attempts"][0] == {"account": "first", "fault": "overload", "status": 529, "ms": 7}
    assert capsys.readouterr().err == "6 requests\n"


def test_an_export_for_spreadsheets_holds_no_formulas(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["requests", "export", "--format", "csv", "--failed"]) == 0
    rows = list(csv.DictReader(io.StringIO(capsys.readouterr().out)))
    assert [row["id"] for row in rows] == ["req_1", "req_2"]
    assert rows[0]["actor"] == "'=cmd()"
    assert rows[0]["input_tokens"] == "1000"
    assert rows[1]["input_tokens"] == ""


def test_an_export_has_one_heading_however_far_apart_its_requests_are(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    # More than are looked at for one page, so that the first one is empty.
    others = [a_request(0, id=f"req_other{number}", at=NOW + number) for number in range(1, 5_101)]

    async def fill() -> None:
        rows = [RequestRow.of(record).columns() for record in others]
        async with Database("", tmp_path) as database:
            await RequestStore(database).insert(rows)

    asyncio.run(fill())
    assert main(["requests", "export", "--format", "csv", "--status", "529"]) == 0
    rows = list(csv.DictReader(io.StringIO(capsys.readouterr().out)))
    assert [row["id"] for row in rows] == ["req_2"]


def test_a_status_that_is_none_is_said_so(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["requests", "list", "--status", "9" * 30])
    assert ended.value.code == 2
    assert "must be an HTTP status such as 529" in capsys.readouterr().err


def test_a_file_that_cannot_be_written_is_said_so(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    assert main(["requests", "export", "--output", str(tmp_path / "no" / "such")]) == 1
    assert "cannot write" in capsys.readouterr().err


def test_an_empty_database_is_no_error(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GATEWAY_DATA_DIR", str(tmp_path / "fresh"))
    assert main(["requests", "list"]) == 0
    assert "There are no requests yet." in capsys.readouterr().out
    assert ids(capsys) == []
