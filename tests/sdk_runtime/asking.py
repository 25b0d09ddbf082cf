"""A gateway with the local SDK transport on, before the replay upstream, and the real runtime in between."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Any, Final

from tests.contract.harness import Served, serving
from tests.replay.raw_client import RawResponse

SDK: Final = "/claude-sdk/v1/messages"
MODEL: Final = "claude-haiku-4-5"


@asynccontextmanager
async def sdk_serving(**settings: Any) -> AsyncGenerator[Served]:
    """Run a gateway whose local SDK transport is on."""
    async with serving(sdk_enabled=True, **settings) as served:
        yield served


def question(text: Any = "Hello", **fields: Any) -> dict[str, Any]:
    """Return a request body."""
    usual = {"model": MODEL, "max_tokens": 1000, "messages": [{"role": "user", "content": text}], "stream": True}
    return {**usual, **fields}


async def ask(served: Served, body: dict[str, Any], **options: Any) -> RawResponse:
    """Ask a local runtime."""
    return await served.ask(body, SDK, **options)
