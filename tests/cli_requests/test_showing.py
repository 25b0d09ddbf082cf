"""`gateway requests show`: what became of a request, in words, and what to do next."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from gateway.cli import main
from gateway.ledger.timeline import TimelineRecorder
from gateway.pricing.cost import Cost
from sse_fsm import EndReason, StreamGuard
from tests.cli_requests.filling import a_request, put

STREAM = b"""event: message_start
data: {"type":"message_start","message":{"id":"msg_1","type":"message","role":"assistant","content":[],\
"model":"m","stop_reason":null,"stop_sequence":null,"usage":{"input_tokens":1,"output_tokens":1}}}

event: content_block_start
data: {"type":"content_block_start","index":0,"content_block":{"type":"text","text":""}}

"""


def a_cut_stream() -> bytes:
    """Return the timeline of a stream that broke off."""
    times = iter([0.0, 0.5, 2.0, 3.5, 4.0, 5.0, 6.0])
    recorder = TimelineRecorder(lambda: next(times), began=0.0)
    guard = StreamGuard(recorder=recorder)
    guard.feed(STREAM)
    guard.finish(EndReason.CUT)
    return recorder.finish("truncated", "cut")


@pytest.fixture(autouse=True)
def filled(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Give the command a database with some requests."""
    monkeypatch.setenv("GATEWAY_DATA_DIR", str(tmp_path))
    put(
        tmp_path,
        [
            a_request(0, outcome="truncated", reason="cut", timeline=a_cut_stream()),
            a_request(1, stream=False, bytes_in=613, bytes_out=613),
            a_request(2, stream=False, bytes_in=0, bytes_out=613),
            a_request(3, events=9, bytes_in=700, bytes_out=700),
            a_request(4, cost=Cost(nanousd=None, note="unknown model")),
            a_request(5, outcome="truncated", reason="timeout"),
            a_request(7, outcome="truncated"),
            a_request(6, outcome="rejected", reason="A sentence of the gateway's own."),
        ],
    )


def shown(capsys: pytest.CaptureFixture[str], number: int) -> dict[str, str]:
    """Return what is said of a request, by the words in front."""
    assert main(["requests", "show", f"req_{number}"]) == 0
    lines = capsys.readouterr().out.partition("\n\n")[0].splitlines()
    names = [line.partition(":")[0] for line in lines]
    assert len(set(names)) == len(names)
    return {name: line.partition(":")[2].strip() for name, line in zip(names, lines, strict=True)}


def test_the_size_is_of_what_was_counted(capsys: pytest.CaptureFixture[str]) -> None:
    assert shown(capsys, 1)["size"] == "613 bytes from upstream, 613 bytes to the client"
    assert shown(capsys, 2)["size"] == "613 bytes to the client"
    assert shown(capsys, 3)["size"] == "9 events, 700 bytes from upstream, 700 bytes to the client"


def test_why_a_stream_ended_is_said_in_words(capsys: pytest.CaptureFixture[str]) -> None:
    assert shown(capsys, 0)["reason"] == "the connection to the upstream broke"
    assert shown(capsys, 5)["reason"] == "the upstream was silent, or took, too long"
    assert shown(capsys, 7)["reason"] == "the upstream closed the stream"
    assert shown(capsys, 6)["reason"] == "A sentence of the gateway's own."


def test_a_cost_that_is_not_known_comes_with_what_to_do(capsys: pytest.CaptureFixture[str]) -> None:
    assert "then `gateway costs recompute`" in shown(capsys, 4)["to price it"]
    assert "to price it" not in shown(capsys, 3)


def test_cost_stands_at_the_head_of_one_thing(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["requests", "show", "req_3"]) == 0
    out = capsys.readouterr().out
    assert out.count("cost:") == 1
    assert "\nbill:\n" in out


def test_the_mark_behind_a_gap_is_explained(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["requests", "show", "req_0"]) == 0
    heading, _, timeline = capsys.readouterr().out.partition("\ntimeline ")[2].partition("\n")
    assert "! a second or more" in heading
    assert "1.500!" in timeline


def test_a_request_that_is_not_there_may_have_been_killed_with_its_gateway(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert main(["requests", "show", "req_none"]) == 1
    assert "or the gateway was killed while it ran" in capsys.readouterr().err


def test_json_is_json_though_the_stream_is_saved_too(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    path = tmp_path / "saved.sse"
    assert main(["requests", "show", "req_0", "--json", "--save", str(path)]) == 0
    printed = capsys.readouterr()
    assert json.loads(printed.out)["timeline"]["reason"] == "cut"
    assert (
        printed.err == f"{path}: {path.stat().st_size} bytes, no content. Judge it with `sse-fsm check {path}`.\n"
    )
    assert path.read_bytes().startswith(b"event: message_start\n")
    assert main(["requests", "show", "req_0", "--json", "--save", "-"]) == 1
    assert "both write to standard output" in capsys.readouterr().err
