"""Times for programs."""

from __future__ import annotations

from datetime import UTC, datetime

__all__ = ["iso"]


def iso(at: float | None) -> str | None:
    """Return a time as programs are given it: ISO 8601, in UTC.

    Args:
        at: Unix seconds; None, or a time that no calendar has, for none.
    """
    if at is None:
        return None
    try:
        return datetime.fromtimestamp(at, UTC).isoformat(timespec="milliseconds")
    except (ValueError, OverflowError, OSError):
        return None
