"""Whatever goes wrong, no secret and nothing of a prompt or an answer gets into a log line.

Every test of the suite is watched for it (`tests/log_watch.py`). These provoke what other tests seldom meet:
every diagnostic on, faults of the gateway itself, and texts in places that end up in messages.
"""

from __future__ import annotations

import asyncio
import logging
import signal
from collections.abc import Iterator
from io import StringIO
from typing import Any

import pytest
import structlog

from gateway.accounts.pool import AccountPool
from gateway.ledger.record import RequestRecord
from gateway.telemetry.logs import close_logs, configure_logs, exception_facts, get_logger
from tests.contract.harness import ACCOUNT_KEY, MESSAGES, envelope, head, serving
from tests.faults.gateway_process import serving_process
from tests.faults.scripted import (
    BLOCK_STOP,
    LAST_CHUNK,
    MESSAGE_DELTA,
    MESSAGE_STOP,
    OPENING,
    STREAM_HEAD,
    Exchange,
    ScriptedUpstream,
    chunk,
    delta,
    event,
    json_head,
)
from tests.faults.waiting import until
from tests.log_watch import MARKER, leaks, recent_events
from tests.replay.raw_client import message

SECRET_ERROR = f"{MARKER} with {ACCOUNT_KEY}"


def prompt(**changes: Any) -> dict[str, Any]:
    """Return a request whose every text is marked."""
    content = [{"role": "user", "content": f"{MARKER} in a prompt"}]
    return message(messages=content, system=MARKER, metadata={"user_id": MARKER}, **changes)


def marked_headers() -> list[tuple[str, str]]:
    """Return headers whose values are nobody's business."""
    return [("x-custom", MARKER), ("cookie", f"session={MARKER}"), ("anthropic-beta", MARKER)]


ANSWERS = {
    "stream": STREAM_HEAD
    + chunk(OPENING + delta(MARKER) + BLOCK_STOP + MESSAGE_DELTA + MESSAGE_STOP)
    + LAST_CHUNK,
    "bad json": STREAM_HEAD + chunk(OPENING + event("content_block_delta", f'{{"{MARKER}')) + LAST_CHUNK,
    "bad json first": STREAM_HEAD + chunk(event("message_start", f"{MARKER}")) + LAST_CHUNK,
    "wrong name": STREAM_HEAD + chunk(OPENING + event(MARKER, '{"type":"ping"}')) + LAST_CHUNK,
    "wrong type": STREAM_HEAD + chunk(OPENING + event("ping", f'{{"type":"{MARKER}"}}')) + LAST_CHUNK,
    "wrong delta": STREAM_HEAD
    + chunk(
        OPENING
        + event(
            "content_block_delta",
            f'{{"type":"content_block_delta","index":0,"delta":{{"type":5,"x":"{MARKER}"}}}}',
        )
    )
    + LAST_CHUNK,
    "tool input": STREAM_HEAD
    + chunk(
        OPENING
        + BLOCK_STOP
        + event(
            "content_block_start",
            '{"type":"content_block_start","index":1,'
            '"content_block":{"type":"tool_use","id":"t","name":"n","input":{}}}',
        )
        + event(
            "content_block_delta",
            f'{{"type":"content_block_delta","index":1,'
            f'"delta":{{"type":"input_json_delta","partial_json":"{{{MARKER}"}}}}',
        )
        + event("content_block_stop", '{"type":"content_block_stop","index":1}')
        + MESSAGE_DELTA
        + MESSAGE_STOP
    )
    + LAST_CHUNK,
    "error event": STREAM_HEAD
    + chunk(OPENING + event("error", f'{{"type":"error","error":{{"type":"api_error","message":"{MARKER}"}}}}'))
    + LAST_CHUNK,
    "cut": STREAM_HEAD + chunk(OPENING + delta(MARKER)),
    "body": json_head(len(MARKER) + 6) + f'{{"{MARKER}":0}}'.encode(),
    "refusal": json_head(len(MARKER)).replace(b"200 OK", b"400 Bad Request", 1) + MARKER.encode(),
    "no http": f"HTTP/1.1 {MARKER}\r\n\r\n".encode(),
    "redirect": f"HTTP/1.1 302 Found\r\nlocation: {MARKER}\r\ncontent-length: 0\r\n\r\n".encode(),
}


@pytest.mark.parametrize("kind", ANSWERS)
async def test_no_answer_gets_into_the_logs(kind: str) -> None:
    async def serve(exchange: Exchange) -> None:
        await exchange.send(ANSWERS[kind])
        exchange.close()

    async with (
        ScriptedUpstream(serve) as upstream,
        serving(anthropic_base_url=upstream.url, diagnostics=["all"]) as served,
    ):
        await served.ask(prompt(stream=kind != "body"), headers=marked_headers())
        await until(lambda: any(found["event"] == "request" for found in recent_events()))
        topics = {found.get("topic") for found in recent_events()}
        assert {"requests", "attempts"} <= topics


BAD_REQUESTS = {
    "no json": MARKER.encode(),
    "half json": f'{{"model": "m", "messages": "{MARKER}'.encode(),
    "model": f'{{"model": ["{MARKER}"]}}'.encode(),
    "stream": f'{{"model": "m", "stream": "{MARKER}"}}'.encode(),
    "encoding": b"",
}


