"""Notices changes that other processes and hosts make, within a second.

See docs/decisions/0010-polling-a-revision-row.md for why it asks rather than being told.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping
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
_ANSWER_SECONDS: Final = 3.0


@define(eq=False)
class Watcher:
    """Looks at the revisions of topics and calls back when one has changed."""

    _database: Database
    _callbacks: Mapping[str, Callable[[], Awaitable[None]]]
    """By topic; each reads what changed. One that raises is called again at the next look."""
    _seen: dict[str, tuple[int, int]] = field(factory=dict, init=False)
    """By topic: of which database, and its revision there."""
    _trouble: str | None = field(default=None, init=False)

    async def run(self, stopping: asyncio.Event) -> None:
        """Look again and again, for the first time at once, until told to stop.

        Each callback is called once at the start. It never raises: when the database is down, what is known stays.
        """
        while not stopping.is_set():
            await self.look()
            with suppress(TimeoutError):
                async with asyncio.timeout(_POLL_SECONDS):
                    await stopping.wait()

    async def look(self) -> None:
        """Look once; it never raises."""
        try:
            async with asyncio.timeout(_ANSWER_SECONDS):
                found = await self._read()
            for topic, callback in self._callbacks.items():
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


_QUERY: Final = select(revisions.c.topic, revisions.c.version, database_time().label("now"))
