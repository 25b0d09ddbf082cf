"""How requests can end, and which of these ends are nobody's wish."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, Literal, get_args

__all__ = ["BROKEN", "OUTCOMES", "REFUSALS", "Outcome", "went_wrong"]

Outcome = Literal[
    "complete",
    "repaired",
    "truncated",
    "upstream_error",
    "violation",
    "cancelled",
    "refused",
    "rejected",
    "failed",
]
"""How a request ended; docs/architecture.md says what each means."""
OUTCOMES: Final[tuple[Outcome, ...]] = get_args(Outcome)
BROKEN: Final = ("failed", "truncated", "upstream_error", "violation")
"""Those of what went wrong, whatever the client was told."""
REFUSALS: Final[Mapping[str, tuple[int, ...]]] = {"refused": (429,), "rejected": ()}
"""Those of what may have gone wrong, with the statuses below 500 by which it has."""


def went_wrong(outcome: str | None, status: int | None) -> bool:
    """Return whether a request ended in a way that was not its client's doing.

    Args:
        outcome: of the request.
        status: HTTP status that the client got; below 400 it is that of a stream whose head had left.
    """
    if outcome is not None and outcome in REFUSALS:
        return status is None or not 400 <= status <= 499 or status in REFUSALS[outcome]  # noqa: PLR2004 - of clients
    return outcome in BROKEN
