"""A key at several gateways, each a process of its own as on a host of its own."""

from __future__ import annotations

import asyncio
from pathlib import Path

from gateway.actors.terms import KeyLimits, KeyTerms
from gateway.replay.server import ReplayUpstream
from gateway.store.key_use import KeyUseStore
from gateway.store.secret import load_secret_keys
from tests.account_path.harness import NewAccount
from tests.contract.harness import SECRET
from tests.hosts.harness import hosts
from tests.postgres import Postgres
from tests.replay.raw_client import LIMIT


async def test_a_key_has_its_budget_once_however_many_gateways_it_asks(postgres: Postgres, tmp_path: Path) -> None:
    async with (
        ReplayUpstream() as upstream,
        hosts(postgres, NewAccount("main"), upstream=upstream, count=2) as running,
    ):
        terms = KeyTerms(limits=KeyLimits(tokens_month=1))
        stored, key = await running.keys.create("ci", load_secret_keys(SECRET, tmp_path)[0], terms)
        statuses: list[int] = []
        for gateway in running.gateways:
            gateway.key = key
            while (first := await gateway.ask()).status == 401:
                pass
            statuses.append(first.status)
        statuses += [answer.status for answer in await running.ask_all()]
        assert statuses == [200, 429, 429, 429]
        store = KeyUseStore(running.database)
        async with asyncio.timeout(LIMIT):
            while (use := await store.use_of(stored.id)).running:  # noqa: ASYNC110 - another process writes it
                await asyncio.sleep(0.01)
        assert use.total.requests == 1
