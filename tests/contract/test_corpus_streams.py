"""Every golden stream through the whole gateway: what the client gets, and what the ledger says of it.

The manifest says what each stream is. What a client must get of it is worked out here from the file and its
manifest entry alone, by code that shares nothing with the gateway.
"""

from __future__ import annotations

import json
import re
import tomllib
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any, Final

import pytest
import pytest_asyncio

from gateway.config import StreamMode
from gateway.replay.fixtures import default_corpus
from tests.contract.harness import Served, envelope, serving
from tests.replay.raw_client import RawResponse, message

pytestmark = pytest.mark.asyncio(loop_scope="module")

FIXTURES: Final = Path(__file__).parents[2] / "fixtures"
STREAMS: Final[list[dict[str, Any]]] = tomllib.loads((FIXTURES / "manifest.toml").read_text())["stream"]
BOM: Final = b"\xef\xbb\xbf"
STATUS_OF: Final = {
    "invalid_request_error": 400,
    "billing_error": 402,
    "permission_error": 403,
    "not_found_error": 404,
    "request_too_large": 413,
    "rate_limit_error": 429,
    "api_error": 500,
    "timeout_error": 504,
    "overloaded_error": 529,
    # Of the gateway's own account, so it must not look like one of the client's.
    "authentication_error": 502,
}
STREAMED_BLOCKS: Final = {
    "text",
    "thinking",
    "tool_use",
    "server_tool_use",
    "mcp_tool_use",
    "compaction",
}

FRAME: Final = re.compile(rb"(?:[^\r\n]+(?>\r\n|\n|\r))*+(?>\r\n|\n|\r)")
MESSAGE_STOP: Final = b'event: message_stop\ndata: {"type":"message_stop"}\n\n'


ENDS: Final = ("event_after_stop", "event_after_error")


def by_verdict(*verdicts: str, keep: Callable[[dict[str, Any]], bool] = lambda _: True) -> Any:
    """Parametrize a test with the streams of these verdicts."""
    chosen = [entry for entry in STREAMS if entry["verdict"] in verdicts and keep(entry)]
    assert chosen
    return pytest.mark.parametrize("entry", chosen, ids=[entry["name"] for entry in chosen])


def file_of(entry: dict[str, Any]) -> bytes:
    return default_corpus().read("stream", entry["name"])


def frames(data: bytes) -> list[bytes]:
    """Split into pieces that each end with a blank line; what has none behind it is left out."""
    found = []
    rest = data.removeprefix(BOM)
    while match := FRAME.match(rest):
        found.append(match[0])
        rest = rest[match.end() :]
    return found


def is_event(frame: bytes) -> bool:
    return any(line.startswith((b"event", b"data")) for line in re.split(rb"\r\n|\n|\r", frame))


def payload_of(frame: bytes) -> dict[str, Any]:
    """Return the data of a legal event."""
    data = b"\n".join(
        line.removeprefix(b"data:") for line in re.split(rb"\r\n|\n|\r", frame) if line.startswith(b"data:")
    )
    return json.loads(data) if data else {}


def shows_content(frame: bytes) -> bool:
    """Whether a legal event is content: something that a client would miss."""
    match payload_of(frame):
        case {"type": "content_block_delta" | "content_block_stop" | "message_delta"}:
            return True
        case {"type": "content_block_start", "content_block": {"type": kind}}:
            return kind not in STREAMED_BLOCKS
    return False


def legal_part(entry: dict[str, Any]) -> list[bytes]:
    """Return the whole frames before the one that is at fault; all of them where none is."""
    whole = frames(file_of(entry))
    if entry["verdict"] == "upstream_error":
        end = next(n for n, frame in enumerate(whole) if b"event: error" in frame or b"event:error" in frame)
        return whole[:end]
    if entry["verdict"] != "violation":
        return whole
    events = 0
    for number, frame in enumerate(whole):
        events += is_event(frame)
        if events == entry["event"]:
            return whole[:number]
    return whole


def until_the_end(entry: dict[str, Any]) -> list[bytes]:
    """Return the frames up to the one that ends the stream."""
    whole = frames(file_of(entry))
    ends = (n for n, frame in enumerate(whole) if payload_of(frame).get("type") in ("message_stop", "error"))
    return whole[: next(ends) + 1]


def commits(entry: dict[str, Any]) -> bool:
    """Whether a client sees the beginning of this stream, because there is content in it."""
    return any(shows_content(frame) for frame in legal_part(entry) if is_event(frame))


def last_event(body: bytes) -> tuple[bytes, dict[str, Any]]:
    """Split off an error event that ends a body."""
    before, name, data = body.rpartition(b"event: error\ndata: ")
    assert name, body[-300:]
    assert data.endswith(b"\n\n")
    assert data.count(b"\n") == 2
    return before, json.loads(data)


async def play(served: Served, entry: dict[str, Any]) -> RawResponse:
    return await served.ask(message(stream=True, model=f"replay-{entry['name']}"))


