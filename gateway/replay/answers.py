"""Answers made up on the spot, in the shape the Messages API gives them.

Event order, key order, the small placeholder in ``message_start.usage.output_tokens``, the ping after the
first ``content_block_start`` and the spaces before a closing brace follow the documentation, page "Streaming
messages", and recorded streams.
"""

import re
from functools import lru_cache
from typing import Any

import attrs
import msgspec

from gateway.replay.headers import new_id

# Every answer holds characters of two, three and four UTF-8 bytes, so that it can be cut inside one.
ANSWER = (
    "The replay upstream answers: your request arrived whole, was understood, and is being streamed "
    "back token by token → déjà vu for a gateway, and proof that every byte survives the trip. 🚀"
)
_PADDING = ("", "  ", "         ", "     ", "            ", " ", "       ")


@attrs.frozen
class TextBlock:
    """A text block, as the pieces that its deltas carry."""

    pieces: tuple[str, ...]

    def as_json(self) -> dict[str, Any]:
        """Return the finished block."""
        return {"type": "text", "text": "".join(self.pieces)}


@attrs.frozen
class ToolUseBlock:
    """A call of one of the client's tools."""

    name: str
    input: dict[str, Any]
    id: str = attrs.field(factory=lambda: new_id("toolu"))

    def as_json(self) -> dict[str, Any]:
        """Return the finished block."""
        return {"type": "tool_use", "id": self.id, "name": self.name, "input": self.input}


@attrs.frozen
class Reply:
    """What the model says: its blocks, why it stopped, and what that cost."""

    model: str
    blocks: tuple[TextBlock | ToolUseBlock, ...]
    stop_reason: str
    input_tokens: int
    output_tokens: int
    id: str = attrs.field(factory=lambda: new_id("msg"))

    def as_json(self) -> bytes:
        """Return the body of a non-streaming answer."""
        return msgspec.json.encode(
            self._message([block.as_json() for block in self.blocks], self.stop_reason, self.output_tokens)
        )

    def as_events(self) -> list[bytes]:
        """Return the stream, one element for each event with its blank line."""
        events = [event("message_start", {"message": self._message([], None, 1)})]
        for index, block in enumerate(self.blocks):
            match block:
                case TextBlock(pieces):
                    start: dict[str, Any] = {"type": "text", "text": ""}
                    deltas = text_deltas(index, pieces)
                case ToolUseBlock():
                    start = {**block.as_json(), "input": {}}
                    deltas = json_deltas(index, block.input)
            events.append(event("content_block_start", {"index": index, "content_block": start}, 2))
            if index == 0:
                events.append(b'event: ping\ndata: {"type": "ping"}\n\n')
            events.extend(deltas)
            events.append(event("content_block_stop", {"index": index}, 3))
        delta = {"stop_reason": self.stop_reason, "stop_sequence": None}
        events.append(event("message_delta", {"delta": delta, "usage": self._usage(self.output_tokens)}, 4))
        events.append(event("message_stop", {}, 5))
        return events

    def _usage(self, output_tokens: int) -> dict[str, int]:
        return {
            "input_tokens": self.input_tokens,
            "cache_creation_input_tokens": 0,
            "cache_read_input_tokens": 0,
            "output_tokens": output_tokens,
        }

    def _message(
        self, content: list[dict[str, Any]], stop_reason: str | None, output_tokens: int
    ) -> dict[str, Any]:
        return {
            "model": self.model,
            "id": self.id,
            "type": "message",
            "role": "assistant",
            "content": content,
            "stop_reason": stop_reason,
            "stop_sequence": None,
            "usage": {
                "input_tokens": self.input_tokens,
                "cache_creation_input_tokens": 0,
                "cache_read_input_tokens": 0,
                "cache_creation": {"ephemeral_5m_input_tokens": 0, "ephemeral_1h_input_tokens": 0},
                "output_tokens": output_tokens,
                "service_tier": "standard",
                "inference_geo": "global",
            },
        }


def event(name: str, fields: dict[str, Any], padding: int = 0) -> bytes:
    """Return one framed event; ``padding`` picks how many spaces stand before the last brace."""
    data = msgspec.json.encode({"type": name, **fields})
    return b"event: %b\ndata: %b%b}\n\n" % (
        name.encode(),
        data[:-1],
        _PADDING[padding % len(_PADDING)].encode(),
    )


@lru_cache(maxsize=64)
def text_deltas(index: int, pieces: tuple[str, ...]) -> tuple[bytes, ...]:
    """Return the ``text_delta`` events of a block; remembered, for load is mostly repetition."""
    return tuple(
        event("content_block_delta", {"index": index, "delta": {"type": "text_delta", "text": text}}, number)
        for number, text in enumerate(pieces)
    )


def json_deltas(index: int, value: dict[str, Any]) -> list[bytes]:
    """Return the ``input_json_delta`` events of a tool call; the first fragment is empty, as it is upstream."""
    text = msgspec.json.encode(value).decode()
    fragments = ["", *(text[start : start + 12] for start in range(0, len(text), 12))]
    return [
        event(
            "content_block_delta",
            {"index": index, "delta": {"type": "input_json_delta", "partial_json": fragment}},
            number,
        )
        for number, fragment in enumerate(fragments)
    ]


def words(text: str) -> tuple[str, ...]:
    """Split a text into token-like pieces that join to the same text."""
    return tuple(re.findall(r"\s*\S+|\s+$", text))


@lru_cache(maxsize=64)
def text_of(tokens: int, delta_bytes: int | None = None) -> tuple[str, ...]:
    """Return ``tokens`` pieces of text, each of ``delta_bytes`` ASCII bytes when that is given."""
    if delta_bytes is None:
        vocabulary = words(ANSWER)
        return tuple(
            piece if number else piece.lstrip()
            for number, piece in ((number, vocabulary[number % len(vocabulary)]) for number in range(tokens))
        )
    alphabet = "abcdefghijklmnopqrstuvwxyz"
    return tuple((alphabet[number % 26] * delta_bytes) for number in range(tokens))
