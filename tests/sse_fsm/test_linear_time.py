"""Work grows with the input and not with its square, counted in bytes and not in seconds."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterable
from typing import Any

import pytest

from sse_fsm import DEFAULT_MAX_EVENT_BYTES, FrameDecoder, StreamGuard, encode_event, framing
from tests.sse_fsm.driving import run_guard

LONG_SEARCH = os.environ.get("HYPOTHESIS_PROFILE") == "property"


class Counted:
    """Counts bytes that the decoder looks at or moves."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Put counting stand-ins into the decoder's module: for its buffer, and for its patterns."""
        counted = self
        self.bytes = 0

        class Buffer(bytearray):
            def __init__(self, *source: Any) -> None:
                super().__init__(*source)
                counted.bytes += len(self)

            def __iadd__(self, more: Any) -> Any:
                counted.bytes += len(more)
                return super().__iadd__(more)

            def find(self, sought: Any, start: Any = 0, end: Any = None) -> int:
                found = super().find(sought, start, end)
                counted.bytes += (len(self) if found < 0 else found) - start
                return found

        class Pattern:
            def __init__(self, pattern: re.Pattern[bytes]) -> None:
                self._pattern = pattern

            def search(self, text: bytes, start: int) -> Any:
                found = self._pattern.search(text, start)
                counted.bytes += (found.end() if found else len(text)) - start
                return found

        monkeypatch.setattr(framing, "bytearray", Buffer, raising=False)
        for name in ("_BLANK_LINE", "_LINE_END"):
            monkeypatch.setattr(framing, name, Pattern(getattr(framing, name)))

    def cost(self, work: Callable[[], object]) -> int:
        """Return the bytes that `work` costs."""
        before = self.bytes
        work()
        return self.bytes - before


def feed(chunks: Iterable[bytes]) -> None:
    decoder = FrameDecoder()
    for chunk in chunks:
        decoder.feed(chunk)
        while decoder.next_frame() is not None:
            pass


SHAPES: dict[str, Callable[[int], bytes]] = {
    "one event": lambda n: b"event: x\ndata: " + b"x" * n + b"\n\n",
    "one event with CR": lambda n: b"event: x\r\ndata: " + b"x" * n + b"\r\n\r\n",
    "an event of many lines": lambda n: b"event: x\n" + b"data: y\n" * (n // 8) + b"\n",
    "an event of many lines with CR": lambda n: b"event: x\r" + b"data: y\r" * (n // 8) + b"\r",
    "one comment": lambda n: b":" + b"x" * n + b"\n",
    "many events": lambda n: b"event: x\n\n" * (n // 10),
    "many blank lines": lambda n: b"\n" * n,
    "many CR LF": lambda n: b"\r\n" * (n // 2),
    "an event that never ends": lambda n: b"data: " + b"x" * n,
}


@pytest.mark.parametrize("size", [1, 7, 1000])
@pytest.mark.parametrize("shape", SHAPES)
def test_twice_the_input_is_twice_the_work(shape: str, size: int, monkeypatch: pytest.MonkeyPatch) -> None:
    counted = Counted(monkeypatch)

    def cost(length: int) -> int:
        data = SHAPES[shape](length)
        return counted.cost(lambda: feed(data[at : at + size] for at in range(0, len(data), size)))

    once, twice, four_times = cost(8_000), cost(16_000), cost(32_000)

    assert twice <= 2.1 * once + 4000
    assert four_times <= 2.1 * twice + 4000
    # A handful of looks at each byte, whatever the chunks: three of the last bytes are looked at again each time.
    assert four_times <= 32_000 * 6


def test_a_run_of_deltas_cut_anywhere_is_matched_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """The pattern for runs is tried where an event begins, never again for the rest of the same event."""
    tried = 0
    take_run = FrameDecoder.take_run

    def counting(decoder: FrameDecoder, *arguments: Any) -> Any:
        nonlocal tried
        tried += 1
        return take_run(decoder, *arguments)

    monkeypatch.setattr(FrameDecoder, "take_run", counting)
    guard = StreamGuard()
    guard.feed(encode_event({"type": "message_start", "message": {"content": [], "usage": {}}}))
    guard.feed(
        encode_event({"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}})
    )
    delta = {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": "x" * 5000}}
    for byte in encode_event(delta) * 3:
        guard.feed(bytes([byte]))

    assert guard.machine.events == 5
    # Where each event begins and where it ends, and where the run itself begins; not once per byte.
    assert tried <= 2 * 3 + 1


def test_an_event_of_seven_megabytes_passes_byte_by_byte() -> None:
    size = 7_000_000 if LONG_SEARCH else 400_000
    decoder = FrameDecoder()
    event = b"event: x\ndata: " + b"x" * size + b"\n\n"
    assert len(event) < DEFAULT_MAX_EVENT_BYTES

    frames = []
    for byte in event:
        decoder.feed(byte.to_bytes())
        if (frame := decoder.next_frame()) is not None:
            frames.append(frame)

    assert [frame.raw for frame in frames] == [event]


def test_an_event_of_seven_megabytes_passes_in_small_chunks() -> None:
    delta = {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": "é" * 3_500_000}}
    events = [
        {"type": "message_start", "message": {"content": [], "usage": {}}},
        {"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}},
        delta,
        {"type": "content_block_stop", "index": 0},
        {"type": "message_delta", "delta": {"stop_reason": "end_turn"}, "usage": {"output_tokens": 1}},
        {"type": "message_stop"},
    ]
    data = b"".join(map(encode_event, events))

    run = run_guard(data[at : at + 101] for at in range(0, len(data), 101))

    assert run.received == data
    assert run.verdict.outcome == "complete"


@pytest.mark.parametrize("beyond", [0, 1])
def test_an_event_of_eight_mebibytes_is_the_longest(beyond: int) -> None:
    padding = DEFAULT_MAX_EVENT_BYTES - len(b'event: future\ndata: {"type":"x"}\n\n') + beyond
    event = b'event: future\ndata: {"type":"x"' + b" " * padding + b"}\n\n"

    run = run_guard([event[:70_000], event[70_000:], b": more\n"])

    assert len(event) == 8 * 1024 * 1024 + beyond
    assert run.verdict.code == ("event_too_large" if beyond else None)
