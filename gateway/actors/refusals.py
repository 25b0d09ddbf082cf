"""What a client is told whose request is not let in: what it ran into, how much it used, and what to do."""

from __future__ import annotations

import math
from decimal import Decimal
from shlex import quote
from typing import Final

from gateway.actors.keys import Actor
from gateway.actors.periods import shown_time
from gateway.actors.terms import NANO
from gateway.actors.use import Refusal
from gateway.wire.errors import ApiError

__all__ = [
    "expired",
    "forbidden_model",
    "no_keys",
    "not_counted",
    "over_limit",
    "revoked",
    "shown_usd",
    "unpriced",
    "without_store",
]

_LONGEST_WAIT: Final = 60
"""Seconds. Claude Code gives up at once when it is told to wait longer (observed with 2.1.330)."""
_STORE_SECONDS: Final = 15
_LONGEST_MODEL: Final = 100
_PERIODS: Final = {"day": "today", "week": "this week", "month": "this month"}


def expired(actor: Actor) -> ApiError:
    """Return the answer to a key that is not valid any more."""
    until = shown_time(actor.valid_until or 0)
    if actor.is_replaced:
        return ApiError(
            401, f"This key of {actor.name} was replaced by another one and has not been valid since {until}."
        )
    return ApiError(
        401,
        # By its id: another key may have the name by now, and would be meant.
        f"The key {actor.name} expired at {until}. The operator of the gateway can prolong it with "
        f"`gateway keys limits {quote(actor.id)} --expires 30d`, or make another one.",
    )


def revoked(actor: Actor) -> ApiError:
    """Return the answer to a key that was revoked."""
    return ApiError(
        401, f"The key {actor.name} was revoked. The operator of the gateway can make another one for you."
    )


def forbidden_model(actor: Actor, model: str) -> ApiError:
    """Return the answer to a model that a key may not use."""
    allowed = ", ".join(actor.terms.models)
    return ApiError(
        403,
        f"The key {actor.name} may not use the model {_short(model)}. Use one of: {allowed}. The operator of the "
        f"gateway can change that with `gateway keys limits {quote(actor.name)} --models PATTERN,…`.",
    )


def unpriced(actor: Actor, model: str) -> ApiError:
    """Return the answer to a model of which nobody knows whether the budget allows it."""
    return ApiError(
        403,
        f"The key {actor.name} has a budget in USD, and the price of the model {_short(model)} is not known to "
        "the gateway. Use another model, or have the operator of the gateway add its price.",
    )


def not_counted(actor: Actor) -> ApiError:
    """Return the answer to a request whose tokens the gateway would not see."""
    return ApiError(
        403,
        f"The key {actor.name} has a budget or a limit on tokens, and what requests below /v1 use is not counted. "
        "Use /claude/v1/messages, or another key.",
    )


def no_keys() -> ApiError:
    """Return the answer to whoever asks for the use of a key where there are none."""
    return ApiError(404, "This gateway gives out no keys, so there is nothing to say of yours.")


def without_store() -> ApiError:
    """Return the answer while the database has been away for longer than limits can be kept without it."""
    return ApiError(
        503,
        "The gateway cannot check the limits of this key at the moment: its database does not answer. Try again "
        "later.",
        retry_after=_STORE_SECONDS,
    )


def over_limit(actor: Actor, refusal: Refusal) -> ApiError:
    """Return the answer to a request that is one too many.

    Where waiting helps, it says for how long, in whole seconds. Where it does not, `x-should-retry: false` keeps
    the official clients from trying again.
    """
    kind, _, period = refusal.limit.rpartition("_")
    if kind in {"nanousd", "tokens"} and period in _PERIODS:
        return _over_budget(actor, refusal, kind, _PERIODS[period])
    wait = max(math.ceil(refusal.wait or 0), 1)
    message = {
        "concurrent": f"may have {_counted(refusal.allowed, 'request')} at the same time, and has {refusal.used}. "
        f"Try again when {'it' if refusal.used == 1 else 'one of them'} has ended.",
        "requests_per_minute": f"may send {_counted(refusal.allowed, 'request')} per minute. Try again in {wait} "
        "s.",
        "tokens_per_minute": f"may use {_counted(refusal.allowed, 'token')} per minute. Try again in {wait} s.",
    }[refusal.limit]
    return ApiError(429, f"The key {actor.name} {message}", retry_after=min(wait, _LONGEST_WAIT))


def _over_budget(actor: Actor, refusal: Refusal, unit: str, period: str) -> ApiError:
    if unit == "nanousd":
        used = f"{shown_usd(refusal.used)} of its {shown_usd(refusal.allowed)} USD"
    else:
        used = f"{refusal.used} of its {_counted(refusal.allowed, 'token')}"
    said = f"The key {actor.name} has used {used} for {period}"
    if refusal.resets_at is None:
        wait = max(math.ceil(refusal.wait or 0), 1)
        return ApiError(
            429,
            f"{said}, and its requests under way may use the rest. Try again when one of them has ended.",
            retry_after=wait,
        )
    return ApiError(
        429,
        f"{said}. The budget resets at {shown_time(refusal.resets_at)}; until then the operator of the gateway "
        f"can raise it with `gateway keys limits {quote(actor.name)}`.",
        should_retry=False,
    )


def shown_usd(nanousd: int) -> str:
    """Return an amount as people read it: cents, and smaller parts only of what is less than a dollar."""
    amount = Decimal(nanousd) / NANO
    if nanousd >= NANO or nanousd % (NANO // 100) == 0:
        return f"{amount:.2f}"
    return f"{amount:.6f}".rstrip("0").ljust(4, "0")


def _counted(number: int, thing: str) -> str:
    return f"{number} {thing}{'' if number == 1 else 's'}"


def _short(model: str) -> str:
    shown = "".join(c if c.isprintable() else "?" for c in model[:_LONGEST_MODEL])
    return shown + "…" if len(model) > _LONGEST_MODEL else shown or "(none that can be read)"
