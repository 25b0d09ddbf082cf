"""From counters to money. The rules, with examples, are in docs/cost-and-usage.md.

Sources: Anthropic docs, "Pricing", "Fast mode", "Data residency", "Batch processing", "Refusals and fallback".
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from decimal import ROUND_HALF_EVEN, Decimal
from typing import Final

from attrs import define

from gateway.pricing.book import ModelPrice, PriceBook
from gateway.pricing.model_price import EXACT
from gateway.pricing.samplings import Refusals, billed_samplings
from gateway.pricing.usage import Iteration, Usage

__all__ = ["KINDS", "Cost", "CostLine", "Factor", "Note", "cost_of", "cost_of_many"]

KINDS: Final[Mapping[str, str]] = {
    "input": "input",
    "cache_write_5m": "cache writes for 5 minutes",
    "cache_write_1h": "cache writes for 1 hour",
    "cache_read": "cache reads",
    "output": "output",
    "web_searches": "web searches",
}
"""What is on a bill, in this order, and in words."""
_PARTIAL: Final = frozenset({"truncated", "upstream_error", "violation", "cancelled", "failed"})
"""Outcomes of answers that did not come to their end, so that the last counters may be missing."""
_NEVER_STARTED: Final = frozenset({"refused", "rejected"})
_FREE_METHODS: Final = frozenset({"GET", "HEAD", "DELETE", "OPTIONS"})
_STANDARD_TIERS: Final = frozenset({"standard", "default", "auto"})
_HERE: Final = frozenset({"global", "not_available"})
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
    REFUSED_AND_BILLED: Final = "refused before output but billed"
    REFUSED: Final = "refused midway"
    PARTIAL: Final = "partial"
    FALLBACK: Final = "fallback"
    CODE_EXECUTION: Final = "without code execution"


@define(frozen=True)
class Factor:
    """What a price is multiplied by."""

    what: str
    """Such as `speed fast`."""
    value: Decimal


@define(frozen=True, kw_only=True)
class CostLine:
    """One line of the bill."""

    kind: str
    """One of `KINDS`."""
    quantity: int
    unit_usd: Decimal
    """USD per million tokens, or for one; factors are in it."""
    usd: Decimal
    """Exact."""
    model: str | None = None
    """Whose tokens they are, its date apart; None for searches."""
    list_usd: Decimal | None = None
    """What `unit_usd` is without the factors; None where there are none."""
    factors: tuple[Factor, ...] = ()
    """Those in `unit_usd`."""

    @property
    def what(self) -> str:
        """The kind in words."""
        return KINDS[self.kind]


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
    refusal_category: str | None = None,
    fallback_categories: Sequence[str | None] = (),
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
        refusal_category: of a refusal, `stop_details.category`.
        fallback_categories: `trigger.category` of the blocks of type `fallback`, in their order.
        provider: whose API it is.
        route: the path, with its method before it or without.
    """
    is_partial = outcome in _PARTIAL
    if _is_free(route):
        return Cost(nanousd=0, note=Note.FREE)
    if outcome in _NEVER_STARTED:
        return Cost(nanousd=0, note=Note.NEVER_STARTED)
    if usage is None:
        notes = [Note.NO_USAGE, Note.PARTIAL] if is_partial else [Note.NO_USAGE]
        return Cost(nanousd=None, note="; ".join(notes), is_partial=is_partial)
    is_refused = stop_reason == "refusal"
    refusals = Refusals(
        at=at,
        is_refused=is_refused,
        is_empty=is_refused and not (bool(usage.output_tokens) if had_output is None else had_output),
        category=refusal_category,
        fallbacks=fallback_categories,
    )
    notes = list(_notes(usage, refusals, is_partial=is_partial))
    try:
        lines = tuple(_bill(usage, refusals, _Lookup(prices, at, provider), model))
        nanousd = _in_nanousd(lines)
    except _UnknownError as error:
        return Cost(nanousd=None, note="; ".join([str(error), *notes]), is_partial=is_partial)
    return Cost(nanousd=nanousd, note="; ".join(notes) or None, is_partial=is_partial, lines=lines)


