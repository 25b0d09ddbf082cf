"""Pausing, resuming, removing and re-encrypting, on both databases."""

from __future__ import annotations

import io
import re
import sqlite3
import sys
from collections.abc import AsyncIterator

import pytest
from sqlalchemy import select

from gateway.accounts.account import Condition, Cooldown
from gateway.cli import main
from gateway.replay.server import ReplayUpstream
from gateway.store import tables
from gateway.store.accounts import AccountStore
from tests.cli_accounts.command import KEY, OTHER_KEY, SECRET_KEY, Command


@pytest.fixture
async def on_both(accounts: Command, database_url: str) -> AsyncIterator[Command]:
    accounts.database_url = database_url
    accounts.setenv("GATEWAY_DATABASE_URL", database_url)
    yield accounts
    async with accounts.database() as database, database.read() as connection:
        stored = repr((await connection.execute(select(tables.accounts))).all())
    assert "acc_" in stored
    for secret in accounts.secrets:
        assert secret not in stored


async def test_an_account_goes_through_its_life(on_both: Command, upstream: ReplayUpstream) -> None:
    await on_both.add("work")
    await on_both.add("play", OTHER_KEY)

    assert (await on_both.go("check")).status == 0
    assert "is paused" in (await on_both.go("pause", "work")).out
    assert await on_both.state("work") == "paused"
    assert await on_both.state("play") == "active"
    assert "Cleared: a pause." in (await on_both.go("resume", "work")).out
    assert await on_both.state("work") == "active"
    assert (await on_both.go("remove", "work", "--yes", "--json")).json["removed"] is True
    assert [row["name"] for row in (await on_both.go("list", "--json")).json] == ["play"]
    assert len(upstream.requests) == 2


async def test_what_traffic_found_out_is_shown_and_cleared_by_resuming(on_both: Command) -> None:
    for name in ("cooling", "parked", "refused"):
        await on_both.add(name)
    async with on_both.database() as database:
        store = AccountStore(database)
        now = await database.now()
        ids = {account.name: account.id for account in await store.all()}
        await store.set_cooldown(Cooldown(ids["cooling"], "opus", now + 600, now, "quota", "the 7-day limit"))
        await store.set_cooldown(Cooldown(ids["cooling"], "", now + 60, now, "quota", "another limit"))
        await store.set_condition(ids["parked"], Condition.PARKED, "Your card was declined", secret_version=1)
        await store.set_condition(ids["refused"], Condition.NEEDS_REAUTH, "invalid x-api-key", secret_version=1)

    rows = (await on_both.go("list")).rows()
    shown = {row["name"]: row for row in (await on_both.go("list", "--json")).json}
    resumed = await on_both.go("resume", "cooling")

    assert "(quota, opus)" in rows["cooling"]
    assert "(quota, requests without a model)" in rows["cooling"]
    assert re.search(r" cooling until \d{4}-\d\d-\d\d \d\d:\d\d:\d\d[+-]\d\d:\d\d \(quota", rows["cooling"])
    assert rows["parked"].endswith('parked "Your card was declined"')
    assert rows["refused"].endswith("needs_reauth: invalid x-api-key")
    rest, _ = sorted(shown["cooling"]["cooling"], key=lambda rest: -len(rest["family"]))
    assert set(rest) == {"family", "until", "since", "fault", "reason"}
    assert (shown["cooling"]["state"], rest["family"], rest["fault"]) == ("cooling", "opus", "quota")
    assert (shown["parked"]["state"], shown["parked"]["reason"]) == ("parked", "Your card was declined")
    assert "a cool-down of opus (quota)" in resumed.out
    assert "a cool-down of requests without a model (quota)" in resumed.out
    for name in ("parked", "refused"):
        await on_both.go("resume", name)
    assert {row["state"] for row in (await on_both.go("list", "--json")).json} == {"active"}


async def test_what_an_upstream_said_cannot_command_the_terminal(on_both: Command) -> None:
    await on_both.add("work")
    async with on_both.database() as database:
        store = AccountStore(database)
        (account,) = await store.all()
        await store.set_condition(account.id, Condition.PARKED, "\x1b[2J\nwork  active", secret_version=1)

    done = await on_both.go("list")

    assert "\x1b" not in done.out
    assert len(done.out.splitlines()) == 2
    assert 'parked "\\x1b[2J\\nwork  active"' in done.out
    assert (await on_both.go("resume", "work")).out == (
        "work is in use. Cleared: parked (\\x1b[2J\\nwork  active).\n"
    )


async def test_after_a_change_of_the_secret_key_the_old_one_may_go(
    on_both: Command, upstream: ReplayUpstream
) -> None:
    new = "the-new-key-of-the-gateway"
    on_both.secrets.add(new)
    await on_both.add("work")
    await on_both.add("play", OTHER_KEY)
    on_both.setenv("GATEWAY_SECRET_KEY", f"{new},{SECRET_KEY}")

    both = await on_both.go("check")
    rekeyed = await on_both.go("rekey")
    again = await on_both.go("rekey", "--json")
    on_both.setenv("GATEWAY_SECRET_KEY", new)
    checked = await on_both.go("check")
    on_both.setenv("GATEWAY_SECRET_KEY", SECRET_KEY)
    gone = await on_both.go("check")

    assert both.status == 0, both
    assert rekeyed.out == "2 secrets encrypted anew with the first secret key.\n"
    assert again.json == {"encrypted": 0}
    assert checked.status == 0, checked
    assert gone.status == 1
    assert "was encrypted with another secret key" in gone.err
    assert len(upstream.requests) == 4


