"""`sse-fsm check`: streams judged for scripts and CI."""

from __future__ import annotations

import json
import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.sse_fsm_cli.conftest import REPOSITORY, STREAMS

Run = Callable[..., tuple[int, str, str]]

VALID = STREAMS / "tool-use.sse"
BROKEN = STREAMS / "broken-block-index-gap.sse"
REPAIRED = STREAMS / "broken-repaired-no-message-stop.sse"


def _manifest() -> dict[str, dict[str, Any]]:
    with (REPOSITORY / "fixtures" / "manifest.toml").open("rb") as file:
        return {str(REPOSITORY / "fixtures" / entry["file"]): entry for entry in tomllib.load(file)["stream"]}


def test_every_stream_of_the_corpus_gets_the_verdict_that_the_manifest_names(run: Run) -> None:
    manifest = _manifest()
    status, output, errors = run("check", "--json", *manifest)
    assert (status, errors) == (1, "")
    reports = [json.loads(line) for line in output.splitlines()]
    assert [report["input"] for report in reports] == list(manifest)
    for report in reports:
        entry = manifest[report["input"]]
        assert (report["outcome"], report["code"]) == (entry["verdict"], entry.get("code")), entry["name"]
        usage = {name: value for name, value in (report["usage"] or {}).items() if value is not None}
        assert usage == entry.get("usage", {}), entry["name"]
        if "event" in entry:
            assert report["event"] == entry["event"], entry["name"]


@pytest.mark.parametrize(
    ("files", "status"),
    [
        ([VALID], 0),
        ([VALID, STREAMS / "web-search.sse"], 0),
        ([VALID, BROKEN], 1),
        # Without its message_stop a stream is not valid on the wire, though a guard would repair it.
        ([REPAIRED], 1),
        ([STREAMS / "none.sse"], 2),
        ([STREAMS / "none.sse", BROKEN], 2),
        ([STREAMS], 2),
        ([], 2),
    ],
)
def test_exit_status_tells_valid_from_invalid_from_unreadable(run: Run, files: list[Path], status: int) -> None:
    assert run("check", *map(str, files))[0] == status


def test_what_cannot_be_read_does_not_keep_the_rest_from_being_judged(run: Run) -> None:
    status, output, errors = run("check", str(STREAMS / "none.sse"), str(VALID))
    assert status == 2
    assert errors == f"sse-fsm: {STREAMS / 'none.sse'}: No such file or directory\n"
    assert output.startswith(f"{VALID}: complete: ")


def test_report_holds_the_whole_message_and_the_finding(run: Run) -> None:
    _, output, _ = run("check", "--json", str(VALID), str(BROKEN))
    valid, broken = map(json.loads, output.splitlines())
    assert ",".join(valid) == "input,outcome,code,sentence,event,offset,message,usage,error,notes,events,bytes"
    assert valid["message"]["content"][-1]["type"] == "tool_use"
    assert valid["message"]["usage"] == valid["usage"]
    assert valid["bytes"] == VALID.stat().st_size
    assert broken["code"] == "block_index_gap"
    assert broken["sentence"].startswith(f"event {broken['event']} at byte {broken['offset']}: ")
    assert BROKEN.read_bytes()[broken["offset"] :].startswith(b"event: content_block_start")


def test_standard_input_is_judged_and_named_in_the_report(run: Run) -> None:
    status, output, _ = run("check", "--json", "-", data=VALID.read_bytes())
    assert status == 0
    assert json.loads(output)["input"] == "-"


def test_plain_report_has_one_line_with_file_outcome_and_sentence(run: Run) -> None:
    _, output, _ = run("check", str(BROKEN))
    first = output.splitlines()[0]
    assert first.startswith(f"{BROKEN}: violation: event ")
    assert first.endswith("[block_index_gap]")


def test_the_head_that_curl_prints_is_noted(run: Run) -> None:
    data = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n\r\n" + VALID.read_bytes()
    status, output, _ = run("check", "-", data=data)
    assert status == 0
    assert "note: response head, HTTP/1.1 200 OK (curl -i prints it)" in output
    _, output, _ = run("check", "--json", "-", data=data)
    assert "curl -i" in json.loads(output)["notes"][0]


def test_an_error_body_is_told_in_the_report(run: Run) -> None:
    body = b'{"type":"error","error":{"type":"overloaded_error","message":"Overloaded"}}'
    status, output, _ = run("check", "--json", "-", data=body)
    assert status == 1
    assert (
        json.loads(output)["sentence"] == "it is an error body, not an event stream: overloaded_error: Overloaded"
    )


def test_report_is_json_whatever_numbers_and_characters_a_stream_holds(run: Run) -> None:
    data = VALID.read_bytes().replace(b'"stop_sequence":null', b'"stop_sequence":"\\ud800","x":1e999', 1)
    assert b"1e999" in data
    _, output, _ = run("check", "--json", "-", data=data)
    report = json.loads(output, parse_constant=pytest.fail)
    assert report["message"]["x"] is None
