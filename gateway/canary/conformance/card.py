"""The score card: what was found, for people, for documents and for programs."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import Any, Final

from attrs import frozen

from gateway.canary.conformance.bench import Rule
from gateway.canary.conformance.run import Finding, Result

__all__ = ["FORMATS", "ScoreCard", "list_rules"]

_SHORT: Final = 160


@frozen
class ScoreCard:
    """All findings about one gateway."""

    name: str
    """What the gateway is called; its URL, if nothing better is known."""
    version: str
    """Of this program."""
    at: datetime
    findings: Sequence[Finding]

    def number(self, result: Result) -> int:
        """Count the rules that came out like this."""
        return sum(finding.result is result for finding in self.findings)

    @property
    def summary(self) -> str:
        """The counts in words."""
        unchecked = self.number(Result.UNCHECKED)
        return (
            f"{self.number(Result.PASS)} passed, {self.number(Result.FAIL)} failed, "
            f"{self.number(Result.NOT_APPLICABLE)} not applicable"
            + (f", {unchecked} not checked: the gateway had stopped serving" if unchecked else "")
        )

    @property
    def passed(self) -> bool:
        """Whether something was checked, and neither did anything fail nor did the gateway stop serving."""
        bad = self.number(Result.FAIL) + self.number(Result.UNCHECKED)
        return not bad and self.number(Result.PASS) > 0

    def as_text(self) -> str:
        """Return the card for a terminal."""
        width = max((len(finding.rule.id) for finding in self.findings), default=0)
        lines = []
        for finding in self.findings:
            rule = finding.rule
            lines.append(f"{finding.result.value:4}  {rule.id:{width}}  {rule.sentence}")
            seen = _shortened(finding.seen) if finding.result is Result.PASS else finding.seen
            lines.append(f"        seen: {seen}")
            if finding.result is Result.FAIL:
                lines.append(f"        why it matters: {rule.why}")
                lines.append(f"        tried with: {rule.behind}")
                lines.append(f"        a user would notice: {rule.notice}")
        return "\n".join([*lines, "", f"{self.name}: {self.summary}"])

    def as_markdown(self) -> str:
        """Return the card for a document."""
        lines = [
            f"### {self.name}",
            "",
            f"{self.summary}; {self.at:%Y-%m-%d}, by `gateway conformance` {self.version}.",
            "",
            "| rule | result | seen |",
            "|---|---|---|",
        ]
        for finding in self.findings:
            bad = finding.result in (Result.FAIL, Result.UNCHECKED)
            result = f"**{finding.result.value}**" if bad else finding.result.value
            lines.append(f"| `{finding.rule.id}` | {result} | {_cell(finding.seen)} |")
        failed = [finding.rule for finding in self.findings if finding.result is Result.FAIL]
        if failed:
            lines.extend(["", "What a user would notice:", ""])
            lines.extend(f"- `{rule.id}`: {rule.notice}" for rule in failed)
        return "\n".join(lines)

    def as_json(self) -> str:
        """Return the card for a program."""
        return json.dumps(
            {
                "gateway": self.name,
                "version": self.version,
                "at": self.at.isoformat(timespec="seconds"),
                "passed": self.passed,
                "counts": {result.value: self.number(result) for result in Result},
                "rules": [
                    {
                        **_described(finding.rule),
                        "result": finding.result.value,
                        "seen": finding.seen,
                        "seconds": round(finding.seconds, 3),
                    }
                    for finding in self.findings
                ],
            },
            ensure_ascii=False,
            indent=2,
        )


FORMATS: Final[Mapping[str, Callable[[ScoreCard], str]]] = {
    "text": ScoreCard.as_text,
    "markdown": ScoreCard.as_markdown,
    "json": ScoreCard.as_json,
}
"""Ways to write a card, by name."""


def list_rules(rules: Sequence[Rule], form: str) -> str:
    """Return what the rules are, in one of `FORMATS`."""
    match form:
        case "json":
            return json.dumps([_described(rule) for rule in rules], ensure_ascii=False, indent=2)
        case "markdown":
            rows = [f"| `{rule.id}` | {_cell(rule.sentence)} | {_cell(rule.behind)} |" for rule in rules]
            return "\n".join(["| rule | what a gateway does | tried with |", "|---|---|---|", *rows])
    width = max((len(rule.id) for rule in rules), default=0)
    return "\n".join(f"{rule.id:{width}}  {rule.sentence}" for rule in rules)


def _described(rule: Rule) -> dict[str, Any]:
    return {
        "id": rule.id,
        "sentence": rule.sentence,
        "why": rule.why,
        "behind": rule.behind,
        "notice": rule.notice,
        "slow": rule.slow,
    }


def _shortened(text: str) -> str:
    return text if len(text) <= _SHORT else text[:_SHORT] + "…"


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("<", "&lt;")
