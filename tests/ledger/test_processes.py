"""Processes that are killed, and processes that share a database."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from pathlib import Path

from gateway.store.engine import Database
from tests.faults.waiting import until
from tests.ledger.writing import stored, writing

ROOT = Path(__file__).parents[2]
KILLS = 40


def test_a_record_that_was_settled_outlives_a_kill_between_any_two_steps(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "tests.ledger.crashing", tmp_path, str(KILLS)],
        cwd=ROOT,
        check=False,
        capture_output=True,
        text=True,
        timeout=100,
    )
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout.splitlines()[-1])
    assert (told["missing"], told["wrong"], told["failed"]) == ([], [], 0), done.stderr
    # Lives differ a little in length: the last kills may come too late.
    assert told["killed"] >= KILLS * 3 // 4
    assert told["durable"] > KILLS


async def test_many_processes_write_to_one_database_and_each_record_is_there_once(
    database: Database, tmp_path: Path
) -> None:
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "tests.ledger.settling", tmp_path, "6", "50"),
        cwd=ROOT,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.DEVNULL,
    )
    await process.communicate(database.url.encode())
    assert process.returncode == 0
    async with writing(database):
        await until(lambda: not list((tmp_path / "spool").glob("*")))
    assert len(await stored(database)) == 300
