"""The database: where it is, how to read and write it, and what time it has.

SQLite has one writer at a time: a process queues its own, and waits for those of others. PostgreSQL is for several
hosts. Whatever goes wrong comes out as a `StoreError`, which says what to do and holds no value and no password.
"""

from __future__ import annotations

import asyncio
import errno
import os
import sqlite3
import time
from collections.abc import AsyncGenerator, Callable, Generator
from contextlib import asynccontextmanager, contextmanager, suppress
from datetime import UTC, datetime
from enum import Enum
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self, TypeVar
from urllib.parse import parse_qs, unquote, urlsplit
from weakref import WeakKeyDictionary

import asyncpg
from attrs import define, field
from sqlalchemy import URL, Connection, Double, event, exc, select
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.functions import FunctionElement

from gateway.config import Settings
from gateway.store.errors import StoreBusyError, StoreError, StoreUnavailableError, as_store_error
from gateway.store.schema import Schema
from gateway.store.sqlite_thread import (
    READ_TEXT,
    SQLITE_SETTINGS,
    FileIdentity,
    OtherFileError,
    SqliteThread,
    identity,
)
from gateway.telemetry.logs import get_logger

__all__ = ["Database", "Opening", "StoreError", "StoreUnavailableError", "database_path", "database_time"]

_log = get_logger(__name__)

_T = TypeVar("_T")
_BUSY_SECONDS: Final = 5.0
"""How long a writer waits for another one."""
_CONNECT_SECONDS: Final = 5.0
_COMMAND_SECONDS: Final = 10.0
_POOL_SECONDS: Final = 5.0
_POOL_SIZE: Final = 5
_LOOK_AGAIN_SECONDS: Final = 0.05
_SLOW_ANSWER_SECONDS: Final = 1.0
"""An answer to "what time is it" that took longer says little."""
_TRIES: Final = 3
_WRITES: Final = "gateway_writes"
_FILE: Final = "gateway_file"
_POSTGRES_SCHEMES: Final = frozenset({"postgres", "postgresql", "postgres+asyncpg", "postgresql+asyncpg"})
_SQLITE_SCHEMES: Final = frozenset({"sqlite", "sqlite+aiosqlite"})
_TROUBLE: Final = (
    exc.SQLAlchemyError,
    sqlite3.Error,
    asyncpg.PostgresError,
    asyncpg.InterfaceError,
    asyncpg.InternalClientError,
    OSError,
    UnicodeError,
)
_UNREADABLE_URL: Final = (
    "GATEWAY_DATABASE_URL cannot be read; it must be postgresql://USER:PASSWORD@HOST:PORT/DATABASE, with special "
    "characters in the user and the password written as %40 and the like"
)
_READ_ONLY: Final = "25006"
"""SQLSTATE of a write to a server that takes none."""
_APPLICATION: Final = "application_name"
_SETTINGS_OF_SESSION: Final = {
    # A host that vanishes in the middle of a write must not keep its locks.
    "idle_in_transaction_session_timeout": str(int(_COMMAND_SECONDS * 1000)),
    "lock_timeout": str(int(_BUSY_SECONDS * 1000)),
}


class database_time(FunctionElement[float]):  # noqa: N801 - reads as the function of SQL that it is
    """The database's clock in Unix seconds, for use inside statements: all hosts agree on it."""

    type = Double()
    inherit_cache = True


@compiles(database_time, "sqlite")
def _time_in_sqlite(*_: Any, **__: Any) -> str:
    return "((julianday('now') - 2440587.5) * 86400.0)"


@compiles(database_time, "postgresql")
def _time_in_postgres(*_: Any, **__: Any) -> str:
    return "CAST(extract(epoch FROM clock_timestamp()) AS DOUBLE PRECISION)"


