"""What is not HTTP, or HTTP that means two things: refused before anything of it reaches an account."""

from __future__ import annotations

import asyncio

import pytest

from tests.bad_input.checks import BODY, CHUNKED, CLOSE, HOST, LENGTH, VERSION, post, refused
from tests.contract.harness import MESSAGES, Served, envelope, head, parse_answers, serving
from tests.replay.raw_client import LIMIT

pytestmark = pytest.mark.asyncio(loop_scope="module")

SIZE = len(BODY)
WHOLE = b"%x\r\n%b\r\n0\r\n\r\n" % (SIZE, BODY)
SMUGGLED = head(MESSAGES, HOST, "x-api-key: {key}", VERSION, LENGTH) + BODY

SMUGGLING: dict[str, list[str | bytes]] = {
    "length and chunked": [LENGTH, CHUNKED],
    "chunked and length": [CHUNKED, LENGTH],
    "two lengths": [LENGTH, "Content-Length: 5"],
    "two equal lengths": [LENGTH, LENGTH],
    "list of lengths": [f"Content-Length: {SIZE}, {SIZE}"],
    "negative length": ["Content-Length: -1"],
    "length with plus": [f"Content-Length: +{SIZE}"],
    "length in hexadecimal": [f"Content-Length: 0x{SIZE:x}"],
    "length with underscore": ["Content-Length: 1_0"],
    "length in other digits": ["Content-Length: \uff18\uff17"],
    "length that is none": ["Content-Length: many"],
    "empty length": ["Content-Length:"],
    "two codings": [CHUNKED, CHUNKED],
    "chunked twice": ["Transfer-Encoding: chunked, chunked"],
    "chunked not last": ["Transfer-Encoding: chunked, gzip"],
    "identity": ["Transfer-Encoding: identity"],
    "unknown coding": ["Transfer-Encoding: xchunked"],
    "quoted coding": ['Transfer-Encoding: "chunked"'],
    "vertical tab before the coding": ["Transfer-Encoding: \x0bchunked"],
    "folded coding": ["Transfer-Encoding:", " chunked"],
    "folded line": ["x-a: b", " c", LENGTH],
    "line folded by tab": ["x-a: b", "\tc", LENGTH],
    "fold before all lines": [" x-a: b", LENGTH],
    "space before the colon": ["x-a : b", LENGTH],
    "space before the length's colon": [f"Content-Length : {SIZE}"],
    "space before the coding's colon": ["Transfer-Encoding : chunked"],
    "space in a name": ["x a: b", LENGTH],
    "no colon": ["x-a", LENGTH],
    "no name": [": b", LENGTH],
    "second host": ["Host: other.example", LENGTH],
    "bracket in a name": ["x(a): b", LENGTH],
    "byte in a name that is no ASCII": [b"x-\xe9: b", LENGTH],
    "carriage return in a name": [b"x\r-a: b", LENGTH],
    "NUL in a name": [b"x\0-a: b", LENGTH],
}
INJECTION: dict[str, bytes] = {
    "bare CR": b"x-a: b\rx-c: d",
    "bare LF": b"x-a: b\nx-c: d",
    "bare LF before a length": b"x-a: b\nContent-Length: 0",
    "NUL": b"x-a: b\0c",
    "bare CR at the end": b"x-a: b\r",
    "control characters": b"x-a: b\x01\x1fc",
    "DEL": b"x-a: b\x7fc",
    "LF in the version": b"anthropic-beta: a\n\nb",
}


@pytest.mark.parametrize("lines", SMUGGLING.values(), ids=SMUGGLING)
@pytest.mark.parametrize("body", [BODY, WHOLE], ids=["as length", "as chunks"])
async def test_a_request_that_can_be_read_in_two_ways_is_refused(
    served: Served, lines: list[str | bytes], body: bytes
) -> None:
    second = SMUGGLED.replace(b"{key}", served.key.encode())
    await refused(served, await served.raw(post(served, *lines, body=body + second)))


@pytest.mark.parametrize("line", INJECTION.values(), ids=INJECTION)
async def test_a_header_value_cannot_bring_in_another_line(served: Served, line: bytes) -> None:
    await refused(served, await served.raw(post(served, line, LENGTH)))


async def test_a_coding_that_is_not_undone_here_is_refused(served: Served) -> None:
    answers = await served.raw(post(served, "Transfer-Encoding: gzip, chunked", body=WHOLE))
    await refused(served, answers, 501, "api_error")


