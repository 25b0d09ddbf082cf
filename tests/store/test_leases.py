"""Leases: a refresh token is never sent twice, whoever dies when."""

from __future__ import annotations

import asyncio
import tempfile
from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from sqlalchemy import update

from gateway.accounts.account import Account, AccountKind
from gateway.store.accounts import AccountStore
from gateway.store.engine import Database, database_time
from gateway.store.leases import LeaseState, LeaseStore
from gateway.store.tables import refresh_leases
from tests import fresh_database

ACQUIRED, HELD, STALE, UNCERTAIN = LeaseState.ACQUIRED, LeaseState.HELD, LeaseState.STALE, LeaseState.UNCERTAIN
TTL = 100.0


@pytest.fixture
def leases(database: Database) -> LeaseStore:
    return LeaseStore(database)


async def expire(database: Database) -> None:
    """Let the time of every lease run out."""
    async with database.write() as connection:
        await connection.execute(update(refresh_leases).values(expires_at=database_time() - 1))


async def test_one_of_many_gets_the_lease(leases: LeaseStore, account: Account, other: Database) -> None:
    stores = [leases, LeaseStore(other)]
    async with asyncio.TaskGroup() as group:
        asked = [
            group.create_task(stores[number % 2].acquire(account.id, f"owner-{number}", 0, TTL))
            for number in range(10)
        ]
    states = [task.result() for task in asked]
    assert sorted(states) == [ACQUIRED, *[HELD] * 9]


async def test_who_has_the_lease_gets_it_for_longer_until_the_token_is_sent(
    leases: LeaseStore, account: Account
) -> None:
    assert await leases.acquire(account.id, "me", 0, TTL) is ACQUIRED
    assert await leases.acquire(account.id, "me", 0, TTL) is ACQUIRED
    assert await leases.mark_sent(account.id, "me", 0, TTL)
    assert await leases.acquire(account.id, "me", 0, TTL) is HELD


async def test_there_is_no_lease_on_an_old_secret_or_a_lost_account(
    leases: LeaseStore, accounts: AccountStore, account: Account
) -> None:
    await accounts.replace_secret(account.id, b"new", None, expected_version=0)
    assert await leases.acquire(account.id, "me", 0, TTL) is STALE
    assert await leases.acquire("nobody", "me", 0, TTL) is STALE
    assert await leases.acquire(account.id, "me", 1, TTL) is ACQUIRED


async def test_a_lease_that_ran_out_before_the_token_was_sent_is_taken_over(
    leases: LeaseStore, account: Account
) -> None:
    await leases.acquire(account.id, "dead", 0, TTL)
    await expire(leases.database)
    assert await leases.acquire(account.id, "me", 0, TTL) is ACQUIRED
    assert not await leases.mark_sent(account.id, "dead", 0, TTL)
    assert await leases.mark_sent(account.id, "me", 0, TTL)


async def test_a_token_that_was_sent_by_somebody_who_died_is_not_sent_again(
    leases: LeaseStore, account: Account
) -> None:
    await leases.acquire(account.id, "dead", 0, TTL)
    await leases.mark_sent(account.id, "dead", 0, TTL)
    assert await leases.acquire(account.id, "me", 0, TTL) is HELD
    await expire(leases.database)
    for owner in ("me", "dead"):
        assert await leases.acquire(account.id, owner, 0, TTL) is UNCERTAIN
        assert not await leases.mark_sent(account.id, owner, 0, TTL)


async def test_a_new_secret_ends_the_uncertainty(
    leases: LeaseStore, accounts: AccountStore, account: Account
) -> None:
    await leases.acquire(account.id, "slow", 0, TTL)
    await leases.mark_sent(account.id, "slow", 0, TTL)
    await leases.abandon(account.id, "slow")
    assert await leases.acquire(account.id, "me", 0, TTL) is UNCERTAIN
    # It was not dead after all: its answer came.
    assert await accounts.replace_secret(account.id, b"new", None, expected_version=0) == 1
    assert await leases.acquire(account.id, "me", 1, TTL) is ACQUIRED


async def test_a_token_is_marked_once_by_who_has_the_lease_in_time(
    leases: LeaseStore, accounts: AccountStore, account: Account
) -> None:
    assert not await leases.mark_sent(account.id, "me", 0, TTL)
    await leases.acquire(account.id, "me", 0, TTL)
    assert not await leases.mark_sent(account.id, "you", 0, TTL)
    assert not await leases.mark_sent(account.id, "me", 1, TTL)
    assert await leases.mark_sent(account.id, "me", 0, TTL)
    assert not await leases.mark_sent(account.id, "me", 0, TTL)
    await leases.release(account.id, "me")
    await leases.acquire(account.id, "me", 0, TTL)
    await expire(leases.database)
    assert not await leases.mark_sent(account.id, "me", 0, TTL)
    await leases.acquire(account.id, "me", 0, TTL)
    await accounts.replace_secret(account.id, b"new", None, expected_version=0)
    assert not await leases.mark_sent(account.id, "me", 0, TTL)


