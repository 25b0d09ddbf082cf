"""Cutting bytes up in any way, and bytes of any kind."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import pairwise
from typing import Final

from hypothesis import strategies as st

__all__ = ["chunkings", "cut_at", "stream_bytes"]

_PARTS: Final = (
    b"event: message_start\n",
    b'data: {"type":"message_start","message":{"content":[],"usage":{}}}\n\n',
    b"event: content_block_start\n",
    b'data: {"type":"content_block_start","index":0,"content_block":{"type":"text","text":""}}\n\n',
    b"event: content_block_delta\n",
    b'data: {"type":"content_block_delta","index":0,"delta":{"type":"text_delta","text":"hi"}}\n\n',
    b'event: content_block_stop\ndata: {"type":"content_block_stop","index":0}\n\n',
    b'event: message_delta\ndata: {"type":"message_delta","delta":{"stop_reason":"end_turn"},',
    b'"usage":{"output_tokens":1}}\n\n',
    b'event: message_stop\ndata: {"type":"message_stop"}\n\n',
    b'event: ping\ndata: {"type": "ping"}\n\n',
    b'event: error\ndata: {"type":"error","error":{}}\n\n',
    b"event: future\n\n",
    b"\n",
    b"\r",
    b"\r\n",
    b"\n\n",
    b": comment\n",
    b"data:",
    b"event",
    b"id: 1\n",
    b"data: [DONE]\n\n",
    b"\xef\xbb\xbf",
    b"\xef\xbb",
    b"\xff",
    "é😀".encode(),
    b"{}",
    b"}",
)


def cut_at(data: bytes, cuts: Iterable[int]) -> list[bytes]:
    """Cut `data` at the given places; a place named twice makes an empty chunk."""
    edges = [0, *sorted(cuts), len(data)]
    return [data[start:end] for start, end in pairwise(edges)]


def chunkings(data: bytes) -> st.SearchStrategy[list[bytes]]:
    """Ways to cut `data` into chunks: whole, byte by byte, in equal parts, anywhere, with empty chunks."""
    size = len(data)
    anywhere = st.lists(st.integers(0, size), max_size=12)
    equal = st.integers(1, max(size, 1)).map(lambda step: list(range(step, size, step)))
    return (st.just([]) | anywhere | equal | st.just(list(range(1, size)))).map(lambda cuts: cut_at(data, cuts))


def stream_bytes() -> st.SearchStrategy[bytes]:
    """Bytes that may be anything: noise, parts of events in any order, and both in any mixture."""
    part = st.sampled_from(_PARTS) | st.binary(max_size=6)
    return st.binary(max_size=64) | st.lists(part, max_size=24).map(b"".join)
