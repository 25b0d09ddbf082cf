"""All rules, in the order in which they are checked."""

from __future__ import annotations

from fnmatch import fnmatchcase
from typing import Final

from gateway.canary.conformance import answers, endings, errors, requests, streams
from gateway.canary.conformance.bench import Rule

__all__ = ["FIXTURES", "RULES", "select"]

RULES: Final[tuple[Rule, ...]] = (
    *streams.book.rules,
    *requests.book.rules,
    *answers.book.rules,
    *endings.book.rules,
    *errors.book.rules,
)
"""Those that harm least come first: a gateway that takes its upstream out of use fails few of the others."""

FIXTURES: Final = (*streams.FIXTURES, *endings.FIXTURES)
"""What the rules play."""


def select(patterns: list[str], *, quick: bool) -> tuple[Rule, ...]:
    """Return the rules whose id fits a shell pattern, all without one; `quick` leaves out slow ones."""
    chosen = (rule for rule in RULES if not patterns or any(fnmatchcase(rule.id, one) for one in patterns))
    return tuple(rule for rule in chosen if not (quick and rule.slow))
