"""A gateway that is killed while it serves two hundred streams, again and again."""

from __future__ import annotations

import asyncio
import json
import os
import random
import re
import signal
import sys
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

import pytest

from gateway.replay.server import ReplayUpstream
from gateway.store.engine import Database
from tests.contract.harness import ACCOUNT_KEY, MESSAGES, SECRET
from tests.faults.waiting import until
from tests.ledger.writing import spooled, stored, writing
from tests.replay.raw_client import LIMIT, message

GATEWAY: Final = Path(sys.executable).with_name("gateway")
KILLS: Final = 20
STREAMS: Final = 200
_ID: Final = re.compile(rb"x-gateway-request-id: (\S+)", re.IGNORECASE)
_LAST_EVENT: Final = re.compile(rb"event: message_stop\ndata: [^\n]*\n\n")


@asynccontextmanager
async def gateway_in(directory: Path, upstream_url: str) -> AsyncGenerator[tuple[asyncio.subprocess.Process, int]]:
    """Start a gateway on what others have left there; it is killed at the latest at the end."""
    environ = {
        "GATEWAY_LISTEN": "127.0.0.1:0",
        "GATEWAY_CONTROL_LISTEN": "127.0.0.1:0",
        "GATEWAY_DATA_DIR": str(directory),
        "GATEWAY_SECRET_KEY": SECRET,
        "GATEWAY_CLIENT_AUTH": "off",
        "GATEWAY_LOG_FORMAT": "json",
        "GATEWAY_ANTHROPIC_BASE_URL": upstream_url,
        "GATEWAY_ANTHROPIC_API_KEY": ACCOUNT_KEY,
    }
    process = await asyncio.create_subprocess_exec(
        GATEWAY, "serve", env=os.environ | environ, stdout=asyncio.subprocess.PIPE, limit=2**20
    )
    assert process.stdout is not None
    try:
        async with asyncio.timeout(LIMIT):
            async for line in process.stdout:
                if (found := json.loads(line))["event"] == "gateway is ready":
                    break
        port = urlsplit(found["url"]).port
        assert port is not None
        async with asyncio.TaskGroup() as tasks:
            reading = tasks.create_task(process.stdout.read())
            yield process, port
            reading.cancel()
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()


async def stream(port: int, delay: float, heard: asyncio.Semaphore) -> bytes:
    """Return the request's id if the client got the last event of its stream, else nothing."""
    await asyncio.sleep(delay)
    body = json.dumps(message(stream=True)).encode()
    head = (
        f"POST {MESSAGES} HTTP/1.1\r\nhost: 127.0.0.1\r\ncontent-type: application/json\r\n"
        f"anthropic-version: 2023-06-01\r\nx-replay-tokens: 12\r\ncontent-length: {len(body)}\r\n\r\n"
    )
    data = b""
    try:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        try:
            writer.write(head.encode() + body)
            while not _LAST_EVENT.search(data) and (chunk := await reader.read(65536)):
                if not data:
                    heard.release()
                data += chunk
        finally:
            writer.close()
    except ConnectionError:
        pass
    found = _ID.search(data)
    return found[1] if found and _LAST_EVENT.search(data) else b""


@pytest.mark.timeout(400)
async def test_every_stream_whose_client_saw_the_end_has_its_row_and_no_row_is_there_twice(tmp_path: Path) -> None:
    moments = random.Random(1)
    seen: list[str] = []
    cut_off = 0
    async with ReplayUpstream(tokens_per_second=30) as upstream:
        for _ in range(KILLS):
            async with gateway_in(tmp_path, upstream.url) as (process, port):
                heard = asyncio.Semaphore(0)
                async with asyncio.TaskGroup() as clients:
                    asked = [
                        clients.create_task(stream(port, moments.random() * 0.4, heard)) for _ in range(STREAMS)
                    ]
                    # All of them go on by themselves from here; some end, and some are cut off.
                    await asyncio.wait_for(heard.acquire(), LIMIT)
                    await asyncio.sleep(0.3 + moments.random() * 0.9)
                    process.send_signal(signal.SIGKILL)
                ended = [client.result().decode() for client in asked if client.result()]
                seen += ended
                cut_off += STREAMS - len(ended)
    async with Database("", tmp_path) as database, writing(database):
        # The last one to die may have found the database too slow; the next process takes over what it spooled.
        await until(lambda: not spooled(tmp_path / "spool"))
        rows = await stored(database)  # which fails for a row that is there twice
    assert set(seen) <= set(rows)
    assert {rows[request_id]["outcome"] for request_id in seen} == {"complete"}
    # Otherwise nothing was shown.
    assert len(seen) > KILLS
    assert cut_off > KILLS
