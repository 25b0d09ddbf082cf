"""How much of its limits an account has used, and how long it rests when it is refused for them."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import Final

import attrs
from attrs import define, field

from gateway.accounts.account import ACCOUNT_WIDE
from gateway.providers.limits import LimitWindow, RateLimits

__all__ = [
    "LONGEST_REST",
    "STALE_SECONDS",
    "Quota",
    "Rest",
    "SeenWindow",
    "Usage",
    "is_billed_beyond",
    "rest_after_overage",
    "rest_after_refusal",
]

LONGEST_REST: Final = 3600.0
"""Seconds after which it is tried again, by one request, whatever the refusal said."""
_DEFAULT_REST: Final = 30.0  # seconds, where the refusal does not say how long
_SHORTEST_REST: Final = 1.0
_LONGEST_WINDOW: Final = 8 * 86_400.0  # seconds; the longest known limit is a week's
_PLAUSIBLE: Final = 366 * 86_400.0  # seconds; who says more is not believed
STALE_SECONDS: Final = 3600.0
"""After which a share without a reset is forgotten."""
_MOST_WINDOWS: Final = 64
_MOST_FAMILIES: Final = 16
"""Of requests, whose use of limits is kept at hand."""
_REJECTED: Final = "rejected"
_TELL_AGAIN: Final = 60.0  # seconds after which a limit that hardly changes is told of all the same
_TELL_SHARE: Final = 0.01  # of a limit; a smaller change is no news


@define(frozen=True)
class Rest:
    """Which family of an account rests, and until when."""

    family: str
    until: float
    """Unix seconds."""


@define(frozen=True)
class Usage:
    """The limit of a family that is nearest to its end."""

    utilization: float = 0.0
    """0 for untouched or unknown, 1 for used up."""
    resets_at: float | None = None
    """Unix seconds."""


_UNUSED: Final = Usage()


@define(frozen=True)
class _KnownUsage:
    """What the windows of an account come to from one time until another, in Unix seconds."""

    usage: Usage
    since: float
    until: float


_NOTHING_SEEN: Final = _KnownUsage(_UNUSED, -math.inf, math.inf)


@define(frozen=True)
class SeenWindow:
    """A limit as an answer showed it; its family is never empty."""

    window: LimitWindow
    at: float
    """Unix seconds."""


@define
class Quota:
    """What answers have said about the limits of one account, here and elsewhere; bounded."""

    _seen: dict[tuple[str, str], SeenWindow] = field(factory=dict)
    _told: dict[tuple[str, str], SeenWindow] = field(factory=dict)
    """What others know."""
    _usages: dict[str, _KnownUsage] = field(factory=dict, init=False, eq=False, repr=False)
    """By family, for as long as no window is put or is over: every request asks all accounts."""

    def observe(self, limits: RateLimits, family: str, now: float) -> tuple[SeenWindow, ...]:
        """Take note of an answer to a request of this family; return what others should know."""
        news: list[SeenWindow] = []
        for window in limits.windows:
            of = window.family or family
            key = (window.name, of)
            seen = SeenWindow(attrs.evolve(window, family=of), now)
            self._see(key, seen)
            if _is_news(seen, self._told.get(key)):
                _put(self._told, key, seen)
                news.append(seen)
        return tuple(news)

    def merge(self, windows: Iterable[SeenWindow]) -> None:
        """Take note of what answers showed elsewhere, unless something newer is known."""
        for seen in windows:
            key = (seen.window.name, seen.window.family)
            known = self._seen.get(key)
            if known is None or known.at < seen.at:
                self._see(key, seen)
                _put(self._told, key, seen)

    def usage(self, family: str, now: float) -> Usage:
        """Return the limit that a request of this family would meet first."""
        known = self._usages.get(family)
        if known is None or not known.since <= now < known.until:
            if len(self._usages) >= _MOST_FAMILIES:
                self._usages.clear()
            known = self._usages[family] = self._find_usage(family, now) if self._seen else _NOTHING_SEEN
        return known.usage

    def _find_usage(self, family: str, now: float) -> _KnownUsage:
        usage, until = _UNUSED, math.inf
        for seen in self._seen.values():
            window = seen.window
            if window.family not in {ACCOUNT_WIDE, family} or not _holds(seen, now):
                continue
            used = _used(window)
            if used > usage.utilization:
                usage, until = Usage(used, window.resets_at), _end(seen)
        return _KnownUsage(usage, now, until)

    def _see(self, key: tuple[str, str], seen: SeenWindow) -> None:
        _put(self._seen, key, seen)
        self._usages.clear()

    def windows(self, now: float) -> Sequence[LimitWindow]:
        """Return what still holds, for people."""
        return tuple(seen.window for seen in self.seen(now))

    def seen(self, now: float) -> Sequence[SeenWindow]:
        """Return what still holds, and when it was seen."""
        return tuple(seen for seen in self._seen.values() if _holds(seen, now))

    def last_seen(self) -> float | None:
        """Return when an answer last showed a limit, whether or not it still holds; None for never."""
        return max((seen.at for seen in self._seen.values()), default=None)


def _put(windows: dict[tuple[str, str], SeenWindow], key: tuple[str, str], seen: SeenWindow) -> None:
    windows.pop(key, None)
    if len(windows) >= _MOST_WINDOWS:
        del windows[next(iter(windows))]
    windows[key] = seen


def _is_news(seen: SeenWindow, told: SeenWindow | None) -> bool:
    if told is None or seen.at - told.at >= _TELL_AGAIN or seen.window.status != told.window.status:
        return True
    used, resets_at = _used(seen.window), seen.window.resets_at
    known, reset = _used(told.window), told.window.resets_at
    if (resets_at is None) != (reset is None):
        return True
    moved = 0.0 if resets_at is None or reset is None else abs(resets_at - reset)
    return abs(used - known) >= _TELL_SHARE or moved >= _TELL_AGAIN


def _holds(seen: SeenWindow, now: float) -> bool:
    return now < _end(seen)


def _end(seen: SeenWindow) -> float:
    resets_at = seen.window.resets_at
    return seen.at + STALE_SECONDS if resets_at is None else resets_at


def _used(window: LimitWindow) -> float:
    if window.status == _REJECTED:
        return max(1.0, window.utilization or 0.0)
    used = window.utilization
    return used if used is not None and math.isfinite(used) and used > 0 else 0.0


def rest_after_refusal(limits: RateLimits, family: str, now: float) -> Rest:
    """Say which family rests after a 429, and until when: what it was told, within reason.

    Args:
        limits: of the refusal.
        family: the request's own, where the refusal does not name one.
        now: Unix seconds.
    """
    rests = limits.family or family
    told = limits.retry_after
    if told is not None and math.isfinite(told) and 0 < told <= _PLAUSIBLE:
        until = now + max(told, _SHORTEST_REST)
    else:
        until = max(_ends(limits.windows, {"", ACCOUNT_WIDE, rests}, now), default=now + _DEFAULT_REST)
    return Rest(rests, min(until, now + LONGEST_REST))


def is_billed_beyond(limits: RateLimits, family: str) -> bool:
    """Whether an answer that came all the same was billed beyond the plan, as its headers have it."""
    return limits.overage or any(
        window.status == _REJECTED and window.family in {"", ACCOUNT_WIDE, family} for window in limits.windows
    )


def rest_after_overage(limits: RateLimits, family: str, now: float) -> Rest:
    """Say which family rests because it is served at extra cost, and until when.

    Until the plan's own limit starts anew, however long that takes: to find out earlier would cost.

    Args:
        limits: of the answer.
        family: the request's own.
        now: Unix seconds.
    """
    rests = limits.family or ACCOUNT_WIDE
    ends = list(_ends(limits.windows, {"", ACCOUNT_WIDE, rests, family}, now))
    return Rest(rests, min(max(ends, default=now + LONGEST_REST), now + _LONGEST_WINDOW))


def _ends(windows: Iterable[LimitWindow], families: set[str], now: float) -> Iterable[float]:
    """Return when the windows that are used up start anew."""
    for window in windows:
        end = window.resets_at
        if end is not None and window.family in families and _used(window) >= 1 and now < end <= now + _PLAUSIBLE:
            yield end
