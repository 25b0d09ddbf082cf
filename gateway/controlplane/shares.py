"""Divides places among the addresses that want them, so that no one of them keeps all others out."""

from __future__ import annotations

from collections import Counter
from collections.abc import Generator
from contextlib import contextmanager

from attrs import define, field

from gateway.controlplane.sign_in.addresses import LOOPBACK, Networks, network_of

__all__ = ["Shares"]


@define(eq=False)
class Shares:
    """Places of which an address has no more than are free for others.

    So one address has half of them at the most, two have a third each, and there is room for one that comes anew
    until there are about as many addresses as places. Many people behind one address are not in each other's way
    as long as nobody else is there.
    """

    most: int
    near: Networks = field(factory=lambda: Networks(LOOPBACK))
    """Addresses that stand for many people, such as those of proxies: they may have all places."""
    kept: int = 0
    """More places, which none but the near ones may have."""
    _taken: Counter[str] = field(factory=Counter, init=False)

    def take(self, address: str) -> bool:
        """Take a place; return whether there was one."""
        network, in_all = network_of(address), self._taken.total()
        if address in self.near:
            is_free = in_all < self.most + self.kept
        else:
            is_free = self._taken[network] < self.most - in_all
        if is_free:
            self._taken[network] += 1
        return is_free

    def give_back(self, address: str) -> None:
        """Give a place back that was taken."""
        network = network_of(address)
        self._taken[network] -= 1
        if self._taken[network] <= 0:
            del self._taken[network]

    @contextmanager
    def taken(self, address: str) -> Generator[bool]:
        """Take a place for as long as the context lasts; give whether there was one."""
        if not self.take(address):
            yield False
            return
        try:
            yield True
        finally:
            self.give_back(address)
