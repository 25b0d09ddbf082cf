"""Measures the gateway beside a raw relay, in alternating rounds, and says which targets it meets.

    python -m tests.bench            the whole table, about three minutes
    python -m tests.bench --quick    the same in half a minute, for a first look
    python -m tests.bench --help     everything else

Machines are noisy: only the ratios between relays that ran in the same minutes mean anything. Every byte
of every stream is compared with what the upstream was scripted to send; one wrong stream ends the run.
Exit status: 0 all targets met, 1 a target missed, 2 a relay failed or gave a wrong stream.
"""

import argparse
import contextlib
import itertools
import json
import os
import platform
import shutil
import signal
import sys
import tempfile
from collections.abc import Generator, Sequence
from importlib import metadata
from pathlib import Path
from typing import Any, Final

import attrs

from tests.bench import contenders, report, sse_fsm_bench
from tests.bench.contenders import Contender, Serving
from tests.bench.processes import BenchError, Cost, Running, module, run_load

MIB: Final = 2**20
_ENDINGS: Final = (signal.SIGINT, signal.SIGTERM, signal.SIGALRM)


@attrs.frozen
class Plan:
    """How much is measured."""

    rounds: int
    memory_rounds: int
    blast_streams: int
    connections: int
    paced_streams: int
    window: float
    """Seconds that paced streams are measured for in each round."""
    idle_streams: int


@attrs.frozen
class Cpus:
    """Which processors the relay under test and everybody else run on; empty where pinning is off."""

    relay: frozenset[int] = frozenset()
    others: frozenset[int] = frozenset()

    @classmethod
    def split(cls) -> "Cpus":
        """Give the relay a processor of its own if there are two."""
        usable = sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else []
        if len(usable) < 2:
            return cls()
        return cls(frozenset(usable[:1]), frozenset(usable[1:]))


