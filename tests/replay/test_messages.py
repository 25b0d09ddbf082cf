"""``/v1/messages`` and its neighbours, as a raw socket sees them."""

import asyncio
import gzip
import json

import pytest

from gateway.replay.answers import ANSWER
from gateway.replay.fixtures import Corpus
from gateway.replay.server import ReplayUpstream
from tests.replay.raw_client import LIMIT, USUAL_HEADERS, ask, connected, message, render


async def test_a_stream_has_the_documented_events_in_order(upstream: ReplayUpstream) -> None:
    answer = await ask(upstream, message(stream=True))
    names = [name for name, _ in answer.events]
    assert answer.ended == "complete"
    assert names[:3] == ["message_start", "content_block_start", "ping"]
    assert set(names[3:-3]) == {"content_block_delta"}
    assert names[-3:] == ["content_block_stop", "message_delta", "message_stop"]
    assert all(name == data["type"] for name, data in answer.events)
    texts = [data["delta"]["text"] for name, data in answer.events if name == "content_block_delta"]
    assert "".join(texts) == ANSWER
    final = dict(answer.events)["message_delta"]
    assert final["delta"] == {"stop_reason": "end_turn", "stop_sequence": None}
    assert final["usage"]["output_tokens"] == len(texts)


async def test_each_event_travels_in_a_chunk_of_its_own(upstream: ReplayUpstream) -> None:
    answer = await ask(upstream, message(stream=True))
    assert all(chunk.startswith(b"event: ") and chunk.endswith(b"}\n\n") for chunk in answer.chunks)
    assert len(answer.chunks) == len(answer.events)


async def test_some_events_are_padded_before_the_last_brace_as_real_ones_are(upstream: ReplayUpstream) -> None:
    answer = await ask(upstream, message(stream=True))
    assert any(chunk.endswith(b"  }\n\n") for chunk in answer.chunks)


async def test_response_headers_are_those_of_the_api(upstream: ReplayUpstream) -> None:
    answer = await ask(upstream, message(stream=True))
    assert answer.header("content-type") == "text/event-stream; charset=utf-8"
    assert answer.header("cache-control") == "no-cache"
    assert (answer.header("request-id") or "").startswith("req_")
    assert answer.header("anthropic-organization-id")
    assert answer.header("anthropic-ratelimit-requests-remaining") == "3999"
    assert (answer.header("anthropic-ratelimit-tokens-reset") or "").endswith("Z")
    assert answer.header("request-id") == upstream.requests[0].request_id


async def test_without_stream_the_same_message_comes_as_json(upstream: ReplayUpstream) -> None:
    answer = await ask(upstream, message())
    assert answer.header("content-type") == "application/json"
    body = answer.json()
    assert body["content"] == [{"type": "text", "text": ANSWER}]
    assert body["stop_reason"] == "end_turn"
    assert body["usage"]["input_tokens"] > 0


async def test_the_length_of_a_made_up_answer_can_be_asked_for(upstream: ReplayUpstream) -> None:
    sized = (("x-replay-tokens", "300"), ("x-replay-delta-bytes", "17"))
    answer = await ask(upstream, message(stream=True), headers=sized)
    texts = [data["delta"]["text"] for name, data in answer.events if name == "content_block_delta"]
    assert len(texts) == 300
    assert {len(text) for text in texts} == {17}


async def test_max_tokens_ends_the_answer_early(upstream: ReplayUpstream) -> None:
    answer = await ask(upstream, message(stream=True, max_tokens=2))
    assert [name for name, _ in answer.events].count("content_block_delta") == 2
    assert dict(answer.events)["message_delta"]["delta"]["stop_reason"] == "max_tokens"


async def test_max_tokens_zero_gives_an_empty_answer(upstream: ReplayUpstream) -> None:
    body = (await ask(upstream, message(max_tokens=0))).json()
    assert (body["content"], body["stop_reason"], body["usage"]["output_tokens"]) == ([], "max_tokens", 0)


