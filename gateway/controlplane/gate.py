"""Tells who asks the control plane, by what a request has with it."""

from __future__ import annotations

import hmac
from typing import Any, Final

from aiohttp import web
from attrs import define, field

from gateway.controlplane.access import Role, Visitor
from gateway.wire.errors import ApiError

__all__ = ["TokenGate"]

_BEARER: Final = "bearer"


@define(eq=False)
class TokenGate:
    """Lets in who has the control token."""

    token: str = field(repr=False)

    async def identify(self, request: web.BaseRequest) -> Visitor:
        """Return who asks."""
        scheme, _, given = request.headers.get("authorization", "").partition(" ")
        address = request.remote or ""
        if not given:
            return Visitor(address=address)
        right = scheme.lower() == _BEARER and self.token != ""
        if right and hmac.compare_digest(given.strip().encode(errors="replace"), self.token.encode()):
            return Visitor(name="token", role=Role.ADMIN, how="token", address=address)
        raise ApiError(
            401, "That is not the gateway's GATEWAY_CONTROL_TOKEN.", headers={"www-authenticate": "Bearer"}
        )

    def check_sender(self, request: web.BaseRequest, visitor: Visitor, *, with_token: bool) -> None:
        """Refuse nothing: browsers send no token on their own."""

    async def write(
        self, visitor: Visitor, action: str, target: str = "", *, before: Any = None, after: Any = None
    ) -> None:
        """Keep nothing yet."""
