"""Bodies that cannot be sent on: not JSON, not what is needed of them, too large, badly encoded."""

from __future__ import annotations

import asyncio
import gzip
import json
import zlib

import pytest

from tests.bad_input.checks import BODY, CHUNKED, CLOSE, HOST, LENGTH, VERSION, post, refused
from tests.contract.harness import MESSAGES, Served, envelope, head, serving
from tests.replay.raw_client import LIMIT

pytestmark = pytest.mark.asyncio(loop_scope="module")

MOST = 32 * 2**20
COUNT = f"{MESSAGES}/count_tokens"

NOT_JSON = {
    "empty": b"",
    "blank": b" \n",
    "text": b"hello",
    "form": b"model=claude&stream=true",
    "cut off": b'{"model":"m","stream":tr',
    "single quotes": b"{'model':'m'}",
    "trailing comma": b'{"model":"m",}',
    "something behind": b'{"model":"m"} {}',
    "byte order mark": b'\xef\xbb\xbf{"model":"m"}',
    "UTF-16": '{"model":"m"}'.encode("utf-16"),
    "latin-1 in the model": b'{"model":"caf\xe9"}',
    "half a character": b'{"model":"caf\xc3',
    "control character": b'{"model":"a\nb"}',
    "NaN": b'{"model":NaN}',
    "NUL bytes": b"\0\0\0\0",
    "bottomless": b'{"model":"m","x":' + b"[" * 100_000,
    "gzip without saying so": gzip.compress(BODY),
}
NOT_AN_OBJECT = {
    "array": b'[{"model":"m"}]',
    "string": b'"model"',
    "number": b"1",
    "null": b"null",
    "true": b"true",
}
WRONG_FIELDS = {
    "no model": (b'{"stream":true}', "model: Field required"),
    "model null": (b'{"model":null}', "model: Input should be a valid string"),
    "model number": (b'{"model":5}', "model: Input should be a valid string"),
    "model object": (b'{"model":{"id":"m"}}', "model: Input should be a valid string"),
    "model array": (b'{"model":["m"]}', "model: Input should be a valid string"),
    "model in other capitals": (b'{"Model":"m"}', "model: Field required"),
    "stream text": (b'{"model":"m","stream":"true"}', "stream: Input should be a valid boolean"),
    "stream number": (b'{"model":"m","stream":1}', "stream: Input should be a valid boolean"),
    "stream array": (b'{"model":"m","stream":[]}', "stream: Input should be a valid boolean"),
    "the last of two models counts": (b'{"model":"m","model":7}', "model: Input should be a valid string"),
}


@pytest.mark.parametrize("target", [MESSAGES, COUNT], ids=["messages", "count_tokens"])
@pytest.mark.parametrize("body", NOT_JSON.values(), ids=NOT_JSON)
async def test_a_body_that_is_not_json_is_refused(served: Served, body: bytes, target: str) -> None:
    answers = await served.raw(post(served, f"Content-Length: {len(body)}", body=body, target=target))
    error = await refused(served, answers)
    assert error["message"].startswith("The request body is not valid JSON")


@pytest.mark.parametrize("body", NOT_AN_OBJECT.values(), ids=NOT_AN_OBJECT)
async def test_a_body_that_is_no_object_is_refused(served: Served, body: bytes) -> None:
    error = await refused(served, await served.raw(post(served, f"Content-Length: {len(body)}", body=body)))
    assert "object" in error["message"]


@pytest.mark.parametrize(("body", "reason"), WRONG_FIELDS.values(), ids=WRONG_FIELDS)
async def test_a_body_without_the_fields_that_are_needed_is_refused_in_the_apis_words(
    served: Served, body: bytes, reason: str
) -> None:
    error = await refused(served, await served.raw(post(served, f"Content-Length: {len(body)}", body=body)))
    assert error["message"] == reason


@pytest.mark.parametrize("field", [b'"max_tokens":-1', b'"messages":7', b'"unheard_of":true', b'"x":"\xff"'])
async def test_what_the_upstream_judges_better_is_left_to_it(served: Served, field: bytes) -> None:
    body = b'{"model":"m",' + field + b"}"
    (answer,) = await served.raw(post(served, f"Content-Length: {len(body)}", body=body))
    assert answer.status == 400
    (got,) = served.upstream.requests
    assert got.body == body
    assert answer.header("request-id") == got.request_id


