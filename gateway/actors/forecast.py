"""Where a budget is heading: what will have been used when its period ends, if it goes on as it went."""

from __future__ import annotations

from typing import Final

from attrs import define

from gateway.actors.periods import period_end, period_start

__all__ = ["Forecast", "forecast"]

_LEAST_SHARE: Final = 0.04
"""Of a period that must be over before it says anything: an hour of a day, seven of a week, a day of a month."""


@define(frozen=True)
class Forecast:
    """What a budget is heading for."""

    at_end: float
    """What will have been used when the period ends, in the unit of what was used."""
    used_up_at: float | None
    """When the budget will be used up, in Unix seconds; None for not in this period."""


def forecast(period: str, used: float, limit: float, now: float) -> Forecast | None:
    """Return what a budget is heading for, if what is used until the period ends is used as fast as it was so far.

    Args:
        period: `day`, `week` or `month`.
        used: since it began.
        limit: the budget, in the same unit.
        now: Unix seconds of the database's clock.

    Returns:
        None while the period is too young to say.
    """
    start, end = period_start(period, now), period_end(period, now)
    gone = now - start
    if gone < _LEAST_SHARE * (end - start):
        return None
    at_end = used * (end - start) / gone
    if used >= limit:
        return Forecast(at_end, now)
    if at_end < limit or not used:
        return Forecast(at_end, None)
    # Which lies before the end, as at_end is no less than the limit.
    return Forecast(at_end, min(now + gone * (limit - used) / used, float(end)))
