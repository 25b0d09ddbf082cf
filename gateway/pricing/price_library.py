"""Prices of `genai-prices`, from the data that is installed with it; it is never asked to fetch newer ones."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import datetime
from decimal import Decimal
from typing import Any, Final

from genai_prices import types
from genai_prices.data_snapshot import DataSnapshot, get_snapshot

from gateway.pricing.model_price import ModelPrice, Rates, Schedule

__all__ = ["LIBRARY", "Library"]

LIBRARY: Final = "genai-prices"

_PROVIDERS: Final = ("anthropic", "openai")
_TEXT_KEYS: Final = frozenset(
    {"input_mtok", "output_mtok", "cache_read_mtok", "cache_write_mtok", "cache_write_1h_mtok"}
)
_OTHER_MEDIA: Final = ("audio", "image", "video", "mchars", "hours", "seconds")
_THOUSAND: Final = Decimal(1000)


class Library:
    """Finds models by their exact names.

    The library itself matches many names by how they begin, so that it would have a price for a model that is not
    known yet, such as claude-opus-4-10: that of claude-opus-4-1.
    """

    def __init__(self, snapshot: DataSnapshot | None = None) -> None:
        """Read all names; takes a few milliseconds, and the time that the library takes to be imported."""
        self._models: dict[tuple[str, str], types.ModelInfo] = {}
        for provider in (snapshot or get_snapshot()).providers:
            if provider.id in _PROVIDERS:
                named = [(model, list(_names(model.match))) for model in provider.models]
                for exact in (True, False):
                    for model, names in named:
                        own = [(model.id, True), *names]
                        for name, is_exact in own:
                            if is_exact == exact:
                                self._models.setdefault((provider.id, name), model)

    def names(self, provider: str) -> list[str]:
        """Return the ids of all models of a provider, as the library has them."""
        return sorted({model.id for (owner, _), model in self._models.items() if owner == provider})

    def find(self, provider: str, name: str, at: datetime) -> ModelPrice | None:
        """Return what a model cost at a time; None if it has no price, or one that depends on more than text."""
        model = self._models.get((provider, name))
        if model is None:
            return None
        prices = _values(model.get_prices(at))
        standard = _schedule(prices)
        if standard is None:
            return None
        tiers: dict[str, Schedule | Decimal] = {}
        speeds: dict[str, Decimal] = {}
        for variant in model.price_variants or ():
            if variant.constraint is not None and not variant.constraint.active(at):
                continue
            kind, value = next(iter(variant.when.items()))
            schedule = _schedule(prices | _values(variant.prices))
            if len(variant.when) != 1 or schedule is None:
                continue
            if kind == "speed" and standard.base.input:
                factor = schedule.base.input / standard.base.input
                if standard.times(factor) == schedule:
                    speeds[value] = factor
            elif kind in {"service_tier", "processing"}:
                tiers[value] = schedule
        searches = prices.get("web_searches_kcount")
        return ModelPrice(
            model=name,
            provider=provider,
            source=LIBRARY,
            standard=standard,
            service_tiers=tiers,
            speeds=speeds,
            web_search=searches / _THOUSAND if isinstance(searches, Decimal) else None,
        )


def _names(match: Any) -> Iterator[tuple[str, bool]]:
    """Yield the names of a rule of matching, and whether each is meant exactly."""
    match match:
        case types.ClauseOr():
            for clause in match.or_:
                yield from _names(clause)
        case types.ClauseEquals():
            yield match.equals.lower(), True
        case types.ClauseStartsWith():
            yield match.starts_with.lower().rstrip("-@:"), False


def _values(prices: types.ModelPrice) -> dict[str, Decimal | types.TieredPrices]:
    return {key: value for key, value in vars(prices).items() if value is not None}


def _schedule(values: Mapping[str, Decimal | types.TieredPrices]) -> Schedule | None:
    """Return the rates of text; None where there are none, or where other media have rates of their own."""
    if "input_mtok" not in values or any(medium in key for key in values for medium in _OTHER_MEDIA):
        return None
    text = {key: value for key, value in values.items() if key in _TEXT_KEYS}
    tiered = [value for value in text.values() if isinstance(value, types.TieredPrices)]
    sizes = sorted({tier.start for value in tiered for tier in value.tiers})
    return Schedule(_rates(text, 0), tuple((size, _rates(text, size + 1)) for size in sizes))


def _rates(values: Mapping[str, Decimal | types.TieredPrices], prompt_tokens: int) -> Rates:
    def price(key: str, default: Decimal) -> Decimal:
        value = values.get(key, default)
        if isinstance(value, Decimal):
            return value
        found = value.base
        for tier in value.tiers:
            if prompt_tokens > tier.start:
                found = tier.price
        return found

    # A kind of input that has no price of its own is input like all other.
    of_input = price("input_mtok", Decimal(0))
    write = price("cache_write_mtok", of_input)
    return Rates(
        input=of_input,
        output=price("output_mtok", Decimal(0)),
        cache_write_5m=write,
        cache_write_1h=price("cache_write_1h_mtok", write),
        cache_read=price("cache_read_mtok", of_input),
    )
