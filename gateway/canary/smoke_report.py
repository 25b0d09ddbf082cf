"""The evidence of a smoke run: Markdown for a pull request, or JSON."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from importlib.metadata import version
from typing import Any, Final

from gateway.canary.checks import CheckResult, Result
from gateway.canary.masking import Masker
from gateway.canary.smoke import SmokeReport
from gateway.canary.trace import cell, fence, render, table

__all__ = ["as_json", "as_markdown"]

_TRACES_OF_A_CHECK: Final = 2
_MARKS: Final = {Result.PASS: "pass", Result.FAIL: "**FAIL**", Result.NOT_CHECKED: "not checked"}
_WHY: Final = (
    "Before requests of real clients are sent to this address, every part of the contract that they rely on was "
    "asked for once and judged: models, counting, messages whole and streamed, tools, errors, large bodies, "
    "streams side by side, and the routes of the existing proxy."
)
_ROLLBACK: Final = (
    "Nothing was changed by this run. To take the canary out again, remove the `/claude` location from the "
    "reverse proxy in front and reload it, or set the clients' `ANTHROPIC_BASE_URL` back to what it was; the "
    "existing proxy at `/v1` serves on in either case, and nothing has to be migrated back."
)


def as_markdown(report: SmokeReport, mask: Masker, at: datetime, why: str = "") -> str:
    """Return the evidence with the headings of a pull request.

    Args:
        report: what was found.
        mask: takes out secrets.
        at: when the run began, in UTC.
        why: in the place of the usual reason for such a run.
    """
    return mask("\n".join(_markdown(report, mask, at, why)))


def _markdown(report: SmokeReport, mask: Masker, at: datetime, why: str) -> Iterator[str]:
    yield f"# Canary smoke: {'PASS' if report.passed else 'FAIL'}"
    yield ""
    yield "## Summary"
    yield ""
    yield from (f"- {line}" for line in _summary(report, at))
    yield ""
    yield "## Why"
    yield ""
    yield " ".join(why.split()) or _WHY
    yield ""
    yield "## Validation"
    yield ""
    yield table(
        ("check", "expected", "HTTP", "result", "ms", "remarks"),
        (
            (
                check.name,
                check.expected,
                check.statuses,
                _MARKS[check.result],
                "" if check.milliseconds is None else check.milliseconds,
                check.remarks,
            )
            for check in report.checks
        ),
    )
    for check in report.checks:
        yield from _traces(check, mask)
    yield ""
    yield "## Risks"
    yield ""
    yield from (f"- {line}" for line in _risks(report))
    yield ""
    yield "## Rollback"
    yield ""
    yield _ROLLBACK
    yield ""


def _summary(report: SmokeReport, at: datetime) -> Iterator[str]:
    passed, failed = report.count(Result.PASS), report.count(Result.FAIL)
    left_out = report.count(Result.NOT_CHECKED)
    yield f"{passed} of {passed + failed} checks passed" + (f"; {left_out} not checked" if left_out else "")
    yield from (f"failed: {', '.join(names)}: {cell(problem)}" for problem, names in _failures(report).items())
    yield f"target: `{report.base_url}`; its `server` header: {cell(report.server)}"
    yield f"model: {cell(report.model)}, at most {report.options.max_tokens} output tokens an answer"
    tokens = report.tokens
    yield f"tokens used: {tokens.input:,} in, {tokens.output:,} out, for {tokens.answers} messages"
    yield f"time: {at:%Y-%m-%d %H:%M:%S} UTC, with `gateway smoke` {version('claude-stream-gateway')}"


def _failures(report: SmokeReport) -> dict[str, list[str]]:
    """Return the names of the checks that failed by what was wrong first."""
    found: dict[str, list[str]] = {}
    for check in report.checks:
        if check.result is Result.FAIL:
            found.setdefault(check.problems[0], []).append(check.name)
    return found


def _risks(report: SmokeReport) -> Iterator[str]:
    if failures := _failures(report):
        names = ", ".join(name for names in failures.values() for name in names)
        yield f"clients will meet what failed: {names}"
    left_out: dict[str, list[str]] = {}
    for check in report.checks:
        if check.result is Result.NOT_CHECKED:
            left_out.setdefault(check.note, []).append(check.name)
    yield from (f"not checked: {', '.join(names)}: {cell(why)}" for why, names in left_out.items())
    if not report.options.big_bodies:
        yield "large bodies were not checked (`--no-big-body`)"
    yield "one run at one time: it does not show what happens under the load of real clients, or over days"


def _traces(check: CheckResult, mask: Masker) -> Iterator[str]:
    for number, exchange in enumerate(check.exchanges[:_TRACES_OF_A_CHECK], 1):
        which = f" ({number} of {len(check.exchanges)})" if len(check.exchanges) > 1 else ""
        yield ""
        yield f"<details><summary>{check.name}{which}: {exchange.status}, {exchange.milliseconds} ms</summary>"
        yield ""
        yield fence(render(exchange, mask))
        yield ""
        yield "</details>"


def as_json(report: SmokeReport, mask: Masker, at: datetime) -> dict[str, Any]:
    """Return the evidence for programs."""
    return mask.all(
        {
            "verdict": "pass" if report.passed else "fail",
            "base_url": report.base_url,
            "server": report.server,
            "model": report.model,
            "began_at": at.isoformat(timespec="seconds"),
            "tokens": {
                "input": report.tokens.input,
                "output": report.tokens.output,
                "messages": report.tokens.answers,
            },
            "counts": {result.value.replace(" ", "_"): report.count(result) for result in Result},
            "checks": [
                {
                    "name": check.name,
                    "expected": check.expected,
                    "result": check.result.value,
                    "statuses": [exchange.status for exchange in check.exchanges],
                    "milliseconds": check.milliseconds,
                    "problems": check.problems,
                    "note": check.note,
                    "traces": [render(exchange, mask) for exchange in check.exchanges[:_TRACES_OF_A_CHECK]],
                }
                for check in report.checks
            ],
        }
    )
