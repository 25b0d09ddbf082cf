"""What is changed on one host is seen on all, and no host's end harms the others."""

from __future__ import annotations

import asyncio
import signal
from collections import Counter

import pytest

from gateway.accounts.account import Condition
from gateway.replay.server import ReplayUpstream
from tests.account_path.harness import NewAccount
from tests.contract.harness import MESSAGES
from tests.faults.gateway_process import GatewayProcess
from tests.faults.waiting import until
from tests.hosts.harness import hosts, of_session
from tests.postgres import Postgres
from tests.replay.raw_client import LIMIT, message

RED, GREEN = NewAccount("red"), NewAccount("green")
KEYS = {RED.key, GREEN.key}


def arrived(upstream: ReplayUpstream) -> Counter[str]:
    """Count the credentials of the messages that arrived, and forget them."""
    found = Counter((r.credential or ("", ""))[1] for r in upstream.requests if r.path == "/v1/messages")
    upstream.journal.clear()
    return found


async def test_a_pause_and_a_revoked_key_are_seen_by_every_host_within_a_second(postgres: Postgres) -> None:
    async with (
        ReplayUpstream(api_keys=KEYS) as upstream,
        hosts(postgres, RED, GREEN, upstream=upstream) as running,
    ):
        assert {answer.status for answer in await running.ask_all()} == {200}
        await running.store.pause("acc_red")
        await asyncio.sleep(1)
        arrived(upstream)
        for _ in range(3):
            assert {answer.status for answer in await running.ask_all()} == {200}
        assert set(arrived(upstream)) == {GREEN.key}
        await running.keys.revoke("tester")
        await asyncio.sleep(1)
        assert {answer.status for answer in await running.ask_all()} == {401}


async def test_a_cool_down_that_one_host_learns_of_spares_the_account_on_all(postgres: Postgres) -> None:
    async with (
        ReplayUpstream(api_keys=KEYS) as upstream,
        hosts(postgres, RED, GREEN, upstream=upstream) as running,
    ):
        upstream.faults.push("status:429;retry-after=300", credential=RED.key, times="forever")
        first, *_ = running.gateways
        while RED.key not in arrived(upstream):
            assert (await first.ask(**of_session())).status == 200
        await asyncio.sleep(1)
        arrived(upstream)
        for _ in range(4):
            assert {answer.status for answer in await running.ask_all()} == {200}
        assert set(arrived(upstream)) == {GREEN.key}


async def test_one_expired_token_on_three_hosts_is_refreshed_exactly_once(postgres: Postgres) -> None:
    async with ReplayUpstream(api_keys=set()) as upstream:
        pair = upstream.tokens.issue()
        upstream.tokens.expire(pair.access_token)
        async with hosts(postgres, NewAccount("red", tokens=pair), upstream=upstream) as running:
            async with asyncio.TaskGroup() as group:
                tasks = [group.create_task(running.ask_all()) for _ in range(10)]
            assert {answer.status for task in tasks for answer in task.result()} == {200}
            assert [record.outcome for record in upstream.tokens.records] == ["granted"]


async def test_a_host_that_is_killed_in_a_refresh_burns_no_token_and_the_others_go_on(postgres: Postgres) -> None:
    async with ReplayUpstream(api_keys={GREEN.key}) as upstream:
        pair = upstream.tokens.issue()
        upstream.faults.push("hang:head", path="/v1/oauth/token")
        # Due for a refresh, and good for a minute still.
        red = NewAccount("red", tokens=pair, expires_in=60)
        async with hosts(postgres, red, GREEN, upstream=upstream) as running:
            await upstream.wait_for(lambda: any(r.path == "/v1/oauth/token" for r in upstream.requests), 20)
            owner = await running.owner_of_lease()
            owner.send(signal.SIGKILL)
            await owner.ended()
            running.gateways.remove(owner)
            for _ in range(3):
                assert {answer.status for answer in await running.ask_all()} == {200}
            assert (
                not upstream.tokens.records
            )  # the request of the dead host never came to a grant, and is not repeated
            assert upstream.tokens.standing(pair.access_token) == "valid"


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
async def test_a_host_that_goes_away_in_the_middle_of_streams_takes_only_its_own_along(
    postgres: Postgres, number: signal.Signals
) -> None:
    async with (
        ReplayUpstream(api_keys=KEYS, tokens_per_second=20) as upstream,
        hosts(postgres, RED, GREEN, upstream=upstream) as running,
    ):
        async with asyncio.TaskGroup() as group:
            others = [group.create_task(gateway.ask()) for gateway in running.gateways[1:] for _ in range(5)]
            async with running.gateways[0].connect() as connection:
                await connection.send(MESSAGES, message(stream=True), usual=running.gateways[0].usual)
                await connection.until(b"content_block_delta")
                running.gateways[0].send(number)
                await running.gateways[0].ended()
        assert {task.result().status for task in others} == {200}
        assert all(b"event: message_stop\n" in task.result().body for task in others)
        running.gateways.pop(0)
        assert {answer.status for answer in await running.ask_all()} == {200}