async def test_marking_gives_the_lease_more_time(leases: LeaseStore, account: Account) -> None:
    await leases.acquire(account.id, "me", 0, ttl_seconds=5)
    await leases.mark_sent(account.id, "me", 0, TTL)
    async with leases.database.write() as connection:
        # Six seconds pass.
        await connection.execute(update(refresh_leases).values(expires_at=refresh_leases.c.expires_at - 6))
    assert await leases.acquire(account.id, "you", 0, TTL) is HELD


async def test_a_lease_that_is_given_back_is_free_at_once(leases: LeaseStore, account: Account) -> None:
    await leases.acquire(account.id, "me", 0, TTL)
    await leases.mark_sent(account.id, "me", 0, TTL)
    await leases.release(account.id, "you")
    assert await leases.acquire(account.id, "you", 0, TTL) is HELD
    await leases.release(account.id, "me")
    assert await leases.acquire(account.id, "you", 0, TTL) is ACQUIRED


@pytest.mark.parametrize("marked", [False, True])
async def test_an_abandoned_lease_leaves_its_mark(leases: LeaseStore, account: Account, marked: bool) -> None:  # noqa: FBT001 - a parameter
    await leases.acquire(account.id, "me", 0, TTL)
    if marked:
        await leases.mark_sent(account.id, "me", 0, TTL)
    await leases.abandon(account.id, "you")
    assert await leases.acquire(account.id, "you", 0, TTL) is HELD
    await leases.abandon(account.id, "me")
    assert await leases.acquire(account.id, "you", 0, TTL) is UNCERTAIN


async def test_resuming_lets_an_uncertain_token_be_sent_once_more_but_not_beside_one_on_its_way(
    leases: LeaseStore, accounts: AccountStore, account: Account
) -> None:
    await leases.acquire(account.id, "slow", 0, TTL)
    await leases.mark_sent(account.id, "slow", 0, TTL)
    await accounts.resume(account.id)
    assert await leases.acquire(account.id, "me", 0, TTL) is HELD
    await expire(leases.database)
    # Whoever resumed it while it was on its way knew no more than anybody else what would become of it.
    assert await leases.acquire(account.id, "me", 0, TTL) is UNCERTAIN
    await accounts.resume(account.id)
    assert await leases.acquire(account.id, "me", 0, TTL) is ACQUIRED
    assert await leases.mark_sent(account.id, "me", 0, TTL)
    await leases.abandon(account.id, "me")
    assert await leases.acquire(account.id, "you", 0, TTL) is UNCERTAIN


OWNERS = ("a", "b", "c")
STEPS = st.lists(
    st.one_of(
        st.tuples(st.sampled_from(["acquire", "mark", "mark", "release", "abandon"]), st.sampled_from(OWNERS)),
        st.tuples(st.sampled_from(["expire", "replace", "resume"]), st.just("")),
    ),
    max_size=25,
)


async def check_that_no_token_is_sent_twice(directory: Path, steps: list[tuple[str, str]]) -> None:
    """Take the steps; whoever may send a token does, and only its sender can know that it was not used up."""
    version, sender = 0, ""
    await fresh_database.lay(directory)
    async with Database("", directory) as database:
        leases, accounts = LeaseStore(database), AccountStore(database)
        await accounts.add(Account("acc_1", "main", "anthropic", AccountKind.OAUTH))
        for step, owner in steps:
            if step == "acquire":
                state = await leases.acquire("acc_1", owner, version, TTL)
                assert state is not STALE
            elif step == "mark":
                if await leases.mark_sent("acc_1", owner, version, TTL):
                    assert not sender, f"{owner} sends what {sender} has sent"
                    sender = owner
            elif step == "release" and sender in ("", owner):
                await leases.release("acc_1", owner)
                sender = ""
            elif step == "abandon":
                await leases.abandon("acc_1", owner)
            elif step == "expire":
                await expire(database)
            elif step == "replace":
                version = await accounts.replace_secret("acc_1", b"", None, expected_version=version) or -1
                sender = ""
            elif step == "resume":
                await accounts.resume("acc_1")
                sender = ""


@settings(max_examples=max(20, settings().max_examples // 3))  # each has a database of its own
@example(steps=[("resume", ""), ("acquire", "a"), ("mark", "a"), ("expire", ""), ("acquire", "b"), ("mark", "b")])
@given(steps=STEPS)
def test_no_token_is_sent_twice_whatever_happens_in_whatever_order(steps: list[tuple[str, str]]) -> None:
    with tempfile.TemporaryDirectory() as directory:
        asyncio.run(check_that_no_token_is_sent_twice(Path(directory), steps))


async def test_of_marking_and_a_new_secret_one_comes_first(
    leases: LeaseStore, accounts: AccountStore, account: Account, other: Database
) -> None:
    for version in range(8):
        await leases.acquire(account.id, "me", version, TTL)
        async with asyncio.TaskGroup() as group:
            marking = group.create_task(leases.mark_sent(account.id, "me", version, TTL))
            replacing = group.create_task(
                AccountStore(other).replace_secret(account.id, b"new", None, expected_version=version)
            )
        assert replacing.result() == version + 1
        assert marking.result() in (True, False)
        assert not await leases.mark_sent(account.id, "me", version, TTL)
        assert await leases.acquire(account.id, "you", version, TTL) is STALE
        found = await accounts.find(account.id)
        assert found is not None
        assert found.secret_version == version + 1
