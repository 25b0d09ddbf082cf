"""The canary tools of one gateway: what running them means, and the runs themselves, each in a process of its own.

A process of its own, because a body of 31 MiB, or a defect, must not hold up the streams that the gateway serves.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Final

from attrs import define
from yarl import URL

from gateway.canary.compare_requests import usual_cases
from gateway.canary.conformance.catalogue import select
from gateway.canary.smoke import SmokeOptions
from gateway.config import ClientAuth, Settings, SettingsError, load_settings
from gateway.controlplane.canary_tools import (
    CannotCheckError,
    CheckLevel,
    CompareRun,
    ConformanceRun,
    DoctorRun,
    Kind,
    NewRun,
    PlanView,
    SmokeRun,
    ToolView,
    Verdict,
    Watch,
)
from gateway.evidence.machine import look_at_machine
from gateway.evidence.messages import (
    Checked,
    CompareOrder,
    ConformanceOrder,
    Defective,
    DoctorOrder,
    Done,
    Expected,
    Found,
    Order,
    Said,
    SmokeOrder,
    Stuck,
)
from gateway.evidence.process import ToolError, tool_process
from gateway.setting_values import is_loopback
from gateway.telemetry.logs import get_logger

__all__ = ["GatewayTools"]

_log = get_logger(__name__)

_CHILD: Final = "gateway.evidence.child"
_REHEARSAL: Final = "gateway.rehearsal"
_CLAUDE: Final = "/claude"
_NO_KEY: Final = "a-key-that-nobody-asks-for"
_STREAMS: Final = 1000
"""At a time, for which the doctor looks whether the machine is fit; as the command does."""
_PARALLEL: Final = {1: (1,), 4: (1, 4), 16: (1, 4, 16)}
"""Streams side by side, by the most of them."""
_ROUNDS: Final = (4, 1, 2, 8)
_DOCTORS_REQUESTS: Final = 2
"""Before a real provider; a replay upstream, which costs nothing, is asked for more."""
_DOCTORS_TOKENS: Final = 64
_TOKENS_OF_A_QUESTION: Final = 35
_SECONDS_OF_AN_ANSWER: Final = 2
"""A cheap model's, with the tools' short questions."""
_DOCTOR_SECONDS: Final = 30
_RULE_SECONDS: Final = 0.05
_SLOW_RULE_SECONDS: Final = 14.0
_PASSTHROUGH: Final = (
    "Clients bring credentials of their own (client_auth = passthrough), and the gateway has none to ask with. "
    "Run `gateway {command}` with one instead."
)
_OPEN: Final = "No client is asked for a key here (client_auth = off), so that the checks of keys do not pass."
_NO_BASELINE: Final = (
    "It is not known what serves now: set GATEWAY_DASHBOARD__BASELINE_URL, or baseline_url under [dashboard], to "
    "its base URL and start the gateway again; or run `gateway compare`."
)


@define(eq=False)
class GatewayTools:
    """Runs the tools for one gateway."""

    settings: Settings
    data_url: Callable[[], str]
    """Base URL of its data plane, for programs of this machine."""

    def describe(self) -> Sequence[ToolView]:
        """Say what there is to run, and what that takes."""
        return (self._smoke(), self._doctor(), self._compare(), _conformance())

    def _asking(self, kind: Kind, plans: list[PlanView], *, obstacle: str = "", note: str = "") -> ToolView:
        """Describe a tool that asks this gateway."""
        auth = self.settings.client_auth
        if auth is ClientAuth.PASSTHROUGH:
            obstacle = _PASSTHROUGH.format(command=kind.value)
        elif auth is ClientAuth.OFF:
            note = f"{note} {_OPEN}".strip()
        upstream = self.settings.anthropic_base_url
        return ToolView(
            kind=kind,
            target=self._claude,
            upstream=upstream,
            spends=not is_loopback((URL(upstream).host or "").lower()),
            obstacle=obstacle,
            note=note,
            plans=plans,
        )

    @property
    def _claude(self) -> str:
        return self.data_url() + _CLAUDE

    def _smoke(self) -> ToolView:
        plans = []
        for most in sorted(_PARALLEL, reverse=True):
            options = SmokeOptions(parallel=_PARALLEL[most])
            plans.append(
                _plan(
                    most,
                    options.paid_requests,
                    input_tokens=options.estimated_input_tokens,
                    most_output_tokens=options.most_output_tokens,
                    # Those side by side take as long as one.
                    seconds=_SECONDS_OF_AN_ANSWER * (4 + len(options.parallel)) + 5,
                )
            )
        return self._asking(Kind.SMOKE, plans)

    def _doctor(self) -> ToolView:
        plan = _plan(0, _DOCTORS_REQUESTS, seconds=_DOCTOR_SECONDS, output_tokens=_DOCTORS_TOKENS)
        note = (
            "It asks this gateway directly. For the way through a proxy in front, run `gateway doctor --base-url` "
            "with the address that clients have."
        )
        return self._asking(Kind.DOCTOR, [plan], note=note)

    def _compare(self) -> ToolView:
        answers = sum(case.answers for case in usual_cases("", 1))
        plans = [
            _plan(
                rounds,
                answers * rounds,
                baseline_requests=answers * rounds,
                seconds=2 * _SECONDS_OF_AN_ANSWER * answers * rounds,
            )
            for rounds in _ROUNDS
        ]
        baseline = self.settings.dashboard.baseline_url
        found = self._asking(Kind.COMPARE, plans, obstacle="" if baseline else _NO_BASELINE)
        if baseline:
            found.target = f"{baseline} and {found.target}"
            found.spends = found.spends or not is_loopback((URL(baseline).host or "").lower())
        return found

    async def run(self, wanted: NewRun, key: str, watch: Watch) -> Verdict:
        """Run one; to be cancelled at any time.

        Raises:
            CannotCheckError: it came to no result.
        """
        order = await self._order(wanted, key or _NO_KEY)
        module = _REHEARSAL if isinstance(order, ConformanceOrder) else _CHILD
        try:
            async with tool_process(module, order) as messages:
                async for message in messages:
                    match message:
                        case Expected(total):
                            watch.expect(total)
                        case Said(line):
                            watch.say(line)
                        case Checked():
                            watch.check(
                                message.name,
                                CheckLevel(message.level),
                                message.what,
                                fix=message.fix,
                                ms=message.ms,
                                steps=message.steps,
                            )
                        case Done():
                            return Verdict(message.passed, message.summary, message.markdown, message.report)
                        case Stuck(reason):
                            raise CannotCheckError(_as_sentence(reason))
                        case Defective():
                            _log.error(
                                "a defect in a canary tool", exception=message.exception, trace=message.trace
                            )
                            raise CannotCheckError(
                                "It failed by a defect of its own; the gateway's log says where."
                            )
        except ToolError as error:
            raise CannotCheckError(_as_sentence(str(error))) from None
        raise CannotCheckError("It ended without a result.")

    async def _order(self, wanted: NewRun, key: str) -> Order:
        match wanted:
            case SmokeRun():
                return SmokeOrder(
                    base_url=self._claude,
                    key=key,
                    model=wanted.model,
                    parallel=_PARALLEL[wanted.streams],
                    big_bodies=wanted.big_bodies,
                )
            case DoctorRun():
                upstream = self.settings.anthropic_base_url
                return DoctorOrder(
                    base_url=self._claude,
                    key=key,
                    model=wanted.model,
                    upstream=upstream if is_loopback((URL(upstream).host or "").lower()) else "",
                    machine=await asyncio.to_thread(self._look_at_machine),
                )
            case CompareRun():
                return CompareOrder(
                    old_url=self.settings.dashboard.baseline_url,
                    old_key=wanted.old_key,
                    new_url=self._claude,
                    new_key=key,
                    model=wanted.model,
                    rounds=wanted.rounds,
                )
            case ConformanceRun():
                return ConformanceOrder(quick=wanted.quick)

    def _look_at_machine(self) -> list[Found]:
        unknown: list[str] = []
        # The gateway has its settings; of the environment it is only asked what looks like one and is none.
        with suppress(SettingsError):
            load_settings(warn=unknown.append)
        findings = look_at_machine(self.settings, unknown, streams=_STREAMS, serves=True)
        return [
            Found(part=one.part.value, check=one.check, level=one.level.value, what=one.what, fix=one.fix)
            for one in findings
        ]


def _conformance() -> ToolView:
    plans = []
    for quick in (False, True):
        rules = select([], quick=quick)
        seconds = sum(_SLOW_RULE_SECONDS if rule.slow else _RULE_SECONDS for rule in rules)
        plans.append(_plan(int(quick), 0, seconds=round(seconds)))
    return ToolView(
        kind=Kind.CONFORMANCE,
        target="a gateway of this build, made for the run",
        upstream="",
        spends=False,
        obstacle="",
        note="",
        plans=plans,
    )


def _plan(
    choice: int,
    requests: int,
    *,
    seconds: int,
    baseline_requests: int = 0,
    input_tokens: int | None = None,
    most_output_tokens: int | None = None,
    output_tokens: int = SmokeOptions().max_tokens,
) -> PlanView:
    return PlanView(
        choice=choice,
        requests=requests,
        baseline_requests=baseline_requests,
        input_tokens=requests * _TOKENS_OF_A_QUESTION if input_tokens is None else input_tokens,
        most_output_tokens=requests * output_tokens if most_output_tokens is None else most_output_tokens,
        seconds=seconds,
    )


def _as_sentence(text: str) -> str:
    return text[:1].upper() + text[1:] + ("" if text.endswith((".", "!", "?")) else ".")