NO_HTTP = {
    "words": b"hello there\r\n\r\n",
    "TLS": bytes.fromhex("16030102000100 01fc0303".replace(" ", "")) + b"\x55" * 40,
    "HTTP/2": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    "HTTP/1.2": head(MESSAGES, HOST, LENGTH, version="1.2") + BODY,
    "HTTP/11": head(MESSAGES, HOST, LENGTH, version="11") + BODY,
    "lower case": b"POST /claude/v1/messages http/1.1\r\nHost: x\r\n\r\n",
    "LF only": head(MESSAGES, HOST, LENGTH).replace(b"\r\n", b"\n") + BODY,
    "no target of ours": head("*", HOST, LENGTH) + BODY,
    "space in the target": b"POST /claude/v1 /messages HTTP/1.1\r\nHost: x\r\n\r\n",
    "tab in the target": b"POST /claude\t/v1/messages HTTP/1.1\r\nHost: x\r\n\r\n",
    "NUL in the target": b"POST /claude\0/v1/messages HTTP/1.1\r\nHost: x\r\n\r\n",
    "no host": head(MESSAGES, LENGTH) + BODY,
    "unknown method": head("/healthz", HOST, method="BREW"),
    "method that is no word": head("/healthz", HOST, method="G@T"),
    "bytes": b"\xff\xfe\xfd\xfc" * 8,
}


@pytest.mark.parametrize("data", NO_HTTP.values(), ids=NO_HTTP)
async def test_what_is_no_http_1_is_refused(served: Served, data: bytes) -> None:
    await refused(served, await served.raw(data))


@pytest.mark.parametrize("version", ["0.9", "2.0"])
@pytest.mark.parametrize("target", [MESSAGES, "/healthz", "/claude"])
async def test_another_version_of_http_is_refused(served: Served, version: str, target: str) -> None:
    key = f"x-api-key: {served.key}"
    data = await _read(served, head(target, HOST, key, VERSION, LENGTH, version=version) + BODY)
    assert b" 505 " in data.partition(b"\r\n")[0]
    assert b'"type":"error"' in data
    assert served.upstream.requests == []
    await served.assert_serves()


async def _read(served: Served, data: bytes) -> bytes:
    async with served.connect() as connection:
        connection.writer.write(data)
        async with asyncio.timeout(LIMIT):
            return await connection.reader.read()


CHUNKS = {
    "size that is no number": b"zz\r\nabc\r\n0\r\n\r\n",
    "size too small": b"3\r\nabcdef\r\n0\r\n\r\n",
    "negative size": b"-3\r\nabc\r\n0\r\n\r\n",
    "size with prefix": b"0x3\r\nabc\r\n0\r\n\r\n",
    "size beyond all numbers": b"fffffffffffffffff\r\nabc\r\n0\r\n\r\n",
    "space behind the size": b"3 \r\nabc\r\n0\r\n\r\n",
    "LF only": b"3\nabc\n0\n\n",
    "no size": b"\r\nabc\r\n0\r\n\r\n",
    "no end of line": b"3\r\nabc0\r\n\r\n",
    "bad trailer": b"0\r\nbad trailer\r\n\r\n",
}


@pytest.mark.parametrize("late", [False, True], ids=["with the head", "later"])
@pytest.mark.parametrize("chunks", CHUNKS.values(), ids=CHUNKS)
async def test_a_wrong_chunk_is_refused_at_once(served: Served, chunks: bytes, *, late: bool) -> None:
    if not late:
        await refused(served, await served.raw(post(served, CHUNKED, body=chunks)))
        return
    async with served.connect() as connection:
        connection.writer.write(post(served, CHUNKED, "Expect: 100-continue", body=b""))
        # By now the gateway waits for the body, so the chunk is read by itself.
        await connection.until(b"100 Continue\r\n\r\n")
        connection.writer.write(b"2\r\n{}\r\n" + chunks)
        answer = await connection.receive()
    assert answer.header("connection") == "close"
    await refused(served, [answer])


@pytest.mark.parametrize("chunks", [b"%x;name=value\r\n%b\r\n0\r\n\r\n", b"%x\r\n%b\r\n0\r\nx-trailer: 1\r\n\r\n"])
async def test_chunk_extensions_and_trailers_are_taken_and_left_here(served: Served, chunks: bytes) -> None:
    (answer,) = await served.raw(post(served, CHUNKED, body=chunks % (SIZE, BODY)))
    assert answer.status == 200
    (got,) = served.upstream.requests
    assert got.body == BODY
    assert got.header("x-trailer") is None


