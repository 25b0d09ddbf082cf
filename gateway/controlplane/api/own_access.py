"""`/api/v1/session/…`: what users change about how they themselves sign in."""

from __future__ import annotations

from typing import Annotated, Final

import msgspec

from gateway.controlplane.access import Access
from gateway.controlplane.api.hidden import Hidden
from gateway.controlplane.api.session import TypedCode, TypedPassword
from gateway.controlplane.endpoints import Call, endpoint
from gateway.controlplane.parts import Parts
from gateway.store.users import User
from gateway.wire.errors import ApiError

__all__ = ["ENDPOINTS"]

NewPassword = Annotated[
    str, msgspec.Meta(min_length=10, max_length=256, description="Not one of those that everybody tries first.")
]


class PasswordChange(Hidden, kw_only=True, forbid_unknown_fields=True):
    """Another password."""

    current: TypedPassword = ""
    """Empty only for a user who has none yet."""
    new: NewPassword


class TotpBeginning(Hidden, kw_only=True, forbid_unknown_fields=True):
    """What a second factor begins with."""

    password: TypedPassword = ""
    """Empty only for a user who has none."""


class TotpOffer(Hidden, kw_only=True):
    """A second factor, which counts once it is confirmed; it is shown this once."""

    secret: str
    """In base 32, for typing."""
    uri: str
    """For a QR code."""


class TotpConfirmation(Hidden, kw_only=True, forbid_unknown_fields=True):
    """A code that the authenticator app shows."""

    code: TypedCode


class RecoveryCodes(Hidden, kw_only=True):
    """Codes that stand in for the authenticator app, each once; they are shown this once."""

    codes: list[str]


class TotpRemoval(Hidden, kw_only=True, forbid_unknown_fields=True):
    """What it takes to do without a second factor."""

    password: TypedPassword = ""
    code: TypedCode


class BrowserView(msgspec.Struct, kw_only=True):
    """A browser that is signed in."""

    id: str
    address: str
    client: str
    """What it calls itself."""
    created_at: float
    used_at: float
    """To the minute or so."""
    ends_at: float
    """Unless it is used before."""
    is_this: bool


class BrowserList(msgspec.Struct, kw_only=True):
    """All browsers of a user that are signed in, that first which was used last."""

    sessions: list[BrowserView]


class Ended(msgspec.Struct, kw_only=True):
    """How many sessions were ended."""

    ended: int


@endpoint("POST", "/api/v1/session/password", access=Access.VIEWER, body=PasswordChange)
async def change_password(parts: Parts, call: Call) -> None:
    """Change the own password; all other sessions of the user end."""
    user, body = await _user(parts, call), call.body
    await parts.desk.change_password(call.visitor, user, body.current, body.new)


@endpoint("POST", "/api/v1/session/totp", access=Access.VIEWER, body=TotpBeginning, answer=TotpOffer)
async def begin_totp(parts: Parts, call: Call) -> TotpOffer:
    """Begin with a second factor.

    It counts once a code of it is confirmed; until then signing in is as before.
    """
    user = await _user(parts, call)
    secret, uri = await parts.desk.offer_totp(call.visitor, user, call.body.password, call.request)
    return TotpOffer(secret=secret, uri=uri)


@endpoint(
    "POST", "/api/v1/session/totp/confirm", access=Access.VIEWER, body=TotpConfirmation, answer=RecoveryCodes
)
async def confirm_totp(parts: Parts, call: Call) -> RecoveryCodes:
    """Confirm the second factor that was begun, by a code of it."""
    user = await _user(parts, call)
    codes = await parts.desk.confirm_totp(call.visitor, user, call.body.code)
    parts.live.changed("users")
    return RecoveryCodes(codes=list(codes))


@endpoint("POST", "/api/v1/session/totp/remove", access=Access.VIEWER, body=TotpRemoval)
async def remove_totp(parts: Parts, call: Call) -> None:
    """Sign in by password alone from now on."""
    user, body = await _user(parts, call), call.body
    await parts.desk.remove_totp(call.visitor, user, body.password, body.code)
    parts.live.changed("users")


@endpoint("GET", "/api/v1/session/others", access=Access.VIEWER, answer=BrowserList)
async def list_sessions(parts: Parts, call: Call) -> BrowserList:
    """List the browsers in which the user is signed in."""
    user, sessions = await _user(parts, call), parts.desk.keeper.sessions
    now = sessions.store.database.clock()
    return BrowserList(
        sessions=[
            BrowserView(
                id=one.id,
                address=one.address,
                client=one.client,
                created_at=one.created_at,
                # It asks at this moment, which is written down once a minute.
                used_at=now if one.id == call.visitor.session_id else one.used_at,
                ends_at=sessions.end_of(one),
                is_this=one.id == call.visitor.session_id,
            )
            for one in await sessions.store.of(user.id)
        ]
    )


@endpoint("DELETE", "/api/v1/session/others", access=Access.VIEWER, answer=Ended)
async def end_sessions(parts: Parts, call: Call) -> Ended:
    """Sign the user out of all browsers but this one."""
    user = await _user(parts, call)
    ended = await parts.desk.keeper.sessions.end_others(user.id, call.visitor.session_id)
    await parts.audit.write(call.visitor, "session.end_others", user.name, after={"ended": ended})
    return Ended(ended=ended)


@endpoint("DELETE", "/api/v1/session/others/{id}", access=Access.VIEWER)
async def end_session(parts: Parts, call: Call) -> None:
    """Sign the user out of one browser."""
    user = await _user(parts, call)
    if not await parts.desk.keeper.sessions.end(call.params["id"], user.id):
        raise ApiError(404, "That session is over.")
    await parts.audit.write(call.visitor, "session.end", user.name)


async def _user(parts: Parts, call: Call) -> User:
    """Return the user who asks.

    Raises:
        ApiError: 409, it is none of this gateway's.
    """
    user_id = call.visitor.user_id
    user = await parts.desk.users.find(user_id) if user_id is not None else None
    if user is None:
        raise ApiError(
            409,
            f"You are not signed in as a user of this gateway but by {call.visitor.how}: there is nothing to "
            "change here.",
        )
    return user


ENDPOINTS: Final = (
    change_password,
    begin_totp,
    confirm_totp,
    remove_totp,
    list_sessions,
    end_sessions,
    end_session,
)
