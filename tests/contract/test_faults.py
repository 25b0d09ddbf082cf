"""What a client gets when the upstream fails: an honest status before content, a legal ending after it."""

from __future__ import annotations

import asyncio
import re
import socket
from typing import Any

import pytest

from gateway.config import StreamMode, Timeouts
from tests.contract.harness import MESSAGES, Served, envelope, serving
from tests.replay.raw_client import LIMIT, RawResponse, message

pytestmark = pytest.mark.asyncio(loop_scope="module")

OUR_PING = re.compile(rb'event: ping\ndata: \{"type": ?"ping"\}\n\n')


PLAYED = "text-japanese"


def model(name: str) -> dict[str, Any]:
    return {"model": f"replay-{name}"}


def names(answer: RawResponse) -> list[str]:
    return [name for name, _ in answer.events]


def error_at_the_end(answer: RawResponse, kind: str) -> dict[str, Any]:
    """Check that a stream ends in exactly one error event of a type, and return its `error` object."""
    assert (answer.status, answer.ended) == (200, "complete")
    assert names(answer).count("error") == 1
    name, payload = answer.events[-1]
    assert (name, payload["error"]["type"]) == ("error", kind)
    assert payload["request_id"] == answer.header("request-id")
    return payload["error"]


BEFORE_CONTENT = {
    "refuse": 502,
    "hang:head": 504,
    "cut:byte=0": 502,
    "cut:byte=10": 502,
    "cut:event=1": 502,
    "cut:event=3": 502,
    "cut:event=1;reset": 502,
    "eof:event=0": 502,
    "eof:event=1": 502,
    "garbage:event=0": 502,
    "garbage:event=1": 502,
    "duplicate-start:event=1": 502,
    "skip-index:0": 502,
    "wrong-name:message_stop;event=0": 502,
    "wrong-name:ping;event=1": 502,
    "gzip|cut:byte=20": 502,
}


@pytest.mark.parametrize(("fault", "status"), BEFORE_CONTENT.items(), ids=BEFORE_CONTENT)
async def test_before_content_a_broken_stream_is_an_error_with_a_status(fault: str, status: int) -> None:
    async with serving(timeouts={"upstream_head_seconds": 0.2}) as served:
        answer = await served.stream(fault=fault)
        envelope(answer, status, "timeout_error" if status == 504 else "api_error")
        assert answer.header("retry-after") is not None
        assert answer.header("x-should-retry") is None
        record = served.ledger.of(answer)
        assert record.status == status
        assert record.outcome in ("upstream_error", "truncated", "violation")
        assert len(served.upstream.requests) == 1


@pytest.mark.parametrize(
    "fault", ["refuse", "hang:head", "truncate", "truncate:chunked", "hang:byte=9", "cut:byte=0"]
)
async def test_a_message_that_breaks_off_is_an_error_with_a_status(fault: str) -> None:
    async with serving(timeouts={"upstream_head_seconds": 0.2, "upstream_idle_seconds": 0.2}) as served:
        answer = await served.ask(message(), fault=fault)
        status = 504 if fault.startswith("hang") else 502
        envelope(answer, status, "timeout_error" if status == 504 else "api_error")
        assert answer.header("retry-after") is not None


async def test_an_upstream_that_does_not_listen_is_a_502() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{taken.getsockname()[1]}"
        async with serving(anthropic_base_url=url) as served:
            for stream in (True, False):
                answer = await served.ask(message(stream=stream))
                envelope(answer, 502, "api_error")
                assert "127.0.0.1" not in answer.body.decode()


async def test_a_message_too_large_to_be_held_looks_cut_when_it_is_cut() -> None:
    async with serving(limits={"held_body_bytes": 64}) as served:
        for fault in ("truncate", "truncate:chunked"):
            answer = await served.ask(message(**model("big-text")), fault=fault, to_eof=True)
            assert answer.status == 200
            assert answer.ended in ("eof", "reset")
            if answer.header("content-length") is not None:
                assert len(answer.raw_body) < int(answer.header("content-length") or 0)
            else:
                assert not answer.raw_body.endswith(b"0\r\n\r\n")
            assert served.ledger.of(answer).outcome == "truncated"
        whole = await served.ask(message(**model("big-text")))
        assert whole.json()["type"] == "message"
        assert served.ledger.of(whole).outcome == "complete"


AFTER_CONTENT = {
    "cut:event=5": "truncated",
    "cut:event=5;reset": "truncated",
    "eof:event=5": "truncated",
    "eof:byte=1500": "truncated",
    "gzip|cut:event=6": "truncated",
    "garbage:event=5": "violation",
    "duplicate-start:event=5": "violation",
    "wrong-name:ping;event=6": "violation",
    "wrong-name:message_delta;event=6": "violation",
}


