"""A gateway before a replayed OpenAI-compatible server, and connections of raw bytes to either."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Any, Final

from attrs import define

from gateway.app import Gateway
from gateway.replay.openai import OpenAIArrival, OpenAIReplay
from tests.contract.harness import Served, serving
from tests.replay.raw_client import LIMIT

KEY: Final = "sk-proj-made-up-0123456789"


@define
class Stage:
    """Both of them."""

    served: Served
    openai: OpenAIReplay

    @property
    def gateway(self) -> Gateway:
        """The gateway."""
        return self.served.gateway

    @property
    def places(self) -> dict[str, tuple[str, int]]:
        """Where to connect: to the server itself, and to the gateway before it."""
        return {
            "direct": (self.openai.host, self.openai.port),
            "forwarded": (self.gateway.host, self.gateway.port),
        }

    @property
    def last(self) -> OpenAIArrival:
        """What arrived last."""
        return self.openai.arrivals[-1]


@asynccontextmanager
async def staged(openai: OpenAIReplay | None = None, **settings: Any) -> AsyncGenerator[Stage]:
    """Run both."""
    async with openai or OpenAIReplay() as running, serving(openai_base_url=running.url, **settings) as served:
        yield Stage(served, running)


@asynccontextmanager
async def connected(
    place: tuple[str, int], *, limit: int = 2**24
) -> AsyncGenerator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    """Connect to a place, for bytes as they are; `limit` bounds what is read ahead."""
    reader, writer = await asyncio.open_connection(*place, limit=limit)
    try:
        yield reader, writer
    finally:
        writer.transport.abort()


async def exactly(reader: asyncio.StreamReader, size: int) -> bytes:
    """Read so many bytes, or those that came before the end."""
    async with asyncio.timeout(LIMIT):
        try:
            return await reader.readexactly(size)
        except asyncio.IncompleteReadError as error:
            return error.partial


async def rest(reader: asyncio.StreamReader) -> bytes | None:
    """Read to the end of the connection; None if it was cut by a reset."""
    async with asyncio.timeout(LIMIT):
        try:
            return await reader.read()
        except ConnectionError:
            return None
