"""Accounts as the admin API shows them. Nothing here has ever seen a secret in clear."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Final, Literal

import msgspec

from gateway.accounts.account import Account, AccountState, Cooldown
from gateway.accounts.checking import Verdict
from gateway.accounts.quota import SeenWindow
from gateway.accounts.renewal import RenewalNews
from gateway.store.account_use import AccountUse

__all__ = [
    "AccountList",
    "AccountRest",
    "AccountUsed",
    "AccountView",
    "CredentialCheck",
    "LimitView",
    "RenewalView",
    "StateName",
    "facts_of",
    "view_of_check",
    "view_of_renewal",
    "view_of_use",
    "views_of_limits",
    "views_of_rests",
]

StateName = Literal["active", "cooling", "paused", "needs_reauth", "parked", "not_configured", "idle"]
"""`not_configured`: GATEWAY_ANTHROPIC_API_KEY is not set; `idle`: with these settings nothing is served by it."""

_NANO: Final = 1e9
_SECONDS: Final = {"h": 3600, "d": 86_400}
_LONG_WINDOW: Final = re.compile(r"(\d{1,3})([hd])(?:_\w+)?", re.ASCII)
_COUNTED: Final = re.compile(r"(?:priority-|fast-)?(?:input-|output-)?(?:tokens|requests)", re.ASCII)
_MINUTE: Final = 60


class AccountRest(msgspec.Struct, kw_only=True):
    """A class of models that an account serves no requests of for a while."""

    family: str
    """`account` for all of them, otherwise a class of models, such as `opus`."""
    until: float
    since: float
    fault: str
    """What brought it, such as `quota` or `transport`."""
    reason: str
    """One sentence for people; the provider's own words where it gave some."""


class LimitView(msgspec.Struct, kw_only=True):
    """A limit of an account, as its provider last spoke of it."""

    name: str
    """As the provider calls it: `5h`, `7d`, `requests`, `input-tokens` and so on."""
    family: str
    """`account`, or the class of models that it is for."""
    used: float | None
    """0 for untouched, 1 for used up; null where the provider does not say."""
    resets_at: float | None
    status: str | None
    """`allowed`, `allowed_warning` or `rejected`, where the provider says so."""
    observed_at: float
    seconds: int | None
    """How long it lasts from one start to the next; null for unknown."""


class RenewalView(msgspec.Struct, kw_only=True):
    """How the renewal of a credential that expires stands."""

    renewed_at: float | None
    """When the present credential was granted; null for unknown."""
    expires_at: float | None
    under_way: bool
    problem: str
    """Why the last try failed, or why there can be no other one; empty where all is well."""
    next_try_at: float | None


class AccountUsed(msgspec.Struct, kw_only=True):
    """What some requests of an account came to."""

    requests: int
    cost_usd: float
    """Of those whose cost is known."""
    unpriced: int
    """Requests whose cost is not known."""
    input_tokens: int
    """Those read from the cache and written to it included."""
    output_tokens: int


class AccountView(msgspec.Struct, kw_only=True):
    """An account and what is known of it. What is said of now is what this process of the gateway knows."""

    id: str
    name: str
    provider: str
    kind: str
    """Where its credential comes from: `api_key`, `oauth` or `command`."""
    command: str | None
    """Name of the command that prints its credential, of the settings file."""
    owner: str
    base_url: str
    """Where its requests go."""
    own_base_url: bool
    """Whether that is another place than the other accounts' of its provider."""
    weight: int
    priority: int
    max_concurrency: int | None
    """Requests at a time; null for the setting's, 0 for no bound."""
    created_at: float
    state: StateName
    reason: str
    """Why it is in this state, in the provider's words where it gave some."""
    since: float | None
    """When the state began, where that is known."""
    until: float | None
    """When it is over by itself."""
    rests: list[AccountRest]
    limits: list[LimitView]
    """Those that have not started anew since they were seen."""
    limits_seen_at: float | None
    """When an answer last told of limits; null for never."""
    renewal: RenewalView | None
    """Null for a credential that does not expire."""
    in_flight: int
    """Requests that it serves at this moment."""
    last_used_at: float | None
    """When the last request that it served began."""
    day: AccountUsed
    """In the last 24 hours, by whole hours."""
    month: AccountUsed
    """In the last 30 days, by whole days of UTC."""
    is_environment: bool
    """Whether its key is the one in GATEWAY_ANTHROPIC_API_KEY."""
    is_removable: bool


