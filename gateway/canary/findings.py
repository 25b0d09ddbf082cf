"""What an examination finds, and how it is told."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from enum import StrEnum
from typing import Any, Final

from attrs import define

from gateway.telemetry.logs import printable

__all__ = ["Finding", "Level", "Part", "as_json", "as_text", "exit_status"]


class Level(StrEnum):
    """How bad a finding is."""

    OK = "ok"
    #: It works, and somebody should know how.
    WARNING = "warning"
    #: Something does not work, or will not for long.
    PROBLEM = "problem"
    #: Nothing can be said from here.
    UNSEEN = "unseen"


class Part(StrEnum):
    """What was looked at."""

    MACHINE = "machine"
    CONTRACT = "contract"
    WAY = "way"


@define(frozen=True)
class Finding:
    """One thing that was looked at."""

    part: Part
    check: str
    """A name that stays, such as `open-files`."""
    level: Level
    what: str
    """What was found, in one sentence; never a secret."""
    fix: str = ""
    """What to do about it, in one sentence; empty where there is nothing to do."""


_LONGEST_LINE: Final = 1000
_TITLES: Final = {
    Part.MACHINE: "this machine",
    Part.CONTRACT: "what Claude Code and the SDKs rely on",
    Part.WAY: "the way to the gateway",
}
_MARKS: Final = {Level.OK: "ok", Level.WARNING: "WARNING", Level.PROBLEM: "PROBLEM", Level.UNSEEN: "not seen"}


def exit_status(findings: Iterable[Finding]) -> int:
    """Return 1 if there is a problem among them, else 0."""
    return 1 if any(finding.level is Level.PROBLEM for finding in findings) else 0


def as_text(findings: Sequence[Finding], *, settings_from: str = "") -> Iterator[str]:
    """Give the lines of a report for people, part by part.

    Args:
        findings: in the order in which they are told.
        settings_from: where the settings are from that this machine was looked at with.
    """
    width = max((len(finding.check) for finding in findings), default=0)
    for part in Part:
        of_part = [finding for finding in findings if finding.part is part]
        if not of_part:
            continue
        yield _TITLES[part] + (f", {settings_from}" if settings_from and part is Part.MACHINE else "")
        for finding in of_part:
            # What servers say is no command to a terminal.
            what = printable(finding.what, _LONGEST_LINE)
            yield f"  {_MARKS[finding.level]:9} {finding.check:{width}}  {what}"
            if finding.fix:
                yield f"  {'':9} {'':{width}}  → {finding.fix}"
        yield ""
    yield _summary(findings)


def _summary(findings: Iterable[Finding]) -> str:
    counted = Counter(finding.level for finding in findings)
    problems, warnings = counted[Level.PROBLEM], counted[Level.WARNING]
    said = [
        f"{problems} problem{'' if problems == 1 else 's'}",
        f"{warnings} warning{'' if warnings == 1 else 's'}",
        f"{counted[Level.OK]} ok",
    ]
    if counted[Level.UNSEEN]:
        said.append(f"{counted[Level.UNSEEN]} that cannot be seen from here")
    return ", ".join(said)


def as_json(findings: Sequence[Finding]) -> dict[str, Any]:
    """Return the report for programs: the findings, and how many there are of each level."""
    counted = Counter(finding.level for finding in findings)
    return {
        "findings": [
            {
                "part": finding.part.value,
                "check": finding.check,
                "level": finding.level.value,
                "what": finding.what,
                "fix": finding.fix,
            }
            for finding in findings
        ],
        "counts": {level.value: counted[level] for level in Level},
    }
