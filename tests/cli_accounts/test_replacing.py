"""What becomes of an account that gets another secret."""

from __future__ import annotations

from typing import Any

import pytest

from gateway.accounts.account import Condition
from gateway.replay.server import ReplayUpstream
from gateway.store.accounts import AccountStore
from tests.cli_accounts.command import KEY, OTHER_KEY, Command

REPLACE = ("add", "--replace", "--name", "work", "--secret-stdin")
KEPT = ("id", "name", "provider", "kind", "base_url", "owner", "priority", "max_concurrency", "created_at")
NEW_SECRET = "`gateway accounts add --replace --name work --secret-stdin` gives"
REFRESH = "sk-ant-ort01-the-first-refresh-token"


async def note(accounts: Command, name: str, condition: Condition, reason: str) -> None:
    """Write what traffic found out about an account."""
    async with accounts.database() as database:
        store = AccountStore(database)
        account = await store.find(name)
        assert account is not None
        await store.set_condition(account.id, condition, reason, secret_version=account.secret_version)


async def test_another_key_ends_what_the_first_one_was_refused_for_and_keeps_everything_else(
    accounts: Command, upstream: ReplayUpstream
) -> None:
    await accounts.add(
        "work",
        "sk-ant-api03-that-was-revoked",
        *("--owner", "Ada", "--weight", "3", "--priority", "2", "--max-concurrency", "5"),
    )
    (before,) = (await accounts.go("list", "--json")).json
    await note(accounts, "work", Condition.NEEDS_REAUTH, "invalid x-api-key")

    refused = await accounts.go("check", "work")
    done = await accounts.go(*REPLACE, "--check", "--json", stdin=KEY)
    changed = await accounts.go(*REPLACE, "--weight", "7", stdin=OTHER_KEY)

    assert f"{NEW_SECRET} the account another one" in refused.out
    assert done.status == 0, done.err
    assert (done.json["state"], done.json["check"]["finding"]) == ("active", "ok")
    assert {name: done.json[name] for name in KEPT} == {name: before[name] for name in KEPT}
    assert changed.out == "work has another secret. It is in use.\n"
    (after,) = (await accounts.go("list", "--json")).json
    assert {name: after[name] for name in KEPT} == {name: before[name] for name in KEPT}
    assert (done.json["weight"], after["weight"]) == (3, 7)
    assert (await accounts.go("check", "work")).status == 0
    assert [request.credential for request in upstream.requests[1:]] == [
        ("x-api-key", KEY),
        ("x-api-key", OTHER_KEY),
    ]


async def test_another_key_ends_neither_a_pause_nor_parking(accounts: Command) -> None:
    await accounts.add("work")
    await accounts.go("pause", "work")
    paused = await accounts.go(*REPLACE, stdin=OTHER_KEY)
    await accounts.go("resume", "work")
    await note(accounts, "work", Condition.PARKED, "Your card was declined")
    parked = await accounts.go(*REPLACE, stdin=KEY)

    assert "It is paused; `gateway accounts resume work` puts it into use." in paused.out
    assert 'It is parked, "Your card was declined"; `gateway accounts resume work`' in parked.out
    assert await accounts.state("work") == "parked"


async def test_another_refresh_token_goes_to_the_endpoint_and_client_of_the_first(
    accounts: Command, upstream: ReplayUpstream
) -> None:
    pair = upstream.tokens.issue()
    assert pair.refresh_token is not None
    accounts.secrets |= {REFRESH, pair.refresh_token, "of-the-client"}
    added = await accounts.go(
        *("add", "--name", "work", "--provider", "anthropic", "--kind", "oauth", "--client-id", "mine"),
        *("--client-secret-stdin", "--secret-stdin"),
        stdin=f"{REFRESH}\nof-the-client\n",
    )

    same = await accounts.go(*REPLACE, stdin=REFRESH)
    dead = await accounts.go("check", "work")
    done = await accounts.go(*REPLACE, "--check", stdin=pair.refresh_token)

    assert added.status == 0, added.err
    assert same.status == 1
    assert "has this very refresh token. `gateway accounts resume work` lets it be tried once more" in same.err
    assert f"{NEW_SECRET} it another one" in dead.out
    assert done.status == 0, done
    assert [(record.outcome, record.client_id) for record in upstream.tokens.records] == [
        ("invalid_grant", "mine"),
        ("granted", "mine"),
    ]
    assert await accounts.state("work") == "active"


@pytest.mark.parametrize(
    ("args", "stdin", "words"),
    [
        (("--name", "wrok", "--secret-stdin"), KEY, "there is no account 'wrok'; did you mean work?"),
        (("--name", "environment", "--secret-stdin"), KEY, "is taken by the gateway itself"),
        (("--name", "work", "--kind", "oauth", "--secret-stdin"), KEY, "is of kind api_key, and stays so"),
        (
            ("--name", "work", "--provider", "openai", "--secret-stdin"),
            KEY,
            "of provider anthropic, and stays so",
        ),
        (("--name", "work", "--secret-stdin"), "sk-ant-oat01-short-lived", "this is an OAuth access token"),
        (("--name", "work", "--weight", "0", "--secret-stdin"), KEY, "the weight must be from 1"),
        (("--name", "work"), KEY, "say --secret-stdin"),
        (("--name", "work", "--client-id", "x", "--secret-stdin"), KEY, "--client-id is for --kind oauth"),
    ],
)
def test_what_cannot_be_replaced_is_refused_and_the_account_stays_as_it_was(
    accounts: Command, args: tuple[str, ...], stdin: str, words: str
) -> None:
    accounts.secrets.add("sk-ant-oat01-short-lived")
    accounts.run("add", "--name", "work", "--provider", "anthropic", "--secret-stdin", stdin=OTHER_KEY)
    before: Any = accounts.run("list", "--json").json

    done = accounts.run("add", "--replace", *args, stdin=stdin)

    assert done.status != 0
    assert words in done.err
    assert accounts.run("list", "--json").json == before


def test_a_new_account_needs_a_provider(accounts: Command) -> None:
    done = accounts.run("add", "--name", "work", "--secret-stdin", stdin=KEY)

    assert done.status == 2
    assert "--provider is needed" in done.err
