"""Requests and answers that are no streams pass a proxy of docs/deploy as they are."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncGenerator
from hashlib import sha256

import pytest
import pytest_asyncio

from tests.contract.harness import envelope
from tests.faults.scripted import Exchange, ScriptedUpstream
from tests.proxies.behind import KINDS, MESSAGES, Behind, behind
from tests.replay.raw_client import LIMIT, RawResponse, message

EACH = pytest.mark.parametrize("name", list(KINDS))
pytestmark = pytest.mark.asyncio(loop_scope="module")
MIB = 2**20
ONWARD = {"connection", "keep-alive", "transfer-encoding", "x-gateway-request-id"}
"""Headers of one connection, and one that is different for each request."""
ERRORS = [
    (400, b'{"type":"error", "error":{"type":"invalid_request_error","message":"prompt is too long: 2 > 1"}}', ()),
    (403, b'{"type": "error","error":{"type":"permission_error","message":"not for you"}}', ()),
    (404, b'{"type":"error","error":{"type":"not_found_error","message":"model: \\u00fc"}}\n', ()),
    (429, b'{"type":"error","error":{"type":"rate_limit_error","message":"slow  down"}}', ("retry-after: 17",)),
    (500, b"<html>oops</html>", ()),
    (
        529,
        b'{"type":"error","error":{"type":"overloaded_error","message":"Overloaded"}}',
        ("x-should-retry: true",),
    ),
]


@pytest_asyncio.fixture(scope="module", loop_scope="module", params=list(KINDS))
async def stage(request: pytest.FixtureRequest) -> AsyncGenerator[Behind]:
    async with behind(request.param) as running:
        yield running


def refusal(status: int, body: bytes, lines: tuple[str, ...]) -> bytes:
    """Return an answer of the API that says no."""
    head = [
        f"HTTP/1.1 {status} Refused",
        f"content-type: {'application/json' if body.startswith(b'{') else 'text/html'}",
        f"content-length: {len(body)}",
        "date: Mon, 02 Nov 2026 10:00:00 GMT",
        "server: cloudflare",
        "request-id: req_011CQ",
        "anthropic-ratelimit-requests-remaining: 0",
        "x-envoy-upstream-service-time: 12",
        *lines,
    ]
    return "\r\n".join([*head, "", ""]).encode() + body


def kept(answer: RawResponse) -> set[tuple[str, str]]:
    """Return the headers that are to come through."""
    pairs = {(name.lower(), value) for name, value in answer.headers}
    return {(name, value) for name, value in pairs if name not in ONWARD}


@EACH
async def test_errors_reach_the_client_with_their_bytes_and_headers(name: str) -> None:
    answers = {f"refused-{status}": refusal(status, body, lines) for status, body, lines in ERRORS}

    async def refuse(exchange: Exchange) -> None:
        await exchange.send(answers[json.loads(exchange.body)["model"]])

    async with ScriptedUpstream(refuse) as upstream, behind(name, anthropic_base_url=upstream.url) as stage:
        for status, body, _ in ERRORS:
            asked = message(model=f"refused-{status}")
            direct = await stage.canary.ask(asked)
            through = await stage.ask(asked)
            assert (through.status, through.body) == (direct.status, direct.body) == (status, body)
            # Caddy puts its own name beside that of the upstream.
            assert kept(through) - {("server", "Caddy")} == kept(direct)


async def test_a_body_of_32_mib_arrives_whole_and_a_longer_one_is_refused_as_the_api_does(stage: Behind) -> None:
    frame = len(json.dumps(message(padding="")).encode())
    body = json.dumps(message(padding="x" * (32 * MIB - frame))).encode()
    assert len(body) == 32 * MIB

    answer = await stage.ask(body)
    assert answer.status == 200, answer.body[:500]
    arrived = stage.canary.upstream.requests[-1]
    assert sha256(arrived.body).digest() == sha256(body).digest()

    async with stage.connect() as client:
        head = f"POST {MESSAGES} HTTP/1.1\r\nHost: x\r\nContent-Length: {32 * MIB + 1}\r\n"
        head += "".join(f"{key}: {value}\r\n" for key, value in stage.canary.usual)
        client.writer.write(head.encode() + b"\r\n" + body + b" ")
        refused = await client.receive()
    assert refused.status == 413
    assert json.loads(refused.body)["error"]["type"] == "request_too_large"
    assert refused.header("x-should-retry") == "false"
    assert stage.canary.upstream.requests[-1] is arrived


async def test_a_client_that_waits_to_be_told_to_continue_is_told(stage: Behind) -> None:
    body = json.dumps(message()).encode()
    async with stage.connect() as client:
        head = f"POST {MESSAGES} HTTP/1.1\r\nHost: x\r\nContent-Length: {len(body)}\r\nExpect: 100-continue\r\n"
        head += "".join(f"{key}: {value}\r\n" for key, value in stage.canary.usual)
        client.writer.write(head.encode() + b"\r\n")
        status, _ = await client.head()
        assert status == 100
        client.writer.write(body)
        while status == 100:  # which Caddy says once for itself and once for the gateway
            status, _ = await client.head()

    assert status == 200


async def test_path_query_and_headers_arrive_as_they_were_sent(stage: Behind) -> None:
    betas = ",".join(f"some-beta-2026-01-{number:04}" for number in range(1000))
    headers = [
        ("anthropic-beta", betas),
        ("x-claude-code-session-id", "8c0e6f4e-7a55-4a43-9c4e-2b8a3f0f6a11"),
        ("X-Stainless-Retry-Count", "0"),
        ("x-of-the-future", "a"),
        ("x-of-the-future", "b"),
    ]
    answer = await stage.ask(message(), f"{MESSAGES}?beta=true&x=%2F+a", headers=headers)
    assert answer.status == 200
    await stage.ask(target="/claude/v1/models/claude%20opus%2D5")
    *_, first, second = stage.canary.upstream.requests

    assert first.raw_path == b"/v1/messages?beta=true&x=%2F+a"
    assert second.raw_path == b"/v1/models/claude%20opus%2D5"
    arrived = [(key.lower(), value) for key, value in first.headers]
    for key, value in headers:
        assert (key.lower(), value) in arrived
    assert not {"x-forwarded-for", "x-real-ip", "x-forwarded-proto", "via"} & {key for key, _ in arrived}


async def test_a_long_header_of_an_answer_is_no_trouble(stage: Behind) -> None:
    answer = await stage.ask(message(), headers=[("x-replay-fault", "big-header:30000")])

    assert answer.status == 200
    assert max(len(value) for _, value in answer.headers) == 30000


@pytest.mark.parametrize("target", ["/claude", "/claude/", "/claude/api/hello"])
async def test_a_warm_up_probe_is_answered_without_a_redirect(stage: Behind, target: str) -> None:
    answer = await stage.ask(target=target, usual=(), method="HEAD")

    assert answer.status == 200


async def test_the_local_runtimes_route_is_the_gateways(stage: Behind) -> None:
    answer = await stage.ask(message(), "/claude-sdk/v1/messages")

    assert "GATEWAY_SDK_ENABLED" in envelope(answer, 404, "not_found_error")["message"]


@EACH
async def test_an_upload_is_passed_on_while_it_comes(name: str) -> None:
    arrived = asyncio.Event()

    async def read(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"first half")
        arrived.set()
        await reader.readuntil(b"second half")
        writer.write(b"HTTP/1.1 204 No Content\r\nConnection: close\r\n\r\n")
        writer.close()

    server = await asyncio.start_server(read, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    async with server, behind(name, existing_port=port) as stage, stage.connect() as client:
        client.writer.write(b"POST /v1/files HTTP/1.1\r\nHost: x\r\nContent-Length: 21\r\n\r\nfirst half")
        async with asyncio.timeout(LIMIT):
            await arrived.wait()
        client.writer.write(b"second half")
        status, _ = await client.head()

    assert status == 204