@pytest.mark.parametrize("action", ["pause", "resume", "remove", "check"])
def test_an_unknown_name_is_answered_with_those_that_are_near(accounts: Command, action: str) -> None:
    accounts.run("add", "--name", "workshop", "--provider", "anthropic", "--secret-stdin", stdin=KEY)

    near = accounts.run(action, "workshp")
    far = accounts.run(action, "zzz")

    assert (near.status, far.status) == (1, 1)
    assert "there is no account 'workshp'; did you mean workshop?" in near.err
    assert "see `gateway accounts list`" in far.err


def test_an_account_is_not_removed_without_a_yes(accounts: Command) -> None:
    accounts.run("add", "--name", "work", "--provider", "anthropic", "--secret-stdin", stdin=KEY)

    done = accounts.run("remove", "work")

    assert done.status == 1
    assert "confirm with --yes" in done.err
    assert "work" in accounts.run("list").rows()


def test_an_account_can_be_named_by_its_id(accounts: Command) -> None:
    added = accounts.run(
        "add", "--name", "work", "--provider", "anthropic", "--secret-stdin", "--json", stdin=KEY
    ).json

    assert accounts.run("pause", added["id"], "--json").json["state"] == "paused"


def test_the_account_of_the_environment_is_not_removed_but_unset(accounts: Command) -> None:
    accounts.setenv("GATEWAY_ANTHROPIC_API_KEY", KEY)

    assert "unset that" in accounts.run("remove", "environment", "--yes").err
    assert "start the gateway once" in accounts.run("pause", "environment").err


def test_a_database_that_cannot_be_used_is_said_in_a_sentence(accounts: Command) -> None:
    accounts.setenv("GATEWAY_DATABASE_URL", "mysql://somewhere")

    done = accounts.run("list")

    assert done.status == 1
    assert done.err.startswith("gateway: GATEWAY_DATABASE_URL must be")


def test_a_stored_row_that_is_damaged_is_said_in_a_sentence(accounts: Command) -> None:
    accounts.run("add", "--name", "work", "--provider", "anthropic", "--secret-stdin", stdin=KEY)
    with sqlite3.connect(accounts.data_dir / "gateway.db") as database:
        database.execute("UPDATE accounts SET secret = ?", (b"garbage",))
    database.close()

    done = accounts.run("check")

    assert done.status == 1
    assert "cannot be decrypted" in done.out
    assert "Set that one in GATEWAY_SECRET_KEY" in done.out
    assert (
        "the same key"
        not in accounts.run("add", "--name", "x", "--provider", "anthropic", "--secret-stdin", stdin=KEY).err
    )


def test_an_account_of_a_provider_that_is_not_known_is_listed_and_can_be_removed(accounts: Command) -> None:
    accounts.run("add", "--name", "work", "--provider", "anthropic", "--secret-stdin", stdin=KEY)
    with sqlite3.connect(accounts.data_dir / "gateway.db") as database:
        database.execute("UPDATE accounts SET provider = 'tomorrow'")
    database.close()

    assert "tomorrow" in accounts.run("list").rows()["work"]
    checked = accounts.run("check")
    assert (checked.status, "does not know its provider" in checked.out) == (1, True)
    assert accounts.run("remove", "work", "--yes").status == 0


async def test_a_database_that_fails_amid_a_check_is_said_in_a_sentence(
    accounts: Command, upstream: ReplayUpstream
) -> None:
    await accounts.add("work")
    async with accounts.database() as database:
        store = AccountStore(database)
        (account,) = await store.all()
        await store.set_condition(account.id, Condition.NEEDS_REAUTH, "", secret_version=1)
        async with database.write() as connection:
            await connection.exec_driver_sql(
                "CREATE TRIGGER broken BEFORE UPDATE ON accounts BEGIN SELECT RAISE(ABORT, 'broken'); END"
            )

    done = await accounts.go("check")

    assert len(upstream.requests) == 1
    assert done.status == 1
    assert done.err.startswith("gateway: cannot use the database ")
    assert len(done.err.splitlines()) == 1


def test_after_a_change_of_the_secret_key_client_keys_stay_valid_once_the_accounts_are_gone(
    accounts: Command, capsys: pytest.CaptureFixture[str]
) -> None:
    new = "the-new-key-of-the-gateway"
    accounts.run("add", "--name", "work", "--provider", "anthropic", "--secret-stdin", stdin=KEY)
    accounts.setenv("GATEWAY_SECRET_KEY", f"{new},{SECRET_KEY}")
    accounts.run("rekey")
    assert main(["keys", "create", "--name", "laptop"]) == 0
    accounts.run("remove", "work", "--yes")
    accounts.setenv("GATEWAY_SECRET_KEY", new)
    assert main(["keys", "create", "--name", "desktop"]) == 0
    assert capsys.readouterr().out.count("csg_") == 2


def test_a_client_key_is_not_made_with_another_secret_key_than_the_gateways(
    accounts: Command, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["keys", "create", "--name", "laptop"]) == 0
    accounts.setenv("GATEWAY_SECRET_KEY", "another")
    capsys.readouterr()
    assert main(["keys", "create", "--name", "desktop"]) == 1
    told = capsys.readouterr()
    assert "belong to another secret key" in told.err
    assert told.out == ""


def test_a_terminal_that_knows_few_characters_gets_them_escaped(
    accounts: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    accounts.run("add", "--name", "Zoë", "--provider", "anthropic", "--secret-stdin", stdin=KEY)
    screen = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(screen, encoding="ascii"))
    assert main(["accounts", "list"]) == 0
    sys.stdout.flush()
    assert b"Zo\\xeb " in screen.getvalue()
