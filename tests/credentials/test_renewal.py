"""Tokens are renewed once, by whoever is first, and nobody who waits or leaves makes a difference."""

from __future__ import annotations

import asyncio

import pytest
from attrs import evolve

from gateway.accounts.credentials import CredentialUnavailableError
from gateway.providers.base import Credential
from tests.credentials.bench import TOKEN_PATH, Bench, idle, on_both, seal


async def test_a_good_token_is_used_as_it_is(bench: Bench) -> None:
    account, pair = await bench.add_tokens(left=3000)
    async with bench.manager(account) as manager:
        credential = await manager.current(account)
    assert credential == Credential(
        "anthropic", pair.access_token, is_token=True, version=1, expires_at=account.expires_at
    )
    assert bench.outcomes == []


@on_both
async def test_a_token_that_expired_before_the_start_is_renewed_once_for_everybody(bench: Bench) -> None:
    account, pair = await bench.add_tokens(left=-10)
    async with bench.manager(account) as manager:
        found = await asyncio.gather(*(manager.current(account) for _ in range(200)))
    (credential,) = set(found)
    assert bench.outcomes == ["granted"]
    assert bench.upstream.tokens.standing(credential.secret) == "valid"
    row, secret = await bench.stored(account)
    assert (row.secret_version, row.expires_at) == (2, credential.expires_at)
    assert (secret.access_token, secret.expires_at) == (credential.secret, credential.expires_at)
    assert secret.refresh_token not in (None, pair.refresh_token)


@on_both
async def test_a_storm_of_refusals_brings_one_renewal(bench: Bench) -> None:
    account, pair = await bench.add_tokens(left=3000)
    bench.upstream.tokens.expire(pair.access_token)
    async with bench.manager(account) as manager:
        refused = await manager.current(account)
        found = await asyncio.gather(*(manager.renew(account, refused) for _ in range(200)))
        (renewed,) = set(found)
        assert renewed is not None
        assert renewed.version == 2
        # Whoever comes late with the old one gets the new one.
        assert await manager.renew(account, refused) == renewed
    assert bench.outcomes == ["granted"]


@on_both
@pytest.mark.parametrize("left", [-10.0, 10.0, 3000.0])
async def test_processes_share_one_renewal(bench: Bench, left: float) -> None:
    account, _ = await bench.add_tokens(left=left)
    async with bench.manager(account) as one, bench.manager(account) as two, bench.manager(account) as three:
        managers = (one, two, three)
        refused = Credential("anthropic", "sk-ant-oat01-" + "x" * 20, is_token=True, version=0)
        if left > 1000:
            refused = await one.current(account)
        found = await asyncio.gather(*(m.renew(account, refused) for m in managers for _ in range(10)))
        assert bench.outcomes == (["granted"] if left != 10 else bench.outcomes)
        for manager in managers:
            await idle(manager)
            manager.replace([await bench.row(account)])
        last = {await manager.current(account) for manager in managers}
    assert len(last) == 1
    assert bench.outcomes == ["granted"]
    assert None not in found


async def test_a_token_is_renewed_ahead_of_expiry_while_nobody_waits(bench: Bench) -> None:
    account, pair = await bench.add_tokens(left=70)
    async with bench.manager(account) as manager:
        assert (await manager.current(account)).secret == pair.access_token
        await bench.upstream.wait_for(lambda: bool(bench.outcomes))
        await idle(manager)
        assert (await manager.current(account)).version == 2
    assert bench.outcomes == ["granted"]


async def test_requests_wait_for_a_renewal_shortly_before_expiry(bench: Bench) -> None:
    account, _ = await bench.add_tokens(left=20)
    async with bench.manager() as manager:
        assert (await manager.current(account)).version == 2


async def test_a_short_lived_token_is_not_renewed_over_and_over(bench: Bench) -> None:
    bench.upstream.tokens.expires_in = 60
    account, _ = await bench.add_tokens(left=-1)
    async with bench.manager(account) as manager:
        for _ in range(20):
            assert (await manager.current(account)).version == 2
            await asyncio.sleep(0.01)
    assert bench.outcomes == ["granted"]


