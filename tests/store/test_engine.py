"""The database itself: what befalls transactions, and what people are told when it cannot be used."""

from __future__ import annotations

import asyncio
import errno
import os
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
from sqlalchemy import func, insert, select, text
from sqlalchemy.ext.asyncio import AsyncConnection

from gateway.store.client_keys import ClientKeyStore
from gateway.store.engine import Database, StoreError, StoreUnavailableError, database_path
from gateway.store.errors import StoreBusyError, as_store_error
from gateway.store.tables import meta
from tests.postgres import Postgres

LIMIT = 30
CONNECTIONS = "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'cancelled'"


async def names(database: Database) -> list[str]:
    async with database.read() as connection:
        return list((await connection.execute(select(meta.c.name).order_by(meta.c.name))).scalars())


def names_in(directory: Path) -> list[str]:
    return [path.name for path in directory.iterdir()]


async def put(connection: AsyncConnection, name: str) -> None:
    await connection.execute(insert(meta).values(name=name, value=""))


async def test_what_is_written_is_there_for_everybody(database: Database, other: Database) -> None:
    async with database.write() as connection:
        await put(connection, "a")
        assert await names(other) == []
    assert await names(other) == ["a"]


async def test_a_write_that_fails_leaves_nothing(database: Database, other: Database) -> None:
    async def write(second: str | None) -> None:
        async with database.write() as connection:
            await put(connection, "a")
            if second is None:
                raise ZeroDivisionError
            await put(connection, second)

    with pytest.raises(ZeroDivisionError):
        await write(None)
    with pytest.raises(StoreError):
        await write("a")
    assert await names(other) == []


async def test_writers_of_one_process_take_turns_and_none_is_lost(database: Database, other: Database) -> None:
    async def write(through: Database, name: str) -> None:
        async with through.write() as connection:
            await put(connection, name)

    async with asyncio.TaskGroup() as group:
        for number in range(20):
            group.create_task(write((database, other)[number % 2], f"{number:02}"))
    assert await names(database) == [f"{number:02}" for number in range(20)]


@pytest.mark.parametrize("turns", range(12))
async def test_a_write_that_is_cancelled_anywhere_leaves_no_transaction_behind(
    database: Database, other: Database, turns: int
) -> None:
    async def write() -> None:
        async with database.write() as connection:
            await put(connection, "a")
            await put(connection, "b")

    async with asyncio.TaskGroup() as group:
        task = group.create_task(write())
        for _ in range(turns * turns):
            await asyncio.sleep(0)
        task.cancel()
    # Were it still open, this one would wait for it in vain.
    async with other.write() as connection:
        await put(connection, "c")
    async with database.write() as connection:
        await put(connection, "d")
    assert await names(database) in (["c", "d"], ["a", "b", "c", "d"])


async def test_a_statement_that_is_cancelled_while_it_runs_takes_its_transaction_with_it(
    database: Database, other: Database
) -> None:
    # Counting so far takes any machine longer than it takes to cancel.
    endless = text(
        "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 3000000) SELECT count(*) FROM n"
    )
    running = asyncio.Event()

    async def write() -> None:
        async with database.write() as connection:
            await put(connection, "a")
            running.set()
            await connection.execute(endless)

    async with asyncio.TaskGroup() as group:
        task = group.create_task(write())
        await running.wait()
        await asyncio.sleep(0)
        task.cancel()
    async with other.write() as connection:
        await put(connection, "b")
    async with database.write() as connection:
        await put(connection, "c")
    assert await names(database) == ["b", "c"]


async def test_a_writer_waits_for_one_of_another_process(database: Database, other: Database) -> None:
    inside = asyncio.Event()

    async def write() -> None:
        await inside.wait()
        async with other.write() as connection:
            await put(connection, "late")

    async with asyncio.TaskGroup() as group:
        group.create_task(write())
        async with database.write() as connection:
            await put(connection, "early")
            inside.set()
            for _ in range(50):
                await asyncio.sleep(0)
    assert await names(database) == ["early", "late"]


