"""What keys used is what the ledger says, whoever is killed at whichever moment."""

from __future__ import annotations

import asyncio
import json
import sys
from pathlib import Path

from gateway.actors.use import Spent
from gateway.store.engine import Database
from tests.faults.waiting import until
from tests.ledger.writing import writing
from tests.limits.cluster import cluster
from tests.limits.spending import BUDGET, KEYS, MOST_TOKENS

ROOT = Path(__file__).parents[2]
PROCESSES = 6


async def test_whoever_is_killed_when_budgets_hold_and_the_counts_are_those_of_the_ledger(
    database: Database, tmp_path: Path
) -> None:
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "tests.limits.spending", tmp_path, f"{PROCESSES}", "32"),
        cwd=ROOT,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
    )
    out, _ = await process.communicate(database.url.encode())
    told = json.loads(out.splitlines()[-1])
    assert told["failed"] == 0
    assert told["killed"] > 0
    async with writing(database):
        await until(lambda: not list((tmp_path / "spool").glob("*")))
    async with cluster(database, 1) as running:
        running.clock.now = database.clock()
        await running.hear_nothing()
        budget, slots, rates, free = KEYS
        for key in (budget, slots, rates):
            use = await running.use(key)
            assert (use.running, use.reserved_tokens, use.reserved_nanousd) == (0, 0, 0)
            assert use.total == await running.recorded(key)
        # Of keys without limits a process that is killed may take along what it used in the last second.
        used, recorded = (await running.use(free)).total, await running.recorded(free)
        assert Spent() != used
        assert used.tokens <= recorded.tokens
        if b"kept by what is known" in out:
            return  # The machine is so slow that SQLite gave up waiting: the next lines are not promised then.
        # At the most one request too many: the last one that was let in while something was left.
        assert (await running.use(budget)).day.spent.nanousd < (BUDGET + MOST_TOKENS) * 1_000
        assert (await running.use(slots)).week.spent.tokens < BUDGET + MOST_TOKENS
