"""Several gateways on one PostgreSQL, each a process of its own as on a host of its own."""

from __future__ import annotations

import asyncio
import json
import signal
import tempfile
import uuid
from collections.abc import AsyncGenerator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

from attrs import define
from sqlalchemy import select

from gateway.accounts.vault import Vault
from gateway.replay.server import ReplayUpstream
from gateway.store.accounts import AccountStore
from gateway.store.client_keys import ClientKeyStore
from gateway.store.engine import Database
from gateway.store.secret import load_secret_keys
from gateway.store.tables import refresh_leases
from tests.account_path.harness import NewAccount, add_account
from tests.contract.harness import SECRET
from tests.faults.gateway_process import GatewayProcess, serving_process
from tests.postgres import Postgres
from tests.replay.raw_client import LIMIT, RawResponse


def of_session(session: str = "") -> dict[str, Any]:
    """Return what a body says of the session that it belongs to; default one that nobody knows."""
    return {"metadata": {"user_id": json.dumps({"session_id": session or str(uuid.uuid4())})}}


@define
class Hosts:
    """Gateways that share a database, and the database as an operator's command sees it."""

    gateways: list[GatewayProcess]
    upstream: ReplayUpstream
    postgres: Postgres
    url: str
    database: Database
    store: AccountStore
    keys: ClientKeyStore
    settings: dict[str, str]

    async def ask_all(self, **changes: Any) -> list[RawResponse]:
        """Ask every gateway for a stream at once, each in a session of its own unless `changes` say which."""
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(gateway.ask(**(of_session() | changes))) for gateway in self.gateways]
        return [task.result() for task in tasks]

    @asynccontextmanager
    async def started_anew(self) -> AsyncGenerator[GatewayProcess]:
        """Stop all gateways in order, and start one."""
        for gateway in self.gateways:
            gateway.send(signal.SIGTERM)
            assert await gateway.ended() == 0
        async with serving_process(self.upstream.url, **self.settings) as gateway:
            gateway.key = self.gateways[0].key
            yield gateway

    async def until_cooling(self, account_id: str) -> None:
        """Wait until the database knows of a cool-down of this account."""
        async with asyncio.timeout(LIMIT):
            while account_id not in {one.account_id for one in await self.store.cooldowns()}:  # noqa: ASYNC110 - what is asked is a database
                await asyncio.sleep(0.05)

    async def owner_of_lease(self) -> GatewayProcess:
        """Return the gateway that is refreshing a token."""
        async with self.database.read() as connection:
            owner = (await connection.execute(select(refresh_leases.c.owner))).scalar_one()
        pid = int(owner.split(":")[1])
        return next(gateway for gateway in self.gateways if gateway.pid == pid)


@asynccontextmanager
async def hosts(
    postgres: Postgres, *accounts: NewAccount, upstream: ReplayUpstream, count: int = 3, **environ: str
) -> AsyncGenerator[Hosts]:
    """Run so many gateways; `environ` are settings without their prefix."""
    url = await asyncio.to_thread(postgres.create_database)
    async with AsyncExitStack() as stack:
        directory = stack.enter_context(tempfile.TemporaryDirectory())
        database = await stack.enter_async_context(Database(url, Path(directory)))
        peppers = load_secret_keys(SECRET, Path(directory))
        store, vault, keys = AccountStore(database), Vault(peppers), ClientKeyStore(database)
        for new in accounts:
            await add_account(store, vault, new, f"{upstream.url}/v1/oauth/token", database.clock())
        _, key = await keys.create("tester", peppers[0])
        gateways = []
        settings = {"DATABASE_URL": url, "ANTHROPIC_API_KEY": "", **environ}
        for _ in range(count):
            gateway = await stack.enter_async_context(serving_process(upstream.url, **settings))
            gateway.key = key
            gateways.append(gateway)
        yield Hosts(gateways, upstream, postgres, url, database, store, keys, settings)
