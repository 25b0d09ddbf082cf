"""What proxies in front say of whom they send on; everybody else could say the same."""

from __future__ import annotations

from typing import Final

from aiohttp import web
from attrs import define, field

from gateway.config import DashboardSettings
from gateway.controlplane.access import Role
from gateway.controlplane.sign_in.addresses import Networks, address_of
from gateway.controlplane.sign_in.hosts import Place
from gateway.store.users import name_key
from gateway.wire.errors import ApiError

__all__ = ["TrustedProxies"]

_LONGEST_NAME: Final = 100
_MOST_HOPS: Final = 20


@define(eq=False)
class TrustedProxies:
    """The proxies that are believed."""

    settings: DashboardSettings
    place: Place
    _networks: Networks = field(init=False)
    _admins: frozenset[str] = field(init=False)

    def __attrs_post_init__(self) -> None:
        """Read the settings."""
        self._networks = Networks(self.settings.trusted_networks)
        self._admins = frozenset(map(name_key, self.settings.trusted_admins))

    def address(self, request: web.BaseRequest) -> str:
        """Return the address that a request comes from, as far as that is known; it may be empty."""
        address = request.remote or ""
        hops = [
            hop.strip() for header in request.headers.getall("x-forwarded-for", []) for hop in header.split(",")
        ]
        for hop in reversed(hops[-_MOST_HOPS:]):
            # Each proxy puts down whom it got the request from, behind what it was told: only as long as those are
            # proxies that are believed does the next one count.
            if address not in self._networks or address_of(hop) is None:
                break
            address = hop
        return address

    def named(self, request: web.BaseRequest) -> tuple[str, Role] | None:
        """Return who has signed in to a proxy, and what they may do; None if no proxy says so.

        Raises:
            ApiError: 403, it says so in a way that cannot be believed.
        """
        header = self.settings.trusted_header
        if not header or (request.remote or "") not in self._networks:
            return None
        given = request.headers.getall(header, [])
        if not given:
            return None
        name = given[0].strip()
        if len(given) > 1 or not name or not name.isprintable() or len(name) > _LONGEST_NAME:
            raise ApiError(
                403,
                f"The proxy in front says in {header} who you are, but not in one header with one name; "
                "it must remove what clients send.",
            )
        if not self.place.is_own_name(request):
            raise ApiError(
                403,
                "The proxy in front must send on the Host that the browser sent, which must be that of "
                "GATEWAY_DASHBOARD__PUBLIC_URL.",
            )
        return name, Role.ADMIN if name_key(name) in self._admins else Role.VIEWER
