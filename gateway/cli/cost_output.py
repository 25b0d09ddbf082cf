"""Prices and drift as people and scripts are shown them."""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal
from typing import Any, Final

from attrs import asdict

from gateway.ledger.own_usage import FROM_SUMS, PRICED_NOW, OwnUsage
from gateway.pricing.cost import KINDS, Note
from gateway.pricing.drift import Comparison, Drift
from gateway.pricing.model_price import ModelPrice, Rates, Schedule
from gateway.telemetry.logs import printable

__all__ = ["drift_as_json", "price_as_json", "print_drift", "print_prices", "usd"]

_PLACES: Final = Decimal("0.000001")
_ADVICE: Final = {
    PRICED_NOW: "there was no price then, and there is one now: `gateway costs recompute`",
    FROM_SUMS: "not kept any more, but in sums; why is not known",
    Note.NO_USAGE: "no usage came with the answer, so that nobody here can tell it",
    Note.NO_MODEL: "nobody said which model it was, so that nobody here can tell it",
    Note.TOO_LARGE: "the counters are nonsense",
}
"""Why a request has no cost, where no price would help, and one where only the command is left to be run."""
_RATES: Final = ("input", "output", "cache_write_5m", "cache_write_1h", "cache_read")


def usd(amount: Decimal) -> str:
    """Return an amount with six digits after the point."""
    return f"{amount.quantize(_PLACES):f}"


def price_as_json(price: ModelPrice) -> dict[str, Any]:
    """Return a price as a JSON object; amounts are texts, lest a digit be lost."""
    return {
        "model": price.model,
        "provider": price.provider,
        "source": price.source,
        "usd_per_million_tokens": _schedule_as_json(price.standard),
        "service_tiers": {
            name: {"factor": _plain(tier)} if isinstance(tier, Decimal) else _schedule_as_json(tier)
            for name, tier in price.service_tiers.items()
        },
        "speeds": {name: _plain(factor) for name, factor in price.speeds.items()},
        "geos": {name: _plain(factor) for name, factor in price.geos.items()},
        "usd_per_web_search": None if price.web_search is None else _plain(price.web_search),
    }


def _schedule_as_json(schedule: Schedule) -> dict[str, Any]:
    above = [{"prompt_tokens_above": size, **_rates_as_json(rates)} for size, rates in schedule.above]
    return {**_rates_as_json(schedule.base), "above": above}


def _rates_as_json(rates: Rates) -> dict[str, str]:
    return {name: _plain(value) for name, value in asdict(rates).items()}


def _plain(amount: Decimal) -> str:
    return f"{amount.normalize():f}"


def print_prices(prices: Sequence[ModelPrice]) -> None:
    """Print a table of prices, and what there is to say of a single one."""
    heads = ("MODEL", "INPUT", "OUTPUT", "WRITE 5M", "WRITE 1H", "READ", "SOURCE")
    lines: list[tuple[str, ...]] = [heads]
    for price in prices:
        lines.append((price.model, *_cells(price.standard.base), price.source))
        for size, rates in price.standard.above:
            lines.append((f"  prompts above {size:,}", *_cells(rates), ""))
    print("USD per million tokens")
    _print_table(lines)
    if len(prices) == 1:
        _print_rest(prices[0])


def _cells(rates: Rates) -> tuple[str, ...]:
    return tuple(_plain(getattr(rates, name)) for name in _RATES)


def _print_rest(price: ModelPrice) -> None:
    for name, tier in price.service_tiers.items():
        cost = f"times {_plain(tier)}" if isinstance(tier, Decimal) else " / ".join(_cells(tier.base))
        print(f"service tier {name}: {cost}")
    for name, factor in price.speeds.items():
        print(f"speed {name}: times {_plain(factor)}")
    for name, factor in price.geos.items():
        print(f"inference in {name}: times {_plain(factor)}")
    if price.web_search is not None:
        print(f"a web search: ${_plain(price.web_search)}")


