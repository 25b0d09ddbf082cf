"""The live feed: what a page is told, what it is told again, and what it cannot do to others."""

from __future__ import annotations

import asyncio
import socket
from typing import Any

import pytest
from attrs import define, field
from hypothesis import given
from hypothesis import strategies as st

from gateway.controlplane.api import live
from gateway.controlplane.live import EVENTS, STATES, LiveHub, Viewer
from tests.contract.harness import serving
from tests.controlplane.api_client import ApiClient
from tests.controlplane.feed_reader import FeedReader, watching
from tests.controlplane.visitors import dashboard
from tests.replay.raw_client import LIMIT

TOKEN = "a-token-of-the-operators-own"
EVENTS_ONLY = "?topics=request,changed,job"


def the_hub() -> LiveHub:
    """Return the hub of the gateway that runs in this process."""
    (found,) = [one for one in _hubs if not one.closed]
    return found


_hubs: list[LiveHub] = []


@pytest.fixture(autouse=True)
def known_hubs(monkeypatch: pytest.MonkeyPatch) -> None:
    """Know the hubs that gateways make."""
    _hubs.clear()
    made = LiveHub.__init__

    def keep(self: LiveHub, *args: Any, **kwargs: Any) -> None:
        made(self, *args, **kwargs)
        _hubs.append(self)

    monkeypatch.setattr(LiveHub, "__init__", keep)


async def test_a_page_that_comes_back_is_told_what_it_has_missed_and_nothing_twice() -> None:
    async with serving(control=True, control_token=TOKEN) as served:
        url, hub = served.gateway.control_url, the_hub()
        async with watching(url, TOKEN) as reader:
            hub.changed("accounts")
            assert await reader.until("changed") == {"what": "accounts"}
            last = reader.last_id
        hub.changed("keys")
        hub.publish("job", {"id": "one"})
        for came_back in (
            watching(url, TOKEN, EVENTS_ONLY, last_event_id=last),
            watching(url, TOKEN, f"{EVENTS_ONLY}&last_event_id={last}"),
        ):
            async with came_back as reader:
                assert (await reader.next()).data == {"what": "keys"}
                assert (await reader.next()).data == {"id": "one"}
                assert reader.last_id > last
        # From a gateway that ran before, or nonsense: all has to be read again.
        for unknown in ("00000000-1", "nonsense", f"{hub.boot}-999"):
            async with watching(url, TOKEN, EVENTS_ONLY, last_event_id=unknown) as reader:
                assert (await reader.next()).topic == "reset"
                hub.changed("users")
                assert (await reader.next()).data == {"what": "users"}
        # Of the topics that were asked for, and no others.
        async with watching(url, TOKEN, "?topics=job", last_event_id=last) as reader:
            assert (await reader.next()).data == {"id": "one"}


async def test_who_may_watch_and_with_which_headers() -> None:
    async with serving(control=True, control_token=TOKEN) as served:
        url = served.gateway.control_url or ""
        status, _ = await ApiClient(url).get("/api/v1/live")
        assert status == 401
        client = ApiClient(url, TOKEN)
        status, answer = await client.get("/api/v1/live?topics=streams,gossip")
        assert (status, answer["error"]["type"]) == (400, "invalid_request_error")
        assert "gossip" in answer["error"]["message"]
        assert (await client.ask("HEAD", "/api/v1/live")).status == 200
        async with watching(url, TOKEN) as reader:
            headers = reader.response.headers
            assert headers["content-type"] == "text/event-stream"
            assert headers["cache-control"] == "no-store"
            assert headers["x-content-type-options"] == "nosniff"
            assert "default-src 'none'" in headers["content-security-policy"]
            assert headers["x-accel-buffering"] == "no"


async def test_there_are_so_many_viewers_and_no_more_and_the_end_of_the_gateway_ends_them_at_once() -> None:
    async with serving(control=True, control_token=TOKEN) as served:
        url, hub = served.gateway.control_url or "", the_hub()
        viewers = [hub.join(EVENTS) for _ in range(31)]
        async with watching(url, TOKEN, EVENTS_ONLY) as reader:
            status, answer = await ApiClient(url, TOKEN).get("/api/v1/live")
            assert status == 503
            assert "Too many pages" in answer["error"]["message"]
            for viewer in viewers:
                hub.leave(viewer)
            served_until = asyncio.get_running_loop().time()
            hub.close()
            assert (await reader.next()).topic == ""
            assert asyncio.get_running_loop().time() - served_until < LIMIT
            assert (await ApiClient(url, TOKEN).get("/api/v1/live"))[0] == 503
        assert hub.viewers == 0


async def test_a_browser_that_reads_nothing_delays_neither_another_one_nor_a_stream() -> None:
    async with serving(control=True, control_token=TOKEN) as served:
        url, hub = served.gateway.control_url or "", the_hub()
        host, port = url.removeprefix("http://").split(":")
        with socket.socket() as stuck:
            stuck.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            stuck.setblocking(False)  # noqa: FBT003 - the standard library's own
            loop = asyncio.get_running_loop()
            await loop.sock_connect(stuck, (host, int(port)))
            ask = f"GET /api/v1/live?topics=job HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {TOKEN}\r\n\r\n"
            await loop.sock_sendall(stuck, ask.encode())
            async with watching(url, TOKEN, "?topics=job") as reader:
                async with asyncio.timeout(LIMIT):
                    while hub.viewers < 2:  # noqa: ASYNC110 - the hub tells nobody of its viewers
                        await asyncio.sleep(0.01)
                for number in range(8000):
                    hub.publish("job", {"number": number, "words": "x" * 1000})
                    if number % 100 == 0:
                        assert (await reader.until("job", lambda job, n=number: job["number"] == n)) is not None
                await served.assert_serves()
                await reader.until("job", lambda job: job["number"] == 7999)
                # Megabytes were meant for it, and what is kept for it is bounded.
                assert max(viewer._bytes for viewer in hub._viewers) < 3 * 2**20


