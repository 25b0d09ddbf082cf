"""Usage and costs as Anthropic reports them: pages of the Admin API, and tables of the console.

Sources: Anthropic docs, "Usage and Cost API", "Get Messages Usage Report" and "Get Cost Report", for the JSON; the
columns of the console's CSV files are not documented and are as they were in 2026.
"""

from __future__ import annotations

import csv
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, date, datetime
from decimal import Decimal, InvalidOperation
from hashlib import sha256
from io import StringIO
from pathlib import Path
from typing import Any, Final

from attrs import define, evolve

from gateway.pricing.model_price import plain_name
from gateway.pricing.usage import Usage

__all__ = ["ANY_MODEL", "Export", "ExportError", "Page", "Reported", "model_id", "read_export", "without_next"]

ANY_MODEL: Final = "(all)"
"""For costs that were not reported by model."""

_LARGEST_FILE: Final = 256 * 1024 * 1024
_CENTS: Final = Decimal(100)
_LONG_PROMPT: Final = 200_001
_USAGE_COLUMNS: Final = {
    "input": "usage_input_tokens_no_cache",
    "cache_write_5m": "usage_input_tokens_cache_write_5m",
    "cache_write_1h": "usage_input_tokens_cache_write_1h",
    "cache_read": "usage_input_tokens_cache_read",
    "output": "usage_output_tokens",
    "web_searches": "web_search_count",
}
_OLD_WRITES: Final = "usage_input_tokens_cache_write"  # before the two lifetimes had columns of their own
_DAY_COLUMN: Final = "usage_date_utc"
_COST_COLUMN: Final = "cost_usd"


class ExportError(Exception):
    """A file is no export that can be read; the message says why."""


@define(frozen=True, kw_only=True)
class Reported:
    """One row of a report."""

    day: date
    """In UTC."""
    model: str
    """Its id without a date; `ANY_MODEL` where the report is not by model."""
    usage: Usage | None = None
    """Counters; None in a report of costs."""
    usd: Decimal | None = None
    """What it cost; None in a report of usage."""
    rounding: Decimal = Decimal(0)
    """By how many USD it may be off, because it was rounded."""
    prompt_tokens: int = 0
    """Prompts were longer than so many tokens."""


@define(frozen=True, kw_only=True)
class Page:
    """What a page of JSON says of itself."""

    is_costs: bool
    """Of costs; otherwise of usage."""
    begins: datetime | None
    """When its first bucket begins; None where it has none."""
    last_begins: datetime | None
    ends: datetime | None
    """When its last bucket ends, if it says so."""
    has_more: bool
    """Whether the report goes on with another page."""

    def is_continued_by(self, other: Page) -> bool:
        """Say whether another page begins where this one ends."""
        if other.is_costs is not self.is_costs or other.begins is None or self.last_begins is None:
            return False
        return self.last_begins < other.begins and (self.ends is None or other.begins <= self.ends)


@define(frozen=True, kw_only=True)
class Export:
    """What a file holds."""

    rows: Sequence[Reported]
    pages: Sequence[Page]
    """Of JSON; a file of the console has none."""
    digest: bytes
    """By which the same file is known under another name."""


def without_next(pages: Sequence[Page]) -> Sequence[Page]:
    """Return the pages that say that there are more, and are continued by none of the others."""
    return [page for page in pages if page.has_more and not any(map(page.is_continued_by, pages))]


def read_export(path: Path) -> Export:
    """Read a file: a page of JSON, several of them in an array or one after the other, or a CSV of the console.

    Raises:
        ExportError: it cannot be read, or is none of these.
    """
    try:
        with path.open("rb") as file:
            data = file.read(_LARGEST_FILE + 1)
    except OSError as error:
        raise ExportError(f"{path} cannot be read: {error.strerror or error}") from None
    if len(data) > _LARGEST_FILE:
        raise ExportError(f"{path} has more than {_LARGEST_FILE} bytes; export a shorter time")
    try:
        text = data.decode("utf-8-sig")
        pages: list[Page] = []
        rows = list(_from_json(text, pages) if text.lstrip()[:1] in {"{", "["} else _from_csv(text))
    except UnicodeDecodeError:
        raise ExportError(f"{path} is not UTF-8") from None
    except ExportError as error:
        raise ExportError(f"{path}: {error}") from None
    if not rows:
        raise ExportError(f"{path} reports nothing")
    return Export(rows=rows, pages=pages, digest=sha256(data).digest())


