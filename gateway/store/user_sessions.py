"""Browsers that are signed in, in the database."""

from __future__ import annotations

from typing import Any, Final

from attrs import asdict, define, field
from sqlalchemy import delete, func, insert, or_, select, update

from gateway.store.engine import Database
from gateway.store.rows import structure
from gateway.store.tables import user_sessions, users
from gateway.store.users import User

__all__ = ["UserSession", "UserSessionStore"]

_COLUMNS: Final = user_sessions.c


@define(frozen=True, kw_only=True)
class UserSession:
    """A row of `user_sessions`; gateway/controlplane/sign_in/sessions.py says how tokens follow one another."""

    id: str
    user_id: str
    digest: str = field(repr=False)
    offered_digest: str | None = field(default=None, repr=False)
    offered_at: float | None = None
    former_digest: str | None = field(default=None, repr=False)
    former_until: float | None = None
    created_at: float
    used_at: float
    rotated_at: float
    address: str = ""
    client: str = ""


@define(frozen=True)
class UserSessionStore:
    """The table `user_sessions`. Every method raises `StoreError` if the database cannot be used."""

    database: Database

    async def add(self, session: UserSession, most: int, password: str | None) -> bool:
        """Store a session; of more than so many of the user's the one that was used longest ago ends.

        Args:
            session: to be stored.
            most: of the user.
            password: the user's hash when the user was let in; None for none.

        Returns:
            False if the user is gone meanwhile, or has another password.
        """
        mine = _COLUMNS.user_id == session.user_id
        kept = select(_COLUMNS.id).where(mine).order_by(_COLUMNS.used_at.desc(), _COLUMNS.id).limit(most)
        async with self.database.write() as connection:
            same = (users.c.id == session.user_id, users.c.password.is_not_distinct_from(password))
            locked = select(users.c.id).where(*same).with_for_update(read=True)
            if (await connection.execute(locked)).first() is None:
                return False
            await connection.execute(insert(user_sessions).values(asdict(session)))
            await connection.execute(delete(user_sessions).where(mine, _COLUMNS.id.not_in(kept)))
        return True

    async def find(self, digest: str) -> tuple[UserSession, User] | None:
        """Return the session of which this is, was or may become a token, and whose it is."""
        meant = or_(_COLUMNS.digest == digest, _COLUMNS.offered_digest == digest, _COLUMNS.former_digest == digest)
        async with self.database.read() as connection:
            rows = (await connection.execute(select(user_sessions).where(meant))).mappings().all()
            sessions = structure(UserSession, rows, user_sessions.name)
            if not sessions:
                return None
            found = (
                (await connection.execute(select(users).where(users.c.id == sessions[0].user_id))).mappings().all()
            )
        user = next(iter(structure(User, found, users.name)), None)
        return (sessions[0], user) if user is not None else None

    async def by_id(self, session_id: str) -> UserSession | None:
        """Return the session with this id."""
        async with self.database.read() as connection:
            query = select(user_sessions).where(_COLUMNS.id == session_id)
            rows = (await connection.execute(query)).mappings().all()
        return next(iter(structure(UserSession, rows, user_sessions.name)), None)

    async def of(self, user_id: str) -> list[UserSession]:
        """Return the sessions of a user, that first which was used last."""
        query = select(user_sessions).where(_COLUMNS.user_id == user_id).order_by(_COLUMNS.used_at.desc())
        async with self.database.read() as connection:
            rows = (await connection.execute(query.order_by(_COLUMNS.id))).mappings().all()
        return structure(UserSession, rows, user_sessions.name)

    async def last_used(self) -> dict[str, float]:
        """Return when each user was last seen, by id, of those who have a session."""
        last = func.max(_COLUMNS.used_at).label("last")
        async with self.database.read() as connection:
            rows = await connection.execute(select(_COLUMNS.user_id, last).group_by(_COLUMNS.user_id))
            return {row.user_id: row.last for row in rows}

    async def touch(self, session_id: str, now: float) -> None:
        """Write down that a session is used."""
        await self._update([_COLUMNS.id == session_id, _COLUMNS.used_at < now], {"used_at": now})

    async def offer(self, session: UserSession, digest: str, now: float) -> bool:
        """Keep a token that may take the place of a session's; return False if another one was offered since."""
        meant = [
            _COLUMNS.id == session.id,
            _COLUMNS.digest == session.digest,
            _COLUMNS.offered_digest.is_not_distinct_from(session.offered_digest),
        ]
        return await self._update(meant, {"offered_digest": digest, "offered_at": now, "used_at": now})

    async def promote(self, session: UserSession, now: float, grace_seconds: float) -> None:
        """Make the token that was offered the session's; the one before is good for a while yet."""
        meant = [_COLUMNS.id == session.id, _COLUMNS.offered_digest == session.offered_digest]
        values = {
            "digest": session.offered_digest,
            "offered_digest": None,
            "offered_at": None,
            "former_digest": session.digest,
            "former_until": now + grace_seconds,
            "rotated_at": now,
            "used_at": now,
        }
        await self._update(meant, values)

    async def remove(self, session_id: str, user_id: str | None = None) -> bool:
        """End a session, if it is of this user; return whether there was one."""
        meant = [_COLUMNS.id == session_id, *([_COLUMNS.user_id == user_id] if user_id is not None else [])]
        return bool(await self._delete(*meant))

    async def remove_others(self, user_id: str, session_id: str | None) -> int:
        """End all sessions of a user but one; return how many."""
        return await self._delete(
            _COLUMNS.user_id == user_id, *([_COLUMNS.id != session_id] if session_id is not None else [])
        )

    async def tidy(self, idle_before: float, made_before: float) -> int:
        """Delete sessions that were not used since a time, or made before one; return how many."""
        return await self._delete(or_(_COLUMNS.used_at < idle_before, _COLUMNS.created_at < made_before))

    async def _update(self, meant: list[Any], values: dict[str, Any]) -> bool:
        async with self.database.write() as connection:
            return bool((await connection.execute(update(user_sessions).where(*meant).values(values))).rowcount)

    async def _delete(self, *meant: Any) -> int:
        async with self.database.write() as connection:
            return (await connection.execute(delete(user_sessions).where(*meant))).rowcount
