"""The library works where there is no event loop and no network library."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]

JUDGE = """
import sys

BANNED = {"aiohttp", "asyncio", "uvloop", "socket", "ssl", "hypothesis", "gateway", "structlog", "anthropic"}

class Ban:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in BANNED:
            raise ImportError(f"{name} is banned here")

sys.meta_path.insert(0, Ban())
assert not BANNED & set(sys.modules)

import sse_fsm
import sse_fsm.diagram

def events(*payloads):
    return b"".join(map(sse_fsm.encode_event, payloads))

guard = sse_fsm.StreamGuard()
step = guard.feed(
    events(
        {"type": "message_start", "message": {"content": [], "usage": {}}},
        {"type": "message_delta", "delta": {"stop_reason": "refusal"}, "usage": {"output_tokens": 0}},
        {"type": "message_stop"},
    )
)
_, verdict = guard.finish()
assert not BANNED & set(sys.modules)
print(verdict.outcome, verdict.events)
"""


def test_a_stream_is_judged_without_aiohttp_asyncio_or_sockets() -> None:
    done = subprocess.run(
        [sys.executable, "-c", JUDGE], cwd=ROOT, capture_output=True, text=True, timeout=60, check=False
    )

    assert done.stderr == ""
    assert done.stdout == "complete 3\n"
