"""Client keys in the database."""

from __future__ import annotations

import asyncio
import json
import secrets
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Final

from attrs import asdict, define, evolve, field, fields
from sqlalchemy import RowMapping, delete, insert, or_, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from gateway.actors.keys import FormerKey, StoredKey, hash_key, new_key, secret_id, visible_prefix
from gateway.actors.terms import KeyLimits, KeyTerms
from gateway.store import statements
from gateway.store.engine import Database, database_time
from gateway.store.errors import StoreError
from gateway.store.rows import KnownRows, structure
from gateway.store.statements import KEYS, bump, locking
from gateway.store.tables import client_keys, former_keys, key_terms

__all__ = ["Also", "ClientKeyStore", "KeyMeantError", "changed_terms", "stored_keys"]

_LIMITS = tuple(one.name for one in fields(KeyLimits))
_AT_A_TIME: Final = 200
"""Keys that are looked at before others have their turn."""


Also = Callable[[AsyncConnection, StoredKey | None, StoredKey], Awaitable[None]]
"""Called within the transaction that changes a key, with what it was like, if it was there, and what it is
like now; what it writes there is written if and only if the change is."""


async def _nothing_else(_connection: AsyncConnection, _before: StoredKey | None, _after: StoredKey) -> None:
    pass


class KeyMeantError(Exception):
    """It is not clear which key is meant; the message says why and what to do."""


@define(frozen=True)
class _Row:
    """A row of `client_keys`."""

    id: str
    name: str
    digest: str = field(repr=False)
    prefix: str
    created_at: str
    revoked_at: str | None
    secret_id: str | None


@define(frozen=True)
class _TermsRow:
    """A row of `key_terms`, but for the limits."""

    key_id: str
    expires_at: float | None
    models: str | None


@define(frozen=True)
class _TermsOf:
    """What a key may do."""

    key_id: str
    terms: KeyTerms


@define(frozen=True)
class _FormerOf:
    """A key that another one took the place of."""

    key_id: str
    former: FormerKey = field(repr=False)


@define(eq=False)
class _KnownKeys:
    """All keys as they were last read."""

    _rows: KnownRows[_Row] = field(factory=lambda: KnownRows(_row), init=False)
    _terms: KnownRows[_TermsOf] = field(factory=lambda: KnownRows(_terms_of), init=False)
    _former: KnownRows[_FormerOf] = field(factory=lambda: KnownRows(_former_of), init=False)
    _keys: dict[str, tuple[_Row, _TermsOf | None, tuple[_FormerOf, ...], StoredKey]] = field(
        factory=dict, init=False
    )

    async def read(self, connection: AsyncConnection) -> list[StoredKey]:
        """Return all keys, the newest first."""
        query = select(client_keys).order_by(client_keys.c.created_at.desc(), client_keys.c.id)
        valid = former_keys.c.valid_until > database_time() - _REMEMBERED_SECONDS
        rows = await self._rows.read(await connection.execute(query), ("id",))
        all_terms = await self._terms.read(await connection.execute(select(key_terms)), ("key_id",))
        terms = {one.key_id: one for one in all_terms}
        formers: dict[str, tuple[_FormerOf, ...]] = {}
        for one in await self._former.read(
            await connection.execute(select(former_keys).where(valid)), ("digest",)
        ):
            formers[one.key_id] = (*formers.get(one.key_id, ()), one)
        now: dict[str, tuple[_Row, _TermsOf | None, tuple[_FormerOf, ...], StoredKey]] = {}
        for place, row in enumerate(rows, start=1):
            made_of = (row, terms.get(row.id), formers.get(row.id, ()))
            known = self._keys.get(row.id)
            if known is None or known[:3] != made_of:
                known = (*made_of, _stored_key(*made_of))
            now[row.id] = known
            if place % _AT_A_TIME == 0:
                await asyncio.sleep(0)
        self._keys = now
        return [key for _, _, _, key in now.values()]


