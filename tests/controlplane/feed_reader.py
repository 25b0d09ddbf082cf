"""Reads the live feed as a browser would, event by event."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
from attrs import define

from tests.replay.raw_client import LIMIT

__all__ = ["FeedReader", "LiveEvent", "watching"]


@define
class LiveEvent:
    """One event."""

    topic: str
    data: Any
    id: str


@define
class FeedReader:
    """A connection to the feed."""

    response: aiohttp.ClientResponse
    last_id: str = ""

    async def next(self) -> LiveEvent:
        """Return the next event that says something; an empty topic means the end."""
        topic, data = "", ""
        async with asyncio.timeout(LIMIT):
            async for line in self.response.content:
                text = line.decode().rstrip("\r\n")
                name, _, value = text.partition(": ")
                if name == "id":
                    self.last_id = value
                elif name == "event":
                    topic = value
                elif name == "data":
                    data = value
                elif not text and data:
                    if topic not in {"start", "beat"}:
                        return LiveEvent(topic, json.loads(data), self.last_id)
                    data = ""
        return LiveEvent("", None, self.last_id)

    async def until(self, topic: str, wanted: Callable[[Any], bool] = lambda _: True) -> Any:
        """Return the data of the next event of a topic that is as wanted."""
        async with asyncio.timeout(LIMIT):
            while True:
                event = await self.next()
                assert event.topic, "the feed has ended"
                if event.topic == topic and wanted(event.data):
                    return event.data


@asynccontextmanager
async def watching(url: str | None, token: str, query: str = "", **headers: str) -> AsyncGenerator[FeedReader]:
    """Watch a gateway for as long as the context lasts; `url` is that of its control plane."""
    sent = {"authorization": f"Bearer {token}"} if token else {}
    asked = sent | {name.replace("_", "-"): text for name, text in headers.items()}
    timeout = aiohttp.ClientTimeout(total=None)
    async with (
        aiohttp.ClientSession(timeout=timeout, read_bufsize=2**20, cookie_jar=aiohttp.DummyCookieJar()) as session,
        session.get(f"{url}/api/v1/live{query}", headers=asked) as response,
    ):
        assert response.status == 200, await response.text()
        yield FeedReader(response)
