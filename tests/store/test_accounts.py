"""Accounts in the database: people win over traffic, and newer secrets over news of old ones."""

from __future__ import annotations

import asyncio

import pytest
from attrs import evolve
from sqlalchemy import select

from gateway.accounts.account import ACCOUNT_WIDE, Account, AccountKind, Condition, Cooldown
from gateway.accounts.persistence import SecretStore
from gateway.store.accounts import AccountStore, new_account_id
from gateway.store.client_keys import ClientKeyStore
from gateway.store.engine import Database, StoreError
from gateway.store.leases import LeaseState, LeaseStore
from gateway.store.tables import revisions


def cooldown(account: Account, ends_in: float, *, now: float, family: str = "opus") -> Cooldown:
    return Cooldown(account.id, family, until=now + ends_in, since=now, fault="quota", reason=f"{ends_in} left")


async def version(database: Database, topic: str) -> int:
    async with database.read() as connection:
        return (
            await connection.execute(select(revisions.c.version).where(revisions.c.topic == topic))
        ).scalar_one()


async def test_an_account_comes_back_as_it_was_stored(accounts: AccountStore, other: Database) -> None:
    made = Account(
        new_account_id(),
        "main",
        "anthropic",
        AccountKind.OAUTH,
        base_url="https://example.com",
        owner="the team",
        weight=3,
        priority=2,
        max_concurrency=5,
        created_at=1_700_000_000.5,
        secret=bytes(range(256)),
        secret_version=7,
        expires_at=1_800_000_000.25,
    )
    assert await accounts.add(made) == made
    plain = await accounts.add(Account(new_account_id(), "plain", "openai", AccountKind.API_KEY))
    assert abs(plain.created_at - accounts.database.clock()) < 5
    assert await AccountStore(other).all() == [made, plain]
    assert await accounts.find(made.id) == await accounts.find("main") == made
    assert await accounts.find("nobody") is None


@pytest.mark.parametrize("name", ["main", "environment"])
async def test_a_name_is_given_once(accounts: AccountStore, account: Account, name: str) -> None:
    with pytest.raises(StoreError, match="choose another name"):
        await accounts.add(evolve(account, id="acc_2", name=name))
    assert len(await accounts.all()) == 1


async def test_of_several_new_accounts_all_are_stored_or_none(accounts: AccountStore, account: Account) -> None:
    fresh = [evolve(account, id=f"acc_{name}", name=name) for name in ("one", "two")]
    with pytest.raises(StoreError, match="there is an account 'main' already"):
        await accounts.add_all([*fresh, evolve(account, id="acc_new")])
    assert await accounts.all() == [account]
    await accounts.add_all(fresh)
    assert {found.name for found in await accounts.all()} == {"main", "one", "two"}


async def test_a_pause_outlives_whatever_traffic_finds_out(accounts: AccountStore, account: Account) -> None:
    assert await accounts.pause(account.id)
    paused = await accounts.find(account.id)
    assert paused is not None
    assert paused.paused_at is not None
    await accounts.pause(account.id)
    await accounts.set_condition(account.id, Condition.NEEDS_REAUTH, "gone", secret_version=0)
    await accounts.set_condition(account.id, Condition.OK, "", secret_version=0)
    await accounts.set_cooldown(cooldown(account, 10, now=accounts.database.clock()))
    await accounts.replace_secret(account.id, b"new", None, expected_version=0)
    found = await accounts.find(account.id)
    assert found is not None
    assert found.paused_at == paused.paused_at


async def test_resuming_forgets_what_kept_an_account_out_of_use(accounts: AccountStore, account: Account) -> None:
    now = await accounts.database.now()
    await accounts.pause(account.id)
    await accounts.set_condition(account.id, Condition.PARKED, "no credit", secret_version=0)
    await accounts.set_cooldown(cooldown(account, 100, now=now))
    leases = LeaseStore(accounts.database)
    await leases.acquire(account.id, "dead", 0, ttl_seconds=100)
    await leases.abandon(account.id, "dead")
    assert await accounts.resume(account.id)
    found = await accounts.find(account.id)
    assert found is not None
    assert (found.paused_at, found.condition, found.condition_reason) == (None, Condition.OK, "")
    assert found.resumed_at is not None
    assert found.resumed_at >= now
    assert await accounts.cooldowns() == []
    assert await leases.acquire(account.id, "next", 0, ttl_seconds=100) is LeaseState.ACQUIRED


