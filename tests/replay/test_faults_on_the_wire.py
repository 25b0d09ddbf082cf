"""What each fault looks like to a client that reads the raw socket."""

import asyncio
import gzip
from collections.abc import Callable

import pytest
import uvloop

from gateway.replay.damage import EXTRA_RESPONSE_BYTES, GARBAGE
from gateway.replay.fixtures import Corpus
from gateway.replay.server import ReplayUpstream
from tests.replay.raw_client import LIMIT, RawResponse, ask, connected, dechunk, message


def names(answer: RawResponse) -> list[str]:
    return [name for name, _ in answer.events]


async def test_refuse_closes_without_a_byte(upstream: ReplayUpstream) -> None:
    async with connected(upstream) as connection:
        await connection.send(body=message(stream=True), headers=[("x-replay-fault", "refuse")])
        async with asyncio.timeout(LIMIT):
            assert await connection.reader.read() == b""
    assert upstream.requests[0].finished == "cut"


async def test_refuse_can_hit_a_connection_that_was_used_before(upstream: ReplayUpstream) -> None:
    upstream.faults.push("none")
    upstream.faults.push("refuse")
    async with connected(upstream) as connection:
        await connection.send(body=message())
        assert (await connection.receive()).status == 200
        await connection.send(body=message())
        async with asyncio.timeout(LIMIT):
            assert await connection.reader.read() == b""
    assert [record.connection_id for record in upstream.requests] == [1, 1]


async def test_hang_at_the_head_sends_nothing_until_the_client_goes(upstream: ReplayUpstream) -> None:
    async with connected(upstream) as connection:
        await connection.send(body=message(stream=True), headers=[("x-replay-fault", "hang:head")])
        await upstream.wait_for(lambda: upstream.open_streams == 1, LIMIT)
    await upstream.wait_for(lambda: upstream.requests[0].finished == "client_gone", LIMIT)
    assert upstream.open_streams == 0


async def test_a_hang_at_the_head_of_some_seconds_then_answers(upstream: ReplayUpstream) -> None:
    answer = await ask(upstream, message(stream=True), fault="hang:head;seconds=0.01")
    assert names(answer)[-1] == "message_stop"


async def test_hang_after_an_event_sends_exactly_so_many(upstream: ReplayUpstream) -> None:
    async with connected(upstream) as connection:
        await connection.send(body=message(stream=True), headers=[("x-replay-fault", "hang:event=2")])
        await connection.head()
        chunks, whole, _ = dechunk(
            await connection.until(b"content_block_start") + await connection.until(b"\n\n\r\n")
        )
        assert (len(chunks), whole) == (2, False)
        assert upstream.open_streams == 1
    await upstream.wait_for(lambda: not upstream.open_streams, LIMIT)


async def test_a_hang_of_some_seconds_goes_on_afterwards(upstream: ReplayUpstream) -> None:
    answer = await ask(upstream, message(stream=True), fault="hang:event=3;seconds=0.01|hang:byte=9;seconds=0.01")
    assert answer.ended == "complete"
    assert answer.chunks[0] == b"event: me"
    assert names(answer)[-1] == "message_stop"


@pytest.mark.parametrize(("fault", "ended"), [("cut:event=4", "eof"), ("cut:event=4;reset", "reset")])
async def test_cut_after_an_event_leaves_the_body_unfinished(
    upstream: ReplayUpstream, fault: str, ended: str
) -> None:
    answer = await ask(upstream, message(stream=True), fault=fault)
    assert names(answer) == ["message_start", "content_block_start", "ping", "content_block_delta"]
    assert dechunk(answer.raw_body)[1] is False
    assert answer.ended == ended
    await upstream.wait_for(lambda: upstream.requests[0].finished == "cut", LIMIT)


async def test_cut_at_a_byte_is_exact(upstream: ReplayUpstream) -> None:
    for byte in (0, 1, 311, 700):
        answer = await ask(upstream, message(stream=True), fault=f"cut:byte={byte}")
        assert len(answer.body) == byte
        assert answer.ended == "eof"


@pytest.mark.parametrize("loop_factory", [asyncio.new_event_loop, uvloop.new_event_loop])
def test_cut_lets_every_byte_before_it_reach_even_a_slow_reader(
    loop_factory: Callable[[], asyncio.AbstractEventLoop],
) -> None:
    cut_at = 9_000_001

    async def scenario() -> RawResponse:
        sized = (("x-replay-tokens", "1000"), ("x-replay-delta-bytes", "10000"))
        async with ReplayUpstream() as upstream:
            return await ask(
                upstream, message(stream=True, max_tokens=5000), fault=f"cut:byte={cut_at}", headers=sized
            )

    with asyncio.Runner(loop_factory=loop_factory) as runner:
        answer = runner.run(scenario())
    assert len(answer.body) == cut_at
    assert answer.ended == "eof"


