"""Who asks the control plane, and what they may."""

from __future__ import annotations

from enum import StrEnum
from typing import Any, Final, Protocol

from aiohttp import web
from attrs import define, field
from sqlalchemy.ext.asyncio import AsyncConnection

from gateway.store.audit_log import Change

__all__ = ["Access", "AuditTrail", "Gate", "Role", "Visitor"]


class Role(StrEnum):
    """What somebody may do who has signed in."""

    #: Look at everything, and change nothing.
    VIEWER = "viewer"
    #: Change what can be changed.
    ADMIN = "admin"


class Access(StrEnum):
    """Who may use an endpoint."""

    #: Everybody.
    OPEN = "open"
    #: Whoever has signed in.
    VIEWER = "viewer"
    #: Admins.
    ADMIN = "admin"


_ALLOWED: Final = {
    Access.OPEN: frozenset({None, Role.VIEWER, Role.ADMIN}),
    Access.VIEWER: frozenset({Role.VIEWER, Role.ADMIN}),
    Access.ADMIN: frozenset({Role.ADMIN}),
}


@define(frozen=True, kw_only=True)
class Visitor:
    """Who asks."""

    name: str = ""
    """Of the user; empty for nobody who is known."""
    role: Role | None = None
    """None: has not signed in."""
    how: str = ""
    """`password`, `link`, `token`, `header` or `command`."""
    address: str = ""
    """Of the peer, as far as the gateway believes it."""
    user_id: str | None = None
    """None for the holder of the control token, and for who is named by a header."""
    session_id: str | None = None
    new_cookie: str = field(default="", repr=False)
    """Header `set-cookie` to answer with; empty for none."""

    def may(self, access: Access) -> bool:
        """Whether an endpoint is open to this visitor."""
        return self.role in _ALLOWED[access]


class Gate(Protocol):
    """Tells who asks."""

    async def identify(self, request: web.BaseRequest) -> Visitor:
        """Return who asks; one without a role where nobody has signed in.

        Raises:
            ApiError: what was given proves nothing.
        """
        ...

    def check_sender(self, request: web.BaseRequest, visitor: Visitor, *, with_token: bool) -> None:
        """Refuse a change that a page of another site may be behind.

        Args:
            request: that is to change something.
            visitor: who sends it.
            with_token: whether a browser that is signed in has to send the session's token too.

        Raises:
            ApiError: 403.
        """
        ...

    async def is_still_welcome(self, visitor: Visitor) -> bool:
        """Return whether somebody who was let in is still signed in; for answers that take long."""
        ...


class AuditTrail(Protocol):
    """Where every change is written down."""

    async def note(self, visitor: Visitor, *changes: Change, within: AsyncConnection | None = None) -> None:
        """Write down what somebody did; all of it or nothing.

        Args:
            visitor: who.
            changes: what.
            within: the transaction that makes the changes, which then lasts only if this does; None for one of
                its own.
        """
        ...

    async def refused(self, visitor: Visitor, name: str) -> None:
        """Count an attempt to sign in that failed.

        Args:
            visitor: who tried.
            name: of the user; empty where there is none of that name.
        """
        ...

    async def write(
        self, visitor: Visitor, action: str, target: str = "", *, before: Any = None, after: Any = None
    ) -> None:
        """Write down a change, whose parts are those of `Change`."""
        ...