def database_path(url: str, data_dir: Path) -> Path:
    """Return the SQLite file that a database URL means.

    Args:
        url: `sqlite:///relative.db`, `sqlite:////absolute.db`, the same with `sqlite+aiosqlite`, or empty for
            `gateway.db` in the data directory.
        data_dir: the data directory.

    Raises:
        StoreError: the URL is of another kind.
    """
    if not url:
        return data_dir / "gateway.db"
    scheme, separator, path = url.partition(":///")
    name = unquote(path)
    if scheme not in _SQLITE_SCHEMES or not separator or not name or name.startswith(":memory:"):
        raise StoreError(
            "GATEWAY_DATABASE_URL must be sqlite:///FILE or postgresql://USER:PASSWORD@HOST/DATABASE"
            + (", with a file: workers share it" if name.startswith(":memory:") else "")
        )
    if "\0" in name:
        raise StoreError("GATEWAY_DATABASE_URL must not contain a NUL character")
    return Path(name)


class Opening(Enum):
    """What may be done to a database so that it can be used."""

    UPGRADE = "upgrade"
    """Make what is missing, and bring the tables of an older version up to date."""
    MAKE = "make"
    """Make a database that is not there. The gateway of an older one may be running: it is refused."""
    EXISTING = "existing"
    """Make nothing. One that is not there is taken for an empty one; an older one is refused."""


