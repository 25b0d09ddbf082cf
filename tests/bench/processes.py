"""Starts the programs that take part, reads what they cost, and ends them whatever happens."""

import contextlib
import os
import socket
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final, Self

import attrs
import msgspec
import psutil

ROOT: Final = Path(__file__).resolve().parents[2]
_PATIENCE: Final = 5.0
"""Seconds that a program may take to end by itself once asked to."""


class BenchError(Exception):
    """The benchmark cannot go on, or a relay gave a wrong answer."""


@attrs.frozen
class Cost:
    """What a tree of processes has used so far, or holds at this moment."""

    cpu: float
    """Seconds of user and system time."""
    rss: int
    """Resident bytes now."""
    peak: int
    """Largest resident bytes since the peak was last forgotten (where the system counts it), else now."""


def free_port() -> int:
    """Return a port on 127.0.0.1 that was free a moment ago."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def _peak(process: psutil.Process, rss: int) -> int:
    try:
        status = Path(f"/proc/{process.pid}/status").read_text(encoding="utf-8")
    except OSError:
        return rss
    peaks = [int(line.split()[1]) * 1024 for line in status.splitlines() if line.startswith("VmHWM:")]
    return max(rss, *peaks)


@attrs.define
class Running:
    """A program that was started here, with all its descendants."""

    popen: subprocess.Popen[str]
    _tree: list[psutil.Process] = attrs.field(factory=list)

    @classmethod
    def start(
        cls,
        argv: Sequence[str],
        *,
        env: Mapping[str, str] | None = None,
        cpus: frozenset[int] = frozenset(),
        log: Path | None = None,
    ) -> Self:
        """Start ``argv`` in the repository's root, on ``cpus`` where the system can, errors to ``log``.

        It gets a session of its own, so that Ctrl-C reaches only the benchmark, which then ends it.
        """
        with contextlib.ExitStack() as stack:
            errors = stack.enter_context(log.open("a")) if log is not None else None
            popen = subprocess.Popen(
                argv,
                cwd=ROOT,
                env={**os.environ, **(env or {})},
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE if log is None else errors,
                stderr=errors,
                text=True,
                start_new_session=True,
            )
        running = cls(popen)
        if cpus:
            with contextlib.suppress(psutil.Error, AttributeError):
                psutil.Process(popen.pid).cpu_affinity(sorted(cpus))
        return running

    def know_tree(self) -> None:
        """Note which processes belong to the program; to be called when it is up."""
        root = psutil.Process(self.popen.pid)
        self._tree = [root, *root.children(recursive=True)]

    def cost(self) -> Cost:
        """Return what the whole tree has cost up to now."""
        cpu, rss, peak = 0.0, 0, 0
        for process in self._tree:
            with process.oneshot():
                times, resident = process.cpu_times(), process.memory_info().rss
            cpu += times.user + times.system
            rss += resident
            peak += _peak(process, resident)
        return Cost(cpu, rss, peak)

    def forget_peak(self) -> None:
        """Let the peak start anew (Linux: proc_pid_clear_refs(5)); elsewhere nothing happens."""
        for process in self._tree:
            with contextlib.suppress(OSError):
                Path(f"/proc/{process.pid}/clear_refs").write_text("5", encoding="ascii")

    def stop(self) -> None:
        """End the program and all its descendants: politely first, then not."""
        try:
            root = psutil.Process(self.popen.pid)
            family = [*root.children(recursive=True), root]
        except psutil.NoSuchProcess:
            family = []
        if self.popen.poll() is None:
            self.popen.terminate()
        try:
            with contextlib.suppress(subprocess.TimeoutExpired):
                self.popen.wait(_PATIENCE)
        finally:
            for process in family:
                with contextlib.suppress(psutil.NoSuchProcess):
                    process.kill()
            self.popen.wait(_PATIENCE)
            if self.popen.stdout is not None:
                self.popen.stdout.close()


def module(name: str, *arguments: str) -> list[str]:
    """Return the command line that runs a module of this folder."""
    return [sys.executable, "-m", f"tests.bench.{name}", *arguments]


def run_load(
    load: str,
    target: str,
    key: str,
    on_mark: Callable[[str], None],
    *,
    cpus: frozenset[int] = frozenset(),
    time_limit: float = 60.0,
    **settings: float,
) -> dict[str, Any]:
    """Run the load generator once and return its result; ``on_mark`` hears ``begin`` and ``end``.

    Raises BenchError when a stream was wrong or the generator gave no result.
    """
    flags = [f"--{name.replace('_', '-')}={value}" for name, value in settings.items()]
    argv = module("load", load, f"--target={target}", f"--key={key}", f"--time-limit={time_limit}", *flags)
    generator = Running.start(argv, cpus=cpus)
    result: dict[str, Any] | None = None
    try:
        for line in generator.popen.stdout or ():
            said = msgspec.json.decode(line)
            if "mark" in said:
                on_mark(said["mark"])
            result = said.get("result", result)
    finally:
        generator.stop()
    if result is None:
        raise BenchError(f"the load generator ({load}) gave no result")
    if result["failed"]:
        raise BenchError(f"{load} at {target}: {result['failed']} wrong streams, first: {result['failures']}")
    return result
