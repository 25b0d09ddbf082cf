"""A proxy of the kind that operators have, with the configuration that docs/deploy gives them, before a gateway.

Of that configuration only ports are changed, and what a test says it changes. Programs that are missing make the
tests fail with the name of the package that brings them.
"""

from __future__ import annotations

import asyncio
import os
import re
import shutil
import signal
import socket
import tempfile
from collections.abc import AsyncGenerator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from http import HTTPStatus
from pathlib import Path
from typing import Any, Final

from attrs import define, field

from gateway.replay.openai import OpenAIReplay
from tests.contract.harness import Pairs, Served, serving
from tests.faults.scripted import ScriptedUpstream
from tests.faults.waiting import until
from tests.replay.raw_client import LIMIT, RawConnection, RawResponse, message

DEPLOY: Final = Path(__file__).parents[2] / "docs" / "deploy"
MESSAGES: Final = "/claude/v1/messages"
_NGINX_TEST_ONLY: Final = "access_log off; client_body_temp_path body; proxy_temp_path proxy; fastcgi_temp_path f;"


@define
class Kind:
    """How a proxy is run."""

    name: str
    file: str
    """In docs/deploy."""
    package: str
    """Of Debian."""
    command: tuple[str, ...]
    """In the foreground; {file} and {home} are filled in."""
    reload: signal.Signals | None
    """What tells it to read its file again."""
    rollback: tuple[str, str]
    """The line that decides who serves /claude, and what it becomes when the canary is taken out."""
    loaded: str = ""
    """What it prints when it has read its file, if a signal that comes soon after its start may be lost."""
    stop: signal.Signals = signal.SIGTERM
    """What ends it at once, streams and all."""


KINDS: Final[Mapping[str, Kind]] = {
    kind.name: kind
    for kind in (
        Kind(
            "nginx",
            "nginx.conf",
            "nginx-light",
            ("nginx", "-p", "{home}", "-c", "{file}", "-g", "daemon off; pid nginx.pid; error_log errors;"),
            signal.SIGHUP,
            ("set $claude_to canary;", "set $claude_to existing;"),
        ),
        Kind(
            "haproxy",
            "haproxy.cfg",
            "haproxy",
            ("haproxy", "-W", "-f", "{file}"),
            signal.SIGUSR2,
            ("set-var(txn.claude_to) str(canary)", "set-var(txn.claude_to) str(existing)"),
            loaded="Loading success",
        ),
        Kind(
            "caddy",
            "Caddyfile",
            "caddy",
            ("caddy", "run", "--config", "{file}", "--adapter", "caddyfile"),
            None,
            ("vars claude_to canary\n\n", "vars claude_to existing\n\n"),
            stop=signal.SIGQUIT,
        ),
    )
}


