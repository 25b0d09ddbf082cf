"""A client that shows an answer exactly as it lay on the wire."""

import asyncio
import json
from collections.abc import AsyncGenerator, Iterable
from contextlib import asynccontextmanager, suppress
from typing import Any

import attrs

from gateway.replay.server import ReplayUpstream

USUAL_HEADERS = (
    ("x-api-key", "sk-ant-api03-made-up-for-tests"),
    ("anthropic-version", "2023-06-01"),
    ("content-type", "application/json"),
)
LIMIT = 45
"""Seconds after which anything that should have happened counts as missing."""


@attrs.frozen
class RawResponse:
    """Status, headers in order, the bytes after the head, and how reading them ended.

    ``ended`` is ``complete`` (the framing said so), ``eof`` or ``reset``.
    """

    status: int
    headers: list[tuple[str, str]]
    raw_body: bytes
    ended: str

    def values(self, name: str) -> list[str]:
        return [value for key, value in self.headers if key.lower() == name]

    def header(self, name: str) -> str | None:
        return next(iter(self.values(name)), None)

    @property
    def chunks(self) -> list[bytes]:
        """The chunks of a chunked body; the last may be cut short."""
        return dechunk(self.raw_body)[0]

    @property
    def body(self) -> bytes:
        if self.header("transfer-encoding") == "chunked":
            return b"".join(self.chunks)
        return self.raw_body

    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def events(self) -> list[tuple[str, dict[str, Any]]]:
        """The events of a well-formed stream by name and data."""
        found = []
        for block in self.body.replace(b"\r\n", b"\n").split(b"\n\n")[:-1]:
            name, data = block.split(b"\n", 1)
            found.append((name.removeprefix(b"event: ").decode(), json.loads(data.removeprefix(b"data: "))))
        return found


def dechunk(data: bytes) -> tuple[list[bytes], bool, bytes]:
    """Return the chunks, whether the last one came, and what follows it."""
    chunks = []
    at = 0
    while (line_end := data.find(b"\r\n", at)) >= 0:
        size = int(data[at:line_end], 16)
        start = line_end + 2
        if size == 0:
            return chunks, data.startswith(b"\r\n", start), data[start + 2 :]
        chunks.append(data[start : start + size])
        at = start + size + 2
    return chunks, False, b""


def message(**changes: Any) -> dict[str, Any]:
    """Return a small valid request body."""
    usual = {
        "model": "claude-opus-5-5",
        "max_tokens": 1000,
        "messages": [{"role": "user", "content": "hi"}],
    }
    return {**usual, **changes}


def render(
    target: str, headers: Iterable[tuple[str, str]], body: bytes, method: str, version: str = "1.1"
) -> bytes:
    given = [f"{name}: {value}" for name, value in headers]
    host = [] if any(line.lower().startswith("host:") for line in given) else ["Host: replay"]
    lines = [f"{method} {target} HTTP/{version}", *host, *given]
    lines.append(f"Content-Length: {len(body)}")
    return "\r\n".join([*lines, "", ""]).encode() + body


@attrs.define
class RawConnection:
    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter

    async def send(
        self,
        target: str = "/v1/messages",
        body: Any = b"",
        *,
        headers: Iterable[tuple[str, str]] = (),
        usual: Iterable[tuple[str, str]] = USUAL_HEADERS,
        method: str | None = None,
        version: str = "1.1",
    ) -> None:
        content = body if isinstance(body, bytes) else json.dumps(body).encode()
        verb = method or ("POST" if content else "GET")
        self.writer.write(render(target, [*usual, *headers], content, verb, version))
        await self.writer.drain()

    async def head(self) -> tuple[int, list[tuple[str, str]]]:
        async with asyncio.timeout(LIMIT):
            head = await self.reader.readuntil(b"\r\n\r\n")
        first, *lines = head.decode("latin-1").removesuffix("\r\n\r\n").split("\r\n")
        pairs = [line.split(": ", 1) for line in lines]
        return int(first.split(" ")[1]), [(name, value) for name, value in pairs]

    async def receive(self, *, to_eof: bool = False, method: str = "POST") -> RawResponse:
        status, headers = await self.head()
        body = b""
        while True:
            if not to_eof and (method == "HEAD" or _whole(headers, body)):
                return RawResponse(status, headers, body, "complete")
            try:
                async with asyncio.timeout(LIMIT):
                    data = await self.reader.read(2**20)
            except ConnectionResetError:
                return RawResponse(status, headers, body, "reset")
            if not data:
                return RawResponse(status, headers, body, "eof")
            body += data

    async def until(self, text: bytes) -> bytes:
        """Read until this text has arrived."""
        async with asyncio.timeout(LIMIT):
            return await self.reader.readuntil(text)

    async def close(self) -> None:
        self.writer.close()
        with suppress(ConnectionError):
            await self.writer.wait_closed()


def _whole(headers: list[tuple[str, str]], body: bytes) -> bool:
    named = {name.lower(): value for name, value in headers}
    if "content-length" in named:
        return len(body) >= int(named["content-length"])
    return "transfer-encoding" in named and body.endswith(b"0\r\n\r\n") and dechunk(body)[1]


@asynccontextmanager
async def connected(upstream: ReplayUpstream) -> AsyncGenerator[RawConnection]:
    reader, writer = await asyncio.open_connection(upstream.host, upstream.port, limit=2**24)
    connection = RawConnection(reader, writer)
    try:
        yield connection
    finally:
        await connection.close()


async def ask(
    upstream: ReplayUpstream,
    body: Any = b"",
    target: str = "/v1/messages",
    *,
    fault: str | None = None,
    to_eof: bool = False,
    **options: Any,
) -> RawResponse:
    """Ask on a connection of its own and return the whole answer."""
    extra = [*options.pop("headers", ())]
    if fault is not None:
        extra.append(("x-replay-fault", fault))
    async with connected(upstream) as connection:
        await connection.send(target, body, headers=extra, **options)
        return await connection.receive(to_eof=to_eof, method=options.get("method") or "POST")
