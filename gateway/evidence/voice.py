"""The process of a tool: it takes its order, works, tells what it finds, and ends when nobody listens any more."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Any, Final

import msgspec
from attrs import define

from gateway.canary.client import CannotRunError
from gateway.evidence.messages import Checked, Defective, Done, Expected, Message, Order, Said, Stuck, to_order
from gateway.telemetry.logs import exception_facts, printable

__all__ = ["LONGEST_LINE", "Voice", "Work", "attend"]

LONGEST_LINE: Final = 4 * 1024 * 1024
"""Bytes of a message at the most; a report is cut to fit."""
_LONGEST_REPORT: Final = 1024 * 1024
_LONGEST_TEXT: Final = 600
_ORDER_SECONDS: Final = 30.0

Work = Callable[[Order, "Voice"], Awaitable[None]]
"""Does what an order says, and tells of it.

Raises:
    CannotRunError: it cannot be done.
"""


@define(eq=False)
class Voice:
    """Tells the gateway how far the work is."""

    _descriptor: int

    def expect(self, total: int) -> None:
        """Say how many steps there will be."""
        self._tell(Expected(total))

    def say(self, line: str) -> None:
        """Say what is happening."""
        self._tell(Said(printable(line, _LONGEST_TEXT)))

    def check(
        self, name: str, level: str, what: str, *, fix: str = "", ms: int | None = None, steps: int = 1
    ) -> None:
        """Tell of a check that is over; `Checked` says what the arguments mean."""
        what, fix = printable(what, _LONGEST_TEXT), printable(fix, _LONGEST_TEXT)
        self._tell(Checked(name=name, level=level, what=what, fix=fix, ms=ms, steps=steps))

    def done(self, summary: str, markdown: str, report: dict[str, Any], *, passed: bool) -> None:
        """Give the result."""
        if len(markdown) > _LONGEST_REPORT:
            markdown = markdown[:_LONGEST_REPORT] + "\n\n(The rest is left out: the report is too long.)\n"
        is_too_long = len(msgspec.json.encode(report)) > _LONGEST_REPORT
        self._tell(Done(passed=passed, summary=summary, markdown=markdown, report=None if is_too_long else report))

    def end_without(self, error: Exception) -> None:
        """Say why there is no result."""
        if isinstance(error, CannotRunError):
            self._tell(Stuck(printable(str(error), _LONGEST_TEXT)))
            return
        facts = exception_facts(error)
        self._tell(Defective(facts["exception"], facts["trace"]))

    def _tell(self, message: Message) -> None:
        data = memoryview(msgspec.json.encode(message) + b"\n")
        # Whoever listened has gone; the end of standard input says so too.
        with suppress(OSError):
            while data:
                data = data[os.write(self._descriptor, data) :]


def attend(work: Work, run: Callable[[Any], int] = asyncio.run) -> int:
    """Be the process of a tool: take one order from standard input, do it, and return the exit status.

    Args:
        work: what to do.
        run: runs a coroutine on an event loop of its own.
    """
    descriptor = os.dup(sys.stdout.fileno())
    # Whatever prints must not get between the messages.
    null = os.open(os.devnull, os.O_WRONLY)
    os.dup2(null, sys.stdout.fileno())
    os.close(null)
    return run(_attend(work, Voice(descriptor)))


async def _attend(work: Work, voice: Voice) -> int:
    loop = asyncio.get_running_loop()
    reader = asyncio.StreamReader(limit=LONGEST_LINE)
    transport, _ = await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin.buffer)
    try:
        async with asyncio.timeout(_ORDER_SECONDS):
            line = await reader.readline()
        if not line:
            return 1
        order = to_order(line)
        async with asyncio.TaskGroup() as tasks:
            working = tasks.create_task(_work(work, order, voice))
            # Its end is the end of the gateway, or that the run was cancelled.
            listening = tasks.create_task(reader.read())
            loop.add_signal_handler(signal.SIGTERM, listening.cancel)
            await asyncio.wait({working, listening}, return_when=asyncio.FIRST_COMPLETED)
            working.cancel()
            listening.cancel()
    finally:
        transport.close()
    return 0


async def _work(work: Work, order: Order, voice: Voice) -> None:
    try:
        await work(order, voice)
    except Exception as error:  # noqa: BLE001 - whatever it is, somebody waits to be told
        voice.end_without(error)
