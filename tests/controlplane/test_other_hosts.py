"""A database that hosts share: what ended on any of them is told of by way of it."""

from __future__ import annotations

import asyncio

from tests.controlplane.feed_reader import watching
from tests.dashboard.site import gateway_site
from tests.postgres import Postgres


async def test_requests_are_told_of_from_the_database_that_hosts_share(postgres: Postgres) -> None:
    url = await asyncio.to_thread(postgres.create_database)
    async with gateway_site(traffic=False, database_url=url) as site:
        before = await site.stream()
        await site.settled()
        async with watching(site.url, site.token, "?topics=request,health") as reader:
            health = await reader.until("health")
            assert (health["database"], health["database_answers"]) == ("postgresql", True)
            answer = await site.stream()
            told = await reader.until("request")
            assert told["id"] in {answer.header("x-gateway-request-id"), before.header("x-gateway-request-id")}