class AccountList(msgspec.Struct, kw_only=True):
    """Some accounts, by name."""

    accounts: list[AccountView]
    next: str | None
    """What to give as `after` for those that follow; null at the end."""
    total: int
    """How many accounts there are, whatever was asked for."""


class CredentialCheck(msgspec.Struct, kw_only=True):
    """What a check of a credential found."""

    good: bool
    """Whether nobody has to do anything."""
    finding: str
    """`ok`, `limited`, `credential_refused`, `no_credential`, `refused`, `unreachable`, `wrong_url`,
    `provider_trouble`."""
    message: str
    """What it is, and what to do."""
    status: int | None
    request_id: str | None
    """The provider's, for its support."""
    milliseconds: int | None


def view_of_check(verdict: Verdict) -> CredentialCheck:
    """Return what is shown of a check."""
    return CredentialCheck(
        good=verdict.is_good,
        finding=verdict.finding.value,
        message=verdict.message,
        status=verdict.status,
        request_id=verdict.request_id,
        milliseconds=verdict.milliseconds,
    )


def views_of_rests(rests: Iterable[Cooldown]) -> list[AccountRest]:
    """Return what is shown of rests, the longest first."""
    return [
        AccountRest(family=rest.family, until=rest.until, since=rest.since, fault=rest.fault, reason=rest.reason)
        for rest in sorted(rests, key=lambda rest: -rest.until)
    ]


def views_of_limits(seen: Iterable[SeenWindow]) -> list[LimitView]:
    """Return what is shown of limits: those of the whole account first, and of those the short ones."""
    found = [
        LimitView(
            name=one.window.name,
            family=one.window.family,
            used=one.window.utilization,
            resets_at=one.window.resets_at,
            status=one.window.status,
            observed_at=one.at,
            seconds=_length(one.window.name),
        )
        for one in seen
    ]
    return sorted(found, key=_place)


def _place(limit: LimitView) -> tuple[bool, bool, int, str, str]:
    of_a_minute = limit.seconds is None or limit.seconds <= _MINUTE
    return of_a_minute, limit.family != "account", limit.seconds or 0, limit.name, limit.family


def _length(name: str) -> int | None:
    if found := _LONG_WINDOW.fullmatch(name):
        return int(found[1]) * _SECONDS[found[2]]
    return _MINUTE if _COUNTED.fullmatch(name) else None


def view_of_renewal(news: RenewalNews | None) -> RenewalView | None:
    """Return what is shown of a renewal."""
    if news is None:
        return None
    return RenewalView(
        renewed_at=news.renewed_at,
        expires_at=news.expires_at,
        under_way=news.is_under_way,
        problem=news.problem,
        next_try_at=news.next_try_at,
    )


def view_of_use(use: AccountUse) -> AccountUsed:
    """Return what is shown of use."""
    return AccountUsed(
        requests=use.requests,
        cost_usd=use.nanousd / _NANO,
        unpriced=use.unpriced,
        input_tokens=use.input_tokens,
        output_tokens=use.output_tokens,
    )


def facts_of(account: Account) -> Mapping[str, object]:
    """Return what the audit log keeps of an account."""
    return {
        "id": account.id,
        "name": account.name,
        "provider": account.provider,
        "kind": account.kind.value,
        "base_url": account.base_url,
        "owner": account.owner,
        "weight": account.weight,
        "priority": account.priority,
        "max_concurrency": account.max_concurrency,
        "paused": account.paused_at is not None,
        "condition": account.condition.value,
        "secret_version": account.secret_version,
    }


def state_in_store(account: Account) -> AccountState:
    """Return the state of an account of which no pool knows more than the store."""
    if account.paused_at is not None:
        return AccountState.PAUSED
    return AccountState.ACTIVE if account.condition.value == "ok" else AccountState(account.condition.value)


def since_of(account: Account, state: AccountState, rests: Sequence[Cooldown]) -> float | None:
    """Return when a state began, in Unix seconds; None for unknown."""
    if state is AccountState.PAUSED:
        return account.paused_at
    if state in {AccountState.NEEDS_REAUTH, AccountState.PARKED}:
        return (account.condition_since or None) if account.condition.value == state.value else None
    return min((rest.since for rest in rests), default=None)
