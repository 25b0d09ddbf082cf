"""Users of the dashboard in the database."""

from __future__ import annotations

import json
import secrets
import unicodedata
from collections.abc import Awaitable, Callable, Iterable, Sequence
from typing import Any, Final

from attrs import define, field
from attrs.validators import in_
from sqlalchemy import delete, exists, func, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from gateway.store import statements
from gateway.store.engine import Database, database_time
from gateway.store.errors import StoreError
from gateway.store.rows import structure
from gateway.store.statements import locking
from gateway.store.tables import user_links, user_sessions, users

__all__ = ["ADMIN", "LastAdminError", "NameTakenError", "User", "UserStore", "insert_user", "name_key"]

ADMIN: Final = "admin"
_ROLES: Final = (ADMIN, "viewer")
_COLUMNS: Final = users.c
_Also = Callable[[AsyncConnection], Awaitable[None]]


class NameTakenError(Exception):
    """There is a user of this name already."""


class LastAdminError(Exception):
    """Nobody who can sign in would be an admin any more."""


@define(frozen=True, kw_only=True)
class User:
    """A row of `users`."""

    id: str
    name: str
    role: str = field(validator=in_(_ROLES))
    password: str | None = field(default=None, repr=False)
    """Its hash; None for nobody who can sign in yet."""
    totp: bytes | None = field(default=None, repr=False)
    """Secret of the second factor, encrypted."""
    totp_offered: bytes | None = field(default=None, repr=False)
    """Likewise, of one that is not confirmed yet."""
    totp_step: int = 0
    """The last one whose code was taken."""
    recovery: str = field(default="[]", repr=False)
    """Digests of the codes that stand in for the second factor, as JSON."""
    created_at: float = 0.0

    @property
    def recovery_digests(self) -> Sequence[str]:
        """Digests of the codes that are left.

        Raises:
            StoreError: the database holds something else.
        """
        try:
            found = json.loads(self.recovery)
        except (RecursionError, ValueError):
            found = None
        if not isinstance(found, list) or not all(isinstance(one, str) for one in found):
            raise StoreError(
                f"the table {users.name} of the database holds a row that the gateway cannot have written; "
                "restore the database from a copy, or delete that row"
            )
        return found


def name_key(name: str) -> str:
    """Return a name as it is compared: however it is written, nobody is two users."""
    return unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", name).casefold())


