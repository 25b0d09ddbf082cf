"""What every `gateway accounts` command works with: the settings, the database, and what it says of accounts."""

from __future__ import annotations

import asyncio
import random
import sys
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterable, Iterator
from contextlib import asynccontextmanager
from typing import Final, TypeVar

from attrs import define

from gateway.accounts.account import Account, AccountKind
from gateway.accounts.drafts import Draft
from gateway.accounts.pool import AccountPool
from gateway.accounts.secrets import CommandSecret
from gateway.accounts.stored import read_secret
from gateway.accounts.unavailable import CredentialUnavailableError
from gateway.accounts.vault import Vault, VaultError
from gateway.cli.account_output import Shown
from gateway.cli.common import CommandError, secret_keys_at_hand, secret_keys_from
from gateway.config import ClientAuth, OpenAIMode, Settings
from gateway.providers.anthropic import AnthropicProvider
from gateway.providers.base import Provider
from gateway.providers.openai import OpenAIProvider
from gateway.setting_values import suggest
from gateway.store.accounts import ENVIRONMENT, AccountStore
from gateway.store.canary import check_vault
from gateway.store.engine import Database, Opening
from gateway.store.errors import StoreError
from gateway.store.leases import LeaseStore
from gateway.telemetry.logs import close_logs, configure_logs

__all__ = ["Office", "open_vault", "run_with_office", "warn_of_idle_accounts"]

_ENVIRONMENT_PROVIDER: Final = "anthropic"

_T = TypeVar("_T")


@define
class Office:
    """The accounts of one gateway, for as long as the database is open."""

    settings: Settings
    database: Database
    store: AccountStore
    providers: dict[str, Provider]
    vault: Vault | None
    """What decrypts the names of commands; None where there is no secret key to be had."""

    async def accounts(self) -> list[Account]:
        """Return all accounts, that of the environment first if no gateway has written it down yet."""
        found = await self.store.all()
        if self.settings.anthropic_api_key and all(account.id != ENVIRONMENT for account in found):
            found.insert(0, Account(ENVIRONMENT, ENVIRONMENT, _ENVIRONMENT_PROVIDER, AccountKind.API_KEY))
        return found

    async def find(self, id_or_name: str) -> Account:
        """Return an account.

        Raises:
            CommandError: there is none of that name; names those that are near.
        """
        known = await self.accounts()
        for account in known:
            if id_or_name == account.id:
                return account
        for account in known:
            if id_or_name == account.name:
                return account
        near = suggest(id_or_name, [account.name for account in known]) or "; see `gateway accounts list`"
        raise CommandError(f"there is no account {id_or_name!r}{near}")

    async def find_stored(self, name: str) -> Account:
        """Return an account that can be changed.

        Raises:
            CommandError: there is none of that name, or no gateway has started with it yet.
        """
        account = await self.find(name)
        if account.id == ENVIRONMENT and await self.store.find(ENVIRONMENT) is None:
            raise CommandError(
                "the account of GATEWAY_ANTHROPIC_API_KEY is not in the database yet; start the gateway once"
            )
        return account

    async def show(self, accounts: list[Account]) -> list[Shown]:
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
                command=self._command(account),
                is_configured=self.is_configured(account),
            )
            for account in accounts
        ]

    def _command(self, account: Account) -> str | None:
        if account.kind is not AccountKind.COMMAND or self.vault is None:
            return None
        try:
            return read_secret(account, self.vault, CommandSecret).command
        except CredentialUnavailableError:
            return None

    def is_configured(self, account: Account) -> bool:
        """Return whether a gateway with these settings would serve with an account: its key may not be set."""
        return account.id != ENVIRONMENT or bool(self.settings.anthropic_api_key)

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


@asynccontextmanager
async def _open(settings: Settings, vault: Vault | None, opening: Opening) -> AsyncGenerator[Office]:
    async with Database.of(settings, opening) as database:
        providers: dict[str, Provider] = {
            "anthropic": AnthropicProvider(settings.anthropic_base_url),
            "openai": OpenAIProvider(settings.openai_base_url),
        }
        yield Office(settings, database, AccountStore(database), providers, vault)


def open_vault(settings: Settings) -> Vault:
    """Return what encrypts the secrets of accounts.

    Raises:
        CommandError: the secret key cannot be used.
    """
    return Vault(secret_keys_from(settings))


def run_with_office(
    settings: Settings, work: Callable[[Office], Awaitable[_T]], opening: Opening = Opening.EXISTING
) -> _T:
    """Open the database, do something, and close it.

    Args:
        settings: as loaded.
        work: what to do.
        opening: what may be done to a database that is not there, or is an older one.

    Raises:
        CommandError: says in a sentence what is wrong with the database, the keys, or what was asked for.
    """
    keys = secret_keys_at_hand(settings)
    vault = Vault(keys) if keys else None

    async def run() -> _T:
        async with _open(settings, vault, opening) as office:
            return await work(office)

    # What happens is told as the command's own result; what goes wrong beyond that must not get lost.
    configure_logs(level="error", fmt="auto", stream=sys.stderr)
    try:
        return asyncio.run(run())
    except (StoreError, VaultError) as error:
        raise CommandError(str(error)) from None
    finally:
        close_logs()


def warn_of_idle_accounts(drafts: Iterable[Draft], settings: Settings) -> Iterator[str]:
    """Return warnings of accounts that the settings leave idle."""
    providers = {draft.provider for draft in drafts}
    if "openai" in providers and settings.openai_mode is not OpenAIMode.POOL:
        yield "accounts of openai serve only with openai_mode = pool"
    if "anthropic" in providers and settings.client_auth is ClientAuth.PASSTHROUGH:
        yield "client_auth = passthrough: clients bring their own credentials, and no account of anthropic serves"
