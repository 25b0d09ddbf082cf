"""Addresses that no upstream has: those by which a machine talks to its cloud or its neighbours.

What stands there hands out credentials of the machine to whoever asks from it. A name may lead there by mistake,
or because somebody who may give names or add accounts means it to; so names are looked at when they are resolved.
"""

from __future__ import annotations

import ipaddress
import socket
from typing import Final

from aiohttp.abc import AbstractResolver, ResolveResult
from aiohttp.resolver import ThreadedResolver

__all__ = ["CarefulResolver", "ForbiddenAddressError", "is_forbidden"]

_METADATA_ADDRESSES: Final = frozenset(
    map(ipaddress.ip_address, ("100.100.100.200", "168.63.129.16", "192.0.0.192", "fd00:ec2::254", "fd20:ce::254"))
)
"""Where clouds hand out credentials to their machines, beside the link-local ones."""
_TRANSLATED: Final = ipaddress.IPv6Network("64:ff9b::/96")
"""Addresses of IPv4 in networks that have but IPv6 (RFC 6052)."""
_BROADCAST: Final = ipaddress.IPv4Address("255.255.255.255")


class ForbiddenAddressError(OSError):
    """A name leads to no other address than forbidden ones."""

    def __init__(self) -> None:
        """Name neither the name nor the address: they may be nobody's business."""
        super().__init__("the name leads to an address by which a machine talks to its cloud or its neighbours")


class CarefulResolver(AbstractResolver):
    """Resolves names as aiohttp does without further packages, and leaves forbidden addresses out."""

    def __init__(self) -> None:
        """Begin with nothing; what is remembered, the connector remembers."""
        self._system = ThreadedResolver()

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        """Return the addresses of a name.

        Raises:
            ForbiddenAddressError: there are but forbidden ones.
            OSError: there are none.
        """
        found = await self._system.resolve(host, port, family)
        allowed = [one for one in found if not is_forbidden(one["host"])]
        if found and not allowed:
            raise ForbiddenAddressError
        return allowed

    async def close(self) -> None:
        """Let go of what is held."""
        await self._system.close()


def is_forbidden(text: str) -> bool:
    """Return whether an address is one of those; what is none is not."""
    try:
        address = ipaddress.ip_address(text.partition("%")[0])
    except ValueError:
        return False
    return _is_forbidden(address)


def _is_forbidden(address: ipaddress.IPv4Address | ipaddress.IPv6Address) -> bool:
    if isinstance(address, ipaddress.IPv6Address):
        inner = address.ipv4_mapped or address.sixtofour
        if address in _TRANSLATED:
            inner = ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)
        if inner is not None:
            return _is_forbidden(inner)
    return (
        address.is_link_local
        or address.is_multicast
        or address.is_unspecified
        or address == _BROADCAST
        or address in _METADATA_ADDRESSES
    )
