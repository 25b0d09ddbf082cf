"""The relays that are compared: how each is started and where it listens."""

import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import attrs
import msgspec

from tests.bench.processes import ROOT, BenchError, Running, free_port, run_load

_STARTING: Final = 30.0
"""Seconds within which a relay must serve its first stream."""


@attrs.frozen
class Serving:
    """A relay that is up: its processes, the URL of its messages endpoint and the key to show there."""

    running: Running
    url: str
    key: str


@attrs.frozen
class Contender:
    """A relay: its name in the table and a way to start it."""

    name: str
    _start: Callable[[str, Path, frozenset[int]], Serving]

    @contextmanager
    def serving(self, upstream: str, folder: Path, cpus: frozenset[int]) -> Generator[Serving]:
        """Start the relay in front of ``upstream`` with ``folder`` for its files, and end it afterwards."""
        serving = self._start(upstream, folder, cpus)
        try:
            _wait_for_stream(self.name, serving, folder)
            serving.running.know_tree()
            yield serving
        finally:
            serving.running.stop()


def _log(folder: Path) -> Path:
    return folder / "relay.log"


def _wait_for_stream(name: str, serving: Serving, folder: Path) -> None:
    deadline = time.monotonic() + _STARTING
    while True:
        try:
            run_load("once", serving.url, serving.key, lambda _: None, time_limit=5.0)
        except BenchError as error:
            ended = serving.running.popen.poll() is not None
            if ended or time.monotonic() > deadline:
                tail = _log(folder).read_text(encoding="utf-8", errors="replace")[-2000:]
                raise BenchError(f"{name} does not serve: {error}\n{tail}") from None
            time.sleep(0.1)
        else:
            return


def command(name: str, template: str, path: str) -> Contender:
    """Return a contender started by a command line with ``{python}``, ``{listen}``, ``{upstream}`` in it."""

    def start(upstream: str, folder: Path, cpus: frozenset[int]) -> Serving:
        listen = f"127.0.0.1:{free_port()}"
        words = template.split()
        argv = [word.format(python=sys.executable, listen=listen, upstream=upstream) for word in words]
        running = Running.start(argv, cpus=cpus, log=_log(folder))
        return Serving(running, f"http://{listen}{path}", "bench")

    return Contender(name, start)


def raw(name: str = "raw") -> Contender:
    """Return the yardstick."""
    script = "{python} tests/bench/raw_relay.py --listen {listen} --upstream {upstream}"
    return command(name, script, "/v1/messages")


def gateway_command() -> str | None:
    """Return the path of the gateway's command, or None where it is not installed."""
    beside = Path(sys.executable).with_name("gateway")
    return str(beside) if beside.exists() else shutil.which("gateway")


def gateway() -> Contender:
    """Return the gateway as people run it: one worker, enforce mode, client keys checked."""

    def start(upstream: str, folder: Path, cpus: frozenset[int]) -> Serving:
        program = gateway_command()
        if program is None:
            raise BenchError("the gateway's command is not installed")
        listen = f"127.0.0.1:{free_port()}"
        env = {
            "GATEWAY_LISTEN": listen,
            "GATEWAY_CONTROL_LISTEN": f"127.0.0.1:{free_port()}",
            "GATEWAY_DATA_DIR": str(folder),
            "GATEWAY_WORKERS": "1",
            "GATEWAY_ANTHROPIC_BASE_URL": upstream,
            "GATEWAY_ANTHROPIC_API_KEY": "sk-ant-api03-bench",
            "GATEWAY_CLIENT_AUTH": "keys",
            "GATEWAY_STREAM_MODE": "enforce",
        }
        key = _create_key(program, env)
        running = Running.start([program, "serve"], env=env, cpus=cpus, log=_log(folder))
        return Serving(running, f"http://{listen}/claude/v1/messages", key)

    return Contender("gateway", start)


def _create_key(program: str, env: dict[str, str]) -> str:
    argv = [program, "keys", "create", "--name", "bench", "--json"]
    done = Running.start(argv, env=env)
    try:
        said, _ = done.popen.communicate(timeout=_STARTING)
    except subprocess.TimeoutExpired:
        raise BenchError("`gateway keys create` does not end") from None
    finally:
        done.stop()
    try:
        return msgspec.json.decode(said)["key"]
    except (msgspec.DecodeError, KeyError, TypeError):
        raise BenchError(f"`gateway keys create --json` said {said!r} (in {ROOT})") from None