async def test_cut_inside_a_character_ends_on_half_of_it(upstream: ReplayUpstream) -> None:
    body = (await ask(upstream, message(stream=True), fault="cut:utf8")).body
    with pytest.raises(UnicodeDecodeError, match="unexpected end of data"):
        body.decode()


@pytest.mark.parametrize("fault", ["eof:event=4", "eof:byte=400", "eof:utf8"])
async def test_eof_ends_the_body_properly_but_early(upstream: ReplayUpstream, fault: str) -> None:
    answer = await ask(upstream, message(stream=True), fault=fault)
    assert answer.ended == "complete"
    assert b"message_stop" not in answer.body


async def test_an_error_event_before_content_is_all_there_is(upstream: ReplayUpstream) -> None:
    answer = await ask(upstream, message(stream=True), fault="error-event:overloaded_error")
    assert answer.status == 200
    assert answer.events == [
        ("error", {"type": "error", "error": {"type": "overloaded_error", "message": "Overloaded"}})
    ]


async def test_an_error_event_after_content_ends_the_stream_there(upstream: ReplayUpstream) -> None:
    answer = await ask(upstream, message(stream=True), fault="error-event:api_error;event=5;message=Broken")
    assert names(answer)[3:] == ["content_block_delta", "content_block_delta", "error"]
    assert answer.events[-1][1]["error"] == {"type": "api_error", "message": "Broken"}
    assert answer.ended == "complete"


async def test_an_error_event_can_be_followed_by_the_rest(upstream: ReplayUpstream) -> None:
    answer = await ask(upstream, message(stream=True), fault="error-event:api_error;event=5;goes-on")
    assert names(answer)[5] == "error"
    assert names(answer)[-1] == "message_stop"


async def test_duplicate_start_sends_it_twice(upstream: ReplayUpstream) -> None:
    answer = await ask(upstream, message(stream=True), fault="duplicate-start")
    assert names(answer)[:3] == ["message_start", "message_start", "content_block_start"]
    assert answer.chunks[0] == answer.chunks[1]
    later = await ask(upstream, message(stream=True), fault="duplicate-start;event=4")
    assert names(later)[4] == "message_start"


async def test_skip_index_leaves_a_gap_from_the_block_named(upstream: ReplayUpstream) -> None:
    def indexes(answer: RawResponse) -> set[int]:
        return {data["index"] for _, data in answer.events if "index" in data}

    tools = [{"name": "look", "input_schema": {"type": "object"}}]
    body = message(stream=True, tools=tools, tool_choice={"type": "any"})
    assert indexes(await ask(upstream, body)) == {0, 1}
    assert indexes(await ask(upstream, body, fault="skip-index")) == {1, 2}
    assert indexes(await ask(upstream, body, fault="skip-index:1")) == {0, 2}


async def test_wrong_name_changes_the_name_and_not_the_data(upstream: ReplayUpstream) -> None:
    answer = await ask(upstream, message(stream=True), fault="wrong-name:content_block_stop;event=3")
    name, data = answer.events[3]
    assert (name, data["type"]) == ("content_block_stop", "content_block_delta")


async def test_garbage_stands_between_whole_events(upstream: ReplayUpstream) -> None:
    answer = await ask(upstream, message(stream=True), fault="garbage;event=3")
    assert answer.chunks[3] == GARBAGE
    with pytest.raises(UnicodeDecodeError):
        answer.body.decode()


async def test_crlf_ends_every_line_with_both(upstream: ReplayUpstream) -> None:
    body = (await ask(upstream, message(stream=True), fault="crlf")).body
    assert body.endswith(b"\r\n\r\n")
    assert body.count(b"\n") == body.count(b"\r") == body.count(b"\r\n")


async def test_after_stop_sends_a_delta_that_comes_too_late(upstream: ReplayUpstream) -> None:
    answer = await ask(upstream, message(stream=True), fault="after-stop")
    assert names(answer)[-2:] == ["message_stop", "content_block_delta"]


async def test_pings_never_end_after_message_delta(upstream: ReplayUpstream) -> None:
    async with connected(upstream) as connection:
        await connection.send(body=message(stream=True), headers=[("x-replay-fault", "pings:0.001")])
        await connection.until(b"event: message_delta")
        for _ in range(10):
            assert b"message_stop" not in await connection.until(b"event: ping")
    await upstream.wait_for(lambda: upstream.requests[0].finished == "client_gone", LIMIT)


