"""The tables' way from one revision to another."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import AsyncIterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from attrs import evolve
from sqlalchemy import Connection, func, inspect, select, text, update

from gateway.actors.keys import KeyRing
from gateway.store.client_keys import ClientKeyStore
from gateway.store.engine import Database, StoreError
from gateway.store.schema import Schema
from gateway.store.tables import accounts, metadata

# What version 0.1.0 made by itself.
FIRST_TABLE = """
CREATE TABLE IF NOT EXISTS client_keys (
    id TEXT PRIMARY KEY,
    name TEXT NOT NULL,
    digest TEXT NOT NULL UNIQUE,
    prefix TEXT NOT NULL,
    created_at TEXT NOT NULL,
    revoked_at TEXT
)
"""
# SQLAlchemy compares what PostgreSQL says of columns with bytes as well as with text.
pytestmark = pytest.mark.filterwarnings("ignore::BytesWarning")

PEPPER = b"p" * 32


@pytest.fixture(params=["sqlite", "postgresql"])
def database_url(request: pytest.FixtureRequest) -> str:
    """Give databases without any tables."""
    return "" if request.param == "sqlite" else request.getfixturevalue("postgres").create_database()


@pytest.fixture
async def database(database_url: str, tmp_path: Path) -> AsyncIterator[Database]:
    async with Database(database_url, tmp_path) as opened:
        yield opened


async def tables(database: Database) -> set[str]:
    async with database.read() as connection:
        return set(await connection.run_sync(lambda sync: inspect(sync).get_table_names()))


def differences(connection: Connection) -> list[Any]:
    return compare_metadata(MigrationContext.configure(connection, opts={"compare_type": True}), metadata)


async def test_the_migrations_make_the_tables_that_the_program_uses(database: Database) -> None:
    async with database.read() as connection:
        assert await connection.run_sync(differences) == []


async def test_tables_go_down_and_up_again_and_keep_the_keys(database: Database) -> None:
    all_tables = await tables(database)
    store = ClientKeyStore(database)
    _, key = await store.create("laptop", PEPPER)
    await database.migrate("base")
    assert await tables(database) == {"alembic_version", "client_keys"}
    await database.migrate("head")
    assert await tables(database) == all_tables
    assert KeyRing(PEPPER, await store.all()).find(key) is not None
    async with database.read() as connection:
        assert await connection.run_sync(differences) == []


async def test_keys_of_version_0_1_0_survive(tmp_path: Path) -> None:
    async with Database("", tmp_path / "new") as database:
        stored, key = await ClientKeyStore(database).create("laptop", PEPPER)
    with closing(sqlite3.connect(tmp_path / "gateway.db")) as file, file:
        file.execute("PRAGMA journal_mode = WAL")
        file.execute(FIRST_TABLE)
        row = (stored.id, stored.name, stored.digest, stored.prefix, stored.created_at, None)
        file.execute("INSERT INTO client_keys VALUES (?, ?, ?, ?, ?, ?)", row)
    async with Database("", tmp_path) as database:
        store = ClientKeyStore(database)
        # With which secret key they were made was not written down then.
        assert await store.all() == [evolve(stored, secret_id=None)]
        assert KeyRing(PEPPER, await store.all()).find(key) is not None
        await store.create("another", PEPPER)
        assert await store.revoke("laptop") == 1


async def test_a_database_of_a_newer_version_is_refused_and_left_alone(
    database: Database, other: Database
) -> None:
    async with database.write() as connection:
        await connection.execute(text("UPDATE alembic_version SET version_num = '9999'"))
    with pytest.raises(StoreError, match="newer version of the gateway"):
        await Database(database.url, database.data_dir).open()
    async with other.read() as connection:
        assert (await connection.execute(text("SELECT version_num FROM alembic_version"))).scalar_one() == "9999"


async def test_processes_that_start_together_find_the_tables_made_once(database_url: str, tmp_path: Path) -> None:
    databases = [Database(database_url, tmp_path) for _ in range(6)]
    try:
        async with asyncio.TaskGroup() as group:
            for database in databases:
                group.create_task(database.open())
        for database in databases:
            assert metadata.tables.keys() <= await tables(database)
    finally:
        for database in databases:
            await database.close()


async def test_every_revision_has_a_way_back(database: Database) -> None:
    revisions = await asyncio.to_thread(
        lambda: [script.revision for script in Schema.load()._scripts.walk_revisions()]
    )
    for revision in [*revisions[1:], "base", *reversed(revisions)]:
        await database.migrate(revision)
    async with database.read() as connection:
        assert await connection.run_sync(differences) == []


@pytest.mark.parametrize("change", [{"digest": 5}, {"prefix": b"\xff"}])
async def test_rows_that_the_gateway_cannot_have_written_are_said_to_be_so(
    tmp_path: Path, change: dict[str, Any]
) -> None:
    async with Database("", tmp_path) as database:
        store = ClientKeyStore(database)
        await store.create("laptop", PEPPER)
        loose = "id, name, digest, prefix, created_at, revoked_at, secret_id"
        async with database.write() as connection:
            for statement in (
                "ALTER TABLE client_keys RENAME TO old",
                f"CREATE TABLE client_keys ({loose})",
                f"INSERT INTO client_keys SELECT {loose} FROM old",  # noqa: S608 - constants
            ):
                await connection.execute(text(statement))
            await connection.execute(
                update(metadata.tables["client_keys"]).values(
                    {
                        name: text(repr(value)) if isinstance(value, int) else value
                        for name, value in change.items()
                    }
                )
            )
        with pytest.raises(StoreError, match="client_keys of the database holds a row"):
            await store.all()


async def test_many_databases_that_one_process_opens_at_once_each_get_their_own_tables(tmp_path: Path) -> None:
    async def open_one(number: int) -> int:
        async with Database("", tmp_path / str(number)) as database, database.read() as connection:
            return (await connection.execute(select(func.count()).select_from(accounts))).scalar_one()

    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(open_one(number)) for number in range(12)]
    assert [task.result() for task in tasks] == [0] * 12
