"""Looks up one host name in a thread of its own: a name server that hangs holds up no look-up of another."""

from __future__ import annotations

import asyncio
import ipaddress
import socket
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import Any

from attrs import define, field

from gateway.wire.forbidden import ForbiddenAddressError, is_forbidden

__all__ = ["HostName"]


@define(eq=False)
class HostName:
    """A host and port to be connected with. Nothing is remembered: who looks a name up wants it as it is now."""

    host: str
    port: int
    _threads: ThreadPoolExecutor = field(init=False)
    _lookup: asyncio.Future[list[Any]] | None = field(default=None, init=False)

    def __attrs_post_init__(self) -> None:
        """Get a thread, which starts when it is needed."""
        self._threads = ThreadPoolExecutor(1, thread_name_prefix="look-up")

    async def addresses(self) -> list[Any]:
        """Return the addresses as `socket.getaddrinfo` does; who asks at the same time shares a look-up.

        Raises:
            ForbiddenAddressError: there are but those that no upstream has.
            OSError: there are none.
        """
        with suppress(ValueError):
            ipaddress.ip_address(self.host.partition("%")[0])
            return socket.getaddrinfo(
                self.host, self.port, type=socket.SOCK_STREAM, flags=socket.AI_NUMERICHOST | socket.AI_NUMERICSERV
            )
        lookup = self._lookup
        if lookup is None or lookup.done():
            loop = asyncio.get_running_loop()
            lookup = loop.run_in_executor(self._threads, self._look_up)
            # Who asked may have left by the time it fails.
            lookup.add_done_callback(lambda done: done.cancelled() or done.exception())
            self._lookup = lookup
        # Whoever gives up waiting leaves it to the others.
        await asyncio.wait([lookup])
        return lookup.result()

    def close(self) -> None:
        """Wait for nothing any more."""
        self._threads.shutdown(wait=False, cancel_futures=True)

    def _look_up(self) -> list[Any]:
        found = socket.getaddrinfo(self.host, self.port, type=socket.SOCK_STREAM)
        allowed = [one for one in found if not is_forbidden(str(one[4][0]))]
        if found and not allowed:
            raise ForbiddenAddressError
        return allowed
