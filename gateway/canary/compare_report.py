"""What a comparison has found: Markdown for a pull request, or JSON."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import datetime
from importlib.metadata import version
from typing import Any, Final

from gateway.canary.client import Ending, Exchange
from gateway.canary.compare import Comparison, Found, Sample
from gateway.canary.masking import Masker
from gateway.canary.trace import cell, counted, fence, render, table

__all__ = ["as_json", "as_markdown"]

_MOST_SHOWN: Final = 12
"""Differences of which both answers are shown; all are counted."""
_FIRST_ERROR: Final = 400
_NOTABLE_RATIO: Final = 1.5
"""Above which it is said why a time is well all the same."""


def as_markdown(comparison: Comparison, mask: Masker, at: datetime) -> str:
    """Return the result as Markdown.

    Args:
        comparison: what was found.
        mask: takes out secrets.
        at: when it began, in UTC.
    """
    return mask("\n".join(_markdown(comparison, mask, at)))


def _markdown(comparison: Comparison, mask: Masker, at: datetime) -> Iterator[str]:
    yield f"# Comparison: {'PASS' if comparison.passed else 'FAIL'}"
    yield ""
    yield "## Summary"
    yield ""
    yield from (f"- {line}" for line in _summary(comparison, at))
    yield ""
    yield "## Answers"
    yield ""
    yield table(("request", "old HTTP", "new HTTP", "old", "new", "differences"), _rows(comparison))
    yield ""
    yield "## Times"
    yield ""
    if comparison.timing.samples:
        yield table(
            ("what", "times", "old ms", "new ms", "ratio", "verdict"), map(_time, comparison.timing.samples)
        )
    else:
        yield "There was no stream that was complete on both sides."
    yield ""
    yield "## Differences"
    yield ""
    if not comparison.found:
        yield "None."
    yield from (line for found in _one_of_a_kind(comparison.found) for line in _difference(found, mask))
    yield ""


def _summary(comparison: Comparison, at: datetime) -> Iterator[str]:
    yield from (f"failed: {cell(reason)}" for reason in comparison.reasons)
    improvements = len(comparison.found) - len(comparison.worse)
    better = f", and {counted(improvements, 'improvement')}" if improvements else ""
    pairs = f"{counted(len(comparison.pairs), 'pair')} of answers"
    yield f"{counted(len(comparison.worse), 'difference')}{better} in {pairs}"
    yield f"old: `{comparison.old.base_url}`"
    yield f"new: `{comparison.new.base_url}`"
    how = "byte for byte, pings left out" if comparison.strict else "by what clients act on; words may differ"
    yield f"compared {how}; {counted(comparison.rounds, 'round')}, in each the other one first"
    yield "tokens used: " + "; ".join(
        f"{name} {tokens.input:,} in, {tokens.output:,} out"
        for name, tokens in (("old", comparison.old_tokens), ("new", comparison.new_tokens))
    )
    limits = comparison.thresholds
    yield (
        f"thresholds: {limits.max_differences} differences; first content {limits.max_first_content_ratio:g} "
        f"times and {limits.max_first_content_add_ms:g} ms longer; gaps {limits.max_gap_ratio:g} times and "
        f"{limits.max_gap_add_ms:g} ms longer"
    )
    yield f"time: {at:%Y-%m-%d %H:%M:%S} UTC, with `gateway compare` {version('claude-stream-gateway')}"


def _rows(comparison: Comparison) -> Iterator[tuple[Any, ...]]:
    names = dict.fromkeys(pair.case.name for pair in comparison.pairs)
    for name in names:
        pairs = [pair for pair in comparison.pairs if pair.case.name == name]
        found = [one.difference for one in comparison.found if one.pair.case.name == name]
        what = dict.fromkeys(one.what + (" (better)" if one.better else "") for one in found)
        yield (
            name,
            _distinct(pair.old.status for pair in pairs),
            _distinct(pair.new.status for pair in pairs),
            _distinct(_outcome(pair.old) for pair in pairs),
            _distinct(_outcome(pair.new) for pair in pairs),
            ", ".join(what) or "none",
        )


def _distinct(values: Iterable[Any]) -> str:
    return ", ".join(dict.fromkeys("none" if value is None else str(value) for value in values))


def _outcome(exchange: Exchange) -> str:
    if exchange.stream is not None:
        return exchange.stream.describe()
    if exchange.ending is Ending.COMPLETE and exchange.status is not None and exchange.status >= _FIRST_ERROR:
        return "refused"
    return str(exchange.ending)


def _time(sample: Sample) -> tuple[Any, ...]:
    old, new = f"{sample.old:.1f}", f"{sample.new:.1f}"
    # Of two times that are hardly there, one is easily many times the other.
    ratio = f"{sample.ratio:.2f}" if float(old) > 0 else "-"
    if sample.too_long:
        verdict = "**too long**"
    elif not sample.judged:
        verdict = "too few to judge"
    else:
        is_close = sample.ratio > _NOTABLE_RATIO
        verdict = f"well: only {sample.new - sample.old:.1f} ms longer" if is_close else "well"
    return (sample.name, sample.number, old, new, ratio, verdict)


def _one_of_a_kind(found: Iterable[Found]) -> list[Found]:
    """Return the first difference of each kind in each request: the other rounds say no more."""
    first: dict[tuple[str, str], Found] = {}
    for one in found:
        first.setdefault((one.pair.case.name, one.difference.what), one)
    return list(first.values())[:_MOST_SHOWN]


def _difference(found: Found, mask: Masker) -> Iterator[str]:
    difference, pair = found.difference, found.pair
    better = " (the new one is better)" if difference.better else ""
    yield f"### {cell(pair.case.name)}: {cell(difference.what)}{better}"
    yield ""
    yield f"In round {pair.round}:"
    yield ""
    yield fence(f"old: {difference.old}\nnew: {difference.new}")
    for name, exchange in (("old", pair.old), ("new", pair.new)):
        yield ""
        yield f"<details><summary>{name}: {exchange.status}, {exchange.milliseconds} ms</summary>"
        yield ""
        yield fence(render(exchange, mask))
        yield ""
        yield "</details>"
    yield ""


def as_json(comparison: Comparison, mask: Masker, at: datetime) -> dict[str, Any]:
    """Return the result for programs."""
    return mask.all(
        {
            "verdict": "pass" if comparison.passed else "fail",
            "reasons": comparison.reasons,
            "old": comparison.old.base_url,
            "new": comparison.new.base_url,
            "began_at": at.isoformat(timespec="seconds"),
            "rounds": comparison.rounds,
            "strict": comparison.strict,
            "pairs": len(comparison.pairs),
            "tokens": {
                name: {"input": tokens.input, "output": tokens.output, "messages": tokens.answers}
                for name, tokens in (("old", comparison.old_tokens), ("new", comparison.new_tokens))
            },
            "times": [
                {
                    "what": sample.name,
                    "number": sample.number,
                    "old_ms": round(sample.old, 3),
                    "new_ms": round(sample.new, 3),
                    "judged": sample.judged,
                    "too_long": sample.too_long,
                }
                for sample in comparison.timing.samples
            ],
            "differences": [
                {
                    "request": found.pair.case.name,
                    "round": found.pair.round,
                    "what": found.difference.what,
                    "old": found.difference.old,
                    "new": found.difference.new,
                    "better": found.difference.better,
                }
                for found in comparison.found
            ],
            "traces": [
                {
                    "request": found.pair.case.name,
                    "what": found.difference.what,
                    "old": render(found.pair.old, mask),
                    "new": render(found.pair.new, mask),
                }
                for found in _one_of_a_kind(comparison.found)
            ],
        }
    )
