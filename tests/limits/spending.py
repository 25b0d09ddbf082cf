"""A gateway's limits in a process of its own, which is killed at some moment; run as a program.

    python -m tests.limits.spending DIRECTORY PROCESSES REQUESTS < URL-OF-THE-DATABASE

Prints JSON, behind what is logged. Each process sends requests of keys that all share, several at a time; some of
their clients leave. Half of the processes kill themselves, at some line of the code that keeps limits or writes
records.
"""

from __future__ import annotations

import asyncio
import json
import os
import random
import signal
import sys
from collections.abc import Callable, Coroutine
from contextlib import suppress
from pathlib import Path
from types import FrameType
from typing import Any, Final

from gateway.actors import key_limiter
from gateway.actors.key_limiter import KeyLimiter
from gateway.actors.keys import Actor
from gateway.store import key_use, requests
from gateway.store.engine import Database
from gateway.store.key_use import KeyUseStore
from gateway.wire.errors import ApiError
from tests.ledger.writing import writing
from tests.limits.cluster import actor, price, record, wanted

BUDGET: Final = 600
"""Tokens, each of which costs 1000e-9 USD."""
KEYS: Final = (
    actor("budget", nanousd_day=BUDGET * 1_000),
    actor("slots", concurrent=3, tokens_week=BUDGET),
    actor("rates", tokens_per_minute=2_000, concurrent=6),
    actor("free"),
)
MOST_TOKENS: Final = 200
"""Of a request; no estimate is below what is used."""
AT_ONCE: Final = 4
PART_THAT_LEAVES: Final = 0.2
TRACED: Final = frozenset({module.__file__ for module in (key_limiter, key_use, requests)})


def die_after(steps: int) -> None:
    """Kill this process at some line of the code that matters."""
    left = steps

    def step(_frame: FrameType, kind: str, _argument: Any) -> Callable[..., Any]:
        nonlocal left
        if kind == "line":
            left -= 1
            if left == 0:
                os.kill(os.getpid(), signal.SIGKILL)
        return step

    def enter(frame: FrameType, *_: Any) -> Callable[..., Any] | None:
        return step if frame.f_code.co_filename in TRACED else None

    sys.settrace(enter)


async def spend(url: str, directory: Path, name: str, count: int) -> None:
    """Send requests, and stop in order."""
    dice = random.Random(name)
    async with (
        Database(url, directory) as database,
        writing(database, patience_seconds=2) as ledger,
        asyncio.TaskGroup() as tasks,
    ):
        limiter, stopping = (
            KeyLimiter(KeyUseStore(database), name, database.clock, price, patience_seconds=60),
            asyncio.Event(),
        )
        tasks.create_task(limiter.run(stopping))

        async def one(request_id: str, of: Actor) -> None:
            tokens = dice.randrange(2, MOST_TOKENS)
            await limiter.admit(of, wanted(request_id, tokens))
            ended = record(request_id, of, dice.randrange(tokens))
            try:
                await asyncio.sleep(dice.uniform(0, 0.01))
            finally:
                # As in `Settlement`: first it is durable, then it is counted.
                await ledger.settle(ended)
                limiter.settled(ended)

        async def client(number: int) -> None:
            for turn in range(count // AT_ONCE):
                asking = tasks.create_task(refusable(one(f"{name} {number} {turn}", dice.choice(KEYS))))
                if dice.random() < PART_THAT_LEAVES:
                    await asyncio.wait({asking}, timeout=dice.uniform(0.001, 0.02))
                    asking.cancel()
                await asyncio.wait({asking})

        async with asyncio.TaskGroup() as clients:
            for number in range(AT_ONCE):
                clients.create_task(client(number))
        stopping.set()


async def refusable(asking: Coroutine[Any, Any, None]) -> None:
    """Wait for a request that may be refused."""
    with suppress(ApiError):
        await asking


def main() -> None:
    """Spend in forks; exit with the number of those that failed, but for those that were killed."""
    url, directory = sys.stdin.read(), Path(sys.argv[1])
    children: list[int] = []
    for number in range(int(sys.argv[2])):
        child = os.fork()
        if child == 0:
            status = 1
            try:
                if number % 2:
                    die_after(random.randrange(200, 5_000))
                asyncio.run(spend(url, directory, f"process{number}", int(sys.argv[3])))
                status = 0
            finally:
                os._exit(status)
        children.append(child)
    ends = [os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in children]
    told = {"killed": ends.count(-signal.SIGKILL), "failed": sum(end > 0 for end in ends)}
    sys.stdout.write(json.dumps(told) + "\n")


if __name__ == "__main__":
    main()