async def test_one_byte_chunks_hold_one_byte_each(upstream: ReplayUpstream) -> None:
    answer = await ask(upstream, message(stream=True), fault="one-byte")
    assert {len(chunk) for chunk in answer.chunks} == {1}
    assert names(answer)[-1] == "message_stop"


async def test_a_slow_drip_comes_in_slices_of_a_twentieth_of_a_second(upstream: ReplayUpstream) -> None:
    answer = await ask(upstream, message(stream=True), fault="drip:100000")
    assert max(len(chunk) for chunk in answer.chunks) <= 5000
    slow = await ask(upstream, message(stream=True, max_tokens=1), fault="drip:40000")
    assert {len(chunk) for chunk in slow.chunks} <= set(range(1, 2001))
    assert names(slow)[-1] == "message_stop"


async def test_a_drip_of_next_to_nothing_holds_back_all_but_the_head(upstream: ReplayUpstream) -> None:
    async with connected(upstream) as connection:
        await connection.send(body=message(stream=True), headers=[("x-replay-fault", "drip:0.001")])
        status, _ = await connection.head()
        assert status == 200
        assert upstream.open_streams == 1


async def test_gzip_compresses_event_by_event(upstream: ReplayUpstream) -> None:
    plain = await ask(upstream, message(stream=True))
    packed = await ask(upstream, message(stream=True), fault="gzip")
    assert packed.header("content-encoding") == "gzip"
    assert len(packed.chunks) == len(plain.chunks)
    assert b"message_stop" in gzip.decompress(packed.body)
    whole = await ask(upstream, message(), fault="gzip")
    assert b'"end_turn"' in gzip.decompress(whole.body)


@pytest.mark.parametrize(
    ("status", "error_type"),
    [
        (400, "invalid_request_error"),
        (401, "authentication_error"),
        (402, "billing_error"),
        (403, "permission_error"),
        (404, "not_found_error"),
        (408, "timeout_error"),
        (409, "conflict_error"),
        (413, "request_too_large"),
        (422, "invalid_request_error"),
        (429, "rate_limit_error"),
        (500, "api_error"),
        (502, "api_error"),
        (503, "overloaded_error"),
        (504, "timeout_error"),
        (529, "overloaded_error"),
        (418, "invalid_request_error"),
        (599, "api_error"),
    ],
)
async def test_a_status_comes_with_its_error_type(upstream: ReplayUpstream, status: int, error_type: str) -> None:
    answer = await ask(upstream, message(stream=True), fault=f"status:{status}")
    assert (answer.status, answer.json()["error"]["type"]) == (status, error_type)
    assert answer.json()["request_id"] == answer.header("request-id")
    assert answer.header("retry-after") is None


async def test_a_status_carries_the_retry_hints_asked_for(upstream: ReplayUpstream) -> None:
    seconds = await ask(upstream, message(), fault="status:429;retry-after=3;should-retry=false")
    assert (seconds.header("retry-after"), seconds.header("x-should-retry")) == ("3", "false")
    date = await ask(upstream, message(), fault="status:503;retry-after=date:30")
    assert (date.header("retry-after") or "").endswith(" GMT")
    milliseconds = await ask(upstream, message(), fault="status:529;retry-after-ms=1500;should-retry=true")
    assert (milliseconds.header("retry-after-ms"), milliseconds.header("retry-after")) == ("1500", None)
    assert milliseconds.header("x-should-retry") == "true"
    limit = await ask(upstream, message(), fault="status:429;unified;retry-after=51811")
    assert limit.header("anthropic-ratelimit-unified-status") == "rejected"


async def test_type_wording_and_code_of_an_error_can_be_chosen(upstream: ReplayUpstream) -> None:
    answer = await ask(upstream, message(), fault="status:400;type=odd_error;message=Odd: really;code=very_odd")
    assert answer.json()["error"] == {
        "type": "odd_error",
        "message": "Odd: really",
        "details": {"error_code": "very_odd"},
    }


async def test_a_named_error_has_its_own_wording(upstream: ReplayUpstream) -> None:
    answer = await ask(upstream, message(), fault="error:oauth_revoked")
    assert answer.status == 403
    assert answer.json()["error"]["message"] == "OAuth token has been revoked. Please obtain a new token."
    unknown = await ask(upstream, message(), fault="error:nothing")
    assert "no error named 'nothing'" in unknown.json()["error"]["message"]


