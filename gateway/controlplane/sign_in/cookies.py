"""The cookie that holds the token of a session."""

from __future__ import annotations

from typing import Final

from aiohttp import web
from attrs import define

from gateway.controlplane.sign_in.hosts import Place
from gateway.controlplane.sign_in.tokens import TOKEN

__all__ = ["SessionCookie", "read_cookie"]

_NAME: Final = "gateway_session"
_SECURE_NAME: Final = f"__Host-{_NAME}"


@define(frozen=True)
class SessionCookie:
    """Reads and writes it.

    By https its name begins with `__Host-`: browsers take such a one from this host alone. Otherwise the port is
    part of it, because browsers send a cookie to all ports of a host: two gateways on one machine, or behind two
    tunnels to it, would end each other's sessions.
    """

    place: Place

    def read(self, request: web.BaseRequest) -> str | None:
        """Return the token that a request brings; None for none."""
        return read_cookie(request.headers.getall("cookie", []), self._name(request))

    def set(self, request: web.BaseRequest, token: str, seconds: float) -> str:
        """Return the header `set-cookie` that makes a browser keep a token for so long."""
        name = self._name(request)
        secure = "; Secure" if name == _SECURE_NAME else ""
        age = max(0, int(seconds))
        return f"{name}={token}; Path=/; Max-Age={age}; HttpOnly; SameSite=Strict{secure}"

    def clear(self, request: web.BaseRequest) -> str:
        """Return the header `set-cookie` that makes a browser forget it."""
        return self.set(request, "", 0)

    def _name(self, request: web.BaseRequest) -> str:
        cookies = request.headers.getall("cookie", [])
        has_secure = self.place.is_encrypted and read_cookie(cookies, _SECURE_NAME) is not None
        if has_secure or self.place.is_secure(request):
            return _SECURE_NAME
        _, port = self.place.authority(request)
        return f"{_NAME}_{port}" if port else _NAME


def read_cookie(headers: list[str], name: str) -> str | None:
    """Return the token in the cookie of a name; None if there is none, or several that differ."""
    found = {
        value.strip(" \t")
        for header in headers
        for pair in header.split(";")
        for key, equals, value in [pair.partition("=")]
        if equals and key.strip(" \t") == name
    }
    token = found.pop() if len(found) == 1 else ""
    return token if TOKEN.fullmatch(token) else None
