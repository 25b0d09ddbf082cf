"""A gateway as one finds it after a while: accounts of two providers, keys, requests of every outcome."""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import AsyncGenerator, Iterable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any, Final

from attrs import define, evolve, field
from sqlalchemy import func, select

from gateway.accounts.vault import Vault
from gateway.app import run_gateway
from gateway.config import OpenAIMode, Settings, Timeouts
from gateway.controlplane.access import Role
from gateway.controlplane.sign_in.tokens import digest_of, new_token
from gateway.replay.openai import OpenAIReplay
from gateway.replay.server import ReplayUpstream
from gateway.store.accounts import AccountStore
from gateway.store.client_keys import ClientKeyStore
from gateway.store.engine import Database
from gateway.store.secret import load_secret_keys
from gateway.store.tables import requests
from gateway.store.user_links import Link, LinkStore, Purpose
from gateway.store.users import UserStore
from tests import answer_watch, fresh_database
from tests.account_path.harness import NewAccount, add_account
from tests.contract.harness import MESSAGES, SECRET, RecordingLedger, Served
from tests.replay.raw_client import LIMIT, RawResponse, message

__all__ = ["ACCOUNTS", "PEOPLE", "TOKEN", "GatewaySite", "gateway_site"]

TOKEN: Final = "control-token-of-the-dashboards-tests"
ACCOUNTS: Final = (
    NewAccount("Team plan", api_key="sk-ant-api03-of-the-team-plan", more={"id": "acc_team"}),
    NewAccount("Spare key", api_key="sk-ant-api03-of-the-spare-key", more={"id": "acc_spare"}),
    NewAccount("OpenAI work", api_key="sk-proj-of-the-work-account", provider="openai", more={"id": "acc_work"}),
)
PEOPLE: Final = {Role.ADMIN: "Olivia", Role.VIEWER: "Victor"}
_LINK_SECONDS: Final = 60.0
_SESSION: Final = "5c1d7a52-6a0e-4f0e-9a51-3d6f3c1b7a10"
_CONVERSATION: Final = (
    ("claude-opus-5-5", "thinking-then-text"),
    ("claude-opus-5-5", "tool-use"),
    ("claude-haiku-5", "text-markdown-code"),
)
_CHAT: Final = {"model": "gpt-5", "messages": [{"role": "user", "content": "Say hello"}]}


@define(eq=False)
class GatewaySite(Served):
    """A gateway that can be restarted where it is, and what is behind it.

    Its ledger is the database: `records` of the harness stay empty.
    """

    settings: Settings
    database: Database
    openai: OpenAIReplay
    keys: dict[str, str]
    """In clear, by name."""
    token: str = TOKEN
    _running: AsyncExitStack = field(factory=AsyncExitStack, init=False)
    _asked: int = field(default=0, init=False)

    @property
    def url(self) -> str:
        """Base URL of the control plane, without a slash at its end."""
        assert self.gateway.control_url is not None
        return self.gateway.control_url

    async def start(self) -> None:
        """Start the gateway: at the addresses where it was, if it ran before."""
        self.gateway = await self._running.enter_async_context(run_gateway(self.settings, control=True))
        # The next start is for those who are still there: clients, and pages.
        control = self.url.removeprefix("http://")
        listen = f"{self.gateway.host}:{self.gateway.port}"
        self.settings = evolve(self.settings, listen=listen, control_listen=control)

    async def stop(self) -> None:
        """End the gateway, and nothing of what is around it."""
        await self._running.aclose()

    async def restart(self) -> None:
        """End the gateway and start it again, as after an upgrade: same addresses, same database."""
        await self.stop()
        await self.start()

    async def sign_in_token(self, role: Role) -> str:
        """Return what signs somebody of a role in, once, as `gateway dashboard link` does."""
        users, name = UserStore(self.database), PEOPLE[role]
        user = await users.named(name) or await users.add(name, role)
        token = new_token()
        link = Link(digest=digest_of(token), purpose=Purpose.SIGN_IN, user_id=user.id)
        await LinkStore(self.database).put(link, _LINK_SECONDS)
        return token

    async def ask(self, *args: Any, **options: Any) -> RawResponse:
        """Ask for something, and remember that there is one record more to come."""
        self._asked += 1
        return await super().ask(*args, **options)

    async def settled(self) -> None:
        """Wait until all requests that are over are in the database."""
        async with asyncio.timeout(LIMIT):
            while await self._count() < self._asked:  # noqa: ASYNC110 - what is asked is a database
                await asyncio.sleep(0.01)

    async def _count(self) -> int:
        async with self.database.read() as connection:
            return (await connection.execute(select(func.count()).select_from(requests))).scalar_one()

    @asynccontextmanager
    async def streaming(self, count: int = 1, *, fault: str = "hang:event=4", **body: Any) -> AsyncGenerator[None]:
        """Have streams in flight for as long as the context lasts; `body` is what their requests have besides."""
        async with AsyncExitStack() as stack:
            for _ in range(count):
                connection = await stack.enter_async_context(self.connect())
                headers = [("x-replay-fault", fault)]
                await connection.send(MESSAGES, message(stream=True, **body), headers=headers, usual=self.usual)
                await connection.until(b"content_block_delta")
            yield
        self._asked += count


