"""Which samplings of an answer are on the bill.

Sources: Anthropic docs, "Refusals and fallback", sections "How refusals are billed" and "Billing and rate limits",
September 2026, and "Compaction"; the docstring of `iterations` in `types/beta/beta_usage.py` of the `anthropic`
Python SDK 2.12.0.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from typing import Final

from attrs import define

from gateway.pricing.usage import Iteration, Usage

__all__ = ["Refusals", "billed_samplings"]

_MESSAGES: Final = frozenset({"message", "fallback_message"})
_FALLBACK: Final = "fallback_message"
_BILLED_CATEGORIES: Final = frozenset({"bio", "frontier_llm", "reasoning_extraction"})
_BILLED_SINCE: Final = datetime(2026, 9, 24, tzinfo=UTC).timestamp()


@define(frozen=True, kw_only=True)
class Refusals:
    """What is known of the refusals in an answer."""

    at: float
    """When the request began, in Unix seconds."""
    is_refused: bool
    """Whether the answer ended with one."""
    is_empty: bool = False
    """Whether that came before any output."""
    category: str | None = None
    """Its category."""
    fallbacks: Sequence[str | None] = ()
    """The categories of those for which the next model took over, in their order."""

    def is_billed(self, category: str | None) -> bool:
        """Say whether a refusal before any output is billed: in three categories, since 24 September 2026."""
        return category in _BILLED_CATEGORIES and self.at >= _BILLED_SINCE

    @property
    def is_free(self) -> bool:
        """Whether the last sampling is not billed."""
        return self.is_empty and not self.is_billed(self.category)


def billed_samplings(
    usage: Usage, model: str | None, refusals: Refusals
) -> Iterator[tuple[Usage | Iteration, str | None]]:
    """Yield whose tokens are billed, each with its model.

    Without a list of samplings these are the counters of the answer. With one, the list is the bill: the counters
    hold neither compactions nor advisors, and of a fallback only the model that answered.
    """
    answers = [one for one in usage.iterations if one.type in _MESSAGES]
    if not answers and not refusals.is_free:
        yield usage, model
    has_fallback = any(one.type == _FALLBACK for one in answers)
    hop, running = 0, None
    for one in usage.iterations:
        if one.type in _MESSAGES:
            # One that does not name its model is of the same as the one before.
            if running is not None and one.model is not None and one.model != running:
                hop += 1
            running = one.model or running
            if one is answers[-1]:
                if refusals.is_free or (refusals.is_refused and _is_declined(one, refusals, refusals.category)):
                    continue
            elif has_fallback and _is_declined(one, refusals, _at(refusals.fallbacks, hop)):
                continue
        yield one, one.model or running or model


def _is_declined(one: Iteration, refusals: Refusals, category: str | None) -> bool:
    """Say whether a model that did not answer refused before any output, at no cost."""
    return not one.output_tokens and not refusals.is_billed(category)


def _at(categories: Sequence[str | None], hop: int) -> str | None:
    return categories[hop] if hop < len(categories) else None
