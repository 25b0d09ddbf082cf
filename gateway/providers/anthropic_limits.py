"""What Anthropic's response headers say about an account's limits.

Source: Anthropic docs, "Rate limits" (response headers) and "Fast mode"; the `unified` headers of subscriptions
are not documented and are read as public recordings show them. Headers come from outside: what is implausible is
refused, value by value, and the rest is read.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Final

from attrs import define, field

from gateway.providers.limits import LimitWindow, RateLimits

__all__ = ["quota_family", "read_limits"]

_ACCOUNT: Final = "account"
_OWN: Final = ""
_FAST: Final = "fast"
_FAMILIES: Final = ("opus", "sonnet", "haiku", "fable", "mythos")
_LONGEST_FAMILY: Final = 64  # characters
_LONGEST_VALUE: Final = 64
_LONGEST_RESET: Final = 366 * 86_400.0  # seconds ahead
_MOST_UTILIZATION: Final = 100.0
_MILLISECONDS: Final = 1000.0
_STATUSES: Final = frozenset({"allowed", "allowed_warning", "rejected"})
_REJECTED: Final = "rejected"

_UNIFIED: Final = "anthropic-ratelimit-unified-"
_WINDOW: Final = re.compile(r"(\d{1,3}[hd](?:_[a-z][a-z0-9_]{0,30})?|overage)-(status|reset|utilization)\Z")
_COUNTED: Final = re.compile(
    r"anthropic-(?:ratelimit-(requests|tokens|input-tokens|output-tokens)"
    r"|((?:priority|fast)-(?:input|output)-tokens))-(limit|remaining|reset)\Z"
)
_NUMBER: Final = re.compile(r"\d{1,18}(?:\.\d{1,18})?\Z", re.ASCII)
_MOST_WINDOWS: Final = 32

_CLAIMS: Final[Mapping[str, tuple[str, str | None]]] = {
    "five_hour": ("5h", _ACCOUNT),
    "seven_day": ("7d", _ACCOUNT),
    "seven_day_opus": ("7d_opus", "opus"),
    "seven_day_sonnet": ("7d_sonnet", "sonnet"),
    # Of Fable and Mythos, each for itself: the request's own model says which.
    "seven_day_overage_included": ("7d_oi", None),
}
_SHARED: Final[Mapping[str, tuple[str, ...]]] = {"oi": ("fable", "mythos")}


def quota_family(model: str) -> str:
    """Return the class of models that shares limits with this one, such as `opus`; else the model's own name."""
    name = model[:_LONGEST_FAMILY].lower()
    if name == _ACCOUNT:
        # No client may name its model so that the limits of all others are meant.
        return _OWN
    return next((family for family in _FAMILIES if family in name), name)


@define
class _Reading:
    status: str | None = None
    resets_at: float | None = None
    utilization: float | None = None
    limit: float | None = None
    remaining: float | None = None

    def used(self) -> float | None:
        if self.limit is None or self.remaining is None or self.limit <= 0:
            return None
        return max(0.0, 1 - self.remaining / self.limit)


@define
class _Readings:
    now: float
    unified: dict[str, _Reading] = field(factory=dict)
    counted: dict[str, _Reading] = field(factory=dict)

    def note(self, name: str, value: str) -> None:
        """Take a header, its name in lower case."""
        if name.startswith(_UNIFIED):
            found = _WINDOW.match(name, len(_UNIFIED))
            if found is None:
                return
            reading = self._of(self.unified, found[1])
            if found[2] == "status":
                reading.status = value if value in _STATUSES else None
            elif found[2] == "reset":
                reading.resets_at = _time(value, self.now)
            else:
                reading.utilization = _share(value)
        elif (found := _COUNTED.match(name)) is not None:
            reading = self._of(self.counted, found[1] or found[2])
            if found[3] == "limit":
                reading.limit = _number(value)
            elif found[3] == "remaining":
                reading.remaining = _number(value)
            else:
                reading.resets_at = _time(value, self.now)

    @staticmethod
    def _of(readings: dict[str, _Reading], name: str) -> _Reading:
        if len(readings) >= _MOST_WINDOWS and name not in readings:
            return _Reading()
        return readings.setdefault(name, _Reading())