def cost_of_many(
    usage: Usage, *, model: str, prices: PriceBook, at: float, prompt_tokens: int, provider: str = "anthropic"
) -> Decimal | None:
    """Return what many answers cost whose counters were added up, in USD; None if there is no price for something.

    Args:
        usage: the sums; iterations are not looked at.
        model: that served them.
        prices: to look prices up in.
        at: when, in Unix seconds.
        prompt_tokens: the size that the prompt of each is taken to have.
        provider: whose API it is.
    """
    lookup = _Lookup(prices, at, provider)
    try:
        lines = [*_tokens(usage, usage, lookup.price(model), prompt_tokens), *_searches(usage, lookup, model)]
    except _UnknownError:
        return None
    return _sum(lines)


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


def _notes(usage: Usage, refusals: Refusals, *, is_partial: bool) -> Iterator[str]:
    if is_partial:
        yield Note.PARTIAL
    if refusals.is_free:
        yield Note.REFUSED_BEFORE_OUTPUT
    elif refusals.is_empty:
        yield Note.REFUSED_AND_BILLED
    elif refusals.is_refused:
        yield Note.REFUSED
    if any(one.type == "fallback_message" for one in usage.iterations):
        yield Note.FALLBACK
    if usage.code_execution_requests and not (usage.web_search_requests or usage.web_fetch_requests):
        yield Note.CODE_EXECUTION


def _bill(usage: Usage, refusals: Refusals, lookup: _Lookup, model: str | None) -> Iterator[CostLine]:
    for one, name in billed_samplings(usage, model, refusals):
        yield from _tokens(one, usage, lookup.price(name), one.total_input_tokens)
    if not refusals.is_free:
        yield from _searches(usage, lookup, model)


def _searches(usage: Usage, lookup: _Lookup, model: str | None) -> Iterator[CostLine]:
    if usage.web_search_requests:
        each = lookup.price(model).web_search
        if each is None:
            raise _UnknownError(Note.UNKNOWN_SEARCH)
        usd = EXACT.multiply(each, Decimal(usage.web_search_requests))
        yield CostLine(kind="web_searches", quantity=usage.web_search_requests, unit_usd=each, usd=usd)


def _tokens(counts: Usage | Iteration, usage: Usage, price: ModelPrice, prompt_tokens: int) -> Iterator[CostLine]:
    schedule = price.standard
    factors: list[Factor] = []
    if usage.service_tier is not None and usage.service_tier not in _STANDARD_TIERS:
        tier = price.service_tiers.get(usage.service_tier)
        if tier is None:
            raise _UnknownError(Note.UNKNOWN_TIER)
        if isinstance(tier, Decimal):
            factors.append(Factor(f"service tier {usage.service_tier}", tier))
        else:
            schedule = tier
    factors += _factors(usage, price)
    listed = rates = schedule.rates(prompt_tokens)
    for factor in factors:
        rates = rates.times(factor.value)
    long = counts.cache_write_1h_tokens or 0
    short = max((counts.cache_write_tokens or 0) - long, 0)
    for kind, quantity in (
        ("input", counts.input_tokens),
        ("cache_write_5m", short),
        ("cache_write_1h", long),
        ("cache_read", counts.cache_read_tokens),
        ("output", counts.output_tokens),
    ):
        if quantity:
            rate = getattr(rates, kind)
            yield CostLine(
                kind=kind,
                quantity=quantity,
                unit_usd=rate,
                usd=EXACT.multiply(rate, Decimal(quantity)).scaleb(-6, EXACT),
                model=price.model,
                list_usd=getattr(listed, kind) if factors else None,
                factors=tuple(factors),
            )


def _factors(usage: Usage, price: ModelPrice) -> Iterator[Factor]:
    """Return what all tokens are multiplied by for speed and place."""
    if usage.speed is not None and usage.speed != "standard":
        if usage.speed not in price.speeds:
            raise _UnknownError(Note.UNKNOWN_SPEED)
        yield Factor(f"speed {usage.speed}", price.speeds[usage.speed])
    if usage.inference_geo is not None and usage.inference_geo not in _HERE:
        if usage.inference_geo not in price.geos:
            raise _UnknownError(Note.UNKNOWN_GEO)
        yield Factor(f"inference in {usage.inference_geo}", price.geos[usage.inference_geo])


def _in_nanousd(lines: Sequence[CostLine]) -> int:
    nanousd = int(_sum(lines).scaleb(9, EXACT).to_integral_value(ROUND_HALF_EVEN, EXACT))
    if nanousd > _LARGEST:
        raise _UnknownError(Note.TOO_LARGE)
    return nanousd


def _sum(lines: Sequence[CostLine]) -> Decimal:
    total = Decimal(0)
    for line in lines:
        total = EXACT.add(total, line.usd)
    return total