def model_id(name: str) -> str:
    """Return the id of a model, without its date; the console's files have names such as "Claude Haiku 4.5"."""
    return plain_name(re.sub(r"[\s.]+", "-", name.strip())) or ANY_MODEL


def _from_json(text: str, pages: list[Page]) -> Iterator[Reported]:
    """Yield the results of all pages, and add to `pages` what each says of itself."""
    for page in _pages(text):
        if not isinstance(page, Mapping) or not isinstance(page.get("data"), list):
            said = page.get("error") if isinstance(page, Mapping) else None
            raise ExportError(
                "no page of a report: it has no list `data`" + (", but an error of the API's" if said else "")
            )
        is_costs = False
        for bucket in page["data"]:
            if not isinstance(bucket, Mapping) or not isinstance(bucket.get("results"), list):
                raise ExportError("no page of a report: `data` has something else than buckets with `results`")
            day = _day(bucket.get("starting_at"))
            for result in bucket["results"]:
                reported = _from_result(result, day)
                is_costs |= reported.usd is not None
                yield reported
        pages.append(_page(page, is_costs=is_costs))


def _page(page: Mapping[str, Any], *, is_costs: bool) -> Page:
    begins, last, ends = None, None, None
    if buckets := page["data"]:
        begins, last = _moment(buckets[0].get("starting_at")), _moment(buckets[-1].get("starting_at"))
        ends = _moment(buckets[-1].get("ending_at"))
    has_more = page.get("has_more") is True
    return Page(is_costs=is_costs, begins=begins, last_begins=last, ends=ends, has_more=has_more)


def _moment(text: object) -> datetime | None:
    try:
        when = datetime.fromisoformat(text.strip()) if isinstance(text, str) else None
    except ValueError:
        return None
    return when.replace(tzinfo=UTC) if when is not None and when.tzinfo is None else when


def _pages(text: str) -> Iterator[Any]:
    decoder = json.JSONDecoder(parse_float=Decimal)
    at = 0
    while (start := _skip_space(text, at)) < len(text):
        try:
            page, at = decoder.raw_decode(text, start)
        except (ValueError, RecursionError):
            raise ExportError(f"no JSON at character {start}") from None
        yield from page if isinstance(page, list) else (page,)


def _skip_space(text: str, at: int) -> int:
    while at < len(text) and text[at] in " \t\r\n":
        at += 1
    return at


def _from_result(result: object, day: date) -> Reported:
    if not isinstance(result, Mapping):
        raise ExportError("no page of a report: a result is no object")
    model = model_id(result["model"]) if isinstance(result.get("model"), str) else ANY_MODEL
    if "amount" in result:
        currency = result.get("currency", "USD")
        if currency != "USD":
            raise ExportError(f"costs in {str(currency)[:10]!r} rather than USD cannot be compared")
        return Reported(day=day, model=model, usd=_decimal(result["amount"], "amount") / _CENTS)
    if "uncached_input_tokens" not in result:
        raise ExportError("a result has neither uncached_input_tokens nor amount: which report is it?")
    creation = result.get("cache_creation")
    raw = {
        "input_tokens": result.get("uncached_input_tokens"),
        "output_tokens": result.get("output_tokens"),
        "cache_read_input_tokens": result.get("cache_read_input_tokens"),
        "cache_creation": creation if isinstance(creation, Mapping) else {},
        "server_tool_use": result.get("server_tool_use"),
        "service_tier": result.get("service_tier"),
        "inference_geo": result.get("inference_geo"),
        "speed": result.get("speed"),
    }
    window = _prompt_tokens(result.get("context_window"))
    return Reported(day=day, model=model, usage=Usage.of(raw) or Usage(), prompt_tokens=window)


