"""How late the event loop has been lately."""

from __future__ import annotations

from collections import deque
from statistics import median
from typing import Final

from attrs import define, field

__all__ = ["LoopLag"]

_KEPT: Final = 120
"""Looks, of which there are two a second."""


@define(eq=False)
class LoopLag:
    """The last minute's lags in seconds: how late a task was woken that slept for half a second."""

    _lags: deque[float] = field(factory=lambda: deque(maxlen=_KEPT), init=False)

    def note(self, seconds: float) -> None:
        """Take note of one."""
        self._lags.append(seconds)

    @property
    def typical(self) -> float:
        """Their median."""
        return median(self._lags) if self._lags else 0.0

    @property
    def longest(self) -> float:
        """The longest of them."""
        return max(self._lags, default=0.0)
