"""Checking rules one after the other, none of which stops the others."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence
from enum import StrEnum
from typing import Final

from attrs import evolve, field, frozen

from gateway.canary.client import CannotRunError
from gateway.canary.conformance.bench import Bench, Failed, NotApplicable, Rule
from gateway.canary.conformance.judging import Seen
from gateway.canary.conformance.stage import Scene

__all__ = ["PREFIXES", "Finding", "Result", "check_all", "check_rule", "find_gateway"]

PREFIXES: Final = ("", "/claude", "/anthropic", "/api", "/claude/api")
"""Where gateways serve `/v1/messages`; tried in this order."""

_ROUND_SECONDS: Final = 1.0
_LEAST_PATIENCE: Final = 1.0
_USUAL_PATIENCE: Final = 10.0
_SHOWN: Final = 600

Tell = Callable[[str], None]


class Result(StrEnum):
    """What became of a rule."""

    PASS = "pass"  # noqa: S105 - no password
    FAIL = "fail"
    NOT_APPLICABLE = "n-a"
    UNCHECKED = "unchecked"
    """The gateway had stopped serving before; nothing is known of the rule."""


@frozen
class Finding:
    """What checking a rule has brought."""

    rule: Rule
    result: Result
    seen: str
    """What came, in a line."""
    seconds: float = field(default=0.0, eq=False)


async def find_gateway(bench: Bench, prefixes: Sequence[str], *, wait: float, tell: Tell) -> None:
    """Wait until the gateway answers through our upstream; leave in `bench.target` at which path it does.

    Args:
        bench: its target's base is the URL without a prefix.
        prefixes: to be tried.
        wait: seconds to go on trying; each path is tried once, however long that takes.
        tell: hears what is happening, once for each new state.

    Raises:
        CannotRunError: it does not answer through our upstream in time.
    """
    url = bench.target.base
    deadline = time.monotonic() + wait
    told = ""
    while True:
        nearest = Seen(0)
        for prefix in prefixes:
            bench.target = evolve(bench.target, base=url + prefix)
            patience = min(bench.patience, max(_LEAST_PATIENCE, deadline - time.monotonic()))
            seen = await bench.ask(_plain(bench), reach=False, patience=patience)
            if _answers(seen):
                tell(f"the gateway answers at {bench.target.base}/v1/messages")
                return
            if seen.upstream or not nearest.status or nearest.status == 404:  # noqa: PLR2004 - not found
                nearest = seen
        through = "its upstream is ours, but it answers" if nearest.upstream else "it answers"
        said = clean(bench, f"{through}: {nearest}")
        if said != told:
            tell(f"waiting for {url} to answer through {bench.stage.upstream.url}; {said}")
            told = said
        if time.monotonic() > deadline:
            raise CannotRunError(
                f"{url} did not answer through the replay upstream within {wait:g} s; {said}. Point the gateway's "
                f"Anthropic base URL at {bench.stage.upstream.url}. How it wants to be asked, --key, "
                "--path-prefix, --model and --header can say."
            )
        await asyncio.sleep(_ROUND_SECONDS)


async def check_all(bench: Bench, rules: Sequence[Rule], *, recovery: float, tell: Tell) -> list[Finding]:
    """Check rules and return a finding for each.

    Args:
        bench: where to ask.
        rules: in this order.
        recovery: seconds that a gateway gets to serve again after a rule that may have put it off.
        tell: hears of each finding.
    """
    findings: list[Finding] = []
    away = ""
    harmed = ""
    for number, rule in enumerate(rules, 1):
        if harmed and not away and not await _serves_again(bench, recovery, tell):
            away = f"since {harmed} the gateway has not answered a good request for {recovery:g} s"
        finding = Finding(rule, Result.UNCHECKED, away) if away else await check_rule(bench, rule)
        if rule.harmful or finding.result is Result.FAIL:
            harmed = rule.id
        findings.append(finding)
        tell(f"[{number}/{len(rules)}] {finding.result.value:4}  {rule.id}  {finding.seconds:.1f} s")
    return findings


async def check_rule(bench: Bench, rule: Rule) -> Finding:
    """Check one rule; whatever happens there is a finding of it, in time."""
    start = time.monotonic()
    # Who is more patient with each answer is so with all of them.
    seconds = rule.seconds * max(1.0, bench.patience / _USUAL_PATIENCE)
    try:
        async with asyncio.timeout(seconds):
            seen = await rule.check(bench)
        result = Result.PASS
    except Failed as failure:
        result, seen = Result.FAIL, str(failure)
    except NotApplicable as reason:
        result, seen = Result.NOT_APPLICABLE, str(reason)
    except TimeoutError:
        result, seen = Result.FAIL, f"no end within {seconds:g} s"
    except Exception as error:  # noqa: BLE001 - what a strange answer does to one check must not stop the others
        result, seen = Result.FAIL, f"the answer could not be judged: {type(error).__name__}: {error}"
    return Finding(rule, result, clean(bench, seen), time.monotonic() - start)


def clean(bench: Bench, text: str) -> str:
    """Return a text as a line of bounded length, without secrets."""
    line = " ".join(bench.mask(text).split())
    return line if len(line) <= _SHOWN else line[:_SHOWN] + "…"


def _plain(bench: Bench) -> Scene:
    return Scene(bench.stage.spoken("Hello ", "there"))


def _answers(seen: Seen) -> bool:
    return seen.is_stream and bool(seen.upstream)


async def _serves_again(bench: Bench, seconds: float, tell: Tell) -> bool:
    deadline = time.monotonic() + seconds
    told = False
    while True:
        seen = await bench.ask(_plain(bench), reach=False)
        if _answers(seen):
            return True
        if time.monotonic() > deadline:
            return False
        if not told:
            tell(clean(bench, f"waiting for the gateway to serve again, up to {seconds:g} s; it answers: {seen}"))
            told = True
        await asyncio.sleep(_ROUND_SECONDS)
