"""What the audit log has of each kind of change, whether it is made in the dashboard or by a command."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from gateway.accounts.account import Account
from gateway.accounts.checking import Finding
from gateway.accounts.office import Resumed
from gateway.actors.keys import StoredKey
from gateway.controlplane.account_views import facts_of
from gateway.controlplane.key_views import limits_view
from gateway.ledger.recosting import Recosting
from gateway.store.audit_log import Change
from gateway.store.users import User

__all__ = [
    "account_added",
    "account_changed",
    "account_checked",
    "account_paused",
    "account_removed",
    "account_resumed",
    "account_secret_replaced",
    "costs_recomputed",
    "key_changed",
    "key_created",
    "key_revoked",
    "key_rotated",
    "link_made",
    "secrets_rekeyed",
    "totp_reset",
    "user_added",
    "user_removed",
]


def account_added(account: Account) -> Change:
    """Return that an account was added."""
    return Change("account.add", account.name, after=facts_of(account))


def account_changed(account: Account, changes: Mapping[str, Any]) -> Change:
    """Return that somebody changed what an account is called, whose it is, or how it is used.

    Args:
        account: as it was.
        changes: by the names of its fields.
    """
    before = {name: getattr(account, name) for name in changes}
    return Change("account.change", account.name, before=before, after=dict(changes))


def account_paused(account: Account) -> Change:
    """Return that an account was paused that was in use."""
    return Change("account.pause", account.name, before={"paused": False}, after={"paused": True})


def account_resumed(account: Account, ended: Resumed) -> Change:
    """Return that an account, as it was, was put into use again."""
    before = {"paused": account.paused_at is not None, "condition": account.condition.value}
    return Change("account.resume", account.name, before=before, after={"cleared": list(ended.cleared)})


def account_checked(account: Account, finding: Finding) -> Change:
    """Return that somebody had an account checked."""
    return Change("account.check", account.name, after={"finding": finding.value})


def account_secret_replaced(account: Account, changes: Mapping[str, Any] | None = None) -> Change:
    """Return that an account, as it was, has another secret now.

    Args:
        account: as it was.
        changes: of what goes with it, by the names of an account's fields.
    """
    given = {name: value for name, value in (changes or {}).items() if value != getattr(account, name)}
    before = {name: getattr(account, name) for name in given}
    return Change("account.replace_key", account.name, before=before or None, after={"id": account.id, **given})


def account_removed(account: Account) -> Change:
    """Return that an account was removed."""
    return Change("account.remove", account.name, before=facts_of(account))


def secrets_rekeyed(number: int) -> Change:
    """Return that secrets of accounts and of second factors were encrypted anew."""
    return Change("account.rekey", after={"encrypted": number})


def costs_recomputed(result: Recosting, model: str | None) -> Change:
    """Return that costs of requests were worked out again, of all models or one."""
    after = {
        "requests": result.changed,
        "had_no_cost": result.priced,
        "difference_usd": result.difference_nanousd / 1e9,
    }
    return Change("costs.recompute", model or "", after=after)


def key_created(key: StoredKey) -> Change:
    """Return that a client key was made."""
    return Change("key.create", key.name, after=_facts_of_key(key))


def key_changed(before: StoredKey, after: StoredKey) -> Change:
    """Return that a client key may do something else, or has another name."""
    return Change("key.change", before.name, before=_facts_of_key(before), after=_facts_of_key(after))


def key_rotated(before: StoredKey, after: StoredKey, grace_seconds: float) -> Change:
    """Return that a client key was replaced, while the old one is good for so long yet."""
    return Change(
        "key.rotate",
        after.name,
        before={"id": after.id, "prefix": before.prefix},
        after={"id": after.id, "prefix": after.prefix, "grace_seconds": grace_seconds},
    )


def key_revoked(key: StoredKey) -> Change:
    """Return that a client key was revoked."""
    return Change("key.revoke", key.name, before=_facts_of_key(key), after={"id": key.id, "revoked": True})


def user_added(user: User) -> Change:
    """Return that somebody may sign in, once they have set a password."""
    return Change("user.add", user.name, after={"role": user.role})


def user_removed(user: User) -> Change:
    """Return that somebody may sign in no more."""
    return Change("user.remove", user.name, before={"role": user.role})


def link_made(name: str) -> Change:
    """Return that a link was made with which a user sets a password.

    Args:
        name: of the user; empty for the first one, who chooses it.
    """
    return Change("user.link", name)


def totp_reset(user: User) -> Change:
    """Return that a user may sign in without the second factor."""
    return Change("user.totp_reset", user.name)


def _facts_of_key(key: StoredKey) -> dict[str, Any]:
    """Return what is set of a key."""
    terms = key.terms
    limits = msgspec.to_builtins(limits_view(terms.limits))
    facts = {"expires_at": terms.expires_at, "models": list(terms.models) or None, **limits}
    return {"id": key.id, "name": key.name} | {name: value for name, value in facts.items() if value is not None}