METHODS = {
    MESSAGES: ("POST", ["GET", "HEAD", "PUT", "DELETE", "PATCH", "OPTIONS", "TRACE"]),
    f"{MESSAGES}/count_tokens": ("POST", ["GET", "PUT"]),
    "/claude/v1/models": ("GET", ["POST", "DELETE"]),
    "/claude/v1/models/claude-opus-5-5": ("GET", ["POST", "PATCH"]),
    "/claude": ("HEAD, GET", ["POST", "OPTIONS"]),
    "/claude/api/hello": ("HEAD, GET", ["POST"]),
    "/healthz": ("GET, HEAD", ["POST"]),
    "/readyz": ("GET, HEAD", ["DELETE"]),
}


@pytest.mark.parametrize(
    ("target", "method"), [(target, method) for target, (_, methods) in METHODS.items() for method in methods]
)
async def test_a_wrong_method_is_refused_with_those_that_are_right(
    served: Served, target: str, method: str
) -> None:
    key = f"x-api-key: {served.key}"
    (answer,) = await served.raw(head(f"{target}?beta=true", HOST, key, VERSION, CLOSE, method=method))
    assert answer.values("allow") == [METHODS[target][0]]
    if method == "HEAD":
        assert (answer.status, answer.body) == (405, b"")
    else:
        await refused(served, [answer], 405)


NOWHERE = [
    "/",
    "/claude/v1",
    "/claude/v1/",
    "/claude/v1/messages/",
    "/claude/v1/messages/unheard_of",
    "/claude/v1/messages;x=1",
    "/claude/v1/messages#x",
    "/claude/v1/messages%3Fbeta=true",
    "/claude/v1/messages%00",
    "/claude/v1/%6dessages",
    "/claude/v1%2Fmessages",
    "/claude%2Fv1/messages",
    "/claude/v1/./messages",
    "/claude/v1/../v1/messages",
    "/claude/v1/%2e%2e/v1/messages",
    "/claude/../claude/v1/messages",
    "/../claude/v1/messages",
    "//claude/v1/messages",
    "/claude//v1/messages",
    "/claude/v1//messages",
    "/claude\\v1\\messages",
    "/Claude/v1/messages",
    "/claude/V1/messages",
    "/v1/messages",
    "/claude/v1/models/",
    "/claude/v1/models/.",
    "/claude/v1/models/..",
    "/claude/v1/models/%2e%2e",
    "/claude/v1/models/..%2fmessages",
    "/claude/v1/models/a/b",
    "/claude/v1/models/a%2Fb",
    "/claude/v1/models/a%0d%0ax-a:b",
    "/claude/v1/models/a%00",
    "/claude/v1/models/a%7F",
    "/claude/v1/models/a%5cb",
    "/claude/v1/models/a\\b",
    "/claude/v1/models/a%252fb",
    "/claude/v1/models/.%2E",
    "/claude/v1/models/%252e%252e",
    "/claude/v1/models/a..b",
    "/claude/v1/models/a#b",
    "/claude/v1/models/" + "a" * 257,
    "/claude/v1/complete",
    "/claude/v1/oauth/token",
    "/_replay/requests",
    "/claude/_replay/requests",
    "/metrics",
    "http://gateway.example/v1/messages",
    "http://gateway.example",
    "http://gateway.example//claude/v1/messages",
]


@pytest.mark.parametrize("target", NOWHERE)
@pytest.mark.parametrize("method", ["POST", "GET"])
async def test_a_path_that_is_not_exactly_one_of_ours_leads_nowhere(
    served: Served, target: str, method: str
) -> None:
    body = BODY if method == "POST" else b""
    key = f"x-api-key: {served.key}"
    lines = [HOST, key, VERSION, CLOSE, f"Content-Length: {len(body)}"]
    await refused(served, await served.raw(head(target, *lines, method=method) + body), 404, "not_found_error")


async def test_a_long_path_is_not_told_back_whole(served: Served) -> None:
    answers = await served.raw(head("/claude/" + "a" * 5_000, HOST, CLOSE, method="GET"))
    error = await refused(served, answers, 404, "not_found_error")
    assert len(error["message"]) < 300


