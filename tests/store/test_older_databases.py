"""Commands beside a gateway of another version: what looks changes nothing, and what is older stays as it is."""

from __future__ import annotations

import asyncio
import os
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from gateway.cli import main
from gateway.cli.common import CommandError, refuse_lost_key
from gateway.config import Settings
from gateway.store.client_keys import ClientKeyStore
from gateway.store.engine import Database, Opening, StoreError
from gateway.store.schema import Schema
from tests.log_watch import recent_events
from tests.postgres import Postgres
from tests.store.test_migrations import FIRST_TABLE

OLDER = "0004"
PEPPER = b"p" * 32

Run = Callable[..., str]

LOOKING = [
    ("keys", "list"),
    ("keys", "limits", "laptop"),
    ("accounts", "list"),
    ("requests", "list"),
    ("requests", "export"),
    ("costs", "recompute", "--dry-run"),
]
CHANGING = [
    ("keys", "create", "--name", "another"),
    ("keys", "revoke", "laptop"),
    ("keys", "rotate", "laptop"),
    ("accounts", "pause", "work"),
    ("accounts", "rekey"),
    ("costs", "recompute"),
]


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Run:
    """Return what runs a command and gives what it printed."""
    for name in [name for name in os.environ if name.startswith("GATEWAY_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("GATEWAY_DATA_DIR", str(tmp_path / "data"))
    monkeypatch.setenv("GATEWAY_SECRET_KEY", "made-up-key-of-the-gateway-that-encrypts")

    def run(*args: str, status: int = 0) -> str:
        capsys.readouterr()
        ended = main(args)
        printed = capsys.readouterr()
        assert ended == status, printed
        return printed.out + printed.err

    return run


def make_older(directory: Path, revision: str = OLDER) -> None:
    async def make() -> None:
        async with Database("", directory) as database:
            await ClientKeyStore(database).create("laptop", PEPPER)
            await database.migrate(revision)

    asyncio.run(make())


def revision_of(directory: Path) -> str:
    with closing(sqlite3.connect(directory / "gateway.db")) as file:
        return file.execute("SELECT version_num FROM alembic_version").fetchone()[0]


def test_no_command_but_one_that_serves_changes_the_tables_of_an_older_gateway(run: Run, tmp_path: Path) -> None:
    make_older(tmp_path / "data")
    for arguments in (*LOOKING, *CHANGING):
        said = run(*arguments, status=1)
        assert f"of an older version ({OLDER}, this is {Schema.load().head}); `gateway serve` brings it" in said
        assert "copy it first" in said
        assert revision_of(tmp_path / "data") == OLDER
    # As `gateway serve` begins, which finds here that the key file is missing.
    with pytest.raises(CommandError, match="there is no key file"):
        refuse_lost_key(Settings(data_dir=str(tmp_path / "data")), Opening.UPGRADE)
    assert "laptop" in run("keys", "list")


def test_the_log_says_when_a_start_has_changed_the_tables_and_from_what_to_what(tmp_path: Path) -> None:
    make_older(tmp_path)
    for _ in range(2):
        asyncio.run(open_and_close(Database("", tmp_path)))
    told = [found for found in recent_events() if found["event"] == "the database was brought up to date"]
    assert [(line["before"], line["now"]) for line in told] == [(OLDER, Schema.load().head)]


async def open_and_close(database: Database) -> None:
    async with database:
        pass


def test_a_database_of_0_1_0_which_knew_no_revisions_is_an_older_one_too(run: Run, tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    with closing(sqlite3.connect(tmp_path / "data" / "gateway.db")) as file, file:
        file.execute(FIRST_TABLE)
    assert "of an older version (0.1.0, this is" in run("keys", "create", "--name", "x", status=1)


def test_what_only_looks_makes_no_database(run: Run, tmp_path: Path) -> None:
    assert "There are no keys yet" in run("keys", "list")
    assert "There are no requests yet" in run("requests", "list")
    assert run("accounts", "list", "--json").strip() == "[]"
    assert "looked at 0" in run("costs", "recompute")
    assert "no valid key has the id or name 'laptop'" in run("keys", "revoke", "laptop", status=1)
    assert "there is no account 'work'" in run("accounts", "pause", "work", status=1)
    assert not (tmp_path / "data").exists()
    run("keys", "create", "--name", "laptop")
    assert "laptop" in run("keys", "list")


async def test_an_empty_postgresql_stays_so_until_something_is_written(postgres: Postgres, tmp_path: Path) -> None:
    url = postgres.create_database()
    async with Database(url, tmp_path, Opening.EXISTING) as database:
        assert await ClientKeyStore(database).all() == []
        assert abs(await database.now() - database.clock()) < 60
    async with Database(url, tmp_path, Opening.MAKE) as database:
        await ClientKeyStore(database).create("laptop", PEPPER)
    async with Database(url, tmp_path, Opening.EXISTING) as database:
        assert [key.name for key in await ClientKeyStore(database).all()] == ["laptop"]
        await database.migrate(OLDER)
    for opening in (Opening.EXISTING, Opening.MAKE):
        with pytest.raises(StoreError, match=f"older version \\({OLDER}"):
            await Database(url, tmp_path, opening).open()
    async with Database(url, tmp_path) as database:
        assert [key.name for key in await ClientKeyStore(database).all()] == ["laptop"]


async def test_processes_that_make_a_database_together_make_it_once(postgres: Postgres, tmp_path: Path) -> None:
    for url in ("", postgres.create_database()):
        databases = [Database(url, tmp_path, Opening.MAKE) for _ in range(6)]
        try:
            async with asyncio.TaskGroup() as group:
                for database in databases:
                    group.create_task(database.open())
        finally:
            for database in databases:
                await database.close()
