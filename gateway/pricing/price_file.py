"""Prices in TOML: our corrections of the library, and the operator's own.

docs/cost-and-usage.md describes the format.
"""

from __future__ import annotations

import tomllib
from collections.abc import Iterator, Mapping
from datetime import UTC, date, datetime, time
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import Any, Final

import cattrs
from attrs import define, evolve, field
from cattrs.gen import make_dict_structure_fn, override

from gateway.pricing.model_price import EXACT, ModelPrice, Rates, Schedule, plain_name
from gateway.pricing.terms import CACHE_READ, CACHE_WRITE_1H, CACHE_WRITE_5M, with_terms

__all__ = ["PriceEntry", "PricesError", "parse_prices", "read_prices"]

_HIGHEST: Final = Decimal(1_000_000)
_THOUSAND: Final = Decimal(1000)
_LARGEST_FILE: Final = 1024 * 1024
_MOST_DIGITS: Final = 12
_SHOWN: Final = 40


class PricesError(Exception):
    """The file of prices cannot be used; the message says where and why."""


@define(frozen=True, kw_only=True)
class _RateValues:
    """Rates as a file gives them, in USD per million tokens; None = not given."""

    input: Decimal | None = None
    output: Decimal | None = None
    cache_write_5m: Decimal | None = None
    cache_write_1h: Decimal | None = None
    cache_read: Decimal | None = None

    def merged(self, base: Rates | None, provider: str) -> Rates | None:
        """Return these rates, those of `base` where one is missing; None if there are none to begin with."""
        if self.input is not None and self.output is not None:
            base = _rates(self.input, self.output, provider)
        if base is None:
            return None
        given = {
            name: value
            for name in ("input", "output", "cache_write_5m", "cache_write_1h", "cache_read")
            if (value := getattr(self, name)) is not None
        }
        return evolve(base, **given)


@define(frozen=True, kw_only=True)
class _Above(_RateValues):
    """Rates of requests with a larger prompt."""

    tokens: int


@define(frozen=True, kw_only=True)
class PriceEntry(_RateValues):
    """One `[[price]]`: what is different for a model, in a time."""

    model: str
    provider: str = "anthropic"
    since: date | None = None
    """The first day, in UTC."""
    until: date | None = None
    """The first day after, in UTC."""
    above: tuple[_Above, ...] = ()
    fast: Decimal | None = None
    geo: Mapping[str, Decimal] = field(factory=dict)
    service_tier: Mapping[str, Decimal] = field(factory=dict)
    web_searches_per_1000: Decimal | None = None

    def holds(self, when: datetime) -> bool:
        """Say whether it is for this time."""
        return (self.since is None or _midnight(self.since) <= when) and (
            self.until is None or when < _midnight(self.until)
        )

    def over(self, price: ModelPrice | None, source: str) -> ModelPrice | None:
        """Return a price as this entry changes it; None if that leaves no price."""
        rates = self.merged(None if price is None else price.standard.base, self.provider)
        if rates is None:
            return None
        if price is None:
            price = ModelPrice(
                model=plain_name(self.model), provider=self.provider, source=source, standard=Schedule(rates)
            )
            price = with_terms(price) if self.provider == "anthropic" else price
        above = () if self.input is not None else price.standard.above
        if self.above:
            above = tuple(self._larger(rates))
        standard = Schedule(rates, above)
        tiers = price.service_tiers
        if standard != price.standard:
            # The library's own prices of other tiers belong to the rates that have just been replaced.
            tiers = {name: tier for name, tier in tiers.items() if isinstance(tier, Decimal)}
        searches = self.web_searches_per_1000
        return evolve(
            price,
            source=price.source if standard == price.standard else source,
            standard=standard,
            service_tiers={**tiers, **self.service_tier},
            speeds=price.speeds if self.fast is None else {**price.speeds, "fast": self.fast},
            geos={**price.geos, **self.geo},
            web_search=price.web_search if searches is None else EXACT.divide(searches, _THOUSAND),
        )

    def _larger(self, rates: Rates) -> Iterator[tuple[int, Rates]]:
        for one in sorted(self.above, key=lambda one: one.tokens):
            larger = one.merged(rates, self.provider)
            if larger is not None:
                yield one.tokens, larger


def read_prices(path: Path) -> tuple[PriceEntry, ...]:
    """Read a file of prices.

    Raises:
        PricesError: it cannot be read, or is no file of prices.
    """
    try:
        with path.open("rb") as file:
            data = file.read(_LARGEST_FILE + 1)
    except OSError as error:
        raise PricesError(f"the file of prices {path} cannot be read: {error.strerror or error}") from None
    if len(data) > _LARGEST_FILE:
        raise PricesError(f"the file of prices {path} has more than {_LARGEST_FILE} bytes")
    try:
        return parse_prices(data.decode())
    except UnicodeDecodeError:
        raise PricesError(f"the file of prices {path} is not UTF-8") from None
    except PricesError as error:
        raise PricesError(f"the file of prices {path}: {error}") from None


