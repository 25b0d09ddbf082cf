"""Sums of requests by time and by what people ask for: made from rows, added up, and read.

A request counts in three spans of time: five minutes, an hour, a day. How long requests took is kept as a
histogram whose buckets grow by a twelfth each, so that a percentile is at most a twenty-fourth off.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Iterable, Mapping
from http import HTTPStatus
from operator import add
from typing import Any, Final

import msgspec
from attrs import define, field, fields

__all__ = [
    "KEYS",
    "SPANS",
    "SUMS",
    "LatencyKey",
    "Sums",
    "TotalKey",
    "Totals",
    "bucket_of",
    "names_a_model",
    "percentile",
]

SPANS: Final = (300, 3600, 86400)
"""Seconds."""
_PER_OCTAVE: Final = 8
_MODELS: Final = re.compile(r"(?:claude|gpt|chatgpt|o\d|text-embedding|dall-e|whisper|tts|codex)[\w.@:/-]{0,80}\Z")
_LATEST: Final = 253_402_300_800  # the year 10000
_MOST: Final = 10**15
"""That one row adds of anything. A few that add more would bring a sum beyond 64 bits, and end all summing."""
_NOT_BILLED: Final = frozenset({"refused", "rejected", "failed"})


@define(frozen=True)
class TotalKey:
    """What requests are summed by; an empty text stands for none."""

    span: int
    start: int
    """Unix seconds, a multiple of the span."""
    provider: str
    route: str
    account: str
    actor_id: str
    model: str
    """The one that answered, or else that was asked for; `(other)` for a name that is none of a model."""
    outcome: str
    stop_reason: str


@define
class Sums:
    """What is summed."""

    requests: int = 0
    partial: int = 0
    """Of which no more is known than what was seen before they broke off."""
    unpriced: int = 0
    """Whose cost is not known."""
    input_tokens: int = 0
    """Neither written to the cache nor read from it."""
    output_tokens: int = 0
    thinking_tokens: int = 0
    cache_read_tokens: int = 0
    cache_write_5m_tokens: int = 0
    cache_write_1h_tokens: int = 0
    web_searches: int = 0
    cost_nanousd: int = 0
    ms: int = 0
    attempts: int = 0
    switches: int = 0
    switch_nanousd: int = 0

    def add(self, other: Sums) -> None:
        """Add what another one has."""
        for name in SUMS:
            setattr(self, name, getattr(self, name) + getattr(other, name))


@define(frozen=True)
class LatencyKey:
    """What histograms are kept by."""

    span: int
    start: int
    measure: str
    """`first_content`, `gap` or `duration`."""
    provider: str
    model: str
    account: str
    bucket: int


@define
class Totals:
    """Sums of some rows."""

    sums: dict[TotalKey, Sums] = field(factory=dict)
    latencies: Counter[LatencyKey] = field(factory=Counter)

    @classmethod
    def of(cls, rows: Iterable[Mapping[str, Any]]) -> Totals:
        """Return the sums of rows of the table `requests`.

        Raises:
            ArithmeticError: a number is out of all proportion; and so is the next one, and a few more of Python's
                own where a value is of another type than it should be.
            ValueError: a time is none.
        """
        # Rows are many and groups are few: what is costly is done for each group.
        sums: dict[_Group, list[int]] = {}
        latencies: Counter[tuple[_Group, str, int]] = Counter()
        for row in rows:
            group = _group_of(row)
            numbers = _numbers_of(row)
            known = sums.get(group)
            sums[group] = numbers if known is None else list(map(add, known, numbers))
            if (ms := row["ms_to_content"]) is not None:
                latencies[group, "first_content", bucket_of(ms)] += 1
            if (ms := row["longest_gap_ms"]) is not None:
                latencies[group, "gap", bucket_of(ms)] += 1
            if (ms := row["ms"]) is not None and row["outcome"] not in _NOT_BILLED:
                latencies[group, "duration", bucket_of(ms)] += 1
        totals = cls()
        for span in SPANS:
            for group, numbers in sums.items():
                totals.sums.setdefault(_key(group, span), Sums()).add(Sums(*numbers))
            for (group, measure, bucket), count in latencies.items():
                start, provider, _, account, _, model, _, _ = group
                where = LatencyKey(span, start // span * span, measure, provider, model, account, bucket)
                totals.latencies[where] += count
        return totals


_Group = tuple[int, str, str, str, str, str, str, str]
"""A `TotalKey` of the finest span, without the span."""
KEYS: Final = tuple(each.name for each in fields(TotalKey))
SUMS: Final = tuple(each.name for each in fields(Sums))


def key_of(row: Mapping[str, Any], span: int) -> TotalKey:
    """Return under what a row counts in one span of time.

    Raises:
        TypeError: it holds something else than it should.
        ValueError: its time is none.
    """
    return _key(_group_of(row), span)


def _key(group: _Group, span: int) -> TotalKey:
    start, *texts = group
    return TotalKey(span, start // span * span, *texts)


def _group_of(row: Mapping[str, Any]) -> _Group:
    at = int(row["at"])
    if not 0 <= at < _LATEST:
        raise ValueError(at)
    texts = (
        row["provider"] or "",
        row["route"] or "",
        row["account"] or "",
        row["actor_id"] or "",
        model_of(row),
        row["outcome"] or "",
        row["stop_reason"] or "",
    )
    if not {*map(type, texts)} <= {str}:
        raise TypeError("what a row is summed by is no text")
    return at // SPANS[0] * SPANS[0], *texts


def model_of(row: Mapping[str, Any]) -> str:
    """Return the model under which a row counts; clients may ask for anything, and there shall not be as many."""
    if row["model_served"]:
        return row["model_served"]
    asked = row["model"] or ""
    is_one = row["status"] != HTTPStatus.NOT_FOUND and names_a_model(asked)
    return asked if not asked or is_one else "(other)"


def names_a_model(name: str) -> bool:
    """Return whether a name that a client asked for looks like one of a model."""
    return _MODELS.match(name) is not None


def sums_of(row: Mapping[str, Any]) -> Sums:
    """Return what one row adds to the sums.

    Raises:
        OverflowError: a number is larger than any that a request could have.
        TypeError: it is none.
    """
    return Sums(*_numbers_of(row))


def _numbers_of(row: Mapping[str, Any]) -> list[int]:
    """Return what one row adds, in the order of the fields of `Sums`."""
    write_5m, write_1h = row["cache_write_5m_tokens"], row["cache_write_1h_tokens"]
    if write_5m is None and write_1h is None:
        write_5m = row["cache_write_tokens"]
    switch = _json(row["switch"])
    usd = switch.get("usd") if isinstance(switch, dict) else None
    attempts = _json(row["attempts"])
    numbers = [
        1,
        int("partial" in (row["cost_note"] or "")),
        int(row["cost_nanousd"] is None),
        row["input_tokens"] or 0,
        row["output_tokens"] or 0,
        row["thinking_tokens"] or 0,
        row["cache_read_tokens"] or 0,
        write_5m or 0,
        write_1h or 0,
        row["web_searches"] or 0,
        row["cost_nanousd"] or 0,
        row["ms"] or 0,
        len(attempts) if isinstance(attempts, list) else 0,
        int(row["switch"] is not None),
        round(usd * 1e9) if isinstance(usd, (int, float)) and math.isfinite(usd) else 0,
    ]
    if not {*map(type, numbers)} <= {int}:
        raise TypeError("a number of a request is none")
    if min(numbers) < -_MOST or max(numbers) > _MOST:
        raise OverflowError("a number of a request is out of all proportion")
    return numbers


def _json(text: str | None) -> Any:
    try:
        return msgspec.json.decode(text) if text else None
    except (msgspec.DecodeError, ValueError):
        return None


def bucket_of(ms: int) -> int:
    """Return the bucket of a histogram that a time belongs to: 0 below a millisecond, then eight per doubling."""
    return 0 if ms < 1 else 1 + round(_PER_OCTAVE * math.log2(ms))


def percentile(buckets: Mapping[int, int], share: float) -> float | None:
    """Return the time in milliseconds that this share of the requests took at the most; None for no requests.

    Args:
        buckets: how many requests are in each bucket.
        share: such as 0.95.
    """
    total = sum(buckets.values())
    if not total:
        return None
    seen = 0
    last = 0
    for last in sorted(buckets):
        seen += buckets[last]
        if seen >= share * total:
            break
    return 0.0 if last == 0 else 2 ** ((last - 1) / _PER_OCTAVE)
