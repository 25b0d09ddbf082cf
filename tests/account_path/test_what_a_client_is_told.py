"""What a client gets when accounts are refused, and what one kind of request means for another."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from typing import Any, Final

import pytest
from attrs import define, field

from gateway.accounts.account import Condition
from gateway.replay.server import ReplayUpstream
from tests.account_path.harness import NewAccount, Pooled, pooled
from tests.replay.raw_client import RawResponse, message

COUNT: Final = "/claude/v1/messages/count_tokens"
RED: Final = b"of-red"


def whole(status: str, body: Any, *headers: str) -> bytes:
    """Return an answer with a body of JSON."""
    data = json.dumps(body).encode()
    lines = [f"HTTP/1.1 {status}", "content-type: application/json", f"content-length: {len(data)}", *headers]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + data


def refused(status: str, kind: str, text: str, *headers: str, code: str = "") -> bytes:
    """Return a refusal in Anthropic's envelope."""
    details = {"details": {"error_code": code}} if code else {}
    error = {"type": kind, "message": text, **details}
    return whole(status, {"type": "error", "error": error, "request_id": "req_1"}, *headers)


def events(cached: int) -> bytes:
    """Return a short stream that read so many tokens from the cache."""
    usage = {"input_tokens": 1, "output_tokens": 1, "cache_read_input_tokens": cached}
    start = {"id": "msg_1", "type": "message", "role": "assistant", "content": [], "model": "m", "usage": usage}
    text = {"type": "text_delta", "text": "hi"}
    found: list[dict[str, Any]] = [
        {"type": "message_start", "message": {**start, "stop_reason": None, "stop_sequence": None}},
        {"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}},
        {"type": "content_block_delta", "index": 0, "delta": text},
        {"type": "content_block_stop", "index": 0},
        {"type": "message_delta", "delta": {"stop_reason": "end_turn"}, "usage": {"output_tokens": 1}},
        {"type": "message_stop"},
    ]
    body = "".join(f"event: {event['type']}\ndata: {json.dumps(event)}\n\n" for event in found).encode()
    return (
        f"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ncontent-length: {len(body)}\r\n\r\n".encode()
        + body
    )


MESSAGE: Final = whole(
    "200 OK",
    {
        "id": "msg_1",
        "type": "message",
        "role": "assistant",
        "content": [{"type": "text", "text": "hi"}],
        "model": "m",
        "stop_reason": "end_turn",
        "stop_sequence": None,
        "usage": {"input_tokens": 1, "output_tokens": 1},
    },
)


@define
class Api:
    """Answers as a test says; empty for a connection that is cut."""

    answer: Callable[[bytes], bytes]
    """Gets the head of the request."""
    heads: list[bytes] = field(factory=list)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Serve one connection."""
        try:
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                lengths = [
                    line[15:] for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:")
                ]
                await reader.readexactly(int(lengths[0]) if lengths else 0)
                self.heads.append(head)
                answer = self.answer(head)
                if not answer:
                    return
                writer.write(answer)
                await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError):
            return
        finally:
            writer.close()


@asynccontextmanager
async def running(answer: Callable[[bytes], bytes], **settings: Any) -> AsyncGenerator[tuple[Pooled, Api]]:
    """Run a gateway with two accounts before an API that answers so."""
    api = Api(answer)
    server = await asyncio.start_server(api.serve, "127.0.0.1", 0)
    host, port = server.sockets[0].getsockname()
    usual: dict[str, Any] = {"anthropic_base_url": f"http://{host}:{port}", **settings}
    async with server, ReplayUpstream() as unused:
        async with pooled(NewAccount("red"), NewAccount("green"), upstream=unused, **usual) as served:
            yield served, api
        server.close()


def wait_told(answer: RawResponse) -> int:
    """Return the seconds that the client is told to wait."""
    return int(answer.header("retry-after") or -1)


@pytest.mark.parametrize("code", ["organization_on_hold", ""])
async def test_a_403_for_an_accounts_bill_is_not_taken_for_one_of_the_clients_key(code: str) -> None:
    text = "This organization is on hold." if code else "Your credit balance is too low to access the API."
    refusal = refused("403 Forbidden", "permission_error", text, code=code)
    async with running(lambda _: refusal) as (served, _):
        first = await served.ask(message())
        await served.until_condition(Condition.PARKED, "red", "green")
        second = await served.ask(message())
        assert [first.status, second.status] == [503, 503]
        assert {account.condition_reason for account in await served.store.all()} == {text}


async def test_token_counting_at_its_limit_leaves_messages_alone() -> None:
    refusal = refused("429 Too Many Requests", "rate_limit_error", "too many counts", "retry-after: 3000")
    async with running(lambda head: refusal if b"count_tokens" in head else MESSAGE) as (served, api):
        assert (await served.ask(message(), COUNT)).status == 429
        for _ in range(4):
            assert (await served.ask(message())).status == 200
        again = await served.ask(message(), COUNT)
        assert again.status == 429
        assert sum(b"count_tokens" in head for head in api.heads) == 2


async def test_token_counting_does_not_bind_a_session_to_an_account() -> None:
    async with running(lambda head: b"" if b"count_tokens" in head and RED in head else MESSAGE) as (served, _):
        for number in range(4):
            session = [("x-claude-code-session-id", f"session-{number}")]
            await served.ask(message(), COUNT, headers=session)
            answer = await served.ask(message(), headers=session)
            assert served.ledger.of(answer).switch is None


async def test_a_client_does_not_wait_for_one_accounts_reset_while_another_was_only_unreachable() -> None:
    refusal = refused("429 Too Many Requests", "rate_limit_error", "slow down", "retry-after: 3000")
    async with running(lambda head: refusal if RED in head else b"") as (served, _):
        answer = await served.ask(message())
        assert (answer.status, wait_told(answer)) == (429, 1)


async def test_a_refusal_that_is_remembered_says_nothing_that_was_true_for_another_client_alone() -> None:
    refusal = refused(
        "429 Too Many Requests",
        "rate_limit_error",
        "slow down",
        "retry-after: 3000",
        "retry-after-ms: 3000000",
        "set-cookie: session=of-somebody",
        "date: Mon, 01 Jan 2024 00:00:00 GMT",
        "x-other: stays",
    )
    async with running(lambda _: refusal) as (served, api):
        first = await served.ask(message())
        second = await served.ask(message())
        assert len(api.heads) == 2
        assert (second.status, second.body, second.header("x-other")) == (first.status, first.body, "stays")
        assert 0 < wait_told(second) <= 3000
        assert second.header("set-cookie") is None
        assert second.header("retry-after-ms") is None
        assert "2024" not in (second.header("date") or "")


async def test_a_usage_beyond_reason_neither_fails_a_request_nor_keeps_a_place() -> None:
    refusal = refused("429 Too Many Requests", "rate_limit_error", "slow down", "retry-after: 3000")
    session = [("x-claude-code-session-id", "one")]
    async with running(lambda _: events(10**400)) as (served, api):
        assert (await served.stream(headers=session)).status == 200
        name = b"of-red" if RED in api.heads[0] else b"of-green"
        api.answer = lambda head: refusal if name in head else events(5)
        answer = await served.stream(headers=session)
        assert answer.status == 200
        switch = served.ledger.of(answer).switch
        assert switch is not None
        assert (switch.reason, switch.cached_tokens) == ("cooling", 0)
        # Where nobody answers, nothing is cached again.
        api.answer = lambda _: refusal
        nobody = await served.stream(headers=session)
        assert nobody.status == 429
        assert served.ledger.of(nobody).switch is None
        assert served.gateway.data_plane.messages.backend.pool.in_flight == 0


async def test_what_a_whole_answer_has_used_and_cached_is_known_as_it_is_of_a_stream() -> None:
    usage = {
        "input_tokens": 3,
        "output_tokens": 4,
        "cache_read_input_tokens": 500,
        "cache_creation_input_tokens": 20,
    }
    body = json.loads(MESSAGE.partition(b"\r\n\r\n")[2]) | {"usage": usage}
    refusal = refused("429 Too Many Requests", "rate_limit_error", "slow down", "retry-after: 3000")
    session = [("x-claude-code-session-id", "one")]
    async with running(lambda _: whole("200 OK", body)) as (served, api):
        first = served.ledger.of(await served.ask(message(), headers=session))
        assert (first.usage, first.stop_reason) == (usage, "end_turn")
        name = b"of-red" if RED in api.heads[0] else b"of-green"
        api.answer = lambda head: refusal if name in head else MESSAGE
        switch = served.ledger.of(await served.ask(message(), headers=session)).switch
        assert switch is not None
        assert switch.cached_tokens == 520


async def test_a_model_named_after_the_whole_account_keeps_no_other_model_from_it() -> None:
    refusal = refused("429 Too Many Requests", "rate_limit_error", "slow down", "retry-after: 3000")
    async with running(lambda _: refusal) as (served, api):
        assert (await served.ask(message(model="account"))).status == 429
        api.answer = lambda _: MESSAGE
        assert (await served.ask(message())).status == 200
        assert len(api.heads) == 3


async def test_a_refusal_without_an_envelope_keeps_its_kind_where_a_stream_was_held_with_pings() -> None:
    answer = b"HTTP/1.1 429 Too Many Requests\r\nretry-after: 3000\r\ncontent-length: 4\r\n\r\nslow"
    held = {"routing": {"hold_for_capacity_seconds": 0.4}, "timeouts": {"commit_deadline_seconds": 0.1}}
    async with running(lambda _: answer, **held) as (served, _):
        stream = await served.stream()
        assert stream.status == 200
        assert stream.body.startswith(b"event: ping\n")
        assert json.loads(stream.body.rpartition(b"data: ")[2])["error"]["type"] == "rate_limit_error"


async def test_the_record_of_a_refusal_that_nobody_was_asked_for_says_why_nobody_was() -> None:
    refusal = refused("429 Too Many Requests", "rate_limit_error", "slow down", "retry-after: 3000")
    async with running(lambda _: refusal) as (served, api):
        asked = served.ledger.of(await served.ask(message()))
        repeated = served.ledger.of(await served.ask(message()))
        assert len(api.heads) == 2
        assert (asked.outcome, asked.reason) == ("refused", None)
        assert (repeated.outcome, repeated.status, repeated.attempts) == ("refused", 429, [])
        assert repeated.reason is not None
        assert repeated.reason.startswith("all accounts rest, the first until 20")
        assert repeated.reason.endswith(" UTC; the upstream's last refusal was repeated")
        assert asked.bytes_in == asked.bytes_out == repeated.bytes_out > repeated.bytes_in == 0