async def test_a_writer_that_is_cancelled_while_it_waits_its_turn_holds_up_nobody(
    database: Database, other: Database
) -> None:
    async def write() -> None:
        async with database.write() as connection:
            await put(connection, "a")

    async with asyncio.TaskGroup() as group:
        async with other.write() as connection:
            await put(connection, "a")
            # The first waits for the other process, the second for the first.
            tasks = [group.create_task(write()) for _ in range(2)]
            for _ in range(50):
                await asyncio.sleep(0)
            for task in tasks:
                task.cancel()
        async with database.write() as connection:
            await put(connection, "b")
    assert [task.cancelled() for task in tasks] == [True, True]
    assert await names(other) == ["a", "b"]


async def test_the_clock_is_the_databases(database: Database) -> None:
    before = database.clock()
    now = await database.now()
    assert abs(now - before) < 5
    database.set_clock(1_000.0, asked_at=asyncio.get_running_loop().time())
    assert database.clock() < 2_000
    await database.now()
    assert abs(database.clock() - now) < 5


async def test_an_answer_that_took_long_does_not_set_the_clock(database: Database) -> None:
    now = database.clock()
    database.set_clock(1_000.0, asked_at=asyncio.get_running_loop().time() - 60)
    assert abs(database.clock() - now) < 5


async def test_a_database_that_is_not_open_says_so(database_url: str, tmp_path: Path) -> None:
    database = Database(database_url, tmp_path)
    with pytest.raises(StoreUnavailableError, match="is not open"):
        await names(database)


async def test_closing_ends_what_a_cancelled_task_left(postgres: Postgres, tmp_path: Path) -> None:
    database = Database(f"{postgres.create_database()}&application_name=cancelled", tmp_path)
    await database.open()

    async def read() -> None:
        async with database.read() as connection:
            await connection.execute(select(func.count()).select_from(meta))
            await asyncio.Event().wait()

    async with asyncio.TaskGroup() as group:
        task = group.create_task(read())
        for _ in range(100):
            await asyncio.sleep(0)
        task.cancel()
    await database.close()
    # The server takes note a moment later.
    async with asyncio.timeout(LIMIT):
        while await asyncio.to_thread(postgres.execute, CONNECTIONS) != "0":
            pass


async def test_the_default_file_and_its_directory_are_the_owners_alone(tmp_path: Path) -> None:
    directory = tmp_path / "new" / "data"
    async with Database("", directory) as database:
        async with database.write() as connection:
            await put(connection, "a")
        assert {path.name for path in directory.iterdir()} == {"gateway.db", "gateway.db-wal", "gateway.db-shm"}
        assert {path.stat().st_mode & 0o777 for path in directory.iterdir()} == {0o600}
    assert directory.stat().st_mode & 0o777 == 0o700


async def test_a_file_that_others_could_read_is_closed_to_them(tmp_path: Path) -> None:
    path = tmp_path / "gateway.db"
    path.touch(0o644)
    async with Database("", tmp_path):
        assert {(tmp_path / name).stat().st_mode & 0o777 for name in names_in(tmp_path)} == {0o600}


@pytest.mark.parametrize("scheme", ["sqlite", "sqlite+aiosqlite"])
async def test_a_sqlite_url_names_a_file(tmp_path: Path, scheme: str) -> None:
    url = f"{scheme}:///{tmp_path}/sp%20ace.db"
    assert database_path(url, tmp_path) == tmp_path / "sp ace.db"
    async with Database(url, tmp_path / "elsewhere") as database:
        await database.now()
    assert names_in(tmp_path) == ["sp ace.db"]


@pytest.mark.parametrize("scheme", ["postgres", "postgresql", "postgresql+asyncpg"])
async def test_a_postgresql_url_may_have_any_of_its_schemes_and_options(
    postgres: Postgres, tmp_path: Path, scheme: str
) -> None:
    url = postgres.create_database().replace("postgresql", scheme) + "&sslmode=disable&application_name=mine"
    async with Database(url, tmp_path) as database, database.read() as connection:
        assert (await connection.execute(text("SHOW application_name"))).scalar_one() == "mine"
    assert names_in(tmp_path) == []


