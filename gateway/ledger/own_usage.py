"""What was used and what it cost by day and model, from what the ledger has."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from typing import Any, Final

from attrs import define, evolve, field

from gateway.ledger.recosting import cost_of_row, rows_of
from gateway.pricing.book import PriceBook
from gateway.pricing.cost import KINDS
from gateway.pricing.drift import Amounts, add_usage
from gateway.pricing.exports import ANY_MODEL, model_id
from gateway.pricing.usage import Usage
from gateway.store.accounts import AccountStore
from gateway.store.cost_rows import CostRows, RowFilter
from gateway.store.engine import Database

__all__ = ["FROM_SUMS", "PRICED_NOW", "OwnUsage", "own_usage", "unknown_accounts"]

PRICED_NOW: Final = "priced now"
"""In the place of a reason: there was no price when the request ended, and now there is."""
FROM_SUMS: Final = "sums"
"""In the place of a reason: the request is not kept any more, and its reason is not either."""


@define
class OwnUsage:
    """What there was."""

    amounts: dict[tuple[date, str], Amounts] = field(factory=lambda: defaultdict(Amounts))
    """By day, in UTC, and model."""
    from_sums: list[date] = field(factory=list)
    """Days of which no longer all rows are there, but sums: they have no models but those that answered."""
    requests: int = 0
    without_cost: Counter[str] = field(factory=Counter)
    """Requests whose cost is not known, by the reason: a `Note`, `PRICED_NOW` or `FROM_SUMS`."""


async def unknown_accounts(database: Database, names: Iterable[str], days: Iterable[date]) -> list[str]:
    """Return those of the names that no account has, and none had whose requests of these days are known.

    Raises:
        StoreError: the database cannot be used.
    """
    missing = set(names)
    if missing:
        missing -= {account.name for account in await AccountStore(database).all()}
    source = CostRows(database)
    for name in list(missing):
        wanted = RowFilter(accounts=frozenset({name}))
        starts = [datetime.combine(day, time(), UTC).timestamp() for day in sorted(set(days))]
        if await source.count(wanted) or any([await source.sums_of_day(start, wanted) for start in starts]):
            missing.discard(name)
    return sorted(missing)


async def own_usage(
    database: Database,
    prices: PriceBook,
    days: Iterable[date],
    *,
    accounts: frozenset[str] = frozenset(),
    progress: Callable[[int], None] | None = None,
) -> OwnUsage:
    """Return what requests to Anthropic used on these days.

    Args:
        database: open.
        prices: to part costs by model, where several models were at one request.
        days: in UTC.
        accounts: names of the accounts whose requests count; none for all.
        progress: told how many requests have been looked at.

    Raises:
        StoreError: the database cannot be used.
    """
    source, found = CostRows(database), OwnUsage()
    for day in sorted(set(days)):
        start = datetime.combine(day, time(), UTC)
        wanted = RowFilter(provider="anthropic", accounts=accounts, since=start.timestamp())
        wanted = evolve(wanted, until=(start + timedelta(days=1)).timestamp())
        sums = await source.sums_of_day(start.timestamp(), wanted)
        summed = sum(row["requests"] for row in sums)
        rows = await source.count(wanted)
        unsummed = await source.count(evolve(wanted, only_unsummed=True))
        if rows - unsummed < summed:
            found.from_sums.append(day)
            found.requests += summed
            found.without_cost[FROM_SUMS] += sum(int(row["unpriced"]) for row in sums)
            for row in sums:
                found.amounts[day, model_id(row["model"]) if row["model"] else ANY_MODEL].add(_of_sums(row))
            wanted = evolve(wanted, only_unsummed=True)
        async for page in rows_of(database, wanted):
            for row in page:
                _add(found, day, row, prices)
            found.requests += len(page)
            if progress is not None:
                progress(found.requests)
    return found


def _of_sums(row: Mapping[str, Any]) -> Amounts:
    names = {kind: kind if kind == "web_searches" else f"{kind}_tokens" for kind in KINDS}
    counts = {kind: int(row[name]) for kind, name in names.items()}
    return Amounts(counts=counts, usd=Decimal(int(row["cost_nanousd"])).scaleb(-9), unpriced=int(row["unpriced"]))


def _add(found: OwnUsage, day: date, row: Mapping[str, Any], prices: PriceBook) -> None:
    """Count what of a request is billed, under the model that each part was."""
    amounts = found.amounts
    served = model_id(row["model_served"] or row["model"] or "")
    nanousd, usage = row["cost_nanousd"], Usage.from_columns(row)
    if nanousd is None:
        amounts[day, served].unpriced += 1
        now = cost_of_row(row, prices)
        reason = (now.note or "").partition("; ")[0]
        found.without_cost[reason if now.nanousd is None else PRICED_NOW] += 1
    if usage is None or nanousd == 0:
        return
    cost = cost_of_row(row, prices)
    if nanousd is None or cost.nanousd != nanousd:
        # With other prices than today's: what is known is the whole.
        add_usage(amounts[day, served], usage)
        amounts[day, served].usd += Decimal(nanousd or 0).scaleb(-9)
        return
    for line in cost.lines:
        part = amounts[day, served if line.model is None else model_id(line.model)]
        part.counts[line.kind] += line.quantity
        part.usd += line.usd
