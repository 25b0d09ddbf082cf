"""What traffic finds out about accounts, told to whoever keeps it."""

from __future__ import annotations

from attrs import define

from gateway.accounts.account import Condition, Cooldown

__all__ = ["Change", "ConditionSet", "CooldownCleared", "CooldownSet"]


@define(frozen=True)
class CooldownSet:
    """A quota family of an account has a rest from now on, or a longer one."""

    cooldown: Cooldown


@define(frozen=True)
class CooldownCleared:
    """A probe went well before the end of the rest."""

    account_id: str
    family: str
    since: float
    """When the rest that is over began, in Unix seconds; a newer one stays."""


@define(frozen=True)
class ConditionSet:
    """An account was found to be of use no more, or again."""

    account_id: str
    condition: Condition
    reason: str
    since: float
    """Unix seconds."""
    secret_version: int
    """The version of the credential that this is about."""


Change = CooldownSet | CooldownCleared | ConditionSet
