"""`gateway serve` as a process of its own, as an operator runs it."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
import tempfile
from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

import psutil
from attrs import define, field

from gateway.store.client_keys import ClientKeyStore
from gateway.store.engine import Database
from gateway.store.secret import load_secret_key
from tests import fresh_database, log_watch
from tests.contract.harness import ACCOUNT_KEY, MESSAGES, SECRET
from tests.faults.waiting import until
from tests.replay.raw_client import LIMIT, RawConnection, RawResponse, message

GATEWAY: Final = Path(sys.executable).with_name("gateway")


@define(eq=False)
class GatewayProcess:
    """A running gateway, its log, and a key to it."""

    process: asyncio.subprocess.Process
    key: str
    lines: list[str] = field(factory=list)
    errors: list[str] = field(factory=list)
    _address: tuple[str, int] | None = None

    @property
    def pid(self) -> int:
        """Its process id; with several workers that of their parent."""
        return self.process.pid

    @property
    def complaints(self) -> list[str]:
        """What it said on standard error, apart from how to set the dashboard up."""
        return [
            line for line in self.errors if "the dashboard has no user yet" not in line and "/setup#" not in line
        ]

    @property
    def events(self) -> list[dict[str, Any]]:
        """What it logged so far."""
        return [json.loads(line) for line in self.lines]

    def named(self, event: str) -> list[dict[str, Any]]:
        """Return what it logged under this name."""
        return [found for found in self.events if found["event"] == event]

    @property
    def address(self) -> tuple[str, int]:
        """Where it listens."""
        if self._address is None:
            url = urlsplit(self.named("gateway is ready")[0]["url"])
            assert url.hostname is not None
            assert url.port is not None
            self._address = url.hostname, url.port
        return self._address

    @property
    def usual(self) -> list[tuple[str, str]]:
        """The headers that a plain client sends."""
        return [("x-api-key", self.key), ("anthropic-version", "2023-06-01"), ("content-type", "application/json")]

    def workers(self) -> list[psutil.Process]:
        """Return its worker processes."""
        children = psutil.Process(self.pid).children()
        return [child for child in children if "spawn_main" in " ".join(child.cmdline())]

    def send(self, number: signal.Signals) -> None:
        """Send it a signal."""
        self.process.send_signal(number)

    async def ended(self) -> int:
        """Wait for its end and return its exit status."""
        async with asyncio.timeout(LIMIT):
            return await self.process.wait()

    @asynccontextmanager
    async def connect(self) -> AsyncGenerator[RawConnection]:
        """Open a connection."""
        reader, writer = await asyncio.open_connection(*self.address, limit=2**25)
        connection = RawConnection(reader, writer)
        try:
            yield connection
        finally:
            await connection.close()

    async def ask(self, **changes: Any) -> RawResponse:
        """Ask for a stream on a connection of its own."""
        async with self.connect() as connection:
            await connection.send(MESSAGES, message(stream=True, **changes), usual=self.usual)
            return await connection.receive()


async def read_lines(stream: asyncio.StreamReader | None, lines: list[str]) -> None:
    """Collect lines until the end."""
    assert stream is not None
    async for line in stream:
        log_watch.note(line)
        lines.append(line.decode().rstrip("\n"))


@asynccontextmanager
async def started(
    upstream_url: str, command: list[str] | None = None, **environ: str
) -> AsyncGenerator[GatewayProcess]:
    """Start a gateway before this upstream; `environ` are settings without their prefix."""
    with tempfile.TemporaryDirectory() as directory:
        pepper = await asyncio.to_thread(load_secret_key, SECRET, Path(directory))
        await fresh_database.lay(Path(directory))
        async with Database("", Path(directory)) as database:
            _, key = await ClientKeyStore(database).create("process", pepper)
        settings = {
            "LISTEN": "127.0.0.1:0",
            "CONTROL_LISTEN": "127.0.0.1:0",
            "DATA_DIR": directory,
            "SECRET_KEY": SECRET,
            "ANTHROPIC_BASE_URL": upstream_url,
            "ANTHROPIC_API_KEY": ACCOUNT_KEY,
            "LOG_FORMAT": "json",
            **environ,
        }
        process = await asyncio.create_subprocess_exec(
            *(command or [str(GATEWAY), "serve"]),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            env=environment(settings),
        )
        running = GatewayProcess(process, key)
        async with asyncio.TaskGroup() as group:
            group.create_task(read_lines(process.stdout, running.lines))
            group.create_task(read_lines(process.stderr, running.errors))
            try:
                yield running
            finally:
                children = running.workers() if process.returncode is None else []
                with suppress(ProcessLookupError):
                    process.kill()
                for child in children:
                    with suppress(psutil.NoSuchProcess):
                        child.kill()
                await process.wait()


@asynccontextmanager
async def serving_process(upstream_url: str, **environ: str) -> AsyncGenerator[GatewayProcess]:
    """Start a gateway and wait until each of its workers is ready."""
    async with started(upstream_url, None, **environ) as running:
        wanted = int(environ.get("WORKERS", "1"))
        await until(
            lambda: len(running.named("gateway is ready")) == wanted or running.process.returncode is not None
        )
        assert running.process.returncode is None, running.errors
        yield running


def environment(settings: Mapping[str, str]) -> dict[str, str]:
    """Return this process's environment with these settings and no others of the gateway's."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("GATEWAY_")}
    return {**kept, **{f"GATEWAY_{name}": value for name, value in settings.items()}}
