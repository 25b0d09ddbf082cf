"""An upstream whose every byte is the test's own, for what a well-behaved HTTP server cannot send."""

from __future__ import annotations

import asyncio
import socket
import struct
from collections.abc import Awaitable, Callable
from types import TracebackType
from typing import Final, Self

from attrs import define, field

from tests.replay.raw_client import LIMIT

LAST_CHUNK: Final = b"0\r\n\r\n"
STREAM_HEAD: Final = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"


def event(name: str, data: str) -> bytes:
    """Return an event in the API's spelling."""
    return f"event: {name}\ndata: {data}\n\n".encode()


START: Final = event(
    "message_start",
    '{"type":"message_start","message":{"id":"msg_01","type":"message","role":"assistant","model":"claude-opus-5-5",'
    '"content":[],"stop_reason":null,"stop_sequence":null,"usage":{"input_tokens":3,"output_tokens":1}}}',
)
BLOCK_START: Final = event(
    "content_block_start",
    '{"type":"content_block_start","index":0,"content_block":{"type":"text","text":""}}',
)
BLOCK_STOP: Final = event("content_block_stop", '{"type":"content_block_stop","index":0}')
MESSAGE_DELTA: Final = event(
    "message_delta",
    '{"type":"message_delta","delta":{"stop_reason":"end_turn","stop_sequence":null},"usage":{"output_tokens":9}}',
)
MESSAGE_STOP: Final = event("message_stop", '{"type":"message_stop"}')
PING: Final = event("ping", '{"type":"ping"}')


def delta(text: str) -> bytes:
    """Return a text delta; `text` needs no escaping."""
    return event(
        "content_block_delta",
        f'{{"type":"content_block_delta","index":0,"delta":{{"type":"text_delta","text":"{text}"}}}}',
    )


OPENING: Final = START + BLOCK_START + delta("Hello")
CLOSING: Final = BLOCK_STOP + MESSAGE_DELTA + MESSAGE_STOP
SHORT_STREAM: Final = OPENING + CLOSING


def chunk(data: bytes) -> bytes:
    """Return bytes as one chunk of a chunked body."""
    return b"%x\r\n%b\r\n" % (len(data), data)


def json_head(length: int, *lines: str) -> bytes:
    """Return the head of a JSON answer of so many bytes."""
    head = ["HTTP/1.1 200 OK", "content-type: application/json", f"content-length: {length}", *lines]
    return "\r\n".join([*head, "", ""]).encode()


@define(eq=False)
class Exchange:
    """One request that arrived, and the connection to answer it on."""

    connection: int
    """Number of the connection, from 1 on."""
    head: bytes
    body: bytes
    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter

    @property
    def target(self) -> bytes:
        """The request target as it came."""
        return self.head.split(b" ", 2)[1]

    def header_lines(self, name: bytes) -> list[bytes]:
        """Return the lines of a header as they came."""
        return [line for line in self.head.split(b"\r\n") if line.lower().startswith(name + b":")]

    async def send(self, *parts: bytes) -> None:
        """Send bytes as they are, and wait until they have left this process."""
        self.writer.transport.set_write_buffer_limits(high=0)
        self.writer.write(b"".join(parts))
        await self.writer.drain()

    async def gone(self) -> None:
        """Return when the gateway has closed the connection."""
        async with asyncio.timeout(LIMIT):
            try:
                assert await self.reader.read() == b""
            except ConnectionError:
                return

    def close(self) -> None:
        """Close the connection in order."""
        self.writer.close()

    def reset(self) -> None:
        """Close the connection by RST."""
        raw = self.writer.get_extra_info("socket")
        raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.writer.transport.abort()


Script = Callable[[Exchange], Awaitable[None]]


@define(eq=False)
class ScriptedUpstream:
    """Listens on a port of its own and runs `script` for every request; to be used as a context manager."""

    script: Script
    exchanges: list[Exchange] = field(factory=list)
    connections: int = 0
    port: int = 0
    _server: asyncio.Server | None = None
    _tasks: set[asyncio.Task[None]] = field(factory=set)

    @property
    def url(self) -> str:
        """Base URL."""
        return f"http://127.0.0.1:{self.port}"

    async def __aenter__(self) -> Self:
        """Listen."""
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0, backlog=1024, limit=2**26)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stop listening and end every script."""
        if self._server is not None:
            self._server.close()
        for task in self._tasks:
            task.cancel()
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=LIMIT)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        self.connections += 1
        number = self.connections
        try:
            while not writer.is_closing():
                try:
                    head = await reader.readuntil(b"\r\n\r\n")
                    lengths = [line for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:")]
                    body = await reader.readexactly(int(lengths[0].split(b":")[1]) if lengths else 0)
                except (asyncio.IncompleteReadError, ConnectionError):
                    return
                exchange = Exchange(number, head, body, reader, writer)
                self.exchanges.append(exchange)
                await self.script(exchange)
        except ConnectionError:
            return
        except asyncio.CancelledError:
            writer.transport.abort()
        finally:
            writer.close()
            self._tasks.discard(task)
