"""What every `gateway accounts` command works with: the settings, the database, and what it says of accounts."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import TypeVar

from attrs import define

from gateway.accounts.account import Account
from gateway.accounts.drafts import DraftError
from gateway.accounts.office import AccountOffice, providers_of
from gateway.accounts.vault import Vault, VaultError
from gateway.cli.common import CommandError, secret_keys_at_hand, secret_keys_from
from gateway.config import Settings
from gateway.setting_values import suggest
from gateway.store.accounts import ENVIRONMENT, AccountStore
from gateway.store.engine import Database, Opening
from gateway.store.errors import StoreError
from gateway.telemetry.logs import close_logs, configure_logs

__all__ = ["Office", "open_vault", "run_with_office"]

_T = TypeVar("_T")


@define
class Office(AccountOffice):
    """The accounts of one gateway, found by what people call them."""

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


@asynccontextmanager
async def _open(settings: Settings, vault: Vault | None, opening: Opening) -> AsyncGenerator[Office]:
    async with Database.of(settings, opening) as database:
        yield Office(settings, database, AccountStore(database), providers_of(settings), vault)


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
    except (DraftError, StoreError, VaultError) as error:
        raise CommandError(str(error)) from None
    finally:
        close_logs()
