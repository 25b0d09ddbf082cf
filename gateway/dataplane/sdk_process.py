"""A process of the local runtime: what it is given, how it is started, and how it is ended for certain.

It is Claude Code in its mode for SDKs. Nothing of a request is in its command line, its environment or its
working directory: prompts come by its standard input, a system prompt is in a file beside the working directory.
Options and variables: Claude Code documentation, "CLI reference" and "Environment variables".
"""

from __future__ import annotations

import asyncio
import fcntl
import os
import re
import shutil
import signal
import tempfile
from collections.abc import Callable, Mapping
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from attrs import define, field

from gateway.telemetry.logs import get_logger

__all__ = [
    "RuntimeProcess",
    "SdkUnavailableError",
    "check_program",
    "find_program",
    "remove_leftovers",
    "runtime_environment",
]

_log = get_logger(__name__)

_LEAST_VERSION: Final = (2, 1, 248)
"""The first that leaves a prompt alone: older ones expand `@path` and run `/command` out of it."""
_VERSION_SECONDS: Final = 20.0
_PIECE: Final = 64 * 1024
_DIRECTORY: Final = "gateway-sdk-"
_PROMPT: Final = "system.txt"
_YOUNG_SECONDS: Final = 60.0
"""A directory may be without its lock for as long: it is just being made."""
_NOWHERE: Final = "http://127.0.0.1:9"
"""A proxy where nobody listens: what is not on loopback cannot be reached."""
_OPTIONS: Final = (
    *("--print", "--verbose", "--include-partial-messages", "--bare", "--no-session-persistence"),
    *("--input-format", "stream-json", "--output-format", "stream-json"),
    *("--tools", "", "--strict-mcp-config", "--setting-sources=", "--disable-slash-commands"),
    *("--permission-mode", "dontAsk"),
)
_SWITCHED_OFF: Final = (
    "CLAUDE_CODE_DISABLE_ATTACHMENTS",
    "CLAUDE_CODE_DISABLE_AUTO_MEMORY",
    "CLAUDE_CODE_DISABLE_BACKGROUND_TASKS",
    "CLAUDE_CODE_DISABLE_CLAUDE_MDS",
    "CLAUDE_CODE_DISABLE_EXPERIMENTAL_BETAS",
    "CLAUDE_CODE_DISABLE_FILE_CHECKPOINTING",
    "CLAUDE_CODE_DISABLE_LEGACY_MODEL_REMAP",
    "CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC",
    "CLAUDE_CODE_DISABLE_NONSTREAMING_FALLBACK",
    "CLAUDE_CODE_DISABLE_THINKING",
    "DISABLE_AUTO_COMPACT",
    "DISABLE_AUTOUPDATER",
    "DISABLE_ERROR_REPORTING",
    "DISABLE_TELEMETRY",
)


class SdkUnavailableError(Exception):
    """The local runtime cannot be used here; the message says what to do."""


def find_program(package: Path, configured: str) -> str:
    """Return the program of the runtime.

    Args:
        package: directory of the package `claude_agent_sdk`, which may bring one.
        configured: setting `sdk_program`; empty for the package's own, or else `claude` on PATH.

    Raises:
        SdkUnavailableError: there is none.
    """
    own = package / "_bundled" / "claude"
    found = configured or (str(own) if own.is_file() else shutil.which("claude"))
    if not found or not os.access(found, os.X_OK):
        raise SdkUnavailableError(
            "sdk_enabled needs Claude Code, which this platform's claude-agent-sdk does not bring; "
            "install it and set GATEWAY_SDK_PROGRAM to its path"
        )
    return found


async def check_program(program: str) -> None:
    """Check that the program runs and is recent enough.

    Raises:
        SdkUnavailableError: it does not, or is not.
    """
    environment = {"PATH": os.defpath, "HOME": os.devnull}
    try:
        process = await asyncio.create_subprocess_exec(
            program,
            "--version",
            env=environment,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.DEVNULL,
        )
    except OSError as error:
        raise SdkUnavailableError(f"the local runtime {program} cannot be started: {error.strerror}") from None
    try:
        async with asyncio.timeout(_VERSION_SECONDS):
            output, _ = await process.communicate()
    except TimeoutError:
        output = b""
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    found = re.match(rb"(\d{1,6})\.(\d{1,6})\.(\d{1,6})\b", output)
    if found is None:
        raise SdkUnavailableError(f"the local runtime {program} does not say its version; is it Claude Code?")
    if tuple(map(int, found.groups())) < _LEAST_VERSION:
        raise SdkUnavailableError(
            f"the local runtime is version {found[0].decode()}; at least "
            f"{'.'.join(map(str, _LEAST_VERSION))} is needed, because older ones read commands out of prompts"
        )


def runtime_environment(directory: Path, base_url: str, key: str) -> dict[str, str]:
    """Return the whole environment of a runtime; nothing is inherited.

    Args:
        directory: its own, which is removed with it.
        base_url: where its requests to the Anthropic API go.
        key: what it sends there as `x-api-key`.
    """
    return {
        "PATH": os.defpath,
        "HOME": str(directory),
        "TMPDIR": str(directory),
        "CLAUDE_CONFIG_DIR": str(directory / "config"),
        "LANG": "C.UTF-8",
        "ANTHROPIC_BASE_URL": base_url,
        "ANTHROPIC_API_KEY": key,
        "HTTP_PROXY": _NOWHERE,
        "HTTPS_PROXY": _NOWHERE,
        "NO_PROXY": "127.0.0.1",
        "CLAUDE_CODE_ENTRYPOINT": "sdk-py",
        "CLAUDE_CODE_MAX_RETRIES": "0",
        # The API's own default, instead of one that goes by the model.
        "CLAUDE_CODE_EFFORT_LEVEL": "high",
        **dict.fromkeys(_SWITCHED_OFF, "1"),
    }