@define(frozen=True)
class UserStore:
    """The table `users`. Every method raises `StoreError` if the database cannot be used."""

    database: Database

    async def all(self) -> list[User]:
        """Return all users, by name."""
        async with self.database.read() as connection:
            rows = (await connection.execute(select(users).order_by(_COLUMNS.name_key))).mappings().all()
        return structure(User, rows, users.name)

    async def find(self, user_id: str) -> User | None:
        """Return the user with this id."""
        return await self._one(_COLUMNS.id == user_id)

    async def named(self, name: str) -> User | None:
        """Return the user of this name, in upper or lower case."""
        return await self._one(_COLUMNS.name_key == name_key(name))

    async def anybody_has_a_password(self) -> bool:
        """Return whether there is somebody who can sign in."""
        query = select(exists().where(_COLUMNS.password.is_not(None)))
        async with self.database.read() as connection:
            return bool((await connection.execute(query)).scalar_one())

    async def count(self) -> int:
        """Return how many users there are."""
        async with self.database.read() as connection:
            return (await connection.execute(select(func.count()).select_from(users))).scalar_one()

    async def add(self, name: str, role: str) -> User:
        """Make a user who has no password yet.

        Raises:
            NameTakenError: there is one of this name.
        """
        async with self.database.write() as connection:
            return await insert_user(connection, name, role)

    async def set_role(self, user_id: str, role: str, visitor_id: str | None = None) -> User | None:
        """Change what a user may do; return the user as before, or None if there is none.

        Args:
            user_id: which.
            role: from now on.
            visitor_id: who does so, if it is a user.

        Raises:
            LastAdminError: as it says.
        """
        async with self.database.write() as connection:
            admins, user = await _locked(connection, user_id)
            if user is not None and user.role != role:
                if user.role == ADMIN:
                    _keep_an_admin(admins, user, visitor_id)
                await connection.execute(update(users).where(_COLUMNS.id == user_id).values(role=role))
        return user

    async def remove(self, user_id: str, visitor_id: str | None = None, *, even_the_last: bool = False) -> bool:
        """Delete a user with all sessions and links; return whether there was one.

        Args:
            user_id: which.
            visitor_id: who does so, if it is a user.
            even_the_last: whether it may be the last admin.

        Raises:
            LastAdminError: as it says.
        """
        async with self.database.write() as connection:
            admins, user = await _locked(connection, user_id)
            if user is None:
                return False
            if user.role == ADMIN and not even_the_last:
                _keep_an_admin(admins, user, visitor_id)
            await connection.execute(delete(users).where(_COLUMNS.id == user_id))
            for table in (user_sessions, user_links):
                await connection.execute(delete(table).where(table.c.user_id == user_id))
        return True

    async def set_password(self, user_id: str, password: str, keep_session: str | None = None) -> bool:
        """Give a user another password, and end all sessions but one; return whether there is such a user.

        Args:
            user_id: which.
            password: its hash.
            keep_session: id of the session that goes on.
        """
        values = {"password": password}
        async with self.database.write() as connection:
            if not (await connection.execute(update(users).where(_COLUMNS.id == user_id).values(values))).rowcount:
                return False
            await connection.execute(
                delete(user_sessions).where(user_sessions.c.user_id == user_id, user_sessions.c.id != keep_session)
                if keep_session is not None
                else delete(user_sessions).where(user_sessions.c.user_id == user_id)
            )
            await connection.execute(delete(user_links).where(user_links.c.user_id == user_id))
        return True

    async def rehash(self, user: User, password: str) -> None:
        """Put a newer hash of the same password in the place of the one that was read."""
        meant = (_COLUMNS.id == user.id, _COLUMNS.password == user.password)
        await self._update(meant, {"password": password})

    async def offer_totp(self, user_id: str, secret: bytes) -> bool:
        """Keep a second factor until it is confirmed; return whether there is such a user."""
        return await self._update((_COLUMNS.id == user_id,), {"totp_offered": secret})

    async def confirm_totp(
        self,
        user: User,
        step: int,
        recovery: Iterable[str],
        also: _Also | None = None,
    ) -> bool:
        """Make the second factor that was offered the user's; return False if another one was offered since.

        Args:
            user: as read.
            step: of the code that confirms it, which is used up by that.
            recovery: digests of the codes that stand in for it.
            also: called within the transaction, if it is so.
        """
        meant = (_COLUMNS.id == user.id, _COLUMNS.totp_offered == user.totp_offered)
        values = {
            "totp": user.totp_offered,
            "totp_offered": None,
            "totp_step": step,
            "recovery": json.dumps(list(recovery)),
        }
        return await self._update(meant, values, also)

    async def remove_totp(self, user_id: str) -> bool:
        """Let a user sign in by password alone; return whether there is such a user."""
        return await self._update(
            (_COLUMNS.id == user_id,), {"totp": None, "totp_offered": None, "recovery": "[]"}
        )

    async def use_step(self, user_id: str, step: int) -> bool:
        """Use up the code of a step, and of all before it; return False if it was."""
        return await self._update((_COLUMNS.id == user_id, _COLUMNS.totp_step < step), {"totp_step": step})

    async def use_recovery(self, user: User, digest: str) -> bool:
        """Use up a code that stands in for the second factor; return False if it was."""
        left = [one for one in user.recovery_digests if one != digest]
        meant = (_COLUMNS.id == user.id, _COLUMNS.recovery == user.recovery)
        return await self._update(meant, {"recovery": json.dumps(left)})

    async def rewrite_totp(self, user: User, totp: bytes | None, offered: bytes | None) -> bool:
        """Replace secrets by the same ones encrypted anew, if they are still those that were read."""
        meant = (
            _COLUMNS.id == user.id,
            _COLUMNS.totp.is_not_distinct_from(user.totp),
            _COLUMNS.totp_offered.is_not_distinct_from(user.totp_offered),
        )
        return await self._update(meant, {"totp": totp, "totp_offered": offered})

    async def _update(self, meant: Iterable[Any], values: dict[str, Any], also: _Also | None = None) -> bool:
        async with self.database.write() as connection:
            updated = bool((await connection.execute(update(users).where(*meant).values(values))).rowcount)
            if updated and also is not None:
                await also(connection)
        return updated

    async def _one(self, meant: Any) -> User | None:
        async with self.database.read() as connection:
            rows = (await connection.execute(select(users).where(meant))).mappings().all()
        return next(iter(structure(User, rows, users.name)), None)


async def insert_user(connection: AsyncConnection, name: str, role: str, password: str | None = None) -> User:
    """Make a user within a transaction.

    Raises:
        NameTakenError: there is one of this name.
    """
    now = (await connection.execute(select(database_time()))).scalar_one()
    user = User(id=f"usr_{secrets.token_hex(8)}", name=name, role=role, password=password, created_at=now)
    values = {
        "id": user.id,
        "name": name,
        "name_key": name_key(name),
        "role": role,
        "password": password,
        "totp_step": user.totp_step,
        "recovery": user.recovery,
        "created_at": now,
    }
    row = statements.insert(connection, users).values(values).on_conflict_do_nothing()
    if not (await connection.execute(row)).rowcount:
        raise NameTakenError(name)
    return user


async def _locked(connection: AsyncConnection, user_id: str) -> tuple[list[User], User | None]:
    """Return the admins and one user, who stay as they are until the transaction ends."""
    meant = (_COLUMNS.role == ADMIN) | (_COLUMNS.id == user_id)
    query = locking(select(users).where(meant).order_by(_COLUMNS.id))
    found = structure(User, (await connection.execute(query)).mappings().all(), users.name)
    user = next((one for one in found if one.id == user_id), None)
    return [one for one in found if one.role == ADMIN], user


def _keep_an_admin(admins: Iterable[User], user: User, visitor_id: str | None) -> None:
    """See that somebody else can sign in as an admin; who never could and is not the visitor makes no difference.

    Raises:
        LastAdminError: nobody can.
    """
    others = any(one.id != user.id and one.password is not None for one in admins)
    if not others and (user.password is not None or user.id == visitor_id):
        raise LastAdminError(user.name)
