"""When which events came on a stream."""

from __future__ import annotations

import msgspec

from gateway.ledger.readable import in_words
from gateway.ledger.timeline import Entry, Timeline
from gateway.telemetry.logs import printable

__all__ = ["EntryView", "TimelineView", "timeline_view"]


class EntryView(msgspec.Struct, kw_only=True):
    """One event, or several deltas of one block that came close together. Times are seconds since the request."""

    at: float
    event: str
    """Its type; `committed` for the moment in which the client's answer began."""
    index: int | None
    """Of the block; of `message_start`, how many blocks it brings along."""
    detail: str | None
    """Type of the block, of the delta, of the error; or the stop reason."""
    count: int
    size: int
    """Bytes of all of them."""
    until: float
    """When the last of them came."""
    longest_gap: float
    """Seconds between two of several, at the most."""


class TimelineView(msgspec.Struct, kw_only=True):
    """A stream from its beginning to its end; never what was in it."""

    entries: list[EntryView]
    left_out: int
    """Events that are in no entry, because there were too many."""
    ended_at: float
    outcome: str
    reason: str | None
    """Why nothing more came."""
    violation: str | None
    """Its code."""
    broken: str | None
    """The event that broke a rule, without its content."""


def timeline_view(timeline: Timeline) -> TimelineView:
    """Return a timeline as it is shown."""
    broken = timeline.broken
    return TimelineView(
        entries=[_entry(entry) for entry in timeline.entries],
        left_out=timeline.left_out,
        ended_at=timeline.ended_at,
        outcome=timeline.outcome,
        reason=in_words(timeline.reason) if timeline.reason else None,
        violation=timeline.violation,
        broken=None if broken is None else broken.decode("utf-8", "backslashreplace"),
    )


def _entry(entry: Entry) -> EntryView:
    return EntryView(
        at=entry.at,
        event=printable(entry.event),
        index=entry.index,
        detail=printable(entry.detail),
        count=entry.count,
        size=entry.size,
        until=entry.end,
        longest_gap=entry.longest_gap,
    )
