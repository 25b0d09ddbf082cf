"""What two answers to the same question have in common, whatever words, ids and times are in them."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import groupby
from typing import Any

from gateway.canary.streams import TimedEvent
from sse_fsm import EventKind

__all__ = ["event_order", "outline"]


def outline(value: Any) -> Any:
    """Return the names and kinds in a JSON value; of a list those of its first item."""
    if isinstance(value, dict):
        return {name: outline(item) for name, item in value.items()}
    if isinstance(value, list):
        return [outline(value[0])] if value else []
    return type(value).__name__


def event_order(events: Iterable[TimedEvent]) -> tuple[str, ...]:
    """Return the shapes of a stream's events: pings left out, and deltas of a kind in a row as one.

    A model cuts the same words into other deltas each time, and a gateway may add pings.
    """
    shapes = (event.shape for event in events if event.kind is not EventKind.PING)
    return tuple(shape for shape, _ in groupby(shapes))
