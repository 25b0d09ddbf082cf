"""A secret key that is not there any more, though the database holds what was made with it."""

from __future__ import annotations

from pathlib import Path

import pytest

from gateway.cli import main
from tests.cli_accounts.command import KEY, Command

ADD = ("add", "--name", "work", "--provider", "anthropic", "--secret-stdin")


@pytest.fixture
def key_file(accounts: Command, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Path:
    """Give the key file of a gateway that has an account and a client key."""
    monkeypatch.delenv("GATEWAY_SECRET_KEY")
    assert accounts.run(*ADD, stdin=KEY).status == 0
    assert main(["keys", "create", "--name", "laptop"]) == 0
    capsys.readouterr()
    file = accounts.data_dir / "secret.key"
    accounts.secrets.add(file.read_text("ascii").strip())
    return file


@pytest.mark.parametrize(
    "command",
    [["serve"], ["accounts", "check"], ["accounts", "rekey"], ["keys", "create", "--name", "ci"]],
    ids=" ".join,
)
def test_no_new_key_takes_the_place_of_one_that_is_missing(
    key_file: Path, command: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    key_file.unlink()

    status = main(command)

    told = capsys.readouterr()
    assert status == 1
    assert f"there is no key file {key_file}, and the database holds 1 account and 1 client key" in told.err
    assert "docs/security.md has the steps" in told.err
    assert not key_file.exists()


def test_without_the_key_all_that_needs_it_can_be_taken_away_and_made_anew(
    accounts: Command, key_file: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    key_file.unlink()

    assert [row["name"] for row in accounts.run("list", "--json").json] == ["work"]
    assert accounts.run("remove", "work", "--yes").status == 0
    assert main(["keys", "create", "--name", "ci"]) == 1, "the other client key is still there"
    assert main(["keys", "revoke", "laptop"]) == 0
    assert main(["keys", "create", "--name", "ci"]) == 0
    assert accounts.run(*ADD, stdin=KEY).status == 0
    assert key_file.exists()
    assert "csg_" in capsys.readouterr().out


def test_an_empty_key_file_is_no_key_and_says_what_to_do(
    key_file: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    key_file.write_text("")

    assert main(["serve"]) == 1

    told = capsys.readouterr().err
    assert "is empty; restore it. If its key is lost, delete the file, remove the accounts" in told
