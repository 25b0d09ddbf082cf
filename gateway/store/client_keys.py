"""Client keys in the database."""

from __future__ import annotations

import secrets
from datetime import UTC, datetime

from attrs import asdict, define
from sqlalchemy import insert, or_, select, update

from gateway.actors.keys import StoredKey, hash_key, new_key, secret_id, visible_prefix
from gateway.store.engine import Database
from gateway.store.rows import structure
from gateway.store.statements import KEYS, bump
from gateway.store.tables import client_keys

__all__ = ["ClientKeyStore"]


@define
class ClientKeyStore:
    """Client keys. Every method raises `StoreError` if the database cannot be used."""

    database: Database

    async def create(self, name: str, pepper: bytes) -> tuple[StoredKey, str]:
        """Make a key and return it twice: as stored, and in clear, which is the only time it is seen."""
        key = new_key()
        stored = StoredKey(
            id=f"key_{secrets.token_hex(8)}",
            name=name,
            digest=hash_key(key, pepper),
            prefix=visible_prefix(key),
            created_at=_now(),
            secret_id=secret_id(pepper),
        )
        async with self.database.write() as connection:
            await connection.execute(insert(client_keys).values(asdict(stored)))
            await bump(connection, KEYS)
        return stored, key

    async def all(self) -> list[StoredKey]:
        """Return all keys, the newest first."""
        query = select(client_keys).order_by(client_keys.c.created_at.desc(), client_keys.c.id)
        async with self.database.read() as connection:
            rows = (await connection.execute(query)).mappings().all()
        return structure(StoredKey, rows, client_keys.name)

    async def revoke(self, id_or_name: str) -> int:
        """Revoke the keys with this id or name; return how many were valid until now."""
        meant = or_(client_keys.c.id == id_or_name, client_keys.c.name == id_or_name)
        statement = update(client_keys).where(meant, client_keys.c.revoked_at.is_(None)).values(revoked_at=_now())
        async with self.database.write() as connection:
            revoked = (await connection.execute(statement)).rowcount
            if revoked:
                await bump(connection, KEYS)
        return revoked


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="milliseconds")
