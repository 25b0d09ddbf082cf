"""Which account serves a request."""

from __future__ import annotations

import asyncio
import random as random_module
from collections.abc import Callable, Collection, Sequence
from types import TracebackType
from typing import Self

from attrs import define, field

from gateway.accounts.account import Account, AccountState, Condition, Cooldown
from gateway.accounts.changes import Change, ConditionSet, CooldownCleared, CooldownSet
from gateway.accounts.need import Exhaustion, Lack, Need, Observation, PoolBusyError, Switch
from gateway.config import Routing
from gateway.providers.base import FaultClass

__all__ = [
    "AccountPool",
    "Change",
    "ConditionSet",
    "CooldownCleared",
    "CooldownSet",
    "Exhaustion",
    "Lack",
    "Lease",
    "Need",
    "Observation",
    "PoolBusyError",
    "Switch",
]


@define(eq=False)
class Lease:
    """One request's place on an account, until it is released."""

    account: Account
    _give_back: Callable[[], None]
    switch: Switch | None = None
    """Set where the request leaves the account that has its session's prompt cached."""
    probe: bool = False
    """Whether it finds out if the account is of use again."""
    _released: bool = field(default=False, init=False)

    def release(self) -> None:
        """Give the place back; once is enough, and more does no harm."""
        if not self._released:
            self._released = True
            self._give_back()

    def __enter__(self) -> Self:
        """Return the lease, which is released on the way out."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Give the place back."""
        self.release()


class AccountPool:
    """The accounts that can serve requests."""

    def __init__(
        self,
        routing: Routing,
        *,
        clock: Callable[[], float],
        random: random_module.Random,
        tell: Callable[[Change], None] = lambda _: None,
    ) -> None:
        """Make a pool without accounts.

        Args:
            routing: the settings.
            clock: Unix seconds; goes on smoothly.
            random: for the jitter of cool-downs.
            tell: gets what traffic finds out.
        """
        self._routing = routing
        self._clock = clock
        self._random = random
        self._tell = tell
        self._accounts: dict[str, Account] = {}
        self._cooldowns: dict[tuple[str, str], Cooldown] = {}
        self._conditions: dict[str, tuple[Condition, str]] = {}
        self._in_flight: dict[str, int] = {}

    def replace(self, accounts: Sequence[Account], cooldowns: Sequence[Cooldown]) -> None:
        """Take over what the store says now."""
        self._accounts = {account.id: account for account in accounts}
        self._cooldowns.update({(cooldown.account_id, cooldown.family): cooldown for cooldown in cooldowns})

    @property
    def accounts(self) -> Sequence[Account]:
        """All of them, whatever their state."""
        return tuple(self._accounts.values())

    @property
    def is_shared(self) -> bool:
        """Whether answers may come from accounts that are not one and the same."""
        return len(self._accounts) > 1

    async def acquire(self, need: Need, tried: Collection[str]) -> Lease | None:  # noqa: ARG002 - the interface
        """Return a place on an account that this request has not tried yet, or None.

        Args:
            need: what the request needs.
            tried: ids of the accounts that failed this request.

        Raises:
            PoolBusyError: all accounts that could serve it are at their bound.
        """
        usable = [account for account in self._accounts.values() if account.id not in tried and self._can(account)]
        if not usable:
            return None
        account = min(usable, key=lambda one: self._in_flight.get(one.id, 0))
        bound = self._routing.concurrency if account.max_concurrency is None else account.max_concurrency
        if bound and self._in_flight.get(account.id, 0) >= bound:
            raise PoolBusyError("all accounts are at their bound")
        self._in_flight[account.id] = self._in_flight.get(account.id, 0) + 1

        def give_back() -> None:
            self._in_flight[account.id] -= 1

        return Lease(account, give_back)

    def _can(self, account: Account) -> bool:
        return self.state(account.id)[0] in {AccountState.ACTIVE, AccountState.COOLING}

    def exhaustion(self, need: Need) -> Exhaustion:  # noqa: ARG002 - the interface
        """Say why no account serves a request."""
        if not self._accounts:
            return Exhaustion(Lack.NO_ACCOUNT)
        if not any(self._can(account) for account in self._accounts.values()):
            return Exhaustion(Lack.OUT_OF_USE)
        return Exhaustion(Lack.TRIED)

    async def changed(self, seconds: float) -> None:
        """Return when an account may have come back, or after so many seconds."""
        await asyncio.sleep(seconds)

    def report(self, account_id: str, need: Need, observation: Observation) -> None:  # noqa: ARG002 - the interface
        """Take note of how an attempt went.

        Args:
            account_id: whose attempt it was.
            need: the very object that the lease was acquired with.
            observation: how it went.
        """
        if observation.fault is FaultClass.BILLING:
            self.set_condition(
                account_id, Condition.PARKED, observation.message, secret_version=observation.credential_version
            )
        if observation.fault is FaultClass.CREDENTIAL and not observation.renewable:
            self.set_condition(
                account_id,
                Condition.NEEDS_REAUTH,
                observation.message,
                secret_version=observation.credential_version,
            )

    def set_condition(self, account_id: str, condition: Condition, reason: str, *, secret_version: int) -> None:
        """Take note of what the credential manager found out about an account."""
        account = self._accounts.get(account_id)
        if account is None or account.secret_version != secret_version:
            return
        self._conditions[account_id] = (condition, reason)
        self._tell(ConditionSet(account_id, condition, reason, self._clock(), secret_version))

    def state(self, account_id: str) -> tuple[AccountState, list[Cooldown], str]:
        """Return what people are shown of an account: its state, what cools, and why.

        Raises:
            KeyError: there is no such account.
        """
        account = self._accounts[account_id]
        condition, reason = self._conditions.get(account_id, (account.condition, account.condition_reason))
        if account.paused_at is not None:
            return AccountState.PAUSED, [], ""
        if condition is not Condition.OK:
            return AccountState(condition.value), [], reason
        return AccountState.ACTIVE, [], ""

    def note_usage(self, need: Need, account_id: str, cached_tokens: int) -> None:
        """Take note of how much of a session's prompt an account has cached now."""

    def retry_after(self, need: Need) -> int | None:  # noqa: ARG002 - the interface
        """Return whole seconds until an account is expected back, never more than it takes; None for unknown."""
        return None
