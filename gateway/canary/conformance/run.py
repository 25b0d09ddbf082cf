"""Checking rules one after the other, none of which stops the others."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence
from enum import StrEnum
from http import HTTPStatus
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
_NO_ENTRY: Final = frozenset({HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN})
_NOTHING_HERE: Final = frozenset({HTTPStatus.NOT_FOUND, HTTPStatus.METHOD_NOT_ALLOWED})
_REFUSED: Final = frozenset({"ClientConnectorError", "ConnectionRefusedError"})
"""Names of what an attempt to connect fails with where nobody listens."""

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
        CannotRunError: it does not answer through our upstream in time; or at once, it does not take the key, or a
            model answers that is not ours, which may be billed.
    """
    url = bench.target.base
    deadline = time.monotonic() + wait
    told = ""
    while True:
        nearest = await _try_all(bench, url, prefixes, deadline)
        if _answers(nearest):
            tell(f"the gateway answers at {bench.target.base}/v1/messages")
            return
        if not nearest.status and nearest.trouble in _REFUSED:
            said = "it refuses connections"
            advice = (
                "See that it runs and listens there (`gateway serve` says where), and that the URL has its port."
            )
        else:
            through = "its upstream is ours, but it answers" if nearest.upstream else "it answers"
            said = clean(bench, f"{through}: {nearest}")
            advice = (
                f"Point the gateway's Anthropic base URL at {bench.stage.upstream.url}. How it wants to be asked, "
                "--key-stdin, --path-prefix, --model and --header can say."
            )
        if said != told:
            tell(f"waiting for {url} to answer through {bench.stage.upstream.url}; {said}")
            told = said
        if time.monotonic() > deadline:
            raise CannotRunError(
                f"{url} did not answer through the replay upstream within {wait:g} s; {said}. {advice}"
            )
        await asyncio.sleep(_ROUND_SECONDS)


async def _try_all(bench: Bench, url: str, prefixes: Sequence[str], deadline: float) -> Seen:
    """Ask below each prefix, up to the one that is the gateway's; return what says most.

    Raises:
        CannotRunError: the key is not taken, or a model answers that is not ours.
    """
    nearest = Seen(0)
    statuses = set()
    for prefix in prefixes:
        bench.target = evolve(bench.target, base=url + prefix)
        patience = min(bench.patience, max(_LEAST_PATIENCE, deadline - time.monotonic()))
        seen = await bench.ask(_plain(bench), reach=False, patience=patience)
        if _answers(seen):
            return seen
        if seen.status == HTTPStatus.OK and not seen.upstream and _is_of_a_model(seen):
            raise CannotRunError(
                f"{bench.target.base} answers, but not through {bench.stage.upstream.url}: its upstream is "
                "another one; nothing more is sent, for its answers may be billed. Point the gateway's Anthropic "
                "base URL at the replay upstream; if the gateway under test is below another path, say so with "
                "--path-prefix. " + clean(bench, f"It said: {seen}")
            )
        statuses.add(seen.status)
        if seen.upstream or not nearest.status or nearest.status == HTTPStatus.NOT_FOUND:
            nearest = seen
    if statuses & _NO_ENTRY and statuses <= _NO_ENTRY | _NOTHING_HERE:
        raise CannotRunError(
            f"{url} does not take the key: {clean(bench, str(nearest))}. Give a client's key of this gateway with "
            "--key-stdin; --bearer and --header change how it is sent. If it is the gateway's own key that is "
            f"refused, its upstream is another one: let it be {bench.stage.upstream.url}."
        )
    return nearest


async def check_all(
    bench: Bench,
    rules: Sequence[Rule],
    *,
    recovery: float,
    tell: Tell,
    done: Callable[[Finding], None] = lambda _: None,
) -> list[Finding]:
    """Check rules and return a finding for each.

    Args:
        bench: where to ask.
        rules: in this order.
        recovery: seconds that a gateway gets to serve again after a rule that may have put it off.
        tell: hears of each finding, and of what takes long.
        done: gets each finding.
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
        done(finding)
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


def _is_of_a_model(seen: Seen) -> bool:
    """Whether it is what a model answers, which says what it has used, streamed or not."""
    return seen.is_stream or b'"usage"' in seen.body


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
