"""How often somebody may try to prove who they are: by address, by name and in all, in bounded memory."""

from __future__ import annotations

import math
import time
from collections import OrderedDict
from collections.abc import Callable, Hashable
from typing import Final

from attrs import define, field

from gateway.controlplane.sign_in.addresses import network_of
from gateway.wire.errors import ApiError

__all__ = ["PASSWORD", "Attempts"]

PASSWORD: Final = "password"  # noqa: S105 - a way to sign in
"""The kind of attempts that anybody can make for anybody's name."""
_MOST_KNOWN: Final = 4096
_WAIT: Final = "Too many attempts to sign in; wait {} seconds and try again."
_GUESSED: Final = (
    "Too many attempts to sign in by this name, or by too many: somebody may be guessing. Wait {} seconds and try "
    "again. Meanwhile you can sign in from where you have before; or ask an admin for a link, or run "
    "`gateway dashboard link --name NAME` where the gateway runs: a link is always good."
)
_LONGEST_WAIT: Final = 60


@define
class _Buckets:
    """Each holds so many attempts, and gets one back in so many seconds; those that are not there are full."""

    size: int
    seconds: float
    clock: Callable[[], float]
    _known: OrderedDict[Hashable, tuple[float, float]] = field(factory=OrderedDict, init=False)
    """What each had, and when."""

    def left(self, key: Hashable) -> float:
        if key not in self._known:
            return self.size
        had, at = self._known[key]
        return min(self.size, had + (self.clock() - at) / self.seconds)

    def take(self, key: Hashable, count: float) -> None:
        self._known[key] = (min(self.size, self.left(key) - count), self.clock())
        self._known.move_to_end(key)
        while len(self._known) > _MOST_KNOWN:
            self._known.popitem(last=False)

    def wait(self, key: Hashable) -> float:
        """Return how long it takes until there is one."""
        return max(0.0, (1 - self.left(key)) * self.seconds)


@define(eq=False)
class Attempts:
    """Counts attempts; one that succeeds is given back."""

    clock: Callable[[], float] = time.monotonic
    _of_addresses: _Buckets = field(init=False)
    _of_names: _Buckets = field(init=False)
    _in_all: _Buckets = field(init=False)
    _good: OrderedDict[tuple[str, str], None] = field(factory=OrderedDict, init=False)
    """Addresses from which names did sign in: others who try these names do not keep their owners out."""

    def __attrs_post_init__(self) -> None:
        """Begin with nothing tried."""
        self._of_addresses = _Buckets(10, 30.0, self.clock)
        self._of_names = _Buckets(10, 60.0, self.clock)
        self._in_all = _Buckets(100, 1.0, self.clock)

    def take(self, kind: str, address: str, name: str = "") -> None:
        """Begin an attempt.

        Args:
            kind: of what is proven: a failure of one kind does not keep anybody from trying the other.
            address: it comes from.
            name: of the user, if it is for one.

        Raises:
            ApiError: 429, there were too many.
        """
        buckets = list(self._buckets(kind, address, name))
        of_address, *others = (bucket.wait(key) for bucket, key in buckets)
        if (wait := max(of_address, *others, 0.0)) > 0:
            seconds = min(_LONGEST_WAIT, math.ceil(wait))
            is_guessed = kind == PASSWORD and of_address <= 0
            raise ApiError(429, (_GUESSED if is_guessed else _WAIT).format(seconds), retry_after=seconds)
        for bucket, key in buckets:
            bucket.take(key, 1)

    def succeeded(self, kind: str, address: str, name: str = "") -> None:
        """Give an attempt back that succeeded."""
        self.give_back(kind, address, name)
        if name:
            self.know(name, address)

    def know(self, name: str, address: str) -> None:
        """Take note that somebody has signed in from an address."""
        place = name, network_of(address)
        self._good[place] = None
        self._good.move_to_end(place)
        while len(self._good) > _MOST_KNOWN:
            self._good.popitem(last=False)

    def give_back(self, kind: str, address: str, name: str = "") -> None:
        """Count an attempt as not made: nothing came of it, good or bad."""
        for bucket, key in self._buckets(kind, address, name):
            bucket.take(key, -1)

    def _buckets(self, kind: str, address: str, name: str) -> list[tuple[_Buckets, Hashable]]:
        network = network_of(address)
        found: list[tuple[_Buckets, Hashable]] = [(self._of_addresses, (kind, network))]
        if name and (name, network) not in self._good:
            # Passwords are guessed from many addresses at once; tokens are too long to be.
            found += [(self._of_names, (kind, name)), (self._in_all, kind)]
        return found
