"""The rules of the stream protocol, as people are told them."""

from __future__ import annotations

from typing import Literal

import msgspec

from sse_fsm import VIOLATIONS

__all__ = ["RuleView", "find_rule", "list_rules"]


class RuleView(msgspec.Struct, kw_only=True):
    """A rule of the stream protocol."""

    code: str
    """Stable: never renamed, never given a second meaning."""
    found_in: Literal["framing", "payload", "order"]
    """Which question an event failed: whether it is a usable event, whether it is, looked at alone, what its name
    promises, whether it may come where it came."""
    meaning: str
    """What breaks the rule, and what clients make of it where that is known."""


def find_rule(code: str) -> RuleView | None:
    """Return the rule of a violation's code; None where there is none, such as one of a later version."""
    violation = VIOLATIONS.get(code)
    if violation is None:
        return None
    return RuleView(code=code, found_in=violation.found_in, meaning=violation.meaning())


def list_rules() -> list[RuleView]:
    """Return all rules in the order in which an event is judged."""
    return [rule for code in VIOLATIONS if (rule := find_rule(code)) is not None]
