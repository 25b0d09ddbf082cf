"""A check and what came of it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from enum import StrEnum
from typing import Any

from attrs import define, field

from gateway.canary.client import Exchange

__all__ = ["CheckResult", "Result", "Tokens", "judged", "not_checked"]


class Result(StrEnum):
    """What a check came to."""

    PASS = "pass"  # noqa: S105 - no password
    FAIL = "fail"
    NOT_CHECKED = "not checked"


@define
class CheckResult:
    """One row of the evidence."""

    name: str
    expected: str
    result: Result
    problems: list[str] = field(factory=list)
    """What was not as expected, in a few words each."""
    note: str = ""
    """What else is worth knowing, or why it was not checked."""
    exchanges: list[Exchange] = field(factory=list)

    @property
    def statuses(self) -> str:
        """The HTTP statuses that came, such as `200` or `200 x16`."""
        found = Counter("none" if one.status is None else str(one.status) for one in self.exchanges)
        return ", ".join(status if number == 1 else f"{status} x{number}" for status, number in found.items())

    @property
    def milliseconds(self) -> int | None:
        """The time of its slowest exchange; None if there was none."""
        return max((one.milliseconds for one in self.exchanges), default=None)

    @property
    def remarks(self) -> str:
        """Problems and note in one line."""
        return "; ".join(part for part in (*self.problems, self.note) if part)


def judged(
    name: str, expected: str, exchanges: Iterable[Exchange], problems: Iterable[str], note: str = ""
) -> CheckResult:
    """Return the result of a check that was made: it passes if there are no problems."""
    found = list(problems)
    return CheckResult(name, expected, Result.FAIL if found else Result.PASS, found, note, list(exchanges))


def not_checked(name: str, expected: str, why: str) -> CheckResult:
    """Return the result of a check that was not made."""
    return CheckResult(name, expected, Result.NOT_CHECKED, note=why)


@define
class Tokens:
    """What a run has used."""

    input: int = 0
    """Cached and uncached."""
    output: int = 0
    answers: int = 0
    """Messages that these are the tokens of."""

    def add(self, message: dict[str, Any] | None) -> None:
        """Add the usage of a message, as far as it says."""
        usage = message.get("usage") if message is not None else None
        if not isinstance(usage, dict):
            return
        self.answers += 1
        for name in ("input_tokens", "cache_creation_input_tokens", "cache_read_input_tokens"):
            self.input += _number(usage.get(name))
        self.output += _number(usage.get("output_tokens"))


def _number(value: Any) -> int:
    return value if isinstance(value, int) and not isinstance(value, bool) else 0
