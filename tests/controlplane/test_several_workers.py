"""Several workers: one of them shows the requests of all."""

from __future__ import annotations

import asyncio
import signal
import time
from contextlib import AsyncExitStack
from pathlib import Path

from gateway.controlplane.worker_reports import WorkerFiles
from gateway.replay.server import ReplayUpstream
from tests.contract.harness import MESSAGES
from tests.controlplane.feed_reader import watching
from tests.controlplane.test_streams_in_flight import BoardOfPage
from tests.faults.gateway_process import serving_process
from tests.observability.test_processes import control_url
from tests.replay.raw_client import LIMIT, message

TOKEN = "a-token-of-the-operators-own"


async def test_the_board_has_the_streams_of_all_workers_and_what_became_of_them() -> None:
    async with (
        ReplayUpstream() as upstream,
        serving_process(upstream.url, WORKERS="2", CONTROL_TOKEN=TOKEN) as running,
    ):
        url = control_url(running)
        async with watching(url, TOKEN) as reader, AsyncExitStack() as stack:
            board = BoardOfPage(reader)
            # Which of them takes a connection the kernel says.
            while {row["worker"] for row in board.rows.values()} != {0, 1}:
                connection = await stack.enter_async_context(running.connect())
                headers = [("x-replay-fault", "hang:event=5")]
                await connection.send(MESSAGES, message(stream=True), headers=headers, usual=running.usual)
                count = len(board.rows) + 1
                await board.until(lambda rows, count=count: len(rows) == count)
            health = await reader.until("health", lambda health: len(health["workers"]) == 2)
            assert [one["worker"] for one in health["workers"]] == [0, 1]
            assert sum(one["in_flight"] for one in health["workers"]) == len(board.rows)
            assert health["workers_wanted"] == 2
            async with watching(url, TOKEN, "?topics=machine") as other:
                machine = await other.until("machine", lambda machine: machine["states"])
                assert machine["states"] == {"IN_BLOCK": len(board.rows)}
            told: set[str] = set()
            asked: set[str | None] = set()
            for _ in range(8):
                asked.add((await running.ask()).header("x-gateway-request-id"))
            while told != asked:
                told.add((await reader.until("request"))["id"])


async def test_no_worker_is_missing_at_the_first_look_and_what_one_still_drains_is_shown_to_its_end() -> None:
    async with (
        ReplayUpstream() as upstream,
        serving_process(upstream.url, WORKERS="2", CONTROL_TOKEN=TOKEN) as running,
        watching(control_url(running), TOKEN, "?topics=streams,health") as reader,
        AsyncExitStack() as stack,
    ):
        health = await reader.until("health")
        assert (len(health["workers"]), health["workers_known"]) in {(1, False), (2, True)}
        while len(health["workers"]) == 1:
            health = await reader.until("health")
        assert health["workers_known"]
        board = BoardOfPage(reader)
        shown: set[str] = set()
        while True:
            async with AsyncExitStack() as attempt:
                connection = await attempt.enter_async_context(running.connect())
                headers = [("x-replay-fault", "hang:event=5")]
                await connection.send(MESSAGES, message(stream=True), headers=headers, usual=running.usual)
                await board.until(lambda rows: any(row["id"] not in shown for row in rows))
                (row,) = (row for row in board.rows.values() if row["id"] not in shown)
                shown.add(row["id"])
                # Which of them takes a connection the kernel says.
                if row["worker"] == 1:
                    stack.push_async_exit(attempt.pop_all())
                    break
        await board.until(lambda rows: len(rows) == 1)
        running.send(signal.SIGTERM)
        drained = await reader.until("health", lambda health: all(one["is_draining"] for one in health["workers"]))
        assert [one["in_flight"] for one in drained["workers"]] == [0, 1]
        await connection.close()
        assert await running.ended() == 0
        ended = [event["pid"] for event in running.named("gateway has ended")]
        assert ended == [one["pid"] for one in reversed(health["workers"])]


async def test_a_worker_that_says_nothing_while_it_is_asked_is_missing_in_the_end(tmp_path: Path) -> None:
    files = WorkerFiles(tmp_path, 0, 2)

    def look() -> None:
        assert not files.has_all(files.read())
        while not files.has_all(files.read()):
            files.mark_watched()
            time.sleep(0.05)
        assert files.read() == []
        files.unmark_watched()
        assert not files.has_all([])

    async with asyncio.timeout(LIMIT):
        await asyncio.to_thread(look)


async def test_files_that_are_torn_old_or_none_are_passed_over(tmp_path: Path) -> None:
    first, other = WorkerFiles(tmp_path, 0, 3), WorkerFiles(tmp_path, 1, 3)

    def look() -> None:
        assert not other.is_watched()
        first.mark_watched()
        assert other.is_watched()
        for torn in (b"", b"{", b'{"at":1}', b"\xff\xfe", b"[" * 100_000, b"null"):
            (tmp_path / "report_1.json").write_bytes(torn)
            assert first.read() == []
        first.unmark_watched()
        assert not other.is_watched()
        other.remove()
        other.remove()

    async with asyncio.timeout(LIMIT):
        await asyncio.to_thread(look)
