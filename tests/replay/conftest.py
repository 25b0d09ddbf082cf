"""Replay upstreams to test against."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from gateway.replay.fixtures import Corpus
from gateway.replay.server import ReplayUpstream


@pytest.fixture
async def upstream() -> AsyncIterator[ReplayUpstream]:
    async with ReplayUpstream() as running:
        yield running


@pytest.fixture
def corpus(tmp_path: Path) -> Corpus:
    """Return a small corpus whose framing nothing that re-encodes could reproduce."""
    streams = {
        "two-events": b'event: ping\ndata: {   }  \n\nevent:ping\r\ndata:{"a":"\xc3\xa9"}\r\n\r\n',
        "no-blank-line": b"event: ping\ndata: {}",
        "not-utf8": b"event: x\ndata: \xff\n\n",
        "carriage-returns": b"event: a\rdata: {}\r\r: comment\r\revent: b\r\r",
    }
    for name, content in streams.items():
        (tmp_path / "streams").mkdir(exist_ok=True)
        (tmp_path / "streams" / f"{name}.sse").write_bytes(content)
    (tmp_path / "messages").mkdir()
    (tmp_path / "messages" / "short.json").write_bytes(b'{ "type" : "message" }\n')
    (tmp_path / "errors").mkdir()
    (tmp_path / "errors" / "html.json").write_text(
        '{"status": 502, "headers": {"content-type": "text/html", "server": "nginx"}, "body_text": "<h1>Bad</h1>"}'
    )
    (tmp_path / "errors" / "spend.json").write_text(
        '{"status": 429, "headers": {"x-should-retry": "false"}, "body": {"type": "error", "n": 1.50}}'
    )
    return Corpus(tmp_path)
