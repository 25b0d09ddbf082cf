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
from gateway.wire.forbidden import is_forbidden

__all__ = ["refuse_remote_draft"]

_METADATA_NAMES: Final = (
    "instance-data",
    "instance-data.ec2.internal",
    "metadata",
    "metadata.goog",
    "metadata.google.internal",
)


def refuse_remote_draft(draft: Draft) -> None:
    """Refuse what only a shell may ask for.

    Private addresses are allowed, because proxies stand there, and this machine's own. Where a name leads is seen
    when it is connected with.

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
    if named or (address is not None and is_forbidden(str(address))):
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
