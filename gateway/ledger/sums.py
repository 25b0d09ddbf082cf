"""Sums of requests as people are shown them: of which spans of time, in which numbers, under which names."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping
from datetime import UTC, datetime
from typing import Any, Final, Self

from attrs import define

__all__ = ["DAY", "HOUR", "Period", "labels", "usage"]

_FINE: Final = 300
HOUR: Final = 3600
DAY: Final = 86400
_FINE_LASTS: Final = 47 * HOUR
_HOURS_LAST: Final = 399 * DAY
_MOST_FINE: Final = 6 * HOUR
_MOST_HOURS: Final = 8 * DAY
_PER_USD: Final = 1e9


@define(frozen=True)
class Period:
    """Whole spans of time."""

    since: float
    """Unix seconds, when the first span begins."""
    until: float
    """When the last one ends, or now."""
    span: int
    """Seconds."""

    @classmethod
    def covering(cls, begin: float | None, end: float | None, now: float, by: Collection[str] = ()) -> Self:
        """Return the spans that two times lie in: as fine as they are kept, and as a period of its length needs.

        Args:
            begin: Unix seconds; None for the first request. So are the next ones.
            end: None for now.
            now: the time that it is.
            by: `hour` or `day`, if it is asked for by these.

        Raises:
            ValueError: the times are in the wrong order, or all of it is still to come.
        """
        begin, end = max(begin or 0.0, 0.0), now if end is None else min(end, now)
        if begin >= end:
            raise ValueError("a period must have begun, and ends after it begins")
        length, age = end - begin, now - begin
        if "hour" in by:
            span = HOUR
        elif "day" in by or length > _MOST_HOURS or age > _HOURS_LAST:
            span = DAY
        else:
            span = _FINE if length <= _MOST_FINE and age <= _FINE_LASTS else HOUR
        return cls(begin // span * span, min(-(-end // span) * span, now), span)

    def __str__(self) -> str:
        """Return it as people read it."""
        return f"{_minute(self.since)} to {_minute(self.until)} UTC"


def _minute(at: float) -> str:
    return datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%d %H:%M")


def usage(sums: Mapping[str, Any]) -> dict[str, Any]:
    """Return sums, by the names of `gateway.ledger.totals.Sums`, as programs are given them."""
    written = sums["cache_write_5m_tokens"] + sums["cache_write_1h_tokens"]
    prompt = sums["input_tokens"] + written + sums["cache_read_tokens"]
    return {
        "requests": sums["requests"],
        "input_tokens": sums["input_tokens"],
        "cache_write_tokens": written,
        "cache_write_5m_tokens": sums["cache_write_5m_tokens"],
        "cache_write_1h_tokens": sums["cache_write_1h_tokens"],
        "cache_read_tokens": sums["cache_read_tokens"],
        "cached_share": round(sums["cache_read_tokens"] / prompt, 4) if prompt else None,
        "output_tokens": sums["output_tokens"],
        "thinking_tokens": sums["thinking_tokens"],
        "web_searches": sums["web_searches"],
        "cost_usd": sums["cost_nanousd"] / _PER_USD,
        "unpriced": sums["unpriced"],
        "partial": sums["partial"],
        "attempts": sums["attempts"],
        "switches": sums["switches"],
        "switch_usd": sums["switch_nanousd"] / _PER_USD,
    }


def labels(ids: Collection[str], names: Mapping[str, str]) -> dict[str, str]:
    """Return under which names actors are shown: their own, with the id behind where two have the same."""
    shown = {actor: names.get(actor, actor) for actor in ids}
    often = Counter(shown.values())
    return {actor: f"{name} ({actor})" if often[name] > 1 else name for actor, name in shown.items()}
