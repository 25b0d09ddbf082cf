"""What is refused besides in an account that somebody asks for over the network rather than in a shell.

Whoever has a shell on the gateway's machine can read its files and reach its network without the gateway. Who has
but signed in to its dashboard shall not get to either through an account: it names no program, no file, and no
address that only the machine itself should talk to.
"""

from __future__ import annotations

import ipaddress
import socket
from typing import Final
from urllib.parse import urlsplit

from gateway.accounts.drafts import Draft, DraftError
from gateway.accounts.secrets import CommandSecret, OAuthSecret
from gateway.setting_values import canonical_host

__all__ = ["refuse_remote_draft"]

_METADATA_NAMES: Final = (
    "instance-data",
    "instance-data.ec2.internal",
    "metadata",
    "metadata.goog",
    "metadata.google.internal",
)
_METADATA_ADDRESSES: Final = frozenset(
    map(ipaddress.ip_address, ("100.100.100.200", "168.63.129.16", "192.0.0.192", "fd00:ec2::254", "fd20:ce::254"))
)
"""Where clouds hand out credentials to their machines, beside the link-local ones."""
_TRANSLATED: Final = ipaddress.IPv6Network("64:ff9b::/96")
"""Addresses of IPv4 in networks that have but IPv6 (RFC 6052)."""


def refuse_remote_draft(draft: Draft) -> None:
    """Refuse what only a shell may ask for.

    Private addresses are allowed, because proxies stand there, and this machine's own. A name that leads to a
    forbidden address is not found out: who may give names to addresses of that network has more than this already.

    Raises:
        DraftError: says what, and where it can be had.
    """
    if isinstance(draft.secret, CommandSecret):
        raise DraftError("accounts whose credential a command prints are added in a shell: gateway accounts add")
    if isinstance(draft.secret, OAuthSecret):
        if draft.secret.federation is not None:
            raise DraftError(
                "the profile names a file of the gateway's machine, which can only be done in a shell there: "
                "gateway accounts import"
            )
        _refuse_address("the token URL", draft.secret.token_url)
    if draft.base_url is not None:
        _refuse_address("the base URL", draft.base_url)


def _refuse_address(what: str, url: str) -> None:
    # As whoever connects writes it: a circled 1 is a 1 to them, and an ideographic full stop a dot.
    host = canonical_host(urlsplit(url).hostname or "")
    address = _as_address(host)
    named = address is None and host in _METADATA_NAMES
    if named or (address is not None and _is_forbidden(address)):
        raise DraftError(
            f"{what} leads to an address by which a machine talks to its cloud or its neighbours; no provider is"
        )


def _as_address(host: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    """Return the address that a host is, in whatever way it is written; None for a name."""
    try:
        return ipaddress.ip_address(host.partition("%")[0])
    except ValueError:
        pass
    try:
        # As the system understands it: 0x7f.1, 2130706433 and the like are addresses to it.
        return ipaddress.IPv4Address(socket.inet_aton(host.rstrip(".")))
    except (OSError, ValueError):
        return None


def _is_forbidden(address: ipaddress.IPv4Address | ipaddress.IPv6Address) -> bool:
    if isinstance(address, ipaddress.IPv6Address):
        inner = address.ipv4_mapped or address.sixtofour
        if address in _TRANSLATED:
            inner = ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)
        if inner is not None:
            return _is_forbidden(inner)
    is_broadcast = address == ipaddress.IPv4Address("255.255.255.255")
    return (
        address.is_link_local
        or address.is_multicast
        or address.is_unspecified
        or is_broadcast
        or address in _METADATA_ADDRESSES
    )
