"""Runs of the canary tools, started from the dashboard: those that go on, and the last ones that ended."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Sequence
from contextlib import AsyncExitStack
from enum import StrEnum
from typing import Any, Final

import msgspec
from attrs import define, field

from gateway.controlplane.access import AuditTrail, Visitor
from gateway.controlplane.canary_tools import (
    CanaryTools,
    CannotCheckError,
    CheckLevel,
    CheckView,
    Kind,
    NewRun,
    Verdict,
)
from gateway.controlplane.check_keys import CheckKeys
from gateway.controlplane.live import LiveHub
from gateway.store.engine import Database
from gateway.store.errors import StoreError
from gateway.telemetry.logs import exception_facts, get_logger
from gateway.wire.errors import ApiError

__all__ = ["MOST_KEPT", "CanaryRuns", "Run", "RunCounts", "RunState", "RunView"]

_log = get_logger(__name__)

MOST_KEPT: Final = 20
_MOST_AT_A_TIME: Final = 2
_MOST_CHECKS: Final = 500
_SECONDS: Final = {Kind.SMOKE: 900.0, Kind.DOCTOR: 300.0, Kind.COMPARE: 1800.0, Kind.CONFORMANCE: 900.0}
"""That a run takes at the most."""
_BY_KEY: Final = frozenset({Kind.SMOKE, Kind.DOCTOR, Kind.COMPARE})
"""Those that ask this gateway."""


class RunState(StrEnum):
    """Where a run is."""

    RUNNING = "running"
    PASSED = "passed"
    FAILED = "failed"
    #: It came to no result; `summary` says why.
    STUCK = "stuck"
    CANCELLED = "cancelled"


class RunCounts(msgspec.Struct, kw_only=True):
    """How many findings there are of each level."""

    ok: int
    warning: int
    problem: int
    unseen: int


class RunView(msgspec.Struct, kw_only=True):
    """A run, without its findings."""

    id: str
    kind: Kind
    state: RunState
    began_at: float
    ended_at: float | None
    began_by: str
    """Name of who started it."""
    options: dict[str, Any]
    """As they were asked for, without the key."""
    done: int
    """Steps that are over."""
    total: int | None
    """Steps that there are; None while that is not known."""
    line: str
    """What is happening, or what happened last."""
    counts: RunCounts
    summary: str
    """What it came to, in a sentence; empty while it goes on."""
    key_id: str | None
    """Of the key that it asks this gateway with, which is there for as long as it goes on."""


class JobProgress(RunView, kw_only=True):
    """What viewers are told when something of a run has changed."""

    check: CheckView | None
    """What has just been found, if that is it."""


@define(eq=False)
class Run:
    """One run; it is told how far it is by the tool."""

    id: str
    kind: Kind
    began_at: float
    began_by: str
    options: dict[str, Any]
    _started: float
    """On the event loop's clock."""
    _live: LiveHub
    state: RunState = RunState.RUNNING
    ended_at: float | None = None
    done: int = 0
    total: int | None = None
    line: str = ""
    summary: str = ""
    key_id: str | None = None
    checks: list[CheckView] = field(factory=list)
    verdict: Verdict | None = None
    task: asyncio.Task[None] | None = None

    @property
    def is_over(self) -> bool:
        """Whether it has ended."""
        return self.state is not RunState.RUNNING

    def view(self) -> RunView:
        """Return what is told of it in a list."""
        return RunView(**self._facts())

    def _facts(self) -> dict[str, Any]:
        levels = [check.level for check in self.checks]
        return {
            **{name: getattr(self, name) for name in RunView.__struct_fields__ if name != "counts"},
            "counts": RunCounts(**{level.value: levels.count(level) for level in CheckLevel}),
        }

    def tell(self, check: CheckView | None = None) -> None:
        """Tell all viewers how it is now."""
        self._live.publish("job", JobProgress(**self._facts(), check=check))

    def expect(self, total: int) -> None:
        """Hear how many steps there will be."""
        self.total = total
        self.tell()

    def say(self, line: str) -> None:
        """Hear what is happening."""
        self.line = line
        self.tell()

    def check(
        self, name: str, level: CheckLevel, what: str, *, fix: str = "", ms: int | None = None, steps: int = 1
    ) -> None:
        """Hear what a check has found."""
        at = round(asyncio.get_running_loop().time() - self._started, 3)
        check = CheckView(name=name, level=level, what=what, fix=fix, ms=ms, at=at)
        if len(self.checks) < _MOST_CHECKS:
            self.checks.append(check)
        self.done += steps
        self.line = f"{name}: {what}"
        self.tell(check)


