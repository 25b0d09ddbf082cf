"""What other workers say of requests that ended: told once, whoever takes the place of a worker."""

from __future__ import annotations

import asyncio
import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from attrs import evolve

from gateway.app import run_gateway
from gateway.controlplane.board import Board
from gateway.controlplane.feeds import StreamsFeed
from gateway.controlplane.health import WorkerHealth
from gateway.controlplane.live import LiveHub
from gateway.controlplane.request_views import request_view
from gateway.controlplane.worker_reports import WorkerFiles, WorkerReport
from gateway.ledger.in_flight import RequestsInFlight
from gateway.ledger.record import RequestRecord
from gateway.ledger.row import RequestRow
from tests.controlplane.feed_reader import watching
from tests.dashboard.site import gateway_site
from tests.postgres import Postgres
from tests.replay.raw_client import LIMIT


def report(pid: int, streams: int, *ended: tuple[int, str]) -> WorkerReport:
    """Return what a worker tells: how many streams are open, and which requests ended."""
    now = datetime.now(UTC).timestamp()
    health = WorkerHealth(
        worker=1,
        pid=pid,
        started_at=now,
        lag_seconds=0.0,
        longest_lag_seconds=0.0,
        in_flight=streams,
        forwarded=0,
        records_waiting=0,
        ledger_away=False,
        is_draining=False,
    )
    views = [
        (number, request_view(RequestRow.of(RequestRecord(name, "POST /v1/messages", "ana"))))
        for number, name in ended
    ]
    return WorkerReport(
        at=now, health=health, streams=[], not_shown=0, edges=[], states={"IN_BLOCK": streams}, ended=views
    )


def events(told: bytes) -> list[tuple[str, Any]]:
    """Return topics and data."""
    found = []
    for frame in told.decode().split("\n\n"):
        lines = dict(line.split(": ", 1) for line in frame.splitlines())
        if "event" in lines:
            found.append((lines["event"], json.loads(lines["data"])))
    return found


async def test_what_ends_in_a_worker_that_was_started_again_is_told_of_from_its_first_request_on(
    tmp_path: Path,
) -> None:
    hub, other = LiveHub(), WorkerFiles(tmp_path, 1, 2)
    viewer = hub.join(("request", "machine"))
    told: list[str] = []

    async def read(streams: int) -> None:
        states: dict[str, int] = {}
        while states != {"IN_BLOCK": streams}:
            await viewer.wait()
            for topic, data in events(viewer.take()):
                if topic == "machine":
                    states = data["states"]
                elif topic == "request":
                    told.append(data["id"])

    async with asyncio.timeout(LIMIT), asyncio.TaskGroup() as tasks:
        await asyncio.to_thread(other.write, report(100, 1, (6, "before"), (7, "before, too")))
        feed = StreamsFeed(hub, Board(RequestsInFlight()), WorkerFiles(tmp_path, 0, 2))
        tasks.create_task(feed.run(), name="feed")
        await read(1)
        await asyncio.to_thread(
            other.write, report(200, 2, *((number, f"after {number}") for number in range(1, 10)))
        )
        await read(2)
        hub.leave(viewer)
        hub.close()
    assert told == [f"after {number}" for number in range(1, 10)]


async def test_what_ends_in_other_workers_is_told_once_where_the_database_is_shared(
    postgres: Postgres, tmp_path: Path
) -> None:
    url = await asyncio.to_thread(postgres.create_database)
    async with gateway_site(traffic=False, database_url=url) as site:
        other = WorkerFiles(tmp_path, 1, 2)
        settings = evolve(site.settings, listen="127.0.0.1:0", control_listen="127.0.0.1:0")
        async with run_gateway(settings, control=True, workers=WorkerFiles(tmp_path, 0, 2)) as gateway:
            await asyncio.to_thread(other.write, report(100, 1))
            async with watching(gateway.control_url, site.token, "?topics=request,machine") as reader:
                await reader.until("machine", lambda machine: machine["states"] == {"IN_BLOCK": 1})
                # The database tells of it, when it is there.
                await asyncio.to_thread(other.write, report(100, 2, (1, "in no database")))
                event = await reader.next()
                assert (event.topic, event.data["states"]) == ("machine", {"IN_BLOCK": 2})
                answer = await site.stream()
                told = await reader.until("request")
                assert told["id"] == answer.header("x-gateway-request-id")
