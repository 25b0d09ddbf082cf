"""The same requests to two servers, in turns, and whether the new one does as well as the old one."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from http import HTTPStatus
from typing import Final

from attrs import define, evolve, field

from gateway.canary import prompts
from gateway.canary.checks import Tokens
from gateway.canary.client import CanaryClient, CannotRunError, Exchange, Target
from gateway.canary.compare_requests import Case
from gateway.canary.differences import Difference, differences
from gateway.canary.expectations import words_of_error
from gateway.canary.trace import counted
from sse_fsm import Outcome

__all__ = [
    "Comparison",
    "Found",
    "Pair",
    "Sample",
    "Thresholds",
    "Timing",
    "find_model",
    "found_at",
    "percentile",
    "run_compare",
]

_OK: Final = range(200, 300)
_ENOUGH_FOR_P95: Final = 20
_MILLISECONDS: Final = 1000


@define(frozen=True)
class Thresholds:
    """How much worse the new one may be.

    A time is too long only if it is so by both measures: on a fast line the ratio of two small numbers says
    nothing, on a slow one their difference.
    """

    max_differences: int = 0
    """Of answers, improvements not counted."""
    max_first_content_ratio: float = 1.5
    max_first_content_add_ms: float = 200
    max_gap_ratio: float = 2.0
    max_gap_add_ms: float = 200


@define(eq=False)
class Pair:
    """The answers of both to a request, in one round."""

    case: Case
    round: int
    """1-based."""
    old: Exchange
    new: Exchange


@define(frozen=True)
class Found:
    """A difference, and where it was."""

    pair: Pair
    difference: Difference


@define(frozen=True)
class Sample:
    """A share of the times that were measured, in milliseconds."""

    name: str
    number: int
    """Of times, on the side that has fewer."""
    old: float
    new: float
    too_long: bool
    judged: bool
    """Whether there were enough of them to tell."""

    @property
    def ratio(self) -> float:
        """How many times as long the new one took."""
        return self.new / self.old if self.old else math.inf if self.new else 1.0


@define(frozen=True)
class Timing:
    """Times to the first content and between pieces, of the streams that were complete on both sides."""

    samples: tuple[Sample, ...]


@define
class Comparison:
    """What came of it all."""

    old: Target
    new: Target
    rounds: int
    strict: bool
    thresholds: Thresholds
    pairs: list[Pair] = field(factory=list)
    found: list[Found] = field(factory=list)
    timing: Timing = field(factory=lambda: Timing(()))
    old_tokens: Tokens = field(factory=Tokens)
    new_tokens: Tokens = field(factory=Tokens)

    @property
    def worse(self) -> list[Found]:
        """The differences that count."""
        return [one for one in self.found if not one.difference.better]

    @property
    def compared(self) -> int:
        """How many requests both have answered well, in one round or another."""
        return sum(_is_answer(pair.old) and _is_answer(pair.new) for pair in self.pairs)

    @property
    def reasons(self) -> list[str]:
        """Why the new one is not as good; empty if it is."""
        reasons = []
        if not self.compared:
            reasons.append("there is no request that both have answered well: see the base URLs, keys and models")
        streams = [
            pair.new
            for pair in self.pairs
            if pair.old.stream is not None
            or pair.new.stream is not None
            or (pair.case.wants_stream and pair.new.status in _OK)
        ]
        if streams and not any(map(_is_complete, streams)):
            reasons.append("no stream of the new one was complete")
        if len(self.worse) > self.thresholds.max_differences:
            reasons.append(f"{counted(len(self.worse), 'difference')}; allowed: {self.thresholds.max_differences}")
        reasons += [
            f"{sample.name} is too long: {sample.new:.0f} ms, and was {sample.old:.0f} ms"
            for sample in self.timing.samples
            if sample.too_long
        ]
        return reasons

    @property
    def passed(self) -> bool:
        """Whether the new one is within the thresholds."""
        return not self.reasons


async def find_model(client: CanaryClient, old: Target, new: Target) -> str:
    """Return a cheap model of the old one's list, or else of the new one's.

    It opens a connection to both besides, so that neither is measured with that.

    Raises:
        CannotRunError: one of them cannot be connected with, or does not take the key.
    """
    listed = await client.send(old, prompts.list_models())
    other = await client.send(new, prompts.list_models())
    for name, answer in (("old", listed), ("new", other)):
        if answer.status == HTTPStatus.UNAUTHORIZED:
            raise CannotRunError(f"the {name} one does not take the {name} key ({words_of_error(answer)})")
    return prompts.choose_model(listed if listed.status in _OK else other)


async def run_compare(
    client: CanaryClient,
    comparison: Comparison,
    cases: Sequence[Case],
    done: Callable[[Pair, list[Difference]], None] = lambda _pair, _found: None,
) -> None:
    """Send each request to both, in each round in the other order, and fill in what came.

    Never at the same time: they may have one upstream, whose limits they would share.
    """
    for number in range(1, comparison.rounds + 1):
        for case in cases:
            if number % 2:
                old = await client.try_send(comparison.old, case.request)
                new = await client.try_send(comparison.new, case.request)
            else:
                new = await client.try_send(comparison.new, case.request)
                old = await client.try_send(comparison.old, case.request)
            comparison.old_tokens.add(old.message)
            comparison.new_tokens.add(new.message)
            pair = Pair(case, number, old, new)
            comparison.pairs.append(pair)
            done(pair, _between(comparison, old, new, case))
    comparison.found = list(_all_differences(comparison))
    comparison.timing = _timing(comparison.pairs, comparison.thresholds)


def _between(comparison: Comparison, old: Exchange, new: Exchange, case: Case) -> list[Difference]:
    return list(differences(old, new, strict=comparison.strict, status=case.status))


def _all_differences(comparison: Comparison) -> Iterable[Found]:
    """Yield the differences, without those that a model makes by answering otherwise each time.

    What the new one said in one round and the old one in another is no difference between the two. Failures are,
    if the new one has more of them than the old one.
    """
    by_case: dict[str, list[Pair]] = {}
    for pair in comparison.pairs:
        by_case.setdefault(pair.case.name, []).append(pair)
    for pair in comparison.pairs:
        found = _between(comparison, pair.old, pair.new, pair.case)
        others = by_case[pair.case.name] if found and not comparison.strict else []
        if _fails(pair.new, pair.case) and _fails_more(others):
            others = []
        if all(_between(comparison, other.old, pair.new, pair.case) for other in others):
            yield from (Found(pair, difference) for difference in found)


def _fails_more(pairs: Iterable[Pair]) -> bool:
    """Whether the new one fails more often than the old one does."""
    return sum(_fails(pair.new, pair.case) - _fails(pair.old, pair.case) for pair in pairs) > 0


def _fails(exchange: Exchange, case: Case) -> bool:
    if exchange.status != case.status:
        return True
    return exchange.stream is not None and not _is_complete(exchange)


def _timing(pairs: Iterable[Pair], limits: Thresholds) -> Timing:
    firsts: tuple[list[float], list[float]] = ([], [])
    gaps: tuple[list[float], list[float]] = ([], [])
    longest: tuple[list[float], list[float]] = ([], [])
    for pair in pairs:
        if not (_is_complete(pair.old) and _is_complete(pair.new)):
            continue
        for side, exchange in enumerate((pair.old, pair.new)):
            assert exchange.stream is not None  # noqa: S101 - it is complete
            first = exchange.stream.first_content_at
            if first is not None:
                firsts[side].append(first * _MILLISECONDS)
            here = [gap * _MILLISECONDS for gap in exchange.stream.gaps()]
            gaps[side].extend(here)
            longest[side].append(max(here, default=0.0))
    samples = [
        *_samples(
            "first content", *firsts, ratio=limits.max_first_content_ratio, add=limits.max_first_content_add_ms
        ),
        *_samples("gap", *gaps, ratio=limits.max_gap_ratio, add=limits.max_gap_add_ms),
        # Among hundreds of gaps the one that a user waits for would not be seen.
        *_samples("longest gap of a stream", *longest, ratio=limits.max_gap_ratio, add=limits.max_gap_add_ms),
    ]
    return Timing(tuple(samples))


def _is_answer(exchange: Exchange) -> bool:
    """Whether it is something of the API's: a page for people comes with a 200 too."""
    if exchange.status not in _OK:
        return False
    return exchange.stream is not None or isinstance(exchange.json(), dict)


def _is_complete(exchange: Exchange) -> bool:
    verdict = exchange.stream.verdict if exchange.stream is not None else None
    return verdict is not None and verdict.outcome is Outcome.COMPLETE


def _samples(name: str, old: list[float], new: list[float], *, ratio: float, add: float) -> Iterable[Sample]:
    number = min(len(old), len(new))
    if not number:
        return
    for share in (50, 95):
        one, other = percentile(old, share), percentile(new, share)
        judged = share == 50 or number >= _ENOUGH_FOR_P95  # noqa: PLR2004 - the median
        too_long = judged and other > one * ratio and other > one + add
        yield Sample(f"{name}, p{share}", number, one, other, too_long, judged)


def percentile(values: Iterable[float], share: float) -> float:
    """Return the smallest value that so many per cent of the values do not exceed."""
    ordered = sorted(values)
    return ordered[max(0, math.ceil(len(ordered) * share / 100) - 1)]


async def found_at(client: CanaryClient, target: Target) -> Target:
    """Return a target with the base URL under which Claude is served there.

    Raises:
        CannotRunError: it cannot be connected with.
    """
    return evolve(target, base_url=await prompts.find_claude(client, target))
