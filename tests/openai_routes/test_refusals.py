"""What the gateway says in its own name below `/v1`: in an envelope that the client reads, and what to do."""

from __future__ import annotations

import asyncio
import json
import socket
from collections.abc import AsyncGenerator
from contextlib import AsyncExitStack
from typing import Any

import pytest
import pytest_asyncio

from gateway.config import ClientAuth, OpenAIMode
from tests.contract.harness import Served, serving
from tests.faults.scripted import Exchange, ScriptedUpstream
from tests.openai_routes.stage import Stage, connected, exactly, rest, staged
from tests.replay.raw_client import RawResponse

GET = b"GET /v1/models HTTP/1.1\r\nHost: localhost\r\n"
END = b"\r\n"


pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def running() -> AsyncGenerator[Stage]:
    async with staged() as stage:
        yield stage


@pytest.fixture
def stage(running: Stage) -> Stage:
    running.openai.arrivals.clear()
    return running


def explained(answers: list[RawResponse], status: int) -> dict[str, Any]:
    """Check that one answer came, in OpenAI's envelope, and return its error."""
    (answer,) = answers
    assert answer.status == status
    body = json.loads(answer.body)
    assert set(body) == {"error"}
    assert set(body["error"]) == {"message", "type", "param", "code"}
    assert body["error"]["type"] == ("server_error" if status >= 500 else "invalid_request_error")
    assert answer.header("x-gateway-request-id")
    return body["error"]


async def test_an_upstream_that_is_not_there_is_a_502_that_says_what_to_look_at() -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        port = unused.getsockname()[1]
        async with serving(openai_base_url=f"http://127.0.0.1:{port}") as served:
            error = explained(await served.raw(GET + END), 502)
            assert "GATEWAY_OPENAI_BASE_URL" in error["message"]
            assert str(port) not in error["message"]


async def test_an_upstream_name_that_nobody_knows_is_a_502() -> None:
    async with serving(openai_base_url="http://nowhere.invalid") as served:
        assert "name" in explained(await served.raw(GET + END), 502)["message"]


