"""Coverage-guided fuzzing of the guard: whole against byte by byte, fast path against slow, and never a surprise.

    python tests/fuzz/fuzz_guard.py -max_total_time=60     # any option of libFuzzer; `-help=1` lists them
    python tests/fuzz/fuzz_guard.py crash-0123abcd         # try one input again

Needs `atheris` (`pip install atheris`, CPython 3.11 to 3.13 on Linux). Without it the same check runs on
Hypothesis's own random inputs for as long, which finds less. Seeds are the golden corpus. The first byte of an
input chooses the bound on one event and why the stream ends; the rest is the stream.
"""

from __future__ import annotations

import importlib.util
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT))

atheris: Any = importlib.import_module("atheris") if importlib.util.find_spec("atheris") else None

if atheris is not None:
    with atheris.instrument_imports(include=["sse_fsm"]):
        import sse_fsm
else:
    import sse_fsm

from tests.sse_fsm.checker import classify  # noqa: E402 - the library must be imported under instrumentation first
from tests.sse_fsm.driving import run_guard  # noqa: E402 - same

REASONS = list(sse_fsm.EndReason)
BOUNDS = (None, 64, 512, 4096)
LONGEST_SEED = 4_000
_SEED_CHOICE = b"\x00"


def check(data: bytes) -> None:
    """Raise AssertionError where the guard breaks its promise on this input."""
    choice, stream = (data[0], data[1:]) if data else (0, b"")
    reason, bound = REASONS[choice % len(REASONS)], BOUNDS[choice // 16 % len(BOUNDS)]

    def run(chunks: list[bytes], *, observed: bool = False):  # noqa: ANN202 - what run_guard returns
        return run_guard(chunks, reason=reason, max_event_bytes=bound, observed=observed)

    whole = run([stream])
    byte_by_byte = run([stream[at : at + 1] for at in range(len(stream))])
    by_line = run(stream.splitlines(keepends=True))
    slow = run([stream], observed=True)
    assert byte_by_byte.observable == whole.observable
    assert by_line.observable == whole.observable
    assert slow.observable == whole.observable
    ends = classify(whole.received)
    assert ends == "prefix" if whole.verdict.outcome == "cancelled" else ends in ("complete", "failed")


def seed(folder: Path) -> None:
    """Put the corpus, as inputs of this target, into a folder."""
    for path in sorted((ROOT / "fixtures" / "streams").glob("*.sse")):
        content = path.read_bytes()
        if len(content) <= LONGEST_SEED:
            (folder / path.stem).write_bytes(_SEED_CHOICE + content)


def fuzz(arguments: list[str]) -> None:
    """Fuzz with atheris until libFuzzer has had enough."""
    with tempfile.TemporaryDirectory() as work:
        seeds = Path(work, "seeds")
        seeds.mkdir()
        seed(seeds)
        # A file named on the command line is an input to try again, and needs no seeds.
        again = any(not argument.startswith("-") for argument in arguments)
        options = [f"-max_len={LONGEST_SEED + 1}", f"-dict={ROOT / 'tests' / 'fuzz' / 'sse.dict'}"]
        atheris.Setup([sys.argv[0], *options, *arguments, *([] if again else [str(seeds)])], check)
        atheris.Fuzz()


def fuzz_without_atheris(arguments: list[str]) -> None:
    """Run the same check on what Hypothesis makes up, for `-max_total_time` seconds (60 by default)."""
    from hypothesis import HealthCheck, given, settings  # noqa: PLC0415 - only the fallback needs it
    from hypothesis import strategies as st  # noqa: PLC0415 - same

    from tests.sse_fsm.test_any_bytes import damaged_bytes  # noqa: PLC0415 - same

    seconds = next((a.partition("=")[2] for a in arguments if a.startswith("-max_total_time=")), "60")
    until = time.monotonic() + float(seconds)
    inputs = st.builds(lambda choice, data: bytes([choice]) + data, st.integers(0, 255), damaged_bytes())

    @settings(max_examples=500, deadline=None, database=None, suppress_health_check=list(HealthCheck))
    @given(inputs)
    def some(data: bytes) -> None:
        check(data)

    rounds = 0
    while time.monotonic() < until:
        some()
        rounds += 1
    print(f"atheris is not installed: {rounds * 500} random inputs instead, none broke a promise")  # noqa: T201 - a command talks


if __name__ == "__main__":
    (fuzz_without_atheris if atheris is None else fuzz)(sys.argv[1:])
