"""What is told of by itself while somebody watches: requests in flight, requests that ended, and how all is."""

from __future__ import annotations

import asyncio
from collections import Counter, deque
from collections.abc import Generator, Sequence
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from typing import Final

from attrs import define, field

from gateway.controlplane.board import Board
from gateway.controlplane.health import ProcessVitals, Vitals
from gateway.controlplane.lane import Edge
from gateway.controlplane.live import LiveHub
from gateway.controlplane.request_views import RequestView, request_view
from gateway.controlplane.streams import MachineState, StreamsState, StreamView, change_between
from gateway.controlplane.worker_reports import WorkerFiles, WorkerReport
from gateway.ledger.record import RequestRecord
from gateway.ledger.row import RequestRow
from gateway.store.errors import StoreError
from gateway.store.request_following import Follower
from gateway.telemetry.logs import exception_facts, get_logger

__all__ = ["EndedRequests", "HealthFeed", "OtherHosts", "StreamsFeed", "WorkerReporter"]

_log = get_logger(__name__)

_SECONDS: Final = 0.5
_MANY: Final = 200
_SECONDS_OF_MANY: Final = 1.0
"""Between two looks, where there are more requests than that."""
_HEALTH_SECONDS: Final = 2.0
_HOSTS_SECONDS: Final = 2.0
_MOST_SHOWN: Final = 2000
"""Requests in flight, of all workers."""
_AT_A_TIME: Final = 50
"""Requests of other hosts that are told of before streams have their turn."""
_ENDED: Final = 200
"""Requests that ended of which a worker tells the first one."""


@define(eq=False)
class EndedRequests:
    """Tells of each request that ends in this process, as soon as its record is durable."""

    hub: LiveHub

    def settled(self, record: RequestRecord) -> None:
        """Tell of a request; costs next to nothing while nobody watches."""
        self.hub.publish_if_watched("request", lambda: request_view(RequestRow.of(record)))


@define(eq=False)
class OtherHosts:
    """Tells of requests that ended on any host, where several use one database."""

    hub: LiveHub
    follower: Follower
    _knows_all: bool = field(default=False, init=False)
    """Whether the last look has found all that there was."""

    async def run(self) -> None:
        """Look while somebody watches, until the hub is closed."""
        hub = self.hub
        while not hub.closed:
            await hub.until_watched("request")
            self._knows_all = False
            # What came before is no news; whoever watched earlier has missed it.
            hub.skip("request")
            with _harmless():
                await self.follower.look(only_count=True)
                self._knows_all = True
            while hub.is_watched("request") and not hub.closed:
                await hub.nap(_HOSTS_SECONDS)
                with _harmless():
                    await self._look()

    async def _look(self) -> None:
        knew_all, self._knows_all = self._knows_all, False
        rows = await self.follower.look(only_count=not knew_all)
        self._knows_all = True
        if not knew_all or self.follower.left_out:
            # While it was away others have written what comes late, and what is old is no news.
            self.hub.reset("request", "the database was away, or too much ended")
            return
        for number, row in enumerate(rows, start=1):
            self.hub.publish("request", request_view(row))
            if number % _AT_A_TIME == 0:
                await asyncio.sleep(0)


@define(eq=False)
class HealthFeed:
    """Tells how the gateway is."""

    hub: LiveHub
    vitals: Vitals
    files: WorkerFiles | None

    async def run(self) -> None:
        """Look while somebody watches, until the hub is closed."""
        hub = self.hub
        while not hub.closed:
            await hub.until_watched("health")
            while hub.is_watched("health") and not hub.closed:
                knows_all = True
                with _harmless():
                    others = [] if self.files is None else await asyncio.to_thread(_reports, self.files)
                    knows_all = self.files is None or self.files.has_all(others)
                    view = await self.vitals.look((report.health for report in others), are_all=knows_all)
                    hub.update("health", view, lambda view=view: view)
                await hub.nap(_HEALTH_SECONDS if knows_all else _SECONDS)
            hub.forget("health")


def _reports(files: WorkerFiles) -> list[WorkerReport]:
    files.mark_watched()
    return files.read()


