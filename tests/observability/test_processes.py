"""Metrics and logs of real processes: several workers, workers that die, nobody who reads the log."""

from __future__ import annotations

import asyncio
import signal
import sys
from contextlib import AsyncExitStack
from pathlib import Path

import psutil
import pytest

from gateway.replay.server import ReplayUpstream
from gateway.telemetry import shared_files
from gateway.telemetry.shared_files import NoRoomError, shared_directory
from tests.contract.harness import MESSAGES
from tests.faults.gateway_process import GatewayProcess, serving_process, started
from tests.faults.waiting import until
from tests.observability.scraping import Scrape, scrape
from tests.replay.raw_client import LIMIT, message


def control_url(running: GatewayProcess) -> str:
    """Return where the control plane of a gateway listens: with the first of its workers."""
    (url,) = {line["control_url"] for line in running.named("gateway is ready")} - {None}
    return url


def other_worker(running: GatewayProcess) -> psutil.Process:
    """Return a worker that does not serve the control plane."""
    ready = {line["pid"]: line["control_url"] for line in running.named("gateway is ready")}
    return next(worker for worker in running.workers() if ready[worker.pid] is None)


async def scrape_until(running: GatewayProcess, name: str, value: float, **labels: str) -> Scrape:
    """Scrape until it says so; workers publish what they do not count at once every second."""
    async with asyncio.timeout(LIMIT):
        while True:
            found = await scrape(control_url(running))
            if found.value(name, **labels) == value:
                return found
            await asyncio.sleep(0.05)


def metric_files(running: GatewayProcess) -> set[str]:
    """Return the files in which workers share their metrics."""
    opened = {file.path for worker in running.workers() for file in worker.open_files()}
    opened |= {mapped.path for worker in running.workers() for mapped in worker.memory_maps()}
    return {path for path in opened if "metrics-" in path}


async def test_the_sum_over_all_workers_is_shown_and_one_that_is_killed_takes_nothing_with_it() -> None:
    async with ReplayUpstream() as upstream, serving_process(upstream.url, WORKERS="2") as running:
        for _ in range(12):
            assert (await running.ask()).status == 200
        found = await scrape(control_url(running))
        assert found.value("gateway_requests_total", outcome="complete") == 12
        assert found.value("gateway_request_duration_seconds_count") == 12
        found = await scrape_until(running, "gateway_ledger_rows_total", 12, fate="written")
        assert found.value("gateway_workers") == 2
        assert found.value("gateway_accounts") == 1
        files = metric_files(running)
        assert files
        # The one that shows it all: it comes back where it was.
        (shows,) = set(running.workers()) - {other_worker(running)}
        shows.send_signal(signal.SIGKILL)
        await until(lambda: len(running.named("gateway is ready")) == 3)
        assert (await scrape(control_url(running))).value("gateway_requests_total") == 12
        assert (await running.ask()).status == 200
        assert (await scrape(control_url(running))).value("gateway_requests_total") == 13
        await scrape_until(running, "gateway_workers", 2)
        assert metric_files(running) <= files
        running.send(signal.SIGTERM)
        assert await running.ended() == 0
        assert not {path for path in files if Path(path).parent.exists()}


async def test_a_worker_that_died_and_cannot_come_back_is_not_shown_as_serving_its_streams() -> None:
    async with ReplayUpstream() as upstream, serving_process(upstream.url, WORKERS="2") as running:
        async with AsyncExitStack() as stack:
            for _ in range(8):
                connection = await stack.enter_async_context(running.connect())
                hang = [*running.usual, ("x-replay-fault", "hang:event=4")]
                await connection.send(MESSAGES, message(stream=True), usual=hang)
            await scrape_until(running, "gateway_streams_open", 8)
            await scrape_until(running, "gateway_workers", 2)
            dead = other_worker(running)
            (left,) = [worker for worker in running.workers() if worker != dead]
            streams = sum(
                one.status == psutil.CONN_ESTABLISHED and one.laddr.port == running.address[1]
                for one in left.net_connections("tcp")
            )
            dead.send_signal(signal.SIGKILL)
            await until(lambda: running.named("a worker died and is started again"))
            # It would be started again in a second.
            running.send(signal.SIGSTOP)
            await scrape_until(running, "gateway_workers", 1)
            await scrape_until(running, "gateway_streams_open", streams)
            await scrape_until(running, "gateway_requests_in_flight", streams)
            running.send(signal.SIGCONT)
        await until(lambda: len(running.named("gateway is ready")) == 3)
        await scrape_until(running, "gateway_workers", 2)
        await scrape_until(running, "gateway_streams_open", 0)


def test_what_a_gateway_that_was_killed_left_behind_is_removed_by_the_next_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shared_files, "_MEMORY", tmp_path)
    with shared_directory({"counter_0.db": 4096}, tmp_path) as running:
        assert (running / "counter_0.db").stat().st_blocks > 0
        abandoned = tmp_path / "claude-stream-gateway-metrics-killed"
        abandoned.mkdir()
        (abandoned / "lock").touch()
        (abandoned / "counter_0.db").touch()
        being_made = tmp_path / "claude-stream-gateway-metrics-new"
        being_made.mkdir()
        somebody_elses = tmp_path / "something-else"
        somebody_elses.mkdir()
        with shared_directory({}, tmp_path) as other:
            assert sorted(tmp_path.iterdir()) == sorted([running, other, being_made, somebody_elses])
        assert running.exists()
    assert sorted(tmp_path.iterdir()) == [being_made, somebody_elses]


def test_where_memory_has_no_room_the_disk_is_used_and_where_that_has_none_it_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shared_files, "_MEMORY", tmp_path / "missing")
    monkeypatch.setattr(shared_files.tempfile, "tempdir", str(tmp_path / "missing too"))
    with shared_directory({"counter_0.db": 4096}, tmp_path) as found:
        assert found.parent == tmp_path
    with (
        pytest.raises(NoRoomError, match=r"need 1073741824 MiB .* set GATEWAY_WORKERS=1"),
        shared_directory({"counter_0.db": 2**50}, tmp_path),
    ):
        pass
    assert not list(tmp_path.iterdir())


async def test_a_log_that_nobody_reads_stalls_no_stream_and_what_is_dropped_of_it_is_counted() -> None:
    command = [sys.executable, "-m", "tests.observability.unread_log"]
    async with ReplayUpstream() as upstream, started(upstream.url, command, DIAGNOSTICS="all") as running:
        await until(lambda: running.lines or running.process.returncode is not None)
        assert running.process.returncode is None, running.errors
        for _ in range(6):
            async with asyncio.TaskGroup() as group:
                asked = [group.create_task(running.ask()) for _ in range(20)]
            assert all(b"event: message_stop\n" in one.result().body for one in asked)
        found = await scrape(control_url(running))
        assert found.value("gateway_requests_total", outcome="complete") == 120
        assert found.value("gateway_log_lines_dropped_total") > 0
