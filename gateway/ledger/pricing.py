"""Prices of the models, in USD per million tokens.

Source: Anthropic docs, "Pricing" (November 2026), and LiteLLM's `model_prices_and_context_window` 1.109.1 for the
models that the page does not list yet.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from attrs import define

__all__ = ["PRICES", "Price", "find_price", "price_of_cache_lost"]

_MILLION: Final = 1_000_000


@define(frozen=True)
class Price:
    """USD per million tokens of each kind."""

    input: float
    output: float
    cache_write_5m: float
    cache_write_1h: float
    cache_read: float


PRICES: Final[Mapping[str, Price]] = {
    "claude-fable-5-2": Price(8, 40, 10, 16, 0.20),
    "claude-fable-5-1": Price(10, 50, 12.50, 20, 0.25),
    "claude-mythos-5-1": Price(10, 50, 12.50, 20, 0.25),
    "claude-fable-5": Price(10, 50, 12.50, 20, 1.00),
    "claude-mythos-5": Price(10, 50, 12.50, 20, 1.00),
    "claude-mythos-preview": Price(10, 50, 12.50, 20, 1.00),
    "claude-opus-5-5": Price(4, 20, 5, 8, 0.20),
    "claude-opus-5": Price(5, 25, 6.25, 10, 0.50),
    "claude-opus-4-8": Price(5, 25, 6.25, 10, 0.50),
    "claude-opus-4-7": Price(5, 25, 6.25, 10, 0.50),
    "claude-opus-4-6": Price(5, 25, 6.25, 10, 0.50),
    "claude-opus-4-5": Price(5, 25, 6.25, 10, 0.50),
    "claude-opus-4-1": Price(15, 75, 18.75, 30, 1.50),
    "claude-opus-4": Price(15, 75, 18.75, 30, 1.50),
    "claude-sonnet-5-5": Price(2, 10, 2.50, 4, 0.10),
    "claude-sonnet-5": Price(2, 10, 2.50, 4, 0.20),
    "claude-sonnet-4-6": Price(3, 15, 3.75, 6, 0.30),
    "claude-sonnet-4-5": Price(3, 15, 3.75, 6, 0.30),
    "claude-sonnet-4": Price(3, 15, 3.75, 6, 0.30),
    "claude-haiku-5-5": Price(0.10, 0.50, 0.125, 0.20, 0.01),
    "claude-haiku-4-5": Price(1, 5, 1.25, 2, 0.10),
    "claude-haiku-3-5": Price(0.80, 4, 1, 1.60, 0.08),
    "claude-3-5-haiku": Price(0.80, 4, 1, 1.60, 0.08),
}
"""By the model's id without its date. Haiku 5.5 costs five times as much for prompts above 100,000 tokens."""

_LONG_PROMPT: Final = 100_000
_LONG_PROMPT_PRICES: Final[Mapping[str, Price]] = {"claude-haiku-5-5": Price(0.50, 2.50, 0.625, 1.00, 0.05)}


def find_price(model: str, prompt_tokens: int = 0) -> Price | None:
    """Return what a model costs, its date or not; None for a model that is not known.

    Args:
        model: as the client asked for it.
        prompt_tokens: all of the prompt, cached or not, on which the price of some models depends.
    """
    name = model.lower()
    for known in sorted(PRICES, key=len, reverse=True):
        rest = name.removeprefix(known)
        # A date may follow, but not another number: the price of claude-opus-4 is not that of claude-opus-4-9.
        if rest != name and (not rest or rest == "-latest" or (rest[0] in "-@" and len(rest) == _DATED)):
            prices = (
                _LONG_PROMPT_PRICES if prompt_tokens > _LONG_PROMPT and known in _LONG_PROMPT_PRICES else PRICES
            )
            return prices[known]
    return None


_DATED: Final = len("-20250929")


def price_of_cache_lost(model: str, tokens: int) -> float | None:
    """Return what it costs to write a cached prompt again rather than to read it, in USD; None if not known."""
    price = find_price(model, tokens)
    return None if price is None else tokens * (price.cache_write_5m - price.cache_read) / _MILLION