async def test_every_recorded_stream_is_played_byte_for_byte(corpus: Corpus) -> None:
    async with ReplayUpstream(corpus=corpus) as upstream:
        for name in corpus.names("stream"):
            by_header = await ask(upstream, message(stream=True), headers=[("x-replay-stream", name)])
            assert by_header.body == corpus.read("stream", name), name
            assert by_header.ended == "complete"


async def test_a_model_name_picks_a_recorded_answer(corpus: Corpus) -> None:
    async with ReplayUpstream(corpus=corpus) as upstream:
        streamed = await ask(upstream, message(stream=True, model="replay-two-events"))
        assert streamed.body == corpus.read("stream", "two-events")
        assert [chunk[-4:] for chunk in streamed.chunks] == [b"  \n\n", b"\r\n\r\n"]
        whole = await ask(upstream, message(model="replay-short"))
        assert whole.body == corpus.read("message", "short")


async def test_an_unknown_recording_is_named_in_a_404(upstream: ReplayUpstream) -> None:
    answer = await ask(upstream, message(model="replay-nowhere"))
    assert answer.status == 404
    assert "no message named 'nowhere'" in answer.json()["error"]["message"]


async def test_a_paced_stream_hands_out_what_is_due_and_stays_open() -> None:
    async with ReplayUpstream(tokens_per_second=0.001) as upstream, connected(upstream) as connection:
        await connection.send(body=message(stream=True))
        await connection.until(b'{"type": "ping"}\n\n')
        assert upstream.open_streams == 1
        assert upstream.requests[0].finished is None


async def test_a_client_that_leaves_ends_its_stream() -> None:
    async with ReplayUpstream(tokens_per_second=0.001) as upstream:
        async with connected(upstream) as connection:
            await connection.send(body=message(stream=True))
            await connection.until(b"content_block_start")
        await upstream.wait_for(lambda: not upstream.open_streams, LIMIT)
        (record,) = upstream.requests
        assert record.finished == "client_gone"
        assert record.client_gone_at is not None
        assert record.client_gone_at >= record.at


async def test_the_pace_can_be_set_for_one_request(upstream: ReplayUpstream) -> None:
    pace = (("x-replay-tokens-per-second", "100000"),)
    assert (await ask(upstream, message(stream=True), headers=pace)).ended == "complete"
    assert (await ask(upstream, message(stream=True), headers=[(pace[0][0], "quick")])).status == 400


async def test_the_record_holds_the_request_as_it_was_sent(upstream: ReplayUpstream) -> None:
    target = "/v1/messages?beta=true&a=%2F&b=%7e+x"
    body = json.dumps(message(), indent=3).encode()
    await ask(upstream, body, target, headers=[("X-Odd-CASE", "1"), ("x-odd-case", "2")])
    (record,) = upstream.requests
    assert record.raw_path == target.encode()
    assert record.query == "beta=true&a=%2F&b=%7e+x"
    assert record.body == body
    assert record.headers[0] == ("Host", "replay")
    assert ("X-Odd-CASE", "1") in record.headers
    assert record.header_values("x-odd-case") == ["1", "2"]
    assert record.credential == ("x-api-key", "sk-ant-api03-made-up-for-tests")
    assert record.model == "claude-opus-5-5"


async def test_requests_on_one_connection_carry_one_number(upstream: ReplayUpstream) -> None:
    async with connected(upstream) as connection:
        for stream in (True, False, True):
            await connection.send(body=message(stream=stream))
            assert (await connection.receive()).ended == "complete"
    await ask(upstream, message())
    await upstream.wait_for(lambda: all(record.finished for record in upstream.requests))
    assert [record.connection_id for record in upstream.requests] == [1, 1, 1, 2]
    assert {record.finished for record in upstream.requests} == {"answered"}


