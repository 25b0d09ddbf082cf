"""`gateway requests list`: nothing that matters is out of sight, and what cannot be found is said so."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from gateway.cli import main
from gateway.ledger.record import AttemptRecord
from gateway.pricing.cost import Cost
from tests.cli_requests.filling import a_request, make_keys, put

ASKED: dict[str, Any] = {
    "counts": None,
    "account": None,
    "cost": Cost(nanousd=0, note="no answer"),
    "reason": None,
}
OVERLOADED = [AttemptRecord("red", "overload", 529, 7), AttemptRecord("green", "transport", None, 9)]
RECORDS = [
    a_request(0),
    a_request(1, outcome="truncated", reason="cut"),
    a_request(2, outcome="refused", status=529, attempts=OVERLOADED, **ASKED),
    a_request(3, outcome="refused", status=400, attempts=[AttemptRecord("red", "request", 400, 3)], **ASKED),
    a_request(4, outcome="rejected", status=401, attempts=[], **(ASKED | {"reason": "a sentence " * 9})),
    a_request(5, outcome="rejected", status=503, attempts=[], **(ASKED | {"reason": "No account."})),
    a_request(6, outcome="violation", code="block_index_gap", reason="at event 3, byte 9"),
    a_request(7, outcome="cancelled", status=499),
    a_request(8, outcome="repaired", notes=("a start was made up",), model="claude-haiku-5-5", model_served=None),
    a_request(9, attempts=[OVERLOADED[0], AttemptRecord("green", None, 200, 12)], account="green"),
]


@pytest.fixture(autouse=True)
def filled(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Give the command a database with some requests."""
    monkeypatch.setenv("GATEWAY_DATA_DIR", str(tmp_path))
    put(tmp_path, RECORDS)


def ids(capsys: pytest.CaptureFixture[str], *arguments: str) -> list[int]:
    assert main(["requests", "list", "--json", *arguments]) == 0
    return [int(row["id"].removeprefix("req_")) for row in json.loads(capsys.readouterr().out)]


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["--failed"], [1, 2, 5, 6]),
        (["--rejected"], [4, 5]),
        (["--account", "red"], []),
        (["--tried", "red"], [2, 3, 9]),
        (["--tried", "green", "--failed"], [2]),
        (["--model", "claude-haiku-*"], [8]),
        (["--model", "*opus*", "--failed", "--limit", "2"], [1, 2]),
        (["--code", "block_index_gap"], [6]),
    ],
)
def test_what_matters_is_told_from_what_does_not(
    capsys: pytest.CaptureFixture[str], arguments: list[str], expected: list[int]
) -> None:
    assert ids(capsys, *arguments) == expected


@pytest.mark.parametrize("arguments", [["--failed", "--rejected"], ["--failed", "--outcome", "refused"]])
def test_two_ways_to_say_which_outcomes_are_one_too_many(
    capsys: pytest.CaptureFixture[str], arguments: list[str]
) -> None:
    assert main(["requests", "list", *arguments]) == 1
    assert "only one can be used" in capsys.readouterr().err


@pytest.mark.parametrize("form", [[], ["--json"]])
def test_who_is_shown_a_part_is_told_how_much_there_is(
    capsys: pytest.CaptureFixture[str], form: list[str]
) -> None:
    assert main(["requests", "list", "--limit", "3", *form]) == 0
    assert capsys.readouterr().err == "3 of 10 (--limit 10 shows all)\n"
    assert main(["requests", "list", "--failed", "--limit", "1", *form]) == 0
    assert capsys.readouterr().err == "1 of 4 (--limit 4 shows all)\n"
    for everything in (["--limit", "10"], ["--failed", "--limit", "4"], ["--failed"]):
        assert main(["requests", "list", *everything, *form]) == 0
        assert capsys.readouterr().err == ""


