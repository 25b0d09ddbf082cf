"""Images and containers by buildah, in a place of their own and without any service."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import shlex
import shutil
import subprocess
import sys
from collections.abc import AsyncGenerator, Generator, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

import psutil
from attrs import define, field

__all__ = ["Images", "Running", "missing_programs"]

_SECONDS: Final = 400
_STARTS: Final = 60
_ENDS: Final = 60
_PIP_OPTIONS: Final = ("index-url", "extra-index-url", "find-links", "trusted-host", "cert", "proxy")
_CERTIFICATES: Final = Path("/etc/ssl/certs/ca-certificates.crt")


def missing_programs() -> str:
    """Return a sentence that says what is missing to build images here, empty if nothing is."""
    missing = [name for name in ("buildah", "debootstrap") if shutil.which(name) is None]
    if missing:
        return f"these tests build an image and need {' and '.join(missing)}: apt-get install {' '.join(missing)}"
    if os.geteuid() != 0:
        return "these tests build an image without a container engine, which only root can: run them as root"
    return ""


@define
class Images:
    """A storage of images and containers below a directory."""

    directory: Path

    def buildah(self, *arguments: str | Path) -> str:
        """Run buildah and return what it prints; what it says otherwise is told when it fails."""
        run = subprocess.run(
            self.command(*arguments),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=_SECONDS,
            check=False,
        )
        assert run.returncode == 0, "\n".join((run.stdout + run.stderr).splitlines()[-40:])
        return run.stdout

    def command(self, *arguments: str | Path) -> list[str | Path]:
        """Return the command line of buildah with this storage; plain files, so that it works everywhere."""
        places = [f"--root={self.directory / 'images'}", f"--runroot={self.directory / 'run'}"]
        return ["buildah", "--storage-driver=vfs", *places, *arguments]

    def build(
        self, name: str, context: Path, containerfile: Path, *, with_pip: bool = False, **arguments: str
    ) -> str:
        """Build an image with the build arguments given, and return its name.

        `with_pip` lets what runs during the build have packages from where this machine's pip gets them.
        """
        options = [f"--build-arg={key}={value}" for key, value in arguments.items()]
        if "SOURCE_DATE_EPOCH" in arguments:
            options.append(f"--timestamp={arguments['SOURCE_DATE_EPOCH']}")
        if with_pip:
            options += [f"--volume={outside}:{inside}:ro" for outside, inside in self._pip_files()]
        self.buildah(
            "bud", "--isolation=chroot", "--format=docker", *options, "-t", name, "-f", containerfile, context
        )
        return name

    def _pip_files(self) -> Iterator[tuple[Path, Path]]:
        """Write down pip's settings here; yield the files and folders that a build needs to see, and where."""
        told = subprocess.run(
            [sys.executable, "-m", "pip", "config", "list"], capture_output=True, text=True, check=True
        )
        options: dict[str, str] = {}
        # The environment comes last, and wins.
        for line in told.stdout.splitlines():
            key, _, value = line.partition("=")
            name = key.rpartition(".")[2]
            if name in _PIP_OPTIONS:
                options[name] = shlex.split(value)[0]
        settings = self.directory / "pip.conf"
        settings.write_text("\n".join(["[global]", *(f"{k} = {v}" for k, v in options.items()), ""]), "utf-8")
        yield settings, Path("/etc/pip.conf")
        local = {_folder(name, word) for name, value in options.items() for word in value.split()}
        for path in sorted({*local, _CERTIFICATES}):
            if path.is_absolute() and path != Path("/") and path.exists():
                yield path, path

    def inspect(self, image: str) -> dict[str, Any]:
        """Return what is known of an image."""
        return json.loads(self.buildah("inspect", "--type=image", image))

    def config(self, image: str) -> dict[str, Any]:
        """Return an image's configuration as engines read it."""
        return self.inspect(image)["Docker"]["config"]

    @contextlib.contextmanager
    def container(self, image: str) -> Generator[str]:
        """Make a container, which does not run yet."""
        container = self.buildah("from", image).strip()
        try:
            yield container
        finally:
            self.buildah("rm", container)

    def tree(self, container: str) -> Path:
        """Return where a container's files are."""
        return Path(self.buildah("mount", container).strip())

    def run_command(self, container: str, environ: Mapping[str, str], *command: str) -> list[str | Path]:
        """Return the command line that runs a command in a container."""
        variables = [f"--env={name}={value}" for name, value in environ.items()]
        return self.command("run", "--isolation=chroot", *variables, container, "--", *command)


def _folder(option: str, word: str) -> Path:
    """Return what has to be there for a setting of pip's to work, if it is on this machine."""
    path = Path(urlsplit(word).path) if word.startswith(("/", "file:")) else Path()
    # The pages of an index lead to files beside it.
    return path.parent if option.endswith("index-url") else path


@define
class Running:
    """A process that runs in a container, or starts one."""

    process: asyncio.subprocess.Process
    lines: list[str] = field(factory=list)
    _ready: asyncio.Event = field(factory=asyncio.Event)

    @classmethod
    @contextlib.asynccontextmanager
    async def start(
        cls, command: Sequence[str | Path], environ: Mapping[str, str] | None = None
    ) -> AsyncGenerator[Running]:
        """Start a gateway and wait until it says that it is ready; kill it at the end if it runs still."""
        process = await asyncio.create_subprocess_exec(
            *command,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
            env=None if environ is None else dict(environ),
        )
        running = cls(process)
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(running._read())
            try:
                async with asyncio.timeout(_STARTS):
                    await running._ready.wait()
                yield running
            finally:
                running._kill()

    async def _read(self) -> None:
        assert self.process.stdout is not None
        async for line in self.process.stdout:
            self.lines.append(line.decode(errors="replace"))
            if "gateway is ready" in self.lines[-1]:
                self._ready.set()
        # What has ended will not get ready, and what it said shows why.
        assert self._ready.is_set(), "".join(self.lines)

    def _kill(self) -> None:
        with contextlib.suppress(psutil.NoSuchProcess):
            for process in (*self._inside(), psutil.Process(self.process.pid)):
                process.kill()

    def _inside(self) -> list[psutil.Process]:
        return psutil.Process(self.process.pid).children(recursive=True)

    @property
    def gateway(self) -> psutil.Process:
        """The process inside, which an engine would send its signals to."""
        return [psutil.Process(self.process.pid), *self._inside()][-1]

    async def ended(self) -> int:
        """Return the exit status."""
        async with asyncio.timeout(_ENDS):
            return await self.process.wait()