async def test_signing_out_ends_the_feeds_of_the_session_and_no_others(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(live, "_CHECK_SECONDS", 0.05)
    async with dashboard() as place:
        ana, bob = await place.add("ana"), await place.add("bob")
        feeds = [
            watching(place.url, "", EVENTS_ONLY, cookie=f"{name}={value}")
            for browser in (ana, bob)
            for name, value in browser.cookies.items()
        ]
        async with feeds[0] as of_ana, feeds[1] as of_bob:
            assert (await ana.ask("DELETE", "/api/v1/session")).status == 204
            while (await of_ana.next()).topic:
                pass
            the_hub().publish("job", "still here")
            assert (await of_bob.next()).data == "still here"


def test_a_viewer_that_cannot_keep_up_is_told_so_and_gets_the_newest_whole_state() -> None:
    async def run() -> None:
        hub = LiveHub()
        state = {"value": 0}
        viewer = hub.join([*EVENTS, *STATES])
        viewer.take()
        for value in range(5):
            state["value"] = value
            hub.update("health", {"change": value}, lambda: {"whole": dict(state)})
        assert parse(viewer.take()) == [("health", '{"whole":{"value":4}}')]
        hub.update("health", {"change": 5}, lambda: {"whole": dict(state)})
        assert parse(viewer.take()) == [("health", '{"change":5}')]
        for number in range(5000):
            hub.publish("job", number)
        told = parse(viewer.take())
        assert told[0][0] == "reset"
        assert told[-2] == ("job", "4999")
        assert told[-1][0] == "health"

    asyncio.run(run())


def parse(told: bytes) -> list[tuple[str, str]]:
    """Return topics and data of what a viewer is sent."""
    found = []
    for part in told.decode().split("\n\n"):
        named = dict(line.split(": ", 1) for line in part.split("\n") if line)
        if "data" in named and named["event"] != "start":
            found.append((named["event"], named["data"]))
    return found


def ids(told: bytes) -> list[str]:
    """Return all ids of what a viewer is sent."""
    return [line[4:] for line in told.decode().split("\n") if line.startswith("id: ")]


@define
class Page:
    """One that comes and goes, and adds up what it was told."""

    hub: LiveHub
    viewer: Viewer | None = None
    last: str = ""
    told: list[int] = field(factory=list)
    due: list[int] = field(factory=list)
    """What it has to be told, as far as it was not told that something is missing."""
    skipped: bool = False
    happened: int = 0

    def publish(self, topic: str, size: int) -> None:
        self.happened += 1
        self.hub.publish(topic, f"{self.happened}{'x' * size}")
        self.due.append(self.happened)

    def skip(self, topic: str, _size: int) -> None:
        # What is watched is told.
        if self.viewer is None:
            self.happened += 1
            self.hub.skip(topic)
            self.skipped = True

    def take(self, *_: object) -> None:
        if self.viewer is None:
            return
        sent = self.viewer.take()
        for topic, data in parse(sent):
            if topic == "reset":
                since = int(ids(sent)[0].partition("-")[2])
                self.told, self.due = [], [number for number in self.due if number > since]
                self.skipped = False
            else:
                self.told.append(int(data.strip('"').rstrip("x")))
        self.last = (ids(sent) or [self.last])[-1]
        assert self.told == self.due
        assert not self.skipped

    def leave(self, *_: object) -> None:
        if self.viewer is not None:
            self.hub.leave(self.viewer)
            self.viewer = None

    def join(self, *_: object) -> None:
        if self.viewer is None:
            self.viewer = self.hub.join(EVENTS, self.last)


_STEPS = st.lists(
    st.tuples(
        st.sampled_from([Page.publish, Page.publish, Page.skip, Page.take, Page.leave, Page.join]),
        st.sampled_from(EVENTS),
        st.sampled_from([1, 10, 400_000]),
    ),
    max_size=40,
)


@given(_STEPS)
def test_a_page_has_each_event_once_and_in_order_or_is_told_that_some_are_missing(steps: list[Any]) -> None:
    async def run() -> None:
        page = Page(LiveHub())
        page.join()
        page.take()
        for step, topic, size in steps:
            step(page, topic, size)
        page.join()
        page.take()

    asyncio.run(run())


async def test_a_page_that_reads_on_gets_what_happens_while_it_reads() -> None:
    async with serving(control=True, control_token=TOKEN) as served:
        hub = the_hub()

        async def read(reader: FeedReader) -> list[int]:
            return [(await reader.next()).data for _ in range(200)]

        async with (
            watching(served.gateway.control_url, TOKEN, EVENTS_ONLY) as one,
            watching(served.gateway.control_url, TOKEN, EVENTS_ONLY) as other,
            asyncio.TaskGroup() as tasks,
        ):
            readers = [tasks.create_task(read(one)), tasks.create_task(read(other))]
            for number in range(200):
                hub.publish("job", number)
                if number % 20 == 0:
                    await asyncio.sleep(0)
        assert [task.result() for task in readers] == [list(range(200))] * 2


async def test_a_page_hears_every_few_seconds_that_its_feed_is_alive_even_if_nothing_happens(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(live, "_CHECK_SECONDS", 0.01)
    monkeypatch.setattr(live, "_BEAT_SECONDS", 0.02)
    async with (
        serving(control=True, control_token=TOKEN) as served,
        watching(served.gateway.control_url, TOKEN, EVENTS_ONLY) as reader,
        asyncio.timeout(LIMIT),
    ):
        beats = 0
        while beats < 3:
            beats += await reader.response.content.readline() == b"event: beat\n"
