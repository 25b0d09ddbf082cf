"""What reached a replay upstream, asked of its control paths; docs/replay.md describes them."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Final

import aiohttp
import msgspec
from attrs import define, field

__all__ = ["Arrival", "ReplayControl", "ReplayControlError"]

_SECONDS: Final = 10.0
_LOOK_AGAIN_SECONDS: Final = 0.05
_MOST: Final = 200
"""More than an examination asks, others included that go on beside it."""


class ReplayControlError(Exception):
    """The control paths do not answer as a replay upstream's do; the message says what they do."""


class _Record(msgspec.Struct):
    method: str
    target: str
    headers: list[tuple[str, str]]
    body_bytes: int
    body_sha256: str
    finished: str | None = None


class _Records(msgspec.Struct):
    requests: list[_Record]


@define(frozen=True)
class Arrival:
    """A request as the upstream got it."""

    method: str
    target: str
    """Path and query."""
    headers: list[tuple[str, str]] = field(repr=False)
    """In order; credentials by their last four characters."""
    body_bytes: int
    body_sha256: str
    finished: str | None
    """`answered`, `cut` by a fault, `client_gone`; None while it is being answered."""

    def values(self, name: str) -> list[str]:
        """Return all values of a header, in order."""
        return [value for known, value in self.headers if known.lower() == name]


@define
class ReplayControl:
    """The control paths of one replay upstream."""

    session: aiohttp.ClientSession
    url: str
    """Its base URL, without a slash at the end."""

    async def arrivals(self) -> list[Arrival]:
        """Return the newest requests that it got, the newest last.

        Raises:
            ReplayControlError: it does not answer.
        """
        try:
            async with (
                asyncio.timeout(_SECONDS),
                self.session.get(
                    f"{self.url}/_replay/requests", params={"limit": str(_MOST)}, allow_redirects=False
                ) as response,
            ):
                status, body = response.status, await response.read()
        except TimeoutError:
            raise ReplayControlError(f"{self.url} does not answer within {_SECONDS:g} seconds") from None
        except (aiohttp.ClientError, OSError):
            raise ReplayControlError(f"there is no connection to {self.url}") from None
        try:
            known = msgspec.json.decode(body, type=_Records).requests
        except msgspec.DecodeError:
            raise ReplayControlError(
                f"{self.url} is no replay upstream: /_replay/requests is answered with {status}"
            ) from None
        return [Arrival(r.method, r.target, r.headers, r.body_bytes, r.body_sha256, r.finished) for r in known]

    async def wait_for(self, predicate: Callable[[Arrival], bool], seconds: float) -> Arrival | None:
        """Return the newest request of which `predicate` is true, as soon as there is one; None if none comes.

        Raises:
            ReplayControlError: it does not answer.
        """
        loop = asyncio.get_running_loop()
        deadline = loop.time() + seconds
        while True:
            for arrival in reversed(await self.arrivals()):
                if predicate(arrival):
                    return arrival
            if loop.time() >= deadline:
                return None
            await asyncio.sleep(_LOOK_AGAIN_SECONDS)
