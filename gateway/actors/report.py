"""What the holder of a key is told of it at `GET /claude/usage`."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, Final

from gateway.actors.keys import Actor
from gateway.actors.periods import period_end
from gateway.actors.terms import NANO, PERIODS, KeyLimits
from gateway.actors.use import KeyUse, Spent

__all__ = ["report_of"]

_MINUTES: Final = ("requests_per_minute", "tokens_per_minute")


def report_of(actor: Actor, use: KeyUse, now: float) -> Mapping[str, Any]:
    """Return the report on a key, as JSON values; docs/keys.md describes them.

    Args:
        actor: whose key it is, with its terms.
        use: of the same key.
        now: Unix seconds of the database's clock.
    """
    use.roll(now)
    limits = actor.terms.limits
    return {
        "key": {
            "id": actor.id,
            "name": actor.name,
            "valid_until": None if actor.valid_until is None else _time(actor.valid_until),
            "models": list(actor.terms.models) or None,
        },
        "now": _time(now),
        "rates": {
            **{name: _rate(limits, use, name, now) for name in _MINUTES},
            "concurrent": {"limit": limits.concurrent, "used": use.running},
        },
        "periods": {name: _period(limits, use, name, now) for name in PERIODS},
        "total": _spent(use.total),
        "reserved": {"tokens": use.reserved_tokens, "usd": use.reserved_nanousd / NANO},
    }


def _rate(limits: KeyLimits, use: KeyUse, name: str, now: float) -> Mapping[str, Any]:
    limit: int | None = getattr(limits, name)
    if limit is None:
        return {"limit": None, "used": None}
    return {"limit": limit, "used": use.used_of_minute(limits, name, now)}


def _period(limits: KeyLimits, use: KeyUse, name: str, now: float) -> Mapping[str, Any]:
    period = use.period(name)
    budget = limits.budget("nanousd", name)
    return {
        "began_at": _time(period.start),
        "resets_at": _time(period_end(name, now)),
        **_spent(period.spent),
        "budget": {"usd": None if budget is None else budget / NANO, "tokens": limits.budget("tokens", name)},
    }


def _spent(spent: Spent) -> Mapping[str, Any]:
    return {"requests": spent.requests, "tokens": spent.tokens, "usd": spent.nanousd / NANO}


def _time(at: float) -> str:
    """Return a time as RFC 3339 has it, to the second."""
    return f"{datetime.fromtimestamp(at, UTC):%Y-%m-%dT%H:%M:%SZ}"