@pytest.mark.parametrize(("fault", "outcome"), AFTER_CONTENT.items(), ids=AFTER_CONTENT)
async def test_after_content_a_broken_stream_ends_in_one_error_event(
    served: Served, fault: str, outcome: str
) -> None:
    whole = await served.stream(model(PLAYED))
    answer = await served.stream(model(PLAYED), fault=fault)
    error_at_the_end(answer, "api_error")
    before = answer.body[: answer.body.rindex(b"event: error")]
    assert whole.body.startswith(before)
    assert len(before) > len(b"".join(whole.body.partition(b"content_block_delta")[:2]))
    record = served.ledger.of(answer)
    assert record.outcome == outcome
    assert (record.code is not None) == (outcome == "violation")


async def test_a_cut_inside_a_character_never_shows_half_of_it(served: Served) -> None:
    answer = await served.stream(fault="cut:utf8")
    error_at_the_end(answer, "api_error")
    assert "content_block_delta" in names(answer)
    assert answer.body.decode()


@pytest.mark.parametrize("fault", ["crlf", "one-byte", "gzip", "gzip|one-byte", "drip:200000", "close", "drop"])
async def test_an_unusual_but_legal_delivery_changes_nothing(served: Served, fault: str) -> None:
    whole = await served.stream(model(PLAYED))
    answer = await served.stream(model(PLAYED), fault=fault)
    expected = re.sub(rb"\n", b"\r\n", whole.body) if fault == "crlf" else whole.body
    assert answer.body == expected
    assert served.ledger.of(answer).outcome == "complete"
    await served.assert_serves()


IN_BAND = {
    "overloaded_error": 529,
    "rate_limit_error": 429,
    "api_error": 500,
    "timeout_error": 504,
    "invalid_request_error": 400,
    "permission_error": 403,
    "unheard_of_error": 500,
}


@pytest.mark.parametrize("place", [0, 1, 3], ids=["first", "after message_start", "after block start and ping"])
@pytest.mark.parametrize(("kind", "status"), IN_BAND.items(), ids=IN_BAND)
async def test_an_error_event_before_content_gets_the_status_of_its_type(
    served: Served, kind: str, status: int, place: int
) -> None:
    answer = await served.stream(fault=f"error-event:{kind};event={place};message=as the upstream said")
    error = envelope(answer, status, kind)
    assert error == {"type": kind, "message": "as the upstream said"}
    assert answer.header("request-id") == served.upstream.requests[0].request_id
    for name in ("x-accel-buffering", "cache-control", "content-encoding"):
        assert answer.header(name) is None


async def test_an_error_event_after_content_passes_as_it_came(served: Served) -> None:
    answer = await served.stream(fault="error-event:overloaded_error;event=6")
    assert (answer.status, answer.ended) == (200, "complete")
    assert names(answer)[-1] == "error"
    assert answer.events[-1][1] == {
        "type": "error",
        "error": {"type": "overloaded_error", "message": "Overloaded"},
    }
    record = served.ledger.of(answer)
    assert (record.outcome, record.reason) == ("upstream_error", "overloaded_error")
    talkative = await served.stream(fault="error-event:overloaded_error;event=6;goes-on")
    assert names(talkative)[-1] == "error"


async def test_no_content_for_too_long_sends_the_head_with_a_ping() -> None:
    async with serving(timeouts={"commit_deadline_seconds": 0.2}) as served:
        whole = await served.stream(model(PLAYED))
        answer = await served.stream(model(PLAYED), fault="hang:event=1;seconds=0.6")
        assert (answer.status, answer.ended) == (200, "complete")
        assert names(answer)[:2] == ["message_start", "ping"]
        start = whole.body.index(b"\n\n") + 2
        ping = OUR_PING.match(answer.body, start)
        assert ping
        assert answer.body[:start] + answer.body[ping.end() :] == whole.body


async def test_a_silent_upstream_gets_a_ping_through_before_anything_else() -> None:
    async with serving(timeouts={"commit_deadline_seconds": 0.2}) as served, served.connect() as connection:
        headers = [*served.usual, ("x-replay-fault", "hang:event=0")]
        await connection.send(MESSAGES, message(stream=True), usual=headers)
        status, _ = await connection.head()
        assert status == 200
        assert OUR_PING.search(await connection.until(b"\n\n\r\n"))
        await connection.close()
        await served.upstream.wait_for(lambda: served.upstream.requests[0].finished == "client_gone")


@pytest.mark.parametrize(
    ("fault", "kind"),
    [
        ("hang:event=1;seconds=0.5|cut:event=2", "api_error"),
        ("hang:event=1;seconds=0.5|error-event:overloaded_error;event=2", "overloaded_error"),
        ("hang:event=1;seconds=0.5|garbage:event=2", "api_error"),
        ("hang:event=1", "timeout_error"),
    ],
)
async def test_once_the_head_is_out_a_failure_is_an_error_event(fault: str, kind: str) -> None:
    times = {"commit_deadline_seconds": 0.2, "upstream_idle_seconds": 0.7}
    async with serving(timeouts=times) as served:
        answer = await served.stream(fault=fault)
        assert (answer.status, answer.ended) == (200, "complete")
        assert names(answer)[:2] == ["message_start", "ping"]
        assert names(answer).count("error") == 1
        assert answer.events[-1][1]["error"]["type"] == kind