def check_record(served: Served, answer: RawResponse, entry: dict[str, Any]) -> None:
    """Compare what the ledger says of a stream with what the manifest does."""
    record = served.ledger.of(answer)
    assert record.outcome == entry["verdict"]
    assert record.code == entry.get("code")
    assert record.status == answer.status
    assert record.stop_reason == entry.get("stop_reason")
    assert without_nulls(record.usage) == entry.get("usage")
    if answer.status == 200:
        assert record.bytes_out == len(answer.body)


def without_nulls(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: without_nulls(member) for name, member in value.items() if member is not None}
    return [without_nulls(member) for member in value] if isinstance(value, list) else value


@by_verdict("complete")
async def test_a_complete_stream_arrives_byte_for_byte(served: Served, entry: dict[str, Any]) -> None:
    answer = await play(served, entry)
    assert (answer.status, answer.ended) == (200, "complete")
    assert answer.header("content-type") == "text/event-stream; charset=utf-8"
    assert answer.body == b"".join(until_the_end(entry))
    if entry["name"] != "framing-trailing-comment":  # a comment behind the end, which is the end
        assert answer.body == file_of(entry).removeprefix(BOM)
    check_record(served, answer, entry)


@by_verdict("repaired")
async def test_a_stream_that_lacks_only_its_last_event_gets_it(served: Served, entry: dict[str, Any]) -> None:
    answer = await play(served, entry)
    assert (answer.status, answer.ended) == (200, "complete")
    assert answer.body == b"".join(frames(file_of(entry))) + MESSAGE_STOP
    check_record(served, answer, entry)


@by_verdict("truncated", "violation", keep=lambda entry: entry.get("code") not in ENDS)
async def test_a_broken_stream_ends_in_one_error_event_or_never_begins(
    served: Served, entry: dict[str, Any]
) -> None:
    answer = await play(served, entry)
    if not commits(entry):
        error = envelope(answer, 502, "api_error")
        assert entry.get("code", "") in error["message"]
        assert answer.header("retry-after") == "1"
    else:
        assert (answer.status, answer.ended) == (200, "complete")
        before, payload = last_event(answer.body)
        assert before == b"".join(legal_part(entry))
        assert payload["type"] == "error"
        assert payload["error"]["type"] == "api_error"
        assert payload["request_id"] == answer.header("request-id")
        assert entry.get("code", "") in payload["error"]["message"]
    check_record(served, answer, entry)


@by_verdict("violation", keep=lambda entry: entry.get("code") in ENDS)
async def test_what_follows_the_end_of_a_stream_never_arrives(served: Served, entry: dict[str, Any]) -> None:
    answer = await play(served, entry)
    assert (answer.status, answer.ended) == (200, "complete")
    assert answer.body == b"".join(until_the_end(entry))
    # Whether the gateway still reads what nobody will get depends on how the network cuts the bytes.
    assert served.ledger.of(answer).code in (None, entry["code"])


@by_verdict("upstream_error")
async def test_an_error_event_comes_as_such_after_content_and_as_a_status_before(
    served: Served, entry: dict[str, Any]
) -> None:
    answer = await play(served, entry)
    whole = frames(file_of(entry))
    legal = legal_part(entry)
    if commits(entry):
        assert (answer.status, answer.ended) == (200, "complete")
        assert answer.body == b"".join(whole[: len(legal) + 1])
        check_record(served, answer, entry)
        return
    kind = entry["error_type"]
    assert served.ledger.of(answer).outcome in ("refused", "upstream_error")
    assert served.ledger.of(answer).status == answer.status
    if kind == "authentication_error":
        envelope(answer, 502, "api_error")
        return
    envelope(answer, STATUS_OF.get(kind, 500), kind)
    data = next(line for line in whole[len(legal)].splitlines() if line.startswith(b"data:"))
    assert json.loads(answer.body)["error"] == json.loads(data.removeprefix(b"data:"))["error"]


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def observing() -> AsyncIterator[Served]:
    """Return a gateway that watches streams and changes nothing."""
    async with serving(stream_mode=StreamMode.OBSERVE) as running:
        yield running


@by_verdict("complete", "repaired", "truncated", "violation", "upstream_error")
async def test_in_mode_observe_the_bytes_pass_as_they_came_and_the_ledger_tells(
    observing: Served, entry: dict[str, Any]
) -> None:
    answer = await play(observing, entry)
    if entry["verdict"] == "upstream_error" and not commits(entry):
        # An honest status is no matter of the stream, which has not begun.
        assert answer.status == STATUS_OF.get(entry["error_type"], 500)
        return
    assert (answer.status, answer.ended) == (200, "complete")
    assert answer.body == file_of(entry)
    check_record(observing, answer, entry)


async def test_every_verdict_is_played_both_before_and_after_content() -> None:
    for verdict in ("truncated", "violation", "upstream_error"):
        committed = [commits(entry) for entry in STREAMS if entry["verdict"] == verdict]
        assert {True, False} == set(committed), verdict