@asynccontextmanager
async def gateway_site(
    *,
    accounts: Sequence[NewAccount] = ACCOUNTS,
    keys: Iterable[str] = ("Ana's laptop", "nightly builds"),
    traffic: bool = True,
    **settings: Any,
) -> AsyncGenerator[GatewaySite]:
    """Run such a gateway.

    Args:
        accounts: in its store; ids are `acc_` and the name.
        keys: names of clients' keys; the first is the one that the traffic comes with.
        traffic: whether there was any; when the context begins, all of it is in the database.
        settings: more fields of `Settings`.
    """
    async with ReplayUpstream() as upstream, OpenAIReplay() as openai, AsyncExitStack() as stack:
        directory = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        usual = Settings(
            listen="127.0.0.1:0",
            control_listen="127.0.0.1:0",
            control_token=TOKEN,
            data_dir=str(directory),
            secret_key=SECRET,
            anthropic_base_url=upstream.url,
            openai_base_url=openai.url,
            openai_mode=OpenAIMode.POOL,
            timeouts=Timeouts(drain_seconds=0.2),
        )
        chosen = evolve(usual, **settings)
        await fresh_database.lay(directory)
        database = await stack.enter_async_context(Database.of(chosen))
        peppers = await asyncio.to_thread(load_secret_keys, SECRET, directory)
        store, vault = AccountStore(database), Vault(peppers)
        for account in accounts:
            await add_account(store, vault, account, f"{upstream.url}/v1/oauth/token", database.clock())
            answer_watch.keep(account.key)
        answer_watch.keep(chosen.control_token, SECRET)
        made = {name: (await ClientKeyStore(database).create(name, peppers[0]))[1] for name in keys}
        answer_watch.keep(*made.values())
        site = GatewaySite(
            None,  # ty: ignore[invalid-argument-type]  # there is one as soon as it has started
            upstream,
            RecordingLedger(),
            next(iter(made.values()), ""),
            chosen,
            database,
            openai,
            made,
        )
        await site.start()
        try:
            if traffic:
                await _make_traffic(site)
            yield site
        finally:
            await site.stop()


async def _make_traffic(site: GatewaySite) -> None:
    """Have requests of every outcome, one after the other, so that what is listed has an order."""
    session = [("x-claude-code-session-id", _SESSION), ("user-agent", "claude-cli/2.1")]
    for model, fixture in _CONVERSATION:
        await site.stream({"model": model}, headers=[*session, ("x-replay-stream", fixture)])
    await site.ask(message())
    await site.stream(fault="duplicate-start:event=5")
    await site.stream(fault="eof:event=6")
    await site.stream(fault="error-event:overloaded_error;event=8")
    await site.stream(fault="status:400")
    bearer = [("authorization", f"Bearer {site.key}"), ("content-type", "application/json")]
    await site.ask(_CHAT, "/v1/chat/completions", usual=bearer)
    # Accounts that stay away for a while, and what another one makes of it.
    site.upstream.faults.push("status:529")
    await site.stream()
    site.upstream.faults.push("status:429;retry-after=600")
    await site.stream()
    await site.settled()
