"""`gateway keys list` after the secret key was exchanged."""

from __future__ import annotations

import json
import sqlite3

import pytest

from gateway.cli import main
from tests.cli_accounts.command import SECRET_KEY, Command

NEW = "the-new-key-of-the-gateway"


def listed(capsys: pytest.CaptureFixture[str]) -> dict[str, str | None]:
    """Return what the list says of the secret key of each client key."""
    capsys.readouterr()
    assert main(["keys", "list", "--json"]) == 0
    return {row["name"]: row["secret_key"] for row in json.loads(capsys.readouterr().out)}


def lines(capsys: pytest.CaptureFixture[str]) -> list[str]:
    """Return the list as people see it."""
    capsys.readouterr()
    assert main(["keys", "list"]) == 0
    return capsys.readouterr().out.splitlines()


def test_the_list_says_which_keys_need_a_secret_key_that_is_to_go_or_has_gone(
    accounts: Command, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["keys", "create", "--name", "before"]) == 0
    assert listed(capsys) == {"before": "current"}

    accounts.setenv("GATEWAY_SECRET_KEY", f"{NEW},{SECRET_KEY}")
    assert main(["keys", "create", "--name", "after"]) == 0
    both = listed(capsys)
    older = [line for line in lines(capsys) if "older secret key" in line]
    accounts.setenv("GATEWAY_SECRET_KEY", NEW)
    new = listed(capsys)
    gone = [line for line in lines(capsys) if "not configured here" in line]

    assert both == {"before": "older", "after": "current"}
    assert new == {"before": "missing", "after": "current"}
    for marked in (older, gone):
        assert len(marked) == 1
        assert " before " in marked[0]


def test_of_a_key_that_was_made_before_this_was_written_down_nothing_is_said(
    accounts: Command, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["keys", "create", "--name", "ancient"]) == 0
    with sqlite3.connect(accounts.data_dir / "gateway.db") as database:
        database.execute("UPDATE client_keys SET secret_id = NULL")
    database.close()

    assert listed(capsys) == {"ancient": None}
    (line,) = lines(capsys)
    assert line.endswith("valid     ancient")