@pytest.mark.parametrize(
    ("url", "says"),
    [
        ("mysql://user:SECRET@host/db", "must be sqlite:///FILE or postgresql://"),
        ("sqlite:///", "must be sqlite:///FILE"),
        ("sqlite:///:memory:", "with a file"),
        ("sqlite:///a%00b", "NUL"),
        ("postgresql://user:SEC@RET@host:port/db", "special characters"),
        ("postgresql://user:SEC/RET@host/db", "special characters"),
        ("postgresql://user:SEC[RET@host/db", "special characters"),
        ("postgresql://user:SECRET@127.0.0.1:1/db", "cannot reach the database PostgreSQL at 127.0.0.1:1/db"),
        ("postgresql://user:SECRET@host.invalid/db", "cannot reach the database PostgreSQL at host.invalid/db"),
        ("postgresql://user:SECRET@127.0.0.1:1/db?sslmode=SECRET", "GATEWAY_DATABASE_URL"),
        ("postgresql://user:SEC@RET@127.0.0.1:1/db", "special characters"),
        ("postgresql://127.0.0.1:1/db?user=a&password=a@SECRET", "cannot reach the database PostgreSQL:"),
        ("postgresql://user:SEC?RET@127.0.0.1:1/db", "special characters"),
        ("postgresql://127.0.0.1:1/db?SECRET", "cannot be read"),
        ("postgresql:///db?port=SECRET", "cannot be read"),
    ],
)
async def test_a_url_that_cannot_be_used_is_named_without_its_password(
    tmp_path: Path, url: str, says: str
) -> None:
    with pytest.raises(StoreError, match=says) as caught:
        await Database(url, tmp_path).open()
    assert "SEC" not in f"{caught.value!r} {caught.value.__cause__!r}"
    assert "SEC" not in repr(Database(url, tmp_path))


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ("/nowhere", "there is no database of that name"),
        ("/postgres?no_such_option=1", "an option"),
    ],
)
async def test_what_postgresql_refuses_is_said_in_words(
    postgres: Postgres, tmp_path: Path, options: str, says: str
) -> None:
    with pytest.raises(StoreError, match=says):
        await Database(postgres.url("").rstrip("/") + options, tmp_path).open()


async def test_a_file_that_is_no_database_is_named_and_left_alone(tmp_path: Path) -> None:
    (tmp_path / "gateway.db").write_bytes(b"nonsense " * 1000)
    with pytest.raises(StoreError, match="no SQLite database") as caught:
        await Database("", tmp_path).open()
    assert str(tmp_path / "gateway.db") in str(caught.value)
    assert (tmp_path / "gateway.db").read_bytes() == b"nonsense " * 1000


async def test_a_directory_in_the_files_place_is_named(tmp_path: Path) -> None:
    (tmp_path / "gateway.db").mkdir()
    with pytest.raises(StoreError, match=r"cannot be opened.*belongs"):
        await Database("", tmp_path).open()


async def test_a_file_in_the_directorys_place_is_named(tmp_path: Path) -> None:
    (tmp_path / "data").touch()
    with pytest.raises(StoreError, match=r"gateway\.db"):
        await Database("", tmp_path / "data").open()


@pytest.mark.parametrize("is_there", [True, False])
async def test_a_read_only_file_system_is_said_to_be_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, is_there: bool
) -> None:
    if is_there:
        async with Database("", tmp_path):
            pass
        flags = os.statvfs(tmp_path)
        monkeypatch.setattr(os, "statvfs", lambda _: os.statvfs_result([*flags[:8], flags.f_flag | 1, *flags[9:]]))
    else:

        def refuse(*_: object, **__: object) -> int:
            raise OSError(errno.EROFS, os.strerror(errno.EROFS))

        monkeypatch.setattr(os, "open", refuse)
    with pytest.raises(StoreError, match=r"system is read-only.*mount it for writing, or set GATEWAY_DATA_DIR"):
        await Database("", tmp_path).open()


async def test_a_directory_that_cannot_be_made_is_said_to_be_so_and_what_to_do() -> None:
    with pytest.raises(StoreError, match=r"cannot make the database /proc/x/gateway.db: .*; set GATEWAY_DATA_DIR"):
        await Database("", Path("/proc/x")).open()


