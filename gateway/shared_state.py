"""Keeps what this process knows of accounts and keys in step with the database, in both directions.

Requests read from memory. What people change in the database, on whatever host, gets here within a second; what
traffic finds out here is written there behind the requests' backs.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from functools import partial

from attrs import define, field

from gateway.accounts.account import Account, Condition, Cooldown
from gateway.accounts.backend import Backend
from gateway.accounts.changes import (
    Change,
    ConditionSet,
    CooldownCleared,
    CooldownSet,
    LimitsSeen,
    SessionPinned,
)
from gateway.actors.keys import KeyRing, StoredKey
from gateway.shared_use import SharedUse
from gateway.store.accounts import ENVIRONMENT, AccountStore
from gateway.store.client_keys import ClientKeyStore
from gateway.store.write_behind import WriteBehind
from gateway.telemetry.logs import get_logger

__all__ = ["SharedState"]

_log = get_logger(__name__)


@define(eq=False)
class SharedState:
    """The accounts and keys that all processes share."""

    accounts: AccountStore
    client_keys: ClientKeyStore
    keys: KeyRing
    writes: WriteBehind
    use: SharedUse
    """Sessions and limits."""
    has_environment_account: bool
    """Whether this process has the key of the account `environment`, which others may have left in the store."""
    backends: list[Backend] = field(factory=list)
    """Those whose accounts are in the store."""
    _loading_keys: asyncio.Lock = field(factory=asyncio.Lock, init=False)
    known: Sequence[Account] = ()
    """All accounts of the store, those that no backend serves with too; another object where any has changed."""
    _cooldowns: Sequence[Cooldown] = field(default=(), init=False)
    _known_keys: Sequence[StoredKey] | None = field(default=None, init=False)
    on_change: Callable[[str], None] = lambda _: None
    """Told of what the database has something new: `accounts` or `keys`."""
    _loading: asyncio.Lock = field(factory=asyncio.Lock, init=False)

    async def load_accounts(self) -> None:
        """Take over what the database says of accounts."""
        # One after the other: what was read first must not be taken over last.
        async with self._loading:
            known = await self.accounts.all()
            cooldowns = await self.accounts.cooldowns()
            is_news = (known, cooldowns) != (self.known, self._cooldowns)
            if is_news:
                self.known, self._cooldowns = known, cooldowns
            try:
                for backend in self.backends:
                    own = [
                        account
                        for account in known
                        # An account of one provider never gets near what belongs to another.
                        if account.provider == backend.provider.name
                        and (account.id != ENVIRONMENT or self.has_environment_account)
                    ]
                    if backend.credentials is not None:
                        backend.credentials.replace(own)
                    backend.pool.replace(own, cooldowns)
                    # Ten thousand take some milliseconds, in which no stream goes on.
                    await asyncio.sleep(0)
            finally:
                # Whoever asked for this may have gone meanwhile; the others want to know all the same.
                if is_news:
                    self.on_change("accounts")

    async def load_keys(self) -> None:
        """Take over what the database says of client keys."""
        # One after the other: what was read first must not come to stand in the place of what was read later.
        async with self._loading_keys:
            known = await self.client_keys.all()
            is_news = known != self._known_keys
            self.keys.replace(known)
            self._known_keys = known
        if is_news:
            self.on_change("keys")

    def tell(self, change: Change) -> None:
        """Write down what traffic found out, when the database takes it."""
        write: Callable[[], Awaitable[object]]
        self._log(change)
        match change:
            case SessionPinned(pin):
                self.use.tell_session(pin)
                return
            case LimitsSeen():
                self.use.tell_limits(change)
                return
            case CooldownSet(cooldown):
                key: Sequence[str] = ("cooldown", cooldown.account_id, cooldown.family)
                write = partial(self.accounts.set_cooldown, cooldown)
            case CooldownCleared(account_id, family, since):
                key = ("cooldown", account_id, family)
                write = partial(self.accounts.clear_cooldown, account_id, family, since=since)
            case ConditionSet(account_id, condition, reason, since, version):
                key = ("condition", account_id)
                write = partial(
                    self.accounts.set_condition, account_id, condition, reason, secret_version=version, since=since
                )
        self.writes.put(tuple(key), write)

    def _log(self, change: Change) -> None:
        """Say what the operator may want to know; why in the upstream's words is in the list of accounts."""
        match change:
            case SessionPinned() | LimitsSeen():
                pass
            case CooldownSet(cooldown):
                _log.warning(
                    "an account rests",
                    account=self._name(cooldown.account_id),
                    family=cooldown.family,
                    fault=cooldown.fault,
                    seconds=round(cooldown.until - cooldown.since),
                )
            case CooldownCleared(account_id, family):
                _log.info("an account rests no more", account=self._name(account_id), family=family)
            case ConditionSet(account_id, Condition.OK):
                _log.info("an account is of use again", account=self._name(account_id))
            case ConditionSet(account_id, condition):
                _log.error("an account is out of use", account=self._name(account_id), condition=condition.value)

    def _name(self, account_id: str) -> str:
        accounts = (account for backend in self.backends for account in backend.pool.accounts)
        return next((account.name for account in accounts if account.id == account_id), account_id)
