"""What the scripted upstream sends and the load generator expects, event for event.

Both processes build their streams from this one module, so that a relay which loses, repeats or alters
a single byte is caught by plain comparison. Event shapes are those of the Messages API
(https://docs.anthropic.com/en/docs/build-with-claude/streaming).
"""

import functools
import json
from typing import Any, Final

import attrs

MODEL_PREFIX: Final = "bench-"
BLAST_DELTAS: Final = 300
PACED_INTERVAL: Final = 0.020
"""Seconds between two deltas of a paced stream."""
IDLE_PING_INTERVAL: Final = 10.0
"""Seconds between two pings of an idle stream."""
BIG_DELTA_BYTES: Final = 1024
BIG_INPUT_BYTES: Final = 10 * 1024 * 1024

_WORDS: Final = (
    "Hello", " there", ", the", " quick", " brown", " fox", " jumps", "\n\n", " over", " “a”", " lazy",
    ' "dog"', " and", " naïve", " C:\\x", " runs", ".", " 日本語", " again", " then", " stops", "\t- x",
)  # fmt: skip


def event(name: str, data: dict[str, Any]) -> bytes:
    """Return one server-sent event as the API writes it."""
    text = json.dumps(data, separators=(",", ":"), ensure_ascii=False)
    return f"event: {name}\ndata: {text}\n\n".encode()


PING: Final = event("ping", {"type": "ping"})


@attrs.frozen
class Script:
    """A whole stream: ``head``, then ``deltas``, then ``tail``, each a tuple of whole events."""

    head: tuple[bytes, ...]
    deltas: tuple[bytes, ...]
    tail: tuple[bytes, ...]

    @property
    def events(self) -> tuple[bytes, ...]:
        """All events in order."""
        return self.head + self.deltas + self.tail

    @functools.cached_property
    def body(self) -> bytes:
        """The bytes a client must receive."""
        return b"".join(self.events)

    @functools.cached_property
    def first_content(self) -> int:
        """Offset in ``body`` at which the first delta has arrived whole."""
        return sum(map(len, self.head)) + len(self.deltas[0])


def _message_start(model: str) -> bytes:
    usage = {
        "input_tokens": 2095,
        "cache_creation_input_tokens": 0,
        "cache_read_input_tokens": 503,
        "cache_creation": {"ephemeral_5m_input_tokens": 0, "ephemeral_1h_input_tokens": 0},
        "output_tokens": 1,
        "service_tier": "standard",
    }
    message = {
        "id": "msg_01BenchBenchBenchBenchBe",
        "type": "message",
        "role": "assistant",
        "model": model,
        "content": [],
        "stop_reason": None,
        "stop_sequence": None,
        "usage": usage,
    }
    return event("message_start", {"type": "message_start", "message": message})


def _block_start(block: dict[str, Any]) -> bytes:
    return event("content_block_start", {"type": "content_block_start", "index": 0, "content_block": block})


def _delta(delta: dict[str, Any]) -> bytes:
    return event("content_block_delta", {"type": "content_block_delta", "index": 0, "delta": delta})


def _tail(stop_reason: str, output_tokens: int) -> tuple[bytes, ...]:
    delta = {"stop_reason": stop_reason, "stop_sequence": None}
    usage = {"output_tokens": output_tokens}
    return (
        event("content_block_stop", {"type": "content_block_stop", "index": 0}),
        event("message_delta", {"type": "message_delta", "delta": delta, "usage": usage}),
        event("message_stop", {"type": "message_stop"}),
    )


def _text_head(model: str) -> tuple[bytes, ...]:
    return (_message_start(model), _block_start({"type": "text", "text": ""}), PING)


@functools.cache
def blast(model: str, deltas: int = BLAST_DELTAS) -> Script:
    """Return a text answer of ``deltas`` events of about 120 bytes, escapes and wide letters included."""
    parts = (_delta({"type": "text_delta", "text": _WORDS[n % len(_WORDS)]}) for n in range(deltas))
    return Script(_text_head(model), tuple(parts), _tail("end_turn", deltas))


def idle(model: str) -> bytes:
    """Return what an idle stream says before it falls silent: opening events and one delta."""
    return b"".join(_text_head(model)) + _delta({"type": "text_delta", "text": "Hello"})


@functools.cache
def big(model: str) -> Script:
    """Return one tool call whose input is 10 MB of JSON in deltas of about 1 KiB."""
    piece = "x" * BIG_DELTA_BYTES
    count = BIG_INPUT_BYTES // BIG_DELTA_BYTES
    part = _delta({"type": "input_json_delta", "partial_json": piece})
    opening = _delta({"type": "input_json_delta", "partial_json": '{"content":"'})
    closing = _delta({"type": "input_json_delta", "partial_json": '"}'})
    tool = {"type": "tool_use", "id": "toolu_01BenchBenchBenchBenchB", "name": "write", "input": {}}
    head = (_message_start(model), _block_start(tool), PING)
    return Script(head, (opening, *(part for _ in range(count)), closing), _tail("tool_use", count))


_SEQUENCE_DIGITS: Final = 6
_CLOCK_DIGITS: Final = 20
_PACED_PREFIX, _PACED_SUFFIX = _delta({"type": "text_delta", "text": "@"}).split(b"@")
PACED_EVENT_BYTES: Final = len(_PACED_PREFIX) + _SEQUENCE_DIGITS + 1 + _CLOCK_DIGITS + len(_PACED_SUFFIX)
_CLOCK_AT: Final = len(_PACED_PREFIX) + _SEQUENCE_DIGITS + 1


def paced_head(model: str) -> bytes:
    """Return the opening events of a paced stream."""
    return b"".join(_text_head(model))


def paced_delta(sequence: int, sent_ns: int) -> bytes:
    """Return a delta whose text is its number and the moment it was sent (``time.monotonic_ns``)."""
    return _PACED_PREFIX + b"%06d %020d" % (sequence, sent_ns) + _PACED_SUFFIX


def paced_sent_ns(body: bytes | bytearray, offset: int) -> int:
    """Return the send moment written in the paced delta that starts at ``offset``."""
    start = offset + _CLOCK_AT
    return int(body[start : start + _CLOCK_DIGITS])


def paced_tail(deltas: int) -> bytes:
    """Return the closing events of a paced stream."""
    return b"".join(_tail("end_turn", deltas))
