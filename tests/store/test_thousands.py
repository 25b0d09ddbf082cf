"""Thousands of accounts and keys: what has not changed is not made anew, and others have their turn meanwhile."""

from __future__ import annotations

import asyncio
from random import Random

from sqlalchemy import select

from gateway.accounts.account import Account, AccountKind, Cooldown
from gateway.accounts.backend import Backend
from gateway.accounts.pool import AccountPool
from gateway.actors.keys import KeyRing
from gateway.actors.terms import KeyLimits, KeyTerms
from gateway.config import Routing
from gateway.providers.anthropic import AnthropicProvider
from gateway.shared_state import SharedState
from gateway.shared_use import SharedUse
from gateway.store.accounts import AccountStore
from gateway.store.client_keys import ClientKeyStore
from gateway.store.engine import Database
from gateway.store.limits import LimitStore
from gateway.store.rows import KnownRows
from gateway.store.sessions import SessionStore
from gateway.store.tables import accounts as table
from gateway.store.write_behind import WriteBehind

PEPPER = b"made-up pepper of thirty-two bytes"


def some(count: int) -> list[Account]:
    return [
        Account(f"acc_{number}", f"account {number}", "anthropic", AccountKind.API_KEY) for number in range(count)
    ]


async def test_only_the_account_that_was_changed_is_another_object(
    accounts: AccountStore, other: Database
) -> None:
    await accounts.add_all(some(3))
    before = {account.id: account for account in await accounts.all()}
    await AccountStore(other).pause("acc_1")
    await AccountStore(other).remove("acc_2")
    after = {account.id: account for account in await accounts.all()}
    assert after.keys() == {"acc_0", "acc_1"}
    assert after["acc_0"] is before["acc_0"]
    assert after["acc_1"].paused_at is not None
    assert before["acc_1"].paused_at is None


async def test_a_rest_that_was_made_longer_is_another_object(accounts: AccountStore, other: Database) -> None:
    await accounts.add_all(some(2))
    now = accounts.database.clock()
    for account_id in ("acc_0", "acc_1"):
        await accounts.set_cooldown(Cooldown(account_id, "opus", now + 60, now, "quota", "its limit is reached"))
    before = {rest.account_id: rest for rest in await accounts.cooldowns()}
    await AccountStore(other).set_cooldown(Cooldown("acc_1", "opus", now + 600, now, "quota", "still"))
    after = {rest.account_id: rest for rest in await accounts.cooldowns()}
    assert after["acc_0"] is before["acc_0"]
    assert after["acc_1"].reason == "still"


async def test_only_the_key_that_was_changed_is_another_object(database: Database, other: Database) -> None:
    keys = ClientKeyStore(database)
    names = ["limited", "replaced", "revoked", "untouched"]
    made = [await keys.create(name, PEPPER, KeyTerms(limits=KeyLimits(concurrent=1))) for name in names]
    before = {key.name: key for key in await keys.all()}
    elsewhere = ClientKeyStore(other)
    await elsewhere.change_terms("limited", {"concurrent": 2})
    _, new = await elsewhere.rotate("replaced", PEPPER, 60)
    await elsewhere.revoke("revoked")
    after = {key.name: key for key in await keys.all()}
    assert [name for name in names if after[name] is before[name]] == ["untouched"]
    ring = KeyRing(PEPPER, before.values())
    ring.replace(after.values())
    found = [ring.find(key) for key in (*(secret for _, secret in made), new)]
    assert [actor and (actor.name, actor.terms.limits.concurrent, actor.is_replaced) for actor in found] == [
        ("limited", 2, False),
        ("replaced", 1, True),
        None,
        ("untouched", 1, False),
        ("replaced", 1, False),
    ]


async def test_others_have_their_turn_while_many_rows_are_read(accounts: AccountStore) -> None:
    await accounts.add_all(some(1_000))
    rows = KnownRows(lambda row: row["name"])
    turns = 0

    async def others() -> None:
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0)

    async with accounts.database.read() as connection, asyncio.TaskGroup() as tasks:
        result = await connection.execute(select(table))
        task = tasks.create_task(others())
        assert len(await rows.read(result, ("id",))) == 1_000
        task.cancel()
    assert turns >= 4


async def test_viewers_are_told_of_a_change_once_and_of_nothing_else(database: Database, other: Database) -> None:
    store, told = AccountStore(database), []
    await store.add_all(some(2))
    use = SharedUse(SessionStore(database), LimitStore(database), 60)
    state = SharedState(
        store, ClientKeyStore(database), KeyRing(PEPPER), WriteBehind(), use, has_environment_account=False
    )
    await state.load_accounts()
    await state.load_keys()
    state.on_change = told.append
    await state.load_accounts()
    await state.load_keys()
    assert told == []
    known = state.known
    await AccountStore(other).pause("acc_0")
    await ClientKeyStore(other).create("new", PEPPER)
    for _ in range(2):
        await state.load_accounts()
        await state.load_keys()
    assert told == ["accounts", "keys"]
    assert [account.paused_at is None for account in known] == [True, True]
    assert [account.paused_at is None for account in state.known] == [False, True]


async def test_viewers_are_told_of_a_change_even_if_whoever_made_it_has_gone_meanwhile(database: Database) -> None:
    store, told = AccountStore(database), []
    use = SharedUse(SessionStore(database), LimitStore(database), 60)
    state = SharedState(
        store, ClientKeyStore(database), KeyRing(PEPPER), WriteBehind(), use, has_environment_account=False
    )
    state.on_change = told.append

    def clock() -> float:
        # Asked where the pool takes the accounts over: that is when the request ends.
        if leaving is not None:
            leaving.cancel()
        return database.clock()

    leaving: asyncio.Task[None] | None = None
    pool = AccountPool(Routing(), clock=clock, random=Random(1))
    state.backends.append(Backend(AnthropicProvider("https://example.com"), pool, None, database.clock))
    await store.add_all(some(2))
    async with asyncio.TaskGroup() as tasks:
        leaving = tasks.create_task(state.load_accounts())
    assert leaving.cancelled()
    leaving = None
    await state.load_accounts()
    assert told == ["accounts"]
    assert len(pool) == len(state.known) == 2
