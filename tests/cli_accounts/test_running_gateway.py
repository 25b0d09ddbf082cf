"""What an operator changes while a gateway runs."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Any

from gateway.app import run_gateway
from gateway.config import Settings
from gateway.replay.server import ReplayUpstream
from gateway.store.client_keys import ClientKeyStore
from gateway.store.secret import load_secret_key
from tests.cli_accounts.command import KEY, OTHER_KEY, SECRET_KEY, Command
from tests.contract.harness import RecordingLedger, Served
from tests.replay.raw_client import LIMIT


@asynccontextmanager
async def running(accounts: Command, upstream: ReplayUpstream, **settings: Any) -> AsyncGenerator[Served]:
    """Run a gateway on the database of the command."""
    async with accounts.database() as database:
        _, key = await ClientKeyStore(database).create("client", load_secret_key(SECRET_KEY, accounts.data_dir))
    usual = Settings(
        listen="127.0.0.1:0",
        data_dir=str(accounts.data_dir),
        secret_key=SECRET_KEY,
        anthropic_base_url=upstream.url,
        **settings,
    )
    ledger = RecordingLedger()
    async with run_gateway(usual, ledger=ledger) as gateway:
        yield Served(gateway, upstream, ledger, key)


async def until_status(served: Served, status: int) -> None:
    async with asyncio.timeout(LIMIT):
        while (await served.stream()).status != status:
            pass


async def test_a_gateway_that_started_without_accounts_takes_over_what_the_command_does(
    accounts: Command, upstream: ReplayUpstream
) -> None:
    async with running(accounts, upstream) as served:
        before = await served.stream()
        await accounts.add("work")
        await until_status(served, 200)
        assert upstream.requests[-1].credential == ("x-api-key", KEY)
        await accounts.add("play", OTHER_KEY)
        await accounts.go("pause", "work")
        async with asyncio.timeout(LIMIT):
            while upstream.requests[-1].credential != ("x-api-key", OTHER_KEY):
                await served.stream()
        assert await accounts.state("work") == "paused", "traffic never ends a pause"
        await accounts.go("remove", "play", "--yes")
        await until_status(served, before.status)
        await accounts.go("resume", "work")
        await until_status(served, 200)

    assert before.status in (503, 529)
    assert "gateway accounts add" in json.loads(before.body)["error"]["message"]


async def test_the_account_of_the_environment_can_be_paused_once_a_gateway_has_started(
    accounts: Command, upstream: ReplayUpstream
) -> None:
    accounts.setenv("GATEWAY_ANTHROPIC_API_KEY", KEY)
    async with running(accounts, upstream, anthropic_api_key=KEY) as served:
        await until_status(served, 200)
        paused = await accounts.go("pause", "environment")
        async with asyncio.timeout(LIMIT):
            while (await served.stream()).status == 200:
                pass

    assert paused.status == 0
    (row,) = (await accounts.go("list", "--json")).json
    assert (row["name"], row["state"]) == ("environment", "paused")


async def test_the_account_of_the_environment_is_no_active_one_where_its_key_is_not_set(
    accounts: Command, upstream: ReplayUpstream
) -> None:
    async with running(accounts, upstream, anthropic_api_key=KEY) as served:
        await until_status(served, 200)

    (row,) = (await accounts.go("list", "--json")).json
    listed = await accounts.go("list")
    checked = await accounts.go("check", "environment")

    assert (row["state"], row["reason"]) == ("not_configured", "GATEWAY_ANTHROPIC_API_KEY is not set")
    assert "not configured here: GATEWAY_ANTHROPIC_API_KEY is not set" in listed.out
    assert checked.status == 1
    assert "no_credential: GATEWAY_ANTHROPIC_API_KEY is not set here." in checked.out
