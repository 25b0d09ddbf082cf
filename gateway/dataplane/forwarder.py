"""What a forwarded connection asks of whoever forwards it."""

from __future__ import annotations

import asyncio
import ipaddress
from collections.abc import Callable
from typing import Any, Protocol

from attrs import define

from gateway.wire.errors import ApiError
from gateway.wire.http1 import RequestHead

__all__ = ["End", "Forwarder", "GiveBack", "Joined", "Waits", "end_of"]

End = tuple[str, int]
"""Host and port of one end of a connection."""
GiveBack = Callable[[asyncio.Transport, bytes], None]
"""Takes a connection, and the bytes that were read from it, at the beginning of a request that is not ours."""


@define(frozen=True)
class Waits:
    """How long a connection may stay as it is, in seconds."""

    head: float
    """For a request head to become complete."""
    idle: float
    """Without a byte in either direction while a request or a WebSocket is under way."""
    between: float
    """Between two requests."""


class Joined(Protocol):
    """A client connection that is forwarded."""

    async def connect(self) -> None:
        """Open its connection to the upstream."""
        ...

    def hurry(self) -> None:
        """Close it when what is under way is over, at once if nothing is."""
        ...

    def abort(self) -> None:
        """Cut it."""
        ...


class Forwarder(Protocol):
    """Decides what is forwarded and where to."""

    waits: Waits
    longest_head: int
    draining: bool
    own_ends: set[End]
    """The gateway's ends of its connections to the upstream: what comes from there came through here before."""

    def claims(self, start: bytes | bytearray) -> bool | None:
        """Whether a request that begins with these bytes is to be forwarded; None if they are too few to say."""
        ...

    def head_for_upstream(self, head: RequestHead, client: asyncio.Transport) -> bytes:
        """Return the head that the upstream gets.

        Raises:
            ApiError: the request is not forwarded.
        """
        ...

    async def connect(self, factory: Callable[[], asyncio.Protocol]) -> None:
        """Open a connection to the upstream.

        Raises:
            UpstreamFault: there is none.
        """
        ...

    def start(self, connection: Joined) -> asyncio.Task[None]:
        """Run `connection.connect()` in a task of its own."""
        ...

    def forget(self, connection: Joined) -> None:
        """Be told that a connection is over."""
        ...

    def answer(self, error: ApiError, *, with_body: bool) -> bytes:
        """Return an answer in the gateway's own name, after which the connection closes."""
        ...


def end_of(name: Any) -> End:
    """Return one end of a connection from its socket's name; IPv4 is the same through an IPv6 socket."""
    if not isinstance(name, tuple):
        return "", 0
    address = ipaddress.ip_address(name[0].partition("%")[0])
    mapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
    return str(mapped or address), name[1]
