"""Sessions: who a browser's token stands for.

A token is replaced after a quarter of an hour of use. The new one is offered with an answer; only when it comes
back does it take the old one's place, because an answer may be lost. From then on the old one is good for a minute
yet, for requests that were under way. Whoever presents it later has a copy of it, and the session ends: the owner
signs in again, and the thief cannot.
"""

from __future__ import annotations

import secrets
import time
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from typing import Final

from attrs import define, evolve, field

from gateway.config import DashboardSettings
from gateway.controlplane.sign_in.tokens import digest_of, new_token
from gateway.store.user_sessions import UserSession, UserSessionStore
from gateway.store.users import User
from gateway.telemetry.logs import get_logger

__all__ = ["Found", "Sessions"]

_log = get_logger(__name__)

_ROTATE_SECONDS: Final = 900.0
_GRACE_SECONDS: Final = 60.0
_TOUCH_SECONDS: Final = 60.0
_CACHE_SECONDS: Final = 2.0
_MOST_CACHED: Final = 1024
_MOST_OF_A_USER: Final = 50
_LONGEST_CLIENT: Final = 200


@define(frozen=True)
class Found:
    """Whose a token is."""

    session: UserSession
    user: User
    new_token: str | None = field(default=None, repr=False)
    """To be used from now on."""


@define(eq=False)
class Sessions:
    """The sessions of all browsers; what was read lately is remembered for a moment."""

    store: UserSessionStore
    settings: DashboardSettings
    on_theft: Callable[[UserSession, User], Awaitable[None]]
    """Told of a token that was used after another had taken its place."""
    _cache: OrderedDict[str, tuple[float, UserSession, User]] = field(factory=OrderedDict, init=False, repr=False)
    """By digest of the token: when it was read, and what."""
    _forgotten: int = field(default=0, init=False)
    """How often something was: what was being read meanwhile is not remembered."""

    @property
    def _now(self) -> float:
        return self.store.database.clock()

    async def begin(self, user: User, address: str, client: str) -> tuple[UserSession, str] | None:
        """Sign a browser in; return the session and its token.

        Nothing if the user is gone since it was read, or has another password.
        """
        token, now = new_token(), self._now
        session = UserSession(
            id=f"ses_{secrets.token_hex(8)}",
            user_id=user.id,
            digest=digest_of(token),
            created_at=now,
            used_at=now,
            rotated_at=now,
            address=address[:_LONGEST_CLIENT],
            client="".join(c if c.isprintable() else "?" for c in client[:_LONGEST_CLIENT]),
        )
        return (session, token) if await self.store.add(session, _MOST_OF_A_USER, user.password) else None

    async def find(self, token: str) -> Found | None:
        """Return whose a token is; None if it is nobody's, or too old."""
        digest = digest_of(token)
        read_at, session, user = self._cache.get(digest, (-_CACHE_SECONDS, None, None))
        if session is None or user is None or time.monotonic() - read_at >= _CACHE_SECONDS:
            before = self._forgotten
            found = await self.store.find(digest)
            if found is None:
                self._cache.pop(digest, None)
                return None
            session, user = found
            if before == self._forgotten:
                self._remember(digest, session, user)
        now = self._now
        if self.end_of(session) <= now:
            await self.end(session.id)
            return None
        if digest == session.former_digest:
            if now > (session.former_until or 0.0):
                await self.end(session.id)
                await self.on_theft(session, user)
                return None
            return Found(session, user)
        if digest == session.offered_digest:
            await self.store.promote(session, now, _GRACE_SECONDS)
            self.forget(session_id=session.id)
            return Found(session, user)
        return await self._go_on(digest, session, user)

    async def _go_on(self, digest: str, session: UserSession, user: User) -> Found:
        now, before = self._now, self._forgotten
        is_due = now - session.rotated_at >= _ROTATE_SECONDS
        if is_due and now - (session.offered_at or 0.0) >= _GRACE_SECONDS:
            token = new_token()
            if await self.store.offer(session, digest_of(token), now):
                session = evolve(session, offered_digest=digest_of(token), offered_at=now, used_at=now)
                if before == self._forgotten:
                    self._remember(digest, session, user)
                return Found(session, user, token)
        elif now - session.used_at >= _TOUCH_SECONDS:
            await self.store.touch(session.id, now)
            if before == self._forgotten:
                self._remember(digest, evolve(session, used_at=now), user)
        return Found(session, user)

    def end_of(self, session: UserSession) -> float:
        """Return when a session ends unless it is used before, in Unix seconds."""
        idle = session.used_at + self.settings.session_idle_seconds + _TOUCH_SECONDS
        return min(idle, session.created_at + self.settings.session_seconds)

    async def is_good(self, session_id: str) -> bool:
        """Return whether a session goes on; several feeds of a browser look at its row but once in a while."""
        for read_at, session, _ in self._cache.values():
            if session.id == session_id and time.monotonic() - read_at < _CACHE_SECONDS:
                return self.end_of(session) > self._now
        session = await self.store.by_id(session_id)
        return session is not None and self.end_of(session) > self._now

    async def end(self, session_id: str, user_id: str | None = None) -> bool:
        """End a session, if it is of this user; return whether there was one."""
        ended = await self.store.remove(session_id, user_id)
        self.forget(session_id=session_id)
        return ended

    async def end_others(self, user_id: str, session_id: str | None) -> int:
        """End all sessions of a user but one; return how many."""
        ended = await self.store.remove_others(user_id, session_id)
        self.forget(user_id=user_id)
        return ended

    def forget(self, *, session_id: str | None = None, user_id: str | None = None) -> None:
        """Read a session, or those of a user, again before the next answer."""
        self._forgotten += 1
        for digest, (_, session, _) in list(self._cache.items()):
            if session_id == session.id or user_id == session.user_id:
                del self._cache[digest]

    async def tidy(self) -> None:
        """Delete what is too old to be good for anything."""
        now = self._now
        idle = now - self.settings.session_idle_seconds - _TOUCH_SECONDS
        await self.store.tidy(idle, now - self.settings.session_seconds)

    def _remember(self, digest: str, session: UserSession, user: User) -> None:
        self._cache[digest] = (time.monotonic(), session, user)
        self._cache.move_to_end(digest)
        while len(self._cache) > _MOST_CACHED:
            self._cache.popitem(last=False)
