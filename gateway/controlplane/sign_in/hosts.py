"""Under which names the dashboard is reached, and which requests come from its own pages."""

from __future__ import annotations

import ipaddress
import re
from typing import Final
from urllib.parse import urlsplit

from aiohttp import web

from gateway.setting_values import is_loopback

__all__ = ["Place"]

_AUTHORITY: Final = re.compile(r"(\[[0-9a-fA-F:.]+\]|[^\[\]:@/\s,;\"]+)(?::(\d{1,5}))?", re.ASCII)
_OWN_SITES: Final = frozenset({"same-origin", "none"})


class Place:
    """Where people reach the dashboard."""

    def __init__(self, public_url: str) -> None:
        """Take the setting `public_url`, which may be empty."""
        parts = urlsplit(public_url)
        self._public = _origin(parts.scheme, parts.netloc)
        self._public_host = (parts.hostname or "").lower()
        self.public_url = public_url.rstrip("/")
        """Under which people reach it; empty where nothing stands in front."""
        self.is_encrypted = parts.scheme == "https"
        """Whether browsers reach it by https."""

    def authority(self, request: web.BaseRequest) -> tuple[str, str]:
        """Return host and port that a request was sent to, as far as it says so; both may be empty."""
        hosts = request.headers.getall("host", [])
        match = _AUTHORITY.fullmatch(hosts[0].strip()) if len(hosts) == 1 else None
        return (match[1].strip("[]").lower(), match[2] or "") if match is not None else ("", "")

    def is_secure(self, request: web.BaseRequest) -> bool:
        """Return whether a browser's request came by https: not if it goes past the proxy, by a tunnel for one."""
        if not self.is_encrypted or not is_loopback(self.authority(request)[0]):
            return self.is_encrypted
        # A proxy of this machine may send its own name for the gateway on; the browser says where it is.
        origins = [origin.strip().lower().partition("://") for origin in request.headers.getall("origin", [])]
        return any(_origin(scheme, authority) == self._public for scheme, _, authority in origins)

    def loses_sessions(self, request: web.BaseRequest) -> bool:
        """Return whether a browser says that it came by http, so that it keeps no session that is for https."""
        origins = request.headers.getall("origin", [])
        return self.is_secure(request) and any(one.strip().lower().startswith("http://") for one in origins)

    def is_own_name(self, request: web.BaseRequest) -> bool:
        """Return whether a request was sent to a name that nobody else can have lead here.

        The name of another site's page may be made to lead here (DNS rebinding). An address, a name without dots
        and the dashboard's own cannot be such a one.
        """
        host, _ = self.authority(request)
        if host == self._public_host or "." not in host.rstrip("."):
            return host != ""
        try:
            ipaddress.ip_address(host)
        except ValueError:
            return host.endswith(".localhost")
        return True

    def is_own_page(self, request: web.BaseRequest) -> bool:
        """Return whether a request may come from a page of the dashboard, or from no page at all.

        A page cannot choose the Origin and the Sec-Fetch-Site that its browser sends.
        """
        headers = request.headers
        if not {site.strip().lower() for site in headers.getall("sec-fetch-site", [])} <= _OWN_SITES:
            return False
        return all(self._is_own_origin(request, origin) for origin in headers.getall("origin", []))

    def _is_own_origin(self, request: web.BaseRequest, origin: str) -> bool:
        scheme, _, authority = origin.strip().partition("://")
        given = _origin(scheme.lower(), authority)
        if given is None:
            return False
        if given == self._public:
            return True
        host, _ = self.authority(request)
        if self._public is not None and (host == self._public_host or not self.is_own_name(request)):
            return False
        hosts = request.headers.getall("host", [])
        return len(hosts) == 1 and given == _origin(scheme.lower(), hosts[0].strip())


def _origin(scheme: str, authority: str) -> tuple[str, str, int] | None:
    match = _AUTHORITY.fullmatch(authority)
    if match is None or scheme not in {"http", "https"}:
        return None
    return scheme, match[1].lower(), int(match[2] or (443 if scheme == "https" else 80))
