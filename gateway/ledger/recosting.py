"""Working out again what requests cost, from what the ledger has of them."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Callable, Mapping
from typing import Any, Final

from attrs import define, field

from gateway.pricing.book import PriceBook
from gateway.pricing.cost import Cost, Note, cost_of
from gateway.pricing.model_price import plain_name
from gateway.pricing.usage import Usage
from gateway.store.cost_rows import CostRows, RowFilter
from gateway.store.engine import Database
from gateway.store.request_rows import is_sound
from gateway.store.request_totals import CostChange, RequestTotals

__all__ = ["Recosting", "cost_of_row", "recost", "rows_of"]

_PAGE: Final = 500
"""Rows that are read at a time."""
_STEP: Final = 100
"""Rows that are changed in one transaction; streams that end wait for it."""
_BREATH_SECONDS: Final = 0.05
"""Between two of them."""


@define
class Recosting:
    """What came of it."""

    looked_at: int = 0
    changed: int = 0
    priced: int = 0
    """Of those changed, how many had no cost before."""
    difference_nanousd: int = 0
    """Sum of the new costs of those changed less that of the old ones."""
    unknown: Counter[tuple[str, str]] = field(factory=Counter)
    """Requests whose cost is still not known, by model and reason."""


def cost_of_row(row: Mapping[str, Any], prices: PriceBook) -> Cost:
    """Return what a row of the table of requests cost, by today's rules and the prices of its time."""
    note = row["cost_note"] or ""
    is_billed_refusal = Note.REFUSED_AND_BILLED in note
    had_output = None
    if row["stop_reason"] == "refusal":
        if Note.REFUSED_BEFORE_OUTPUT in note:
            had_output = False
        elif Note.REFUSED in note:
            had_output = True
    return cost_of(
        Usage.from_columns(row),
        model=row["model_served"] or row["model"],
        prices=prices,
        at=row["at"],
        outcome=row["outcome"] or "",
        stop_reason=row["stop_reason"],
        had_output=had_output,
        # Which of the categories that are billed it was makes no difference.
        refusal_category="bio" if is_billed_refusal else None,
        provider=row["provider"] or "",
        route=row["route"],
    )


async def rows_of(database: Database, wanted: RowFilter) -> AsyncIterator[list[Mapping[str, Any]]]:
    """Yield rows in the order of time, page by page; those that are damaged are left out.

    Raises:
        StoreError: the database cannot be used.
    """
    source, after = CostRows(database), None
    while page := await source.page(wanted, after=after, limit=_PAGE):
        yield [row for row in page if is_sound(row)]
        after = (page[-1]["at"], page[-1]["id"])


async def recost(
    database: Database,
    prices: PriceBook,
    wanted: RowFilter,
    *,
    model: str | None = None,
    dry_run: bool = False,
    progress: Callable[[int], None] | None = None,
) -> Recosting:
    """Work out the costs of rows again, and write those that come out differently; sums follow.

    May be run beside gateways, be broken off at any point, and be run again.

    Args:
        database: open.
        prices: to look prices up in.
        wanted: which rows.
        model: only requests that asked for this model or that it answered, its date apart.
        dry_run: write nothing.
        progress: told how many rows have been looked at.

    Raises:
        StoreError: the database cannot be used; what was written until then is there.
    """
    totals, result = RequestTotals(database), Recosting()
    only = None if model is None else plain_name(model)
    async for page in rows_of(database, wanted):
        chosen = [row for row in page if only is None or only in _names(row)]
        changes = [change for row in chosen if (change := _change(row, prices, result)) is not None]
        for start in range(0, 0 if dry_run else len(changes), _STEP):
            await totals.recost(changes[start : start + _STEP])
            await asyncio.sleep(_BREATH_SECONDS)
        if progress is not None:
            progress(result.looked_at)
    return result


def _names(row: Mapping[str, Any]) -> set[str]:
    return {plain_name(row[column] or "") for column in ("model", "model_served")}


def _change(row: Mapping[str, Any], prices: PriceBook, result: Recosting) -> CostChange | None:
    """Return what is different of a row; None for nothing. A cost that was known once stays when it no more is."""
    cost = cost_of_row(row, prices)
    before = row["cost_nanousd"]
    result.looked_at += 1
    if cost.nanousd is None:
        if before is None:
            result.unknown[row["model_served"] or row["model"] or "", cost.note or ""] += 1
        else:
            return None
    if (cost.nanousd, cost.note) == (before, row["cost_note"]):
        return None
    result.changed += 1
    result.priced += before is None and cost.nanousd is not None
    result.difference_nanousd += (cost.nanousd or 0) - (before or 0)
    return CostChange(row["id"], cost.nanousd, cost.note)
