"""Plays streams to a real SDK over a real socket and collects the messages that it makes of them."""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import Mapping
from typing import Any, Final

from aiohttp import web
from attrs import define

from tests.sdk_parity.installs import Sdk

__all__ = ["Stream", "play"]

_RUN_SECONDS: Final = 300
_CHUNK_BYTES: Final = 64 * 1024
# Nothing of a developer's own configuration may reach the SDKs: no proxy, no credential.
_ENVIRONMENT: Final = ("PATH", "HOME", "LANG", "LD_LIBRARY_PATH", "SYSTEMROOT", "TMPDIR")


@define(frozen=True)
class Stream:
    """What the API answers, and through which of the SDK's interfaces it is asked."""

    body: bytes
    beta: bool = False


def play(sdk: Sdk, streams: Mapping[str, Stream]) -> dict[str, dict[str, Any]]:
    """Return per stream `{"message": …}`, the SDK's final message, or `{"error": …}`, what it raised instead.

    One process of the SDK asks for all of them, one after the other.

    Raises:
        Unavailable: the SDK cannot be installed on this machine.
    """
    return asyncio.run(_play(sdk, streams))


async def _play(sdk: Sdk, streams: Mapping[str, Stream]) -> dict[str, dict[str, Any]]:
    async def answer(request: web.BaseRequest) -> web.StreamResponse:
        response = web.StreamResponse(headers={"content-type": "text/event-stream; charset=utf-8"})
        await response.prepare(request)
        body = streams[request.headers["x-replay-stream"]].body
        for start in range(0, len(body), _CHUNK_BYTES):
            await response.write(body[start : start + _CHUNK_BYTES])
        await response.write_eof()
        return response

    runner = web.ServerRunner(web.Server(answer))
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        host, port = runner.addresses[0][:2]
        command, added = await asyncio.to_thread(sdk.command, f"http://{host}:{port}")
        wanted = [{"name": name, "beta": stream.beta} for name, stream in streams.items()]
        return await _ask(command, added, json.dumps(wanted).encode())
    finally:
        await runner.cleanup()


async def _ask(command: list[str], added: Mapping[str, str], wanted: bytes) -> dict[str, dict[str, Any]]:
    kept = {name: value for name in _ENVIRONMENT if (value := os.environ.get(name)) is not None}
    process = await asyncio.create_subprocess_exec(
        *command,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        env={**kept, **added},
    )
    try:
        output, errors = await asyncio.wait_for(process.communicate(wanted), _RUN_SECONDS)
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    if process.returncode:
        raise RuntimeError(f"{command[0]} ended with {process.returncode}: {errors.decode()[-2000:]}")
    return json.loads(output)