@define(eq=False)
class Database:
    """A database that is open between `open` and `close`, or for as long as `async with` lasts."""

    url: str = field(repr=False)
    """GATEWAY_DATABASE_URL; empty for the SQLite file in the data directory."""
    data_dir: Path
    opening: Opening = Opening.UPGRADE
    _engine: AsyncEngine | None = field(default=None, init=False, repr=False)
    _writer: asyncio.Lock = field(factory=asyncio.Lock, init=False, repr=False)
    _offset: float = field(init=False, repr=False)
    _is_upgrading: bool = field(default=False, init=False, repr=False)
    _is_stand_in: bool = field(default=False, init=False, repr=False)
    """Whether this is an empty database in memory, in the place of one that is not there."""
    _direct: SqliteThread | None = field(default=None, init=False, repr=False)
    _file: FileIdentity | None = field(default=None, init=False, repr=False)
    """The SQLite file, whatever its name is now."""
    generation: int = field(default=0, init=False)
    """Rises when another SQLite file takes the place of the one that was open: what was read is of that one."""

    def __attrs_post_init__(self) -> None:
        """Begin with this machine's clock, until the database has told its own."""
        self._offset = datetime.now(UTC).timestamp() - time.monotonic()

    @classmethod
    def of(cls, settings: Settings, opening: Opening = Opening.UPGRADE) -> Database:
        """Return the database that the settings name."""
        return cls(settings.database_url, settings.data_path, opening)

    @property
    def is_postgres(self) -> bool:
        """Whether it is PostgreSQL; otherwise it is SQLite."""
        return self.url.partition(":")[0] in _POSTGRES_SCHEMES

    @property
    def name(self) -> str:
        """What people are told of where it is; never the password."""
        if not self.is_postgres:
            return str(database_path(self.url, self.data_dir))
        rest = self.url.partition("://")[2]
        authority, mark, path = rest.partition("?")[0].partition("/")
        if "@" in rest[len(authority) :]:
            # It may be in a password that was not written as it should be, and so may be what stands before it.
            return "PostgreSQL"
        return f"PostgreSQL at {authority.rpartition('@')[2]}{mark}{path}"

    async def __aenter__(self) -> Self:
        """Open it."""
        await self.open()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close it."""
        await self.close()

    async def open(self) -> None:
        """Connect, and see to the tables as far as `opening` says.

        Raises:
            StoreError: the database cannot be used.
        """
        try:
            with self._told():
                # In a thread: it makes the file and reads modules.
                self._engine = await asyncio.to_thread(self._make_engine)
                if self.opening is Opening.EXISTING and not self._is_stand_in and not await self._has_tables():
                    await self.close()
                    self._engine = self._stand_in()
                await self._upgrade()
                await self.now()
        except BaseException:
            await self.close()
            raise

    async def close(self) -> None:
        """Close all connections."""
        engine, self._engine = self._engine, None
        direct, self._direct = self._direct, None
        self._is_stand_in = False
        if direct is not None:
            await direct.close()
        if engine is not None:
            await engine.dispose()

    @asynccontextmanager
    async def read(self) -> AsyncGenerator[AsyncConnection]:
        """Give a connection to read with.

        Raises:
            StoreError: the database cannot be used, on entry or by any statement inside.
        """
        with self._told():
            await self._look_at_file()
            async with self._connected() as connection:
                if self.is_postgres and not self._is_stand_in:
                    connection = await connection.execution_options(isolation_level="AUTOCOMMIT")  # noqa: PLW2901 - the same one
                yield connection

    @asynccontextmanager
    async def write(self) -> AsyncGenerator[AsyncConnection]:
        """Give a connection to write with; what was written lasts if the block ends well, and only then.

        Nothing but statements belongs into the block: all other writers wait for it.

        Raises:
            StoreError: the database cannot be used, on entry, by any statement inside, or at the commit.
        """
        with self._told():
            await self._look_at_file()
            async with self._turn(), self._connected() as connection:
                connection = await connection.execution_options(**{_WRITES: True})  # noqa: PLW2901 - the same one
                await connection.begin()
                try:
                    yield connection
                    await connection.commit()
                except BaseException:
                    # Of one whose statement was cancelled nothing is left to roll back: it is closed.
                    await connection.rollback()
                    raise

    async def write_to_sqlite(self, work: Callable[[sqlite3.Connection], _T]) -> _T:
        """Do work in one transaction of a SQLite database, with the fewest trips to a thread.

        Args:
            work: statements, and nothing else; it is called in another thread.

        Raises:
            StoreError: the database cannot be used; nothing of the work was done.
        """
        with self._told():
            for _ in range(_TRIES):
                async with self._turn():
                    if self._direct is None:
                        raise StoreUnavailableError(f"the database {self.name} is not open")
                    with suppress(OtherFileError):
                        return await self._direct.write(self._file, work)
                await self._look_at_file()
        raise StoreUnavailableError(f"the database {self.name} is being replaced; try again")

    async def now(self) -> float:
        """Return the database's clock, in Unix seconds, and set `clock` by it.

        Raises:
            StoreError: the database cannot be used.
        """
        async with self.read() as connection:
            before = time.monotonic()
            told = float((await connection.execute(select(database_time()))).scalar_one())
            self.set_clock(told, before)
            return told

    def clock(self) -> float:
        """Return what the database's clock should show now, in Unix seconds, without asking it."""
        return time.monotonic() + self._offset

    def set_clock(self, told: float, asked_at: float) -> None:
        """Set `clock` by an answer of the database that came in just now.

        Args:
            told: the database's clock, in Unix seconds.
            asked_at: when it was asked, on the monotonic clock.
        """
        answered_at = time.monotonic()
        if answered_at - asked_at <= _SLOW_ANSWER_SECONDS:
            self._offset = told - (asked_at + answered_at) / 2

    async def migrate(self, revision: str) -> None:
        """Bring the tables to a revision of the schema, be it older or newer; `base` for what 0.1.0 had.

        Raises:
            StoreError: the database cannot be used.
        """
        schema = await asyncio.to_thread(Schema.load)
        async with _one_at_a_time(), self.write() as connection:
            await connection.run_sync(schema.migrate, revision)

    async def _upgrade(self) -> None:
        if self._is_upgrading:
            return
        self._is_upgrading = True
        try:
            # Alembic has one place for the connection that a migration is run on, for all databases of a process.
            async with _one_at_a_time():
                await self._upgrade_alone()
        finally:
            self._is_upgrading = False

    async def _has_tables(self) -> bool:
        schema = await asyncio.to_thread(Schema.load)
        async with self.read() as connection:
            return bool(await connection.run_sync(schema.revision))

    async def _upgrade_alone(self) -> None:
        schema = await asyncio.to_thread(Schema.load)
        deadline = time.monotonic() + _BUSY_SECONDS
        while True:
            try:
                async with self.read() as connection:
                    if await connection.run_sync(schema.is_current):
                        return
                    if self.opening is Opening.EXISTING and not self._is_stand_in:
                        await connection.run_sync(schema.refuse_older)
                        raise self._gone()
                async with self.write() as connection:
                    only_new = self.opening is not Opening.UPGRADE
                    before = await connection.run_sync(partial(schema.upgrade, only_new=only_new))
                if before is not None:
                    if before not in ("", schema.head):
                        _log.info("the database was brought up to date", before=before, now=schema.head)
                    return
            except StoreBusyError:
                # The first processes of a new SQLite file are in each other's way for a moment, with no waiting
                # in SQLite itself.
                if time.monotonic() >= deadline:
                    raise
            await asyncio.sleep(_LOOK_AGAIN_SECONDS)

    async def _look_at_file(self) -> None:
        """See that the SQLite file is still the one that its name means.

        Otherwise what is written would be lost with the last connection, and what people change never seen.
        """
        if self.is_postgres or self._is_stand_in or self._engine is None:
            return
        found = await asyncio.to_thread(identity, database_path(self.url, self.data_dir))
        if found == self._file:
            return
        if found is None:
            raise self._gone()
        known, self._file = self._file, found
        if known is None:
            return
        self.generation += 1
        try:
            await self._upgrade()
        except BaseException:
            self._file = known
            raise

    def _gone(self) -> StoreUnavailableError:
        return StoreUnavailableError(f"the database {self.name} is gone; put it back, or start the gateway again")

    @asynccontextmanager
    async def _turn(self) -> AsyncGenerator[None]:
        if self.is_postgres and not self._is_stand_in:
            yield
            return
        async with asyncio.timeout(_BUSY_SECONDS):
            await self._writer.acquire()
        try:
            yield
        finally:
            self._writer.release()

    @asynccontextmanager
    async def _connected(self) -> AsyncGenerator[AsyncConnection]:
        if self._engine is None:
            raise StoreUnavailableError(f"the database {self.name} is not open")
        connection = self._engine.connect()
        await connection.start()
        try:
            if not self.is_postgres and not self._is_stand_in:
                await _keep_to(connection, self._file)
            yield connection
        except exc.DBAPIError as error:
            if getattr(error.orig, "sqlstate", None) == _READ_ONLY:
                # It may have become a standby; by the same name another server may take writes now.
                await connection.invalidate()
            raise
        finally:
            await connection.close()

    @contextmanager
    def _told(self) -> Generator[None]:
        try:
            yield
        except _TROUBLE as error:
            raise as_store_error(error, self.name) from None

    def _make_engine(self) -> AsyncEngine:
        if self.is_postgres:
            return _postgres_engine(self.url)
        path = database_path(self.url, self.data_dir).absolute()
        if self.opening is Opening.EXISTING and not path.exists():
            return self._stand_in()
        self._prepare(path)
        self._direct = SqliteThread(path, _BUSY_SECONDS)
        return _sqlite_engine(path)

    def _prepare(self, path: Path) -> None:
        """Make the file, and see that it can be written.

        Raises:
            StoreUnavailableError: it cannot.
        """
        elsewhere = f"set {'GATEWAY_DATABASE_URL' if self.url else 'GATEWAY_DATA_DIR'} to another place"
        try:
            _make_file(path)
            is_read_only = bool(os.statvfs(path.parent).f_flag & os.ST_RDONLY)
        except OSError as error:
            is_read_only = error.errno == errno.EROFS
            if not is_read_only:
                why = error.strerror or type(error).__name__
                raise StoreUnavailableError(f"cannot make the database {self.name}: {why}; {elsewhere}") from None
        if is_read_only:
            raise StoreUnavailableError(
                f"cannot use the database {self.name}: its file system is read-only, and reading takes writing "
                f"too; mount it for writing, or {elsewhere}"
            )

    def _stand_in(self) -> AsyncEngine:
        self._is_stand_in = True
        return _prepared(create_async_engine("sqlite+aiosqlite://", connect_args={"isolation_level": None}))


