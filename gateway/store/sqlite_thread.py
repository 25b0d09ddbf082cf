"""A connection to a SQLite file with a thread of its own, where a whole transaction is one trip.

Through SQLAlchemy and aiosqlite each statement, each cursor and the commit are trips of their own to a thread;
while streams run, each costs the event loop time. This is for the one write that every request waits for.
"""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Final, TypeVar

from attrs import define, field

__all__ = ["READ_TEXT", "SQLITE_SETTINGS", "FileIdentity", "OtherFileError", "SqliteThread", "identity"]

_T = TypeVar("_T")
SQLITE_SETTINGS: Final = ("journal_mode = WAL", "synchronous = FULL", "foreign_keys = ON")
"""What every connection is told."""
READ_TEXT: Final = partial(str, encoding="utf-8", errors="backslashreplace")
"""How every connection reads text: bytes that are none are shown, and keep no other row from being read."""
FileIdentity = tuple[int, int]
"""Device and inode."""


class OtherFileError(Exception):
    """By its name there is another file now, or none."""


@define(eq=False)
class SqliteThread:
    """Writes to a file; `close` ends the thread."""

    path: Path
    busy_seconds: float
    """How long to wait for another writer."""
    connection: sqlite3.Connection | None = field(default=None, init=False)
    """For use in the thread only."""
    _file: FileIdentity | None = field(default=None, init=False)
    _thread: ThreadPoolExecutor = field(
        factory=lambda: ThreadPoolExecutor(max_workers=1, thread_name_prefix="sqlite-writer"), init=False
    )

    async def write(self, file: FileIdentity | None, work: Callable[[sqlite3.Connection], _T]) -> _T:
        """Do work in one transaction; when this returns it is on the disk.

        The work goes on, and is committed or not, when the caller is cancelled.

        Args:
            file: that is meant by the name.
            work: statements, and nothing else.

        Raises:
            OtherFileError: the name means another file.
            sqlite3.Error: it could not be done; nothing of it was.
        """
        return await asyncio.get_running_loop().run_in_executor(self._thread, self._write, file, work)

    async def close(self) -> None:
        """Close the connection, and end the thread."""
        with suppress(RuntimeError):  # closed before
            await asyncio.get_running_loop().run_in_executor(self._thread, self._disconnect)
        self._thread.shutdown(wait=False)

    def _write(self, file: FileIdentity | None, work: Callable[[sqlite3.Connection], _T]) -> _T:
        if identity(self.path) != file:
            raise OtherFileError
        if self._file != file or self.connection is None:
            self._disconnect()
            self.connection = self._connect()
            self._file = file
        connection = self.connection
        connection.execute("BEGIN IMMEDIATE")
        try:
            result = work(connection)
            connection.execute("COMMIT")
        except BaseException:
            if connection.in_transaction:
                connection.execute("ROLLBACK")
            raise
        return result

    def _connect(self) -> sqlite3.Connection:
        connection = sqlite3.connect(self.path, timeout=self.busy_seconds, isolation_level=None)
        connection.text_factory = READ_TEXT
        for setting in SQLITE_SETTINGS:
            connection.execute(f"PRAGMA {setting}")
        return connection

    def _disconnect(self) -> None:
        connection, self.connection = self.connection, None
        if connection is not None:
            connection.close()


def identity(path: Path) -> FileIdentity | None:
    """Return which file a name means; None for none."""
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_dev, found.st_ino
