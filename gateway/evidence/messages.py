"""What the gateway and the process of a tool say to each other: one JSON object a line, over pipes.

The order goes in by standard input, because it has a key in it; a command line could be seen by others.
"""

from __future__ import annotations

from typing import Any

import msgspec

__all__ = [
    "Checked",
    "CompareOrder",
    "ConformanceOrder",
    "Defective",
    "DoctorOrder",
    "Done",
    "Expected",
    "Found",
    "Message",
    "Order",
    "Said",
    "SmokeOrder",
    "Stuck",
    "to_order",
]


class Found(msgspec.Struct, kw_only=True):
    """A finding of the doctor's; `gateway.canary.findings` says what the fields mean."""

    part: str
    check: str
    level: str
    what: str
    fix: str


class SmokeOrder(msgspec.Struct, tag="smoke", kw_only=True):
    """Ask a gateway for every part of the contract."""

    base_url: str
    key: str
    model: str
    parallel: tuple[int, ...]
    big_bodies: bool


class DoctorOrder(msgspec.Struct, tag="doctor", kw_only=True):
    """Examine a gateway."""

    base_url: str
    key: str
    model: str
    upstream: str
    """Base URL of what may be a replay upstream; empty for what is none."""
    machine: list[Found]
    """What was found of the machine already."""


class CompareOrder(msgspec.Struct, tag="compare", kw_only=True):
    """Send the same requests to an old and a new way to Claude."""

    old_url: str
    old_key: str
    new_url: str
    new_key: str
    model: str
    rounds: int


class ConformanceOrder(msgspec.Struct, tag="conformance", kw_only=True):
    """Check a gateway of this build, with an upstream that fails as it is told to; both are made for it."""

    quick: bool


Order = SmokeOrder | DoctorOrder | CompareOrder | ConformanceOrder


class Expected(msgspec.Struct, tag="expected"):
    """How many steps there will be."""

    total: int


class Said(msgspec.Struct, tag="said"):
    """What is happening, for whoever waits."""

    line: str


class Checked(msgspec.Struct, tag="checked", kw_only=True):
    """What one check has found."""

    name: str
    level: str
    """`ok`, `warning`, `problem`, `unseen`."""
    what: str
    fix: str = ""
    ms: int | None = None
    steps: int = 1
    """Of those that were expected; 0 for a further finding of the same one."""


class Done(msgspec.Struct, tag="done", kw_only=True):
    """The end of a run that came to a result."""

    passed: bool
    summary: str
    markdown: str
    report: dict[str, Any] | None
    """The result for programs; None if it is too large."""


class Stuck(msgspec.Struct, tag="stuck"):
    """The end of a run that came to none, for a reason that somebody can do something about."""

    reason: str


class Defective(msgspec.Struct, tag="defective"):
    """The end of a run by a defect of this program."""

    exception: str
    """Its type."""
    trace: list[str]


Message = Expected | Said | Checked | Done | Stuck | Defective


def to_order(line: bytes) -> Order:
    """Read an order.

    Raises:
        msgspec.DecodeError: it is none.
    """
    return msgspec.json.decode(line, type=Order)