async def test_connect_opens_no_tunnel(served: Served) -> None:
    host = served.upstream.url.removeprefix("http://")
    answers = await served.raw(head(host, HOST, CLOSE, method="CONNECT"))
    await refused(served, answers, 404, "not_found_error")


TOO_LONG: dict[str, bytes] = {
    "header value": head(MESSAGES, HOST, "x-big: " + "a" * 70_000, LENGTH) + BODY,
    "header name": head(MESSAGES, HOST, "x" * 70_000 + ": 1", LENGTH) + BODY,
    "target": head(f"{MESSAGES}?x=" + "a" * 70_000, HOST, LENGTH) + BODY,
    "number of headers": head(MESSAGES, HOST, *[f"x-{n}: 1" for n in range(20_000)], LENGTH) + BODY,
}


@pytest.mark.parametrize("data", TOO_LONG.values(), ids=TOO_LONG)
async def test_a_head_that_is_too_long_is_refused(served: Served, data: bytes) -> None:
    async with served.connect() as connection:
        connection.writer.write(data)
        answer = await connection.receive()
    await refused(served, [answer])


async def test_a_head_without_end_is_refused_before_it_fills_the_memory(served: Served) -> None:
    async with served.connect() as connection:
        connection.writer.write(b"POST /claude/v1/messages HTTP/1.1\r\nx-endless: ")
        connection.writer.write(b"a" * 2**20)
        answer = await connection.receive()
    await refused(served, [answer])


@pytest.mark.parametrize("value", ["100-continue", "100-Continue"])
async def test_a_client_that_waits_to_be_asked_for_its_body_is_asked(served: Served, value: str) -> None:
    async with served.connect() as connection:
        connection.writer.write(post(served, LENGTH, f"Expect: {value}", body=b""))
        assert await connection.until(b"\r\n\r\n") == b"HTTP/1.1 100 Continue\r\n\r\n"
        assert served.upstream.requests == []
        connection.writer.write(BODY)
        answer = await connection.receive()
    assert answer.status == 200
    (got,) = served.upstream.requests
    assert (got.body, got.header("expect")) == (BODY, None)


@pytest.mark.parametrize("value", ["200-ok", "100-continue, x", ""])
async def test_an_expectation_that_cannot_be_met_is_refused(served: Served, value: str) -> None:
    await refused(served, await served.raw(post(served, LENGTH, f"Expect: {value}")), 417)


async def test_pipelined_requests_are_answered_one_after_the_other_in_order(served: Served) -> None:
    key = f"x-api-key: {served.key}"
    stream = BODY.replace(b'"max_tokens"', b'"stream":true,"max_tokens"')
    slow = "x-replay-fault: hang:event=4;seconds=0.3"
    answers = await served.raw(
        head(MESSAGES, HOST, key, VERSION, slow, f"Content-Length: {len(stream)}")
        + stream
        + head(MESSAGES, HOST, key, VERSION, CHUNKED)
        + WHOLE
        + head("/claude/v1/nothing", HOST, method="GET")
        + head(MESSAGES, HOST, VERSION, LENGTH)
        + BODY
        + head("/claude/v1/models?limit=1", HOST, key, VERSION, method="GET")
        + head("/healthz", HOST, CLOSE, method="GET")
    )
    assert [answer.status for answer in answers] == [200, 200, 404, 401, 200, 200]
    assert answers[0].events[-1][0] == "message_stop"
    assert answers[1].json()["type"] == "message"
    assert len(answers[4].json()["data"]) == 1
    assert answers[5].json() == {"status": "ok"}
    assert [request.body for request in served.upstream.requests] == [stream, BODY, b""]
    first, second, third = served.upstream.requests
    assert first.finished_at is not None
    assert first.finished_at <= second.at <= third.at


async def test_what_follows_bad_http_on_a_connection_is_not_read(served: Served) -> None:
    good = post(served, LENGTH)
    await refused(served, await served.raw(head(MESSAGES, HOST, "x a: b") + good))


@pytest.mark.parametrize("lines", [["Upgrade: websocket"], ["Upgrade: h2c", "HTTP2-Settings: AAMAAABkAAQAAP__"]])
async def test_an_upgrade_is_ignored(served: Served, lines: list[str]) -> None:
    async with served.connect() as connection:
        request = head(
            MESSAGES,
            HOST,
            f"x-api-key: {served.key}",
            VERSION,
            LENGTH,
            "Connection: upgrade, http2-settings",
            *lines,
        )
        for _ in range(2):
            connection.writer.write(request + BODY)
            answer = await connection.receive()
            assert (answer.status, answer.header("upgrade")) == (200, None)
    for got in served.upstream.requests:
        assert (got.header("upgrade"), got.header("http2-settings")) == (None, None)


