"""What goes on in either direction: header sets are open, paths and bodies are not touched."""

from __future__ import annotations

import gzip
import json
import tomllib
from pathlib import Path
from typing import Final

import pytest

from gateway.replay.journal import ReceivedRequest
from tests.contract.canned import canned, canned_answer
from tests.contract.harness import ACCOUNT_KEY, MESSAGES, Served, head, serving
from tests.replay.raw_client import RawResponse, message

pytestmark = pytest.mark.asyncio(loop_scope="module")

FIXTURES: Final = Path(__file__).parents[2] / "fixtures"
REQUESTS: Final = tomllib.loads((FIXTURES / "manifest.toml").read_text())["request"]
BODY: Final = json.dumps(message()).encode()
LENGTH: Final = f"Content-Length: {len(BODY)}"
STREAM: Final = b'event: message_start\ndata: {"type":"message_start","message":{"content":[],"usage":{}}}\n\n'
WHOLE_STREAM: Final = (
    STREAM
    + b'event: message_delta\ndata: {"type":"message_delta","delta":{"stop_reason":"end_turn"},'
    + b'"usage":{"output_tokens":1}}\n\nevent: message_stop\ndata: {"type":"message_stop"}\n\n'
)


async def sent_on(served: Served, *lines: str, target: str = MESSAGES) -> ReceivedRequest:
    """Send header lines with a small request and return what the upstream got."""
    request = head(target, "Host: gateway.example", *lines, LENGTH, "Connection: close")
    (answer,) = await served.raw(request + BODY)
    assert answer.status == 200, answer
    return served.upstream.requests[-1]


def ours(served: Served) -> list[tuple[str, str]]:
    """Return the headers that a request gets on its way."""
    return [
        ("host", served.upstream.url.removeprefix("http://")),
        ("accept-encoding", "identity"),
        ("x-api-key", ACCOUNT_KEY),
        ("content-length", str(len(BODY))),
    ]


async def test_what_a_client_sends_goes_on_in_order_with_repetitions_and_nothing_else(served: Served) -> None:
    passing = [
        ("anthropic-version", "2026-10-21"),
        ("anthropic-beta", "prompt-caching-2024-07-31, oauth-2025-04-20,unheard-of-2031-01-01"),
        ("X-Stainless-Lang", "python"),
        ("anthropic-beta", "context-1m-2025-08-07"),
        ("X-Claude-Code-Session-Id", "0b5e1bfc-39f2-4a52-8b15-6d1c1a3b7f44"),
        ("x-app", "cli"),
        ("anthropic-dangerous-direct-browser-access", "true"),
        ("X-UNHEARD-Of", "  kept; inside  ".strip()),
        ("x-repeated", "1"),
        ("x-repeated", "1"),
        ("anthropic-beta", ""),
        ("anthropic-workspace-id", "wrkspc_1"),
        ("baggage", 'quoted="a, b"'),
    ]
    got = await sent_on(served, f"x-api-key: {served.key}", *(f"{name}: {value}" for name, value in passing))
    added = ours(served)
    assert [pair for pair in got.headers if (pair[0].lower(), pair[1]) not in added] == passing
    assert sorted((name.lower(), value) for name, value in got.headers) == sorted(
        [(name.lower(), value) for name, value in passing] + added
    )


async def test_the_headers_that_every_client_library_sends_keep_the_clients_values(served: Served) -> None:
    sent = {
        "user-agent": "claude-cli/2.1.330 (external, cli)",
        "accept": "application/json",
        "content-type": "application/json; charset=utf-8",
        "accept-language": "*",
    }
    lines = [f"{name}: {value}" for name, value in sent.items()]
    got = await sent_on(served, f"x-api-key: {served.key}", "anthropic-version: 2023-06-01", *lines)
    for name, value in sent.items():
        assert got.header_values(name) == [value]


async def test_no_header_is_invented_for_a_client_that_does_not_send_it(served: Served) -> None:
    got = await sent_on(served, f"x-api-key: {served.key}", "anthropic-version: 2023-06-01")
    names = {name.lower() for name, _ in got.headers}
    assert names == {"host", "anthropic-version", "accept-encoding", "x-api-key", "content-length"}


