"""curl: bytes as they come, and honest heads."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

import pytest

from gateway.replay.fixtures import default_corpus
from gateway.replay.server import ReplayUpstream
from tests.e2e.conftest import give_up
from tests.e2e.stage import Place, behind_gateway

BODY = '{"model":"claude-opus-5-5","max_tokens":256,"stream":true,"messages":[{"role":"user","content":"hi"}]}'
LIMIT = 30


@pytest.fixture(autouse=True)
def curl() -> str:
    found = shutil.which("curl")
    if found is None:
        give_up("curl is not installed")
    return found


def arguments(place: Place, *more: str, key: str | None = None) -> list[str]:
    headers = [f"x-api-key: {key or place.key}", "anthropic-version: 2023-06-01", "content-type: application/json"]
    given = [part for header in headers for part in ("-H", header)]
    return ["curl", "-sS", "-N", "--noproxy", "*", f"{place.base_url}/v1/messages", *given, "-d", BODY, *more]


@asynccontextmanager
async def running(command: list[str]) -> AsyncGenerator[asyncio.subprocess.Process]:
    process = await asyncio.create_subprocess_exec(*command, stdout=asyncio.subprocess.PIPE)
    try:
        yield process
    finally:
        if process.returncode is None:
            process.kill()
        await process.communicate()


async def output_of(command: list[str]) -> bytes:
    async with running(command) as process, asyncio.timeout(LIMIT):
        output, _ = await process.communicate()
    return output


@pytest.mark.parametrize("events", [4, 5, 12])
async def test_an_event_arrives_before_the_next_one_is_sent(place: Place, events: int) -> None:
    place.upstream.faults.push(f"hang:event={events}")
    async with running(arguments(place)) as process:
        assert process.stdout is not None
        async with asyncio.timeout(LIMIT):
            for _ in range(events):
                arrived = await process.stdout.readuntil(b"\n\n")
        assert arrived.startswith(b"event: content_block_delta\n")
        # The upstream has not said another word since.
        assert place.upstream.open_streams == 1
        process.terminate()
        await place.upstream.wait_for(lambda: not place.upstream.open_streams)
    assert [request.finished for request in place.upstream.requests] == ["client_gone"]


async def test_the_head_is_that_of_an_unbuffered_event_stream(place: Place) -> None:
    head, _, body = (await output_of(arguments(place, "-i"))).partition(b"\r\n\r\n")
    status, *lines = head.decode().splitlines()
    headers = {name.lower(): value for name, value in (line.split(": ", 1) for line in lines)}
    assert status == "HTTP/1.1 200 OK"
    assert headers["content-type"] == "text/event-stream; charset=utf-8"
    assert headers["cache-control"] == "no-cache"
    assert headers["x-accel-buffering"] == "no"
    assert headers["transfer-encoding"] == "chunked"
    assert headers["request-id"] == place.upstream.requests[0].request_id
    assert headers["x-gateway-request-id"] == place.records[0].id
    assert not {"content-length", "content-encoding", "set-cookie"} & headers.keys()
    assert body.splitlines()[-2].startswith(b'data: {"type":"message_stop"')


@pytest.mark.parametrize("more", [(), ("--http1.0",), ("--compressed",)])
@pytest.mark.parametrize("name", ["advisor", "big-tool-input", "thinking-interleaved-tools"])
async def test_the_bytes_are_the_upstreams(place: Place, name: str, more: tuple[str, ...]) -> None:
    output = await output_of(arguments(place, "-H", f"x-replay-stream: {name}", *more))
    assert output == default_corpus().read("stream", name)


@pytest.mark.parametrize(
    "name",
    [
        "broken-duplicate-message-start",
        "broken-duplicate-message-start-in-block",
        "broken-block-index-gap",
        "broken-invalid-utf8-lone-continuation",
    ],
)
async def test_in_mode_observe_broken_streams_pass_as_they_are(name: str) -> None:
    async with behind_gateway(ReplayUpstream(), {"GATEWAY_STREAM_MODE": "observe"}) as place:
        output = await output_of(arguments(place, "-H", f"x-replay-stream: {name}"))
        assert output == default_corpus().read("stream", name)
        assert [record.outcome for record in place.records] == ["violation"]


@pytest.mark.parametrize(
    ("fault", "status", "kind"),
    [
        ("status:529", 529, "overloaded_error"),
        ("status:429;retry-after=7", 429, "rate_limit_error"),
        ("error-event:overloaded_error;event=0", 529, "overloaded_error"),
        ("error-event:rate_limit_error;event=3", 429, "rate_limit_error"),
        ("cut:event=2", 502, "api_error"),
        ("eof:event=1", 502, "api_error"),
        ("garbage;event=1", 502, "api_error"),
        ("refuse", 502, "api_error"),
    ],
)
async def test_what_fails_before_content_has_the_status_of_an_error(
    place: Place, fault: str, status: int, kind: str
) -> None:
    place.upstream.faults.push(fault)
    output = (await output_of(arguments(place, "-w", "\n%{http_code} %{content_type}"))).decode()
    body, _, rest = output.rpartition("\n")
    assert rest == f"{status} application/json"
    assert f'"type":"{kind}"' in body


async def test_what_fails_after_content_ends_in_one_error_event_and_a_clean_end(place: Place) -> None:
    place.upstream.faults.push("cut:event=8")
    async with running(arguments(place)) as process, asyncio.timeout(LIMIT):
        output, _ = await process.communicate()
    assert process.returncode == 0
    *_, last, rest = output.decode().split("\n\n")
    assert last.startswith('event: error\ndata: {"type":"error","error":{"type":"api_error"')
    assert rest == ""


async def test_a_wrong_key_is_refused_for_good(place: Place) -> None:
    output = (await output_of(arguments(place, "-i", key="csg_wrong"))).decode()
    head, _, body = output.partition("\r\n\r\n")
    assert head.startswith("HTTP/1.1 401 ")
    assert "x-should-retry: false" in head.lower()
    assert '"type":"authentication_error"' in body
    assert place.upstream.requests == []


async def test_a_ping_comes_when_the_upstream_is_silent() -> None:
    upstream = ReplayUpstream()
    upstream.faults.push("hang:event=8")
    async with (
        behind_gateway(upstream, {"GATEWAY_TIMEOUTS__PING_INTERVAL_SECONDS": "0.2"}) as place,
        running(arguments(place)) as process,
        asyncio.timeout(LIMIT),
    ):
        assert process.stdout is not None
        events = [await process.stdout.readuntil(b"\n\n") for _ in range(10)]
    assert [event.split(b"\n")[0] for event in events[8:]] == [b"event: ping"] * 2