async def test_a_client_of_http_1_0_gets_a_message_and_the_end_of_the_connection(served: Served) -> None:
    request = head(MESSAGES, f"x-api-key: {served.key}", VERSION, LENGTH, version="1.0")
    (answer,) = await served.raw(request + BODY)
    assert (answer.status, answer.ended, answer.json()["type"]) == (200, "complete", "message")


async def test_a_client_of_http_1_0_gets_a_stream_without_chunks(served: Served) -> None:
    body = BODY.replace(b'"max_tokens"', b'"stream":true,"max_tokens"')
    key = f"x-api-key: {served.key}"
    request = head(MESSAGES, HOST, key, VERSION, f"Content-Length: {len(body)}", version="1.0")
    (answer,) = await served.raw(request + body)
    assert (answer.status, answer.header("transfer-encoding"), answer.header("content-length")) == (
        200,
        None,
        None,
    )
    assert answer.body.startswith(b"event: message_start\n")
    assert answer.events[-1][0] == "message_stop"


async def test_a_client_of_http_1_0_gets_pings_without_chunks_too() -> None:
    body = BODY.replace(b'"max_tokens"', b'"stream":true,"max_tokens"')
    times = {"ping_interval_seconds": 0.1, "commit_deadline_seconds": 0.1}
    async with serving(timeouts=times) as served:
        slow = "x-replay-fault: hang:event=1;seconds=0.5"
        lines = [HOST, f"x-api-key: {served.key}", VERSION, slow, f"Content-Length: {len(body)}"]
        (answer,) = await served.raw(head(MESSAGES, *lines, version="1.0") + body)
    assert [name for name, _ in answer.events][:3] == ["message_start", "ping", "ping"]


async def test_a_head_that_does_not_arrive_is_given_up() -> None:
    for start in (b"", b"P", head(MESSAGES, HOST)[:-2]):
        async with serving(timeouts={"request_head_seconds": 0.3}) as served:
            answers = await served.raw(start)
            assert answers[0].header("connection") == "close"
            await refused(served, answers, 408, "timeout_error")


async def test_a_head_that_only_drips_is_given_up() -> None:
    async with serving(timeouts={"request_head_seconds": 0.4}) as served, served.connect() as connection:

        async def drip() -> None:
            connection.writer.write(b"POST /claude/v1/messages HTTP/1.1\r\nx-slow: ")
            while True:
                connection.writer.write(b"a")
                await asyncio.sleep(0.02)

        async with asyncio.TaskGroup() as tasks:
            dripping = tasks.create_task(drip())
            answer = await connection.receive()
            dripping.cancel()
        await refused(served, [answer], 408, "timeout_error")


async def test_a_second_head_that_only_drips_ends_the_connection() -> None:
    async with serving(timeouts={"keepalive_seconds": 0.5}) as served, served.connect() as connection:
        await connection.send("/healthz", usual=())
        assert (await connection.receive()).status == 200

        async def drip() -> None:
            connection.writer.write(b"POST /claude/v1/messages HTTP/1.1\r\nx-slow: ")
            while not connection.writer.is_closing():
                connection.writer.write(b"a")
                await asyncio.sleep(0.02)

        async with asyncio.TaskGroup() as tasks:
            dripping = tasks.create_task(drip())
            async with asyncio.timeout(LIMIT):
                rest = await connection.reader.read()
            dripping.cancel()
        assert all(answer.status == 408 for answer in parse_answers(rest))
        assert served.upstream.requests == []
        await served.assert_serves()


async def test_a_hundred_bad_requests_at_once_harm_no_good_one(served: Served) -> None:
    bad = [*SMUGGLING.values()] * 3
    good = [served.stream() for _ in range(20)]
    refusals, answers = await asyncio.gather(
        asyncio.gather(*(served.raw(post(served, *lines)) for lines in bad)), asyncio.gather(*good)
    )
    for (refusal,) in refusals:
        envelope(refusal, 400, "invalid_request_error")
    assert [answer.status for answer in answers] == [200] * 20
    assert len(served.upstream.requests) == 20
