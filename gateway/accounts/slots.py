"""How many requests each account serves, and the line of those that wait for their turn."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection
from typing import Final, Generic, TypeVar

from attrs import define, field

__all__ = ["LineFullError", "NotYet", "Slots", "WaitingLine"]

T = TypeVar("T")

_LEAST_PAUSE: Final = 0.01  # seconds; clocks do not agree to the microsecond


@define
class Slots:
    """Requests in flight, by account."""

    _taken: dict[str, int] = field(factory=dict)

    def taken(self, account_id: str) -> int:
        """Return how many requests an account serves."""
        return self._taken.get(account_id, 0)

    @property
    def ids(self) -> Collection[str]:
        """Accounts that serve any."""
        return self._taken.keys()

    def take(self, account_id: str) -> None:
        """Count one more."""
        self._taken[account_id] = self._taken.get(account_id, 0) + 1

    def give_back(self, account_id: str) -> None:
        """Count one less."""
        left = self._taken[account_id] - 1
        if left:
            self._taken[account_id] = left
        else:
            del self._taken[account_id]

    @property
    def total(self) -> int:
        """Requests in flight on all accounts."""
        return sum(self._taken.values())


class LineFullError(Exception):
    """As many wait as may."""


@define(frozen=True)
class NotYet:
    """There is nothing for whoever asks, but there may be."""

    seconds: float | None = None
    """When something is due to change by itself; None for never."""


@define(eq=False)
class _Waiter(Generic[T]):
    ask: Callable[[], T | NotYet]
    answer: asyncio.Future[T]
    pause: float | None = None


@define
class WaitingLine(Generic[T]):
    """Serves whoever came first of those that can be served; as long as it may be, and no longer."""

    length: int
    _waiters: dict[_Waiter[T], None] = field(factory=dict)

    def __len__(self) -> int:
        """Return how many wait."""
        return len(self._waiters)

    def serve(self, is_worthwhile: Callable[[], bool] = lambda: True) -> None:
        """Ask for everybody in line, in order.

        Args:
            is_worthwhile: asked before each; when it says no, the rest goes on waiting.
        """
        for waiter in list(self._waiters):
            if not is_worthwhile():
                return
            answer = waiter.ask()
            if isinstance(answer, NotYet):
                waiter.pause = answer.seconds
            else:
                del self._waiters[waiter]
                waiter.answer.set_result(answer)

    async def wait(self, ask: Callable[[], T | NotYet], give_back: Callable[[T], None], seconds: float) -> T:
        """Stand in line; return what there is when it is one's turn.

        Args:
            ask: takes what there is for this one, if there is anything.
            give_back: gets what was taken for a waiter that is cancelled at that very moment.
            seconds: how long to wait at the most.

        Raises:
            LineFullError: the line is as long as it may be.
            TimeoutError: nothing in time.
        """
        if len(self._waiters) >= self.length:
            raise LineFullError
        loop = asyncio.get_running_loop()
        deadline = loop.time() + seconds
        waiter = _Waiter(ask, loop.create_future())
        self._waiters[waiter] = None
        handed_out = False
        try:
            self.serve()  # learns when to ask again, too
            while not waiter.answer.done():
                left = deadline - loop.time()
                if left <= 0:
                    raise TimeoutError
                pause = left if waiter.pause is None else min(left, max(waiter.pause, _LEAST_PAUSE))
                await asyncio.wait([waiter.answer], timeout=pause)
                if not waiter.answer.done():
                    self.serve()
            handed_out = True
            return waiter.answer.result()
        finally:
            self._waiters.pop(waiter, None)
            if not handed_out and waiter.answer.done():
                give_back(waiter.answer.result())