async def test_an_upstream_that_speaks_no_tls_is_a_502() -> None:
    async def speak(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")
        writer.close()

    async with await asyncio.start_server(speak, "127.0.0.1", 0) as upstream:
        port = upstream.sockets[0].getsockname()[1]
        async with serving(openai_base_url=f"https://127.0.0.1:{port}") as served:
            assert "TLS" in explained(await served.raw(GET + END), 502)["message"]


async def test_an_upstream_that_stays_silent_is_a_504() -> None:
    async def hang(exchange: Exchange) -> None:
        await exchange.gone()

    async with (
        ScriptedUpstream(hang) as upstream,
        serving(openai_base_url=upstream.url, timeouts={"forward_idle_seconds": 0.2}) as served,
    ):
        explained(await served.raw(GET + END), 504)


async def test_an_answer_that_falls_silent_is_cut() -> None:
    begun = b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhello"

    async def hang(exchange: Exchange) -> None:
        await exchange.send(begun)
        await exchange.gone()

    async with (
        ScriptedUpstream(hang) as upstream,
        serving(openai_base_url=upstream.url, timeouts={"forward_idle_seconds": 0.3}) as served,
        connected((served.gateway.host, served.gateway.port)) as (reader, writer),
    ):
        writer.write(GET + END)
        assert await exactly(reader, len(begun)) == begun
        assert await rest(reader) is None


@pytest.mark.parametrize(
    "answer",
    [
        b"SSH-2.0-OpenSSH_9.9\r\n\r\n",
        b"HTTP/2 200\r\n\r\n",
        b"HTTP/1.1 OK\r\n\r\n",
        b"HTTP/1.1 200 OK\r\n" + b"a: b\r\n" * 100_000,
        b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n\r\n",
    ],
    ids=["ssh", "http2", "no status", "endless", "switched unasked"],
)
async def test_an_upstream_that_speaks_something_else_is_a_502(answer: bytes) -> None:
    async def speak(exchange: Exchange) -> None:
        await exchange.send(answer)
        await exchange.gone()

    async with ScriptedUpstream(speak) as upstream, serving(openai_base_url=upstream.url) as served:
        explained(await served.raw(GET + END), 502)


async def test_a_base_url_that_leads_back_to_the_gateway_is_told_as_what_it_is() -> None:
    with socket.socket() as reserved:
        reserved.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        reserved.bind(("127.0.0.1", 0))
        port = reserved.getsockname()[1]
    base = f"http://localhost:{port}"
    async with serving(openai_base_url=base, listen=f"127.0.0.1:{port}") as served:
        answers = await served.raw(GET + b"Connection: close\r\n" + END)
        assert explained(answers, 508)["code"] == "loop_detected"
        await served.assert_serves()


@pytest.mark.parametrize("name", ["authorization: Bearer ", "Authorization: ", "x-api-key: ", "api-key: "])
async def test_a_key_of_the_gateway_never_leaves_it(stage: Stage, name: str) -> None:
    answers = await stage.served.raw(GET + name.encode() + stage.served.key.encode() + END + END)
    assert explained(answers, 401)["code"] == "invalid_api_key"
    assert not stage.openai.arrivals


async def test_a_key_that_a_browser_sends_as_a_subprotocol_does_not_leave_either(stage: Stage) -> None:
    key = stage.served.key.encode()
    protocols = b"Sec-WebSocket-Protocol: realtime, openai-insecure-api-key." + key + END
    explained(await stage.served.raw(GET + b"Upgrade: websocket\r\n" + protocols + END), 401)
    assert not stage.openai.arrivals


async def test_a_token_of_another_server_may_have_the_letters_of_a_key_inside(stage: Stage) -> None:
    async with connected(stage.places["forwarded"]) as (reader, writer):
        writer.write(GET + b"Authorization: Bearer eyJhbGciOi.abcsg_defgh\r\n" + END)
        assert await reader.readline() == b"HTTP/1.1 200 OK\r\n"


async def test_clients_whose_ports_the_gateway_uses_elsewhere_are_not_taken_for_itself() -> None:
    async def answer(exchange: Exchange) -> None:
        await exchange.send(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")

    async with (
        ScriptedUpstream(answer) as upstream,
        serving(openai_base_url=upstream.url) as served,
        AsyncExitStack() as stack,
    ):
        # The system gives a port to several connections that lead to different places: here to some in a hundred.
        for _ in range(800):
            reader, writer = await stack.enter_async_context(connected((served.gateway.host, served.gateway.port)))
            writer.write(GET + END)
            assert await reader.readline() == b"HTTP/1.1 200 OK\r\n"


@pytest.mark.parametrize("base", ["https://api.openai.com", "https://eu.api.openai.com/"])
async def test_a_claude_client_with_the_wrong_base_url_is_told_the_right_one(base: str) -> None:
    async with serving(openai_base_url=base) as served:
        request = (
            b"POST /v1/messages HTTP/1.1\r\nHost: x\r\nanthropic-version: 2023-06-01\r\nContent-Length: 2\r\n"
        )
        (answer,) = await served.raw(request + b"x-api-key: made-up" + END + END + b"{}")
        assert answer.status == 404
        error = json.loads(answer.body)
        assert error["type"] == "error"
        assert error["error"]["type"] == "not_found_error"
        assert "ANTHROPIC_BASE_URL" in error["error"]["message"]


DOTTED = [
    "/v1/..",
    "/v1/../admin",
    "/v1/%2e%2e/admin",
    "/v1/.%2E/admin",
    "/v1/%252e%252E/admin",
    "/v1/x/./y",
    "/v1/..%2fadmin",
    "/v1/x%2f..%2f..%2fadmin",
    "/v1/..\\admin",
    "/v1/..%5cadmin",
    "/v1/..;/admin",
    "/v1/..#x",
    "/v1/..%23x",
    "/v1/..%3fx",
    "/v1/x/..%00/y",
]
PLAIN = ["/v1/models/a..b", "/v1/models/...", "/v1/models/.x", "/v1/x?../y", "/v1/models/gpt-5.5", "/v1//x"]


@pytest.mark.parametrize("path", DOTTED)
async def test_a_path_that_may_lead_out_of_v1_goes_nowhere(stage: Stage, path: str) -> None:
    explained(await stage.served.raw(f"GET {path} HTTP/1.1\r\nHost: x\r\n\r\n".encode()), 400)
    assert not stage.openai.arrivals


@pytest.mark.parametrize("path", PLAIN)
async def test_dots_that_lead_nowhere_pass(stage: Stage, path: str) -> None:
    async with connected(stage.places["forwarded"]) as (reader, writer):
        writer.write(f"GET {path} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
        await reader.readuntil(b"\r\n\r\n")
    assert stage.last.target == path


AMBIGUOUS = {
    "length and chunks": [b"Content-Length: 3", b"Transfer-Encoding: chunked"],
    "two lengths": [b"Content-Length: 3", b"Content-Length: 4"],
    "listed lengths": [b"Content-Length: 3, 3"],
    "signed length": [b"Content-Length: +3"],
    "hexadecimal length": [b"Content-Length: 0x3"],
    "chunked twice": [b"Transfer-Encoding: chunked, chunked"],
    "chunked not last": [b"Transfer-Encoding: chunked, gzip"],
    "unknown coding": [b"Transfer-Encoding: xchunked"],
    "unknown coding before": [b"Transfer-Encoding: identity, chunked"],
    "codings in two lines": [b"Transfer-Encoding: gzip", b"Transfer-Encoding: chunked"],
    "space before colon": [b"Content-Length : 3"],
    "folded": [b"A: b", b" Content-Length: 3"],
    "bare line feed": [b"A: b\nContent-Length: 3"],
    "bare carriage return": [b"A: b\rContent-Length: 3"],
    "nul": [b"A: b\x00"],
    "no name": [b": b"],
    "chunk size": [b"Transfer-Encoding: chunked\r\n\r\nzz"],
    "negative chunk": [b"Transfer-Encoding: chunked\r\n\r\n-1"],
    "long chunk": [b"Transfer-Encoding: chunked\r\n\r\n1\r\nabc"],
    "chunk line feed": [b"Transfer-Encoding: chunked\r\n\r\n1\na"],
}


@pytest.mark.parametrize("lines", AMBIGUOUS.values(), ids=AMBIGUOUS)
async def test_a_request_whose_end_is_ambiguous_goes_nowhere(stage: Stage, lines: list[bytes]) -> None:
    request = b"\r\n".join([b"POST /v1/files HTTP/1.1", b"Host: x", *lines, b"", b""])
    explained(await stage.served.raw(request), 400)
    assert all(arrival.ended != "answered" for arrival in stage.openai.arrivals)


async def test_an_endless_head_is_refused(stage: Stage) -> None:
    explained(await stage.served.raw(GET + b"a: b\r\n" * 60_000), 431)


async def test_a_head_of_very_many_lines_is_refused_before_they_are_read(stage: Stage) -> None:
    explained(await stage.served.raw(GET + b"a:\r\n" * 2_000 + END), 431)
    assert not stage.openai.arrivals


async def test_a_tunnel_to_somewhere_is_refused(stage: Stage) -> None:
    explained(await stage.served.raw(b"CONNECT /v1/models HTTP/1.1\r\nHost: x\r\n\r\n"), 400)
    assert not stage.openai.arrivals


async def test_a_head_that_does_not_come_is_not_waited_for() -> None:
    async with staged(timeouts={"request_head_seconds": 0.3}) as stage:
        explained(await stage.served.raw(GET), 408)
        (answer,) = await stage.served.raw(b"GET /v")
        assert answer.status == 408


async def test_a_connection_that_nobody_uses_is_closed() -> None:
    async with (
        staged(timeouts={"keepalive_seconds": 0.3}) as stage,
        connected(stage.places["forwarded"]) as (reader, writer),
    ):
        writer.write(GET + END)
        assert (await rest(reader) or b"").endswith(b"}\n")


async def test_switched_off_there_is_nothing_below_v1() -> None:
    async with staged(openai_mode=OpenAIMode.OFF) as stage:
        (answer,) = await stage.served.raw(GET + b"Connection: close" + END + END)
        assert answer.status == 404
        assert b"GATEWAY_OPENAI_MODE" in answer.body
        assert not stage.openai.arrivals


async def test_a_gateway_that_asks_for_no_key_forwards_for_programs_of_this_machine_alone() -> None:
    async with staged(client_auth=ClientAuth.OFF) as stage:
        explained(await stage.served.raw(b"GET /v1/models HTTP/1.1\r\nHost: rebound.example\r\n\r\n"), 403)
        post = (
            b"POST /v1/x HTTP/1.1\r\nHost: localhost\r\nOrigin: https://page.example\r\nContent-Length: 0\r\n\r\n"
        )
        explained(await stage.served.raw(post), 403)
        assert not stage.openai.arrivals
        async with connected(stage.places["forwarded"]) as (reader, writer):
            writer.write(GET + END)
            assert (await reader.readline()) == b"HTTP/1.1 200 OK\r\n"


async def test_a_request_that_cannot_be_told_from_the_one_before_it_is_to_be_sent_again(stage: Stage) -> None:
    served: Served = stage.served
    answers = await served.raw(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n" + GET + END)
    assert [answer.status for answer in answers] == [200, 503]
    assert not stage.openai.arrivals