def test_a_database_that_others_keep_busy_is_said_to_be_so(tmp_path: Path) -> None:
    path = tmp_path / "gateway.db"
    with closing(sqlite3.connect(path)) as holder, closing(sqlite3.connect(path, timeout=0)) as waiter:
        holder.execute("BEGIN IMMEDIATE")
        with pytest.raises(sqlite3.OperationalError) as caught:
            waiter.execute("BEGIN IMMEDIATE")
    told = as_store_error(caught.value, "NAME")
    assert isinstance(told, StoreBusyError)
    assert str(told).startswith("cannot use the database NAME: another process has been writing")


async def test_text_that_is_no_text_is_refused_in_words(database: Database) -> None:
    with pytest.raises(StoreError, match=r"not valid Unicode|SQLSTATE"):
        await ClientKeyStore(database).revoke("\ud800")


async def test_tables_of_another_program_are_refused(tmp_path: Path) -> None:
    with closing(sqlite3.connect(tmp_path / "gateway.db")) as file, file:
        file.execute("CREATE TABLE accounts (id)")
    with pytest.raises(StoreError, match="are not the gateway's"):
        await Database("", tmp_path).open()
    with closing(sqlite3.connect(tmp_path / "gateway.db")) as file, file:
        assert file.execute("SELECT name FROM sqlite_master").fetchall() == [("accounts",)]


async def test_a_postgresql_that_was_restarted_serves_again(postgres: Postgres, tmp_path: Path) -> None:
    async with Database(postgres.create_database(), tmp_path) as database:
        async with database.write() as connection:
            await put(connection, "a")
        await asyncio.to_thread(postgres.stop)
        try:
            with pytest.raises(StoreUnavailableError):
                await names(database)
        finally:
            await asyncio.to_thread(postgres.start)
        assert await names(database) == ["a"]


async def test_of_several_servers_the_one_that_answers_is_used(postgres: Postgres, tmp_path: Path) -> None:
    url = postgres.create_database().replace("@127.0.0.1", "@127.0.0.1:1,127.0.0.1")
    async with Database(url, tmp_path) as database:
        await database.now()


async def test_a_server_that_only_lets_itself_be_read_may_take_the_same_later(
    postgres: Postgres, tmp_path: Path
) -> None:
    url = postgres.create_database()
    async with Database(url, tmp_path):
        pass
    async with Database(f"{url}&default_transaction_read_only=on", tmp_path) as standby:
        with pytest.raises(StoreUnavailableError, match="only lets itself be read"):
            async with standby.write() as connection:
                await put(connection, "a")
        assert await names(standby) == []
    with pytest.raises(StoreUnavailableError, match="target_session_attrs"):
        await Database(f"{url}&target_session_attrs=standby", tmp_path).open()


async def test_a_sqlite_file_that_another_one_takes_the_place_of_is_left_for_it(tmp_path: Path) -> None:
    path, old = tmp_path / "gateway.db", tmp_path / "old.db"
    async with Database("", tmp_path) as database:
        async with database.write() as connection:
            await put(connection, "old")
        # Several connections are open, each of which would go on with the file that it knows.
        async with database.read(), database.read():
            pass
        path.rename(old)
        for suffix in ("-wal", "-shm"):
            path.with_name(path.name + suffix).rename(old.with_name(old.name + suffix))
        async with Database("", tmp_path) as other:
            async with other.write() as connection:
                await put(connection, "new")
            assert await names(database) == ["new"]
            async with database.read(), database.write() as connection:
                await put(connection, "newer")
            assert await names(other) == ["new", "newer"]
        assert database.generation == 1
    async with Database(f"sqlite:///{old}", tmp_path) as restored:
        assert await names(restored) == ["old"]


async def test_a_sqlite_file_that_is_gone_is_missed_until_it_is_back(tmp_path: Path) -> None:
    path, away = tmp_path / "gateway.db", tmp_path / "away.db"
    async with Database("", tmp_path) as database:
        path.rename(away)
        with pytest.raises(StoreUnavailableError, match="gone; put it back"):
            async with database.write() as connection:
                await put(connection, "lost")
        assert not path.is_file()
        away.rename(path)
        async with database.write() as connection:
            await put(connection, "kept")
        assert await names(database) == ["kept"]
