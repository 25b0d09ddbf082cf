"""Each stream of the golden corpus gets the verdict that was worked out for it by hand."""

from __future__ import annotations

import os
import tomllib
from pathlib import Path
from typing import Any

import pytest

from sse_fsm import FrameDecoder
from tests.sse_fsm.checker import classify, read_events
from tests.sse_fsm.driving import run_guard

CORPUS = Path(__file__).parents[2] / "fixtures"
STREAMS = tomllib.loads((CORPUS / "manifest.toml").read_text("utf-8"))["stream"]
# Byte by byte in pure Python, a second per megabyte: large files are cut at a prime number of bytes instead.
LARGE = 2_000 if os.environ.get("HYPOTHESIS_PROFILE") == "mutants" else 100_000


@pytest.mark.parametrize("entry", STREAMS, ids=lambda entry: entry["name"])
def test_a_corpus_stream_gets_its_verdict_under_any_chunking(entry: dict[str, Any]) -> None:
    data = (CORPUS / entry["file"]).read_bytes()
    step = 1 if len(data) < LARGE else 997

    whole = run_guard([data])
    verdict = whole.verdict

    assert verdict.outcome == entry["verdict"]
    assert verdict.code == entry.get("code")
    assert (verdict.violation.event_number if verdict.violation else None) == entry.get("event")
    if entry["verdict"] == "upstream_error":
        assert (verdict.error or {}).get("type") == entry["error_type"]
    message = verdict.message or {}
    for name in ("model", "stop_reason", "stop_sequence"):
        assert message.get(name) == entry.get(name)
    assert without_nulls(message.get("usage")) == entry.get("usage")
    assert run_guard([data[at : at + step] for at in range(0, len(data), step)]).observable == whole.observable
    assert run_guard(by_event(data)).observable == whole.observable
    if entry["verdict"] == "complete":
        # Nothing but comments and blank lines may be missing, from behind the end.
        upstream = data.removeprefix(b"\xef\xbb\xbf")
        assert upstream.startswith(whole.received)
        assert read_events(upstream) == read_events(whole.received)
    ended_well = verdict.outcome in ("complete", "repaired") or verdict.code == "event_after_stop"
    assert classify(whole.received) == ("complete" if ended_well else "failed")


def test_the_corpus_shows_every_outcome() -> None:
    assert {entry["verdict"] for entry in STREAMS} == {
        "complete",
        "repaired",
        "truncated",
        "upstream_error",
        "violation",
    }


def by_event(data: bytes) -> list[bytes]:
    """Cut `data` into chunks of one frame each."""
    decoder = FrameDecoder()
    decoder.feed(data)
    ends = [0]
    while (frame := decoder.next_frame()) is not None:
        ends.append(frame.offset + len(frame.raw))
    return [data[start:end] for start, end in zip(ends, [*ends[1:], len(data)], strict=True)]


def without_nulls(value: Any) -> Any:
    """Leave out members that are null, at every depth, as the manifest does."""
    if isinstance(value, dict):
        return {name: without_nulls(item) for name, item in value.items() if item is not None}
    return [without_nulls(item) for item in value] if isinstance(value, list) else value
