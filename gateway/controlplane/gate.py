"""Tells who asks the control plane, by what a request has with it."""

from __future__ import annotations

import hashlib
import hmac
from typing import Final

from aiohttp import web
from attrs import define, field

from gateway.controlplane.access import Role, Visitor
from gateway.controlplane.sign_in.attempts import Attempts
from gateway.controlplane.sign_in.cookies import SessionCookie
from gateway.controlplane.sign_in.hosts import Place
from gateway.controlplane.sign_in.proxies import TrustedProxies
from gateway.controlplane.sign_in.sessions import Sessions
from gateway.telemetry.logs import get_logger
from gateway.wire.errors import ApiError

__all__ = ["CSRF_HEADER", "DoorKeeper"]

_log = get_logger(__name__)

CSRF_HEADER: Final = "x-csrf-token"
_BEARER: Final = "bearer"
_TOKEN: Final = "token"  # noqa: S105 - a way to sign in


@define(eq=False)
class DoorKeeper:
    """Lets in who has the control token, whom a proxy names that is believed, and whose browser is signed in."""

    token: str = field(repr=False)
    """GATEWAY_CONTROL_TOKEN; empty for none."""
    pepper: bytes = field(repr=False)
    """What tokens against requests of other sites' pages are made of."""
    place: Place
    cookie: SessionCookie
    proxies: TrustedProxies
    sessions: Sessions
    attempts: Attempts

    async def identify(self, request: web.BaseRequest) -> Visitor:
        """Return who asks; one without a role where nobody has signed in.

        Raises:
            ApiError: what was given proves nothing, or too much of that was given.
        """
        address = self.proxies.address(request)
        for given in request.headers.getall("authorization", []):
            scheme, _, token = given.strip().partition(" ")
            # What a proxy in front asked for by another scheme is its own business.
            if scheme.lower() == _BEARER:
                self._check_token(token.strip(), address)
                return Visitor(name=_TOKEN, role=Role.ADMIN, how=_TOKEN, address=address)
        if (named := self.proxies.named(request)) is not None:
            name, role = named
            return Visitor(name=name, role=role, how="header", address=address)
        if (token := self.cookie.read(request)) is None or (found := await self.sessions.find(token)) is None:
            return Visitor(address=address)
        return Visitor(
            name=found.user.name,
            role=Role(found.user.role),
            how="password" if found.user.password is not None else "link",
            address=address,
            user_id=found.user.id,
            session_id=found.session.id,
            new_cookie=self.cookie.set(request, found.new_token, self.seconds) if found.new_token else "",
        )

    def check_sender(self, request: web.BaseRequest, visitor: Visitor, *, with_token: bool) -> None:
        """Refuse a change that a page of another site may be behind.

        Args:
            request: that is to change something.
            visitor: who sends it. Browsers do not send the control token on their own.
            with_token: whether a browser that is signed in has to send the session's token too.

        Raises:
            ApiError: 403.
        """
        if visitor.how == _TOKEN:
            return
        if not self.place.is_own_page(request):
            raise ApiError(
                403,
                "This came from a page that is not the dashboard's own. Open the dashboard by the address that "
                "GATEWAY_DASHBOARD__PUBLIC_URL names, or by that of the control plane, and try again.",
            )
        if not with_token or visitor.role is None:
            return
        given = request.headers.get(CSRF_HEADER, "")
        if not hmac.compare_digest(given.encode(errors="replace"), self.csrf_token(visitor).encode()):
            raise ApiError(
                403, f"Send {CSRF_HEADER} as GET /api/v1/session gives it; in the dashboard, reload the page."
            )

    async def is_still_welcome(self, visitor: Visitor) -> bool:
        """Return whether somebody who was let in is still signed in."""
        return visitor.session_id is None or await self.sessions.is_good(visitor.session_id)

    @property
    def seconds(self) -> float:
        """For which a browser keeps its cookie at the most."""
        return self.sessions.settings.session_seconds

    def csrf_token(self, visitor: Visitor) -> str:
        """Return what pages of the dashboard send along with changes, and no others can know."""
        whose = f"session {visitor.session_id}" if visitor.session_id is not None else f"header {visitor.name}"
        hashed = hashlib.blake2b(whose.encode(), key=self.pepper, digest_size=32, person=b"dashboard csrf")
        return hashed.hexdigest()

    def _check_token(self, given: str, address: str) -> None:
        # Compared first: who guesses from the same address, as behind one proxy, keeps no program out that has it.
        if self.token and hmac.compare_digest(given.encode(errors="replace"), self.token.encode()):
            return
        self.attempts.take(_TOKEN, address)
        _log.warning("somebody sent a wrong control token", address=address)
        raise ApiError(
            401, "That is not the gateway's GATEWAY_CONTROL_TOKEN.", headers={"www-authenticate": "Bearer"}
        )
