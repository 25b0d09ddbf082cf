"""Who may use a gateway that asks for no key: programs on this machine, but not the pages its browser shows.

A page cannot choose the Host header, the Origin or the Sec-Fetch-Site that its browser sends (WHATWG Fetch,
"forbidden request-header"; W3C Fetch Metadata). A name of the page's own that leads to 127.0.0.1 (DNS rebinding)
is in Host as it is.
"""

from __future__ import annotations

import re
from typing import Final, Protocol

from multidict import CIMultiDict, CIMultiDictProxy

from gateway.setting_values import is_loopback
from gateway.wire.errors import ApiError

__all__ = ["LocalRequest", "check_local"]

_AUTHORITY: Final = re.compile(r"(\[[0-9a-fA-F:.]+\]|[^\[\]:@/]+)(?::\d*)?")
_READING: Final = frozenset({"GET", "HEAD"})
_OTHER_SITES: Final = frozenset({"cross-site", "same-site"})
_KEYS: Final = "give clients keys with GATEWAY_CLIENT_AUTH=keys"


class LocalRequest(Protocol):
    """What has to be known of a request."""

    @property
    def method(self) -> str:
        """As it came."""
        ...

    @property
    def raw_path(self) -> str:
        """The request target."""
        ...

    @property
    def headers(self) -> CIMultiDict[str] | CIMultiDictProxy[str]:
        """All of them."""
        ...


def check_local(request: LocalRequest, *, websocket: bool = False, remedy: str = _KEYS) -> None:
    """Refuse what may be a browser's request on behalf of a page from elsewhere.

    Args:
        request: to judge.
        websocket: whether it opens a WebSocket, which a page from anywhere may do and read from.
        remedy: what the operator can do to let others in.

    Raises:
        ApiError: 403.
    """
    hosts = request.headers.getall("host", [])
    scheme, found, rest = request.raw_path.partition("://")
    if found and scheme.lower() in {"http", "https"}:
        hosts = [*hosts, re.split(r"[/?#]", rest, maxsplit=1)[0]]
    if not hosts or not all(map(_is_local, hosts)):
        raise ApiError(
            403,
            "This gateway asks for no key, so it only answers requests whose Host is localhost or a loopback "
            f"address. Use http://127.0.0.1 with its port, or {remedy}.",
        )
    if request.method in _READING and not websocket:
        return
    sites = {site.strip().lower() for site in request.headers.getall("sec-fetch-site", ())}
    origins = request.headers.getall("origin", ())
    if sites & _OTHER_SITES or not all(_is_local(origin.partition("://")[2]) for origin in origins):
        raise ApiError(
            403,
            "This gateway asks for no key, so it takes nothing from web pages of other sites. "
            f"To let one in, {remedy}.",
        )


def _is_local(authority: str) -> bool:
    match = _AUTHORITY.fullmatch(authority.strip())
    return match is not None and is_loopback(match[1].strip("[]").lower())
