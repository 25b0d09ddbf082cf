"""What a key may do: until when, with which models, and how much."""

from __future__ import annotations

from collections.abc import Iterable
from fnmatch import fnmatchcase
from typing import Final

from attrs import define, field, fields

__all__ = ["NANO", "PERIODS", "UNITS", "KeyLimits", "KeyTerms"]

NANO: Final = 1_000_000_000
"""Parts of a dollar that money is counted in, so that sums are exact."""
PERIODS: Final = ("day", "week", "month")
"""What budgets are for."""
UNITS: Final = ("nanousd", "tokens")
"""What budgets are in."""


@define(frozen=True)
class KeyLimits:
    """How much a key may use; None stands for as much as it likes.

    Tokens are those of the prompt, cached or not, and those of the answer.
    """

    requests_per_minute: int | None = None
    tokens_per_minute: int | None = None
    concurrent: int | None = None
    """Requests at the same time."""
    nanousd_day: int | None = None
    nanousd_week: int | None = None
    nanousd_month: int | None = None
    tokens_day: int | None = None
    tokens_week: int | None = None
    tokens_month: int | None = None

    def __bool__(self) -> bool:
        """Whether there is any limit."""
        return any(getattr(self, name) is not None for name in _NAMES)

    def budget(self, unit: str, period: str) -> int | None:
        """Return the budget in one of `UNITS` for one of `PERIODS`."""
        return getattr(self, f"{unit}_{period}")

    @property
    def is_in_money(self) -> bool:
        """Whether there is a budget in USD."""
        return any(self.budget("nanousd", period) is not None for period in PERIODS)

    @property
    def is_of_use(self) -> bool:
        """Whether there is a limit on what requests use, and not only on how many there are."""
        budgets = (self.budget(unit, period) for unit in UNITS for period in PERIODS)
        return self.tokens_per_minute is not None or any(budget is not None for budget in budgets)


_NAMES: Final = tuple(one.name for one in fields(KeyLimits))


@define(frozen=True)
class KeyTerms:
    """What a key may do."""

    expires_at: float | None = None
    """Unix seconds of the database's clock; None for never."""
    models: tuple[str, ...] = ()
    """Patterns with `*`, `?` and `[…]`, one of which a model must match; none for all models."""
    limits: KeyLimits = field(factory=KeyLimits)

    def forbidden(self, models: Iterable[str]) -> str | None:
        """Return the first of these models that the key may not use, or None."""
        if not self.models:
            return None
        for model in models:
            if not any(fnmatchcase(model.lower(), pattern.lower()) for pattern in self.models):
                return model
        return None
