"""What traffic finds out about accounts, told to whoever keeps it."""

from __future__ import annotations

from attrs import define

from gateway.accounts.account import Condition, Cooldown
from gateway.accounts.pins import SessionPin
from gateway.accounts.quota import SeenWindow

__all__ = ["Change", "ConditionSet", "CooldownCleared", "CooldownSet", "LimitsSeen", "SessionPinned"]


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


@define(frozen=True)
class SessionPinned:
    """A session has an account or another one, or is still in use."""

    pin: SessionPin


@define(frozen=True)
class LimitsSeen:
    """An answer said something new of an account's limits."""

    account_id: str
    windows: tuple[SeenWindow, ...]


Change = CooldownSet | CooldownCleared | ConditionSet | SessionPinned | LimitsSeen
