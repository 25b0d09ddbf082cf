"""What holds for all of Anthropic's models unless a price says otherwise: factors, and the price of a search.

Source: Anthropic docs, "Pricing", "Batch processing", "Data residency" and "Web search tool", November 2026.
"""

from __future__ import annotations

from decimal import Decimal
from typing import Final

from attrs import evolve

from gateway.pricing.model_price import ModelPrice

__all__ = ["CACHE_READ", "CACHE_WRITE_1H", "CACHE_WRITE_5M", "with_terms"]

CACHE_WRITE_5M: Final = Decimal("1.25")
CACHE_WRITE_1H: Final = Decimal(2)
CACHE_READ: Final = Decimal("0.1")
"""Times the price of input; newer models read for less."""

_BATCH: Final = Decimal("0.5")
_PRIORITY: Final = Decimal(1)
_US: Final = Decimal("1.1")
_WEB_SEARCH: Final = Decimal("0.01")


def with_terms(price: ModelPrice) -> ModelPrice:
    """Return a price of Anthropic's with what it does not say.

    Batches cost half; the library says so too, but from a day on. Priority tier is a commitment that is paid for
    apart from the requests, and no longer sold; its tokens count at the list price. Inference in the US costs a
    tenth more; models that cannot be asked for it report no place.
    """
    return evolve(
        price,
        service_tiers={**price.service_tiers, "batch": _BATCH, "priority": _PRIORITY},
        geos={"us": _US, **price.geos},
        web_search=_WEB_SEARCH if price.web_search is None else price.web_search,
    )