@define(eq=False)
class StreamsFeed:
    """Tells of the requests in flight and of the edges of the state machine."""

    hub: LiveHub
    board: Board
    files: WorkerFiles | None
    tells_ended: bool = True
    """Whether to tell what ended in other workers; not where that is read from the database."""
    _known: dict[str, StreamView] = field(factory=dict, init=False)
    _told_streams: bool = field(default=False, init=False)
    _not_shown: int = field(default=0, init=False)
    _machine: MachineState | None = field(default=None, init=False)
    _since: float = field(default=0.0, init=False)
    _told: dict[int, tuple[int, int]] = field(factory=dict, init=False)
    """By worker, which process it is and the number of the last ended request that was told of."""

    async def run(self) -> None:
        """Look while somebody watches, until the hub is closed."""
        hub = self.hub
        tells_ended = self.files is not None and self.tells_ended
        topics = ("streams", "machine", "request") if tells_ended else ("streams", "machine")
        while not hub.closed:
            await hub.until_watched(*topics)
            with _harmless():
                await self.board.begin()
            self._since = _now()
            self._told.clear()
            if tells_ended:
                hub.skip("request")
            try:
                while hub.is_watched(*topics) and not hub.closed:
                    with _harmless():
                        await self._look()
                    await hub.nap(_SECONDS_OF_MANY if len(self._known) > _MANY else _SECONDS)
            finally:
                self.board.end()
                self._known.clear()
                self._told_streams, self._machine = False, None
                # Before anything is awaited: whoever joins meanwhile must not be shown that there are none.
                hub.forget("streams")
                hub.forget("machine")
                if self.files is not None:
                    await asyncio.to_thread(self.files.unmark_watched)

    async def _look(self) -> None:
        others = [] if self.files is None else await asyncio.to_thread(_reports, self.files)
        views = await self.board.look()
        not_shown = self.board.not_shown + sum(report.not_shown for report in others)
        for report in others:
            views += report.streams
            if self.tells_ended:
                self._tell_ended(report)
        not_shown += max(0, len(views) - _MOST_SHOWN)
        self._tell_streams(views[:_MOST_SHOWN], not_shown)
        self._tell_machine(others)

    def _tell_streams(self, views: Sequence[StreamView], not_shown: int) -> None:
        change = change_between(self._known, views)
        change.at, change.not_shown = round(_now(), 3), not_shown
        is_news = change.came or change.changed or change.gone or not_shown != self._not_shown
        if not is_news and self._told_streams:
            return
        self._told_streams, self._not_shown = True, not_shown
        self._known = {view.id: view for view in views}
        self.hub.update("streams", change, lambda: self._whole(change))

    def _whole(self, last: StreamsState) -> StreamsState:
        return StreamsState(
            whole=True, at=last.at, came=list(self._known.values()), changed=[], gone=[], not_shown=last.not_shown
        )

    def _tell_machine(self, others: Sequence[WorkerReport]) -> None:
        edges: Counter[Edge] = Counter(self.board.edges)
        states = Counter(self.board.states)
        for report in others:
            for state, event, count in report.edges:
                edges[state, event] += count
            states.update(report.states)
        machine = MachineState(
            since=self._since,
            edges=[(state, event, count) for (state, event), count in sorted(edges.items())],
            states=dict(states),
        )
        if machine != self._machine:
            self._machine = machine
            self.hub.update("machine", machine, lambda: machine)

    def _tell_ended(self, report: WorkerReport) -> None:
        worker, pid = report.health.worker, report.health.pid
        last = max((number for number, _ in report.ended), default=0)
        known, told = self._told.get(worker, (pid, last))
        if known != pid:
            # It was started again, and counts anew; what the one before it said last may not have been read.
            told = 0
            self.hub.skip("request")
        if report.ended and report.ended[0][0] > told + 1:
            self.hub.skip("request")
        for number, view in report.ended:
            if number > told:
                self.hub.publish("request", view)
        self._told[worker] = pid, max(told, last)


@define(eq=False)
class WorkerReporter:
    """Tells the first worker of the requests of this one, while somebody watches there."""

    board: Board
    vitals: ProcessVitals
    files: WorkerFiles
    _ended: deque[tuple[int, RequestView]] = field(factory=lambda: deque(maxlen=_ENDED), init=False)
    _number: int = field(default=0, init=False)
    _watched: bool = field(default=False, init=False)

    def settled(self, record: RequestRecord) -> None:
        """Take note of a request that ended."""
        if self._watched:
            self._number += 1
            self._ended.append((self._number, request_view(RequestRow.of(record))))

    async def run(self, stopped: asyncio.Event) -> None:
        """Look while somebody watches, until told to stop."""
        while not stopped.is_set():
            with _harmless():
                await self._look()
            with suppress(TimeoutError):
                async with asyncio.timeout(_SECONDS):
                    await stopped.wait()
        await asyncio.to_thread(self.files.remove)

    async def _look(self) -> None:
        watched = await asyncio.to_thread(self.files.is_watched)
        if watched != self._watched:
            self._watched = watched
            if watched:
                await self.board.begin()
            else:
                self.board.end()
                self._ended.clear()
                await asyncio.to_thread(self.files.remove)
        if not watched:
            return
        streams = await self.board.look()
        report = WorkerReport(
            at=_now(),
            health=self.vitals.look(),
            streams=streams,
            not_shown=self.board.not_shown,
            edges=[(state, event, count) for (state, event), count in self.board.edges.items()],
            states=dict(self.board.states),
            ended=list(self._ended),
        )
        await asyncio.to_thread(self.files.write, report)


@contextmanager
def _harmless() -> Generator[None]:
    """Log what goes wrong: what people are shown is not worth a gateway."""
    try:
        yield
    except StoreError:
        # The health says so.
        pass
    except Exception as error:  # noqa: BLE001 - whatever it is
        _log.error("a defect in what is shown of this gateway", **exception_facts(error))


def _now() -> float:
    return datetime.now(UTC).timestamp()
