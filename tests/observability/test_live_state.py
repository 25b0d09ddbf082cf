"""What is looked at now and then: accounts, queues, renewals, the ledger."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from gateway.observation.sampling import LiveState, Sampler
from gateway.replay.server import ReplayUpstream
from gateway.store.engine import Database
from gateway.telemetry.metrics import GatewayMetrics
from tests import fresh_database
from tests.account_path.harness import NewAccount, Pooled, pooled
from tests.contract.harness import MESSAGES
from tests.ledger.writing import locked, make_record, writing
from tests.observability.scraping import Scrape, parse
from tests.replay.raw_client import LIMIT, message


@pytest.fixture
async def database(tmp_path: Path) -> AsyncIterator[Database]:
    await fresh_database.lay(tmp_path)
    async with Database("", tmp_path) as opened:
        yield opened


def sampler_of(served: Pooled) -> Sampler:
    """Return what looks at a gateway that serves."""
    plane = served.gateway.data_plane
    return Sampler(
        GatewayMetrics(),
        LiveState([plane.messages.backend], plane.count_streams, plane.count_forwarded, lambda: False),
    )


async def look(sampler: Sampler) -> Scrape:
    """Look, and return what the metrics say."""
    await sampler.refresh()
    page, _ = await asyncio.to_thread(sampler.metrics.page, "")
    return parse(page)


async def look_until(sampler: Sampler, name: str, value: float, **labels: str) -> Scrape:
    """Look until the metrics say so."""
    async with asyncio.timeout(LIMIT):
        while (found := await look(sampler)).value(name, **labels) != value:  # noqa: ASYNC110 - what is asked is a page
            await asyncio.sleep(0.01)
        return found


async def test_records_that_wait_for_the_database_are_shown_until_it_has_them(database: Database) -> None:
    async with writing(database) as writer:
        sampler = Sampler(GatewayMetrics(), LiveState([], list, int, lambda: False, writer))
        await writer.settle(make_record(1))
        async with locked(database):
            settling = asyncio.ensure_future(writer.settle(make_record(2)))
            await look_until(sampler, "gateway_ledger_rows_waiting", 1)
            await settling
            found = await look(sampler)
            assert found.value("gateway_ledger_database_away") == 1
            assert found.value("gateway_ledger_spool_bytes") > 100
            assert found.value("gateway_ledger_rows_total", fate="written") == 1
            assert found.value("gateway_ledger_rows_total", fate="spooled") == 1
            assert found.value("gateway_ledger_rows_waiting") == 0
        found = await look_until(sampler, "gateway_ledger_rows_total", 1, fate="replayed")
        await look_until(sampler, "gateway_ledger_database_away", 0)
        await look_until(sampler, "gateway_ledger_spool_bytes", 0)
        assert found.value("gateway_ledger_rows_total", fate="lost") == 0


async def test_a_renewal_of_a_credential_is_counted() -> None:
    async with ReplayUpstream() as upstream:
        tokens = upstream.tokens.issue()
        async with pooled(NewAccount("one", tokens=tokens, expires_in=-10), upstream=upstream) as served:
            await served.assert_serves()
            found = await look(sampler_of(served))
            assert found.value("gateway_credential_refreshes_total", result="renewed") == 1
            assert found.value("gateway_credential_refreshes_total") == 1


async def test_accounts_are_shown_by_their_states_and_who_waits_by_how_many() -> None:
    settings: dict[str, Any] = {"routing": {"concurrency": 1}}
    async with (
        ReplayUpstream() as upstream,
        pooled(NewAccount("one"), NewAccount("two"), upstream=upstream, **settings) as served,
    ):
        sampler = sampler_of(served)
        found = await look(sampler)
        assert found.value("gateway_accounts", state="active") == 2
        async with served.connect() as one, served.connect() as two, served.connect() as three:
            for connection in (one, two, three):
                headers = [("x-replay-fault", "hang:event=4")]
                await connection.send(MESSAGES, message(stream=True), headers=headers, usual=served.usual)
            await look_until(sampler, "gateway_queue_length", 1)
            found = await look_until(sampler, "gateway_streams_open", 2)
            assert found.value("gateway_requests_in_flight") == 2
        await look_until(sampler, "gateway_requests_in_flight", 0)
        (account, _) = served.gateway.data_plane.messages.backend.pool.accounts
        await served.store.pause(account.id)
        found = await look_until(sampler, "gateway_accounts", 1, state="paused")
        assert found.value("gateway_accounts", state="active") == 1
