"""Accounts as people and scripts are shown them. Nothing here has ever seen a secret in clear."""

from __future__ import annotations

import json
from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any, Final

from gateway.accounts.account import ACCOUNT_WIDE, AccountState, Cooldown
from gateway.accounts.checking import Verdict
from gateway.accounts.office import Shown, family_name
from gateway.telemetry.logs import printable
from gateway.telemetry.times import iso

__all__ = [
    "as_json",
    "iso",
    "moment",
    "print_json",
    "print_table",
    "still",
    "verdict_as_json",
    "verdict_as_text",
]

_COLUMNS: Final = (
    "NAME",
    "PROVIDER",
    "KIND",
    "OWNER",
    "WEIGHT",
    "PRIORITY",
    "AT A TIME",
    "EXPIRES",
    "GOES TO",
    "STATE",
)
_NOTHING: Final = "-"
_GAP: Final = "  "
_NOT_CONFIGURED: Final = "GATEWAY_ANTHROPIC_API_KEY is not set"


def as_json(shown: Shown) -> dict[str, Any]:
    """Return what `--json` prints of an account; docs/accounts.md describes it."""
    account = shown.account
    return {
        "id": account.id,
        "name": account.name,
        "provider": account.provider,
        "kind": account.kind.value,
        "command": shown.command,
        "state": "not_configured" if shown.is_idle else shown.state.value,
        "reason": _NOT_CONFIGURED if shown.is_idle else shown.reason,
        "cooling": [
            {
                "family": rest.family,
                "until": iso(rest.until),
                "since": iso(rest.since),
                "fault": rest.fault,
                "reason": rest.reason,
            }
            for rest in shown.cooling
        ],
        "base_url": shown.base_url,
        "owner": account.owner,
        "weight": account.weight,
        "priority": account.priority,
        "max_concurrency": account.max_concurrency,
        "created_at": iso(account.created_at or None),
        "paused_at": iso(account.paused_at),
        "expires_at": iso(account.expires_at),
    }


def verdict_as_json(name: str, verdict: Verdict) -> dict[str, Any]:
    """Return what `--json` prints of a check."""
    return {
        "name": name,
        "good": verdict.is_good,
        "finding": verdict.finding.value,
        "message": verdict.message,
        "status": verdict.status,
        "request_id": verdict.request_id,
        "milliseconds": verdict.milliseconds,
    }


def verdict_as_text(name: str, verdict: Verdict) -> str:
    """Return a check on one line."""
    facts = [f"{verdict.milliseconds} ms"] if verdict.milliseconds is not None else []
    facts += [verdict.request_id] if verdict.request_id else []
    return printable(f"{name}: {verdict.finding.value}: {verdict.message}", 1000) + (
        f" ({', '.join(facts)})" if facts else ""
    )


def print_json(value: Any) -> None:
    """Print a value for scripts."""
    print(json.dumps(value, indent=2))


def print_table(rows: Iterable[Shown]) -> None:
    """Print accounts as a table; the state comes last, for it may be long."""
    lines = [_COLUMNS, *(_cells(shown) for shown in rows)]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    for line in lines:
        print(_GAP.join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip())


def _cells(shown: Shown) -> tuple[str, ...]:
    account = shown.account
    bound = {None: _NOTHING, 0: "any"}.get(account.max_concurrency, str(account.max_concurrency))
    return (
        printable(account.name),
        account.provider,
        account.kind.value if shown.command is None else f"{account.kind.value} {printable(shown.command)}",
        printable(account.owner) or _NOTHING,
        str(account.weight),
        str(account.priority),
        bound,
        _expiry(account.expires_at, shown.now),
        printable(shown.base_url),
        _state(shown),
    )


def _state(shown: Shown) -> str:
    if shown.state is AccountState.COOLING:
        return "cooling " + ", ".join(
            f"until {moment(rest.until)} ({_cause(rest)})"
            for rest in sorted(shown.cooling, key=lambda rest: -rest.until)
        )
    if shown.state is AccountState.PARKED:
        return f'parked "{printable(shown.reason)}"'
    if shown.state is AccountState.NEEDS_REAUTH and shown.reason:
        return f"needs_reauth: {printable(shown.reason)}"
    return f"not configured here: {_NOT_CONFIGURED}" if shown.is_idle else shown.state.value


def still(shown: Shown) -> str:
    """Say what keeps an account out of use and what ends that; nothing for one that is in use."""
    resume = f"`gateway accounts resume {printable(shown.account.name)}`"
    match shown.state:
        case AccountState.PAUSED:
            return f"It is paused; {resume} puts it into use."
        case AccountState.PARKED:
            return f'It is parked, "{printable(shown.reason)}"; {resume} puts it into use once that is settled.'
        case AccountState.NEEDS_REAUTH:
            return f"It needs another credential; {resume} has it tried again as it is."
        case AccountState.COOLING:
            return f"It is {_state(shown)}; {resume} puts it into use now."
    return ""


def _cause(rest: Cooldown) -> str:
    return printable(rest.fault if rest.family == ACCOUNT_WIDE else f"{rest.fault}, {family_name(rest.family)}")


def _expiry(at: float | None, now: float) -> str:
    if at is None:
        return _NOTHING
    return "expired" if at <= now else moment(at)


def moment(at: float) -> str:
    """Return a time as the clock on the wall shows it, with the date and how far that clock is from UTC.

    Args:
        at: Unix seconds.
    """
    try:
        return datetime.fromtimestamp(at, UTC).astimezone().isoformat(sep=" ", timespec="seconds")
    except (ValueError, OverflowError, OSError):
        return "?"
