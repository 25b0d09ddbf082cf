"""What a record of a request says, in forms that people and programs can use."""

from __future__ import annotations

import json
from typing import Any, Final

from gateway.ledger.row import RequestRow
from gateway.telemetry.logs import printable
from sse_fsm import EndReason, Outcome

__all__ = ["OBSERVED", "attempts_of", "decoded", "ended_by", "in_words", "notes_of", "total_input", "why"]

OBSERVED: Final = "observed: the stream went on as it came"
"""Note on a stream that was judged and not held to it."""
_SHORT: Final = 40
_HINTS: Final = {
    "eof": "the upstream closed the stream",
    "cut": "the connection to the upstream broke",
    "timeout": "the upstream was silent, or took, too long",
    "shutdown": "the gateway was stopped",
    "cancelled": "the client went away",
}


def decoded(text: str | None) -> Any:
    """Return what a column that holds JSON says; its text where it is none."""
    try:
        return None if text is None else json.loads(text, parse_constant=lambda _: None)
    except (ValueError, RecursionError):
        return text


def attempts_of(row: RequestRow) -> list[dict[str, Any]]:
    """Return the attempts of a request: objects with account, fault, status, ms, and maybe began_ms."""
    attempts = decoded(row.attempts)
    return [one for one in attempts if isinstance(one, dict)] if isinstance(attempts, list) else []


def notes_of(row: RequestRow) -> list[str]:
    """Return what was noted of a request."""
    notes = decoded(row.notes)
    return [str(note) for note in notes] if isinstance(notes, list) else []


def in_words(reason: str) -> str:
    """Return why a stream ended early as people are told it; the reason itself where there are no words for it."""
    return _HINTS.get(reason) or printable(reason)


def ended_by(row: RequestRow) -> str | None:
    """Return in words why a request ended as it did; None where nothing is said of it."""
    # That the upstream ended a stream in order, if too early, is recorded as nothing else than the outcome.
    reason = row.reason or (EndReason.EOF if row.outcome == Outcome.TRUNCATED else None)
    return in_words(reason) if reason else None


def why(row: RequestRow) -> str:
    """Return in some words why a request did not go well; nothing for one that did."""
    if row.damage is not None:
        return row.damage
    if row.outcome == "complete":
        return ""
    if row.code:
        return printable(row.code, _SHORT)
    attempts = attempts_of(row)
    if attempts and attempts[-1].get("fault"):
        return printable(str(attempts[-1]["fault"]), _SHORT)
    notes = notes_of(row) if row.outcome == Outcome.REPAIRED else []
    words = ended_by(row) or (printable(notes[0]) if notes else "")
    return words if len(words) <= _SHORT else words[: _SHORT - 1] + "…"


def total_input(row: RequestRow) -> int | None:
    """Return all tokens of the prompt; None where none were counted."""
    counts = (row.input_tokens, row.cache_write_tokens, row.cache_read_tokens)
    known = [count for count in counts if count is not None]
    return sum(known) if known else None
