"""Waiting for what no event announces."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from tests.replay.raw_client import LIMIT


async def until(holds: Callable[[], object]) -> None:
    """Return once `holds()` is true; raises `TimeoutError` if it never is."""
    async with asyncio.timeout(LIMIT):
        while not holds():  # noqa: ASYNC110 - the gateway offers no event for a test's every question
            await asyncio.sleep(0.005)