@attrs.define
class Bench:
    """One run: an upstream, the relays in front of it, and the samples taken so far."""

    plan: Plan
    cpus: Cpus
    relays: Sequence[Contender]
    folder: Path
    upstream: str = ""
    samples: dict[str, dict[str, list[float]]] = attrs.field(factory=dict)

    @contextlib.contextmanager
    def _play(self, relay: Contender) -> Generator[Serving]:
        folder = Path(tempfile.mkdtemp(dir=self.folder))
        with relay.serving(self.upstream, folder, self.cpus.relay) as serving:
            yield serving

    def _load(self, serving: Serving, load: str, **settings: float) -> tuple[dict[str, Any], Cost, Cost]:
        """Run a load; return its result and the relay's costs at the beginning and the end of it."""
        costs: dict[str, Cost] = {}

        def sample(mark: str) -> None:
            if mark == "begin":
                serving.running.forget_peak()
            costs[mark] = serving.running.cost()

        result = run_load(load, serving.url, serving.key, sample, cpus=self.cpus.others, **settings)
        return result, costs["begin"], costs["end"]

    def _note(self, relay: Contender, **values: float) -> None:
        samples = self.samples.setdefault(relay.name, {})
        for key, value in values.items():
            samples.setdefault(key, []).append(value)

    def speed(self) -> None:
        """Alternate blast and paced rounds, each in a fresh process: two runs of one program differ, too."""
        for number in range(self.plan.rounds):
            for relay in self.relays if number % 2 == 0 else self.relays[::-1]:
                with self._play(relay) as serving:
                    self._speed_round(relay, serving)
            progress(f"speed round {number + 1} of {self.plan.rounds}")

    def _speed_round(self, relay: Contender, serving: Serving) -> None:
        plan = self.plan
        result, begin, end = self._load(serving, "blast", streams=plan.blast_streams, connections=plan.connections)
        self._note(
            relay,
            blast_streams_per_s=result["streams"] / result["seconds"],
            blast_cpu_us_per_event=(end.cpu - begin.cpu) / result["events"] * 1e6,
            blast_cpu_share=(end.cpu - begin.cpu) / result["seconds"],
            blast_first_content_p50_ms=result["first_content_p50"] * 1e3,
            blast_first_content_p99_ms=result["first_content_p99"] * 1e3,
        )
        result, begin, end = self._load(serving, "paced", streams=plan.paced_streams, window=plan.window)
        self._note(
            relay,
            paced_cpu_us_per_event=(end.cpu - begin.cpu) / result["events"] * 1e6,
            paced_first_content_p50_ms=result["first_content_p50"] * 1e3,
            paced_first_content_p99_ms=result["first_content_p99"] * 1e3,
            paced_delay_p50_ms=result["delay_p50"] * 1e3,
            paced_delay_p99_ms=result["delay_p99"] * 1e3,
            paced_last_event_p50_ms=result["last_event_p50"] * 1e3,
            paced_last_event_p99_ms=result["last_event_p99"] * 1e3,
            peak_rss_mib=end.peak / MIB,
        )

    def memory(self) -> None:
        """Measure memory in fresh processes, where nothing that went before hides what a stream takes."""
        for number in range(self.plan.memory_rounds):
            for relay in self.relays:
                with self._warm(relay) as (serving, _):
                    result, begin, end = self._load(serving, "big", streams=1)
                moved = max(end.peak, end.rss) - begin.rss
                self._note(relay, big_rss_mib=moved / MIB, big_mb_per_s=10 / result["seconds"])
                count = self.plan.idle_streams
                with self._warm(relay) as (serving, warm):
                    _, begin, end = self._load(serving, "idle", streams=count)
                idle = (end.rss - begin.rss) / count / 1024
                self._note(relay, start_rss_mib=warm.rss / MIB, idle_kib_per_stream=idle)
            progress(f"memory round {number + 1} of {self.plan.memory_rounds}")

    @contextlib.contextmanager
    def _warm(self, relay: Contender) -> Generator[tuple[Serving, Cost]]:
        """Start a fresh relay and play a few streams, so that what is loaded once is loaded."""
        with self._play(relay) as serving:
            count = self.plan.connections
            _, _, end = self._load(serving, "blast", streams=2 * count, connections=count)
            yield serving, end

    def profile(self, relay: Contender, target: Path) -> None:
        """Record with py-spy where ``relay`` spends its time, once per load, as collapsed stacks."""
        program = Path(sys.executable).with_name("py-spy")
        spy = str(program) if program.exists() else shutil.which("py-spy")
        if spy is None:
            raise BenchError("py-spy is not installed")
        target.mkdir(parents=True, exist_ok=True)
        with self._play(relay) as serving:
            for load in ("blast", "paced"):
                output = target / f"{relay.name}-{load}.txt"
                flags = ["--format=raw", "--rate=500", "--duration=4", "--subprocesses", "--nonblocking"]
                argv = [spy, "record", *flags, f"--output={output}", f"--pid={serving.running.popen.pid}"]
                recorder = Running.start(argv, cpus=self.cpus.others, log=target / "py-spy.log")
                try:
                    count = 4 * self.plan.blast_streams if load == "blast" else self.plan.paced_streams
                    self._load(serving, load, streams=count)
                    recorder.popen.wait(10)
                finally:
                    recorder.stop()
                progress(f"profile of {load} in {output}")


def progress(text: str) -> None:
    """Tell the person who waits how far things are."""
    sys.stderr.write(f"  {text}\n")
    sys.stderr.flush()


def machine() -> dict[str, str]:
    """Return what the figures were taken on and with."""
    packages = ("aiohttp", "uvloop", "msgspec", "attrs")
    model = platform.processor() or platform.machine()
    with contextlib.suppress(OSError):
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
        model = next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), model)
    versions = {name: metadata.version(name) for name in packages}
    return {"cpu": f"{os.cpu_count()} x {model}", "system": platform.platform(terse=True)} | {
        "python": platform.python_version(),
        **versions,
    }


