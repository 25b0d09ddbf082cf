"""Values that are legal on the wire and made to break what handles them."""

from __future__ import annotations

import asyncio
import io
import json
from typing import Any

import pytest

from gateway.telemetry.logs import close_logs, configure_logs, get_logger, printable
from gateway.wire.requests import read_facts
from sse_fsm import StreamGuard, encode_event
from sse_fsm.runs import DeltaRun
from tests.contract.canned import canned
from tests.contract.harness import envelope, serving

START = {"type": "message_start", "message": {"id": "msg_1", "content": [], "usage": {"output_tokens": 1}}}
TEXT = [
    START,
    {"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}},
    {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": "hello"}},
    {"type": "content_block_stop", "index": 0},
]


def _ending(stop_reason: Any, output_tokens: int = 5) -> list[dict[str, Any]]:
    delta = {"stop_reason": stop_reason, "stop_sequence": None}
    return [
        {"type": "message_delta", "delta": delta, "usage": {"output_tokens": output_tokens}},
        {"type": "message_stop"},
    ]


def _answer(body: bytes, *headers: bytes) -> bytes:
    head = [b"HTTP/1.1 200 OK", b"content-type: text/event-stream", *headers, b"connection: close"]
    return b"\r\n".join([*head, b"", body])


@pytest.mark.parametrize(
    ("stop_reason", "output_tokens"),
    [("\ud800", 5), ("\x1b[2J", 5), ({"a": [1]}, 5), ("end_turn", 10**30)],
    ids=["lone surrogate", "terminal escape", "object", "huge integer"],
)
async def test_a_stream_ends_well_whatever_its_record_would_hold(stop_reason: Any, output_tokens: int) -> None:
    body = b"".join(map(encode_event, [*TEXT, *_ending(stop_reason, output_tokens)]))
    stream = io.StringIO()

    async with canned(_answer(body), close=True) as upstream, serving(anthropic_base_url=upstream.url) as served:
        configure_logs(fmt="json", stream=stream)
        try:
            answer = await served.stream()
            get_logger("test").info("later", stop_reason=stop_reason, output_tokens=output_tokens)
        finally:
            await asyncio.to_thread(close_logs)

    assert (answer.status, answer.body) == (200, body)
    assert [json.loads(line)["event"] for line in stream.getvalue().splitlines()][-1] == "later"


async def test_a_response_header_with_a_control_character_is_left_out() -> None:
    body = b"".join(map(encode_event, [*TEXT, *_ending("end_turn")]))
    upstream_answer = _answer(body, b"x-bad: a\x01b", b"x-good: yes")

    async with canned(upstream_answer, close=True) as upstream, serving(anthropic_base_url=upstream.url) as served:
        answer = await served.stream()

    assert (answer.status, answer.body) == (200, body)
    assert answer.header("x-good") == "yes"
    assert answer.header("x-bad") is None


async def test_an_error_before_content_keeps_its_status_whatever_its_message_holds() -> None:
    body = encode_event({"type": "error", "error": {"type": "overloaded_error", "message": "\ud800"}})

    async with canned(_answer(body), close=True) as upstream, serving(anthropic_base_url=upstream.url) as served:
        answer = await served.stream()

    envelope(answer, 529, "overloaded_error")


async def test_a_model_that_is_a_text_is_refused_and_not_logged() -> None:
    async with serving() as served:
        answer = await served.ask({"model": "m" * 20_000, "stream": True})

    assert "m" * 400 not in json.dumps(envelope(answer, 400, "invalid_request_error"))
    assert served.ledger.records[-1].model is None


def test_metadata_of_any_size_and_shape_is_not_built() -> None:
    body = b'{"model":"m","metadata":{"user_id":"u","a":[' + b"{}," * 200_000 + b'{}]},"stream":true}'

    facts = read_facts(body)

    assert (facts.model, facts.stream, facts.user_id) == ("m", True, "u")


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        ("plain é 日本", "plain é 日本"),
        ("\x1b[31mred", "\\x1b[31mred"),
        ("\ud800", "\\ud800"),
        ("a\nb", "a\\nb"),
        ("x" * 301, "x" * 300 + "…"),
        (["\x07"] * 30, ["\\x07"] * 20),
        ({"k": "\x00"}, {"k": "\\x00"}),
        (7, 7),
    ],
)
def test_logged_values_are_short_and_visible(value: Any, shown: Any) -> None:
    assert printable(value) == shown


def test_a_terminal_that_knows_few_characters_still_gets_every_line() -> None:
    raw = io.BytesIO()
    stream = io.TextIOWrapper(raw, encoding="latin-1")
    configure_logs(fmt="json", stream=stream)
    try:
        get_logger("test").info("first", model="日本")
        get_logger("test").info("second")
    finally:
        close_logs()
    stream.flush()

    assert [json.loads(line)["event"] for line in raw.getvalue().splitlines()] == ["first", "second"]


def test_no_byte_is_looked_at_twice_for_runs_that_are_none(monkeypatch: pytest.MonkeyPatch) -> None:
    """A ping as long as a delta's head, so that the pattern of tails runs over it."""
    head = (
        b'event: content_block_delta\ndata: {"type":"content_block_delta","index":0,'
        b'"delta":{"type":"text_delta","text":"'
    )
    ping = b'event: ping\ndata: {"type":"ping","pad":"'
    ping += b"p" * (len(head) - len(ping)) + b'"}}\n\n'
    ping = ping.replace(b'"pad":"', b'"pad":{"a":"').replace(b"ppp", b"", 1)
    delta = head + b'x"}}\n\n'
    looked = 0
    measure = DeltaRun.measure

    def counting(self: DeltaRun, buffer: bytes | bytearray, start: int) -> tuple[int, int]:
        nonlocal looked
        end, number = measure(self, buffer, start)
        looked += end - start
        return end, number

    monkeypatch.setattr(DeltaRun, "measure", counting)
    guard = StreamGuard()
    guard.feed(b"".join(map(encode_event, TEXT[:2])))
    chunk = (delta + ping) * 500 + delta

    step = guard.feed(chunk)

    assert (step.data, step.terminal) == (chunk, b"")
    assert looked <= 3 * len(chunk)
