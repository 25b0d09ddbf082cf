"""What happens now, told to whoever watches.

There are two kinds of topics. Of *events* each viewer is told once and in order: they are numbered, the last
ones are kept, and a viewer that was away for a moment is told of what it has missed, or that it has missed
something. Of *states* only how they are now is of interest: a viewer that cannot keep up gets the newest whole
state in the place of the changes that it has no room for.

Nobody waits for a viewer, and what is told is encoded once for all of them.
"""

from __future__ import annotations

import asyncio
import re
import secrets
from collections import deque
from collections.abc import Callable, Iterable
from contextlib import suppress
from typing import Any, Final

import msgspec
from attrs import define, field

__all__ = ["EVENTS", "STATES", "LiveHub", "Viewer"]

EVENTS: Final = ("request", "changed", "job")
STATES: Final = ("streams", "health", "machine")
_RESET: Final = "reset"
_START: Final = "start"

_MOST_VIEWERS: Final = 32
_KEPT_EVENTS: Final = 1000
_KEPT_BYTES: Final = 1024 * 1024
# More than is kept, so that whoever comes back has room for what it missed.
_QUEUED_EVENTS: Final = 2 * _KEPT_EVENTS
_QUEUED_BYTES: Final = 2 * _KEPT_BYTES
_LINGER_SECONDS: Final = 20.0
"""That a topic counts as watched after its last viewer has gone: whoever loads a page again comes back by then."""
_ID: Final = re.compile(r"([0-9a-f]{8})-([0-9]{1,15})")


@define(frozen=True)
class _Event:
    number: int
    topic: str
    frame: bytes = field(repr=False)


@define(eq=False)
class _State:
    whole: Callable[[], Any]
    _frame: bytes | None = field(default=None, repr=False, init=False)

    def frame(self, topic: str) -> bytes:
        """Return all of it as an event."""
        if self._frame is None:
            self._frame = _frame(topic, self.whole())
        return self._frame


@define(eq=False)
class Viewer:
    """What is still to be told to one viewer, bounded."""

    topics: frozenset[str]
    _hub: LiveHub
    _events: deque[bytes] = field(factory=deque, init=False)
    _bytes: int = field(default=0, init=False)
    _states: dict[str, bytes | None] = field(factory=dict, init=False)
    """Changes by topic; None where all of it is to be told."""
    _knows: set[str] = field(factory=set, init=False)
    """States that changes mean something for."""
    _news: asyncio.Event = field(factory=asyncio.Event, init=False)

    async def wait(self) -> None:
        """Return when there is something to tell, or the gateway ends."""
        await self._news.wait()

    def take(self) -> bytes:
        """Return what is to be told now."""
        self._news.clear()
        parts = list(self._events)
        self._events.clear()
        self._bytes = 0
        for topic, frame in self._states.items():
            parts.append(self._hub.whole(topic) if frame is None else frame)
            self._knows.add(topic)
        self._states.clear()
        return b"".join(parts)

    def add(self, frame: bytes) -> None:
        """Tell of an event; who has heard too little of what was said before is told that much is missing."""
        if len(self._events) >= _QUEUED_EVENTS or self._bytes + len(frame) > _QUEUED_BYTES:
            self.reset("this page could not keep up")
            return
        self._events.append(frame)
        self._bytes += len(frame)
        self._news.set()

    def change(self, topic: str, frame: bytes) -> None:
        """Tell how a state has changed."""
        if topic in self._states or topic not in self._knows:
            self._states[topic] = None
        else:
            self._states[topic] = frame
        self._news.set()

    def show(self, topic: str) -> None:
        """Tell all of a state."""
        self._states[topic] = None
        self._news.set()

    def forget(self, topic: str) -> None:
        """Tell nothing of a state that is not looked at any more."""
        self._states.pop(topic, None)
        self._knows.discard(topic)

    def reset(self, why: str) -> None:
        """Say that events are missing: what was loaded before has to be loaded again."""
        self._events.clear()
        frame = self._hub.reset_frame(why)
        self._events.append(frame)
        self._bytes = len(frame)
        for topic in STATES:
            if topic in self._knows or topic in self._states:
                self._states[topic] = None
        self._news.set()

    def wake(self) -> None:
        """Have `wait` return."""
        self._news.set()