async def _keep_to(connection: AsyncConnection, file: FileIdentity | None) -> None:
    """Connect anew where a connection of the pool is to a file that another one has taken the place of."""
    info = (await connection.get_raw_connection()).info
    if info.setdefault(_FILE, file) != file:
        await connection.invalidate()


_upgrading: Final[WeakKeyDictionary[asyncio.AbstractEventLoop, asyncio.Lock]] = WeakKeyDictionary()


def _one_at_a_time() -> asyncio.Lock:
    return _upgrading.setdefault(asyncio.get_running_loop(), asyncio.Lock())


def _make_file(path: Path) -> None:
    """Make the file, if it is not there, readable by its owner only; directories too.

    One that was copied here, or made by another program, is closed to others as well.
    """
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    if not path.exists():
        os.close(os.open(path, os.O_CREAT | os.O_WRONLY, 0o600))
    for file in (path, path.with_name(f"{path.name}-wal"), path.with_name(f"{path.name}-shm")):
        # Not another user's to close.
        with suppress(OSError):
            if file.is_file() and file.stat().st_mode & 0o077:
                file.chmod(0o600)


def _sqlite_engine(path: Path) -> AsyncEngine:
    return _prepared(
        create_async_engine(
            URL.create("sqlite+aiosqlite", database=str(path)),
            # Transactions begin below, and nowhere else.
            connect_args={"timeout": _BUSY_SECONDS, "isolation_level": None},
            pool_size=_POOL_SIZE,
            pool_timeout=_POOL_SECONDS,
            hide_parameters=True,
        )
    )