def parse_prices(text: str) -> tuple[PriceEntry, ...]:
    """Read prices from TOML.

    Raises:
        PricesError: it is something else.
    """
    try:
        document = tomllib.loads(text, parse_float=Decimal)
    except (tomllib.TOMLDecodeError, RecursionError) as error:
        raise PricesError(f"no TOML: {error}") from None
    except (InvalidOperation, ValueError):
        raise PricesError("no TOML: a number that is none") from None
    tables = document.pop("price", [])
    if document:
        raise PricesError(f"{next(iter(document))!r} is unknown; prices are tables [[price]]")
    if not isinstance(tables, list):
        raise PricesError("prices are tables [[price]], not [price]")
    return tuple(_entry(table, number) for number, table in enumerate(tables, start=1))


def _entry(table: object, number: int) -> PriceEntry:
    try:
        entry = _converter.structure(table, PriceEntry)
    except (cattrs.BaseValidationError, TypeError, ValueError) as error:
        found = cattrs.transform_error(error, path="", format_exception=_complaint)
        what = "; ".join(_place_first(text) for text in found)
        raise PricesError(f"[[price]] number {number}: {what}") from None
    name = f"[[price]] number {number}, {entry.model!r}"
    if not entry.model or entry.model != entry.model.strip():
        raise PricesError(f"{name}: model must be a name")
    if (entry.input is None) != (entry.output is None):
        raise PricesError(f"{name}: input and output are given both or not at all")
    if entry.since is not None and entry.until is not None and entry.since >= entry.until:
        raise PricesError(f"{name}: from must be before until")
    return entry


def _midnight(day: date) -> datetime:
    return datetime.combine(day, time(), UTC)


def _rates(of_input: Decimal, of_output: Decimal, provider: str) -> Rates:
    """Return rates with what is usual for the cache where a file does not say it."""
    read, short, long = (
        (CACHE_READ, CACHE_WRITE_5M, CACHE_WRITE_1H) if provider == "anthropic" else (Decimal(1),) * 3
    )
    return Rates(
        input=of_input,
        output=of_output,
        cache_write_5m=EXACT.multiply(of_input, short),
        cache_write_1h=EXACT.multiply(of_input, long),
        cache_read=EXACT.multiply(of_input, read),
    )


class _BadValueError(ValueError):
    """A value that cannot be; the message begins with "must"."""


def _place_first(text: str) -> str:
    """Put the place, which cattrs puts at the end, where people look for it."""
    what, _, place = text.rpartition(" @ ")
    place = place.removeprefix(".").replace("since", "from")
    return f"{place}: {what}" if place else what


def _complaint(error: BaseException, _: type | None) -> str:
    match error:
        case cattrs.ForbiddenExtraKeysError():
            return f"{', '.join(sorted(error.extra_fields))}: unknown"
        case KeyError():
            return "is missing"
        case _BadValueError():
            return str(error)
        case _:
            return "a value of another kind"


def _amount(value: Any, _: Any) -> Decimal:
    if isinstance(value, bool) or not isinstance(value, (int, str, Decimal)):
        raise _BadValueError("must be a number")
    try:
        amount = Decimal(value)
    except InvalidOperation:
        raise _BadValueError(f"must be a number, not {str(value)[:_SHOWN]!r}") from None
    if not amount.is_finite() or not 0 <= amount <= _HIGHEST:
        raise _BadValueError(f"must be from 0 to {_HIGHEST}")
    if -int(amount.as_tuple().exponent) > _MOST_DIGITS:
        raise _BadValueError(f"must have at most {_MOST_DIGITS} digits after the point")
    return amount


def _day(value: Any, _: Any) -> date:
    if isinstance(value, datetime) or not isinstance(value, date):
        raise _BadValueError("must be a date without quotes, such as 2026-10-07")
    return value


def _whole(value: Any, _: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or value < 0:
        raise _BadValueError("must be a whole number")
    return value


def _name(value: Any, _: Any) -> str:
    if not isinstance(value, str):
        raise _BadValueError("must be a text")
    return value


def _make_converter() -> cattrs.Converter:
    converter = cattrs.Converter(forbid_extra_keys=True)
    for kind, hook in ((Decimal, _amount), (date, _day), (int, _whole), (str, _name)):
        converter.register_structure_hook(kind, hook)
    converter.register_structure_hook(
        PriceEntry,
        make_dict_structure_fn(
            PriceEntry, converter, _cattrs_forbid_extra_keys=True, since=override(rename="from")
        ),
    )
    return converter


_converter: Final = _make_converter()