@pytest.mark.parametrize("kind", BAD_REQUESTS)
async def test_no_bad_request_gets_into_the_logs(kind: str) -> None:
    async with serving(diagnostics=["all"]) as served:
        extra = [("content-encoding", MARKER)] if kind == "encoding" else []
        answer = await served.ask(BAD_REQUESTS[kind] or b"{}", headers=[*marked_headers(), *extra])
        assert answer.status == 400
        assert any(found["event"] == "request" for found in recent_events())


async def test_neither_does_what_is_no_http_nor_a_wrong_key_nor_an_unknown_path() -> None:
    async with serving(diagnostics=["all"]) as served:
        await served.raw(f"{MARKER} / HTTP/1.1\r\n\r\n".encode())
        await served.raw(f"GET /\x00{MARKER} HTTP/1.1\r\n\r\n".encode())
        await served.raw(f"GET / HTTP/1.1\r\nbad header {MARKER}\r\n\r\n".encode())
        wrong = f"csg_{'x' * 43}"
        answer = await served.ask(prompt(), usual=[("x-api-key", wrong)])
        assert answer.status == 401
        assert wrong.encode() not in answer.body
        await served.ask(prompt(), target=f"/claude/v1/{MARKER}")
        lines = [
            f"x-api-key: {served.key}",
            f"authorization: Bearer {MARKER}",
            "content-length: 0",
            "connection: close",
        ]
        (both,) = await served.raw(head(MESSAGES, "host: g", *lines))
        assert both.status == 401


@pytest.mark.parametrize("stream", [True, False])
async def test_a_fault_of_the_gateway_is_a_500_that_says_nothing_and_a_log_line_that_says_where(
    monkeypatch: pytest.MonkeyPatch, *, stream: bool
) -> None:
    async def acquire(*_: object) -> None:
        raise RuntimeError(SECRET_ERROR)

    async with serving(diagnostics=["all"]) as served:
        monkeypatch.setattr(AccountPool, "acquire", acquire)
        answer = await served.ask(prompt(stream=stream))
        error = envelope(answer, 500, "api_error")
        assert MARKER not in error["message"]
        (record,) = served.ledger.records
        assert (record.outcome, record.status) == ("failed", 500)
        (logged,) = [found for found in recent_events() if found["event"] == "request handler failed"]
        assert logged["exception"] == "RuntimeError"
        assert logged["trace"][-1].endswith(" acquire")
        monkeypatch.undo()
        await served.assert_serves()
        assert not served.gateway.data_plane.messages.waiting


async def test_a_ledger_that_fails_costs_the_client_nothing_and_the_log_says_so() -> None:
    class Failing:
        async def settle(self, record: RequestRecord) -> None:  # noqa: ARG002 - the interface
            raise RuntimeError(SECRET_ERROR)

    async with serving() as served:
        served.gateway.data_plane.messages.settlement.ledger = Failing()
        answer = await served.stream()
        assert answer.status == 200
        assert answer.body.count(b"event: message_stop") == 1
        assert answer.ended == "complete"
        assert any(found["event"] == "the record of a request was lost" for found in recent_events())
        assert not served.gateway.data_plane.messages.relays


@pytest.fixture
def own_logs() -> Iterator[StringIO]:
    """Set logging up as a command does, and give it back."""
    stream = StringIO()
    handlers = logging.getLogger().handlers[:]
    level = logging.getLogger().level
    configure_logs(level="debug", fmt="json", stream=stream)
    yield stream
    close_logs()
    logging.getLogger().handlers[:] = handlers
    logging.getLogger().setLevel(level)
    structlog.reset_defaults()


async def test_what_libraries_log_of_an_exception_is_its_type_and_place(own_logs: StringIO) -> None:
    async def fail() -> None:
        raise ValueError(SECRET_ERROR)

    loop = asyncio.get_running_loop()
    await asyncio.wait([loop.create_task(fail())])  # nobody asks for its result
    loop.call_exception_handler({"message": "something failed", "exception": ValueError(SECRET_ERROR)})
    try:
        await fail()
    except ValueError as error:
        logging.getLogger("aiohttp.server").exception("Error handling request from %s", MARKER)
        get_logger("test").error("failed", **exception_facts(error))
    await asyncio.to_thread(close_logs)
    text = own_logs.getvalue()
    assert text.count("ValueError") >= 2
    assert list(leaks(text.splitlines())) == []
    assert "test_secrets.py" in text


@pytest.mark.parametrize("level", ["debug", "info"])
async def test_a_process_with_every_diagnostic_on_logs_no_text(level: str) -> None:
    async def serve(exchange: Exchange) -> None:
        await exchange.send(ANSWERS["stream"])

    settings = {"DIAGNOSTICS": "all", "LOG_LEVEL": level}
    async with ScriptedUpstream(serve) as upstream, serving_process(upstream.url, **settings) as running:
        async with running.connect() as connection:
            await connection.send(MESSAGES, prompt(stream=True), usual=running.usual, headers=marked_headers())
            assert (await connection.receive()).status == 200
        await until(lambda: len(running.named("diagnostic")) >= 3)
        assert {found["topic"] for found in running.named("diagnostic")} == {"requests", "attempts", "streams"}
        running.send(signal.SIGTERM)
        assert await running.ended() == 0
        assert not list(leaks([*running.lines, *running.errors]))
