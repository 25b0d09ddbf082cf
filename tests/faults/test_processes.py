"""Signals, workers and addresses of a real `gateway serve`."""

from __future__ import annotations

import asyncio
import signal
import socket
import sys
from typing import Final

import psutil
import pytest

from gateway.replay.server import ReplayUpstream
from gateway.telemetry.version import program_version
from tests.contract.harness import MESSAGES
from tests.faults.gateway_process import GatewayProcess, serving_process, started
from tests.faults.waiting import until
from tests.replay.raw_client import LIMIT, RawConnection, message

PAUSE: Final = "hang:event=4;seconds=1"
FOR_EVER: Final = "hang:event=4"


async def begin(running: GatewayProcess, connection: RawConnection, fault: str) -> None:
    """Ask for a stream and return once its first content is here."""
    headers = [("x-replay-fault", fault)]
    await connection.send(MESSAGES, message(stream=True), headers=headers, usual=running.usual)
    await connection.until(b"content_block_delta")


def serves(worker: psutil.Process) -> bool:
    """Whether a worker has a connection."""
    return any(connection.status == psutil.CONN_ESTABLISHED for connection in worker.net_connections("tcp"))


async def refuses(running: GatewayProcess) -> bool:
    """Whether nothing listens any more."""
    try:
        async with running.connect():
            return False
    except ConnectionError:
        return True


async def until_refusing(running: GatewayProcess) -> None:
    """Return once nothing listens any more."""
    async with asyncio.timeout(LIMIT):
        while not await refuses(running):  # noqa: ASYNC110 - no event tells when a process stops listening
            await asyncio.sleep(0.01)


def ended_with(running: GatewayProcess) -> tuple[int, int]:
    """Return how many requests a gateway says it let finish and cut, in the last line of its log."""
    last = running.events[-1]
    assert (last["event"], last["level"]) == ("gateway has ended", "info")
    assert last["seconds"] >= 0
    return last["finished"], last["cut"]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_a_signal_stops_listening_and_lets_running_streams_finish(number: signal.Signals) -> None:
    async with ReplayUpstream() as upstream, serving_process(upstream.url) as running:
        async with running.connect() as stream, running.connect() as probe:
            await probe.send("/readyz")
            assert (await probe.receive()).status == 200
            await begin(running, stream, PAUSE)
            running.send(number)
            await until_refusing(running)
            await probe.send("/readyz")
            answer = await probe.receive()
            assert (answer.status, answer.json()) == (503, {"status": "draining", "rollout": "canary"})
            await stream.until(b"event: message_stop\n")
            await stream.until(b"0\r\n\r\n")
        assert await running.ended() == 0
        assert [record["outcome"] for record in running.named("request")] == ["complete"]
        assert running.complaints == []
        (ready,) = running.named("gateway is ready")
        assert ready["version"] == await asyncio.to_thread(program_version)
        # The probe is none of them.
        assert ended_with(running) == (1, 0)


async def test_a_request_on_an_open_connection_is_served_during_the_drain_and_then_the_connection_closes() -> None:
    async with ReplayUpstream() as upstream, serving_process(upstream.url) as running:
        async with running.connect() as stream, running.connect() as other:
            await other.send("/readyz")
            assert (await other.receive()).status == 200
            await begin(running, stream, PAUSE)
            running.send(signal.SIGTERM)
            await until_refusing(running)
            await other.send(MESSAGES, message(), usual=running.usual)
            answer = await other.receive(to_eof=True)
            assert (answer.status, answer.header("connection"), answer.ended) == (200, "close", "eof")
        assert await running.ended() == 0


async def test_streams_that_outlast_the_drain_end_in_one_legal_error_event() -> None:
    timeouts = {"TIMEOUTS__DRAIN_SECONDS": "0.3"}
    async with ReplayUpstream() as upstream, serving_process(upstream.url, **timeouts) as running:
        async with running.connect() as stream:
            await begin(running, stream, FOR_EVER)
            running.send(signal.SIGTERM)
            rest = await stream.until(b"0\r\n\r\n")
            assert rest.count(b"event: error\n") == 1
            assert b'"type":"api_error"' in rest
            assert b"The gateway is restarting" in rest
        assert await running.ended() == 0
        (record,) = running.named("request")
        assert (record["outcome"], record["reason"]) == ("truncated", "shutdown")
        assert ended_with(running) == (0, 1)


@pytest.mark.parametrize("fault", ["hang:head", "hang:event=1"])
async def test_requests_that_wait_past_the_drain_get_an_honest_503(fault: str) -> None:
    timeouts = {"TIMEOUTS__DRAIN_SECONDS": "0.3"}
    async with ReplayUpstream() as upstream, serving_process(upstream.url, **timeouts) as running:
        async with running.connect() as connection:
            headers = [("x-replay-fault", fault)]
            await connection.send(MESSAGES, message(stream=True), headers=headers, usual=running.usual)
            await upstream.wait_for(lambda: upstream.open_streams == 1)
            running.send(signal.SIGTERM)
            answer = await connection.receive(to_eof=True)
            assert (answer.status, answer.json()["error"]["type"]) == (503, "api_error")
            assert answer.header("retry-after") is not None
            assert answer.header("connection") == "close"
        assert await running.ended() == 0
        await upstream.wait_for(lambda: upstream.open_streams == 0)