async def test_a_recorded_error_is_played_as_recorded(corpus: Corpus) -> None:
    async with ReplayUpstream(corpus=corpus) as upstream:
        answer = await ask(upstream, message(), fault="error:html")
        assert (answer.status, answer.raw_body) == (502, b"<h1>Bad</h1>")
        assert (answer.values("content-type"), answer.values("server")) == (["text/html"], ["nginx"])
        spend = await ask(upstream, message(), fault="error:spend;retry-after=9")
        assert spend.json() == {"type": "error", "n": 1.5}
        assert (spend.header("x-should-retry"), spend.header("retry-after")) == ("false", "9")


async def test_headers_can_be_added_replaced_and_repeated(upstream: ReplayUpstream) -> None:
    fault = "header:Set-Cookie=a=1; Path=/|header:set-cookie=b=2|header:Server=mine|cookies|big-header|unified"
    answer = await ask(upstream, message(stream=True), fault=fault)
    assert answer.values("set-cookie")[:2] == ["a=1; Path=/", "b=2"]
    assert len(answer.values("set-cookie")) == 4
    assert answer.values("server") == ["mine"]
    assert len(answer.header("x-replay-big") or "") == 9_000
    assert answer.header("anthropic-ratelimit-unified-status") == "allowed"


async def test_truncate_announces_more_than_it_sends(upstream: ReplayUpstream) -> None:
    answer = await ask(upstream, message(), fault="truncate")
    assert answer.ended == "eof"
    assert len(answer.raw_body) == int(answer.header("content-length") or 0) // 2
    at_byte = await ask(upstream, message(), fault="truncate:10")
    assert len(at_byte.raw_body) == 10


async def test_truncate_in_chunks_leaves_out_the_last_one(upstream: ReplayUpstream) -> None:
    answer = await ask(upstream, message(), fault="truncate;chunked")
    assert answer.header("content-length") is None
    assert answer.ended == "eof"
    assert dechunk(answer.raw_body)[1] is False
    assert answer.body.startswith(b'{"model"')


async def test_close_announces_the_close_and_drop_does_not(upstream: ReplayUpstream) -> None:
    announced = await ask(upstream, message(stream=True), fault="close", to_eof=True)
    silent = await ask(upstream, message(stream=True), fault="drop", to_eof=True)
    assert (announced.header("connection"), silent.header("connection")) == ("close", "keep-alive")
    for answer in (announced, silent):
        assert answer.ended == "eof"
        assert dechunk(answer.raw_body)[1] is True


async def test_after_end_sends_bytes_behind_a_complete_response(upstream: ReplayUpstream) -> None:
    answer = await ask(upstream, message(stream=True), fault="after-end|close", to_eof=True)
    assert dechunk(answer.raw_body)[1:] == (True, EXTRA_RESPONSE_BYTES)


async def test_faults_of_streams_leave_a_json_answer_as_it_is(upstream: ReplayUpstream) -> None:
    answer = await ask(upstream, message(), fault="error-event:api_error|crlf|garbage|pings|cut:event=4")
    assert answer.json()["stop_reason"] == "end_turn"


async def test_a_place_the_answer_does_not_have_is_named(upstream: ReplayUpstream) -> None:
    answer = await ask(upstream, message(stream=True, max_tokens=1), fault="cut:event=99")
    assert answer.status == 400
    assert "the answer has only 7 events" in answer.json()["error"]["message"]


async def test_a_fault_that_cannot_be_read_is_named(upstream: ReplayUpstream) -> None:
    answer = await ask(upstream, message(), fault="explode")
    assert answer.status == 400
    assert answer.json()["error"]["message"].startswith("x-replay-fault: no fault is called 'explode'")


async def test_a_storm_hits_so_many_requests_and_then_ends(upstream: ReplayUpstream) -> None:
    upstream.faults.push("status:529", times=3)
    upstream.faults.push("error:oauth_revoked")
    statuses = [(await ask(upstream, message(stream=True))).status for _ in range(5)]
    assert statuses == [529, 529, 529, 403, 200]


async def test_a_sequence_spares_other_paths(upstream: ReplayUpstream) -> None:
    upstream.faults.push("status:500")
    assert (await ask(upstream, target="/v1/models")).status == 200
    assert (await ask(upstream, message())).status == 500
    assert (await ask(upstream, message())).status == 200


async def test_leaving_the_upstream_drops_what_hangs() -> None:
    async with ReplayUpstream(faults="hang:event=1;times=forever") as upstream:
        async with connected(upstream) as connection:
            await connection.send(body=message(stream=True))
            await connection.until(b"message_start")
            await upstream.__aexit__(None, None, None)
            async with asyncio.timeout(LIMIT):
                await connection.reader.read()
        assert connection.reader.at_eof()
        assert upstream.requests[0].finished == "cut"
        assert upstream.open_streams == 0
