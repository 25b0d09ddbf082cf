"""`sse-fsm trace`: what a person sees of a stream."""

from __future__ import annotations

import json
import os
import pty
import signal
import subprocess
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from sse_fsm import EndReason, encode_error, encode_event
from sse_fsm.printing import Paint
from sse_fsm.tracing import Tracer
from tests.sse_fsm_cli.conftest import STREAMS, Start

Run = Callable[..., tuple[int, str, str]]

# The few big ones take long byte by byte and hold no events that the others do not.
_SMALL_FILES = sorted(file for file in STREAMS.glob("*.sse") if file.stat().st_size < 20_000)
USAGE = {"input_tokens": 12, "cache_read_input_tokens": 7, "output_tokens": 1}
EVENTS = [
    encode_event(
        {"type": "message_start", "message": {"model": "claude-opus-5-5", "content": [], "usage": USAGE}}
    ),
    encode_event({"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}}),
    encode_event(
        {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": "Hé, hello"}}
    ),
    encode_event({"type": "content_block_stop", "index": 0}),
    encode_event({"type": "message_delta", "delta": {"stop_reason": "end_turn"}, "usage": {"output_tokens": 42}}),
    encode_event({"type": "message_stop"}),
]


def test_each_event_is_printed_before_the_next_one_is_written(start: Start) -> None:
    process = start("trace", "-")
    assert process.stdin is not None
    assert process.stdout is not None
    assert b"event" in process.stdout.readline()
    for number, event in enumerate(EVENTS, 1):
        process.stdin.write(event)
        assert process.stdout.readline().split()[0] == str(number).encode()
    process.stdin.close()
    assert process.stdout.readline().startswith(b"complete: ")
    assert process.wait() == 0


def test_a_named_pipe_is_read_live_too(start: Start, tmp_path: Path) -> None:
    pipe = tmp_path / "stream"
    os.mkfifo(pipe)
    process = start("trace", str(pipe))
    assert process.stdout is not None
    with pipe.open("wb", buffering=0) as writer:
        process.stdout.readline()
        for event in EVENTS:
            writer.write(event)
            assert event.split()[1] in process.stdout.readline()
    assert process.wait() == 0


def test_a_line_shows_number_times_states_name_and_content(run: Run) -> None:
    status, output, errors = run("trace", "-", data=b"".join(EVENTS))
    lines = [line.split(maxsplit=3) for line in output.splitlines()]
    assert (status, errors) == (0, "")
    assert lines[0] == ["#", "time", "gap", "state                            event                content"]
    assert [line[0] for line in lines[1:7]] == ["1", "2", "3", "4", "5", "6"]
    assert all(line[1].endswith("s") and line[2].startswith("+") for line in lines[1:7])
    assert [" ".join(line[3].split()) for line in lines[1:7]] == [
        "AWAIT_START → BETWEEN_BLOCKS message_start claude-opus-5-5 input 12, cache read 7, output 1",
        "BETWEEN_BLOCKS → IN_BLOCK content_block_start [0] text",
        'IN_BLOCK → IN_BLOCK content_block_delta [0] text_delta "Hé, hello"',
        "IN_BLOCK → BETWEEN_BLOCKS content_block_stop [0]",
        "BETWEEN_BLOCKS → ENDING message_delta end_turn output 42",
        "ENDING → STOPPED message_stop",
    ]
    assert output.splitlines()[7].startswith("complete: ")
    assert "stop reason end_turn; tokens: input 12, cache read 7, output 42" in output.splitlines()[8]


def test_times_are_left_out_for_a_file(run: Run) -> None:
    _, output, _ = run("trace", str(STREAMS / "text-two-blocks.sse"))
    assert "gap" not in output.splitlines()[0]
    assert output.splitlines()[1].split()[:2] == ["1", "AWAIT_START"]


def test_tool_names_models_signatures_and_comments_are_shown(run: Run) -> None:
    shown = {
        "web-search.sse": ["server_tool_use  web_search", 'citations_delta  web_search_result_location  "'],
        "fallback-model.sse": ["fallback  claude-"],
        "thinking-then-text.sse": ["signature_delta  ", " characters"],
        "framing-comments.sse": ["(comment)"],
        "unknown-events.sse": ['{"type": "'],
        "compaction-then-text.sse": ['compaction_delta  "'],
        "framing-id-retry-unknown-fields.sse": ["message_stop"],
    }
    for name, texts in shown.items():
        _, output, _ = run("trace", str(STREAMS / name))
        for text in texts:
            assert text in output, name


def test_a_violation_is_one_red_line_with_code_and_sentence_and_ends_the_trace(start: Start) -> None:
    process = start("trace", "--color", "-")
    assert process.stdin is not None
    assert process.stdout is not None
    process.stdin.write(EVENTS[0] + EVENTS[2])
    # The input stays open: the trace must not wait for more.
    output = process.stdout.read().decode()
    assert process.wait() == 1
    (line,) = (line for line in output.splitlines() if "VIOLATION" in line)
    assert line.startswith("\x1b[31m     2 ")
    assert "BETWEEN_BLOCKS → VIOLATED" in line
    sentence = "content_block_delta came while no content block was open"
    assert f"delta_outside_block: {sentence} (byte {len(EVENTS[0])})" in line
    assert f"violation: event 2 at byte {len(EVENTS[0])}: {sentence} [delta_outside_block]" in output


@pytest.mark.parametrize(
    ("data", "sentence"),
    [
        (b"".join(EVENTS[:5]), "repaired: message_stop is missing"),
        (b"".join(EVENTS[:3]), "truncated: the stream ended before the message was complete"),
        (EVENTS[0] + encode_error("overloaded_error", "Overloaded"), "overloaded_error: Overloaded"),
        (b"", "truncated: there is nothing in it"),
        (b"<!DOCTYPE html><html></html>", "it is a web page"),
        (b'{"type": "message", "content": []}', 'the request lacked "stream": true'),
        (b'{"hello": 1}\n', "it is a JSON body"),
        (b'{"hello": ', "it looks like JSON"),
    ],
)
def test_the_last_lines_say_what_it_was_if_no_valid_stream(run: Run, data: bytes, sentence: str) -> None:
    status, output, errors = run("trace", "-", data=data)
    assert (status, errors) == (1, "")
    assert sentence in output


def test_an_error_body_instead_of_a_stream_is_told_in_a_sentence(run: Run) -> None:
    error = {"type": "authentication_error", "message": "invalid x-api-key"}
    body = json.dumps({"type": "error", "error": error, "request_id": "req_7"}, indent=1).encode()
    for head in (b"", b"HTTP/2 401 \r\ncontent-type: application/json\r\n\r\n"):
        status, output, _ = run("trace", "-", data=head + body)
        assert status == 1
        sentence = (
            "it is an error body, not an event stream: authentication_error: invalid x-api-key (request req_7)"
        )
        assert sentence in output
        assert "unfinished_event" not in output
    assert "note: response head, HTTP/2 401: an error" in output


def test_the_head_that_curl_prints_is_named_and_the_stream_behind_it_judged(run: Run) -> None:
    head = (
        b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\nrequest-id: r\r\n\r\n"
    )
    status, output, _ = run("trace", "-", data=head + b"".join(EVENTS))
    assert status == 0
    assert "note: response head, HTTP/1.1 200 OK (curl -i prints it); it is no part of the stream" in output


def test_what_a_stream_says_cannot_move_the_terminals_cursor(run: Run) -> None:
    evil = "\x1b[2J\x9b2J\r\n\u202eabc\ud800"
    data = b"".join(
        [
            b": \x1b[2J\xc2\x9b\n",
            b"event: \x1b[2J\ndata: {}\n\n".replace(b"{}", json.dumps({"type": "x", "a": evil}).encode()),
            *EVENTS[:2],
            encode_event(
                {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": evil}}
            ),
            encode_error("x\x1b[2J", evil),
        ]
    )
    status, output, _ = run("trace", "-", data=data)
    assert status == 1
    assert all(line.isprintable() for line in output.splitlines())
    assert output.count("\\x1b[2J") >= 5


@pytest.mark.parametrize("file", _SMALL_FILES, ids=lambda file: file.stem)
def test_chunks_change_no_line(file: Path) -> None:
    data = file.read_bytes()
    assert _lines(data, len(data) + 1) == _lines(data, 7) == _lines(data, 1)


def _lines(data: bytes, size: int) -> list[str]:
    tracer = Tracer(paint=Paint(enabled=True), timed=False)
    lines = [line for at in range(0, len(data), size) for line in tracer.feed(data[at : at + size], 0.0)]
    return lines + list(tracer.finish(EndReason.EOF, 0.0))


def test_long_text_is_shortened(run: Run) -> None:
    delta = {"type": "text_delta", "text": "word " * 1000}
    data = b"".join(EVENTS[:2]) + encode_event({"type": "content_block_delta", "index": 0, "delta": delta})
    _, output, _ = run("trace", "-", data=data)
    assert '…" (5000 characters)' in output
    assert max(map(len, output.splitlines())) < 200


def test_interrupting_it_prints_the_verdict_so_far(start: Start) -> None:
    process = start("trace", "-")
    assert process.stdin is not None
    assert process.stdout is not None
    process.stdout.readline()
    process.stdin.write(EVENTS[0])
    process.stdout.readline()
    process.send_signal(signal.SIGINT)
    output, errors = process.communicate()
    assert process.returncode == 130
    assert output.decode().startswith("cancelled: ")
    assert "1 events" in output.decode()
    assert errors == b""


def test_a_reader_that_goes_away_is_no_error(start: Start) -> None:
    process = start("trace", "-")
    assert process.stdin is not None
    assert process.stdout is not None
    assert process.stderr is not None
    process.stdout.readline()
    process.stdout.close()
    process.stdin.write(b"".join(EVENTS))
    assert process.wait() == 141
    assert process.stderr.read() == b""


@pytest.mark.parametrize(
    ("options", "variables", "coloured"),
    [
        ([], {}, True),
        ([], {"NO_COLOR": ""}, True),
        ([], {"NO_COLOR": "1"}, False),
        ([], {"TERM": "dumb"}, False),
        (["--no-color"], {}, False),
        (["--color"], {"NO_COLOR": "1"}, True),
    ],
)
def test_a_terminal_gets_colours_unless_they_are_unwanted(
    start: Start, options: list[str], variables: dict[str, str], *, coloured: bool
) -> None:
    ours, theirs = pty.openpty()
    process = start("trace", *options, str(STREAMS / "framing-comments.sse"), env=variables, stdout=theirs)
    os.close(theirs)
    output = bytearray()

    def read() -> None:
        try:
            while chunk := os.read(ours, 4096):
                output.extend(chunk)
        except OSError:
            pass  # how Linux says that the other side of a terminal is closed

    reader = threading.Thread(target=read)
    reader.start()
    assert process.wait() == 0
    reader.join()
    os.close(ours)
    assert (b"\x1b[" in output) is coloured
    assert (b"\x1b[2m" in output) is coloured


def test_a_pipe_gets_no_colours_unless_they_are_wanted(run: Run) -> None:
    assert "\x1b" not in run("trace", str(STREAMS / "web-search.sse"))[1]
    assert "\x1b[36m" in run("trace", "--color", str(STREAMS / "web-search.sse"))[1]


def test_a_file_that_cannot_be_read_is_status_2_and_a_sentence(run: Run, tmp_path: Path) -> None:
    assert run("trace", str(tmp_path / "none"))[0] == 2
    status, _, errors = run("trace", str(tmp_path))
    assert status == 2
    assert errors == f"sse-fsm: {tmp_path}: Is a directory\n"


def test_help_shows_examples_and_exit_statuses(run: Run) -> None:
    for arguments in (["--help"], ["trace", "--help"], ["check", "--help"]):
        status, output, _ = run(*arguments)
        assert status == 0
        assert "examples:" in output
        assert "exit status:" in output
    assert run(stdin=subprocess.DEVNULL)[0] == 2
