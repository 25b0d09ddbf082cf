"""Processes that settle records.

python -m tests.ledger.settling DIRECTORY PROCESSES RECORDS < URL-OF-THE-DATABASE
"""

from __future__ import annotations

import asyncio
import os
import sys
from pathlib import Path

from gateway.store.engine import Database
from tests.ledger.writing import make_record, settle_all, writing


async def settle(url: str, directory: Path, name: str, count: int) -> None:
    """Settle records, some at a time."""
    async with Database(url, directory) as database, writing(database, patience_seconds=2) as ledger:
        for start in range(0, count, 5):
            await settle_all(ledger, [make_record(id=f"{name}_{at}") for at in range(start, start + 5)])


def main() -> None:
    """Settle in forks, which begin sooner than programs; exit with the number of those that failed."""
    url, directory = sys.stdin.read(), Path(sys.argv[1])
    children: list[int] = []
    for number in range(int(sys.argv[2])):
        child = os.fork()
        if child == 0:
            status = 1
            try:
                asyncio.run(settle(url, directory, f"process{number}", int(sys.argv[3])))
                status = 0
            finally:
                os._exit(status)
        children.append(child)
    sys.exit(sum(os.waitpid(child, 0)[1] != 0 for child in children))


if __name__ == "__main__":
    main()