@pytest.mark.parametrize(
    "line",
    [
        "Keep-Alive: timeout=5",
        "TE: trailers",
        "Trailer: x-checksum",
        "Proxy-Authorization: Basic c2VjcmV0",
        "Proxy-Connection: keep-alive",
        "HTTP2-Settings: AAMAAABkAAQAAP__",
        "Cookie: session=other-tenant",
        "Forwarded: for=192.0.2.1",
        "X-Forwarded-For: 192.0.2.1",
        "X-Forwarded-Host: gateway.example",
        "X-Forwarded-Proto: https",
        "X-Forwarded-Unheard-Of: 1",
        "X-Real-IP: 192.0.2.1",
        "Via: 1.1 proxy.example",
        "CF-Connecting-IP: 192.0.2.1",
        "True-Client-IP: 192.0.2.1",
    ],
)
async def test_what_belongs_to_the_clients_connection_stays_there(served: Served, line: str) -> None:
    got = await sent_on(served, f"x-api-key: {served.key}", "anthropic-version: 2023-06-01", line)
    assert got.header(line.partition(":")[0]) is None


async def test_headers_named_by_connection_are_dropped(served: Served) -> None:
    request = head(
        MESSAGES,
        "Host: gateway.example",
        f"x-api-key: {served.key}",
        "anthropic-version: 2023-06-01",
        "X-Hop: 1",
        "x-second-HOP: 1",
        "x-stays: 1",
        "Connection: close, x-hop",
        "Connection: X-Second-Hop",
        LENGTH,
    )
    await served.raw(request + BODY)
    (got,) = served.upstream.requests
    assert (got.header("x-hop"), got.header("x-second-hop"), got.header("x-stays")) == (None, None, "1")


@pytest.mark.parametrize(
    "lines",
    [
        ["x-api-key: {key}"],
        ["X-API-Key: {key}"],
        ["authorization: Bearer {key}"],
        ["Authorization: bearer  {key}"],
        ["authorization: Bearer {key}", "x-api-key: {key}"],
        ["x-api-key: {key}", "x-api-key: {key}"],
    ],
)
async def test_a_clients_key_opens_the_gateway_and_goes_no_further(served: Served, lines: list[str]) -> None:
    filled = [line.format(key=served.key) for line in lines]
    got = await sent_on(served, "anthropic-version: 2023-06-01", *filled)
    assert got.header_values("x-api-key") == [ACCOUNT_KEY]
    assert got.header_values("authorization") == []
    assert served.key not in str(got.headers)


async def test_compression_is_not_asked_for(served: Served) -> None:
    got = await sent_on(
        served, f"x-api-key: {served.key}", "anthropic-version: 2023-06-01", "Accept-Encoding: gzip, br, zstd"
    )
    assert got.header_values("accept-encoding") == ["identity"]


async def test_a_header_of_9_kilobytes_passes_both_ways(served: Served) -> None:
    answer = await served.stream(headers=[("anthropic-beta", "b" * 9_000)], fault="big-header:9000")
    assert answer.status == 200
    assert answer.header("x-replay-big") == "b" * 9_000
    assert served.upstream.requests[0].header("anthropic-beta") == "b" * 9_000


@pytest.mark.parametrize(
    "query",
    [
        "?beta=true",
        "?beta=true&a=%2F&b=%20+",
        "?a=1&a=2&A=%7e%7E&=&&b",
        "?q=%C3%A9%00%zz%",
        "?x=a:b@c/d?e;f,g!$'()*",
        "?limit=1000&after_id=claude-opus-5-5",
        '?"<>[]{}|^`',
        "?a=/../..//x",
        "?",
        "??",
        "?a=1&b=x#y&c=2?#",
    ],
)
async def test_a_query_goes_on_byte_for_byte(served: Served, query: str) -> None:
    key = f"x-api-key: {served.key}"
    got = await sent_on(served, key, "anthropic-version: 2023-06-01", target=f"{MESSAGES}{query}")
    assert got.raw_path == f"/v1/messages{query}".encode()
    await served.ask(b"", f"/claude/v1/models{query}")
    assert served.upstream.requests[-1].raw_path == f"/v1/models{query}".encode()


