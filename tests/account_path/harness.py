"""A gateway with accounts in its store, before a replay upstream that knows which credentials are good."""

from __future__ import annotations

import asyncio
import tempfile
from collections import Counter
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Final

from attrs import define, evolve, field

from gateway.accounts.account import Account, AccountKind, Condition
from gateway.accounts.secrets import ApiKeySecret, OAuthSecret, Secret, encode_secret
from gateway.accounts.vault import Vault
from gateway.app import run_gateway
from gateway.config import Routing, Settings, Timeouts
from gateway.replay.server import ReplayUpstream
from gateway.replay.tokens import TokenPair
from gateway.store.accounts import AccountStore
from gateway.store.client_keys import ClientKeyStore
from gateway.store.engine import Database
from gateway.store.secret import load_secret_keys
from tests.contract.harness import SECRET, RecordingLedger, Served
from tests.replay.raw_client import LIMIT

CLIENT_ID: Final = "the-operators-own-client"


@define
class NewAccount:
    """An account that a test wants; an API key unless tokens are given."""

    name: str
    api_key: str = ""
    tokens: TokenPair | None = None
    provider: str = "anthropic"
    token_url: str = ""
    """Default: that of the replay upstream."""
    expires_in: float | None = None
    """Seconds from now; None for what the tokens say."""
    more: dict[str, Any] = field(factory=dict)

    @property
    def key(self) -> str:
        """Its API key."""
        return self.api_key or f"sk-ant-api03-of-{self.name}"

    def secret(self, token_url: str, now: float) -> Secret:
        """Return what is encrypted."""
        if self.tokens is None:
            return ApiKeySecret(self.key)
        lifetime = self.tokens.expires_in if self.expires_in is None else self.expires_in
        return OAuthSecret(
            self.token_url or token_url,
            client_id=CLIENT_ID,
            refresh_token=self.tokens.refresh_token,
            access_token=self.tokens.access_token,
            expires_at=now + lifetime,
            lifetime=float(self.tokens.expires_in),
        )


@define
class Pooled(Served):
    """A gateway that serves with several accounts."""

    database: Database
    store: AccountStore

    async def until_condition(self, condition: Condition, *names: str) -> None:
        """Wait until the store says this of these accounts."""
        async with asyncio.timeout(LIMIT):
            while {a.name for a in await self.store.all() if a.condition is condition} != set(names):  # noqa: ASYNC110 - what is asked is a database
                await asyncio.sleep(0.02)

    async def until_condition_of(self, name: str) -> None:
        """Wait until the store knows that this account needs a new credential."""
        await self.until_condition(Condition.NEEDS_REAUTH, name)

    def credentials_used(self) -> Counter[str]:
        """Count the credentials that arrived upstream for messages."""
        return Counter(
            (request.credential or ("", ""))[1].removeprefix("Bearer ")
            for request in self.upstream.requests
            if request.path == "/v1/messages"
        )

    def grants(self) -> Counter[str]:
        """Count the calls of the token endpoint by their outcome."""
        return Counter(record.outcome for record in self.upstream.tokens.records)


async def add_account(store: AccountStore, vault: Vault, new: NewAccount, token_url: str, now: float) -> Account:
    """Put an account into the store, as `gateway accounts add` does."""
    secret = new.secret(token_url, now)
    account = Account(
        f"acc_{new.name}",
        new.name,
        new.provider,
        AccountKind.API_KEY if new.tokens is None else AccountKind.OAUTH,
        created_at=now,
        secret=vault.encrypt(encode_secret(secret)),
        secret_version=1,
        expires_at=secret.expires_at if isinstance(secret, OAuthSecret) else None,
    )
    await store.add(evolve(account, **new.more))
    return account


@asynccontextmanager
async def pooled(
    *accounts: NewAccount,
    upstream: ReplayUpstream,
    timeouts: dict[str, float] | None = None,
    routing: dict[str, Any] | None = None,
    database_url: str = "",
    **settings: Any,
) -> AsyncGenerator[Pooled]:
    """Run a gateway with these accounts; `upstream` runs already, and `settings` are fields of `Settings`."""
    with tempfile.TemporaryDirectory() as directory:
        usual = Settings(
            listen="127.0.0.1:0",
            data_dir=directory,
            database_url=database_url,
            secret_key=SECRET,
            anthropic_base_url=upstream.url,
            timeouts=evolve(Timeouts(drain_seconds=0.2), **(timeouts or {})),
            routing=evolve(Routing(), **(routing or {})),
        )
        chosen = evolve(usual, **settings)
        async with Database.of(chosen) as database:
            keys = load_secret_keys(SECRET, Path(directory))
            store, vault = AccountStore(database), Vault(keys)
            for new in accounts:
                await add_account(store, vault, new, f"{upstream.url}/v1/oauth/token", database.clock())
            _, key = await ClientKeyStore(database).create("tester", keys[0])
            ledger = RecordingLedger()
            async with run_gateway(chosen, ledger=ledger) as gateway:
                yield Pooled(gateway, upstream, ledger, key, database, store)
