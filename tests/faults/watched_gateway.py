"""A gateway that answers questions about its own process: run as a program by the tests.

Each line on standard input is a question, each line on standard error its answer: `gap` is the most time in
milliseconds that the event loop was at work before it came round again, since the last question. It is processor
time, so that a busy machine makes no difference; that nothing waits on the loop is another test's business.
`rss` is the process's memory in KiB, `tasks` the number of its tasks, and `objects` how many connections, relays
and responses there are.
"""

from __future__ import annotations

import asyncio
import gc
import os
import sys
import time
from pathlib import Path
from typing import Final

import aiohttp
import uvloop
from attrs import define

from gateway.app import run_gateway
from gateway.config import load_settings
from gateway.dataplane.connections import ClientConnection
from gateway.dataplane.relay import StreamRelay
from gateway.telemetry.logs import close_logs, configure_logs, get_logger

_BEAT: Final = 0.001
_KINDS: Final = (ClientConnection, StreamRelay, aiohttp.ClientResponse)


@define
class Heart:
    """Beats as often as the loop lets it, and remembers the longest wait."""

    longest: float = 0.0

    async def beat(self) -> None:
        while True:
            before = time.thread_time()
            await asyncio.sleep(_BEAT)
            self.longest = max(self.longest, time.thread_time() - before)

    def answer(self, question: str) -> str:
        if question == "gap":
            longest, self.longest = self.longest, 0.0
            return f"{longest * 1000:.1f}"
        if question == "tasks":
            return str(len(asyncio.all_tasks()))
        gc.collect()
        if question == "objects":
            return str(sum(type(thing) in _KINDS for thing in gc.get_objects()))
        pages = int(Path("/proc/self/statm").read_text().split()[1])
        return str(pages * os.sysconf("SC_PAGE_SIZE") // 1024)


async def main() -> None:
    settings = load_settings()
    configure_logs(level=settings.log_level, fmt="json")
    loop = asyncio.get_running_loop()
    questions = asyncio.StreamReader()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(questions), sys.stdin)
    heart = Heart()
    async with run_gateway(settings) as gateway, asyncio.TaskGroup() as group:
        get_logger("watched").info("gateway is ready", url=gateway.url)
        beating = group.create_task(heart.beat())
        async for line in questions:
            sys.stderr.write(heart.answer(line.decode().strip()) + "\n")
            sys.stderr.flush()
        beating.cancel()
    close_logs()


if __name__ == "__main__":
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(main())
