"""Days, weeks and months, all in UTC: a week begins on Monday, as in ISO 8601."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Final

__all__ = ["period_end", "period_start", "shown_time"]

_DAY: Final = 86_400
_WEEK: Final = 7 * _DAY
_MONDAY: Final = 4 * _DAY  # 5 January 1970


def period_start(period: str, at: float) -> int:
    """Return when the `day`, `week` or `month` began that a time is in, in Unix seconds."""
    second = int(at // 1)
    if period == "day":
        return second - second % _DAY
    if period == "week":
        return second - (second - _MONDAY) % _WEEK
    return int(_month(at).timestamp())


def period_end(period: str, at: float) -> int:
    """Return when the next `day`, `week` or `month` begins after a time, in Unix seconds."""
    if period == "month":
        first = _month(at)
        after = first.replace(year=first.year + first.month // 12, month=first.month % 12 + 1)
        return int(after.timestamp())
    return period_start(period, at) + (_DAY if period == "day" else _WEEK)


def shown_time(at: float) -> str:
    """Return a time as people read it, to the minute: `2026-11-24 00:00 UTC`."""
    return f"{datetime.fromtimestamp(at, UTC):%Y-%m-%d %H:%M} UTC"


def _month(at: float) -> datetime:
    # Whole seconds: fractions may be rounded into the next month.
    return datetime.fromtimestamp(at // 1, UTC).replace(day=1, hour=0, minute=0, second=0, microsecond=0)
