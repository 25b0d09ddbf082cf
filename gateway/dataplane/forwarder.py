"""What a forwarded connection asks of whoever forwards it."""

from __future__ import annotations

import asyncio
import ipaddress
from collections.abc import Callable
from typing import Any, Protocol
from weakref import WeakValueDictionary

from attrs import define

from gateway.wire.errors import ApiError
from gateway.wire.http1 import RequestHead

__all__ = ["Forwarder", "GiveBack", "Joined", "Waits", "Way", "way_of"]

End = tuple[str, int]
"""Host and port of one end of a connection."""
Way = tuple[End, End]
"""A connection, by the end that opened it and the end that it leads to. One end alone does not name it: the system
gives the same port to connections that lead to different places."""
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
    own_ways: WeakValueDictionary[Way, asyncio.Protocol]
    """The gateway's connections to the upstream: what comes in by one of them came through here before."""

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


def way_of(transport: asyncio.BaseTransport, *, opened_here: bool) -> Way:
    """Return what names a connection, alike at both of its ends."""
    here, there = (_end_of(transport.get_extra_info(name)) for name in ("sockname", "peername"))
    return (here, there) if opened_here else (there, here)


def _end_of(name: Any) -> End:
    """Return one end of a connection from its socket's name; IPv4 is the same through an IPv6 socket."""
    if not isinstance(name, tuple):
        return "", 0
    address = ipaddress.ip_address(name[0].partition("%")[0])
    mapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
    return str(mapped or address), name[1]
