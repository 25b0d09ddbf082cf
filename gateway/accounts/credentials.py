"""The credential of each account: ready to be sent, or the reason why there is none."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from types import TracebackType
from typing import Self

from attrs import define, field

from gateway.accounts.account import Account, AccountKind
from gateway.accounts.command import CommandSource
from gateway.accounts.entries import Source
from gateway.accounts.persistence import Leases, SecretStore, SecretVault
from gateway.accounts.refresh import OAuthSource, RefreshTimes
from gateway.accounts.renewal import RenewalNews, RenewalTimes, Renewer
from gateway.accounts.secrets import ApiKeySecret
from gateway.accounts.stored import read_secret
from gateway.accounts.unavailable import CredentialUnavailableError
from gateway.providers.base import Credential
from gateway.telemetry.logs import get_logger

__all__ = ["CredentialManager", "CredentialUnavailableError"]

_log = get_logger(__name__)


@define(eq=False)
class CredentialManager:
    """Hands out credentials and renews them. To be used as an async context manager, which owns its tasks.

    Nothing is renewed outside of the context.
    """

    store: SecretStore
    leases: Leases
    vault: SecretVault
    clock: Callable[[], float] = field(kw_only=True)
    """Unix seconds, on which all processes agree."""
    owner: str = field(kw_only=True)
    """Names this process in leases."""
    on_condition: Callable[..., None] = field(kw_only=True)
    """Called with an account's id, its new condition, the reason, and `secret_version=`."""
    environment: Mapping[str, str] = field(factory=dict, repr=False, kw_only=True)
    """API keys of the environment, by account id."""
    commands: Mapping[str, Sequence[str]] = field(factory=dict, repr=False, kw_only=True)
    """Command lines of the settings file, by name."""
    renewal_times: RenewalTimes = field(factory=RenewalTimes, kw_only=True)
    refresh_times: RefreshTimes = field(factory=RefreshTimes, kw_only=True)
    step: Callable[[str], Awaitable[None]] | None = field(default=None, kw_only=True)
    """Awaited between every two steps of a refresh, for tests that stop a process there."""
    _keys: dict[str, Credential] = field(factory=dict, init=False, repr=False)
    _unreadable: dict[str, int] = field(factory=dict, init=False)
    """Versions of stored keys of which the log has heard, by account."""
    _renewer: Renewer = field(init=False)
    _sources: dict[AccountKind, Source] = field(init=False, repr=False)
    _tasks: asyncio.TaskGroup = field(factory=asyncio.TaskGroup, init=False)

    def __attrs_post_init__(self) -> None:
        """Set up one source for each kind of account whose credential changes."""
        self._renewer = Renewer(self.clock, self.renewal_times, self.store, self.on_condition)
        self._sources = {
            AccountKind.OAUTH: OAuthSource(
                self.store, self.leases, self.vault, self.clock, self.owner, self.refresh_times, self.step
            ),
            AccountKind.COMMAND: CommandSource(self.vault, self.clock, self.commands),
        }

    async def __aenter__(self) -> Self:
        """Start renewing ahead of expiry."""
        self._renewer.start(await self._tasks.__aenter__())
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stop, and bring to an end what must not be left half done."""
        try:
            await self._renewer.close()
        finally:
            await self._tasks.__aexit__(None, None, None)

    async def current(self, account: Account) -> Credential:
        """Return what is to be sent for an account.

        Raises:
            CredentialUnavailableError: there is nothing now.
        """
        source = self._sources.get(account.kind)
        if source is not None:
            return await self._renewer.current(account, source)
        if account.kind is AccountKind.PASSTHROUGH:
            raise CredentialUnavailableError("Clients of this account bring their own credential.", terminal=True)
        return self._api_key(account)

    async def renew(self, account: Account, refused: Credential) -> Credential | None:
        """Return a newer credential than the one that the upstream refused; None if there is none to be had."""
        source = self._sources.get(account.kind)
        return None if source is None else await self._renewer.renew(account, source, refused)

    def replace(self, accounts: Sequence[Account]) -> None:
        """Take over what the store says now."""
        known = {account.id for account in accounts}
        for kept in (self._keys, self._unreadable):
            for account_id in kept.keys() - known:
                del kept[account_id]
        self._renewer.replace(accounts, lambda account: self._sources.get(account.kind))

    @property
    def renewals(self) -> Mapping[str, int]:
        """How many renewals came to what: renewed, postponed, lost, impossible."""
        return self._renewer.results

    def renewal(self, account_id: str) -> RenewalNews | None:
        """Return how the renewal of an account's credential stands; None for one that does not change."""
        return self._renewer.news(account_id)

    def is_renewable(self, account: Account) -> bool:
        """Whether a refused credential of this account may be followed by a better one."""
        return account.kind in self._sources

    def _api_key(self, account: Account) -> Credential:
        kept = self._keys.get(account.id)
        if kept is not None and kept.version >= account.secret_version:
            return kept
        key = self.environment.get(account.id) if account.secret is None else None
        if key is None:
            key = self._stored_key(account)
        made = self._keys[account.id] = Credential(account.provider, key, version=account.secret_version)
        return made

    def _stored_key(self, account: Account) -> str:
        try:
            return read_secret(account, self.vault, ApiKeySecret).api_key
        except CredentialUnavailableError as error:
            # Not written to the store: with other secret keys, another host may well read it.
            if self._unreadable.get(account.id) != account.secret_version:
                self._unreadable[account.id] = account.secret_version
                _log.error("the key of an account cannot be used", account=account.name, reason=error.message)
            raise
