"""A client that speaks just enough HTTP/1.1 to load a relay without being the bottleneck itself."""

import asyncio
import re
from collections.abc import Callable
from typing import Final, cast
from urllib.parse import urlsplit

import attrs

_STATUS: Final = re.compile(rb"HTTP/1\.1 (\d{3}) ")
_CHUNKED: Final = re.compile(rb"(?i)\r\ntransfer-encoding:\s*chunked")


class BrokenAnswerError(Exception):
    """The relay's answer is not what HTTP/1.1 or the script of the benchmark demands."""


@attrs.frozen
class Target:
    """Where to send requests: host, port and path of the messages endpoint, and the key to show."""

    host: str
    port: int
    path: str
    key: str

    @classmethod
    def parse(cls, url: str, key: str) -> "Target":
        """Return the target that ``url`` (``http://host:port/path``) names."""
        parts = urlsplit(url)
        return cls(parts.hostname or "127.0.0.1", parts.port or 80, parts.path, key)

    def request(self, model: str) -> bytes:
        """Return a whole streaming request for ``model``, about as large as a short chat turn."""
        body = (
            f'{{"model":"{model}","max_tokens":1024,"stream":true,'
            '"metadata":{"user_id":"bench"},"messages":[{"role":"user","content":"Say something."}]}'
        ).encode()
        head = (
            f"POST {self.path} HTTP/1.1\r\nHost: {self.host}:{self.port}\r\nx-api-key: {self.key}\r\n"
            "anthropic-version: 2023-06-01\r\nContent-Type: application/json\r\nAccept: application/json\r\n"
            f"User-Agent: bench\r\nContent-Length: {len(body)}\r\n\r\n"
        ).encode()
        return head + body


class Chunks:
    """Undoes the chunked transfer coding, in whatever pieces it arrives."""

    def __init__(self) -> None:
        """Start before the first chunk."""
        self.done = False
        self._pending = b""

    def feed(self, data: bytes) -> list[bytes]:
        """Return the payload of every chunk that ``data`` completes.

        Raises BrokenAnswerError when the coding is malformed.
        """
        if self._pending:
            data = self._pending + data
        payloads = []
        at = 0
        while (line_end := data.find(b"\r\n", at)) >= 0:
            try:
                size = int(data[at:line_end], 16)
            except ValueError:
                raise BrokenAnswerError(f"not a chunk size: {data[at:line_end][:40]!r}") from None
            end = line_end + 2 + size
            if len(data) < end + 2:
                break
            if data[end : end + 2] != b"\r\n":
                raise BrokenAnswerError("a chunk is longer than its size says")
            at = end + 2
            if size == 0:
                self.done = True
                break
            payloads.append(data[line_end + 2 : end])
        self._pending = data[at:]
        if self.done and self._pending:
            raise BrokenAnswerError("bytes after the end of the body")
        return payloads


class Connection(asyncio.Protocol):
    """One client connection; answers arrive piece by piece at a callback."""

    def __init__(self) -> None:
        """Start unconnected."""
        self.closed_here = False
        self._transport: asyncio.Transport | None = None
        self._on_payload: Callable[[bytes], None] | None = None
        self._answered: asyncio.Future[None] | None = None
        self._head: bytes | None = b""
        self._chunks = Chunks()

    @classmethod
    async def open(cls, target: Target) -> "Connection":
        """Connect to ``target``."""
        loop = asyncio.get_running_loop()
        _, connection = await loop.create_connection(cls, target.host, target.port)
        return connection

    @property
    def usable(self) -> bool:
        """Whether another request may be sent."""
        return self._transport is not None and not self._transport.is_closing()

    def close(self) -> None:
        """Drop the connection now."""
        self.closed_here = True
        if self._transport is not None:
            self._transport.abort()

    async def stream(self, request: bytes, on_payload: Callable[[bytes], None]) -> None:
        """Send ``request`` and hand the payload of each chunk of the answer to ``on_payload``.

        Returns when the body is complete. Raises BrokenAnswerError when the status is not 200, the body is
        not chunked, or the connection ends before the body does.
        """
        if self._transport is None:
            raise BrokenAnswerError("the connection is closed")
        self._on_payload = on_payload
        self._head = b""
        self._chunks = Chunks()
        self._answered = asyncio.get_running_loop().create_future()
        self._transport.write(request)
        await self._answered

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the transport."""
        # uvloop's transports do not derive from asyncio's classes
        self._transport = cast("asyncio.Transport", transport)

    def connection_lost(self, exc: Exception | None) -> None:
        """Fail the answer that is being read."""
        self._transport = None
        self._finish(BrokenAnswerError(f"the connection ended before the body did: {exc!r}"))

    def data_received(self, data: bytes) -> None:
        """Pass on what the answer's body gained."""
        if self._on_payload is None or self._answered is None or self._answered.done():
            self._finish(BrokenAnswerError("bytes that nobody asked for"))
            self.close()
            return
        try:
            if self._head is not None:
                data = self._read_head(self._head + data)
            for payload in self._chunks.feed(data) if data else ():
                self._on_payload(payload)
        except BrokenAnswerError as error:
            self._finish(error)
            self.close()
            return
        if self._chunks.done:
            self._finish(None)

    def _read_head(self, data: bytes) -> bytes:
        head, end, rest = data.partition(b"\r\n\r\n")
        if not end:
            self._head = data
            return b""
        status = _STATUS.match(head)
        if status is None or status[1] != b"200" or not _CHUNKED.search(head):
            raise BrokenAnswerError(f"unexpected answer: {data[:300]!r}")
        self._head = None
        return rest

    def _finish(self, error: BrokenAnswerError | None) -> None:
        if self._answered is None or self._answered.done():
            return
        if error is None:
            self._answered.set_result(None)
        else:
            self._answered.set_exception(error)