def _measure(options: argparse.Namespace, relays: Sequence[Contender], folder: Path) -> dict[str, Any]:
    plan = Plan(
        rounds=options.rounds or (2 if options.quick else 8),
        memory_rounds=options.memory_rounds or (1 if options.quick else 3),
        blast_streams=options.blast_streams,
        connections=32,
        paced_streams=200,
        window=1.0 if options.quick else 3.0,
        idle_streams=300,
    )
    cpus = Cpus() if options.no_pin else Cpus.split()
    bench = Bench(plan, cpus, relays, folder)
    upstream = Running.start(module("upstream"), cpus=cpus.others)
    try:
        ready = upstream.popen.stdout.readline().split() if upstream.popen.stdout else []
        if ready[:1] != ["ready"]:
            raise BenchError("the scripted upstream does not start")
        bench.upstream = ready[1]
        if options.profile is not None:
            bench.profile(relays[-1], options.profile)
        else:
            bench.speed()
            bench.memory()
    finally:
        upstream.stop()
    return {"machine": machine(), "plan": attrs.asdict(plan), "samples": bench.samples}


def _contenders(options: argparse.Namespace) -> list[Contender]:
    if options.command is not None:
        return [contenders.raw(), contenders.command("command", options.command, options.path)]
    if options.self_check or contenders.gateway_command() is None:
        progress("comparing the raw relay with itself: every ratio should be near 1")
        return [contenders.raw(), contenders.raw("raw again")]
    return [contenders.raw(), contenders.gateway()]


def _parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.bench", description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--quick", action="store_true", help="few short rounds, for a first look")
    parser.add_argument("--rounds", type=int, help="speed rounds of each relay (8)")
    parser.add_argument("--memory-rounds", type=int, help="memory rounds of each relay (3)")
    parser.add_argument("--blast-streams", type=int, default=2000, help="streams of one blast round (2000)")
    parser.add_argument("--no-pin", action="store_true", help="do not give the relay a processor of its own")
    parser.add_argument("--self-check", action="store_true", help="compare the raw relay with itself")
    parser.add_argument("--command", help="compare this relay: words with {listen}, {upstream}, {python}")
    parser.add_argument("--path", default="/v1/messages", help="messages endpoint of --command")
    parser.add_argument("--json", type=Path, metavar="FILE", help="also write everything there")
    parser.add_argument("--profile", type=Path, metavar="FOLDER", help="only profile the gateway with py-spy")
    parser.add_argument("--time-limit", type=int, default=240, help="seconds after which to give up (240)")
    return parser.parse_args()


def _give_up(number: int, _frame: object) -> None:
    for each in _ENDINGS:
        signal.signal(each, signal.SIG_IGN)  # nothing may disturb the cleaning up, which is bounded itself
    if number == signal.SIGALRM:
        raise BenchError("the time limit is over")
    raise KeyboardInterrupt


def main() -> int:
    """Run the benchmark from the command line and return the exit status."""
    options = _parse()
    for number in _ENDINGS:
        signal.signal(number, _give_up)
    signal.alarm(options.time_limit)
    relays = _contenders(options)
    try:
        with tempfile.TemporaryDirectory(prefix="gateway-bench-") as folder:
            measured = _measure(options, relays, Path(folder))
        passes = [] if options.profile is not None else sse_fsm_bench.measure(0.3 if options.quick else 1.0)
    except (BenchError, ValueError) as error:
        sys.stderr.write(f"bench: {error}\n")
        return 2
    except KeyboardInterrupt:
        sys.stderr.write("bench: interrupted\n")
        return 130
    finally:
        signal.alarm(0)
    if options.profile is not None:
        return 0
    yardstick, contender = (measured["samples"][relay.name] for relay in relays)
    rows = report.rows(yardstick, contender)
    facts = ", ".join(itertools.starmap("{} {}".format, measured["machine"].items()))
    sys.stdout.write(f"\n{facts}\n\n{report.table(rows, relays[0].name, relays[1].name)}\n")
    sys.stdout.write(f"\nsse_fsm alone\n\n{sse_fsm_bench.table(passes)}\n")
    if not report.undisturbed(yardstick):
        sys.stdout.write("\nThe machine was busy with other work: trust CPU per event, not streams/s or delays.\n")
    if options.json is not None:
        alone = [one.as_json() for one in passes]
        whole = measured | {"rows": [row.as_json() for row in rows], "sse_fsm": alone}
        options.json.write_text(json.dumps(whole, indent=1) + "\n", encoding="utf-8")
    return int(any(row.verdict == "MISS" for row in rows))
