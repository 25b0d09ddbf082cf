"""Requests to an OpenAI-compatible API and their answers, as ``fixtures/openai`` has them, byte for byte."""

import base64
import gzip
import tomllib
from collections.abc import Iterable
from functools import cache
from http import HTTPStatus
from pathlib import Path
from typing import Any, Final

import msgspec
from attrs import field, frozen

from gateway.replay.fixtures import corpus_directory
from gateway.replay.headers import Headers

_SEED: Final = 251


@frozen
class RecordedExchange:
    """One request and its answer. Texts are UTF-8 in bodies and Latin-1 in heads."""

    name: str
    origin: str
    method: str
    target: str
    request_headers: Headers
    request_body: str | None = None
    request_chunks: list[str] = field(factory=list)
    request_chunk_extension: str = ""
    request_trailers: Headers = field(factory=list)
    request_gzip: bool = False
    version: str = "HTTP/1.1"
    status: int = 200
    reason: str | None = None
    headers: Headers = field(factory=list)
    interim: list[str] = field(factory=list)
    """Heads before the final one, without their ``HTTP/1.1``."""
    body: str | None = None
    fill: int = 0
    """The body is so many bytes of no meaning."""
    chunks: list[str] = field(factory=list)
    chunks_base64: list[str] = field(factory=list)
    sse: list[str] = field(factory=list)
    """Data of events, one a chunk."""
    named_sse: list[str] = field(factory=list)
    """The same with an ``event`` line, from the data's ``type``."""
    trailers: Headers = field(factory=list)
    gzip: bool = False
    framing: str = ""
    """``none`` and ``close`` for answers that have neither a length nor chunks."""

    @property
    def path(self) -> str:
        """The target without its query."""
        return self.target.partition("?")[0]

    @property
    def streamed(self) -> bool:
        """Whether this is an answer to ``"stream": true``."""
        return '"stream":true' in (self.request_body or "")

    def request(self, host: str, *extra: tuple[str, str]) -> bytes:
        """Return the request, for a server at ``host``, with ``extra`` headers at its end."""
        lines = [f"{self.method} {self.target} {self.version}", f"Host: {host}"]
        lines += [f"{name}: {value}" for name, value in [*self.request_headers, *extra]]
        if self.request_chunks:
            body = _chunked(
                map(str.encode, self.request_chunks), self.request_trailers, self.request_chunk_extension
            )
        else:
            body = (self.request_body or "").encode()
            if self.request_gzip:
                body = gzip.compress(body, mtime=0)
            if self.request_body is not None:
                lines.append(f"Content-Length: {len(body)}")
        return _head(lines) + body

    def answer(self, method: str | None = None) -> bytes:
        """Return the whole answer to a request with ``method``, by default the recorded one."""
        reason = HTTPStatus(self.status).phrase if self.reason is None else self.reason
        lines = [f"{self.version} {self.status} {reason}"]
        lines += [f"{name}: {value}" for name, value in self.headers]
        pieces = self._pieces()
        if self.framing in ("none", "close"):
            body = b"".join(pieces)
        elif self.body is not None or self.fill:
            body = b"".join(pieces)
            lines.append(f"Content-Length: {len(body)}")
        else:
            body = _chunked(pieces, self.trailers)
            lines.append("Transfer-Encoding: chunked")
        interim = b"".join(_head([f"HTTP/1.1 {head}"]) for head in self.interim)
        return interim + _head(lines) + (b"" if (method or self.method) == "HEAD" else body)

    def _pieces(self) -> list[bytes]:
        events = [f"data: {data}\n\n" for data in self.sse]
        events += [f"event: {msgspec.json.decode(data)['type']}\ndata: {data}\n\n" for data in self.named_sse]
        pieces = [text.encode() for text in [*events, *self.chunks]]
        pieces += [base64.b64decode(text) for text in self.chunks_base64]
        if self.body is not None:
            pieces.append(self.body.encode())
        if self.fill:
            pieces.append((bytes(range(_SEED)) * (self.fill // _SEED + 1))[: self.fill])
        return [gzip.compress(b"".join(pieces), mtime=0)] if self.gzip else pieces


def _head(lines: list[str]) -> bytes:
    return "\r\n".join([*lines, "", ""]).encode("latin-1")


def _chunked(pieces: Iterable[bytes], trailers: Headers, extension: str = "") -> bytes:
    chunks = [b"%x%b\r\n%b\r\n" % (len(piece), extension.encode(), piece) for piece in pieces]
    return b"".join(chunks) + b"0\r\n" + _head([f"{name}: {value}" for name, value in trailers])


@cache
def recorded_exchanges(root: Path | None = None) -> tuple[RecordedExchange, ...]:
    """Return all of them, in the order of the file. Reading blocks: call from a thread, or after it was read."""
    path = (root or corpus_directory()) / "openai" / "exchanges.toml"
    entries: list[dict[str, Any]] = tomllib.loads(path.read_text("utf-8"))["exchange"]
    return tuple(RecordedExchange(**entry) for entry in entries)