async def test_news_from_before_an_account_was_resumed_is_too_late(
    accounts: AccountStore, account: Account
) -> None:
    before = await accounts.database.now()
    await accounts.resume(account.id)
    assert not await accounts.set_cooldown(cooldown(account, 100, now=before))
    late = accounts.set_condition(account.id, Condition.PARKED, "no credit", secret_version=0, since=before)
    assert not await late
    assert await accounts.cooldowns() == []
    found = await accounts.find(account.id)
    assert found is not None
    assert found.condition is Condition.OK
    assert await accounts.set_cooldown(cooldown(account, 100, now=before + 60))


async def test_removing_takes_everything_of_an_account_and_of_no_other(
    accounts: AccountStore, account: Account
) -> None:
    second = await accounts.add(evolve(account, id="acc_2", name="second"))
    now = accounts.database.clock()
    for one in (account, second):
        await accounts.set_cooldown(cooldown(one, 100, now=now))
        await LeaseStore(accounts.database).acquire(one.id, "me", 0, ttl_seconds=100)
    assert await accounts.remove(account.id)
    assert not await accounts.remove(account.id)
    assert await accounts.all() == [second]
    assert [left.account_id for left in await accounts.cooldowns()] == [second.id]
    assert not await accounts.set_cooldown(cooldown(account, 100, now=now))
    assert await LeaseStore(accounts.database).acquire(second.id, "you", 0, ttl_seconds=1) is LeaseState.HELD
    for changed in (accounts.pause(account.id), accounts.resume(account.id)):
        assert not await changed


async def test_a_condition_of_an_old_secret_says_nothing_about_the_new_one(
    accounts: AccountStore, account: Account
) -> None:
    assert await accounts.replace_secret(account.id, b"new", 5.0, expected_version=0) == 1
    assert not await accounts.set_condition(account.id, Condition.NEEDS_REAUTH, "revoked", secret_version=0)
    assert await accounts.set_condition(account.id, Condition.NEEDS_REAUTH, "revoked", secret_version=1)
    found = await accounts.find(account.id)
    assert found is not None
    assert (found.condition, found.condition_reason) == (Condition.NEEDS_REAUTH, "revoked")
    assert (found.secret, found.secret_version, found.expires_at) == (b"new", 1, 5.0)
    assert not await accounts.set_condition("nobody", Condition.PARKED, "", secret_version=0)


async def test_a_condition_said_twice_changes_nothing(accounts: AccountStore, account: Account) -> None:
    for _ in range(2):
        assert await accounts.set_condition(account.id, Condition.PARKED, "no credit", secret_version=0)
        last = await version(accounts.database, "accounts")
    assert await version(accounts.database, "accounts") == last == 3


async def test_the_upstreams_words_are_stored_whatever_they_hold(accounts: AccountStore, account: Account) -> None:
    await accounts.set_condition(account.id, Condition.PARKED, "a\0b\ud800" + "c" * 5_000, secret_version=0)
    found = await accounts.find(account.id)
    assert found is not None
    assert found.condition_reason.startswith("a?b?ccc")
    assert len(found.condition_reason) == 1_000


async def test_of_two_cooldowns_the_one_that_ends_later_counts(accounts: AccountStore, account: Account) -> None:
    now = await accounts.database.now()
    long, short = cooldown(account, 100, now=now), cooldown(account, 50, now=now + 1)
    other_family = cooldown(account, 10, now=now, family=ACCOUNT_WIDE)
    for one in (long, short, other_family):
        await accounts.set_cooldown(one)
    assert sorted(await accounts.cooldowns(), key=lambda one: one.until) == [other_family, long]
    longer = cooldown(account, 200, now=now)
    await accounts.set_cooldown(longer)
    assert longer in await accounts.cooldowns()


async def test_a_cooldown_that_is_over_is_gone(accounts: AccountStore, account: Account) -> None:
    now = await accounts.database.now()
    await accounts.set_cooldown(cooldown(account, -1, now=now))
    assert await accounts.cooldowns() == []


async def test_a_cooldown_is_cleared_unless_a_newer_one_has_taken_its_place(
    accounts: AccountStore, account: Account
) -> None:
    now = await accounts.database.now()
    await accounts.set_cooldown(cooldown(account, 100, now=now))
    assert not await accounts.clear_cooldown(account.id, "opus", since=now - 1)
    assert not await accounts.clear_cooldown(account.id, "sonnet", since=now)
    assert await accounts.clear_cooldown(account.id, "opus", since=now)
    assert await accounts.cooldowns() == []


async def test_of_many_who_replace_one_secret_one_succeeds(
    accounts: AccountStore, account: Account, other: Database
) -> None:
    stores = [accounts, AccountStore(other)]

    async def replace(number: int) -> int | None:
        return await stores[number % 2].replace_secret(account.id, b"%d" % number, None, expected_version=0)

    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(replace(number)) for number in range(10)]
    (winner,) = [number for number, task in enumerate(tasks) if task.result() == 1]
    assert [task.result() for task in tasks].count(None) == 9
    found = await accounts.find(account.id)
    assert found is not None
    assert (found.secret, found.secret_version) == (b"%d" % winner, 1)


