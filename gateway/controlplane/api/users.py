"""`/api/v1/users`: who may sign in."""

from __future__ import annotations

from typing import Final

import msgspec

from gateway.controlplane.access import Access, Role
from gateway.controlplane.api.hidden import Hidden
from gateway.controlplane.api.session import UserName
from gateway.controlplane.changes import link_made, totp_reset, user_added, user_removed
from gateway.controlplane.endpoints import Call, endpoint
from gateway.controlplane.parts import Parts
from gateway.controlplane.sign_in.links import OpenLink, base_url, make_link
from gateway.controlplane.sign_in.names import BadNameError, tidy_name
from gateway.store.user_links import Purpose
from gateway.store.users import LastAdminError, NameTakenError, User
from gateway.wire.errors import ApiError

__all__ = ["ENDPOINTS"]

_MOST_USERS: Final = 500
_GONE: Final = "There is no such user any more; reload the list."


class UserView(msgspec.Struct, kw_only=True):
    """A user of the dashboard."""

    id: str
    name: str
    role: Role
    has_password: bool
    """Otherwise the link that sets it was not used yet."""
    has_totp: bool
    created_at: float
    last_seen_at: float | None
    """To the minute or so; None for somebody who is not signed in anywhere."""
    is_you: bool


class UserList(msgspec.Struct, kw_only=True):
    """All users, by name."""

    users: list[UserView]


class NewUser(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """Somebody who is to be let in."""

    name: UserName
    role: Role = Role.VIEWER


class UserChange(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """What somebody may do from now on."""

    role: Role


class LinkAnswer(Hidden, kw_only=True):
    """A link with which a user sets a password, once; it is shown this once."""

    url: str
    expires_at: float


class Invitation(msgspec.Struct, kw_only=True):
    """A new user, and the link to give to them."""

    user: UserView
    link: LinkAnswer


@endpoint("GET", "/api/v1/users", access=Access.VIEWER, answer=UserList)
async def list_users(parts: Parts, call: Call) -> UserList:
    """List the users of the dashboard.

    Not those whom a proxy in front lets in: the gateway keeps nothing of them.
    """
    seen = await parts.desk.keeper.sessions.store.last_used()
    return UserList(users=[_view(user, seen.get(user.id), call) for user in await parts.desk.users.all()])


@endpoint("GET", "/api/v1/users/{id}", access=Access.VIEWER, answer=UserView)
async def get_user(parts: Parts, call: Call) -> UserView:
    """Show one user."""
    user = await _find(parts, call)
    return _view(user, (await parts.desk.keeper.sessions.store.last_used()).get(user.id), call)


@endpoint("POST", "/api/v1/users", access=Access.ADMIN, body=NewUser, answer=Invitation, status=201)
async def add_user(parts: Parts, call: Call) -> Invitation:
    """Make a user, and a link with which they set their password."""
    body: NewUser = call.body
    if await parts.desk.users.count() >= _MOST_USERS:
        raise ApiError(409, f"There are {_MOST_USERS} users already; let a proxy in front sign so many people in.")
    try:
        user = await parts.desk.users.add(tidy_name(body.name), body.role.value)
    except BadNameError as error:
        raise ApiError(400, str(error)) from None
    except NameTakenError:
        raise ApiError(409, "There is a user of that name already.") from None
    await parts.audit.note(call.visitor, user_added(user))
    link = await _link(parts, call, user)
    parts.live.changed("users")
    return Invitation(user=_view(user, None, call), link=link)


@endpoint("PATCH", "/api/v1/users/{id}", access=Access.ADMIN, body=UserChange, answer=UserView)
async def change_user(parts: Parts, call: Call) -> UserView:
    """Change what a user may do."""
    role, desk = call.body.role, parts.desk
    try:
        before = await desk.users.set_role(call.params["id"], role.value, call.visitor.user_id)
    except LastAdminError:
        raise _last_admin() from None
    if before is None:
        raise ApiError(404, _GONE)
    desk.keeper.sessions.forget(user_id=before.id)
    await parts.audit.write(
        call.visitor, "user.role", before.name, before={"role": before.role}, after={"role": role.value}
    )
    parts.live.changed("users")
    return await get_user.handler(parts, call)


@endpoint("DELETE", "/api/v1/users/{id}", access=Access.ADMIN)
async def remove_user(parts: Parts, call: Call) -> None:
    """Remove a user; all their sessions end."""
    user, desk = await _find(parts, call), parts.desk
    try:
        if not await desk.users.remove(user.id, call.visitor.user_id):
            raise ApiError(404, _GONE)
    except LastAdminError:
        raise _last_admin() from None
    desk.keeper.sessions.forget(user_id=user.id)
    await parts.audit.note(call.visitor, user_removed(user))
    parts.live.changed("users")


@endpoint("POST", "/api/v1/users/{id}/link", access=Access.ADMIN, answer=LinkAnswer)
async def make_user_link(parts: Parts, call: Call) -> LinkAnswer:
    """Make a link with which a user sets a password, for one who has lost it or never set one.

    It takes the place of an earlier one. The password so far is good until the link is used.
    """
    user = await _find(parts, call)
    link = await _link(parts, call, user)
    await parts.audit.note(call.visitor, link_made(user.name))
    return link


@endpoint("DELETE", "/api/v1/users/{id}/totp", access=Access.ADMIN)
async def reset_totp(parts: Parts, call: Call) -> None:
    """Let a user who has lost the second factor sign in by password alone."""
    user = await _find(parts, call)
    await parts.desk.users.remove_totp(user.id)
    await parts.audit.note(call.visitor, totp_reset(user))
    parts.live.changed("users")


def _view(user: User, seen_at: float | None, call: Call) -> UserView:
    return UserView(
        id=user.id,
        name=user.name,
        role=Role(user.role),
        has_password=user.password is not None,
        has_totp=user.totp is not None,
        created_at=user.created_at,
        last_seen_at=seen_at,
        is_you=user.id == call.visitor.user_id,
    )


async def _find(parts: Parts, call: Call) -> User:
    user = await parts.desk.users.find(call.params["id"])
    if user is None:
        raise ApiError(404, _GONE)
    return user


async def _link(parts: Parts, call: Call, user: User) -> LinkAnswer:
    base = parts.settings.dashboard.public_url.rstrip("/") or _asked_at(parts, call)
    link: OpenLink = await make_link(parts.desk.links, base, Purpose.SET_PASSWORD, user_id=user.id, role=user.role)
    return LinkAnswer(url=link.url, expires_at=link.expires_at)


def _asked_at(parts: Parts, call: Call) -> str:
    """Return the address by which whoever asks has reached the gateway."""
    if origin := call.request.headers.get("origin"):
        # Of a page that was found to be the dashboard's own; it knows whether there is TLS in front.
        return origin
    host, port = parts.desk.keeper.place.authority(call.request)
    if not host:
        return base_url(parts.settings) or ""
    return f"http://{f'[{host}]' if ':' in host else host}{f':{port}' if port else ''}"


def _last_admin() -> ApiError:
    return ApiError(409, "Nobody who can sign in would be an admin any more; make somebody else one first.")


ENDPOINTS: Final = (
    list_users,
    get_user,
    add_user,
    change_user,
    remove_user,
    make_user_link,
    reset_totp,
)