def read_limits(headers: Mapping[str, str], now: float) -> RateLimits:
    """Read what an answer says about the limits of the account that it came from.

    Args:
        headers: of the answer; names in any case.
        now: Unix seconds.
    """
    readings = _Readings(now)
    plain: dict[str, str] = {}
    for name, value in headers.items():
        lower = name.lower()
        if lower.startswith(("anthropic-", "retry-after")) and len(value) <= _LONGEST_VALUE:
            plain[lower] = value.strip()
    for name, value in plain.items():
        readings.note(name, value)
    family = _claim(readings, plain, now)
    windows = tuple(_windows(readings))
    if family is None and not plain.keys() & {_UNIFIED + "status"}:
        family = _fast_alone(windows)
    overage = plain.get(_UNIFIED + "overage-in-use", "").lower() == "true"
    return RateLimits(windows, _retry_after(plain, now), family, overage)


def _claim(readings: _Readings, plain: Mapping[str, str], now: float) -> str | None:
    """Return the family of the window that decided; note its status and reset where they stand nowhere else."""
    name, family = _CLAIMS.get(plain.get(_UNIFIED + "representative-claim", ""), (None, None))
    if name is None:
        return None
    known = readings.unified.setdefault(name, _Reading())
    status = plain.get(_UNIFIED + "status", "")
    if known.status is None and status in _STATUSES:
        known.status = status
    if known.resets_at is None:
        known.resets_at = _time(plain.get(_UNIFIED + "reset", ""), now)
    return family


def _windows(readings: _Readings) -> Iterator[LimitWindow]:
    for name, reading in readings.unified.items():
        if (reading.status, reading.resets_at, reading.utilization) == (None, None, None):
            continue
        for family in _families_of(name):
            yield LimitWindow(name, family, reading.utilization, reading.resets_at, reading.status)
    for name, reading in readings.counted.items():
        used = reading.used()
        if used is not None or reading.resets_at is not None:
            family = _FAST if name.startswith("fast-") else _OWN
            yield LimitWindow(name, family, used, reading.resets_at)


def _families_of(window: str) -> tuple[str, ...]:
    length, _, of = window.partition("_")
    if length == "overage":
        return ("overage",)
    return _SHARED.get(of, (of,)) if of else (_ACCOUNT,)


def _fast_alone(windows: tuple[LimitWindow, ...]) -> str | None:
    """Return `fast` where the limits of fast mode are used up and the model's own are not."""
    spent = {window.family for window in windows if window.utilization is not None and window.utilization >= 1}
    return _FAST if spent == {_FAST} else None


def _number(text: str) -> float | None:
    """Read a plain decimal number; nothing else that Python would take for one."""
    return float(text) if _NUMBER.match(text) else None


def _share(text: str) -> float | None:
    value = _number(text)
    return value if value is not None and value <= _MOST_UTILIZATION else None


def _time(text: str, now: float) -> float | None:
    """Read RFC 3339, or seconds or milliseconds since 1970; None for what lies behind or too far ahead."""
    value = _number(text)
    if value is None:
        return _ahead(_timestamp(text), now)
    return _ahead(value, now) or _ahead(value / _MILLISECONDS, now)


def _timestamp(text: str) -> float:
    try:
        when = datetime.fromisoformat(text)
        return when.timestamp() if when.tzinfo is not None else math.nan
    except (ValueError, OverflowError, OSError):
        return math.nan


def _ahead(time: float, now: float) -> float | None:
    return time if now < time <= now + _LONGEST_RESET else None


def _retry_after(plain: Mapping[str, str], now: float) -> float | None:
    """Return seconds: of `retry-after-ms`, which is more exact, else of `retry-after`, a number or a date."""
    milliseconds = _number(plain.get("retry-after-ms", ""))
    text = plain.get("retry-after", "")
    seconds = _number(text) if milliseconds is None else milliseconds / _MILLISECONDS
    if seconds is None and text:
        try:
            when = parsedate_to_datetime(text)
            seconds = (when if when.tzinfo is not None else when.replace(tzinfo=UTC)).timestamp() - now
        except (ValueError, OverflowError, OSError, TypeError, IndexError):
            return None
    return seconds if seconds is not None and 0 < seconds <= _LONGEST_RESET else None