async def test_an_upstream_may_live_under_a_path() -> None:
    async with (
        canned(canned_answer(b"{}")) as upstream,
        serving(anthropic_base_url=f"{upstream.url}/proxy/anthropic/") as served,
    ):
        await served.ask(message(), f"{MESSAGES}?beta=true")
    assert upstream.requests[0].startswith(b"POST /proxy/anthropic/v1/messages?beta=true HTTP/1.1\r\n")


BODIES: Final = {
    **{entry["name"]: (FIXTURES / entry["file"]).read_bytes() for entry in REQUESTS},
    "white space and order": b' \r\n\t{"stream":true , "model" : "x","model":"claude","z":1,"a":2}\n ',
    "lone surrogates": rb'{"model":"m","x":"\ud83d \\ud83d \\\uDC00","\ude00":[],"metadata":{"user_id":"\udc00"}}',
    "numbers": b'{"model":"m","n":[1E400,-0,0.10,12345678901234567890123456789,1e-9]}',
    "surrogates and escapes": rb'{"model":"m\u00e9","x":"\ud83d\ude00 \u0000 \/ \uDBFF\uDFFF"}',
    "raw UTF-8": '{"model":"m","x":"ä 🚀 \u2028"}'.encode(),
    "null stream": b'{"model":"m","stream":null}',
    "deeply nested": b'{"model":"m","x":' + b"[" * 500 + b"]" * 500 + b"}",
    "a megabyte": b'{"model":"m","x":"' + b"x" * 2**20 + b'"}',
}


@pytest.mark.parametrize("chunked", [False, True], ids=["length", "chunked"])
@pytest.mark.parametrize("body", BODIES.values(), ids=BODIES)
async def test_a_body_goes_on_byte_for_byte(served: Served, body: bytes, *, chunked: bool) -> None:
    lines = ["Host: gateway.example", f"x-api-key: {served.key}", "content-type: application/json"]
    if chunked:
        cut = len(body) // 3
        pieces = [body[:cut], body[cut : 2 * cut], body[2 * cut :]]
        coded = b"".join(b"%x\r\n%b\r\n" % (len(piece), piece) for piece in pieces if piece) + b"0\r\n\r\n"
        framing = "Transfer-Encoding: chunked"
    else:
        coded, framing = body, f"Content-Length: {len(body)}"
    await served.raw(head(MESSAGES, *lines, "Connection: close", framing), coded)
    (got,) = served.upstream.requests
    assert got.body == body
    assert got.header_values("content-length") == [str(len(body))]
    assert got.header("transfer-encoding") is None
    assert got.header("content-type") == "application/json"


async def test_a_request_without_a_version_is_left_to_the_upstream_to_refuse(served: Served) -> None:
    answer = await served.ask(message(), usual=[("x-api-key", served.key)])
    assert answer.status == 400
    assert answer.json()["error"]["message"] == "anthropic-version: header is required"


async def test_an_answer_keeps_the_upstreams_headers(served: Served) -> None:
    for stream in (True, False):
        answer = await served.ask(message(stream=stream))
        (got,) = served.upstream.requests[-1:]
        assert answer.values("request-id") == [got.request_id]
        assert served.ledger.of(answer).upstream_request_id == got.request_id
        for family in ("requests", "tokens", "input-tokens", "output-tokens"):
            for field in ("limit", "remaining", "reset"):
                assert len(answer.values(f"anthropic-ratelimit-{family}-{field}")) == 1
        assert answer.values("server") == ["cloudflare"]
        assert len(answer.values("date")) == 1
        assert len(answer.values("cf-ray")) == 1