@define(eq=False)
class CanaryRuns:
    """Starts runs, bounds how many there are, and remembers the last ones for as long as the gateway runs."""

    tools: CanaryTools
    keys: CheckKeys
    """Lends a key to what asks this gateway."""
    takes_keys: bool
    """Whether this gateway asks its clients for a key."""
    database: Database
    audit: AuditTrail
    live: LiveHub
    tasks: asyncio.TaskGroup
    _runs: list[Run] = field(factory=list, init=False)
    """The newest first."""
    _is_ending: bool = field(default=False, init=False)

    def all(self) -> Sequence[Run]:
        """Return the runs that are remembered, the newest first."""
        return self._runs

    def find(self, run_id: str) -> Run:
        """Return a run.

        Raises:
            ApiError: 404.
        """
        for run in self._runs:
            if run.id == run_id:
                return run
        raise ApiError(
            404,
            f"There is no such run. The last {MOST_KEPT} are remembered, until the gateway is started again.",
        )

    async def start(self, wanted: NewRun, visitor: Visitor) -> Run:
        """Start a run.

        Raises:
            ApiError: 409, as much is running already, or the tool cannot be run here.
            StoreError: the database cannot be used.
        """
        kind = Kind(type(wanted).__struct_config__.tag)
        tool = next(tool for tool in self.tools.describe() if tool.kind is kind)
        if tool.obstacle:
            raise ApiError(409, tool.obstacle)
        going_on = [run for run in self._runs if not run.is_over]
        if any(run.kind is kind for run in going_on):
            raise ApiError(409, f"A run of {kind} is going on; wait for its end, or cancel it.")
        if len(going_on) >= _MOST_AT_A_TIME:
            others = " and ".join(sorted(run.kind for run in going_on))
            raise ApiError(
                409, f"{others.capitalize()} are running, and more would disturb them; wait for an end."
            )
        self._check_that_it_goes_on()
        options = {name: value for name, value in msgspec.structs.asdict(wanted).items() if name != "old_key"}
        loop = asyncio.get_running_loop()
        run = Run(
            f"run_{secrets.token_hex(8)}",
            kind,
            self.database.clock(),
            visitor.name,
            options,
            loop.time(),
            self.live,
        )
        # Before anything is awaited: nobody may start another one meanwhile.
        self._runs.insert(0, run)
        self._forget()
        try:
            await self.audit.write(visitor, "canary.run", kind.value, after={"id": run.id, **options})
            # It may have been stopped meanwhile, and nobody would end this run any more.
            self._check_that_it_goes_on()
            run.task = self.tasks.create_task(self._guard(run, wanted, visitor), name=f"canary-{kind}")
        except BaseException:
            self._runs.remove(run)
            raise
        self.live.changed("canary")
        return run

    async def cancel(self, run: Run, visitor: Visitor) -> None:
        """End a run, and return when it has ended.

        Raises:
            ApiError: 409, it is over.
        """
        if run.is_over or run.task is None:
            raise ApiError(409, "This run is over already.")
        await self.audit.write(visitor, "canary.cancel", run.kind.value, before={"id": run.id})
        _end(run.task)
        await asyncio.wait({run.task})

    async def end_with(self, stopping: asyncio.Event) -> None:
        """End all runs when the gateway stops: its clients' streams are waited for then, and not its own."""
        await stopping.wait()
        self._is_ending = True
        for run in self._runs:
            if run.task is not None:
                _end(run.task)

    def _check_that_it_goes_on(self) -> None:
        if self._is_ending:
            raise ApiError(503, "The gateway is being stopped.")

    def _forget(self) -> None:
        over = [run for run in self._runs if run.is_over]
        for run in over[max(0, MOST_KEPT - (len(self._runs) - len(over))) :]:
            self._runs.remove(run)

    async def _guard(self, run: Run, wanted: NewRun, visitor: Visitor) -> None:
        run.tell()
        state, summary = RunState.STUCK, ""
        try:
            async with asyncio.timeout(_SECONDS[run.kind]):
                verdict = await self._run(run, wanted, visitor)
            state, summary = RunState.PASSED if verdict.passed else RunState.FAILED, verdict.summary
            run.verdict, run.done = verdict, run.total or run.done
        except asyncio.CancelledError:
            state, summary = RunState.CANCELLED, "It was ended before it was done."
            raise
        except CannotCheckError as error:
            summary = str(error)
        except TimeoutError:
            summary = f"It was not done after {_SECONDS[run.kind] / 60:g} minutes, and was ended."
        except StoreError as error:
            summary = f"The database cannot be used: {error}"
        except Exception as error:  # noqa: BLE001 - a defect of a check is none of the gateway's
            _log.error("a defect in a canary run", kind=run.kind.value, **exception_facts(error))
            summary = "It failed by a defect of its own; the gateway's log says where."
        finally:
            run.state, run.summary, run.ended_at = state, summary, self.database.clock()
            # It would keep what the run was given, with a key.
            run.task = None
            run.tell()
            self.live.changed("canary")

    async def _run(self, run: Run, wanted: NewRun, visitor: Visitor) -> Verdict:
        async with AsyncExitStack() as stack:
            key = ""
            if run.kind in _BY_KEY and self.takes_keys:
                lent = await stack.enter_async_context(self.keys.lent(visitor, _SECONDS[run.kind]))
                run.key_id, key = lent.id, lent.key
            return await self.tools.run(wanted, key, run)


def _end(task: asyncio.Task[None]) -> None:
    # Once: a second time would interrupt the ending of its process.
    if not task.cancelling():
        task.cancel()
