"""What people are shown of requests in flight."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Annotated, Final

import msgspec

__all__ = [
    "LaneSegment",
    "MachineState",
    "StreamChange",
    "StreamView",
    "StreamsState",
    "change_between",
]


class LaneSegment(msgspec.Struct, array_like=True, frozen=True):
    """A part of a request's way: what it was at, from when and until when."""

    phase: str
    began: float
    """Seconds since the request came in."""
    ended: float | None
    """None while it goes on."""


class StreamView(msgspec.Struct, kw_only=True):
    """A request in flight."""

    id: str
    began_at: float
    route: str
    is_stream: bool
    worker: int
    """Place of the process that serves it."""
    provider: str | None
    actor: str
    account: str | None
    """That is asked now."""
    model: str | None
    session: str | None
    client: str | None
    phase: Annotated[
        str,
        msgspec.Meta(
            description="`waiting` (for an account), `head` (of the upstream's answer), `start`, the type of the "
            "block that is open, `between` two blocks, `ending`, `stopped`, `failed`, `violated`; `body` of an "
            "answer that is passed on as it comes."
        ),
    ]
    lane: list[LaneSegment]
    attempts: int
    heard_at: float | None
    """When the upstream last spoke; None where it has not yet."""
    longest_gap: float
    """Seconds."""
    bytes: int
    events: int
    output_tokens: int | None
    """Estimated from the bytes that came, until the upstream says how many there are."""
    is_exact: bool
    """Whether the upstream has said so."""
    tokens_per_second: float | None
    """Over the last five seconds, estimated."""


class StreamChange(msgspec.Struct, kw_only=True, omit_defaults=True):
    """What is new of a request in flight; what is absent is as it was."""

    id: str
    provider: str | msgspec.UnsetType | None = msgspec.UNSET
    actor: str | msgspec.UnsetType = msgspec.UNSET
    account: str | msgspec.UnsetType | None = msgspec.UNSET
    model: str | msgspec.UnsetType | None = msgspec.UNSET
    is_stream: bool | msgspec.UnsetType = msgspec.UNSET
    phase: str | msgspec.UnsetType = msgspec.UNSET
    lane_from: int | msgspec.UnsetType = msgspec.UNSET
    """How many segments of its lane stay; `lane` comes behind them."""
    lane: list[LaneSegment] | msgspec.UnsetType = msgspec.UNSET
    attempts: int | msgspec.UnsetType = msgspec.UNSET
    heard_at: float | msgspec.UnsetType | None = msgspec.UNSET
    longest_gap: float | msgspec.UnsetType = msgspec.UNSET
    bytes: int | msgspec.UnsetType = msgspec.UNSET
    events: int | msgspec.UnsetType = msgspec.UNSET
    output_tokens: int | msgspec.UnsetType | None = msgspec.UNSET
    is_exact: bool | msgspec.UnsetType = msgspec.UNSET
    tokens_per_second: float | msgspec.UnsetType | None = msgspec.UNSET


class StreamsState(msgspec.Struct, kw_only=True):
    """Requests in flight, or how they have changed."""

    whole: bool
    """Whether `came` is all there are; what was known before is no more."""
    at: float
    """When this was looked at."""
    came: list[StreamView]
    changed: list[StreamChange]
    gone: list[str]
    """Ids of those that are over."""
    not_shown: int
    """Requests in flight beyond those that are shown."""


class MachineState(msgspec.Struct, kw_only=True):
    """How often which edge of the state machine was taken, and how many streams are in which state."""

    since: float
    """When counting began: when somebody came to look."""
    edges: list[tuple[str, str, int]]
    """State, event, and how often since then; event `violation` for one that broke a rule."""
    states: dict[str, int]


_COMPARED: Final = tuple(
    name for name in StreamChange.__struct_fields__ if name not in {"id", "lane", "lane_from"}
)


def change_between(before: Mapping[str, StreamView], now: Iterable[StreamView]) -> StreamsState:
    """Return how the requests in flight have changed; time and what is not shown are still to be filled in."""
    state = StreamsState(whole=False, at=0.0, came=[], changed=[], gone=[], not_shown=0)
    seen: set[str] = set()
    for view in now:
        seen.add(view.id)
        known = before.get(view.id)
        if known is None:
            state.came.append(view)
        elif (change := _change(known, view)) is not None:
            state.changed.append(change)
    state.gone = [one for one in before if one not in seen]
    return state


def _change(before: StreamView, now: StreamView) -> StreamChange | None:
    changed = {name: value for name in _COMPARED if (value := getattr(now, name)) != getattr(before, name)}
    if now.lane != before.lane:
        # Nearly always only the last segment has ended and others came behind it.
        keep = len(before.lane) - 1
        if keep < 0 or now.lane[:keep] != before.lane[:keep]:
            keep = 0
        changed |= {"lane_from": keep, "lane": now.lane[keep:]}
    return StreamChange(id=now.id, **changed) if changed else None
