"""Accounts that would harm one another because they have the same credential."""

from __future__ import annotations

import pytest

from tests.cli_accounts.command import Command

REFRESH = "sk-ant-ort01-the-only-refresh-token"
OTHER_REFRESH = "sk-ant-ort01-a-refresh-token-of-its-own"
LOGIN = {"type": "oauth_token", "access_token": "sk-ant-oat01-access", "refresh_token": REFRESH}


def add(name: str) -> tuple[str, ...]:
    return (
        *("add", "--name", name, "--provider", "anthropic", "--kind", "oauth"),
        *("--client-id", "mine", "--secret-stdin"),
    )


@pytest.fixture(autouse=True)
def _secrets(accounts: Command) -> None:
    accounts.secrets |= {REFRESH, OTHER_REFRESH, LOGIN["access_token"]}


def test_a_refresh_token_that_an_account_has_is_refused_and_the_account_is_named(accounts: Command) -> None:
    assert accounts.run(*add("work"), stdin=REFRESH).status == 0

    again = accounts.run(*add("play"), stdin=f" {REFRESH}\n")
    imported = accounts.run("import", accounts.file("default.json", LOGIN), "--client-id", "mine")
    another = accounts.run(*add("play"), stdin=OTHER_REFRESH)

    for done in (again, imported):
        assert done.status == 1
        assert "the account 'work' has this refresh token already" in done.err
    assert another.status == 0, another.err
    assert [row["name"] for row in accounts.run("list", "--json").json] == ["work", "play"]