def free_port() -> int:
    """Return a port that nobody listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@define(eq=False)
class Behind:
    """A running proxy, the gateway that is its canary, and the existing proxy beside it."""

    kind: Kind
    port: int
    canary: Served
    existing: OpenAIReplay | ScriptedUpstream
    file: Path
    process: asyncio.subprocess.Process
    admin: int
    log: list[str] = field(factory=list)

    @property
    def url(self) -> str:
        """The address that clients know."""
        return f"http://127.0.0.1:{self.port}"

    @asynccontextmanager
    async def connect(self) -> AsyncGenerator[RawConnection]:
        """Open a connection to the proxy."""
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port, limit=2**26)
        connection = RawConnection(reader, writer)
        try:
            yield connection
        finally:
            await connection.close()

    async def ask(
        self,
        body: Any = b"",
        target: str = MESSAGES,
        *,
        headers: Pairs = (),
        usual: Pairs | None = None,
        method: str | None = None,
    ) -> RawResponse:
        """Ask through the proxy, on a connection of its own, and return the whole answer."""
        async with self.connect() as connection:
            usual = self.canary.usual if usual is None else usual
            await connection.send(target, body, headers=headers, usual=usual, method=method)
            return await connection.receive(method=method or "POST")

    async def stream(self, *, headers: Pairs = ()) -> RawResponse:
        """Ask for a stream through the proxy."""
        return await self.ask(message(stream=True), headers=headers)

    async def edit_and_reload(self, before: str, after: str) -> None:
        """Change one line of the file and tell the proxy to read it again."""
        text = await asyncio.to_thread(self.file.read_text)
        assert text.count(before) == 1
        await asyncio.to_thread(self.file.write_text, text.replace(before, after))
        if self.kind.reload is None:
            await self._run("caddy", "reload", "--config", str(self.file), "--adapter", "caddyfile")
        elif self.kind.loaded:
            count = self._loads
            while self._loads == count:
                self.process.send_signal(self.kind.reload)
                with suppress(TimeoutError):
                    async with asyncio.timeout(1):
                        await until(lambda: self._loads > count)
        else:
            self.process.send_signal(self.kind.reload)

    @property
    def _loads(self) -> int:
        """How often it has read its file, where it says so."""
        return sum(self.kind.loaded in line for line in self.log)

    async def _run(self, *command: str) -> None:
        process = await asyncio.create_subprocess_exec(
            *command,
            f"--address=127.0.0.1:{self.admin}",
            stdout=asyncio.subprocess.DEVNULL,
            stderr=asyncio.subprocess.PIPE,
        )
        async with asyncio.timeout(LIMIT):
            _, errors = await process.communicate()
        assert process.returncode == 0, errors.decode()


@asynccontextmanager
async def behind(
    name: str,
    *,
    changes: Mapping[str, str] | None = None,
    existing: OpenAIReplay | ScriptedUpstream | None = None,
    existing_port: int | None = None,
    canary_port: int | None = None,
    **gateway: Any,
) -> AsyncGenerator[Behind]:
    """Run a proxy before a gateway and an existing proxy.

    Args:
        name: of the kind of proxy.
        changes: of its configuration, beside ports: what is there, and what is put in its place.
        existing: the existing proxy; to be entered already if it is given.
        existing_port: where the proxy looks for that one, if that is not where it is.
        canary_port: where the proxy looks for the gateway, if that is not where it is.
        gateway: how the gateway is run; see `serving`.
    """
    kind = KINDS[name]
    async with AsyncExitStack() as stack:
        beside = existing or await stack.enter_async_context(OpenAIReplay())
        canary = await stack.enter_async_context(serving(**gateway))
        with tempfile.TemporaryDirectory(prefix="proxy-") as directory:
            home = Path(directory)
            port, admin = free_port(), free_port()
            ports = {
                "127.0.0.1:8787": f"127.0.0.1:{canary_port or canary.gateway.port}",
                "127.0.0.1:4000": f"127.0.0.1:{existing_port or beside.port}",
                "127.0.0.1:2019": f"127.0.0.1:{admin}",
                "/run/haproxy/": f"{home}/",
                "8080": str(port),
            }
            file = home / kind.file
            await asyncio.to_thread(_lay, kind, file, ports, changes or {})
            process = await asyncio.create_subprocess_exec(
                *(part.format(file=file, home=home) for part in kind.command),
                cwd=home,
                env={**os.environ, "PATH": _PATH, "HOME": str(home), "XDG_CONFIG_HOME": str(home)},
                stdout=asyncio.subprocess.DEVNULL,
                stderr=asyncio.subprocess.PIPE,
            )
            running = Behind(kind, port, canary, beside, file, process, admin)
            async with asyncio.TaskGroup() as group:
                group.create_task(_collect(process.stderr, running.log))
                try:
                    await _until_serving(running, well=canary_port is None)
                    yield running
                except Exception as error:
                    error.add_note(f"{name} said:\n{''.join(running.log[-20:])}")
                    raise
                finally:
                    with suppress(ProcessLookupError):
                        process.send_signal(kind.stop)
                    await _ended(process)


_PATH: Final = f"{os.environ.get('PATH', '')}:/usr/sbin:/usr/local/sbin:/sbin"


def _lay(kind: Kind, file: Path, ports: Mapping[str, str], changes: Mapping[str, str]) -> None:
    """Write the configuration of docs/deploy with other ports."""
    assert shutil.which(kind.command[0], path=_PATH), (
        f"{kind.command[0]} is not installed; on Debian: apt-get install {kind.package}"
    )
    text = (DEPLOY / kind.file).read_text("utf-8")
    for before, after in changes.items():
        assert before in text, f"{kind.file} has no {before!r}"
        text = text.replace(before, after)
    # At once: one after the other would find 4000 in a port 40001 that has just been put in.
    text = re.sub("|".join(map(re.escape, ports)), lambda found: ports[found[0]], text)
    if kind.name == "nginx":
        text = text.replace("http {", "http {\n" + _NGINX_TEST_ONLY, 1)
    if os.getuid() != 0:
        text = "\n".join(line for line in text.splitlines() if line.split()[:1] not in (["user"], ["group"]))
    file.write_text(text, "utf-8")


async def _collect(stream: asyncio.StreamReader | None, lines: list[str]) -> None:
    assert stream is not None
    async for line in stream:
        lines.append(line.decode(errors="replace"))  # noqa: PERF401 - each is to be seen while the others come


async def _until_serving(running: Behind, *, well: bool = False) -> None:
    """Return once it answers; `well`: from the gateway."""
    async with asyncio.timeout(LIMIT):
        while True:
            assert running.process.returncode is None, "".join(running.log)
            with suppress(ConnectionError, asyncio.IncompleteReadError):
                answer = await running.ask(target="/claude", usual=())
                if answer.status < HTTPStatus.INTERNAL_SERVER_ERROR or not well:
                    return
            await asyncio.sleep(0.01)


async def until_well(stage: Behind) -> None:
    """Return once the proxy sends requests to the gateway."""
    await _until_serving(stage, well=True)


async def _ended(process: asyncio.subprocess.Process) -> None:
    try:
        async with asyncio.timeout(LIMIT / 8):
            await process.wait()
    except TimeoutError:
        process.kill()
        await process.wait()
