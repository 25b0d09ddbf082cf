"""Keys with limits at a running gateway."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from gateway.actors.terms import KeyLimits, KeyTerms
from gateway.store.client_keys import ClientKeyStore
from gateway.store.engine import Database
from gateway.store.secret import load_secret_key
from tests.contract.harness import SECRET, Pairs, Served
from tests.replay.raw_client import LIMIT, RawResponse, message

USAGE = "/claude/usage"


def presenting(key: str) -> list[tuple[str, str]]:
    """Return the headers that a client with this key sends."""
    return [("x-api-key", key), ("anthropic-version", "2023-06-01"), ("content-type", "application/json")]


@asynccontextmanager
async def keys_of(served: Served) -> AsyncGenerator[tuple[ClientKeyStore, bytes]]:
    """Open the gateway's keys, as the command does, and what they are hashed with."""
    settings = served.gateway.data_plane.settings
    async with Database.of(settings) as database:
        yield ClientKeyStore(database), load_secret_key(SECRET, Path(settings.data_dir))


async def make_key(
    served: Served,
    name: str = "ci",
    *,
    expires_at: float | None = None,
    models: tuple[str, ...] = (),
    **limits: int,
) -> Pairs:
    """Make a key, wait until the gateway knows it, and return the headers that present it."""
    async with keys_of(served) as (store, pepper):
        _, key = await store.create(name, pepper, KeyTerms(expires_at, models, KeyLimits(**limits)))
    headers = presenting(key)
    await until_known(served, headers)
    return headers


async def until_known(served: Served, headers: Pairs) -> None:
    """Wait until the gateway knows a key."""
    async with asyncio.timeout(LIMIT):
        while b"does not know" in (await served.ask(target=USAGE, usual=headers, method="GET")).body:  # noqa: ASYNC110 - another process would have to tell
            await asyncio.sleep(0.02)


async def until_status(served: Served, headers: Pairs, status: int) -> None:
    """Ask until the answer has this status."""
    async with asyncio.timeout(LIMIT):
        while (await served.ask(message(), usual=headers)).status != status:  # noqa: ASYNC110 - as above
            await asyncio.sleep(0.02)


async def usage(served: Served, headers: Pairs) -> dict[str, Any]:
    """Return what a key is told of itself."""
    answer: RawResponse = await served.ask(target=USAGE, usual=headers, method="GET")
    assert answer.status == 200, answer.body
    return json.loads(answer.body)