NO_KEY = (("anthropic-version", "2023-06-01"),)
NO_VERSION = (("x-api-key", "k"),)
NEW_VERSION = (("x-api-key", "k"), ("anthropic-version", "2026-10-21"))
ROLES = "messages.0.role: Input should be 'user', 'assistant' or 'system'"


@pytest.mark.parametrize(
    ("headers", "body", "status", "wording"),
    [
        (NO_KEY, message(), 401, "x-api-key header is required"),
        (NO_VERSION, message(), 400, "anthropic-version: header is required"),
        (NEW_VERSION, message(temperature=1), 400, "temperature: Extra inputs are not permitted"),
        (NEW_VERSION, message(top_k=1), 400, "top_k: Extra inputs are not permitted"),
        (USUAL_HEADERS, {"max_tokens": 1, "messages": []}, 400, "model: Field required"),
        (USUAL_HEADERS, {"model": "m", "messages": []}, 400, "max_tokens: Field required"),
        (USUAL_HEADERS, {"model": "m", "max_tokens": 1}, 400, "messages: Field required"),
        (USUAL_HEADERS, message(messages=[]), 400, "messages: at least one message is required"),
        (USUAL_HEADERS, message(messages=[{"role": "robot", "content": "x"}]), 400, ROLES),
        (USUAL_HEADERS, message(model=5), 400, "model: Input should be a valid string"),
        (USUAL_HEADERS, message(stream="yes"), 400, "stream: Input should be a valid boolean"),
        (USUAL_HEADERS, message(max_tokens=-1), 400, "max_tokens: Input should be greater than or equal to 0"),
        (USUAL_HEADERS, message(model="claude-nope-1"), 404, "model: claude-nope-1"),
        (USUAL_HEADERS, b"[1]", 400, "Input should be a valid dictionary"),
        (
            USUAL_HEADERS,
            b'{"model": nope}',
            400,
            "The request body is not valid JSON: unexpected character: line 1 column 11 (char 10)",
        ),
        (
            USUAL_HEADERS,
            b'{"model": "\\ud800"}',
            400,
            "The request body is not valid JSON: no low surrogate in string: line 1 column 2 (char 1)",
        ),
    ],
)
async def test_a_bad_request_is_refused_in_the_words_of_the_api(
    upstream: ReplayUpstream, headers: tuple[tuple[str, str], ...], body: object, status: int, wording: str
) -> None:
    answer = await ask(upstream, body, usual=headers)
    envelope = answer.json()
    assert (answer.status, envelope["error"]["message"]) == (status, wording)
    assert envelope["type"] == "error"
    assert envelope["request_id"] == answer.header("request-id")


async def test_sampling_parameters_pass_under_the_old_version(upstream: ReplayUpstream) -> None:
    assert (await ask(upstream, message(temperature=1, top_p=0.5))).status == 200


async def test_a_system_message_between_the_others_passes(upstream: ReplayUpstream) -> None:
    turns = [{"role": "user", "content": "hi"}, {"role": "system", "content": "Be brief."}]
    assert (await ask(upstream, message(messages=turns))).status == 200


async def test_only_known_keys_are_let_in_when_keys_are_given() -> None:
    async with ReplayUpstream(api_keys={"right"}) as upstream:
        version = ("anthropic-version", "2023-06-01")
        cases = [
            ([("x-api-key", "right")], 200, None),
            ([("Authorization", "Bearer right")], 200, None),
            ([("x-api-key", "right"), ("Authorization", "Bearer wrong")], 200, None),
            ([("x-api-key", "wrong"), ("Authorization", "Bearer right")], 401, "invalid x-api-key"),
            ([("Authorization", "Bearer wrong")], 401, "Invalid bearer token"),
            ([("Authorization", "Basic cmlnaHQ=")], 401, "x-api-key header is required"),
        ]
        for credentials, status, wording in cases:
            answer = await ask(upstream, message(), usual=[version, *credentials])
            assert answer.status == status
            assert wording is None or answer.json()["error"]["message"] == wording


