"""From counters to money. The rules, with examples, are in docs/cost-and-usage.md.

Sources: Anthropic docs, "Pricing", "Fast mode", "Data residency", "Refusals and fallback", "Compaction"; the
docstrings of `types/beta/beta_usage.py` and of the types of its iterations in the `anthropic` Python SDK 2.12.0.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from decimal import ROUND_HALF_EVEN, Decimal
from typing import Final

from attrs import define

from gateway.pricing.book import ModelPrice, PriceBook
from gateway.pricing.model_price import EXACT
from gateway.pricing.usage import Iteration, Usage

__all__ = ["Cost", "CostLine", "Note", "cost_of"]

_PARTIAL: Final = frozenset({"truncated", "upstream_error", "violation", "cancelled", "failed"})
"""Outcomes of answers that did not come to their end, so that the last counters may be missing."""
_NEVER_STARTED: Final = frozenset({"refused", "rejected"})
_FREE_METHODS: Final = frozenset({"GET", "HEAD", "DELETE", "OPTIONS"})
_STANDARD_TIERS: Final = frozenset({"standard", "default", "auto"})
_HERE: Final = frozenset({"global", "not_available"})
_MESSAGES: Final = frozenset({"message", "fallback_message"})
_LARGEST: Final = 2**63 - 1


class Note:
    """Why a cost is not known, or is not simply what the counters say. Several are joined by `; `."""

    NO_USAGE: Final = "no usage"
    NO_MODEL: Final = "no model"
    UNKNOWN_MODEL: Final = "unknown model"
    UNKNOWN_TIER: Final = "unknown service tier"
    UNKNOWN_SPEED: Final = "unknown speed"
    UNKNOWN_GEO: Final = "unknown inference geo"
    UNKNOWN_SEARCH: Final = "unknown price of web search"
    TOO_LARGE: Final = "too large"
    FREE: Final = "free"
    NEVER_STARTED: Final = "no answer"
    REFUSED_BEFORE_OUTPUT: Final = "refused before output"
    REFUSED: Final = "refused midway"
    PARTIAL: Final = "partial"
    FALLBACK: Final = "fallback"
    FALLBACK_CREDIT: Final = "less a fallback credit"
    CODE_EXECUTION: Final = "without code execution"


@define(frozen=True, kw_only=True)
class CostLine:
    """One line of the bill."""

    what: str
    quantity: int
    unit_usd: Decimal
    """USD per million tokens, or for one; factors are in it."""
    usd: Decimal
    """Exact."""
    model: str | None = None


@define(frozen=True, kw_only=True)
class Cost:
    """What an answer cost."""

    nanousd: int | None
    """In 1e-9 USD, rounded half to even once at the end; None when not known."""
    note: str | None = None
    """Why it is not known, or what is special about it; see `Note`."""
    is_partial: bool = False
    """Whether the answer did not come to its end, so that it may have cost more."""
    lines: tuple[CostLine, ...] = ()
    """The bill line by line; empty when the cost is not known."""


class _UnknownError(Exception):
    """Something on the bill has no price; the message is the note."""


def cost_of(
    usage: Usage | None,
    *,
    model: str | None,
    prices: PriceBook,
    at: float,
    outcome: str,
    stop_reason: str | None,
    had_output: bool | None = None,
    provider: str = "anthropic",
    route: str = "/v1/messages",
) -> Cost:
    """Return what an answer cost. Never raises for anything that an upstream may say.

    Args:
        usage: its counters, the last that were seen.
        model: that served it; the one that was asked for if no answer said.
        prices: to look prices up in.
        at: when it began, in Unix seconds.
        outcome: how it ended, as in the ledger.
        stop_reason: of the message.
        had_output: whether there was any content; None for unknown, which of a refusal makes one that had, unless
            it counts no output.
        provider: whose API it is.
        route: the path, with its method before it or without.
    """
    is_partial = outcome in _PARTIAL
    if _is_free(route):
        return Cost(nanousd=0, note=Note.FREE)
    if outcome in _NEVER_STARTED:
        return Cost(nanousd=0, note=Note.NEVER_STARTED)
    if usage is None:
        return Cost(nanousd=None, note=Note.NO_USAGE, is_partial=is_partial)
    notes = [Note.PARTIAL] if is_partial else []
    if stop_reason == "refusal":
        if had_output is False or (had_output is None and not usage.output_tokens):
            return Cost(nanousd=0, note=Note.REFUSED_BEFORE_OUTPUT)
        notes.append(Note.REFUSED)
    if any(one.type == "fallback_message" for one in usage.iterations):
        notes.append(Note.FALLBACK)
    if usage.has_fallback_credit:
        notes.append(Note.FALLBACK_CREDIT)
    if usage.code_execution_requests and not (usage.web_search_requests or usage.web_fetch_requests):
        notes.append(Note.CODE_EXECUTION)
    try:
        lines = tuple(_bill(usage, _Lookup(prices, at, provider), model))
        nanousd = _in_nanousd(lines)
    except _UnknownError as error:
        return Cost(nanousd=None, note="; ".join([str(error), *notes]), is_partial=is_partial)
    return Cost(nanousd=nanousd, note="; ".join(notes) or None, is_partial=is_partial, lines=lines)


@define(frozen=True)
class _Lookup:
    prices: PriceBook
    at: float
    provider: str

    def price(self, model: str | None) -> ModelPrice:
        if model is None:
            raise _UnknownError(Note.NO_MODEL)
        price = self.prices.find(model, self.at, self.provider)
        if price is None:
            raise _UnknownError(Note.UNKNOWN_MODEL)
        return price


def _is_free(route: str) -> bool:
    method, _, path = route.rpartition(" ")
    return method in _FREE_METHODS or path.rstrip("/").endswith("/count_tokens")


def _bill(usage: Usage, lookup: _Lookup, model: str | None) -> Iterator[CostLine]:
    for one, name in _samplings(usage, model):
        yield from _tokens(one, usage, lookup.price(name))
    if usage.web_search_requests:
        each = lookup.price(model).web_search
        if each is None:
            raise _UnknownError(Note.UNKNOWN_SEARCH)
        usd = EXACT.multiply(each, Decimal(usage.web_search_requests))
        yield CostLine(what="web searches", quantity=usage.web_search_requests, unit_usd=each, usd=usd)


def _samplings(usage: Usage, model: str | None) -> Iterator[tuple[Usage | Iteration, str | None]]:
    """Yield whose tokens are on the bill, each with the model that it was.

    The counters of the answer hold the samplings of the model, but neither compactions nor advisors. Where the
    samplings are listed, the list is the bill: each may be another model, and of another size.
    """
    if not any(one.type in _MESSAGES for one in usage.iterations):
        yield usage, model
    for one in usage.iterations:
        yield one, one.model or model


def _tokens(counts: Usage | Iteration, usage: Usage, price: ModelPrice) -> Iterator[CostLine]:
    schedule = price.standard
    if usage.service_tier is not None and usage.service_tier not in _STANDARD_TIERS:
        tier = price.schedule(usage.service_tier)
        if tier is None:
            raise _UnknownError(Note.UNKNOWN_TIER)
        schedule = tier
    rates = schedule.rates(counts.total_input_tokens).times(_factor(usage, price))
    long = counts.cache_write_1h_tokens or 0
    short = max((counts.cache_write_tokens or 0) - long, 0)
    for what, quantity, rate in (
        ("input", counts.input_tokens, rates.input),
        ("cache writes for 5 minutes", short, rates.cache_write_5m),
        ("cache writes for 1 hour", long, rates.cache_write_1h),
        ("cache reads", counts.cache_read_tokens, rates.cache_read),
        ("output", counts.output_tokens, rates.output),
    ):
        if quantity:
            usd = EXACT.multiply(rate, Decimal(quantity)).scaleb(-6, EXACT)
            yield CostLine(what=what, quantity=quantity, unit_usd=rate, usd=usd, model=price.model)


def _factor(usage: Usage, price: ModelPrice) -> Decimal:
    """Return what all tokens are multiplied by for speed and place."""
    factor = Decimal(1)
    if usage.speed is not None and usage.speed != "standard":
        if usage.speed not in price.speeds:
            raise _UnknownError(Note.UNKNOWN_SPEED)
        factor = EXACT.multiply(factor, price.speeds[usage.speed])
    if usage.inference_geo is not None and usage.inference_geo not in _HERE:
        if usage.inference_geo not in price.geos:
            raise _UnknownError(Note.UNKNOWN_GEO)
        factor = EXACT.multiply(factor, price.geos[usage.inference_geo])
    return factor


def _in_nanousd(lines: Sequence[CostLine]) -> int:
    total = Decimal(0)
    for line in lines:
        total = EXACT.add(total, line.usd)
    nanousd = int(total.scaleb(9, EXACT).to_integral_value(ROUND_HALF_EVEN, EXACT))
    if nanousd > _LARGEST:
        raise _UnknownError(Note.TOO_LARGE)
    return nanousd