async def test_a_post_without_length_or_chunks_has_an_empty_body(served: Served) -> None:
    request = head(MESSAGES, HOST, f"x-api-key: {served.key}", VERSION, CLOSE)
    await refused(served, await served.raw(request))


def sized(size: int) -> bytes:
    """Return a good body of this many bytes."""
    start, end = BODY[:-1] + b',"pad":"', b'"}'
    return start + b"x" * (size - len(start) - len(end)) + end


async def test_a_body_of_32_mib_passes(served: Served) -> None:
    body = sized(MOST)
    assert len(body) == MOST
    (answer,) = await served.raw(post(served, f"Content-Length: {MOST}", body=body))
    assert answer.header("request-id") == served.upstream.requests[0].request_id
    assert served.upstream.requests[0].body == body


@pytest.mark.parametrize("expect", [[], ["Expect: 100-continue"]], ids=["sent at once", "100-continue"])
async def test_one_byte_more_than_32_mib_is_refused_without_waiting_for_it(
    served: Served, expect: list[str]
) -> None:
    async with served.connect() as connection:
        lines = [HOST, f"x-api-key: {served.key}", VERSION, f"Content-Length: {MOST + 1}", *expect]
        connection.writer.write(head(MESSAGES, *lines))
        answer = await connection.receive()
    assert answer.header("connection") == "close"
    error = await refused(served, [answer], 413, "request_too_large")
    assert str(MOST) in error["message"]


@pytest.mark.parametrize("length", ["99999999999999999999999", "18446744073709551616", "9223372036854775808"])
async def test_a_length_beyond_all_numbers_is_refused(served: Served, length: str) -> None:
    async with served.connect() as connection:
        lines = [HOST, f"x-api-key: {served.key}", VERSION, f"Content-Length: {length}"]
        connection.writer.write(head(MESSAGES, *lines))
        answer = await connection.receive()
    assert answer.status in (400, 413)
    kind = "request_too_large" if answer.status == 413 else "invalid_request_error"
    await refused(served, [answer], answer.status, kind)


async def test_chunks_beyond_32_mib_are_refused_before_the_end_comes(served: Served) -> None:
    piece = b"%x\r\n%b\r\n" % (2**20, b" " * 2**20)
    async with served.connect() as connection:
        lines = [HOST, f"x-api-key: {served.key}", VERSION, CHUNKED]
        connection.writer.write(head(MESSAGES, *lines))
        for _ in range(32):
            connection.writer.write(piece)
            await connection.writer.drain()
        connection.writer.write(b"1\r\n \r\n")
        answer = await connection.receive()
    assert answer.header("connection") == "close"
    await refused(served, [answer], 413, "request_too_large")


ENCODED = {
    "gzip": gzip.compress(BODY),
    "x-gzip": gzip.compress(BODY),
    "GZip": gzip.compress(BODY),
    "deflate": zlib.compress(BODY),
    "identity": BODY,
}


@pytest.mark.parametrize(("encoding", "body"), ENCODED.items(), ids=ENCODED)
async def test_a_compressed_body_is_read_here_and_sent_on_as_it_came(
    served: Served, encoding: str, body: bytes
) -> None:
    lines = [f"Content-Length: {len(body)}", f"Content-Encoding: {encoding}"]
    (answer,) = await served.raw(post(served, *lines, body=body))
    (got,) = served.upstream.requests
    assert got.body == body
    assert got.header_values("content-encoding") == [encoding]
    assert served.ledger.of(answer).model == "claude-opus-5-5"
    if encoding in ("gzip", "identity"):
        assert (answer.status, answer.json()["type"]) == (200, "message")


async def test_a_compressed_request_for_a_stream_gets_a_stream(served: Served) -> None:
    body = gzip.compress(BODY.replace(b'"max_tokens"', b'"stream":true,"max_tokens"'))
    lines = [f"Content-Length: {len(body)}", "Content-Encoding: gzip"]
    (answer,) = await served.raw(post(served, *lines, body=body))
    assert answer.events[-1][0] == "message_stop"


BADLY_ENCODED = {
    "not gzip": ("gzip", BODY, "request_body_encoding_invalid"),
    "cut off": ("gzip", gzip.compress(BODY)[:-9], "request_body_encoding_invalid"),
    "wrong check sum": ("gzip", gzip.compress(BODY)[:-8] + b"\0" * 8, "request_body_encoding_invalid"),
    "something behind": ("gzip", gzip.compress(BODY) + b"x", "request_body_encoding_invalid"),
    "empty": ("gzip", b"", "request_body_encoding_invalid"),
    "not deflate": ("deflate", BODY, "request_body_encoding_invalid"),
    "brotli": ("br", BODY, "request_body_encoding_unsupported"),
    "zstd": ("zstd", BODY, "request_body_encoding_unsupported"),
    "twice": ("gzip, gzip", gzip.compress(gzip.compress(BODY)), "request_body_encoding_unsupported"),
    "nonsense": ("x" * 5000, BODY, "request_body_encoding_unsupported"),
}