async def test_count_tokens_counts_more_for_more_and_needs_no_max_tokens(upstream: ReplayUpstream) -> None:
    def counted(text: str) -> dict[str, object]:
        return {"model": "claude-opus-5-5", "messages": [{"role": "user", "content": text}]}

    target = "/v1/messages/count_tokens?beta=true"
    few, many = await asyncio.gather(
        ask(upstream, counted("hi"), target), ask(upstream, counted("hi " * 1000), target)
    )
    assert 0 < few.json()["input_tokens"] < many.json()["input_tokens"]


async def test_thirty_counts_at_once_are_all_answered(upstream: ReplayUpstream) -> None:
    body = {"model": "claude-opus-5-5", "messages": [{"role": "user", "content": "hi"}]}
    answers = await asyncio.gather(*(ask(upstream, body, "/v1/messages/count_tokens") for _ in range(30)))
    assert [answer.status for answer in answers] == [200] * 30


@pytest.mark.parametrize("method", ["HEAD", "GET"])
async def test_the_warm_up_path_needs_no_credential(upstream: ReplayUpstream, method: str) -> None:
    answer = await ask(upstream, target="/api/hello", method=method, usual=())
    assert answer.status == 200
    assert bool(answer.raw_body) == (method == "GET")


@pytest.mark.parametrize(
    ("method", "target", "status", "error_type"),
    [
        ("GET", "/v1/nothing", 404, "not_found_error"),
        ("GET", "/", 404, "not_found_error"),
        ("GET", "/v1/messages", 405, "invalid_request_error"),
        ("DELETE", "/v1/models", 405, "invalid_request_error"),
    ],
)
async def test_what_is_not_there_answers_in_the_envelope(
    upstream: ReplayUpstream, method: str, target: str, status: int, error_type: str
) -> None:
    answer = await ask(upstream, target=target, method=method)
    assert (answer.status, answer.json()["error"]["type"]) == (status, error_type)


async def test_expect_100_continue_is_answered_before_the_body(upstream: ReplayUpstream) -> None:
    body = json.dumps(message()).encode()
    request = render("/v1/messages", [*USUAL_HEADERS, ("Expect", "100-continue")], body, "POST")
    async with connected(upstream) as connection:
        connection.writer.write(request.removesuffix(body))
        assert await connection.until(b"\r\n\r\n") == b"HTTP/1.1 100 Continue\r\n\r\n"
        connection.writer.write(body)
        assert (await connection.receive()).status == 200


async def test_a_compressed_request_is_understood_and_recorded_as_sent(upstream: ReplayUpstream) -> None:
    packed = gzip.compress(json.dumps(message()).encode())
    assert (await ask(upstream, packed, headers=[("content-encoding", "gzip")])).status == 200
    assert upstream.requests[0].body == packed
    refused = await ask(upstream, packed, headers=[("content-encoding", "br")])
    assert refused.json()["error"]["details"]["error_code"] == "request_body_encoding_unsupported"


async def test_two_megabytes_are_taken_and_more_than_thirty_two_are_not(upstream: ReplayUpstream) -> None:
    assert (await ask(upstream, message(system="x" * 2**21))).status == 200
    answer = await ask(upstream, message(system="x" * 2**25))
    assert (answer.status, answer.json()["error"]["type"]) == (413, "request_too_large")


async def test_http_1_0_gets_an_unframed_stream_and_a_closed_connection(upstream: ReplayUpstream) -> None:
    answer = await ask(upstream, message(stream=True), version="1.0", to_eof=True)
    assert answer.header("transfer-encoding") is None
    assert answer.ended == "eof"
    assert answer.raw_body.endswith(b"\n\n")
    assert b"message_stop" in answer.raw_body


async def test_nine_kilobytes_of_header_value_are_taken(upstream: ReplayUpstream) -> None:
    assert (await ask(upstream, message(), headers=[("x-long", "v" * 9_000)])).status == 200
