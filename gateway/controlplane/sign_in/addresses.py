"""Addresses of those who ask: which of them are one party's, and which networks somebody has named."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable
from typing import Final

__all__ = ["LOOPBACK", "Networks", "address_of", "network_of"]

LOOPBACK: Final = ("127.0.0.1", "::1")
"""From which proxies and probes of this machine come."""
_LONGEST: Final = 100


def address_of(text: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    """Return an address, an IPv4 one as such however it is written; None for what is none."""
    try:
        address = ipaddress.ip_address(text.partition("%")[0])
    except ValueError:
        return None
    return getattr(address, "ipv4_mapped", None) or address


def network_of(text: str) -> str:
    """Return what stands for an address: of IPv6 the network that one household or host has."""
    address = address_of(text)
    if address is None:
        return text[:_LONGEST]
    if isinstance(address, ipaddress.IPv4Address):
        return str(address)
    return str(ipaddress.ip_network((address, 64), strict=False))


class Networks:
    """Some networks."""

    def __init__(self, texts: Iterable[str]) -> None:
        """Take them in CIDR notation; an address stands for itself."""
        self._networks = [ipaddress.ip_network(text) for text in texts]

    def __contains__(self, text: str) -> bool:
        """Whether an address is in one of them."""
        address = address_of(text)
        return address is not None and any(address in network for network in self._networks)
