"""Links that let somebody set a password or sign in, once."""

from __future__ import annotations

from enum import StrEnum
from typing import Final

from attrs import define, evolve, field
from sqlalchemy import ColumnElement, delete, exists, insert, or_, select, update

from gateway.store.engine import Database, database_time
from gateway.store.rows import structure
from gateway.store.statements import locking
from gateway.store.tables import user_links, user_sessions, users
from gateway.store.users import User, insert_user

__all__ = ["Link", "LinkStore", "Purpose"]

_COLUMNS: Final = user_links.c


class Purpose(StrEnum):
    """What a link is for."""

    #: Choose a password, and a name too where the link is nobody's yet.
    SET_PASSWORD = "set_password"  # noqa: S105 - what it is for
    #: Sign in without a password.
    SIGN_IN = "sign_in"


@define(frozen=True, kw_only=True)
class Link:
    """A row of `user_links`."""

    digest: str = field(repr=False)
    purpose: Purpose
    user_id: str | None = None
    """None for a link that makes a user, who chooses a name."""
    role: str = ""
    """Of the user whom it makes."""
    created_at: float = 0.0
    expires_at: float = 0.0


@define(frozen=True)
class LinkStore:
    """The table `user_links`. Every method raises `StoreError` if the database cannot be used."""

    database: Database

    async def put(self, link: Link, seconds: float) -> float:
        """Store a link in the place of others for the same.

        Args:
            link: without times.
            seconds: for which it is good.

        Returns:
            When it ends.
        """
        same = (
            _COLUMNS.user_id == link.user_id
            if link.user_id is not None
            else (_COLUMNS.user_id.is_(None)) & (_COLUMNS.purpose == link.purpose.value)
        )
        async with self.database.write() as connection:
            now = (await connection.execute(select(database_time()))).scalar_one()
            await connection.execute(delete(user_links).where(same))
            values = {
                "digest": link.digest,
                "purpose": link.purpose.value,
                "user_id": link.user_id,
                "role": link.role,
                "created_at": now,
                "expires_at": now + seconds,
            }
            await connection.execute(insert(user_links).values(values))
        return now + seconds

    async def find(self, digest: str) -> tuple[Link, User | None] | None:
        """Return a link that is still good, and whose it is."""
        async with self.database.read() as connection:
            rows = (await connection.execute(select(user_links).where(*_good(digest)))).mappings().all()
            links = structure(Link, rows, user_links.name)
            if not links:
                return None
            found = (
                (await connection.execute(select(users).where(users.c.id == links[0].user_id))).mappings().all()
            )
        return links[0], next(iter(structure(User, found, users.name)), None)

    async def redeem(self, digest: str, name: str, password: str | None) -> User | None:
        """Use a link up; return whom it lets in, or None if it is not good any more.

        Args:
            digest: of its token.
            name: of the user, where the link makes one.
            password: hash of the one to be set, by a link that is for that. All sessions of the user end.

        Raises:
            NameTakenError: there is a user of this name.
        """
        async with self.database.write() as connection:
            rows = (await connection.execute(locking(select(user_links).where(*_good(digest))))).mappings().all()
            links = structure(Link, rows, user_links.name)
            if not links:
                return None
            link = links[0]
            await connection.execute(delete(user_links).where(_COLUMNS.digest == digest))
            if link.user_id is None:
                return await insert_user(connection, name, link.role, password)
            whose = users.c.id == link.user_id
            found = (await connection.execute(locking(select(users).where(whose)))).mappings().all()
            if found and password is not None:
                await connection.execute(update(users).where(whose).values(password=password))
                await connection.execute(delete(user_sessions).where(user_sessions.c.user_id == link.user_id))
        user = next(iter(structure(User, found, users.name)), None)
        return evolve(user, password=password) if user is not None and password is not None else user

    async def tidy(self) -> int:
        """Delete those that are too old, and those of users who are gone; return how many."""
        gone = _COLUMNS.user_id.is_not(None) & _COLUMNS.user_id.not_in(select(users.c.id))
        meant = or_(_COLUMNS.expires_at <= database_time(), gone)
        async with self.database.write() as connection:
            return (await connection.execute(delete(user_links).where(meant))).rowcount


def _good(digest: str) -> tuple[ColumnElement[bool], ...]:
    """Return what holds for a link that can be used.

    The link of the first user, which stands on a terminal or in the log of a container, is good only as long as
    nobody can sign in.
    """
    is_needed = _COLUMNS.user_id.is_not(None) | ~exists().where(users.c.password.is_not(None))
    return _COLUMNS.digest == digest, _COLUMNS.expires_at > database_time(), is_needed
