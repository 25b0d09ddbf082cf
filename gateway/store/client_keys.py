"""Client keys in the database."""

from __future__ import annotations

import asyncio
import os
import secrets
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Final
from urllib.parse import unquote

import aiosqlite
from attrs import define

from gateway.actors.keys import StoredKey, hash_key, new_key, visible_prefix

__all__ = ["ClientKeyStore", "StoreError", "database_path"]

_SCHEMA: Final = """
CREATE TABLE IF NOT EXISTS client_keys (
    id TEXT PRIMARY KEY,
    name TEXT NOT NULL,
    digest TEXT NOT NULL UNIQUE,
    prefix TEXT NOT NULL,
    created_at TEXT NOT NULL,
    revoked_at TEXT
)
"""
_COLUMNS: Final = "id, name, digest, prefix, created_at, revoked_at"
_BUSY_MILLISECONDS: Final = 5_000


class StoreError(Exception):
    """The database cannot be used; the message says why and what to do."""


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
    if scheme not in {"sqlite", "sqlite+aiosqlite"} or not separator or not path:
        raise StoreError(f"this version keeps its data in SQLite only; {scheme!r} in GATEWAY_DATABASE_URL is not")
    name = unquote(path)
    if "\0" in name:
        raise StoreError("GATEWAY_DATABASE_URL must not contain a NUL character")
    return Path(name)


@define
class ClientKeyStore:
    """Client keys in a SQLite file."""

    path: Path

    async def create(self, name: str, pepper: bytes) -> tuple[StoredKey, str]:
        """Make a key and return it twice: as stored, and in clear, which is the only time it is seen."""
        key = new_key()
        stored = StoredKey(
            id=f"key_{secrets.token_hex(8)}",
            name=name,
            digest=hash_key(key, pepper),
            prefix=visible_prefix(key),
            created_at=_now(),
        )
        async with self._open() as database:
            await database.execute(
                f"INSERT INTO client_keys ({_COLUMNS}) VALUES (?, ?, ?, ?, ?, ?)",  # noqa: S608 - a constant
                (stored.id, stored.name, stored.digest, stored.prefix, stored.created_at, None),
            )
            await database.commit()
        return stored, key

    async def all(self) -> list[StoredKey]:
        """Return all keys, the newest first."""
        async with self._open() as database:
            query = f"SELECT {_COLUMNS} FROM client_keys ORDER BY created_at DESC, id"  # noqa: S608 - a constant
            async with database.execute(query) as rows:
                return [StoredKey(*row) async for row in rows]

    async def revoke(self, id_or_name: str) -> int:
        """Revoke the keys with this id or name; return how many were valid until now."""
        async with self._open() as database:
            cursor = await database.execute(
                "UPDATE client_keys SET revoked_at = ? WHERE (id = ? OR name = ?) AND revoked_at IS NULL",
                (_now(), id_or_name, id_or_name),
            )
            await database.commit()
            return cursor.rowcount

    def _make_file(self) -> None:
        """Make the file, if it is not there, readable by its owner only; directories too."""
        self.path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        if not self.path.exists():
            os.close(os.open(self.path, os.O_CREAT | os.O_WRONLY, 0o600))

    @asynccontextmanager
    async def _open(self) -> AsyncGenerator[aiosqlite.Connection, None]:
        try:
            await asyncio.to_thread(self._make_file)
            async with aiosqlite.connect(self.path) as database:
                await database.execute(f"PRAGMA busy_timeout = {_BUSY_MILLISECONDS}")
                await database.execute("PRAGMA journal_mode = WAL")
                await database.execute(_SCHEMA)
                yield database
        except (OSError, aiosqlite.Error) as error:
            raise StoreError(f"cannot use the database {self.path}: {error}") from error


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="milliseconds")