def test_who_is_shown_a_part_of_more_than_anyone_counts_is_told_so(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    put(tmp_path, (a_request(-1, id=f"req_{number}") for number in range(1000, 11_000)), is_summed=False)
    assert main(["requests", "list", "--limit", "3"]) == 0
    assert capsys.readouterr().err == "3 of at least 10000 (--limit N shows more)\n"


def test_each_line_says_in_few_words_why_it_did_not_go_well(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["requests", "list"]) == 0
    heading, *lines = capsys.readouterr().out.splitlines()
    said = [line[heading.index("WHY") :] for line in lines]
    assert said == [
        "",
        "the connection to the upstream broke",
        "transport",
        "request",
        "a sentence a sentence a sentence a sent…",
        "No account.",
        "block_index_gap",
        "",
        "a start was made up",
        "",
    ]
    assert max(map(len, said)) == 40


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--actor", "nobody"], "no key has the name or id 'nobody'; there are: ci, laptop"),
        (["--account", "nobody"], "no account has the name 'nobody'; there are: environment, green"),
        (["--tried", "nobody"], "no account has the name 'nobody'; there are: environment, green"),
        (
            ["--model", "opus"],
            "since yesterday no answer was of the model 'opus'; there are: claude-haiku-5-5, claude-opus-5-5",
        ),
        (
            ["--stop-reason", "tired"],
            "since yesterday no answer had the stop reason 'tired'; there are: end_turn",
        ),
    ],
)
def test_a_name_that_there_is_not_is_answered_with_those_that_there_are(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, arguments: list[str], said: str
) -> None:
    make_keys(tmp_path, "laptop", "ci")
    assert main(["requests", "list", *arguments]) == 0
    printed = capsys.readouterr()
    assert printed.err == said + "\n"
    assert printed.out.startswith("No request is like that.")
    assert main(["requests", "list", "--json", *arguments]) == 0
    assert json.loads(capsys.readouterr().out) == []


def test_a_name_that_is_right_is_not_blamed_for_finding_nothing(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    make_keys(tmp_path, "ci")
    assert main(["requests", "list", "--actor", "ci", "--account", "green", "--model", "claude-opus-5-5"]) == 0
    assert capsys.readouterr().err == ""


def test_a_code_that_there_is_not_is_answered_with_those_that_there_are(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert main(["requests", "list", "--code", "nonsense"]) == 1
    said = capsys.readouterr().err
    assert "no violation has the code 'nonsense'" in said
    assert "message_stop_with_open_block" in said


@pytest.mark.parametrize("status", ["999", "099", "60", "abc"])
def test_a_status_that_no_answer_can_have_is_refused(capsys: pytest.CaptureFixture[str], status: str) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["requests", "list", "--status", status])
    assert ended.value.code == 2
    assert "from 100 to 599" in capsys.readouterr().err


def test_new_requests_are_shown_as_they_end_until_somebody_has_seen_enough(tmp_path: Path) -> None:
    command = [
        sys.executable,
        "-m",
        "gateway",
        "requests",
        "list",
        "--follow",
        "--limit",
        "2",
        "--json",
        "--failed",
    ]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as following:
        assert following.stdout is not None
        assert following.stderr is not None
        first = [json.loads(following.stdout.readline())["id"] for _ in range(2)]
        assert first == ["req_2", "req_1"]
        now = datetime.now(UTC).timestamp()
        fresh = [
            a_request(100, at=now - 600, milliseconds=600_000, outcome="truncated"),  # the first to begin
            a_request(101, at=now),
            a_request(102, at=now - 1, milliseconds=900, outcome="failed"),
        ]
        put(tmp_path, fresh)
        assert [json.loads(following.stdout.readline())["id"] for _ in range(2)] == ["req_102", "req_100"]
        following.send_signal(signal.SIGINT)
        out, err = following.communicate(timeout=30)
    assert (following.returncode, out, err) == (130, "", "")


def test_what_ends_cannot_be_followed(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["requests", "list", "--follow", "--until", "1h"]) == 1
    assert "--follow and --until" in capsys.readouterr().err
