"""A store, a token endpoint and managers of credentials, wired as in production but for their patience."""

from __future__ import annotations

import asyncio
import itertools
import secrets
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any, Final

import pytest
from attrs import define, evolve, field
from sqlalchemy import text

from gateway.accounts.account import Account, AccountKind, Condition
from gateway.accounts.credentials import CredentialManager, CredentialUnavailableError
from gateway.accounts.oauth import ExchangeTimes
from gateway.accounts.refresh import RefreshTimes
from gateway.accounts.renewal import RenewalTimes
from gateway.accounts.secrets import OAuthSecret, Secret, decode_secret, encode_secret
from gateway.accounts.vault import Vault
from gateway.providers.base import Credential
from gateway.replay.server import ReplayUpstream
from gateway.replay.tokens import TokenPair
from gateway.store.accounts import AccountStore
from gateway.store.engine import Database
from gateway.store.leases import LeaseStore

TOKEN_PATH: Final = "/v1/oauth/token"
KEY: Final = b"of the tests, and of nobody else"
"""Of the vault."""
CLIENT_ID: Final = "of-the-operator"

RENEWAL: Final = RenewalTimes(
    wait=10.0, patience=10.0, first_backoff=0.05, longest_backoff=0.4, soon=0.02, sweep=0.05, fresh=0.0
)
REFRESH: Final = RefreshTimes(
    lease=1.0, sent=1.0, held=8.0, poll=0.01, first_retry=0.02, longest_retry=0.1, store=5.0
)
IMPATIENT: Final = evolve(REFRESH, exchange=ExchangeTimes(answer=0.15))


on_both: Final = pytest.mark.parametrize("database_url", ["sqlite", "postgresql"], indirect=True)
"""Marks a test that is to run on both databases."""


def seal(bench: Bench, pair: TokenPair) -> bytes:
    """Return a good pair as it is stored."""
    return bench.vault.encrypt(encode_secret(bench.secret(pair, left=3000)))


async def idle(manager: CredentialManager) -> None:
    """Wait until no renewal is under way."""
    async with asyncio.timeout(10):
        while flights := [flight.task for flight in manager._renewer._flights if flight.task is not None]:
            await asyncio.wait(flights)


async def told(bench: Bench, account: Account) -> None:
    """Wait until the store knows that an account needs a person."""
    async with asyncio.timeout(10):
        while (await bench.row(account)).condition is not Condition.NEEDS_REAUTH:  # noqa: ASYNC110 - it is a row
            await asyncio.sleep(0.02)
    assert (await bench.row(account)).condition_reason


async def healed(manager: CredentialManager, account: Account) -> Credential:
    """Wait until there is a credential; until then the reason must be one that time mends."""
    async with asyncio.timeout(10):
        while True:
            try:
                return await manager.current(account)
            except CredentialUnavailableError as error:
                assert not error.terminal, error.message  # noqa: PT017 - it is raised as often as need be
            await asyncio.sleep(0.02)


@define
class Bench:
    """What one test works with."""

    upstream: ReplayUpstream
    database: Database
    shift: float = 0.0
    """Seconds that the managers' clocks are ahead of the database's."""
    conditions: list[tuple[str, Condition, str, int]] = field(factory=list)
    """What managers said about accounts."""
    vault: Vault = field(factory=lambda: Vault([KEY]))
    _numbers: Any = field(factory=lambda: itertools.count(1))

    @property
    def store(self) -> AccountStore:
        """The accounts."""
        return AccountStore(self.database)

    @property
    def leases(self) -> LeaseStore:
        """The leases."""
        return LeaseStore(self.database)

    @property
    def outcomes(self) -> list[str]:
        """What the token endpoint answered, call by call."""
        return [record.outcome for record in self.upstream.tokens.records]

    def clock(self) -> float:
        """Unix seconds, as managers see them."""
        return self.database.clock() + self.shift

    async def add(self, secret: Secret | None, kind: AccountKind = AccountKind.OAUTH, **fields: Any) -> Account:
        """Store an account."""
        number = secrets.token_hex(4)
        sealed = None if secret is None else self.vault.encrypt(encode_secret(secret))
        expires_at = secret.expires_at if isinstance(secret, OAuthSecret) else None
        made = Account(
            f"acc_{number}", f"name-{number}", "anthropic", kind, secret=sealed, secret_version=1, **fields
        )
        return await self.store.add(evolve(made, expires_at=expires_at))

    async def add_tokens(
        self, *, left: float, lifetime: float = 3600.0, **fields: Any
    ) -> tuple[Account, TokenPair]:
        """Store an account with tokens of the endpoint.

        Args:
            left: seconds until the access token expires.
            lifetime: seconds that it was good for.
            fields: of the account.
        """
        pair = self.upstream.tokens.issue()
        return await self.add(self.secret(pair, left=left, lifetime=lifetime), **fields), pair

    def secret(self, pair: TokenPair, *, left: float, lifetime: float = 3600.0) -> OAuthSecret:
        """Return what is stored of a pair."""
        return OAuthSecret(
            self.upstream.url + TOKEN_PATH,
            CLIENT_ID,
            refresh_token=pair.refresh_token,
            access_token=pair.access_token,
            expires_at=self.clock() + left,
            lifetime=lifetime,
        )

    async def row(self, account: Account) -> Account:
        """Return an account as it is in the database."""
        row = await self.store.find(account.id)
        assert row is not None
        return row

    async def stored(self, account: Account) -> tuple[Account, OAuthSecret]:
        """Return an account as it is in the database, and its secret."""
        row = await self.row(account)
        assert row.secret is not None
        secret = decode_secret(row.kind, self.vault.decrypt(row.secret))
        assert isinstance(secret, OAuthSecret)
        return row, secret

    @asynccontextmanager
    async def manager(
        self,
        *accounts: Account,
        renewal: RenewalTimes = RENEWAL,
        refresh: RefreshTimes = REFRESH,
        step: Callable[[str], Awaitable[None]] | None = None,
        **options: Any,
    ) -> AsyncGenerator[CredentialManager]:
        """Run a manager as a process has it; it looks after `accounts`."""
        manager = CredentialManager(
            self.store,
            self.leases,
            self.vault,
            clock=self.clock,
            owner=f"process-{next(self._numbers)}",
            on_condition=self._note,
            renewal_times=renewal,
            refresh_times=refresh,
            step=step,
            **options,
        )
        async with manager:
            manager.replace(accounts)
            yield manager

    @asynccontextmanager
    async def busy_database(self) -> AsyncGenerator[None]:
        """Keep everybody else from writing to the accounts."""
        async with Database(self.database.url, self.database.data_dir) as other, other.write() as connection:
            if other.is_postgres:
                await connection.execute(text("LOCK TABLE accounts IN ACCESS EXCLUSIVE MODE"))
            yield

    def _note(self, account_id: str, condition: Condition, reason: str, *, secret_version: int) -> None:
        self.conditions.append((account_id, condition, reason, secret_version))
