"""What it costs that a session left the account that had its prompt cached."""

from __future__ import annotations

from decimal import Decimal

from gateway.pricing.book import PriceBook
from gateway.pricing.model_price import EXACT

__all__ = ["price_of_cache_lost"]


def price_of_cache_lost(
    model: str, tokens: int, *, prices: PriceBook, at: float, provider: str = "anthropic"
) -> float | None:
    """Return what it costs to write a cached prompt again rather than to read it, in USD; None if not known.

    An estimate for people to read: of the standard tier, written for five minutes.

    Args:
        model: as the client asked for it.
        tokens: that were cached.
        prices: to look prices up in.
        at: when, in Unix seconds.
        provider: whose API it is.
    """
    price = prices.find(model, at, provider)
    if price is None:
        return None
    rates = price.standard.rates(tokens)
    difference = EXACT.subtract(rates.cache_write_5m, rates.cache_read)
    return float(EXACT.multiply(difference, Decimal(max(tokens, 0))).scaleb(-6, EXACT))