@pytest.mark.parametrize(
    ("second", "workers"), [(signal.SIGTERM, "1"), (signal.SIGINT, "1"), (signal.SIGTERM, "2")]
)
async def test_a_second_signal_ends_it_at_once(second: signal.Signals, workers: str) -> None:
    async with ReplayUpstream() as upstream, serving_process(upstream.url, WORKERS=workers) as running:
        children = running.workers()
        async with running.connect() as stream:
            await begin(running, stream, FOR_EVER)
            running.send(signal.SIGTERM)
            await until_refusing(running)
            running.send(second)
            assert await running.ended() != 0
            assert b"event: error" not in await stream.reader.read()
        await until(lambda: not any(child.is_running() for child in children))


async def test_two_workers_share_one_port() -> None:
    async with ReplayUpstream() as upstream, serving_process(upstream.url, WORKERS="2") as running:
        assert len({event["url"] for event in running.named("gateway is ready")}) == 1
        workers = running.workers()
        assert len(workers) == 2
        connections: list[RawConnection] = []
        # The kernel deals connections out by chance: each worker has its share sooner or later.
        while not all(serves(worker) for worker in workers):
            assert len(connections) < 100
            connections.append(RawConnection(*await asyncio.open_connection(*running.address)))
        for connection in connections:
            await connection.send("/readyz")
            assert (await connection.receive()).status == 200
            await connection.close()
        assert (await running.ask()).status == 200
        running.send(signal.SIGTERM)
        assert await running.ended() == 0
        assert running.complaints == []


async def test_workers_finish_their_streams_when_ctrl_c_reaches_every_process_of_the_terminal() -> None:
    async with ReplayUpstream() as upstream, serving_process(upstream.url, WORKERS="2") as running:
        async with running.connect() as stream:
            await begin(running, stream, PAUSE)
            for worker in running.workers():
                worker.send_signal(signal.SIGINT)
            running.send(signal.SIGINT)
            await stream.until(b"event: message_stop\n")
        assert await running.ended() == 0
        assert running.complaints == []


async def test_a_worker_that_is_killed_is_started_again() -> None:
    async with ReplayUpstream() as upstream, serving_process(upstream.url, WORKERS="2") as running:
        victim, survivor = running.workers()
        victim.kill()
        await until(lambda: len(running.named("gateway is ready")) == 3)
        assert running.named("a worker died and is started again")[0]["pid"] == victim.pid
        now = {worker.pid for worker in running.workers()}
        assert survivor.pid in now
        assert victim.pid not in now
        assert len(now) == 2
        for _ in range(8):
            assert (await running.ask()).status == 200
        running.send(signal.SIGTERM)
        assert await running.ended() == 0


async def test_workers_do_not_outlive_a_parent_that_is_killed() -> None:
    async with ReplayUpstream() as upstream, serving_process(upstream.url, WORKERS="2") as running:
        workers = running.workers()
        running.send(signal.SIGKILL)
        await running.ended()
        await until(lambda: not any(worker.is_running() for worker in workers))


@pytest.mark.parametrize("workers", ["1", "2"])
async def test_a_taken_port_is_named_in_one_sentence(workers: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        async with started("http://127.0.0.1:9", LISTEN=address, WORKERS=workers) as running:
            assert await running.ended() == 1
            await until(lambda: running.errors)
    assert running.errors == [
        f"gateway: {address} is in use already; stop what listens there, or set GATEWAY_LISTEN"
    ]


@pytest.mark.parametrize("workers", ["1", "2"])
async def test_a_database_that_nobody_could_start_with_is_named_in_one_sentence(workers: str) -> None:
    async with started(
        "http://127.0.0.1:9", DATABASE_URL="postgresql://127.0.0.1:1/db", WORKERS=workers
    ) as running:
        assert await running.ended() == 1
        await until(lambda: running.errors)
    (told,) = running.errors
    assert told.startswith("gateway: cannot reach the database PostgreSQL at 127.0.0.1:1/db")
    assert running.events == []


async def test_a_second_gateway_with_workers_does_not_join_the_first_on_its_port() -> None:
    async with serving_process("http://127.0.0.1:9", WORKERS="2") as first:
        host, port = first.address
        async with started("http://127.0.0.1:9", WORKERS="2", LISTEN=f"{host}:{port}") as second:
            assert await second.ended() == 1
            await until(lambda: second.errors)
    assert "is in use already" in second.errors[0]


@pytest.mark.parametrize("workers", ["1", "2"])
async def test_it_listens_on_ipv6(workers: str) -> None:
    async with (
        ReplayUpstream() as upstream,
        serving_process(upstream.url, LISTEN="[::1]:0", WORKERS=workers) as running,
    ):
        assert running.named("gateway is ready")[0]["url"].startswith("http://[::1]:")
        assert (await running.ask()).status == 200
        running.send(signal.SIGTERM)
        assert await running.ended() == 0


async def test_it_runs_on_the_event_loop_of_asyncio_where_there_is_no_uvloop() -> None:
    code = "import sys; sys.modules['uvloop'] = None; from gateway.cli import main; sys.exit(main(['serve']))"

    async with ReplayUpstream() as upstream, started(upstream.url, [sys.executable, "-c", code]) as running:
        await until(lambda: running.named("gateway is ready") or running.process.returncode is not None)
        assert (await running.ask()).status == 200
        async with running.connect() as stream:
            await begin(running, stream, PAUSE)
            running.send(signal.SIGTERM)
            await stream.until(b"event: message_stop\n")
        assert await running.ended() == 0
        assert running.complaints == []