@pytest.mark.parametrize("place", ["event=6", "byte=1400"], ids=["between events", "inside an event"])
async def test_pings_come_in_silence_and_only_between_events(place: str) -> None:
    async with serving(timeouts={"ping_interval_seconds": 0.1}) as served:
        whole = await served.stream(model(PLAYED))
        answer = await served.stream(model(PLAYED), fault=f"hang:{place};seconds=0.7")
        assert (answer.status, answer.ended) == (200, "complete")
        assert names(answer).count("ping") >= names(whole).count("ping") + 2
        assert OUR_PING.sub(b"", answer.body) == OUR_PING.sub(b"", whole.body)
        record = served.ledger.of(answer)
        assert (record.outcome, record.bytes_out) == ("complete", len(answer.body))


async def test_in_mode_observe_no_ping_falls_inside_an_event() -> None:
    async with serving(stream_mode=StreamMode.OBSERVE, timeouts={"ping_interval_seconds": 0.1}) as served:
        whole = await served.stream(model(PLAYED))
        inside = await served.stream(model(PLAYED), fault="hang:byte=1400;seconds=0.5")
        assert inside.body == whole.body
        between = await served.stream(model(PLAYED), fault="hang:event=6;seconds=0.5")
        assert names(between).count("ping") > names(whole).count("ping")


async def test_an_upstream_that_falls_silent_ends_the_stream_with_a_timeout() -> None:
    async with serving(timeouts={"upstream_idle_seconds": 0.3, "ping_interval_seconds": 0.1}) as served:
        answer = await served.stream(fault="hang:event=8")
        error = error_at_the_end(answer, "timeout_error")
        assert "incomplete" in error["message"]
        record = served.ledger.of(answer)
        assert (record.outcome, record.reason) == ("truncated", "timeout")
        await served.upstream.wait_for(lambda: served.upstream.requests[0].finished == "client_gone")


async def test_a_stream_that_takes_too_long_ends_with_a_timeout() -> None:
    async with serving(timeouts={"stream_total_seconds": 0.5}) as served:
        answer = await served.stream(fault="drip:3000", headers=[("x-replay-tokens", "500")])
        error_at_the_end(answer, "timeout_error")
        assert served.ledger.of(answer).outcome == "truncated"
        await served.upstream.wait_for(lambda: served.upstream.requests[0].finished == "client_gone")


async def test_a_message_may_take_longer_than_the_commit_deadline() -> None:
    times = {"commit_deadline_seconds": 0.1, "ping_interval_seconds": 0.1}
    async with serving(timeouts=times) as served:
        answer = await served.ask(message(), fault="hang:head;seconds=0.4")
        assert (answer.status, answer.json()["type"]) == (200, "message")
        answer = await served.ask(message(), fault="hang:byte=10;seconds=0.4")
        assert (answer.status, answer.json()["type"]) == (200, "message")


async def test_a_client_that_leaves_while_the_upstream_is_silent_ends_the_upstream_too(served: Served) -> None:
    for fault in ("hang:head", "hang:event=0", "hang:event=6"):
        served.upstream.journal.clear()
        async with served.connect() as connection:
            await connection.send(MESSAGES, message(stream=True), usual=[*served.usual, ("x-replay-fault", fault)])
            await served.upstream.wait_for(lambda: len(served.upstream.requests) == 1)
            if fault.endswith("6"):
                await connection.until(b"content_block_delta")
        await served.upstream.wait_for(lambda: served.upstream.requests[0].finished == "client_gone")
        async with asyncio.timeout(LIMIT):
            while not served.ledger.records:  # noqa: ASYNC110 - the ledger has no event to wait for
                await asyncio.sleep(0.01)
        record = served.ledger.records.pop()
        assert (record.outcome, record.stream) == ("cancelled", True)


async def test_a_connection_that_the_upstream_has_closed_is_not_used_again(served: Served) -> None:
    for _ in range(5):
        answer = await served.stream(fault="drop")
        assert names(answer)[-1] == "message_stop"
    assert len(served.upstream.requests) == 5


async def test_bytes_behind_the_end_of_an_answer_are_not_taken_for_the_next(served: Served) -> None:
    for _ in range(3):
        answer = await served.ask(message(), fault="after-end")
        assert answer.status in (200, 502)
        await served.assert_serves()


async def test_the_patience_that_is_built_in_fits_what_clients_expect() -> None:
    times = Timeouts()
    # The official SDKs wait ten minutes for a message; Claude Code warns after 20 s without a byte and gives a
    # stream up after 300 s.
    assert times.upstream_head_seconds >= 600
    assert times.commit_deadline_seconds < 20
    assert 10 <= times.ping_interval_seconds <= 30
    assert times.stream_total_seconds >= 3600