@define
class ClientKeyStore:
    """Client keys. Every method raises `StoreError` if the database cannot be used."""

    database: Database
    _known: _KnownKeys = field(factory=_KnownKeys, init=False, repr=False)

    async def create(
        self, name: str, pepper: bytes, terms: KeyTerms | None = None, also: Also = _nothing_else
    ) -> tuple[StoredKey, str]:
        """Make a key and return it twice: as stored, and in clear, which is the only time it is seen."""
        key = new_key()
        stored = StoredKey(
            id=f"key_{secrets.token_hex(8)}",
            name=name,
            digest=hash_key(key, pepper),
            prefix=visible_prefix(key),
            created_at=_now(),
            secret_id=secret_id(pepper),
            terms=terms or KeyTerms(),
        )
        async with self.database.write() as connection:
            values = asdict(stored, filter=lambda field, _: field.name not in {"terms", "former"})
            await connection.execute(insert(client_keys).values(values))
            await _write_terms(connection, stored.id, stored.terms)
            await also(connection, None, stored)
            await bump(connection, KEYS)
        return stored, key

    async def all(self) -> list[StoredKey]:
        """Return all keys, the newest first; one that has not changed is the object that it was before."""
        async with self.database.read() as connection:
            return await self._known.read(connection)

    async def ids_of(self, name: str) -> list[str]:
        """Return the ids of the keys of this name that are valid now."""
        columns = client_keys.c
        query = select(columns.id).where(
            columns.name == name, columns.revoked_at.is_(None), columns.id.not_in(_EXPIRED)
        )
        async with self.database.read() as connection:
            return sorted((await connection.execute(query)).scalars())

    async def revoke(
        self, id_or_name: str, *, every: bool = False, is_id: bool = False, also: Also = _nothing_else
    ) -> int:
        """Revoke a key.

        Args:
            id_or_name: which.
            every: revoke all keys of this name, expired ones too.
            is_id: whether it is certainly no name; one may look like another key's id.
            also: called for each.

        Returns:
            How many were revoked: none, if no key has this name that was not revoked before.

        Raises:
            KeyMeantError: several keys have this name, and `every` is not set.
        """
        async with self.database.write() as connection:
            rows = await _those(connection, id_or_name, is_id=is_id)
            if rows and not every:
                rows = [await _only_one(connection, rows, id_or_name, "; or revoke them all with --all")]
            if rows:
                meant, now = client_keys.c.id.in_([row.id for row in rows]), _now()
                await connection.execute(update(client_keys).where(meant).values(revoked_at=now))
                for row in rows:
                    try:
                        terms = await _read_terms(connection, row.id)
                    except StoreError:
                        # A row that cannot be read must not keep a key from being revoked.
                        terms = KeyTerms()
                    revoked = evolve(row, revoked_at=now)
                    await also(connection, _with_terms(row, terms), _with_terms(revoked, terms))
                await bump(connection, KEYS)
        return len(rows)

    async def rotate(
        self,
        id_or_name: str,
        pepper: bytes,
        grace_seconds: float,
        *,
        is_id: bool = False,
        also: Also = _nothing_else,
    ) -> tuple[StoredKey, str]:
        """Make a key that takes the place of another one, with its id, terms and use.

        Args:
            id_or_name: which.
            pepper: to hash it with.
            grace_seconds: for how long the old one is still valid; older ones are for no longer.
            is_id: as in `revoke`; and so is the next one.
            also: called for the key, without its terms.

        Raises:
            KeyMeantError: no valid key has this name, or several have.
        """
        key = new_key()
        async with self.database.write() as connection:
            row = await _the_one(connection, id_or_name, is_id=is_id)
            old = former_keys.c
            until = database_time() + grace_seconds
            shorter = update(former_keys).where(old.key_id == row.id, old.valid_until > until)
            await connection.execute(shorter.values(valid_until=until))
            await connection.execute(
                insert(former_keys).values(digest=row.digest, key_id=row.id, valid_until=until)
            )
            forgotten = old.valid_until < database_time() - _REMEMBERED_SECONDS
            await connection.execute(delete(former_keys).where(forgotten))
            changed = evolve(
                row, digest=hash_key(key, pepper), prefix=visible_prefix(key), secret_id=secret_id(pepper)
            )
            await connection.execute(update(client_keys).where(client_keys.c.id == row.id).values(asdict(changed)))
            stored = StoredKey(**asdict(changed))
            await also(connection, StoredKey(**asdict(row)), stored)
            await bump(connection, KEYS)
        return stored, key

    async def find(self, id_or_name: str) -> StoredKey:
        """Return a key that is not revoked, without its terms.

        Raises:
            KeyMeantError: no valid key has this name, or several have.
        """
        async with self.database.read() as connection:
            return StoredKey(**asdict(await _the_one(connection, id_or_name)))

    async def change_terms(
        self,
        id_or_name: str,
        changes: Mapping[str, Any],
        *,
        name: str | None = None,
        is_id: bool = False,
        also: Also = _nothing_else,
    ) -> StoredKey:
        """Change what a key may do, and what it is called.

        Args:
            id_or_name: which.
            changes: `expires_at`, `models`, and fields of `KeyLimits`, as far as they change; None for no limit.
            name: a new one; None to leave it.
            is_id: as in `revoke`; and so is the next one.
            also: called for the key.

        Returns:
            The key as it is now.

        Raises:
            KeyMeantError: no valid key has this name, or several have.
        """
        async with self.database.write() as connection:
            row = await _the_one(connection, id_or_name, is_id=is_id)
            terms = await _read_terms(connection, row.id)
            before = _with_terms(row, terms)
            terms = changed_terms(terms, changes)
            await _write_terms(connection, row.id, terms)
            if name is not None:
                row = evolve(row, name=name)
                await connection.execute(update(client_keys).where(client_keys.c.id == row.id).values(name=name))
            after = _with_terms(row, terms)
            await also(connection, before, after)
            await bump(connection, KEYS)
        return after


