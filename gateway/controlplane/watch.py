"""What is watched of one process, and who is told: its own viewers, or the first worker of the gateway."""

from __future__ import annotations

import asyncio
import os
from typing import Any

from attrs import define, field

from gateway.controlplane.board import Board
from gateway.controlplane.feeds import EndedRequests, HealthFeed, OtherHosts, StreamsFeed, WorkerReporter
from gateway.controlplane.health import ProcessVitals
from gateway.controlplane.parts import Parts
from gateway.controlplane.worker_reports import WorkerFiles
from gateway.ledger.in_flight import RequestsInFlight
from gateway.ledger.record import RecordObserver
from gateway.store.request_following import Follower
from gateway.store.request_queries import RequestFilter
from gateway.telemetry.loop_lag import LoopLag

__all__ = ["Watch"]


@define(eq=False)
class Watch:
    """What there is to see of this process."""

    files: WorkerFiles | None
    """By which the workers of a gateway tell each other; None where there is but one."""
    requests: RequestsInFlight = field(factory=RequestsInFlight)
    lag: LoopLag = field(factory=LoopLag)
    ended: list[RecordObserver] = field(factory=list)
    """Told of each request as soon as its record is durable."""

    def vitals(self, **sources: Any) -> ProcessVitals:
        """Return what there is to see of the process; `ProcessVitals` says what `sources` are."""
        place = 0 if self.files is None else self.files.place
        return ProcessVitals(worker=place, pid=os.getpid(), requests=self.requests, lag=self.lag, **sources)

    def show(self, parts: Parts) -> None:
        """Tell the viewers of this process, until the hub is closed."""
        hub, tasks = parts.live, parts.tasks
        files = self.files
        board = Board(self.requests)
        is_shared = parts.database.is_postgres
        tasks.create_task(StreamsFeed(hub, board, files, tells_ended=not is_shared).run(), name="show-streams")
        tasks.create_task(HealthFeed(hub, parts.vitals, files).run(), name="show-health")
        if not is_shared:
            self.ended.append(EndedRequests(hub))
            return
        follower = Follower(parts.requests, RequestFilter())
        tasks.create_task(OtherHosts(hub, follower).run(), name="show-requests")

    def report(self, vitals: ProcessVitals, tasks: asyncio.TaskGroup, stopped: asyncio.Event) -> None:
        """Tell the first worker, until told to stop; it is told nothing by itself."""
        if self.files is None or not self.files.place:
            return
        reporter = WorkerReporter(Board(self.requests, worker=self.files.place), vitals, self.files)
        self.ended.append(reporter)
        tasks.create_task(reporter.run(stopped), name="report-streams")
