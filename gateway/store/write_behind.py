"""What traffic learns is told to the database in the background, so that no request waits for it."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Hashable
from contextlib import suppress
from typing import Final

from attrs import define, field

from gateway.store.errors import StoreError, StoreUnavailableError
from gateway.telemetry.logs import exception_facts, get_logger

__all__ = ["WriteBehind"]

_log = get_logger(__name__)

_MOST: Final = 1_000
_FIRST_PAUSE_SECONDS: Final = 0.1
_LONGEST_PAUSE_SECONDS: Final = 5.0
_FLUSH_SECONDS: Final = 5.0
_WRITE_SECONDS: Final = 15.0

Write = Callable[[], Awaitable[object]]


@define(eq=False)
class WriteBehind:
    """A bounded queue of writes, of which only the latest counts for each key."""

    most: int = _MOST
    """How many may wait; when there are more, the oldest is dropped."""
    flush_seconds: float = _FLUSH_SECONDS
    """How long to go on writing after being told to stop."""
    pause_seconds: float = 0.0
    """How long to wait before each write, for what can be written with it; not after being told to stop."""
    dropped: int = field(default=0, init=False)
    """How many were dropped so far."""
    _waiting: dict[Hashable, Write] = field(factory=dict, init=False)
    _news: asyncio.Event = field(factory=asyncio.Event, init=False)
    _idle: asyncio.Event = field(factory=asyncio.Event, init=False)
    _hurry: asyncio.Event = field(factory=asyncio.Event, init=False)
    _down: bool = field(default=False, init=False)

    def put(self, key: Hashable, write: Write) -> None:
        """Have something written soon.

        Args:
            key: what it is about; a write that still waits under the same key is replaced.
            write: does it. It may be called again if the database was down, so it must bear that.
        """
        self._waiting.pop(key, None)
        self._waiting[key] = write
        while len(self._waiting) > self.most:
            del self._waiting[next(iter(self._waiting))]
            self.dropped += 1
            if self.dropped & (self.dropped - 1) == 0:
                # The first, the second, the fourth and so on: a flood must not flood the log as well.
                _log.warning("the database is behind; the oldest news of accounts is lost", dropped=self.dropped)
        self._idle.clear()
        self._news.set()

    async def run(self, stopping: asyncio.Event) -> None:
        """Write what comes until told to stop; then what still waits, within a bound. It never raises."""
        async with asyncio.TaskGroup() as tasks:
            writer = tasks.create_task(self._write_all(), name="write-behind")
            await stopping.wait()
            self._hurry.set()
            with suppress(TimeoutError):
                async with asyncio.timeout(self.flush_seconds):
                    await self.flushed()
            writer.cancel()
        if self._waiting:
            _log.warning("not all news of accounts could be written before the end", lost=len(self._waiting))

    async def flushed(self) -> None:
        """Return when nothing waits any more; `run` must be running."""
        if self._waiting:
            await self._idle.wait()

    async def _write_all(self) -> None:
        pause = _FIRST_PAUSE_SECONDS
        while True:
            while not self._waiting:
                self._idle.set()
                self._news.clear()
                await self._news.wait()
            await self._pause()
            key, write = next(iter(self._waiting.items()))
            if not await self._write(write):
                await asyncio.sleep(pause)
                pause = min(2 * pause, _LONGEST_PAUSE_SECONDS)
                continue
            pause = _FIRST_PAUSE_SECONDS
            # While it was written a later one may have taken its place.
            if self._waiting.get(key) is write:
                del self._waiting[key]

    async def _pause(self) -> None:
        if self.pause_seconds:
            with suppress(TimeoutError):
                async with asyncio.timeout(self.pause_seconds):
                    await self._hurry.wait()

    async def _write(self, write: Write) -> bool:
        """Write; return False if it is worth trying again."""
        try:
            async with asyncio.timeout(_WRITE_SECONDS):
                await write()
        except (StoreUnavailableError, TimeoutError) as error:
            if not self._down:
                problem = str(error) or "the database does not answer in time"
                _log.warning("cannot write to the database; trying again", problem=problem)
            self._down = True
            return False
        except StoreError as error:
            _log.error("what was learnt of an account could not be written", problem=str(error))
        except Exception as error:  # noqa: BLE001 - one bad write must not stop the others
            _log.error("what was learnt of an account could not be written", **exception_facts(error))
        if self._down:
            _log.info("the database can be written to again")
        self._down = False
        return True