@pytest.mark.parametrize("how", ["kill", "stop"])
async def test_while_the_database_is_away_streams_go_on_and_new_requests_are_served(how: str) -> None:
    postgres = Postgres()
    try:
        await asyncio.to_thread(postgres.start)
        async with (
            ReplayUpstream(api_keys=KEYS, tokens_per_second=40) as upstream,
            hosts(postgres, RED, GREEN, upstream=upstream) as running,
        ):
            async with asyncio.TaskGroup() as group:
                streams = [group.create_task(running.ask_all()) for _ in range(5)]
                await upstream.wait_for(lambda: upstream.open_streams == 15)
                await asyncio.to_thread(getattr(postgres, how))
            assert all(b"event: message_stop\n" in one.body for task in streams for one in task.result())
            upstream.tokens_per_second = 0
            upstream.faults.push("status:429;retry-after=200", credential=RED.key, times="forever")
            arrived(upstream)
            while RED.key not in arrived(upstream):
                assert {answer.status for answer in await running.ask_all()} == {200}
            await asyncio.to_thread(postgres.start)
            # What was learnt meanwhile is written down, and what is changed from now on is seen.
            await running.until_cooling("acc_red")
            await running.store.pause("acc_green")
            await asyncio.sleep(1.5)
            stored = await running.store.find("green")
            assert stored is not None
            assert stored.condition is Condition.OK
            # The provider's refusal, or the gateway's own words where a host only heard of it.
            assert {answer.status for answer in await running.ask_all()} <= {429, 529}
    finally:
        await asyncio.to_thread(postgres.remove)


async def test_workers_of_one_gateway_share_what_they_learn(postgres: Postgres) -> None:
    async with (
        ReplayUpstream(api_keys=KEYS) as upstream,
        hosts(postgres, RED, GREEN, upstream=upstream, count=1, WORKERS="3") as running,
    ):
        upstream.faults.push("status:429;retry-after=300", credential=RED.key, times="forever")
        gateway = running.gateways[0]
        while RED.key not in arrived(upstream):
            assert (await gateway.ask(**of_session())).status == 200
        await asyncio.sleep(1)
        arrived(upstream)
        for _ in range(20):
            assert (await gateway.ask(**of_session())).status == 200
        assert set(arrived(upstream)) == {GREEN.key}
        await until(lambda: upstream.open_streams == 0)


async def test_a_session_over_many_connections_to_three_workers_stays_on_one_account_even_after_a_restart(
    postgres: Postgres,
) -> None:
    session = of_session("0f0e0d0c-0b0a-4908-8706-050403020100")

    async def accounts_of(gateway: GatewayProcess) -> set[str]:
        arrived(upstream)
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(gateway.ask(**session)) for _ in range(20)]
        assert {task.result().status for task in tasks} == {200}
        return set(arrived(upstream))

    blue = NewAccount("blue")
    async with (
        ReplayUpstream(api_keys={*KEYS, blue.key}) as upstream,
        # Whoever is asked first chooses; every worker would begin with another one.
        hosts(
            postgres, RED, GREEN, blue, upstream=upstream, count=1, WORKERS="3", ROUTING__STRATEGY="round_robin"
        ) as running,
    ):
        for _ in range(8):
            await running.ask_all()
        home: set[str] = set()
        async with asyncio.timeout(LIMIT):
            # Workers that choose at once may agree by chance before the last of them has written its choice.
            while len(home) != 1 or await accounts_of(running.gateways[0]) != home:
                home = await accounts_of(running.gateways[0])
                await asyncio.sleep(1)
        for _ in range(3):
            assert await accounts_of(running.gateways[0]) == home
        async with running.started_anew() as anew:
            assert await accounts_of(anew) == home
