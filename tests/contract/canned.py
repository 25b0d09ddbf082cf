"""An upstream that sends exactly the bytes it was given, for what the replay upstream would not send."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Iterable
from contextlib import asynccontextmanager, suppress

from attrs import define, field

from tests.replay.raw_client import dechunk


@define
class CannedUpstream:
    """Answers every request with the next of its answers, the last one again and again."""

    answers: list[bytes]
    close: bool = False
    """Close the connection behind each answer."""
    requests: list[bytes] = field(factory=list)
    """Whole requests as they came."""
    url: str = ""

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Serve one connection."""
        with suppress(asyncio.IncompleteReadError, ConnectionError):
            while True:
                self.requests.append(await _read_request(reader))
                answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
                writer.write(answer)
                await writer.drain()
                if self.close:
                    break
        writer.close()


async def _read_request(reader: asyncio.StreamReader) -> bytes:
    head = await reader.readuntil(b"\r\n\r\n")
    lines = head.lower().split(b"\r\n")
    for line in lines:
        if line.startswith(b"content-length:"):
            return head + await reader.readexactly(int(line.partition(b":")[2]))
    if b"transfer-encoding: chunked" in lines:
        body = b""
        while not dechunk(body)[1]:
            body += await reader.readuntil(b"\r\n")
        return head + body
    return head


@asynccontextmanager
async def canned(*answers: bytes, close: bool = False) -> AsyncGenerator[CannedUpstream]:
    """Run a canned upstream."""
    upstream = CannedUpstream(list(answers), close)
    server = await asyncio.start_server(upstream.serve, "127.0.0.1", 0, limit=2**26)
    host, port = server.sockets[0].getsockname()
    upstream.url = f"http://{host}:{port}"
    async with server:
        yield upstream
        server.close()


def canned_answer(
    body: bytes = b"",
    status: str = "200 OK",
    headers: Iterable[tuple[str, str | bytes]] = (("content-type", "application/json"),),
    *,
    length: bool = True,
) -> bytes:
    """Return a whole answer."""
    lines = [f"HTTP/1.1 {status}".encode()]
    for name, value in headers:
        lines.append(name.encode() + b": " + (value if isinstance(value, bytes) else value.encode()))
    if length:
        lines.append(b"content-length: %d" % len(body))
    return b"\r\n".join([*lines, b"", body])
