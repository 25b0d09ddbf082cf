"""Frees what requests had reserved that nobody answers for any more."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Final

from attrs import define, field

from gateway.actors.limits import UseStore
from gateway.store.errors import StoreError
from gateway.telemetry.logs import exception_facts, get_logger

__all__ = ["Reclaimer"]

_log = get_logger(__name__)

_LOOK_SECONDS: Final = 15.0


@define(eq=False)
class Reclaimer:
    """Looks for reservations of processes that died, and for those that this process lost sight of."""

    store: UseStore
    owner: str
    """This process."""
    clock: Callable[[], float]
    knows: Callable[[str], bool]
    """Whether this process answers for a request."""
    _suspects: frozenset[str] = field(factory=frozenset, init=False)
    """Processes that had not been heard of at the last look."""

    _has_tidied: bool = field(default=False, init=False)
    _one_at_a_time: asyncio.Lock = field(factory=asyncio.Lock, init=False)

    async def look(self) -> None:
        """Look once; it never raises."""
        try:
            async with asyncio.timeout(_LOOK_SECONDS), self._one_at_a_time:
                await self._look()
        except (StoreError, TimeoutError):
            # Others may not have been able to show that they are there either.
            self._suspects = frozenset()
        except Exception as error:  # noqa: BLE001 - it must not end the limits
            _log.error("a defect in the limits of keys", **exception_facts(error))

    async def _look(self) -> None:
        now = self.clock()
        if not self._has_tidied:
            await self.store.forget_processes(now)
            self._has_tidied = True
        found = await self.store.stale(self.owner, now)
        left = {
            one.id
            for one in found
            # A process is not taken for dead after one look: the database may have been away from it too.
            if one.is_certain
            or one.owner in self._suspects
            or (one.owner == self.owner and not self.knows(one.id))
        }
        self._suspects = frozenset(one.owner for one in found if one.owner != self.owner)
        if left:
            await self.store.reclaim(left, now)
            _log.info("what requests had reserved that nobody answers for is free again", requests=len(left))
