"""What the doctor looks at in the database. It only reads: no table is made and none is changed."""

from __future__ import annotations

import asyncio
import socket
import sqlite3
import urllib.parse
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import asyncpg

from gateway.canary.findings import Finding, Level, Part
from gateway.config import Settings
from gateway.store.engine import Database, database_path
from gateway.store.errors import StoreError, as_store_error
from gateway.store.schema import Schema

__all__ = ["look_at_database"]

_SECONDS: Final = 5.0
_CHECK: Final = "database"
_CONNECTIONS_PER_PROCESS: Final = 5
_CLOCK_SECONDS: Final = 5.0
_WAL: Final = b"\x02\x02"
"""Write and read version in the header of a file in WAL mode (SQLite's file format, section 1.3.3)."""


def look_at_database(settings: Settings) -> Iterator[Finding]:
    """See that it is there, of this version, and fit for what is to use it."""
    database = Database.of(settings)
    try:
        name = database.name
        if database.is_postgres:
            yield from asyncio.run(_postgres(settings, name))
        else:
            yield from _sqlite(database_path(settings.database_url, settings.data_path), name)
    except StoreError as error:
        yield _finding(Level.PROBLEM, str(error), "set GATEWAY_DATABASE_URL, or see to the database")


def _finding(level: Level, what: str, fix: str = "") -> Finding:
    return Finding(Part.MACHINE, _CHECK, level, what, fix)


def _schema(revisions: set[str], name: str) -> Finding:
    schema = Schema.load()
    if revisions - schema.known:
        return _finding(
            Level.PROBLEM,
            f"{name} was made by a newer version of the gateway",
            "run that version, or set GATEWAY_DATABASE_URL to another database",
        )
    if revisions == {schema.head}:
        return _finding(Level.OK, f"{name} has the tables of this version ({schema.head})")
    return _finding(
        Level.WARNING,
        f"{name} has the tables of an older version ({', '.join(sorted(revisions)) or 'none'}); the next start "
        f"brings them to {schema.head}",
        "copy the database first",
    )


def _sqlite(path: Path, name: str) -> Iterator[Finding]:
    if not path.exists():
        yield _finding(Level.OK, f"there is no {name} yet; the first start makes it")
        return
    if path.stat().st_mode & 0o077:
        yield _finding(Level.WARNING, f"others can read {name}", f"chmod 600 {path}")
    # Without a journal nobody has it open, and nothing need be made beside it to read it.
    options = "mode=ro" if path.with_name(f"{path.name}-wal").exists() else "mode=ro&immutable=1"
    url = f"file:{urllib.parse.quote(str(path.absolute()))}?{options}"
    try:
        with closing(sqlite3.connect(url, uri=True, timeout=_SECONDS)) as connection:
            tables = {table for (table,) in connection.execute("SELECT name FROM sqlite_master")}
            revisions = set[str]()
            if "alembic_version" in tables:
                revisions = {row[0] for row in connection.execute("SELECT version_num FROM alembic_version")}
            others = _other_hosts(connection) if "refresh_leases" in tables else set()
    except sqlite3.Error as error:
        raise as_store_error(error, name) from None
    yield _schema(revisions, name)
    with path.open("rb") as file:
        is_wal = file.read(20)[18:] == _WAL
    if not is_wal:
        yield _finding(
            Level.WARNING, f"{name} is not in WAL mode", "the next start sets it; until then readers block writers"
        )
    if others:
        yield _finding(
            Level.WARNING,
            f"{name} is being used by other hosts: {', '.join(sorted(others))}",
            "set GATEWAY_DATABASE_URL to a PostgreSQL: SQLite is for one host",
        )


def _other_hosts(connection: sqlite3.Connection) -> set[str]:
    """Return the names of hosts, other than this, that hold a lease at this moment."""
    rows = connection.execute(
        "SELECT owner FROM refresh_leases WHERE expires_at > (julianday('now') - 2440587.5) * 86400.0"
    )
    return {owner.partition(":")[0] for (owner,) in rows} - {socket.gethostname()}


async def _postgres(settings: Settings, name: str) -> list[Finding]:
    dsn = "postgresql://" + settings.database_url.partition("://")[2]
    try:
        async with asyncio.timeout(2 * _SECONDS):
            connection = await asyncpg.connect(
                dsn,
                timeout=_SECONDS,
                command_timeout=_SECONDS,
                server_settings={"default_transaction_read_only": "on"},
            )
            try:
                return await _look_at_postgres(connection, settings, name)
            finally:
                await connection.close(timeout=_SECONDS)
    except (asyncpg.PostgresError, asyncpg.InterfaceError, asyncpg.InternalClientError, OSError) as error:
        raise as_store_error(error, name) from None
    except ValueError:
        raise StoreError(
            "GATEWAY_DATABASE_URL cannot be read; special characters in the user and the password are written "
            "as %40 and the like"
        ) from None


async def _look_at_postgres(connection: Any, settings: Settings, name: str) -> list[Finding]:
    found = []
    revisions = set[str]()
    if await connection.fetchval("SELECT to_regclass('alembic_version')") is not None:
        revisions = {row[0] for row in await connection.fetch("SELECT version_num FROM alembic_version")}
    if revisions:
        found.append(_schema(revisions, name))
    else:
        found.append(_finding(Level.OK, f"{name} is empty; the first start makes its tables"))
    most = int(await connection.fetchval("SHOW max_connections"))
    wanted = _CONNECTIONS_PER_PROCESS * settings.workers
    if wanted > most // 2:
        found.append(
            _finding(
                Level.WARNING,
                f"this host may open {wanted} connections of the {most} that {name} allows",
                "raise max_connections, or set GATEWAY_WORKERS lower",
            )
        )
    if await connection.fetchval("SELECT pg_is_in_recovery()"):
        found.append(
            _finding(
                Level.PROBLEM,
                f"{name} is a standby, which takes no writes",
                "name the primary, or several hosts with target_session_attrs=read-write",
            )
        )
    apart = abs(float(await connection.fetchval("SELECT extract(epoch FROM clock_timestamp())")) - _now())
    if apart > _CLOCK_SECONDS:
        found.append(
            _finding(Level.WARNING, f"the clocks of this machine and of {name} are {apart:.0f} s apart", "use NTP")
        )
    return found


def _now() -> float:
    return datetime.now(UTC).timestamp()
