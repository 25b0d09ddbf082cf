"""The command `sse-fsm` as its users start it."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final

import pytest

REPOSITORY: Final = Path(__file__).parents[2]
STREAMS: Final = REPOSITORY / "fixtures" / "streams"

Start = Callable[..., "subprocess.Popen[bytes]"]


@pytest.fixture
def environment() -> dict[str, str]:
    """Give the environment of a plain shell, in which the package can be imported."""
    kept = {name: value for name, value in os.environ.items() if name not in {"NO_COLOR", "TERM", "FORCE_COLOR"}}
    return kept | {"PYTHONPATH": str(REPOSITORY), "TERM": "xterm-256color", "PYTHONUTF8": "1"}


@pytest.fixture
def start(environment: dict[str, str]) -> Iterator[Start]:
    """Start the command with pipes on all sides; what still runs at the end of a test is killed."""
    started: list[subprocess.Popen[bytes]] = []

    def run(
        *arguments: str,
        env: dict[str, str] | None = None,
        stdin: int = subprocess.PIPE,
        stdout: int = subprocess.PIPE,
    ) -> subprocess.Popen[bytes]:
        process = subprocess.Popen(
            [sys.executable, "-m", "sse_fsm", *arguments],
            bufsize=0,
            env=environment | (env or {}),
            stdin=stdin,
            stdout=stdout,
            stderr=subprocess.PIPE,
        )
        started.append(process)
        return process

    yield run
    for process in started:
        if process.poll() is None:
            process.kill()
        for pipe in (process.stdin, process.stdout, process.stderr):
            if pipe is not None:
                pipe.close()
        process.wait()


@pytest.fixture
def run(start: Start) -> Callable[..., tuple[int, str, str]]:
    """Run the command to its end; give exit status, output and errors."""

    def finish(*arguments: str, data: bytes = b"", **options: Any) -> tuple[int, str, str]:
        process = start(*arguments, **options)
        output, errors = process.communicate(data)
        return process.returncode, output.decode(), errors.decode()

    return finish
