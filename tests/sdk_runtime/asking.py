"""A gateway with the local SDK transport on, before the replay upstream, and the real runtime in between."""

from __future__ import annotations

import json
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Final

import psutil

from gateway.store.client_keys import ClientKeyStore
from gateway.store.engine import Database
from gateway.store.secret import load_secret_key
from tests.contract.harness import SECRET, Served, serving
from tests.faults.waiting import until
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


def follow_up(body: dict[str, Any], answer: RawResponse, text: str) -> dict[str, Any]:
    """Return the next request of a conversation."""
    said = {"role": "assistant", "content": text_of(answer)}
    return {**body, "messages": [*body["messages"], said, {"role": "user", "content": text}]}


def text_of(answer: RawResponse) -> str:
    """Return the text of a stream."""
    deltas = [data["delta"] for name, data in answer.events if name == "content_block_delta"]
    return "".join(delta["text"] for delta in deltas)


async def ask(served: Served, body: dict[str, Any], **options: Any) -> RawResponse:
    """Ask a local runtime."""
    return await served.ask(body, SDK, **options)


def asked_upstream(served: Served) -> list[list[Any]]:
    """Return the texts of each message of each request that reached the upstream."""
    found = []
    for request in served.upstream.requests:
        messages = json.loads(request.body)["messages"]
        found.append([message["content"] for message in messages])
    return [[_texts(content) for content in messages] for messages in found]


def _texts(content: Any) -> list[str]:
    return [content] if isinstance(content, str) else [block["text"] for block in content]


def runtimes(parent: int | None = None) -> list[psutil.Process]:
    """Return the runtimes of a process, by default this one, those included that nobody has waited for."""
    return [child for child in psutil.Process(parent).children() if child.name() == "claude"]


async def second_key(served: Served) -> str:
    """Make a key for somebody else, and return it once the gateway knows it."""
    settings = served.gateway.data_plane.settings
    async with Database.of(settings) as database:
        _, key = await ClientKeyStore(database).create(
            "somebody-else", load_secret_key(SECRET, Path(settings.data_dir))
        )
    keys = served.gateway.data_plane.messages.admission.keys
    await until(lambda: keys.find(key))
    return key