@define(eq=False)
class LiveHub:
    """Tells all viewers what happens; nobody waits for any of them. For the event loop's thread alone."""

    linger_seconds: float = _LINGER_SECONDS
    boot: str = field(factory=lambda: secrets.token_hex(4), init=False)
    """Begins the ids of all events, so that those of a gateway that ran before are known."""
    closed: bool = field(default=False, init=False)
    _viewers: set[Viewer] = field(factory=set, init=False)
    _number: int = field(default=0, init=False)
    _kept: deque[_Event] = field(factory=deque, init=False)
    _kept_bytes: int = field(default=0, init=False)
    _missing: dict[str, int] = field(factory=dict, init=False)
    """By topic, up to which number events are not kept any more, or never were."""
    _states: dict[str, _State] = field(factory=dict, init=False)
    _left: dict[str, float] = field(factory=dict, init=False)
    """By topic, when its last viewer left, on the event loop's clock."""
    _came: asyncio.Event = field(factory=asyncio.Event, init=False)
    _ended: asyncio.Event = field(factory=asyncio.Event, init=False)

    # Telling

    def publish(self, topic: str, data: Any) -> None:
        """Tell all viewers of an event.

        Args:
            topic: `request`, `changed` or `job`.
            data: what msgspec encodes as JSON, without secrets.
        """
        self._number += 1
        frame = _frame(topic, data, f"{self.boot}-{self._number}")
        self._kept.append(_Event(self._number, topic, frame))
        self._kept_bytes += len(frame)
        while len(self._kept) > _KEPT_EVENTS or self._kept_bytes > _KEPT_BYTES:
            oldest = self._kept.popleft()
            self._kept_bytes -= len(oldest.frame)
            self._missing[oldest.topic] = oldest.number
        for viewer in self._viewers:
            if topic in viewer.topics:
                viewer.add(frame)

    def publish_if_watched(self, topic: str, make: Callable[[], Any]) -> None:
        """Tell all viewers of an event that costs something to describe; nothing is made where there are none."""
        if self.is_watched(topic):
            self.publish(topic, make())
        else:
            self.skip(topic)

    def skip(self, topic: str) -> None:
        """Say that an event, or any number of them, happened of which nobody was told."""
        self._number += 1
        self._missing[topic] = self._number

    def reset(self, topic: str, why: str) -> None:
        """Say to those who watch a topic that events of it are missing, now and when they come back later."""
        self.skip(topic)
        for viewer in self._viewers:
            if topic in viewer.topics:
                viewer.reset(why)

    def changed(self, what: str) -> None:
        """Tell all viewers that a list has changed: `accounts`, `keys`, `settings`, `users` or `canary`."""
        self.publish("changed", {"what": what})

    def update(self, topic: str, change: Any, whole: Callable[[], Any]) -> None:
        """Tell all viewers how a state has changed.

        Args:
            topic: `streams`, `health` or `machine`.
            change: JSON for those who know how it was before.
            whole: returns JSON for all others, as it is when it is called.
        """
        self._states[topic] = _State(whole)
        frame = _frame(topic, change)
        for viewer in self._viewers:
            if topic in viewer.topics:
                viewer.change(topic, frame)

    def forget(self, topic: str) -> None:
        """Say that a state is not looked at any more: what was known of it grows old."""
        self._states.pop(topic, None)
        for viewer in self._viewers:
            viewer.forget(topic)

    # Watching

    def is_watched(self, *topics: str) -> bool:
        """Whether anybody watches one of the topics, or did a moment ago."""
        if not self._viewers and not self._left:
            return False
        if any(topic in viewer.topics for viewer in self._viewers for topic in topics):
            return True
        now = asyncio.get_running_loop().time()
        return any(topic in self._left and now < self._left[topic] + self.linger_seconds for topic in topics)

    async def until_watched(self, *topics: str) -> None:
        """Return when somebody watches one of the topics, or the gateway ends."""
        while not self.closed and not self.is_watched(*topics):
            self._came.clear()
            await self._came.wait()

    async def nap(self, seconds: float) -> None:
        """Return after some time, or when the gateway ends."""
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._ended.wait()

    @property
    def viewers(self) -> int:
        """How many there are."""
        return len(self._viewers)

    @property
    def is_full(self) -> bool:
        """Whether there are as many viewers as there may be."""
        return len(self._viewers) >= _MOST_VIEWERS

    def join(self, topics: Iterable[str], last_id: str = "") -> Viewer:
        """Begin to tell a viewer; whoever joins has to leave.

        Args:
            topics: that it watches.
            last_id: of the last event that it knows; empty for none.
        """
        viewer = Viewer(frozenset(topics), self)
        self._viewers.add(viewer)
        missed = self._since(last_id, viewer.topics) if last_id else []
        if missed is None:
            viewer.reset("events are missing since this page was last connected")
        else:
            # With an id to come back with, even if nothing happens.
            start = _frame(_START, {}, f"{self.boot}-{self._number}")
            for frame in missed or [b"retry: 2000\n" + start]:
                viewer.add(frame)
        for topic in STATES:
            if topic in viewer.topics and topic in self._states:
                viewer.show(topic)
        self._came.set()
        return viewer

    def leave(self, viewer: Viewer) -> None:
        """Tell a viewer nothing any more."""
        self._viewers.discard(viewer)
        now = asyncio.get_running_loop().time()
        for topic in viewer.topics:
            if not any(topic in other.topics for other in self._viewers):
                self._left[topic] = now

    def close(self) -> None:
        """End all that watch: the gateway ends."""
        self.closed = True
        self._ended.set()
        self._came.set()
        for viewer in self._viewers:
            viewer.wake()

    def whole(self, topic: str) -> bytes:
        """Return all of a state, as an event."""
        state = self._states.get(topic)
        return b"" if state is None else state.frame(topic)

    def reset_frame(self, why: str) -> bytes:
        """Return the event that says that events are missing."""
        return _frame(_RESET, {"why": why}, f"{self.boot}-{self._number}")

    def _since(self, last_id: str, topics: frozenset[str]) -> list[bytes] | None:
        """Return the events behind one; None if some of them are not kept."""
        found = _ID.fullmatch(last_id)
        if found is None or found[1] != self.boot:
            return None
        last = int(found[2])
        if last > self._number or any(self._missing.get(topic, 0) > last for topic in topics):
            return None
        return [event.frame for event in self._kept if event.number > last and event.topic in topics]


def _frame(topic: str, data: Any, number: str = "") -> bytes:
    # msgspec puts no line end into JSON.
    head = f"id: {number}\nevent: {topic}\ndata: " if number else f"event: {topic}\ndata: "
    return head.encode() + msgspec.json.encode(data) + b"\n\n"
