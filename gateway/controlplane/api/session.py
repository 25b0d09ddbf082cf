"""`/api/v1/session`: signing in and out, and who has signed in."""

from __future__ import annotations

from typing import Annotated, Final

import msgspec
from aiohttp import web

from gateway.controlplane.access import Access, Role, Visitor
from gateway.controlplane.api.hidden import Hidden
from gateway.controlplane.endpoints import Call, answer_bytes, endpoint
from gateway.controlplane.parts import Parts
from gateway.controlplane.sign_in.desk import Entry, Typed
from gateway.controlplane.sign_in.links import clear_text_warning
from gateway.controlplane.sign_in.passwords import LONGEST
from gateway.store.user_links import Purpose
from gateway.wire.errors import ApiError

__all__ = ["ENDPOINTS"]

UserName = Annotated[
    str,
    msgspec.Meta(
        min_length=1,
        max_length=64,
        pattern=r"^[^\s\x00-\x1f\x7f]([^\x00-\x1f\x7f]*[^\s\x00-\x1f\x7f])?$",
        description="One line; upper and lower case are the same.",
    ),
]
TypedPassword = Annotated[str, msgspec.Meta(max_length=LONGEST)]
TypedCode = Annotated[
    str,
    msgspec.Meta(max_length=40, description="Of the authenticator app, or one of those on paper; empty for none."),
]
LinkToken = Annotated[
    str, msgspec.Meta(min_length=1, max_length=100, description="What stands behind the # of the link.")
]


class SessionUser(msgspec.Struct, kw_only=True):
    """Who has signed in."""

    name: str
    role: Role
    how: str
    """`password`, `link`, `token` or `header`."""
    has_password: bool
    """Whether it is a user of this gateway who has one."""
    has_totp: bool
    """Whether signing in takes a second factor."""
    recovery_codes: int
    """Codes on paper that are left."""


class SessionView(Hidden, kw_only=True):
    """Who has signed in, and what a page has to know before anything else."""

    signed_in: bool
    setup_needed: bool
    """Whether nobody has a password yet: the link on the gateway's terminal sets one."""
    user: SessionUser | None
    csrf_token: str | None
    """To be sent as `x-csrf-token` with every change."""
    rollout: str | None
    """`canary` or `promoted`; None until somebody has signed in, and so is the next one."""
    version: str | None
    warnings: list[str]
    """What whoever signs in should know of the connection."""


class SignIn(Hidden, kw_only=True, forbid_unknown_fields=True):
    """A name, a password, and a code where the user has a second factor."""

    name: UserName
    password: TypedPassword
    code: TypedCode = ""


class LinkCheck(Hidden, kw_only=True, forbid_unknown_fields=True):
    """The token of a link."""

    token: LinkToken


class LinkUse(Hidden, kw_only=True, forbid_unknown_fields=True):
    """The token of a link, and what it asks for."""

    token: LinkToken
    name: UserName | None = None
    """Where the link leaves the choice."""
    password: TypedPassword = ""
    """To be set, where the link is for that."""
    code: TypedCode = ""


class LinkView(msgspec.Struct, kw_only=True):
    """What a link is for."""

    purpose: Purpose
    name: str
    """Of the user; empty where whoever uses the link chooses one."""
    role: Role
    needs_code: bool
    """Whether the user has a second factor, which is needed here too."""
    expires_at: float


@endpoint("GET", "/api/v1/session", access=Access.OPEN, answer=SessionView)
async def get_session(parts: Parts, call: Call) -> SessionView:
    """Show who has signed in."""
    return await _view(parts, call.visitor)


@endpoint("POST", "/api/v1/session", access=Access.OPEN, body=SignIn, answer=SessionView, check_csrf=False)
async def sign_in(parts: Parts, call: Call) -> web.Response:
    """Sign in by name and password.

    The session is in the cookie that comes with the answer. An error of type `code_needed` asks for the same again
    with the code of the second factor. Too many failures are answered with 429 for a while.
    """
    body: SignIn = call.body
    typed = Typed(body.name, body.password, body.code)
    entry = await parts.desk.by_password(call.request, call.visitor, typed)
    return await _entered(parts, entry)


@endpoint("DELETE", "/api/v1/session", access=Access.OPEN)
async def sign_out(parts: Parts, call: Call) -> web.Response:
    """Sign out."""
    if call.visitor.how == "header":
        raise ApiError(409, "You have signed in to the proxy in front of the gateway; sign out there.")
    keeper = parts.desk.keeper
    if call.visitor.session_id is not None:
        await keeper.sessions.end(call.visitor.session_id)
        await parts.audit.write(call.visitor, "session.end", call.visitor.name)
    headers = {"cache-control": "no-store", "set-cookie": keeper.cookie.clear(call.request)}
    return web.Response(status=204, headers=headers)


@endpoint(
    "POST", "/api/v1/session/link/check", access=Access.OPEN, body=LinkCheck, answer=LinkView, check_csrf=False
)
async def check_link(parts: Parts, call: Call) -> LinkView:
    """Show what a link is for, and that it is still good."""
    link, user = await parts.desk.look_at_link(call.visitor, call.body.token)
    return LinkView(
        purpose=link.purpose,
        name=user.name if user is not None else "",
        role=Role(user.role if user is not None else link.role),
        needs_code=link.purpose is Purpose.SET_PASSWORD and user is not None and user.totp is not None,
        expires_at=link.expires_at,
    )


@endpoint("POST", "/api/v1/session/link", access=Access.OPEN, body=LinkUse, answer=SessionView, check_csrf=False)
async def use_link(parts: Parts, call: Call) -> web.Response:
    """Sign in by a link, which sets a password if that is what it is for.

    It works once. All other sessions of the user end when a password is set.
    """
    body: LinkUse = call.body
    typed = Typed(body.name or "", body.password, body.code)
    entry = await parts.desk.by_link(call.request, call.visitor, body.token, typed)
    parts.live.changed("users")
    return await _entered(parts, entry)


async def _entered(parts: Parts, entry: Entry) -> web.Response:
    view = await _view(parts, entry.visitor)
    return answer_bytes(msgspec.json.encode(view), "application/json", headers={"set-cookie": entry.cookie})


async def _view(parts: Parts, visitor: Visitor) -> SessionView:
    desk, is_in = parts.desk, visitor.role is not None
    known = await desk.users.find(visitor.user_id) if visitor.user_id is not None else None
    user = None
    if visitor.role is not None:
        user = SessionUser(
            name=visitor.name,
            role=visitor.role,
            how=visitor.how,
            has_password=known is not None and known.password is not None,
            has_totp=known is not None and known.totp is not None,
            recovery_codes=len(known.recovery_digests) if known is not None else 0,
        )
    return SessionView(
        signed_in=is_in,
        setup_needed=not is_in and not await desk.users.anybody_has_a_password(),
        user=user,
        csrf_token=desk.keeper.csrf_token(visitor) if is_in else None,
        rollout=parts.settings.rollout.value if is_in else None,
        version=parts.version if is_in else None,
        warnings=[text] if (text := clear_text_warning(parts.settings)) is not None else [],
    )


ENDPOINTS: Final = (get_session, sign_in, sign_out, check_link, use_link)