@on_both
async def test_a_pair_that_a_person_brought_in_wins_over_one_that_was_renewed_meanwhile(bench: Bench) -> None:
    account, _ = await bench.add_tokens(left=-1)
    fresh = bench.upstream.tokens.issue()

    async def step(name: str) -> None:
        if name == "answered":
            assert await bench.store.replace_secret(account.id, seal(bench, fresh), None, expected_version=1) == 2

    async with bench.manager(account, step=step) as manager:
        assert (await manager.current(account)).secret == fresh.access_token
    assert (await bench.stored(account))[1].access_token == fresh.access_token


async def test_a_refresh_token_that_does_not_rotate_is_kept(bench: Bench) -> None:
    bench.upstream.tokens.rotates = False
    account, pair = await bench.add_tokens(left=-1)
    async with bench.manager(account) as manager:
        first = await manager.current(account)
        assert (await bench.stored(account))[1].refresh_token == pair.refresh_token
        second = await manager.renew(account, first)
        assert second is not None
        assert second.version == 3
    assert bench.outcomes == ["granted", "granted"]


async def test_a_newer_secret_in_the_store_is_adopted_at_once(bench: Bench) -> None:
    account, _ = await bench.add_tokens(left=-1)
    fresh = bench.upstream.tokens.issue()
    async with bench.manager() as manager:
        newer = evolve(account, secret=seal(bench, fresh), secret_version=2)
        manager.replace([newer])
        assert (await manager.current(account)).secret == fresh.access_token
        # What was read before that changes nothing.
        manager.replace([account])
        assert (await manager.current(account)).secret == fresh.access_token
    assert bench.outcomes == []


async def test_nobody_who_stops_waiting_stops_the_renewal(bench: Bench) -> None:
    account, _ = await bench.add_tokens(left=-1)
    bench.upstream.faults.push("drip:1500", path=TOKEN_PATH)
    async with bench.manager(account) as manager, asyncio.TaskGroup() as tasks:
        waiting = [tasks.create_task(manager.current(account)) for _ in range(20)]
        await bench.upstream.wait_for(lambda: bool(bench.upstream.requests))
        for task in waiting[1:]:
            task.cancel()
        assert (await waiting[0]).version == 2
    assert bench.outcomes == ["granted"]


async def test_a_shutdown_waits_for_a_token_that_is_on_its_way(bench: Bench) -> None:
    account, _ = await bench.add_tokens(left=40)
    bench.upstream.faults.push("drip:1500", path=TOKEN_PATH)
    async with bench.manager(account):
        await bench.upstream.wait_for(lambda: bool(bench.upstream.requests))
    assert (await bench.stored(account))[0].secret_version == 2


async def test_a_shutdown_does_not_wait_for_one_that_was_not_sent(bench: Bench) -> None:
    account, _ = await bench.add_tokens(left=-1)
    reached = asyncio.Event()

    async def step(name: str) -> None:
        if name == "connected":
            reached.set()
            await asyncio.Event().wait()

    async with bench.manager(account, step=step):
        await reached.wait()
    assert bench.outcomes == []
    async with bench.manager(account) as manager:
        assert (await manager.current(account)).version == 2


async def test_a_paused_account_is_left_alone(bench: Bench) -> None:
    account, pair = await bench.add_tokens(left=20)
    await bench.store.pause(account.id)
    row = await bench.row(account)
    async with bench.manager(row) as manager:
        credential = await manager.current(row)
        assert credential.secret == pair.access_token
        assert await manager.renew(row, credential) is None
        await asyncio.sleep(0.1)
    assert bench.upstream.requests == []


async def test_an_account_that_is_removed_is_forgotten(bench: Bench) -> None:
    account, _ = await bench.add_tokens(left=-1)

    async def step(name: str) -> None:
        if name == "answered":
            await bench.store.remove(account.id)

    async with bench.manager(account, step=step) as manager:
        with pytest.raises(CredentialUnavailableError, match="removed"):
            await manager.current(account)
        manager.replace([])
        assert manager._renewer._entries == {}
