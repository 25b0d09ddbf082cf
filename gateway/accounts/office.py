"""The accounts of one gateway as whoever looks after them sees and changes them, by command or in a dashboard."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, Final

from attrs import define, field

from gateway.accounts.account import Account, AccountKind, AccountState, Condition, Cooldown
from gateway.accounts.account_checks import check_accounts
from gateway.accounts.checking import Verdict
from gateway.accounts.drafts import Draft, DraftError
from gateway.accounts.duplicates import Holders, refuse_known_tokens, warn_of_known_keys
from gateway.accounts.pool import AccountPool
from gateway.accounts.secrets import CommandSecret, encode_secret
from gateway.accounts.stored import read_secret
from gateway.accounts.unavailable import CredentialUnavailableError
from gateway.accounts.vault import Vault
from gateway.config import ClientAuth, OpenAIMode, Settings
from gateway.providers.anthropic import AnthropicProvider
from gateway.providers.base import Provider
from gateway.providers.openai import OpenAIProvider
from gateway.store.accounts import ENVIRONMENT, AccountStore, new_account_id
from gateway.store.canary import check_vault
from gateway.store.engine import Database
from gateway.store.leases import LeaseStore

__all__ = ["KEPT", "AccountOffice", "Resumed", "Shown", "family_name", "providers_of", "warn_of_idle_accounts"]

KEPT: Final = (
    "this account is GATEWAY_ANTHROPIC_API_KEY; unset that and restart the gateway, or run "
    f"`gateway accounts pause {ENVIRONMENT}`"
)
"""Why the account of the environment cannot be removed."""
_ENVIRONMENT_PROVIDER: Final = "anthropic"
_ATTEMPTS: Final = 5
_TICK: Final = 1e-5  # seconds


@define(frozen=True)
class Shown:
    """An account with what is known of it."""

    account: Account
    state: AccountState
    cooling: Sequence[Cooldown]
    reason: str
    base_url: str
    """Where its requests go."""
    now: float
    """Unix seconds."""
    command: str | None = field(default=None, kw_only=True)
    """Name of the command that prints its credential, if it has one and that can be read."""
    is_configured: bool = field(default=True, kw_only=True)
    """Whether the settings at hand are all that it takes to serve with it."""

    @property
    def is_idle(self) -> bool:
        """Whether it would serve, if it were configured."""
        return self.state is AccountState.ACTIVE and not self.is_configured


@define(frozen=True)
class Resumed:
    """What ended when an account was put into use again."""

    cleared: Sequence[str]
    """In a few words each."""
    refresh_sent_until: float | None
    """Unix seconds until which the answer to its refresh token may come; None if none is under way."""


@define
class AccountOffice:
    """The accounts of one gateway, for as long as the database is open.

    Every method raises `StoreError` if it cannot be used.
    """

    settings: Settings
    database: Database
    store: AccountStore
    providers: Mapping[str, Provider]
    vault: Vault | None
    """What decrypts the names of commands; None where there is no secret key to be had."""

    async def accounts(self) -> list[Account]:
        """Return all accounts, that of the environment first if no gateway has written it down yet."""
        found = await self.store.all()
        if self.settings.anthropic_api_key and all(account.id != ENVIRONMENT for account in found):
            found.insert(0, Account(ENVIRONMENT, ENVIRONMENT, _ENVIRONMENT_PROVIDER, AccountKind.API_KEY))
        return found

    async def show(self, accounts: Sequence[Account]) -> list[Shown]:
        """Return accounts as they are to be shown: with their state, as a gateway that starts now would see it."""
        now = await self.database.now()
        pool = AccountPool(self.settings.routing, clock=lambda: now, random=random.Random(0))  # noqa: S311 - unused
        pool.replace(accounts, await self.store.cooldowns())
        return [
            Shown(
                account,
                *pool.state(account.id),
                self.base_url(account),
                now,
                command=self.command(account),
                is_configured=self.is_configured(account),
            )
            for account in accounts
        ]

    def command(self, account: Account) -> str | None:
        """Return the name of the command that prints an account's credential, if it has one that can be read."""
        if account.kind is not AccountKind.COMMAND or self.vault is None:
            return None
        try:
            return read_secret(account, self.vault, CommandSecret).command
        except CredentialUnavailableError:
            return None

    def is_configured(self, account: Account) -> bool:
        """Return whether a gateway with these settings would serve with an account: its key may not be set."""
        return account.id != ENVIRONMENT or bool(self.settings.anthropic_api_key)

    def is_kept(self, account: Account) -> bool:
        """Return whether an account would be there again at the next start, and so cannot be removed."""
        return account.id == ENVIRONMENT and bool(self.settings.anthropic_api_key)

    async def check_vault(self, vault: Vault) -> None:
        """See that the secrets in the database are this vault's.

        Raises:
            VaultError: they are not; says what to do.
        """
        await check_vault(self.database, vault)

    async def refresh_sent_until(self, account: Account) -> float | None:
        """Return until when an answer to a refresh token that was sent may come; None if none was sent."""
        return await LeaseStore(self.database).sent_until(account.id)

    def base_url(self, account: Account) -> str:
        """Return where an account's requests go; nothing for one of a provider that this program does not know."""
        provider = self.providers.get(account.provider)
        return account.base_url or (provider.base_url if provider is not None else "")

    # Changes

    async def warn_before_adding(
        self, drafts: Sequence[Draft], known: Sequence[Account], vault: Vault
    ) -> list[str]:
        """Compare new accounts with those that are there; return warnings, a sentence each.

        Args:
            drafts: the new accounts.
            known: those that are there; not the one that is to have another secret.
            vault: for their secrets.

        Raises:
            DraftError: a refresh token would be in two accounts.
        """
        key = self.settings.anthropic_api_key
        holders = await asyncio.to_thread(Holders.among, known, vault, key)
        refuse_known_tokens(drafts, holders)
        return [*warn_of_idle_accounts(drafts, self.settings), *warn_of_known_keys(drafts, holders)]

    async def add(self, drafts: Sequence[Draft], vault: Vault) -> list[Account]:
        """Store new accounts, all or none of them, and return them.

        Raises:
            NameTakenError: the name of one is taken.
        """
        # Lists are in the order in which accounts were made.
        created_at = await self.database.now()
        new = []
        for index, draft in enumerate(drafts):
            encrypted = vault.encrypt(encode_secret(draft.secret))
            new.append(draft.as_account(new_account_id(), encrypted, created_at + index * _TICK))
        return await self.store.add_all(new)

    async def replace_secret(
        self, account_id: str, draft: Draft, vault: Vault, changes: Mapping[str, Any] | None = None
    ) -> None:
        """Give an account another secret.

        Args:
            account_id: the account.
            draft: what it is to be like; of it the secret is taken.
            vault: for the secret.
            changes: what else a person changes, by the names of an account's fields.

        Raises:
            DraftError: the secret changes all the time, or the account is gone.
        """
        encrypted = vault.encrypt(encode_secret(draft.secret))
        for _ in range(_ATTEMPTS):
            # A gateway may be renewing the old one; what comes of that is void.
            present = await self.store.find(account_id)
            if present is None:
                raise DraftError(f"there is no account {draft.name!r} any more")
            version = await self.store.replace_secret(
                account_id, encrypted, draft.expires_at, expected_version=present.secret_version, changes=changes
            )
            if version is not None:
                return
        raise DraftError(f"the secret of {draft.name!r} keeps changing; try again")

    async def check(
        self,
        vault: Vault,
        accounts: list[Account],
        done: Callable[[], None] = lambda: None,
        remedy: Callable[[Account], str] | None = None,
    ) -> list[tuple[Account, Verdict]]:
        """Check accounts side by side, as `check_accounts` says.

        Raises:
            VaultError: the secrets in the database are not this vault's.
        """
        await self.check_vault(vault)
        return await check_accounts(
            self.store, vault, self.settings, self.providers, accounts, done=done, remedy=remedy
        )

    async def resume(self, account: Account, cooling: Iterable[Cooldown]) -> Resumed:
        """Put an account into use again, whatever kept it out of use.

        Args:
            account: as it was until now.
            cooling: its rests, to say which of them end.

        Raises:
            DraftError: the account is gone.
        """
        cleared = ["a pause"] if account.paused_at is not None else []
        if account.condition is not Condition.OK:
            cleared.append(f"{account.condition.value} ({account.condition_reason or 'no reason given'})")
        cleared += [f"a cool-down of {family_name(rest.family)} ({rest.fault})" for rest in cooling]
        was_sent = await self.refresh_sent_until(account) is not None
        if not await self.store.resume(account.id):
            raise DraftError(f"there is no account {account.name!r} any more")
        # What is left of a token that was sent is under a lease that has not ended.
        until = await self.refresh_sent_until(account)
        if was_sent and until is None:
            cleared.append("the mark of a refresh token that was sent before: it may be sent once more")
        return Resumed(cleared, until)


def providers_of(settings: Settings) -> dict[str, Provider]:
    """Return the providers, by name, with the base URLs of the settings."""
    return {
        "anthropic": AnthropicProvider(settings.anthropic_base_url),
        "openai": OpenAIProvider(settings.openai_base_url),
    }


def warn_of_idle_accounts(drafts: Iterable[Draft], settings: Settings) -> Iterator[str]:
    """Return warnings of accounts that the settings leave idle."""
    providers = {draft.provider for draft in drafts}
    if "openai" in providers and settings.openai_mode is not OpenAIMode.POOL:
        yield "accounts of openai serve only with openai_mode = pool"
    if "anthropic" in providers and settings.client_auth is ClientAuth.PASSTHROUGH:
        yield "client_auth = passthrough: clients bring their own credentials, and no account of anthropic serves"


def family_name(family: str) -> str:
    """Return how people are told of a quota family: that of requests without a model has no name of its own."""
    return family or "requests without a model"