def stored_keys(
    rows: Iterable[RowMapping], terms: Iterable[RowMapping], former: Sequence[RowMapping]
) -> list[StoredKey]:
    """Return rows of `client_keys` as objects, with what other tables have of them.

    Args:
        rows: of `client_keys`; other columns are ignored.
        terms: rows of `key_terms`, of these keys or any.
        former: rows of `former_keys`, likewise.

    Raises:
        StoreError: one is none that the gateway can have written.
    """
    terms_of = {row["key_id"]: _terms_of(row) for row in terms}
    formers: dict[str, list[_FormerOf]] = {}
    for row in former:
        formers.setdefault(row["key_id"], []).append(_former_of(row))
    return [
        _stored_key(row, terms_of.get(row.id), formers.get(row.id, ()))
        for row in structure(_Row, rows, client_keys.name)
    ]


def _row(row: RowMapping) -> _Row:
    return structure(_Row, (row,), client_keys.name)[0]


def _terms_of(row: RowMapping) -> _TermsOf:
    return _TermsOf(row["key_id"], _terms(row))


def _former_of(row: RowMapping) -> _FormerOf:
    return _FormerOf(row["key_id"], structure(FormerKey, (row,), former_keys.name)[0])


def _stored_key(row: _Row, terms: _TermsOf | None, former: Iterable[_FormerOf]) -> StoredKey:
    return StoredKey(
        **asdict(row),
        terms=KeyTerms() if terms is None else terms.terms,
        former=tuple(one.former for one in former),
    )


def changed_terms(terms: KeyTerms, changes: Mapping[str, Any]) -> KeyTerms:
    """Return terms with changes, which are by the names of the fields of `KeyTerms` and `KeyLimits`."""
    limits = evolve(terms.limits, **{name: changes[name] for name in _LIMITS if name in changes})
    expires_at = changes.get("expires_at", terms.expires_at)
    return KeyTerms(expires_at, tuple(changes.get("models", terms.models) or ()), limits)


_REMEMBERED_SECONDS = 30 * 86_400.0
"""For which who presents a key that was replaced is told so."""


_EXPIRED = select(key_terms.c.key_id).where(key_terms.c.expires_at <= database_time())


async def _those(connection: AsyncConnection, id_or_name: str, *, is_id: bool = False) -> list[_Row]:
    """Return the keys with this id or name that are not revoked."""
    meant = client_keys.c.id == id_or_name
    if not is_id:
        meant = or_(meant, client_keys.c.name == id_or_name)
    query = select(client_keys).where(meant, client_keys.c.revoked_at.is_(None))
    rows = (await connection.execute(locking(query))).mappings().all()
    return structure(_Row, rows, client_keys.name)


async def _only_one(connection: AsyncConnection, rows: list[_Row], id_or_name: str, or_else: str = "") -> _Row:
    """Return the one that is meant of several keys: the one that has not expired.

    Raises:
        KeyMeantError: it is not clear which; the message ends with `or_else`.
    """
    if len(rows) > 1:
        expired = set((await connection.execute(_EXPIRED)).scalars())
        rows = [row for row in rows if row.id not in expired] or rows
    if len(rows) > 1:
        ids = ", ".join(sorted(row.id for row in rows))
        raise KeyMeantError(f"several keys have the name {id_or_name!r}; say which by its id: {ids}{or_else}")
    return rows[0]


async def _the_one(connection: AsyncConnection, id_or_name: str, *, is_id: bool = False) -> _Row:
    rows = await _those(connection, id_or_name, is_id=is_id)
    if not rows:
        raise KeyMeantError(f"no valid key has the id or name {id_or_name!r}; see `gateway keys list`")
    return await _only_one(connection, rows, id_or_name)


def _with_terms(row: _Row, terms: KeyTerms) -> StoredKey:
    return StoredKey(**asdict(row), terms=terms)


async def _read_terms(connection: AsyncConnection, key_id: str) -> KeyTerms:
    query = select(key_terms).where(key_terms.c.key_id == key_id)
    found = (await connection.execute(query)).mappings().first()
    return _terms(found) if found is not None else KeyTerms()


async def _write_terms(connection: AsyncConnection, key_id: str, terms: KeyTerms) -> None:
    if terms == KeyTerms():
        await connection.execute(delete(key_terms).where(key_terms.c.key_id == key_id))
        return
    values = asdict(terms.limits) | {
        "expires_at": terms.expires_at,
        "models": json.dumps(terms.models) if terms.models else None,
    }
    row = statements.insert(connection, key_terms).values(key_id=key_id, **values)
    await connection.execute(row.on_conflict_do_update(index_elements=[key_terms.c.key_id], set_=values))


def _terms(row: Mapping[str, Any]) -> KeyTerms:
    """Return a row of `key_terms` as an object.

    Raises:
        StoreError: it is none that the gateway can have written.
    """
    values: Any = [row]
    of_row = structure(_TermsRow, values, key_terms.name)[0]
    try:
        models = json.loads(of_row.models or "[]")
    except (RecursionError, ValueError):
        models = None
    if not isinstance(models, list) or not all(isinstance(one, str) for one in models):
        raise StoreError(
            f"the table {key_terms.name} of the database holds a row that the gateway cannot have written; "
            "restore the database from a copy, or delete that row"
        )
    limits = structure(KeyLimits, values, key_terms.name)[0]
    return KeyTerms(of_row.expires_at, tuple(models), limits)


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="milliseconds")
