"""Notices changes that other processes and hosts make, within a second.

See docs/decisions/0010-polling-a-revision-row.md for why it asks rather than being told.
"""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import Awaitable, Callable, Collection, Iterable, Mapping
from contextlib import suppress
from typing import Final

from attrs import define, field
from sqlalchemy import select

from gateway.store.engine import Database, database_time
from gateway.store.errors import StoreError
from gateway.store.tables import revisions
from gateway.telemetry.logs import exception_facts, get_logger

__all__ = ["Watcher"]

_log = get_logger(__name__)

_POLL_SECONDS: Final = 0.4
_ASKED_SECONDS: Final = 0.15
"""Between two looks that somebody asked for, lest those who ask be able to load the database."""
_PATIENCE_SECONDS: Final = 2.0
"""That whoever asked waits for a look."""
_ANSWER_SECONDS: Final = 3.0


@define(eq=False)
class Watcher:
    """Looks at the revisions of topics and calls back when one has changed."""

    _database: Database
    _callbacks: Mapping[str, Callable[[], Awaitable[None]]]
    """By topic; each reads what changed. One that raises is called again at the next look."""
    _asked_topics: Collection[str] = ()
    """Those that `look_now` looks at."""
    _seen: dict[str, tuple[int, int]] = field(factory=dict, init=False)
    """By topic: of which database, and its revision there."""
    _trouble: str | None = field(default=None, init=False)
    _runs: bool = field(default=False, init=False)
    _waiting: list[asyncio.Future[None]] = field(factory=list, init=False)
    """Of those who asked for a look that has not begun yet."""
    _pause: asyncio.Timeout | None = field(default=None, init=False)
    _last: float = field(default=-math.inf, init=False)
    """When the last look ended, by the clock of the event loop."""

    async def run(self, stopping: asyncio.Event) -> None:
        """Look again and again, for the first time at once, until told to stop.

        Each callback is called once at the start. It never raises: when the database is down, what is known stays.
        """
        clock = asyncio.get_running_loop().time
        due = -math.inf
        self._runs = True
        asked: list[asyncio.Future[None]] = []
        try:
            while not stopping.is_set():
                asked, self._waiting = self._waiting, []
                if clock() >= due:
                    await self.look()
                    due = clock() + _POLL_SECONDS
                else:
                    await self._look_at(self._asked_topics)
                self._last = clock()
                _tell(asked)
                with suppress(TimeoutError):
                    async with asyncio.timeout_at(
                        self._next_of_asked(due) if self._waiting else due
                    ) as self._pause:
                        await stopping.wait()
        finally:
            self._runs = False
            _tell([*asked, *self._waiting])
            self._waiting.clear()

    async def look_now(self) -> None:
        """Return when there was a look at the topics that may be asked for which began after this call.

        All who ask meanwhile share it. A database that does not answer is not waited for.
        """
        if not self._runs:
            return
        made = asyncio.get_running_loop().create_future()
        self._waiting.append(made)
        if (pause := self._pause) is not None and not pause.expired() and (due := pause.when()) is not None:
            with suppress(RuntimeError):  # it is over already
                pause.reschedule(self._next_of_asked(due))
        with suppress(TimeoutError):
            async with asyncio.timeout(_PATIENCE_SECONDS):
                await made

    def _next_of_asked(self, due: float) -> float:
        return min(due, self._last + _ASKED_SECONDS)

    async def look(self) -> None:
        """Look once at everything; it never raises."""
        await self._look_at(self._callbacks)

    async def _look_at(self, topics: Collection[str]) -> None:
        try:
            async with asyncio.timeout(_ANSWER_SECONDS):
                found = await self._read()
            for topic, callback in self._callbacks.items():
                if topic not in topics:
                    continue
                if self._seen.get(topic) != (version := (self._database.generation, found.get(topic, 0))):
                    await callback()
                    self._seen[topic] = version
        except TimeoutError:
            self._note(f"the database {self._database.name} does not answer in time")
        except StoreError as error:
            self._note(str(error))
        except Exception as error:  # noqa: BLE001 - whatever is in the database, running streams go on
            self._note(type(error).__name__, error)
        else:
            if topics is self._callbacks:
                # A look at some says nothing of the others, which may be what is wrong.
                self._note(None)

    async def _read(self) -> dict[str, int]:
        asked_at = time.monotonic()
        async with self._database.read() as connection:
            rows = (await connection.execute(_QUERY)).all()
        if rows:
            self._database.set_clock(rows[0].now, asked_at)
        return {row.topic: row.version for row in rows}

    def _note(self, trouble: str | None, error: Exception | None = None) -> None:
        """Log what is wrong once, and once that nothing is any more."""
        if trouble is not None and trouble != self._trouble:
            _log.warning(
                "cannot read the database; what is known stays valid", problem=trouble, **exception_facts(error)
            )
        elif trouble is None and self._trouble is not None:
            _log.info("the database can be read again")
        self._trouble = trouble


def _tell(waiting: Iterable[asyncio.Future[None]]) -> None:
    """Let those go on who wait for a look; some may have gone meanwhile."""
    for made in waiting:
        if not made.done():
            made.set_result(None)


_QUERY: Final = select(revisions.c.topic, revisions.c.version, database_time().label("now"))
