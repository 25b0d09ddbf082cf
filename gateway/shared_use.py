"""What processes tell each other of use: each session's account, and how much of their limits accounts have used.

Requests read and change what is in memory. What is new is collected and written behind their backs, and what
others wrote is taken over within a second.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Hashable, Sequence
from typing import Final, TypeVar

from attrs import define, evolve, field

from gateway.accounts.affinity import MOST_PINS
from gateway.accounts.changes import LimitsSeen
from gateway.accounts.pins import SessionPin
from gateway.accounts.pool import AccountPool
from gateway.store.errors import StoreUnavailableError
from gateway.store.limits import LimitStore
from gateway.store.sessions import Place, SessionStore
from gateway.store.write_behind import WriteBehind

__all__ = ["SharedUse"]

_K = TypeVar("_K", bound=Hashable)
_V = TypeVar("_V")

_COLLECT_SESSIONS_SECONDS: Final = 0.2
_COLLECT_LIMITS_SECONDS: Final = 2.0
_BATCH: Final = 500  # pins in one transaction
_PAGE: Final = 250  # pins that are read at once
_MOST_LIMITS: Final = 5_000
_TIDY_SECONDS: Final = 60.0
_TIDY_BATCH: Final = 1_000

_Limit = tuple[str, str, str]


@define(eq=False)
class SharedUse:
    """The sessions and limits that all processes share."""

    sessions: SessionStore
    limits: LimitStore
    idle_seconds: float
    """After which a session may be served by any account again."""
    pools: list[AccountPool] = field(factory=list)
    """Those whose accounts are in the store."""
    session_writes: WriteBehind = field(factory=lambda: WriteBehind(pause_seconds=_COLLECT_SESSIONS_SECONDS))
    limit_writes: WriteBehind = field(factory=lambda: WriteBehind(pause_seconds=_COLLECT_LIMITS_SECONDS))
    _pins: dict[str, SessionPin] = field(factory=dict, init=False)
    _windows: dict[_Limit, LimitsSeen] = field(factory=dict, init=False)
    _place: Place | None = field(default=None, init=False)
    _limits_version: int = field(default=-1, init=False)
    _tidy_at: float = field(factory=time.monotonic, init=False)

    # What others say

    async def load_sessions(self) -> None:
        """Take over what was written of sessions since the last time; at first the newest that fit into memory.

        Raises:
            StoreError: the database cannot be used; the next call goes on where this one stopped.
        """
        if self._place is None:
            self._place = await self.sessions.place_before(MOST_PINS)
        count = _PAGE
        while count == _PAGE:
            pins, self._place = await self.sessions.after(self._place, self.idle_seconds, _PAGE)
            self._adopt(pins)
            count = len(pins)

    async def load_limits(self) -> None:
        """Take over what was written of limits since the last time.

        Raises:
            StoreError: the database cannot be used.
        """
        limits, self._limits_version = await self.limits.after(self._limits_version)
        for pool in self.pools:
            pool.learn(limits)

    # What is told to others

    def tell_session(self, pin: SessionPin) -> None:
        """Have a pin written soon."""
        _put(self._pins, pin.session_key, pin, MOST_PINS)
        self.session_writes.put("sessions", self._write_sessions)

    def tell_limits(self, seen: LimitsSeen) -> None:
        """Have what an answer said of limits written soon."""
        for one in seen.windows:
            key = (seen.account_id, one.window.name, one.window.family)
            _put(self._windows, key, evolve(seen, windows=(one,)), _MOST_LIMITS)
        self.limit_writes.put("limits", self._write_limits)

    async def _write_sessions(self) -> None:
        batch = list(self._pins.values())[:_BATCH]
        try:
            settled = await self.sessions.write(batch, self.idle_seconds) if batch else []
        except StoreUnavailableError:
            raise
        except Exception:
            # It would not go better the next time.
            self._forget_pins(batch)
            raise
        self._forget_pins(batch)
        self._adopt(settled)
        if time.monotonic() >= self._tidy_at:
            deleted = await self.sessions.forget(self.idle_seconds, _TIDY_BATCH)
            if deleted < _TIDY_BATCH:
                self._tidy_at = time.monotonic() + _TIDY_SECONDS
        if self._pins:
            self.session_writes.put("sessions", self._write_sessions)

    def _forget_pins(self, batch: list[SessionPin]) -> None:
        for pin in batch:
            # While it was written a later one may have taken its place.
            if self._pins.get(pin.session_key) is pin:
                del self._pins[pin.session_key]

    def _adopt(self, pins: Sequence[SessionPin]) -> None:
        for pool in self.pools:
            pool.adopt(pins)

    async def _write_limits(self) -> None:
        windows, self._windows = self._windows, {}
        try:
            if windows:
                await self.limits.write(windows.values())
        except (StoreUnavailableError, asyncio.CancelledError):
            self._windows = windows | self._windows
            raise


def _put(waiting: dict[_K, _V], key: _K, value: _V, most: int) -> None:
    """Put the latest of a key last, and drop the oldest of too many: it is told of again after a while."""
    waiting.pop(key, None)
    waiting[key] = value
    while len(waiting) > most:
        del waiting[next(iter(waiting))]
