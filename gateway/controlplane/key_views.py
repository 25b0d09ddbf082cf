"""Client keys as the admin API gives and takes them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from decimal import Decimal
from typing import Annotated, Any, Final

import msgspec

from gateway.actors.forecast import forecast
from gateway.actors.keys import secret_standing
from gateway.actors.periods import period_end
from gateway.actors.term_rules import (
    LONGEST_MODEL,
    LONGEST_NAME,
    MOST_COUNT,
    MOST_MODELS,
    MOST_USD,
    checked_expiry,
    checked_models,
    nanousd_of,
)
from gateway.actors.terms import NANO, PERIODS, UNITS, KeyLimits
from gateway.actors.use import KeyUse, Spent
from gateway.store.key_lists import ListedKey, state_of

__all__ = [
    "BudgetView",
    "KeyView",
    "Name",
    "Terms",
    "budgets_of",
    "changes_of",
    "limits_view",
    "views_of",
]

_PER_USD: Final = 1e9
_WRITTEN: Final = {"nanousd": "budget_usd", "tokens": "budget_tokens"}
"""What budgets are called here."""
_RATES: Final = ("requests_per_minute", "tokens_per_minute", "concurrent")

Name = Annotated[
    str, msgspec.Meta(min_length=1, max_length=LONGEST_NAME, description="Visible characters; whose key it is.")
]
Pattern = Annotated[str, msgspec.Meta(min_length=1, max_length=LONGEST_MODEL)]
Count = Annotated[int, msgspec.Meta(ge=1, le=MOST_COUNT)]
Usd = Annotated[float, msgspec.Meta(ge=1e-9, le=MOST_USD)]


class Terms(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """What a key may do; what is left out stays as it is, and null takes a limit away."""

    expires_at: Annotated[float, msgspec.Meta(ge=0, le=100000000000.0)] | msgspec.UnsetType | None = msgspec.UNSET
    """Unix seconds, in the future."""
    models: Annotated[list[Pattern], msgspec.Meta(max_length=MOST_MODELS)] | msgspec.UnsetType | None = (
        msgspec.UNSET
    )
    """Patterns with `*`, `?` and `[…]`, one of which a model must match; an empty list is for all models."""
    requests_per_minute: Count | msgspec.UnsetType | None = msgspec.UNSET
    tokens_per_minute: Count | msgspec.UnsetType | None = msgspec.UNSET
    concurrent: Count | msgspec.UnsetType | None = msgspec.UNSET
    """Requests at the same time."""
    budget_usd_day: Usd | msgspec.UnsetType | None = msgspec.UNSET
    budget_usd_week: Usd | msgspec.UnsetType | None = msgspec.UNSET
    budget_usd_month: Usd | msgspec.UnsetType | None = msgspec.UNSET
    budget_tokens_day: Count | msgspec.UnsetType | None = msgspec.UNSET
    budget_tokens_week: Count | msgspec.UnsetType | None = msgspec.UNSET
    budget_tokens_month: Count | msgspec.UnsetType | None = msgspec.UNSET


class LimitsView(msgspec.Struct, kw_only=True):
    """How much a key may use; null for as much as it likes. Days, weeks (from Monday) and months are of UTC."""

    requests_per_minute: int | None
    tokens_per_minute: int | None
    concurrent: int | None
    budget_usd_day: float | None
    budget_usd_week: float | None
    budget_usd_month: float | None
    budget_tokens_day: int | None
    budget_tokens_week: int | None
    budget_tokens_month: int | None


class SpentView(msgspec.Struct, kw_only=True):
    """What a key used."""

    requests: int
    tokens: int
    """Of prompts, cached or not, and answers."""
    cost_usd: float


class KeyView(msgspec.Struct, kw_only=True):
    """A client key, without the key itself, which nobody knows any more."""

    id: str
    name: str
    prefix: str
    """How the key begins."""
    state: str
    """`active`; `expiring`, within a week; `expired`; `revoked`."""
    created_at: float
    revoked_at: float | None
    expires_at: float | None
    models: list[str]
    """Patterns of models it may use; empty for all."""
    limits: LimitsView
    day: SpentView
    """Since the day began in UTC, and so are the next ones."""
    week: SpentView
    month: SpentView
    total: SpentView
    running: int
    """Requests under way, of a key with limits."""
    requests_last_minute: int | None
    """How much of `requests_per_minute` is used up; null without that limit."""
    tokens_last_minute: int | None
    reserved_tokens: int
    """What requests under way may use, and so is the next one."""
    reserved_usd: float
    last_used_at: float | None
    replaced_valid_until: float | None
    """Until when the key that it took the place of is valid too; null for none."""
    secret_key: str | None
    """Of the gateway's secret keys, with which it was made: `current`; `older`, it stops working when that one is
    taken away; `missing`, it does not work; null for unknown."""
    cost_by_day_usd: list[float]
    """Of the last 14 days in UTC, today last; empty where it was not asked for."""


class BudgetView(msgspec.Struct, kw_only=True):
    """A budget of a key in the period that it is now."""

    key_id: str
    key_name: str
    period: str
    """`day`, `week` or `month`."""
    unit: str
    """`usd` or `tokens`."""
    used: float
    reserved: float
    """What requests under way may use of it."""
    limit: float
    began_at: float
    resets_at: float
    forecast: float | None
    """What will have been used at the end, if it goes on as it did since the period began; null while it is too
    young to say."""
    used_up_at: float | None
    """When it will be used up by this, or it is now; null for not in this period."""


def views_of(
    listed: Iterable[ListedKey],
    now: float,
    secret_ids: Sequence[str],
    costs: Mapping[str, Sequence[float]] | None = None,
) -> list[KeyView]:
    """Return keys as they are shown.

    Args:
        listed: the keys.
        now: Unix seconds of the database's clock.
        secret_ids: of the gateway's secret keys, the current one first.
        costs: of each by day, by their ids.
    """
    return [_view(each, now, secret_ids, (costs or {}).get(each.key.id, ())) for each in listed]


def _view(listed: ListedKey, now: float, secret_ids: Sequence[str], costs: Sequence[float]) -> KeyView:
    key, use = listed.key, listed.use
    use.roll(now)
    limits = key.terms.limits
    until = max((former.valid_until for former in key.former), default=0.0)
    return KeyView(
        id=key.id,
        name=key.name,
        prefix=key.prefix,
        state=state_of(key, now).value,
        created_at=_moment(key.created_at) or 0.0,
        revoked_at=_moment(key.revoked_at),
        expires_at=key.terms.expires_at,
        models=list(key.terms.models),
        limits=limits_view(limits),
        day=_spent(use.day.spent),
        week=_spent(use.week.spent),
        month=_spent(use.month.spent),
        total=_spent(use.total),
        running=use.running,
        requests_last_minute=_of_minute(limits, use, "requests_per_minute", now),
        tokens_last_minute=_of_minute(limits, use, "tokens_per_minute", now),
        reserved_tokens=use.reserved_tokens,
        reserved_usd=use.reserved_nanousd / _PER_USD,
        last_used_at=use.last_used_at or None,
        replaced_valid_until=until if until > now else None,
        secret_key=secret_standing(key.secret_id, secret_ids),
        cost_by_day_usd=list(costs),
    )


def limits_view(limits: KeyLimits) -> LimitsView:
    """Return limits as they are shown."""
    values: dict[str, Any] = {name: getattr(limits, name) for name in _RATES}
    for unit in UNITS:
        for period in PERIODS:
            amount = limits.budget(unit, period)
            values[f"{_WRITTEN[unit]}_{period}"] = amount / _PER_USD if amount and unit == "nanousd" else amount
    return LimitsView(**values)


def changes_of(terms: Terms, now: float) -> dict[str, Any]:
    """Return what was given, by the names of the fields of `KeyTerms` and `KeyLimits`; None for no limit.

    Args:
        terms: as they came.
        now: Unix seconds of the database's clock.

    Raises:
        ValueError: something is none that a key can have; the message says what, for people.
    """
    given = {
        name: value for name in terms.__struct_fields__ if (value := getattr(terms, name)) is not msgspec.UNSET
    }
    changes: dict[str, Any] = {name: given[name] for name in _RATES if name in given}
    for period in PERIODS:
        if (name := f"budget_usd_{period}") in given:
            usd = given[name]
            changes[f"nanousd_{period}"] = None if usd is None else _nanousd(usd)
        if (name := f"budget_tokens_{period}") in given:
            changes[f"tokens_{period}"] = given[name]
    if (end := given.get("expires_at")) is not None:
        try:
            changes["expires_at"] = checked_expiry(end, now)
        except ValueError as error:
            raise ValueError(f"The time at which the key is to expire {error}.") from None
    elif "expires_at" in given:
        changes["expires_at"] = None
    if models := given.get("models"):
        try:
            changes["models"] = checked_models(models)
        except ValueError as error:
            raise ValueError(f"Of models, {error}.") from None
    elif "models" in given:
        changes["models"] = None
    return changes


def _nanousd(usd: float) -> int:
    # The nearest whole number of what budgets are counted in: 0.1 is no binary fraction.
    return nanousd_of(Decimal(round(usd * NANO)) / NANO)


def budgets_of(listed: ListedKey, now: float) -> list[BudgetView]:
    """Return the budgets of a key."""
    key, use = listed.key, listed.use
    use.roll(now)
    found: list[BudgetView] = []
    for unit, per, shown in (("nanousd", _PER_USD, "usd"), ("tokens", 1, "tokens")):
        for period in PERIODS:
            limit = key.terms.limits.budget(unit, period)
            if limit is None:
                continue
            spent = use.period(period)
            used = getattr(spent.spent, unit)
            heading = forecast(period, used, limit, now)
            found.append(
                BudgetView(
                    key_id=key.id,
                    key_name=key.name,
                    period=period,
                    unit=shown,
                    used=used / per,
                    reserved=getattr(use, f"reserved_{unit}") / per,
                    limit=limit / per,
                    began_at=spent.start,
                    resets_at=period_end(period, now),
                    forecast=None if heading is None else heading.at_end / per,
                    used_up_at=now if used >= limit else None if heading is None else heading.used_up_at,
                )
            )
    return found


def _spent(spent: Spent) -> SpentView:
    return SpentView(requests=spent.requests, tokens=spent.tokens, cost_usd=spent.nanousd / _PER_USD)


def _of_minute(limits: KeyLimits, use: KeyUse, name: str, now: float) -> int | None:
    return None if getattr(limits, name) is None else use.used_of_minute(limits, name, now)


def _moment(text: str | None) -> float | None:
    if text is None:
        return None
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        return None
    return (moment if moment.tzinfo is not None else moment.replace(tzinfo=UTC)).timestamp()
