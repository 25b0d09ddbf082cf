"""`gateway keys` as an operator types it, with limits."""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from gateway.actors.keys import KeyRing
from gateway.actors.limits import Batch
from gateway.actors.terms import NANO, KeyLimits
from gateway.actors.use import Spent
from gateway.cli import main
from gateway.store.client_keys import ClientKeyStore
from gateway.store.engine import Database
from gateway.store.key_use import KeyUseStore
from gateway.store.secret import load_secret_key

SECRET_KEY = "made-up-key-of-the-gateway-that-encrypts"

Run = Callable[..., str]


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Run:
    """Return what runs the command and gives what it printed; it fails where the command is refused."""
    for name in [name for name in os.environ if name.startswith("GATEWAY_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("GATEWAY_DATA_DIR", str(tmp_path))
    monkeypatch.setenv("GATEWAY_SECRET_KEY", SECRET_KEY)

    def run(*args: str, status: int = 0) -> str:
        capsys.readouterr()
        try:
            ended = main(["keys", *args])
        except SystemExit as stop:
            ended = stop.code
        printed = capsys.readouterr()
        assert ended == status, printed
        return printed.out + printed.err

    return run


def in_database(directory: Path, ask: Callable[[Database], Any]) -> Any:
    async def go() -> Any:
        async with Database("", directory) as database:
            return await ask(database)

    return asyncio.run(go())


def listed(run: Run) -> dict[str, Any]:
    return {row["name"]: row for row in json.loads(run("list", "--json"))}


def test_a_key_is_made_with_all_its_limits_and_they_can_be_changed_one_by_one(run: Run, tmp_path: Path) -> None:
    run(
        *("create", "--name", "ci", "--expires", "30d", "--models", "claude-haiku-*, claude-sonnet-5"),
        *("--requests-per-minute", "60", "--tokens-per-minute", "100_000", "--concurrent", "4"),
        *("--budget-usd-day", "2.50", "--budget-usd-week", "10", "--budget-usd-month", "25"),
        *("--budget-tokens-day", "1", "--budget-tokens-week", "2", "--budget-tokens-month", "3"),
    )
    (stored,) = in_database(tmp_path, lambda database: ClientKeyStore(database).all())
    assert stored.terms.models == ("claude-haiku-*", "claude-sonnet-5")
    assert stored.terms.expires_at == pytest.approx(datetime.now(UTC).timestamp() + 30 * 86_400, abs=60)
    assert stored.terms.limits == KeyLimits(60, 100_000, 4, 5 * NANO // 2, 10 * NANO, 25 * NANO, 1, 2, 3)
    run("limits", "ci", "--models", "none", "--concurrent", "8", "--budget-usd-day", "none", "--expires", "none")
    (changed,) = in_database(tmp_path, lambda database: ClientKeyStore(database).all())
    assert changed.terms.limits == KeyLimits(60, 100_000, 8, None, 10 * NANO, 25 * NANO, 1, 2, 3)
    assert (changed.terms.models, changed.terms.expires_at) == ((), None)


def test_the_list_shows_what_each_window_allows_and_how_much_is_used(run: Run, tmp_path: Path) -> None:
    run("create", "--name", "ci", "--budget-usd-day", "2.5", "--budget-tokens-month", "1000", "--concurrent", "4")
    run("create", "--name", "plain")
    key_id = listed(run)["ci"]["id"]

    async def spend(database: Database) -> None:
        batch = Batch("a process", 1, spent={(key_id, int(database.clock())): Spent(3, 400, 120_000_000)})
        await KeyUseStore(database).apply(batch, database.clock())

    in_database(tmp_path, spend)
    lines = run("list").splitlines()
    today = datetime.now(UTC).date()
    assert lines[0].endswith("valid     plain")
    assert lines[1].endswith("valid     ci")
    assert lines[2].startswith(f"    last used {today} ")
    assert lines[3] == "    at the same time: 0 of 4"
    assert lines[4].startswith("    USD per day: 0.12 of 2.50, resets ")
    assert lines[5].startswith("    tokens per month: 400 of 1000, resets ")
    assert len(lines) == 6
    row = listed(run)["ci"]
    assert row["periods"]["day"]["budget"] == {"usd": 2.5, "tokens": None}
    assert row["total"] == {"requests": 3, "tokens": 400, "usd": 0.12}
    assert row["last_used_at"].startswith(f"{today}T")
    assert listed(run)["plain"]["last_used_at"] is None
    assert json.loads(run("limits", "ci", "--json")) | {"rates": row["rates"]} == row


def test_a_key_is_replaced_under_the_same_id_and_the_old_one_ends_after_a_grace(run: Run, tmp_path: Path) -> None:
    made = json.loads(run("create", "--name", "ci", "--concurrent", "2", "--json"))
    rotated = json.loads(run("rotate", "ci", "--grace", "1d", "--json"))
    assert rotated["id"] == made["id"]
    assert rotated["key"] != made["key"]
    (stored,) = in_database(tmp_path, lambda database: ClientKeyStore(database).all())
    ring = KeyRing(load_secret_key(SECRET_KEY, tmp_path), [stored])
    old, new = ring.find(made["key"]), ring.find(rotated["key"])
    assert old is not None
    assert new is not None
    assert (old.id, old.terms, new.valid_until) == (new.id, new.terms, None)
    assert old.valid_until == pytest.approx(datetime.now(UTC).timestamp() + 86_400, abs=60)
    assert "    the key before it is valid until " in run("list")
    # The next one shortens what is left of both.
    run("rotate", "ci", "--grace", "0")
    (stored,) = in_database(tmp_path, lambda database: ClientKeyStore(database).all())
    now = datetime.now(UTC).timestamp()
    assert [former.valid_until < now + 5 for former in stored.former] == [True, True]
    assert "the key before it" not in run("list")
    run("revoke", "ci")
    (stored,) = in_database(tmp_path, lambda database: ClientKeyStore(database).all())
    ring = KeyRing(load_secret_key(SECRET_KEY, tmp_path), [stored])
    assert [ring.find(key) for key in (made["key"], rotated["key"])] == [None, None]


def test_an_expired_key_is_shown_as_such(run: Run, tmp_path: Path) -> None:
    run("create", "--name", "old")
    in_database(tmp_path, lambda database: ClientKeyStore(database).change_terms("old", {"expires_at": 1.0}))
    assert "  expired   old" in run("list")


def test_a_date_lasts_to_its_end_in_utc(run: Run) -> None:
    run("create", "--name", "one", "--expires", "2099-12-31")
    run("create", "--name", "two", "--expires", "2099-12-31T12:00+02:00")
    run("create", "--name", "three", "--expires", "20991231")
    rows = listed(run)
    assert rows["one"]["expires_at"] == "2100-01-01T00:00:00Z"
    assert rows["two"]["expires_at"] == "2099-12-31T10:00:00Z"
    assert rows["three"]["expires_at"] == "2100-01-01T00:00:00Z"


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("create", "--name", "x", "--expires", "soon"), "neither a length of time"),
        (("create", "--name", "x", "--expires", "2020-01-01"), "is over already"),
        (("create", "--name", "x", "--budget-usd-day", "1e-999999999"), "is no amount in USD"),
        (("create", "--name", "x", "--expires", "9999-12-31"), "more than a hundred years ahead"),
        (("create", "--name", "x", "--expires", "9999-12-31T23:59-12:00"), "more than a hundred years ahead"),
        (("create", "--name", "x", "--models", " , "), "1 to 50 patterns"),
        (("create", "--name", "x", "--concurrent", "0"), "whole number from 1"),
        (("create", "--name", "x", "--requests-per-minute", "-1"), "whole number from 1"),
        (("create", "--name", "x", "--budget-usd-day", "nan"), "amount in USD"),
        (("create", "--name", "x", "--budget-usd-day", "0.0000000001"), "amount in USD"),
        (("create", "--name", "x", "--budget-tokens-week", "1e6"), "whole number from 1"),
        (("rotate", "x", "--grace", "1y"), "no length of time"),
    ],
)
def test_values_that_make_no_sense_are_refused_with_what_would(
    run: Run, arguments: tuple[str, ...], words: str
) -> None:
    assert words in run(*arguments, status=2)


