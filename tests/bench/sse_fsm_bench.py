"""Measures the state machine alone: no socket, no event loop, one process, a few seconds.

    python -m tests.bench.sse_fsm_bench [--json FILE]

Each stream is fed event by event, as a live stream comes, and in chunks of 64 KiB, as a fast one does. The
figure is the best of several passes, because only disturbances make a pass slower. What the guard lets out
is compared with what went in.
"""

import argparse
import gc
import itertools
import json
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import attrs

from sse_fsm import StreamGuard
from tests.bench import streams

CHUNK_BYTES: Final = 65536
_DELTAS: Final = 20_000
_ROUNDS: Final = 10
"""Times that thinking, text and a tool call follow each other in the mixed stream: 30 blocks."""


@attrs.frozen
class Pass:
    """The best pass of one stream in one way of cutting it."""

    stream: str
    cut: str
    events: int
    size: int
    seconds: float

    def as_json(self) -> dict[str, Any]:
        """Return rates and sizes as plain data."""
        return {
            "stream": self.stream,
            "cut": self.cut,
            "bytes_per_event": round(self.size / self.events),
            "us_per_event": round(self.seconds / self.events * 1e6, 3),
            "events_per_s": round(self.events / self.seconds),
            "mb_per_s": round(self.size / self.seconds / 1e6, 1),
        }


def text_stream() -> list[bytes]:
    """Return one answer of text deltas of about 120 bytes."""
    return list(streams.blast("bench-fsm", _DELTAS).events)


def mixed_stream() -> list[bytes]:
    """Return an answer of many blocks: thinking, text, tool input, citations, pings and unknown events."""
    script = streams.blast("bench-fsm", 1)
    events = list(script.head)
    events.pop(1)
    index = itertools.count()
    for _ in range(_ROUNDS):
        events += _block(
            next(index), {"type": "thinking", "thinking": "", "signature": ""}, _thinking(_DELTAS // _ROUNDS // 4)
        )
        events += _block(next(index), {"type": "text", "text": ""}, _text(_DELTAS // _ROUNDS // 2))
        tool = {"type": "tool_use", "id": "toolu_01BenchBenchBenchBenchB", "name": "read", "input": {}}
        events += _block(next(index), tool, _tool_input(_DELTAS // _ROUNDS // 4))
        events.append(streams.event("server_notice", {"type": "server_notice", "text": "not known yet"}))
    return [*events, *script.tail[1:]]


def _block(index: int, block: dict[str, Any], deltas: Sequence[dict[str, Any]]) -> list[bytes]:
    start = {"type": "content_block_start", "index": index, "content_block": block}
    inner = [{"type": "content_block_delta", "index": index, "delta": delta} for delta in deltas]
    stop = {"type": "content_block_stop", "index": index}
    return [streams.event(str(data["type"]), data) for data in (start, *inner, stop)]


def _thinking(count: int) -> list[dict[str, Any]]:
    thoughts = [{"type": "thinking_delta", "thinking": f"Step {n}: compare, then decide. "} for n in range(count)]
    return [*thoughts, {"type": "signature_delta", "signature": "EqQBCgIYAhIM" * 20}]


def _text(count: int) -> list[dict[str, Any]]:
    citation = {"type": "char_location", "cited_text": "x", "document_index": 0, "document_title": None}
    place = {"start_char_index": 0, "end_char_index": 1, "file_id": None}
    words = [{"type": "text_delta", "text": f' "word" {n}\n'} for n in range(count)]
    return [*words, {"type": "citations_delta", "citation": citation | place}]


def _tool_input(count: int) -> list[dict[str, Any]]:
    text = json.dumps({f"argument_{n}": True for n in range(count)})
    pieces = (text[at : at + 24] for at in range(0, len(text), 24))
    return [{"type": "input_json_delta", "partial_json": piece} for piece in pieces]


def chunked(body: bytes) -> list[bytes]:
    """Cut ``body`` every 64 KiB, wherever that falls."""
    return [body[at : at + CHUNK_BYTES] for at in range(0, len(body), CHUNK_BYTES)]


def judge(pieces: Sequence[bytes]) -> list[bytes]:
    """Feed ``pieces`` to a fresh guard and return what it lets out."""
    feed = StreamGuard().feed
    steps = [feed(piece) for piece in pieces]
    return [part for step in steps for part in (step.data, step.terminal)]


def best_of(pieces: Sequence[bytes], budget: float) -> float:
    """Return the seconds of the shortest of the passes that ``budget`` seconds allow, at least three."""
    best, spent, passes = float("inf"), 0.0, 0
    while passes < 3 or spent < budget:
        feed = StreamGuard().feed
        started = time.perf_counter()
        for piece in pieces:
            feed(piece)
        took = time.perf_counter() - started
        best, spent, passes = min(best, took), spent + took, passes + 1
    return best


def measure(budget: float) -> list[Pass]:
    """Measure every stream in every cut for ``budget`` seconds each.

    Raises ValueError when the guard changes a stream.
    """
    passes = []
    for name, events in (("text deltas", text_stream()), ("mixed", mixed_stream())):
        body = b"".join(events)
        for cut, pieces in (("one by one", events), ("64 KiB", chunked(body))):
            if b"".join(judge(pieces)) != body:
                raise ValueError(f"the guard changed the stream ({name}, {cut})")
            passes.append(Pass(name, cut, len(events), len(body), best_of(pieces, budget)))
    return passes


def table(passes: Sequence[Pass]) -> str:
    """Return the passes as a Markdown table."""
    lines = ["| stream | fed | bytes/event | us/event | events/s | MB/s |", "|---|---|---|---|---|---|"]
    for one in (each.as_json() for each in passes):
        rates = f"{one['us_per_event']} | {one['events_per_s']:,} | {one['mb_per_s']}"
        lines.append(f"| {one['stream']} | {one['cut']} | {one['bytes_per_event']} | {rates} |")
    return "\n".join(lines)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", maxsplit=1)[0])
    parser.add_argument("--budget", type=float, default=1.0, help="seconds per stream and cut (1)")
    parser.add_argument("--json", type=Path, metavar="FILE", help="also write the figures there")
    options = parser.parse_args()
    gc.disable()
    passes = measure(options.budget)
    sys.stdout.write(table(passes) + "\n")
    if options.json is not None:
        figures = [one.as_json() for one in passes]
        options.json.write_text(json.dumps(figures, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