@pytest.mark.parametrize(("encoding", "body", "code"), BADLY_ENCODED.values(), ids=BADLY_ENCODED)
async def test_a_body_that_does_not_decode_is_refused_with_the_apis_code(
    served: Served, encoding: str, body: bytes, code: str
) -> None:
    lines = [f"Content-Length: {len(body)}", f"Content-Encoding: {encoding}"]
    error = await refused(served, await served.raw(post(served, *lines, body=body)))
    assert error["details"] == {"error_code": code}
    assert len(error["message"]) < 300


@pytest.mark.parametrize("encoding", ["gzip", "deflate"])
async def test_a_compression_bomb_is_refused(served: Served, encoding: str) -> None:
    bomb = {"gzip": gzip.compress, "deflate": zlib.compress}[encoding](b" " * (MOST + 1))
    assert len(bomb) < 64 * 1024
    lines = [f"Content-Length: {len(bomb)}", f"Content-Encoding: {encoding}"]
    error = await refused(served, await served.raw(post(served, *lines, body=bomb)), 413, "request_too_large")
    assert error["details"] == {"error_code": "request_body_too_large_after_decoding"}


async def test_a_body_that_stops_arriving_is_given_up() -> None:
    times = {"request_body_idle_seconds": 0.3}
    for framing, start in ((LENGTH, BODY[:7]), (CHUNKED, b"5\r\nab"), (LENGTH, b"")):
        async with serving(timeouts=times) as served, served.connect() as connection:
            lines = [HOST, f"x-api-key: {served.key}", VERSION, framing]
            connection.writer.write(head(MESSAGES, *lines) + start)
            answer = await connection.receive()
            assert answer.header("connection") == "close"
            error = await refused(served, [answer], 408, "timeout_error")
            assert error["details"] == {"error_code": "request_body_timeout"}


async def test_a_body_that_only_drips_is_given_up() -> None:
    times = {"request_body_idle_seconds": 5.0, "request_body_total_seconds": 0.5}
    async with serving(timeouts=times) as served, served.connect() as connection:
        lines = [HOST, f"x-api-key: {served.key}", VERSION, "Content-Length: 100000"]
        connection.writer.write(head(MESSAGES, *lines))

        async def drip() -> None:
            while True:
                connection.writer.write(b" ")
                await asyncio.sleep(0.02)

        async with asyncio.TaskGroup() as tasks:
            dripping = tasks.create_task(drip())
            answer = await connection.receive()
            dripping.cancel()
        await refused(served, [answer], 408, "timeout_error")


@pytest.mark.parametrize(
    "start", [b"", b"5\r\nab", b"5\r\nabcde\r\n"], ids=["before", "in a chunk", "between chunks"]
)
async def test_a_client_that_goes_in_the_middle_of_its_body_leaves_only_a_record(
    served: Served, start: bytes
) -> None:
    async with served.connect() as connection:
        lines = [HOST, f"x-api-key: {served.key}", VERSION, CHUNKED, "Expect: 100-continue"]
        connection.writer.write(head(MESSAGES, *lines))
        await connection.until(b"100 Continue\r\n\r\n")
        connection.writer.write(start)
    async with asyncio.timeout(LIMIT):
        while not served.ledger.records:  # noqa: ASYNC110 - the ledger has no event to wait for
            await asyncio.sleep(0.01)
    (record,) = served.ledger.records
    assert (record.outcome, record.status) == ("cancelled", 499)
    assert served.upstream.requests == []
    await served.assert_serves()


async def test_after_a_refused_body_the_connection_serves_on(served: Served) -> None:
    async with served.connect() as connection:
        for body in (b"{", b"[]", b'{"model":1}'):
            await connection.send(MESSAGES, body, usual=served.usual)
            envelope(await connection.receive(), 400, "invalid_request_error")
        await connection.send(MESSAGES, json.loads(BODY), usual=served.usual)
        assert (await connection.receive()).status == 200
    assert len(served.upstream.requests) == 1
