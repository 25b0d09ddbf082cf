"""Requests that are not over yet: which there are, and how far each has come.

Whoever serves a request adds it here and takes it away at its end; that is all that is done for it. How far it has
come is read from what the data plane has at hand anyway, and only while somebody looks.
"""

from __future__ import annotations

from collections import deque
from typing import Final, Protocol

from attrs import define, field

from gateway.ledger.record import RequestRecord
from sse_fsm import StreamGuard

__all__ = ["InFlight", "RequestsInFlight"]

_MOST_ENDED: Final = 10_000
"""That are kept between two looks; whoever looks does so every second."""


class InFlight(Protocol):
    """One request on its way."""

    @property
    def record(self) -> RequestRecord:
        """As far as it is known."""
        ...

    @property
    def started(self) -> float:
        """When it came in, on the event loop's clock."""
        ...

    @property
    def guard(self) -> StreamGuard | None:
        """Of the attempt that is under way or was the last one, once its answer turned out to be a stream."""
        ...

    @property
    def heard(self) -> float | None:
        """When the upstream last spoke, on the event loop's clock; None where nobody takes note of it."""
        ...

    @property
    def longest_gap(self) -> float:
        """Longest silence of the upstream in seconds, after content began."""
        ...

    @property
    def body_bytes(self) -> int | None:
        """Bytes so far of an answer that is passed on without being looked into; None for any other."""
        ...


@define(eq=False)
class RequestsInFlight:
    """The requests of this process that are not over."""

    now: set[InFlight] = field(factory=set, init=False)
    _ended: deque[InFlight] | None = field(default=None, init=False)
    """Those that ended since the last look; None while nobody looks."""

    def begin(self, request: InFlight) -> None:
        """Take note of one that has come in."""
        self.now.add(request)

    def end(self, request: InFlight) -> None:
        """Take note that it is over."""
        self.now.discard(request)
        if self._ended is not None:
            self._ended.append(request)

    def watch(self) -> None:
        """From now on, keep those that end until they have been looked at."""
        self._ended = deque(maxlen=_MOST_ENDED)

    def unwatch(self) -> None:
        """Keep none any more."""
        self._ended = None

    def take_ended(self) -> list[InFlight]:
        """Return those that ended since this was last asked; none while nobody watches."""
        ended = list(self._ended or ())
        if self._ended is not None:
            self._ended.clear()
        return ended
