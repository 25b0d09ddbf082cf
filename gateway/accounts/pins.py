"""What processes tell each other of sessions, and who is right when they do not agree.

Two processes that meet a session at the same moment may choose different accounts for it. The store settles that:
it takes one pin after the other, and everybody goes by what it has.
"""

from __future__ import annotations

from typing import Final

from attrs import define, evolve

__all__ = ["SessionPin", "kept_seconds", "settle", "touch_seconds"]

_TOUCH: Final = 240.0  # seconds


@define(frozen=True)
class SessionPin:
    """The account of a session for one class of models, as all processes know it."""

    session_key: str
    """A keyed hash of the session and the class of models."""
    account_id: str
    used_at: float
    """Unix seconds; up to `touch_seconds` behind."""
    moves: int = 0
    """How often the session has changed accounts. Who tells of a move counts on from the pin that it knew."""
    cached_tokens: int = 0
    """Tokens that an answer read from the cache or wrote to it; as old as `used_at`, 0 for unknown."""


def touch_seconds(idle_seconds: float) -> float:
    """Return how many seconds a session may be in use before others are told that it still is."""
    return min(_TOUCH, idle_seconds / 4)


def kept_seconds(idle_seconds: float) -> float:
    """Return for how many seconds after its last known use a pin may still be in use somewhere."""
    return idle_seconds + 2 * touch_seconds(idle_seconds)


def settle(known: SessionPin | None, told: SessionPin, idle_seconds: float) -> SessionPin:
    """Return the pin that counts from now on: of two for the same session the one with more moves.

    So a move wins over what was before it, of two processes that moved or began a session at the same moment the
    first one to tell wins, and who does not know of a move cannot undo it.

    Args:
        known: what the store has.
        told: what a process says.
        idle_seconds: after which a session may be served by any account again.
    """
    if known is None:
        return told
    if known.account_id == told.account_id:
        newer, older = (told, known) if told.used_at >= known.used_at else (known, told)
        return evolve(
            newer,
            moves=max(known.moves, told.moves),
            cached_tokens=newer.cached_tokens or older.cached_tokens,
        )
    if told.moves > known.moves:
        return told
    if known.used_at < told.used_at - kept_seconds(idle_seconds):
        return evolve(told, moves=known.moves + 1)
    return known
