"""A process with a ledger that is killed between two of its steps, many times; run as a program.

    python -m tests.ledger.crashing DIRECTORY KILLS

Each time a fork of this process writes to the same database and spool, through good times and bad, and kills
itself at some line of the ledger's code, in whichever thread. What it was told is durable it writes to a pipe.
Prints JSON.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from types import FrameType
from typing import Any, Final

from gateway.ledger import row, spool, writer
from gateway.store import requests
from gateway.store.engine import Database
from tests.faults.waiting import until
from tests.ledger.writing import locked, make_record, settle_all, stored, writing

TRACED: Final = frozenset({module.__file__ for module in (row, spool, writer, requests)})
MODEL: Final = "claude-opus-5-5"


class Steps:
    """Counts the lines of the ledger's code as they are run, and stops at one of them for ever."""

    def __init__(self, last: int | None) -> None:
        """Begin to count; `last` is the step to die at, None to live."""
        self.count = 0
        self._last = last
        threading.settrace(self._enter)
        sys.settrace(self._enter)

    def _enter(self, frame: FrameType, *_: Any) -> Callable[..., Any] | None:
        return self._step if frame.f_code.co_filename in TRACED else None

    def _step(self, _frame: FrameType, kind: str, _argument: Any) -> Callable[..., Any]:
        if kind == "line":
            self.count += 1
            if self.count == self._last:
                os.kill(os.getpid(), signal.SIGKILL)
        return self._step


async def live(directory: Path, name: str, told: int) -> None:
    """Write records while the database is there, away, and back."""
    async with Database("", directory) as database, writing(database, patience_seconds=0.03) as ledger:

        async def settle(start: int) -> None:
            numbers = range(start, start + 4)
            await settle_all(ledger, [make_record(id=f"{name}_{number}", model=MODEL) for number in numbers])
            os.write(told, "".join(f"{name}_{number}\n" for number in numbers).encode())

        await settle(0)
        async with locked(database):
            await settle(4)
            await settle(8)
        await until(lambda: ledger.counts.replayed >= 8)
        await settle(12)


def run_fork(directory: Path, name: str, last: int | None) -> tuple[list[str], int | None, int]:
    """Live once in a fork; return the ids that were durable, the steps it took if it told, and its exit status."""
    reader, told = os.pipe()
    child = os.fork()
    if child == 0:
        status = 1
        try:
            os.close(reader)
            steps = Steps(last)
            asyncio.run(live(directory, name, told))
            os.write(told, f"steps {steps.count}\n".encode())
            status = 0
        finally:
            os._exit(status)
    os.close(told)
    with os.fdopen(reader) as lines:
        found = lines.read().splitlines()
    status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    taken = [int(line.removeprefix("steps ")) for line in found if line.startswith("steps ")]
    return [line for line in found if not line.startswith("steps ")], taken[0] if taken else None, status


async def recover(directory: Path) -> dict[str, Any]:
    """Return what is in the database once a ledger has had the time to look for what others left."""
    async with Database("", directory) as database, writing(database):
        await until(lambda: not list((directory / "spool").glob("requests-*")))
        return await stored(database)


def main() -> None:
    """Kill as many times as asked, at steps that are spread over the whole life."""
    directory, kills = Path(sys.argv[1]), int(sys.argv[2])
    durable, steps, status = run_fork(directory, "first", None)
    assert status == 0
    assert steps is not None
    statuses: list[int] = []
    for number in range(kills):
        more, _, status = run_fork(directory, f"run{number}", 1 + (number * steps) // kills)
        durable += more
        statuses.append(status)
    rows = asyncio.run(recover(directory))
    print(  # noqa: T201 - its answer
        json.dumps(
            {
                "steps": steps,
                "killed": statuses.count(-signal.SIGKILL),
                "failed": sum(status not in (0, -signal.SIGKILL) for status in statuses),
                "durable": len(durable),
                "missing": sorted(set(durable) - set(rows)),
                "wrong": sorted(key for key, value in rows.items() if value["model"] != MODEL),
            }
        )
    )


if __name__ == "__main__":
    main()