def test_which_key_is_meant_has_to_be_clear(run: Run) -> None:
    for _ in range(2):
        run("create", "--name", "twin")
    ids = [row["id"] for row in json.loads(run("list", "--json"))]
    for arguments in (("limits", "twin", "--concurrent", "1"), ("rotate", "twin"), ("limits", "twin")):
        said = run(*arguments, status=1)
        assert "several keys have the name 'twin'" in said
        assert all(one in said for one in ids)
    run("limits", ids[0], "--concurrent", "1")
    assert "no valid key has the id or name 'nobody'" in run("rotate", "nobody", status=1)


def test_only_one_of_several_keys_of_a_name_is_revoked_unless_all_are_meant(run: Run, tmp_path: Path) -> None:
    assert "warning" not in run("create", "--name", "twin")
    (first,) = (row["id"] for row in json.loads(run("list", "--json")))
    assert f"a key with the name 'twin' was there already ({first})" in run("create", "--name", "twin")
    said = run("revoke", "twin", status=1)
    assert "several keys have the name 'twin'" in said
    assert first in said
    assert "--all" in said
    # One that has expired is not what is meant as long as another is valid.
    in_database(tmp_path, lambda database: ClientKeyStore(database).change_terms(first, {"expires_at": 1.0}))
    run("limits", "twin", "--concurrent", "1")
    assert run("revoke", "twin") == "revoked 1 key\n"
    states = {row["id"]: row["revoked_at"] for row in json.loads(run("list", "--json"))}
    assert states.pop(first) is None
    assert None not in states.values()
    # Where it is the only one, it can be prolonged by its name.
    run("limits", "twin", "--expires", "30d")
    assert "warning" in run("create", "--name", "twin")
    assert run("revoke", "twin", "--all") == "revoked 2 keys\n"
    assert "no valid key" in run("revoke", "twin", "--all", status=1)
    assert "warning" not in run("create", "--name", "twin")