@define(eq=False)
class RuntimeProcess:
    """One process and the directory that is its whole world. To be used by one task, which also ends it."""

    program: str
    environment: Callable[[Path], Mapping[str, str]]
    """Makes the environment for a directory."""
    longest_line: int
    """Bytes of the longest message that is read from it."""
    stop_seconds: float
    """For it to end by itself before it is killed."""
    process: asyncio.subprocess.Process | None = field(default=None, init=False)
    _directory: Path | None = field(default=None, init=False)
    _lock: int | None = field(default=None, init=False)
    """Open for as long as the directory is in use, whatever ends that."""
    _has_system: bool = field(default=False, init=False)

    @property
    def exit_code(self) -> int | None:
        """With which it ended; None while it runs, and if it never did."""
        return self.process.returncode if self.process is not None else None

    async def prepare(self, system: str | None) -> None:
        """Make its directory. Not to be cancelled: the directory would be made all the same, and left behind.

        Args:
            system: the system prompt; None for none.

        Raises:
            OSError: it cannot be made.
        """
        self._has_system = system is not None
        self._directory, self._lock = await asyncio.to_thread(_make_directory, system)

    async def start(self) -> asyncio.subprocess.Process:
        """Start it in its directory; `end` has to be called whatever happens.

        Raises:
            OSError: it cannot be started.
        """
        if self._directory is None:
            raise FileNotFoundError("the directory has not been made")
        prompt = str(self._directory / _PROMPT)
        system = ("--system-prompt-file", prompt) if self._has_system else ("--system-prompt", "")
        self.process = await asyncio.create_subprocess_exec(
            self.program,
            *_OPTIONS,
            *system,
            cwd=self._directory / "work",
            env=dict(self.environment(self._directory)),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            # It may quote prompts, and nobody would read it.
            stderr=asyncio.subprocess.DEVNULL,
            limit=self.longest_line,
            # A group of its own, so that whatever it starts ends with it, and a Ctrl-C is not its business.
            start_new_session=True,
        )
        return self.process

    async def forget_prompt(self) -> None:
        """Remove the system prompt from the disk, once the process has read it."""
        if self._has_system and self._directory is not None:
            await asyncio.to_thread((self._directory / _PROMPT).unlink, missing_ok=True)

    def terminate(self) -> None:
        """Ask it to end, now; `end` waits for it and cleans up."""
        self._signal(signal.SIGTERM)

    async def end(self) -> None:
        """End it and remove its directory; never raises, and takes little longer than `stop_seconds`."""
        process = self.process
        if process is not None:
            if process.stdin is not None:
                process.stdin.close()
            self._signal(signal.SIGTERM)
            try:
                async with asyncio.timeout(self.stop_seconds):
                    await _gone(process)
            except TimeoutError:
                _log.warning("a local runtime did not end by itself and is killed", pid=process.pid)
                self._signal(signal.SIGKILL)
                await _gone(process)
        if self._directory is not None:
            await asyncio.to_thread(_remove, self._directory)
            self._directory = None
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None

    def _signal(self, number: signal.Signals) -> None:
        # Once it has been waited for, its number may be another's.
        if self.process is not None and self.process.returncode is None:
            with suppress(ProcessLookupError):
                os.killpg(self.process.pid, number)


async def _gone(process: asyncio.subprocess.Process) -> None:
    """Wait for the end of a process; some versions of asyncio see it only behind the end of its output."""
    if process.stdout is not None:
        # It may be broken, or somebody may be reading it still.
        with suppress(OSError, RuntimeError):
            while await process.stdout.read(_PIECE):
                pass
    await process.wait()


def remove_leftovers() -> None:
    """Remove the directories of runtimes whose gateway was killed before it could; reads files."""
    for directory in Path(tempfile.gettempdir()).glob(f"{_DIRECTORY}*"):
        with suppress(OSError):
            found = directory.lstat()
            age = datetime.now(UTC).timestamp() - found.st_mtime
            if found.st_uid != os.geteuid() or age < _YOUNG_SECONDS:
                continue
            lock = _locked(directory)
            try:
                _remove(directory)
            finally:
                os.close(lock)


def _make_directory(system: str | None) -> tuple[Path, int]:
    directory = Path(tempfile.mkdtemp(prefix=_DIRECTORY))
    lock = _locked(directory)
    (directory / "work").mkdir()
    (directory / "config").mkdir()
    if system is not None:
        (directory / _PROMPT).write_text(system, encoding="utf-8")
    return directory, lock


def _locked(directory: Path) -> int:
    """Open a directory and lock it until it is closed, by the end of the process if need be.

    Raises:
        OSError: another process has it locked; or it is none.
    """
    opened = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
    try:
        fcntl.flock(opened, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(opened)
        raise
    return opened


def _remove(directory: Path) -> None:
    try:
        shutil.rmtree(directory)
    except OSError as error:
        _log.warning("a local runtime's directory could not be removed", problem=error.strerror)
