"""The ledger in a whole gateway: what clients and the database see."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path

from attrs import evolve

from gateway.app import run_gateway
from gateway.config import Settings, Timeouts
from gateway.replay.server import ReplayUpstream
from gateway.store.client_keys import ClientKeyStore
from gateway.store.engine import Database
from gateway.store.secret import load_secret_key
from tests.contract.harness import ACCOUNT_KEY, GATEWAY_ID, MESSAGES, SECRET, RecordingLedger, Served
from tests.faults.waiting import until
from tests.ledger.writing import spooled, stored
from tests.postgres import Postgres
from tests.replay.raw_client import RawResponse, message


@asynccontextmanager
async def gateway_on(url: str, directory: Path) -> AsyncGenerator[Served]:
    """Run a gateway with the ledger that it has in production."""
    async with ReplayUpstream() as upstream:
        settings = Settings(
            listen="127.0.0.1:0",
            data_dir=str(directory),
            database_url=url,
            secret_key=SECRET,
            anthropic_base_url=upstream.url,
            anthropic_api_key=ACCOUNT_KEY,
            timeouts=evolve(Timeouts(), drain_seconds=0.2),
        )
        async with Database.of(settings) as database:
            _, key = await ClientKeyStore(database).create("ledger", load_secret_key(SECRET, directory))
        async with run_gateway(settings) as gateway:
            yield Served(gateway, upstream, RecordingLedger(), key)


def id_of(answer: RawResponse) -> str:
    found = answer.header(GATEWAY_ID)
    assert found is not None
    return found


async def test_who_has_the_last_event_of_an_answer_finds_its_row(database_url: str, tmp_path: Path) -> None:
    async with gateway_on(database_url, tmp_path) as served, Database(database_url, tmp_path) as database:
        streamed = await served.stream()
        row = (await stored(database))[id_of(streamed)]
        assert (row["outcome"], row["status"], row["stream"], row["provider"], row["actor"], row["account"]) == (
            *("complete", 200, True, "anthropic"),
            *("ledger", "environment"),
        )
        assert row["input_tokens"] > 0
        assert row["output_tokens"] > 0
        assert row["actor_id"].startswith("key_")
        whole = await served.ask(message())
        refused = await served.stream(fault="status:400")
        unknown = await served.ask(message(), usual=[("x-api-key", "csg_unknown")])
        found = await stored(database)
        assert [found[id_of(answer)]["status"] for answer in (whole, refused, unknown)] == [200, 400, 401]
        assert len(found) == 4


async def test_a_client_that_leaves_has_a_row_too(database_url: str, tmp_path: Path) -> None:
    async with gateway_on(database_url, tmp_path) as served, Database(database_url, tmp_path) as database:
        async with served.connect() as connection:
            headers = [("x-replay-fault", "hang:event=4")]
            await connection.send(MESSAGES, message(stream=True), headers=headers, usual=served.usual)
            await connection.reader.readuntil(b"content_block_delta")
        async with asyncio.timeout(30):
            while not (rows := await stored(database)):  # noqa: ASYNC110 - what is asked is a database
                await asyncio.sleep(0.01)
    assert [row["outcome"] for row in rows.values()] == ["cancelled"]


LOCK = """
import sqlite3, sys
connection = sqlite3.connect(sys.argv[1], isolation_level=None, timeout=20)
connection.execute("BEGIN IMMEDIATE")
print("locked", flush=True)
sys.stdin.read()
"""


async def test_while_another_process_locks_the_database_streams_go_on_and_every_request_has_its_row_once(
    tmp_path: Path,
) -> None:
    async with gateway_on("", tmp_path) as served:
        answers = [await served.stream()]
        other = await asyncio.create_subprocess_exec(
            *(sys.executable, "-c", LOCK, str(tmp_path / "gateway.db")),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
        )
        assert other.stdout is not None
        assert await other.stdout.readline() == b"locked\n"
        async with asyncio.TaskGroup() as clients:
            asked = [clients.create_task(served.stream()) for _ in range(20)]
        answers += [client.result() for client in asked]
        in_spool = spooled(tmp_path / "spool")
        assert len(in_spool) == 20
        answers += [await served.stream() for _ in range(5)]
        assert spooled(tmp_path / "spool")[:20] == in_spool
        await other.communicate(b"")
        await until(lambda: not spooled(tmp_path / "spool"))
        answers.append(await served.stream())
        assert {(answer.status, answer.ended, b"message_stop" in answer.body) for answer in answers} == {
            (200, "complete", True)
        }
    async with Database("", tmp_path) as database:
        assert sorted(await stored(database)) == sorted(id_of(answer) for answer in answers)


async def test_while_postgresql_is_killed_and_started_again_streams_go_on_and_every_request_has_its_row_once(
    postgres: Postgres, tmp_path: Path
) -> None:
    # What it has said is committed must outlive a kill, as it does with PostgreSQL's default settings.
    url = postgres.create_database() + "&synchronous_commit=on"
    answers: list[RawResponse] = []
    stopping = asyncio.Event()

    async def ask_on_and_on(served: Served) -> None:
        while not stopping.is_set():
            answers.append(await served.stream())

    async def more(count: int) -> None:
        wanted = len(answers) + count
        await until(lambda: len(answers) >= wanted)

    async with gateway_on(url, tmp_path) as served, asyncio.TaskGroup() as load:
        clients = [load.create_task(ask_on_and_on(served)) for _ in range(4)]
        await more(8)
        in_flight = load.create_task(served.stream(fault="hang:event=5;seconds=1"))
        await until(lambda: len(served.upstream.journal) > len(answers) + len(clients))
        await asyncio.to_thread(postgres.kill)
        try:
            answers.append(await in_flight)
            await until(lambda: spooled(tmp_path / "spool"))
            await more(20)
        finally:
            await asyncio.to_thread(postgres.start)
        await until(lambda: not spooled(tmp_path / "spool"))
        await more(8)
        stopping.set()
    assert {(answer.status, answer.ended, b"message_stop" in answer.body) for answer in answers} == {
        (200, "complete", True)
    }
    assert not list((tmp_path / "spool").iterdir())
    async with Database(url, tmp_path) as database:
        rows = await stored(database)
    assert sorted(rows) == sorted(id_of(answer) for answer in answers)
    assert {row["outcome"] for row in rows.values()} == {"complete"}
