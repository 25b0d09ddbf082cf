"""What the canary tools take and give when somebody runs them from the dashboard.

The tools themselves know a gateway from outside only and are above the control plane; whoever puts the gateway
together hands them down as `CanaryTools`.
"""

from __future__ import annotations

from collections.abc import Sequence
from enum import StrEnum
from typing import Annotated, Any, Literal, Protocol

import msgspec
from attrs import define, field
from msgspec import Meta

__all__ = [
    "CanaryTools",
    "CannotCheckError",
    "CheckLevel",
    "CheckView",
    "CompareRun",
    "ConformanceRun",
    "DoctorRun",
    "Kind",
    "NewRun",
    "PlanView",
    "SmokeRun",
    "ToolView",
    "Verdict",
    "Watch",
]


class Kind(StrEnum):
    """One of the tools."""

    #: Every part of the contract that clients rely on, once.
    SMOKE = "smoke"
    #: What is not as it should be, on this machine and at the gateway, with what to do.
    DOCTOR = "doctor"
    #: The same requests to what serves now and to this gateway.
    COMPARE = "compare"
    #: What a gateway of this build makes of an upstream that fails.
    CONFORMANCE = "conformance"


class CheckLevel(StrEnum):
    """How bad a finding is."""

    OK = "ok"
    WARNING = "warning"
    PROBLEM = "problem"
    #: Nothing can be said from here.
    UNSEEN = "unseen"


Model = Annotated[
    str,
    Meta(
        max_length=200,
        pattern=r"^[\w.:@/\[\]-]*$",
        description="Model to be asked; empty for a cheap one of the list.",
    ),
]
ClientKey = Annotated[
    str,
    Meta(
        min_length=1,
        max_length=1000,
        pattern=r"^[!-~]+$",
        description="A key to what serves now. It is used for this run, and neither stored nor shown again.",
    ),
]


class SmokeRun(msgspec.Struct, tag_field="kind", tag="smoke", kw_only=True, forbid_unknown_fields=True):
    """Ask this gateway for every part of the contract that clients rely on, once."""

    model: Model = ""
    streams: Literal[1, 4, 16] = 16
    """Most streams at a time."""
    big_bodies: bool = True
    """Whether to count the tokens of bodies of 1 and 31 MiB, which is free."""


class DoctorRun(msgspec.Struct, tag_field="kind", tag="doctor", kw_only=True, forbid_unknown_fields=True):
    """Look at this machine, and ask this gateway as Claude Code does."""

    model: Model = ""


class CompareRun(msgspec.Struct, tag_field="kind", tag="compare", kw_only=True, forbid_unknown_fields=True):
    """Send the same requests to what serves now, which the settings name, and to this gateway."""

    old_key: ClientKey
    model: Model = ""
    rounds: Literal[1, 2, 4, 8] = 4
    """How often to send each."""


class ConformanceRun(
    msgspec.Struct, tag_field="kind", tag="conformance", kw_only=True, forbid_unknown_fields=True
):
    """Check rule after rule at a gateway of this build that is made for it, whose upstream fails on purpose."""

    quick: bool = False
    """Whether to leave out the rules that wait for many seconds."""


NewRun = SmokeRun | DoctorRun | CompareRun | ConformanceRun


class PlanView(msgspec.Struct, kw_only=True):
    """One way to run a tool, and what it takes."""

    choice: int
    """Value of the tool's own option: most streams, rounds, or 0 and 1 for all rules and the quick ones."""
    requests: int
    """To this gateway that have a model answer."""
    baseline_requests: int
    """Likewise, to what serves now."""
    input_tokens: int
    """Of all questions to this gateway, about."""
    most_output_tokens: int
    """Of all answers of this gateway, at the most."""
    seconds: int
    """That it takes, about; a model that is slow takes longer."""


class ToolView(msgspec.Struct, kw_only=True):
    """A tool, and what running it means."""

    kind: Kind
    target: str
    """What it asks."""
    upstream: str
    """Who answers in the end; empty for nobody but this program."""
    spends: bool
    """Whether that may cost money: the upstream is not on this machine."""
    obstacle: str
    """Why it cannot be run here, and what to do instead; empty if it can."""
    note: str
    """What else to know before; empty for nothing."""
    plans: list[PlanView]
    """Ways to run it; the first is the usual one."""


class CheckView(msgspec.Struct, kw_only=True):
    """What one check of a run has found."""

    name: str
    level: CheckLevel
    what: str
    fix: str
    """What to do about it; empty where there is nothing to do."""
    ms: int | None
    """That its slowest request took."""
    at: float
    """Seconds since the run began."""


@define(frozen=True)
class Verdict:
    """What a run came to."""

    passed: bool
    summary: str
    markdown: str = field(repr=False)
    report: dict[str, Any] | None = field(repr=False)


class CannotCheckError(Exception):
    """A run came to no result; the message says why and what to do."""


class Watch(Protocol):
    """Is told how far a run is."""

    def expect(self, total: int) -> None:
        """Hear how many steps there will be."""
        ...

    def say(self, line: str) -> None:
        """Hear what is happening."""
        ...

    def check(
        self, name: str, level: CheckLevel, what: str, *, fix: str = "", ms: int | None = None, steps: int = 1
    ) -> None:
        """Hear what a check has found; `steps` of those that were expected are over by it."""
        ...


class CanaryTools(Protocol):
    """Runs the tools."""

    def describe(self) -> Sequence[ToolView]:
        """Say what there is to run, and what that takes."""
        ...

    async def run(self, wanted: NewRun, key: str, watch: Watch) -> Verdict:
        """Run one; to be cancelled at any time.

        Args:
            wanted: which, and how.
            key: a client's key of this gateway; empty for a tool that asks another one.
            watch: told how far it is.

        Raises:
            CannotCheckError: it came to no result.
        """
        ...