def _from_csv(text: str) -> Iterator[Reported]:
    reader = csv.DictReader(StringIO(text, newline=""))
    columns = {name.strip() for name in reader.fieldnames or ()}
    if _DAY_COLUMN not in columns or not columns & {_COST_COLUMN, _USAGE_COLUMNS["input"]}:
        raise ExportError(
            f"no export of usage or costs: a CSV of the console has {_DAY_COLUMN} and {_COST_COLUMN} or "
            f"{_USAGE_COLUMNS['input']} among its columns; JSON begins with {{"
        )
    try:
        for row in reader:
            values = {(name or "").strip(): (value or "") for name, value in row.items() if isinstance(value, str)}
            yield _from_row(values, reader.line_num)
    except csv.Error as error:
        raise ExportError(f"no CSV in line {reader.line_num}: {error}") from None


def _from_row(row: Mapping[str, str], line: int) -> Reported:
    day = _day(row.get(_DAY_COLUMN), line)
    model = model_id(row.get("model_version") or row.get("model") or "")
    if row.get(_COST_COLUMN):
        usd = _decimal(row[_COST_COLUMN], f"{_COST_COLUMN} in line {line}")
        half = Decimal(5).scaleb(int(usd.as_tuple().exponent) - 1)
        return Reported(day=day, model=model, usd=usd, rounding=half)
    counts = {kind: _count(row.get(column), column, line) for kind, column in _USAGE_COLUMNS.items()}
    usage = Usage(
        input_tokens=counts["input"],
        output_tokens=counts["output"],
        cache_read_tokens=counts["cache_read"],
        cache_write_tokens=counts["cache_write_5m"] + counts["cache_write_1h"],
        cache_write_5m_tokens=counts["cache_write_5m"],
        cache_write_1h_tokens=counts["cache_write_1h"],
        web_search_requests=counts["web_searches"],
        service_tier=row.get("usage_type") if row.get("usage_type") in {"batch", "priority"} else None,
        inference_geo=row.get("inference_geo") or None,
        speed=row.get("speed") or None,
    )
    if _OLD_WRITES in row:
        written = _count(row[_OLD_WRITES], _OLD_WRITES, line)
        usage = evolve(usage, cache_write_tokens=written, cache_write_5m_tokens=written, cache_write_1h_tokens=0)
    return Reported(day=day, model=model, usage=usage, prompt_tokens=_prompt_tokens(row.get("context_window")))


def _prompt_tokens(window: object) -> int:
    """Return the lower end of a context window: `0-200k` or `200k-1M`, in the console's files with a sign."""
    is_long = isinstance(window, str) and window.strip().lower().startswith(("200k", ">"))
    return _LONG_PROMPT if is_long else 0


def _day(text: object, line: int | None = None) -> date:
    where = "" if line is None else f" in line {line}"
    if not isinstance(text, str):
        raise ExportError(f"a day is missing{where}")
    try:
        when = datetime.fromisoformat(text.strip())
    except ValueError:
        raise ExportError(f"{text[:40]!r} is no day{where}") from None
    return (when if when.tzinfo is None else when.astimezone(UTC)).date()


def _decimal(value: object, what: str) -> Decimal:
    try:
        number = Decimal(str(value).strip())
    except InvalidOperation:
        raise ExportError(f"{what}: {str(value)[:40]!r} is no number") from None
    if not number.is_finite():
        raise ExportError(f"{what}: {str(value)[:40]!r} is no number")
    return number


def _count(text: str | None, column: str, line: int) -> int:
    if not text or not text.strip():
        return 0
    number = _decimal(text, f"{column} in line {line}")
    if number < 0 or number != number.to_integral_value():
        raise ExportError(f"{column} in line {line}: {text[:40]!r} is no count")
    return int(number)
