"""The timeline of a stream as people and scripts are shown it."""

from __future__ import annotations

from typing import Any, Final

from attrs import asdict

from gateway.ledger.readable import in_words
from gateway.ledger.timeline import Entry, Timeline
from gateway.telemetry.logs import printable

__all__ = ["print_timeline", "timeline_as_json"]

_SILENCE: Final = 1.0
"""Seconds without an event that are worth a mark."""
_COMMITTED: Final = "-- the client's answer begins --"


def timeline_as_json(timeline: Timeline) -> dict[str, Any]:
    """Return a timeline for scripts: times in seconds since the request came in, sizes in bytes."""
    broken = None if timeline.broken is None else timeline.broken.decode("utf-8", "backslashreplace")
    return {
        "entries": [asdict(entry) for entry in timeline.entries],
        "left_out": timeline.left_out,
        "ended_at": timeline.ended_at,
        "outcome": timeline.outcome,
        "reason": timeline.reason,
        "violation": timeline.violation,
        "broken": broken,
    }


def print_timeline(timeline: Timeline) -> None:
    """Print a line for each event, or for several deltas of one block that came close together."""
    print("timeline (seconds since the request; the gap is the longest silence up to there, ! a second or more):")
    print(f"{'TIME':>10} {'GAP':>8}  EVENT")
    last = 0.0
    for entry in timeline.entries:
        gap = max(entry.at - last, entry.longest_gap)
        print(f"{entry.at:>10.3f} {gap:>8.3f}{'!' if gap >= _SILENCE else ' '} {_event(entry)}")
        last = entry.end
    if timeline.left_out:
        print(f"{'':>20} {timeline.left_out} more events, of which nothing was kept")
    end = timeline.outcome
    if timeline.violation is not None:
        end += f": {timeline.violation}"
    if timeline.reason is not None:
        end += f": {in_words(timeline.reason)}"
    gap = timeline.ended_at - last
    print(f"{timeline.ended_at:>10.3f} {gap:>8.3f}{'!' if gap >= _SILENCE else ' '} -- {end} --")
    if timeline.broken is not None:
        print("\nthe event that broke the rule, without its content:")
        for line in timeline.broken.decode("utf-8", "backslashreplace").strip().splitlines():
            print(f"  {printable(line)}")


def _event(entry: Entry) -> str:
    if entry.event == "committed":
        return _COMMITTED
    parts = [printable(entry.event)]
    if entry.index is not None:
        parts.append(str(entry.index))
    if entry.detail is not None:
        parts.append(printable(entry.detail))
    if entry.count > 1:
        parts.append(f"x {entry.count}")
    if entry.until is not None:
        parts.append(f"until {entry.until:.3f}")
    parts.append(f"({entry.size} bytes)")
    return " ".join(parts)
