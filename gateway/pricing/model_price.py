"""What a model's tokens cost: rates, how they depend on the size of the prompt, and the factors on top."""

from __future__ import annotations

import re
from collections.abc import Mapping
from decimal import Context, Decimal
from typing import Final

from attrs import define, field

__all__ = ["EXACT", "ModelPrice", "Rates", "Schedule", "plain_name"]

EXACT: Final = Context(prec=200)
"""For sums of money: a count times a price times factors has far fewer digits, so nothing is rounded."""

_DATED: Final = re.compile(r"(?P<plain>.+?)(?:[-@]\d{8}|-\d{4}-\d{2}-\d{2}|-latest)")


@define(frozen=True, kw_only=True)
class Rates:
    """USD per million tokens of each kind."""

    input: Decimal
    output: Decimal
    cache_write_5m: Decimal
    cache_write_1h: Decimal
    cache_read: Decimal

    def times(self, factor: Decimal) -> Rates:
        """Return them all times a factor."""
        return Rates(
            input=EXACT.multiply(self.input, factor),
            output=EXACT.multiply(self.output, factor),
            cache_write_5m=EXACT.multiply(self.cache_write_5m, factor),
            cache_write_1h=EXACT.multiply(self.cache_write_1h, factor),
            cache_read=EXACT.multiply(self.cache_read, factor),
        )


@define(frozen=True)
class Schedule:
    """Rates by the size of the prompt."""

    base: Rates
    above: tuple[tuple[int, Rates], ...] = ()
    """Rates of the whole request where its prompt has more tokens than the number; ascending."""

    def rates(self, prompt_tokens: int) -> Rates:
        """Return what the tokens of a request cost whose whole prompt, cached or not, has so many."""
        found = self.base
        for threshold, rates in self.above:
            if prompt_tokens > threshold:
                found = rates
        return found

    def times(self, factor: Decimal) -> Schedule:
        """Return all rates times a factor."""
        return Schedule(self.base.times(factor), tuple((size, rates.times(factor)) for size, rates in self.above))


@define(frozen=True, kw_only=True)
class ModelPrice:
    """What a model costs at one time."""

    model: str
    """Its id without a date."""
    provider: str
    source: str
    """Where the rates are from: `genai-prices`, `corrections`, or `override`."""
    standard: Schedule
    service_tiers: Mapping[str, Schedule | Decimal] = field(factory=dict)
    """By a service tier that is not the standard: prices of its own, or a factor on the standard's."""
    speeds: Mapping[str, Decimal] = field(factory=dict)
    """Factors on all tokens, by a speed that is not the standard."""
    geos: Mapping[str, Decimal] = field(factory=dict)
    """Factors on all tokens, by a place of inference that is not `global`."""
    web_search: Decimal | None = None
    """USD for one search; None where not known."""

    def schedule(self, service_tier: str) -> Schedule | None:
        """Return the rates of a service tier that is not the standard; None if they are not known."""
        found = self.service_tiers.get(service_tier)
        return self.standard.times(found) if isinstance(found, Decimal) else found


def plain_name(model: str) -> str:
    """Return a model's name in lower case and without its date."""
    name = model.strip().lower()
    dated = _DATED.fullmatch(name)
    return name if dated is None else dated["plain"]