def _prepared(engine: AsyncEngine) -> AsyncEngine:
    event.listen(engine.sync_engine, "connect", _set_up_sqlite)
    event.listen(engine.sync_engine, "begin", _begin_in_sqlite)
    return engine


def _set_up_sqlite(connection: Any, _: Any) -> None:
    connection.driver_connection.text_factory = READ_TEXT
    cursor = connection.cursor()
    for setting in SQLITE_SETTINGS:
        cursor.execute(f"PRAGMA {setting}")
    cursor.close()


def _begin_in_sqlite(connection: Connection) -> None:
    # A transaction that begins by reading could not wait for another writer when it comes to write.
    writes = connection.get_execution_options().get(_WRITES)
    connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")


def _postgres_engine(url: str) -> AsyncEngine:
    dsn = "postgresql://" + url.partition("://")[2]
    try:
        options = parse_qs(query, strict_parsing=True) if (query := urlsplit(dsn).query) else {}
        readable = all(port != 0 for port in _ports(dsn))
    except ValueError:
        readable = False
    if not readable:
        raise StoreError(_UNREADABLE_URL)
    own_name = {} if _APPLICATION in options else {_APPLICATION: "claude-stream-gateway"}
    return create_async_engine(
        "postgresql+asyncpg://",
        async_creator=partial(_connect_to_postgres, dsn, _SETTINGS_OF_SESSION | own_name),
        pool_size=_POOL_SIZE,
        pool_timeout=_POOL_SECONDS,
        pool_pre_ping=True,
        hide_parameters=True,
    )


def _ports(dsn: str) -> list[int | None]:
    """Return the port of each host; there may be several, with commas between them.

    Raises:
        ValueError: one of them is none, or the user and the password do not end where they should.
    """
    hosts = urlsplit(dsn).netloc
    if "@" in hosts:
        _, _, hosts = hosts.partition("@")
        if "@" in hosts:
            raise ValueError(hosts.count("@"))
    return [urlsplit(f"//{host}").port for host in hosts.split(",")]


async def _connect_to_postgres(dsn: str, settings: dict[str, str]) -> asyncpg.Connection:
    try:
        return await asyncpg.connect(
            dsn, timeout=_CONNECT_SECONDS, command_timeout=_COMMAND_SECONDS, server_settings=settings
        )
    except (asyncpg.InterfaceError, UnicodeError, OSError):
        raise
    except ValueError:
        # An option that is no number, for one; it is quoted there.
        raise StoreError(_UNREADABLE_URL) from None