async def test_a_new_secret_gives_a_clean_slate_and_ends_the_lease(
    accounts: AccountStore, account: Account
) -> None:
    leases: LeaseStore = LeaseStore(accounts.database)
    await accounts.set_condition(account.id, Condition.NEEDS_REAUTH, "revoked", secret_version=0)
    await leases.acquire(account.id, "me", 0, ttl_seconds=100)
    await accounts.replace_secret(account.id, b"new", None, expected_version=0)
    found = await accounts.find(account.id)
    assert found is not None
    assert (found.condition, found.condition_reason) == (Condition.OK, "")
    assert await leases.acquire(account.id, "you", 1, ttl_seconds=100) is LeaseState.ACQUIRED


async def test_a_new_token_leaves_a_parked_account_parked(accounts: AccountStore, account: Account) -> None:
    await accounts.set_condition(account.id, Condition.PARKED, "pay first", secret_version=0)
    assert await accounts.replace_secret(account.id, b"new", None, expected_version=0) == 1
    found = await accounts.find(account.id)
    assert found is not None
    assert (found.condition, found.condition_reason) == (Condition.PARKED, "pay first")


async def test_a_secret_encrypted_anew_keeps_its_version_and_never_undoes_a_newer_one(
    accounts: AccountStore, account: Account
) -> None:
    assert await accounts.rewrite_secret(account.id, b"sealed", b"sealed again")
    found = await accounts.find(account.id)
    assert found is not None
    assert (found.secret, found.secret_version) == (b"sealed again", 0)
    await accounts.replace_secret(account.id, b"newer", None, expected_version=0)
    assert not await accounts.rewrite_secret(account.id, b"sealed again", b"old")


async def test_a_new_key_in_the_environment_starts_afresh_but_stays_paused(accounts: AccountStore) -> None:
    first = await accounts.ensure_environment_account("anthropic", "print-1")
    assert (first.id, first.name, first.kind, first.secret) == (
        "environment",
        "environment",
        AccountKind.API_KEY,
        None,
    )
    await accounts.pause(first.id)
    await accounts.set_condition(first.id, Condition.NEEDS_REAUTH, "no", secret_version=first.secret_version)
    same = await accounts.ensure_environment_account("anthropic", "print-1")
    assert same.condition is Condition.NEEDS_REAUTH
    assert same.secret_version == first.secret_version
    await accounts.set_cooldown(cooldown(first, 100, now=accounts.database.clock() + 1))
    renewed = await accounts.ensure_environment_account("anthropic", "print-2")
    assert renewed.condition is Condition.OK
    assert renewed.secret_version == first.secret_version + 1
    assert renewed.paused_at == same.paused_at is not None
    assert await accounts.cooldowns() == []


async def test_processes_that_start_together_make_one_environment_account(
    accounts: AccountStore, other: Database
) -> None:
    async with asyncio.TaskGroup() as group:
        for store in (accounts, AccountStore(other)) * 3:
            group.create_task(store.ensure_environment_account("anthropic", "print"))
    (found,) = await accounts.all()
    assert found.secret_version == 1


async def test_every_change_raises_the_revision_of_its_topic(accounts: AccountStore, account: Account) -> None:
    database = accounts.database
    now = await database.now()
    changes = [
        lambda: accounts.pause(account.id),
        lambda: accounts.resume(account.id),
        lambda: accounts.set_condition(account.id, Condition.PARKED, "", secret_version=0),
        lambda: accounts.set_cooldown(cooldown(account, 60, now=now + 60)),
        lambda: accounts.clear_cooldown(account.id, "opus", since=now + 60),
        lambda: accounts.rewrite_secret(account.id, b"sealed", b"other"),
        lambda: accounts.replace_secret(account.id, b"new", None, expected_version=0),
        lambda: accounts.ensure_environment_account("anthropic", "print"),
        lambda: accounts.ensure_environment_account("anthropic", "another"),
        lambda: accounts.remove(account.id),
    ]
    for change in changes:
        before = await version(database, "accounts")
        assert await change()
        assert await version(database, "accounts") == before + 1
    keys = await version(database, "keys")
    await ClientKeyStore(database).create("laptop", b"p")
    await ClientKeyStore(database).revoke("laptop")
    await ClientKeyStore(database).revoke("laptop")
    assert await version(database, "keys") == keys + 2


def test_the_store_is_what_renewing_credentials_needs(tmp_path: object) -> None:
    del tmp_path
    store: type[SecretStore] = AccountStore
    assert store is AccountStore
