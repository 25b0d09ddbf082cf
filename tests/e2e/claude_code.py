"""Runs the real Claude Code in print mode, in a home of its own and with nowhere to go but the given address."""

from __future__ import annotations

import asyncio
import json
import os
import tempfile
from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Final

from attrs import define, field

from tests.e2e.stage import Place
from tests.sdk_parity.installs import Unavailable, npm_packages

__all__ = ["PARTIAL", "STREAM_JSON", "ClaudeCode", "Finished", "install", "pointed_at", "until_text"]

STREAM_JSON: Final = ("--output-format", "stream-json", "--verbose")
"""Options that make it print one event a line."""
PARTIAL: Final = (*STREAM_JSON, "--include-partial-messages")
"""The same with every event of a stream as it comes."""

_MANIFEST: Final = Path(__file__).parent / "package.json"
_PACKAGE: Final = "@anthropic-ai/claude-code"
_RUN_SECONDS: Final = 90
_LINE_BYTES: Final = 8 * 1024 * 1024


@define(frozen=True)
class Finished:
    """What a run left behind."""

    status: int
    output: str
    errors: str

    @property
    def events(self) -> list[dict[str, Any]]:
        """The lines of `--output-format stream-json`."""
        return [json.loads(line) for line in self.output.splitlines() if line.startswith("{")]

    @property
    def result(self) -> dict[str, Any]:
        """The last event, which sums the run up."""
        return next(event for event in reversed(self.events) if event["type"] == "result")


@define(frozen=True)
class ClaudeCode:
    """An installed Claude Code."""

    directory: Path
    """Holds the program `claude`."""
    version: str = field(default=json.loads(_MANIFEST.read_text())["dependencies"][_PACKAGE])

    def environment(self, home: Path) -> dict[str, str]:
        """Return an environment in which nothing of the user's own set-up is seen, and the internet is not."""
        return {
            "PATH": os.pathsep.join([str(self.directory), os.environ.get("PATH", os.defpath)]),
            "HOME": str(home),
            "TMPDIR": str(home),
            "CLAUDE_CONFIG_DIR": str(home / ".claude"),
            "LANG": "C.UTF-8",
            # A proxy where nobody listens: what is not on this machine cannot be reached.
            "HTTP_PROXY": "http://127.0.0.1:9",
            "HTTPS_PROXY": "http://127.0.0.1:9",
            "NO_PROXY": "127.0.0.1",
            "CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC": "1",
            "DISABLE_TELEMETRY": "1",
            "DISABLE_ERROR_REPORTING": "1",
            "DISABLE_AUTOUPDATER": "1",
        }

    @asynccontextmanager
    async def started(
        self, *arguments: str, environ: Mapping[str, str], home: Path | None = None
    ) -> AsyncGenerator[asyncio.subprocess.Process]:
        """Run `claude` with these arguments until the block ends."""
        # A socket path must be short, so it is not pytest's directory.
        with tempfile.TemporaryDirectory(prefix="cc-", ignore_cleanup_errors=True) as scratch:
            own = home or Path(scratch)
            work = own / "work"
            await asyncio.to_thread(work.mkdir, exist_ok=True)
            process = await asyncio.create_subprocess_exec(
                str(self.directory / "claude"),
                *arguments,
                cwd=work,
                env=self.environment(own) | dict(environ),
                stdin=asyncio.subprocess.DEVNULL,
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.PIPE,
                limit=_LINE_BYTES,
            )
            try:
                yield process
            finally:
                if process.returncode is None:
                    process.kill()
                await process.communicate()

    async def run(
        self,
        *arguments: str,
        environ: Mapping[str, str],
        home: Path | None = None,
        seconds: float = _RUN_SECONDS,
    ) -> Finished:
        """Run `claude` to its end.

        Raises:
            TimeoutError: it takes longer than `seconds`.
        """
        async with self.started(*arguments, environ=environ, home=home) as process:
            async with asyncio.timeout(seconds):
                output, errors = await process.communicate()
            assert process.returncode is not None
            return Finished(process.returncode, output.decode(), errors.decode())


async def until_text(process: asyncio.subprocess.Process) -> None:
    """Read what a run with `PARTIAL` prints until the first piece of the answer is there.

    Raises:
        TimeoutError: it takes too long.
        EOFError: the run ends without any.
    """
    assert process.stdout is not None
    async with asyncio.timeout(_RUN_SECONDS):
        async for line in process.stdout:
            if json.loads(line).get("event", {}).get("type") == "content_block_delta":
                return
    raise EOFError("no text came")


def pointed_at(place: Place, *, tools: bool = False, retries: int = 3) -> dict[str, str]:
    """Return the environment that sends Claude Code to a place.

    Args:
        place: with the address and the key.
        tools: let the replay upstream call tools; otherwise it answers with text alone.
        retries: how often Claude Code tries again; its own default is 10.
    """
    environ = {
        "ANTHROPIC_BASE_URL": place.base_url,
        "ANTHROPIC_AUTH_TOKEN": place.key,
        "CLAUDE_CODE_MAX_RETRIES": str(retries),
    }
    return environ if tools else environ | {"ANTHROPIC_CUSTOM_HEADERS": "x-replay-tool: none"}


def install() -> ClaudeCode:
    """Install the pinned version from the npm registry, once per machine.

    Raises:
        Unavailable: it cannot be installed on this machine.
    """
    packages = npm_packages(_MANIFEST) / "node_modules" / "@anthropic-ai"
    # The program is a binary in the platform's own package; the main package's script would only link it.
    found = sorted(packages.glob("claude-code-*/claude"))
    if not found:
        raise Unavailable(f"{_PACKAGE} has no binary for this platform")
    return ClaudeCode(found[0].parent)
