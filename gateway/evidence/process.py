"""Starts the process of a tool, reads what it tells, and ends it for certain."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Final

import msgspec

from gateway.evidence.messages import Message, Order
from gateway.evidence.voice import LONGEST_LINE
from gateway.telemetry.logs import get_logger

__all__ = ["ToolError", "tool_process"]

_log = get_logger(__name__)

_HOME: Final = Path(__file__).parents[2]
"""Where the package `gateway` is: `python -m` looks first in the directory that it is started in."""
_INHERITED: Final = (
    "LANG",
    "LC_ALL",
    "LD_LIBRARY_PATH",
    "PATH",
    "PYTHONHOME",
    "PYTHONPATH",
    "SSL_CERT_DIR",
    "SSL_CERT_FILE",
    "TMPDIR",
    "TZ",
)
"""No setting of the gateway's, and no secret."""
_NICENESS: Final = 10
_STOP_SECONDS: Final = 5.0
_PIECE: Final = 64 * 1024


class ToolError(Exception):
    """The process of a tool did not do what it is there for; the message says what it did."""


@asynccontextmanager
async def tool_process(module: str, order: Order) -> AsyncGenerator[AsyncIterator[Message]]:
    """Run the process of a tool for as long as the context lasts; give what it tells, as it comes.

    Args:
        module: run by `python -m`; one of our own, never what somebody asked for.
        order: what it is to do.

    Raises:
        ToolError: it cannot be started; or, from the iterator, it ended too early or said something else.
    """
    try:
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            module,
            cwd=_HOME,
            env={name: os.environ[name] for name in _INHERITED if name in os.environ},
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.DEVNULL,
            limit=LONGEST_LINE,
            # A Ctrl-C is the gateway's business, which then ends it.
            start_new_session=True,
        )
    except OSError as error:
        raise ToolError(f"{sys.executable} cannot be started: {error.strerror}") from None
    try:
        # Clients go first, from its first moment on.
        with suppress(OSError):
            os.setpriority(os.PRIO_PROCESS, process.pid, os.getpriority(os.PRIO_PROCESS, 0) + _NICENESS)
        assert process.stdin is not None  # noqa: S101 - pipes were asked for
        # Left open: that it ends tells the process that nobody listens any more.
        process.stdin.write(msgspec.json.encode(order) + b"\n")
        with suppress(ConnectionError):
            await process.stdin.drain()
        yield _messages(process)
    finally:
        await _end(process)


async def _messages(process: asyncio.subprocess.Process) -> AsyncIterator[Message]:
    assert process.stdout is not None  # noqa: S101 - a pipe was asked for
    while True:
        try:
            line = await process.stdout.readline()
        except ValueError:
            raise ToolError("the process of the check said more than is taken") from None
        if not line.endswith(b"\n"):
            status = await process.wait()
            raise ToolError(f"the process of the check ended with status {status} before it was done")
        try:
            yield msgspec.json.decode(line, type=Message)
        except msgspec.DecodeError:
            raise ToolError("the process of the check said something that makes no sense") from None


async def _end(process: asyncio.subprocess.Process) -> None:
    if process.stdin is not None:
        process.stdin.close()
    _signal(process, signal.SIGTERM)
    try:
        async with asyncio.timeout(_STOP_SECONDS):
            await _gone(process)
    except TimeoutError:
        _log.warning("the process of a check did not end by itself and is killed", pid=process.pid)
        _signal(process, signal.SIGKILL)
        await _gone(process)


def _signal(process: asyncio.subprocess.Process, number: signal.Signals) -> None:
    # Once it has been waited for, its number may be another's.
    if process.returncode is None:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, number)


async def _gone(process: asyncio.subprocess.Process) -> None:
    """Wait for the end of a process; some versions of asyncio see it only behind the end of its output."""
    if process.stdout is not None:
        with suppress(OSError, RuntimeError):
            while await process.stdout.read(_PIECE):
                pass
    await process.wait()
