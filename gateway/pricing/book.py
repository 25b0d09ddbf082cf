"""All prices: those of the library, our corrections over them, and the operator's own over both."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, date, datetime
from functools import cache, lru_cache
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING, Final

from gateway.pricing.model_price import ModelPrice, plain_name
from gateway.pricing.price_file import PriceEntry, PricesError, parse_prices, read_prices
from gateway.pricing.terms import with_terms

if TYPE_CHECKING:
    from gateway.pricing.price_library import Library

__all__ = ["CORRECTIONS", "OVERRIDE", "ModelPrice", "PriceBook", "PricesError"]

CORRECTIONS: Final = "corrections"
OVERRIDE: Final = "override"

_LONGEST_NAME: Final = 200
_KEPT: Final = 512
"""Prices that were looked up last."""


class PriceBook:
    """What every model costs, at any time.

    A model that none of the sources names exactly, its date apart, has no price: that of claude-opus-4-1 says
    nothing about claude-opus-4-10.
    """

    def __init__(self, *layers: tuple[str, Sequence[PriceEntry]], library: Library) -> None:
        """Take the entries of files, each with the name of its source, the weakest first."""
        self._library = library
        self._layers = [(source, _by_model(entries)) for source, entries in layers]
        self._find_at = lru_cache(maxsize=_KEPT)(self._look_up)

    @classmethod
    def load(cls, override: Path | None = None) -> PriceBook:
        """Read all prices from this machine; there is no network in it. Blocks for some 0.2 s the first time.

        Raises:
            PricesError: the override file cannot be used; says why.
        """
        own = () if override is None else read_prices(override)
        return cls((CORRECTIONS, _corrections()), (OVERRIDE, own), library=_library())

    def find(self, model: str, at: float, provider: str = "anthropic") -> ModelPrice | None:
        """Return what a model cost, or None if nobody knows.

        Args:
            model: as asked or as served, with its date or without.
            at: when, in Unix seconds.
            provider: whose API it is, `anthropic` or `openai`.
        """
        name = model.strip().lower()
        if not name or len(name) > _LONGEST_NAME:
            return None
        try:
            # No price begins within a minute, and the next request is likely to ask the same.
            return self._find_at(name, int(at // 60), provider)
        except (OverflowError, OSError, ValueError):
            return None

    def _look_up(self, name: str, minute: int, provider: str) -> ModelPrice | None:
        when = datetime.fromtimestamp(minute * 60, UTC)
        plain = plain_name(name)
        price = self._library.find(provider, name, when) or self._library.find(provider, plain, when)
        if price is not None and provider == "anthropic":
            price = with_terms(price)
        for source, entries in self._layers:
            # What is said of one version of a model goes over what is said of all.
            for candidate in dict.fromkeys((plain, name)):
                for entry in entries.get((provider, candidate), ()):
                    if entry.holds(when):
                        price = entry.over(price, source)
        return price

    def models(self, provider: str = "anthropic") -> list[str]:
        """Return the names of all models that have a price, sorted."""
        own = {name for _, entries in self._layers for (owner, name) in entries if owner == provider}
        return sorted(own | set(self._library.names(provider)))


def _by_model(entries: Sequence[PriceEntry]) -> Mapping[tuple[str, str], Sequence[PriceEntry]]:
    """Return the entries of each model, in the order in which they are applied: the later begins, the later."""
    found: dict[tuple[str, str], list[PriceEntry]] = {}
    for entry in sorted(entries, key=lambda entry: entry.since or date.min):
        found.setdefault((entry.provider, entry.model.lower()), []).append(entry)
    return found


@cache
def _library() -> Library:
    # It takes a third of a second, which commands that price nothing need not wait for.
    from gateway.pricing.price_library import Library  # noqa: PLC0415 - see above

    return Library()


@cache
def _corrections() -> tuple[PriceEntry, ...]:
    return parse_prices(resources.files("gateway.pricing").joinpath("corrections.toml").read_text("utf-8"))