async def test_retry_hints_pass(served: Served) -> None:
    fault = "status:529;retry-after=7;retry-after-ms=6500;should-retry=true"
    answer = await served.ask(message(), fault=fault)
    assert answer.status == 529
    assert answer.values("retry-after") == ["7"]
    assert answer.values("retry-after-ms") == ["6500"]
    assert answer.values("x-should-retry") == ["true"]


@pytest.mark.parametrize("stream", [True, False])
async def test_two_cookies_stay_two(served: Served, *, stream: bool) -> None:
    answer = await served.ask(message(stream=stream), fault="cookies")
    assert [cookie.partition("=")[0] for cookie in answer.values("set-cookie")] == ["__cf_bm", "_cfuvid"]


@pytest.mark.parametrize("stream", [True, False])
async def test_a_cookie_set_for_one_client_is_not_sent_for_another(served: Served, *, stream: bool) -> None:
    # Neither Secure nor bound to a path: any cookie jar would send it again.
    answer = await served.ask(message(stream=stream), fault="header:Set-Cookie=tenant=one; Path=/")
    assert answer.values("set-cookie") == ["tenant=one; Path=/"]
    await served.ask(message(stream=stream))
    assert [request.header("cookie") for request in served.upstream.requests] == [None, None]


async def test_no_proxy_on_the_way_to_the_client_may_buffer_a_stream(served: Served) -> None:
    answer = await served.stream(fault='gzip|header:Alt-Svc=h3=":443"')
    assert answer.values("x-accel-buffering") == ["no"]
    assert answer.values("cache-control") == ["no-cache"]
    assert answer.values("transfer-encoding") == ["chunked"]
    assert answer.values("content-length") == []
    assert answer.values("content-encoding") == []
    assert answer.values("alt-svc") == []
    assert answer.body.endswith(b"}\n\n")
    assert b"event: message_stop\n" in answer.body


async def test_the_length_of_a_stream_is_not_announced_because_it_may_change() -> None:
    headers = [
        ("content-type", "text/event-stream"),
        ("connection", "keep-alive, x-hop"),
        ("x-hop", "1"),
        ("keep-alive", "timeout=9"),
        ("x-kept", "1"),
        ("x-kept", "2"),
    ]
    async with (
        canned(canned_answer(WHOLE_STREAM, headers=headers)) as upstream,
        serving(anthropic_base_url=upstream.url) as served,
    ):
        answer = await served.stream()
    assert answer.body == WHOLE_STREAM
    assert (answer.values("content-length"), answer.values("transfer-encoding")) == ([], ["chunked"])
    assert (answer.values("x-hop"), answer.values("keep-alive")) == ([], [])
    assert answer.values("x-kept") == ["1", "2"]
    assert answer.values("content-type") == ["text/event-stream"]


async def test_a_stream_without_content_type_is_said_to_be_one() -> None:
    async with (
        canned(canned_answer(WHOLE_STREAM, headers=[])) as upstream,
        serving(anthropic_base_url=upstream.url) as served,
    ):
        answer = await served.stream()
    assert answer.values("content-type") == ["text/event-stream; charset=utf-8"]


async def test_a_compressed_message_passes_as_it_came(served: Served) -> None:
    answer = await served.ask(message(), fault="gzip")
    assert answer.values("content-encoding") == ["gzip"]
    assert json.loads(gzip.decompress(answer.body))["type"] == "message"


async def test_a_stream_in_an_encoding_that_cannot_be_read_is_refused() -> None:
    headers = [("content-type", "text/event-stream"), ("content-encoding", "br")]
    async with (
        canned(canned_answer(b"\x0b\x00", headers=headers)) as upstream,
        serving(anthropic_base_url=upstream.url) as served,
    ):
        answer = await served.stream()
    assert answer.status == 502
    assert answer.values("content-encoding") == []


async def test_every_answer_names_the_record_that_the_gateway_has_of_it(served: Served) -> None:
    answers: list[RawResponse] = [
        await served.stream(),
        await served.ask(message()),
        await served.ask(message(), fault="status:400"),
        await served.ask(b"{", usual=[("x-api-key", served.key)]),
    ]
    assert [served.ledger.of(answer).status for answer in answers] == [200, 200, 400, 400]
