"""`python -m gateway.evidence.child`: smoke, doctor and compare, for the gateway that started this process."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from datetime import UTC, datetime
from importlib.metadata import version
from typing import Final

from gateway.canary import doctor_arrivals, doctor_endpoints, doctor_failures, doctor_way
from gateway.canary.checks import CheckResult, Result
from gateway.canary.client import CanaryClient, CannotRunError, Target
from gateway.canary.compare import Comparison, Pair, Thresholds, find_model, found_at, run_compare
from gateway.canary.compare_report import as_json as compared_as_json
from gateway.canary.compare_report import as_markdown as compared_as_markdown
from gateway.canary.compare_requests import usual_cases
from gateway.canary.differences import Difference
from gateway.canary.doctor import UnexaminableError, examine
from gateway.canary.doctor_client import open_session
from gateway.canary.findings import Finding, Level, Part, as_json, as_text, exit_status
from gateway.canary.masking import Masker
from gateway.canary.replay_control import ReplayControl, ReplayControlError
from gateway.canary.smoke import SmokeOptions, SmokeReport, run_smoke
from gateway.canary.smoke_report import as_json as smoke_as_json
from gateway.canary.smoke_report import as_markdown as smoke_as_markdown
from gateway.canary.trace import counted, fence
from gateway.evidence.messages import CompareOrder, DoctorOrder, Found, Order, SmokeOrder
from gateway.evidence.voice import Voice, attend

_MAX_TOKENS: Final = SmokeOptions().max_tokens
_ANSWER_SECONDS: Final = 60.0
_LEVELS: Final = {Result.PASS: "ok", Result.FAIL: "problem", Result.NOT_CHECKED: "unseen"}
_CHECKS: Final = (
    *doctor_endpoints.CHECKS,
    *doctor_arrivals.CHECKS,
    *doctor_failures.CHECKS,
    *doctor_way.CHECKS,
)


async def _work(order: Order, voice: Voice) -> None:
    try:
        await _do(order, voice)
    except CannotRunError as error:
        # It may have in it what a server said, which may have in it what it was sent.
        raise CannotRunError(_masker(order)(str(error))) from None


async def _do(order: Order, voice: Voice) -> None:
    match order:
        case SmokeOrder():
            await _smoke(order, voice)
        case DoctorOrder():
            await _doctor(order, voice)
        case CompareOrder():
            await _compare(order, voice)
        case _:
            raise CannotRunError("this is run by gateway.rehearsal")


def _masker(order: Order) -> Masker:
    match order:
        case SmokeOrder() | DoctorOrder():
            return Masker([order.key])
        case CompareOrder():
            return Masker([order.old_key, order.new_key])
        case _:
            return Masker()


async def _smoke(order: SmokeOrder, voice: Voice) -> None:
    mask = _masker(order)
    options = SmokeOptions(
        model=order.model,
        max_tokens=_MAX_TOKENS,
        parallel=order.parallel,
        big_bodies=(1, 31) if order.big_bodies else (),
    )
    voice.expect(options.checks)

    def done(check: CheckResult) -> None:
        statuses = f"HTTP {check.statuses}" if check.exchanges else ""
        what = "; ".join(part for part in (statuses, check.remarks) if part) if check.remarks else check.expected
        voice.check(check.name, _LEVELS[check.result], mask(what), ms=check.milliseconds)

    began = datetime.now(UTC)
    async with CanaryClient(answer_seconds=_ANSWER_SECONDS) as client:
        report = await run_smoke(client, Target.of(order.base_url, order.key), options, done)
    voice.done(
        _summary_of_smoke(report),
        smoke_as_markdown(report, mask, began),
        smoke_as_json(report, mask, began),
        passed=report.passed,
    )


def _summary_of_smoke(report: SmokeReport) -> str:
    passed, failed, left_out = (report.count(one) for one in (Result.PASS, Result.FAIL, Result.NOT_CHECKED))
    tokens = f"{report.tokens.input:,} tokens in, {report.tokens.output:,} out"
    said = f"{passed} of {counted(passed + failed, 'check')} passed"
    return f"{said}, {left_out} not checked; {tokens}" if left_out else f"{said}; {tokens}"


async def _doctor(order: DoctorOrder, voice: Voice) -> None:
    mask = _masker(order)
    found = [_finding(one) for one in order.machine]
    voice.expect(len(found) + len(_CHECKS))
    for one in found:
        _tell(voice, mask, [one])
    began = datetime.now(UTC)
    told: set[int] = set()

    def done(findings: Sequence[Finding]) -> None:
        told.update(map(id, findings))
        _tell(voice, mask, findings)

    try:
        found += await examine(
            _CHECKS,
            doctor_way.of_all_answers,
            base_url=order.base_url,
            key=order.key,
            upstream=order.upstream if await _is_replay(order.upstream) else "",
            model=order.model,
            say=voice.say,
            done=done,
        )
    except UnexaminableError as error:
        raise CannotRunError(f"{error}; {error.fix}") from None
    _tell(voice, mask, [one for one in found[len(order.machine) :] if id(one) not in told], steps=0)
    text = list(as_text(found, settings_from="with the settings that this gateway runs with"))
    heading = (
        f"# Doctor: {'no problem' if not exit_status(found) else 'PROBLEMS'}\n\n"
        f"- gateway: `{order.base_url}`\n"
        f"- time: {began:%Y-%m-%d %H:%M:%S} UTC, with `gateway doctor` {version('claude-stream-gateway')}\n\n"
    )
    report = {"base_url": order.base_url, "began_at": began.isoformat(timespec="seconds"), **as_json(found)}
    voice.done(
        text[-1], mask(heading + fence("\n".join(text)) + "\n"), mask.all(report), passed=not exit_status(found)
    )


def _finding(one: Found) -> Finding:
    return Finding(Part(one.part), one.check, Level(one.level), one.what, one.fix)


def _tell(voice: Voice, mask: Masker, findings: Sequence[Finding], steps: int = 1) -> None:
    """Tell of the findings of one check, the gravest first: it is what is said of the check."""
    gravity = (Level.PROBLEM, Level.WARNING, Level.OK, Level.UNSEEN)
    for place, one in enumerate(sorted(findings, key=lambda finding: gravity.index(finding.level))):
        voice.check(one.check, one.level, mask(one.what), fix=mask(one.fix), steps=0 if place else steps)


async def _is_replay(url: str) -> bool:
    """Whether this is a replay upstream, which can be asked what has reached it."""
    if not url:
        return False
    async with open_session() as session:
        try:
            await ReplayControl(session, url).arrivals()
        except ReplayControlError:
            return False
    return True


async def _compare(order: CompareOrder, voice: Voice) -> None:
    mask = _masker(order)
    comparison = Comparison(
        Target.of(order.old_url, order.old_key),
        Target.of(order.new_url, order.new_key),
        order.rounds,
        strict=False,
        thresholds=Thresholds(),
    )
    began = datetime.now(UTC)

    def done(pair: Pair, found: list[Difference]) -> None:
        what = ", ".join(one.what + (" (better)" if one.better else "") for one in found) or "the same"
        level = "warning" if any(not one.better for one in found) else "ok"
        statuses = f"HTTP {pair.old.status or 'none'} and {pair.new.status or 'none'}"
        times = f"{pair.old.milliseconds} ms and {pair.new.milliseconds} ms"
        voice.check(f"{pair.case.name}, round {pair.round}", level, mask(f"{what}; {statuses}; {times}"))

    async with CanaryClient(answer_seconds=_ANSWER_SECONDS) as client:
        comparison.old = await found_at(client, comparison.old)
        comparison.new = await found_at(client, comparison.new)
        model = order.model or await find_model(client, comparison.old, comparison.new)
        cases = usual_cases(model, _MAX_TOKENS)
        voice.expect(len(cases) * order.rounds)
        await run_compare(client, comparison, cases, done)
    voice.done(
        mask(_summary_of_compare(comparison)),
        compared_as_markdown(comparison, mask, began),
        compared_as_json(comparison, mask, began),
        passed=comparison.passed,
    )


def _summary_of_compare(comparison: Comparison) -> str:
    pairs = f"{counted(len(comparison.pairs), 'pair')} of answers"
    return "; ".join(comparison.reasons) or f"no difference that counts in {pairs}"


if __name__ == "__main__":
    sys.exit(attend(_work))
