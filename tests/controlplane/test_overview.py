"""The overview: the last hour and how the gateway is."""

from __future__ import annotations

import asyncio

from gateway.accounts.account import ACCOUNT_WIDE, Cooldown
from gateway.store.accounts import AccountStore
from tests.controlplane.api_client import ApiClient
from tests.dashboard.site import gateway_site
from tests.replay.raw_client import LIMIT


async def test_the_overview_adds_up_the_last_hour_and_says_how_the_gateway_is() -> None:
    async with gateway_site() as site:
        client = ApiClient(site.url, site.token)
        asked = site._asked
        async with site.streaming():
            # Sums are made every two seconds.
            async with asyncio.timeout(LIMIT):
                while True:
                    status, found = await client.get("/api/v1/overview")
                    assert status == 200
                    if found["sums"]["requests"] == asked:
                        break
                    await asyncio.sleep(0.1)
        sums, series = found["sums"], found["series"]
        assert (sums["errors"], sums["requests"]) == (3, asked)
        assert sum(series["requests"]) == asked
        assert sum(series["errors"]) == 3
        assert sums["cost_usd"] > 0
        assert sums["output_tokens"] > 0
        assert 0 < sums["first_content_p50_ms"] <= sums["first_content_p95_ms"]
        assert {len(values) for values in series.values()} == {12}
        by_provider = {one["provider"]: one["sums"]["requests"] for one in found["providers"]}
        assert by_provider == {"anthropic": asked - 1, "openai": 1}
        health = found["health"]
        assert health["database_answers"]
        assert (health["database"], health["spool_bytes"], health["rollout"]) == ("sqlite", 0, "canary")
        (worker,) = health["workers"]
        assert (worker["in_flight"], worker["ledger_away"], worker["is_draining"]) == (1, False, False)
        accounts = {one["provider"]: sum(one["accounts"].values()) for one in health["providers"]}
        assert accounts == {"anthropic": 2, "openai": 1}
        _, found = await client.get("/api/v1/overview?provider=openai")
        assert found["sums"]["requests"] == 1
        assert [one["provider"] for one in found["providers"]] == ["openai"]
        assert (await client.get("/api/v1/overview?provider=a%20b"))[0] == 400


async def test_the_overview_says_when_no_account_of_a_provider_can_serve_and_until_when() -> None:
    async with gateway_site(traffic=False) as site:
        client, store = ApiClient(site.url, site.token), AccountStore(site.database)

        async def until_it_is(readiness: str, serves: dict[str, tuple[str, float | None]]) -> None:
            async with asyncio.timeout(LIMIT):
                while True:
                    _, found = await client.get("/api/v1/overview")
                    health = found["health"]
                    providers = {
                        one["provider"]: (one["serves"], one["back_at"] and round(one["back_at"], 3))
                        for one in health["providers"]
                    }
                    if (health["readiness"], providers) == (readiness, serves):
                        return
                    await asyncio.sleep(0.05)

        await until_it_is("ready", {"anthropic": ("now", None), "openai": ("now", None)})
        now = site.database.clock()
        own = [account.id for account in await store.all() if account.provider == "anthropic"]
        for number, account in enumerate(own):
            await store.set_cooldown(Cooldown(account, "opus", now + 900, now, "quota", ""))
            await store.set_cooldown(Cooldown(account, ACCOUNT_WIDE, now + 600 + number, now, "quota", ""))
        await until_it_is("ready", {"anthropic": ("later", round(now + 600, 3)), "openai": ("now", None)})
        for account in await store.all():
            await store.pause(account.id)
        out = "no upstream account is of use"
        await until_it_is(out, {"anthropic": ("not", None), "openai": ("not", None)})
        answer = await site.ask(target="/readyz", method="GET")
        assert (answer.status, answer.json()["status"]) == (503, out)