def _print_table(lines: Sequence[Sequence[str]], *, texts: frozenset[int] = frozenset({0, 6})) -> None:
    widths = [max(len(line[column]) for line in lines) for column in range(len(lines[0]))]
    for line in lines:
        cells = [
            cell.ljust(width) if column in texts else cell.rjust(width)
            for column, (cell, width) in enumerate(zip(line, widths, strict=True))
        ]
        print("  ".join(cells).rstrip())


def drift_as_json(comparisons: Sequence[Comparison], found: OwnUsage, tolerance: Decimal) -> dict[str, Any]:
    """Return a comparison as a JSON object."""
    rows = [_comparison_as_json(one, tolerance) for one in comparisons]
    return {
        "tolerance_percent": _plain(tolerance),
        "is_within": not any(row["is_beyond"] for row in rows),
        "requests": found.requests,
        "ours_without_cost": dict(sorted(found.without_cost.items())),
        "days_from_sums": [day.isoformat() for day in found.from_sums],
        "days": rows[:-1],
        "total": rows[-1],
    }


def _comparison_as_json(one: Comparison, tolerance: Decimal) -> dict[str, Any]:
    return {
        "day": None if one.day is None else one.day.isoformat(),
        "model": one.model,
        "usd": {
            **_drift_as_json(one.usd, usd),
            "theirs_is": "reported" if one.theirs.is_priced else "priced here",
        },
        "counts": {kind: _drift_as_json(drift, int) for kind, drift in one.counts.items()},
        "ours_without_cost": one.ours.unpriced,
        "theirs_without_cost": one.theirs.unpriced,
        "is_beyond": one.is_beyond(tolerance),
    }


def _drift_as_json(drift: Drift, show: Any) -> dict[str, Any]:
    percent = drift.percent
    return {
        "ours": show(drift.ours),
        "theirs": show(drift.theirs),
        "difference": show(drift.difference),
        "percent": None if percent is None else round(float(percent), 4),
    }


def print_drift(comparisons: Sequence[Comparison], found: OwnUsage, tolerance: Decimal) -> None:
    """Print a comparison: for each day and model what differs, and the cost; then the sums."""
    lines: list[tuple[str, ...]] = [("DAY", "MODEL", "", "OURS", "THEIRS", "DRIFT", "%", "")]
    for one in comparisons:
        day = "total" if one.day is None else one.day.isoformat()
        model = printable(one.model)
        for kind, drift in one.counts.items():
            lines.append((day, model, KINDS[kind], *_numbers(drift, "{:,}", "{:+,}"), ""))
            day, model = "", ""
        mark = " <- beyond" if one.is_beyond(tolerance) else ""
        how = "" if one.theirs.is_priced else " (theirs priced here)"
        lines.append((day, model, "USD", *_numbers(one.usd, "{:,.6f}", "{:+,.6f}"), f"{mark}{how}".strip()))
    _print_table(lines, texts=frozenset({0, 1, 2, 7}))
    total = comparisons[-1]
    print(f"\n{found.requests:,} requests of ours; the drift is theirs less ours")
    if found.from_sums:
        days = ", ".join(day.isoformat() for day in found.from_sums)
        print(f"from sums, as not all requests of the day are kept any more: {days}")
    for reason, number in sorted(found.without_cost.items()):
        if number:
            verb = "has" if number == 1 else "have"
            print(f"{number:,} of ours {verb} no cost: {_ADVICE.get(reason) or _want_of_price(reason)}")
    if (number := total.theirs.unpriced) > 0:
        rows = "row of theirs has" if number == 1 else "rows of theirs have"
        print(f"{number:,} {rows} no cost, and no price here")
    beyond = sum(one.is_beyond(tolerance) for one in comparisons)
    print(f"beyond {_plain(tolerance)} %: {beyond}" if beyond else f"all within {_plain(tolerance)} %")


def _want_of_price(reason: str) -> str:
    return f"{printable(reason) or 'not known why'}; add the price, then `gateway costs recompute`"


def _numbers(drift: Drift, plain: str, signed: str) -> tuple[str, str, str, str]:
    percent = drift.percent
    return (
        plain.format(drift.ours),
        plain.format(drift.theirs),
        signed.format(drift.difference) if drift.difference else "0",
        "-" if percent is None else f"{percent:+.2f}" if percent else "0",
    )
