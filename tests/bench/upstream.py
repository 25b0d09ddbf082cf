"""A scripted Messages API that costs next to nothing, so that the relays are what is measured.

The model name of the request picks what is sent:

``bench-blast``    300 text deltas as fast as the connection takes them
``bench-paced-N``  N text deltas, one every 20 ms, each carrying the moment it was sent
``bench-idle``     the opening events and one delta, then silence with a ping every 10 s
``bench-big``      one tool call with 10 MB of input in deltas of 1 KiB

    python -m tests.bench.upstream --listen 127.0.0.1:0
"""

import argparse
import asyncio
import functools
import gc
import re
import signal
import sys
import time
from typing import Final, cast

import uvloop

from tests.bench import streams

EVENTS_PER_WRITE: Final = 12
"""Events handed to the kernel at once in a blast: about one full TCP segment outside loopback."""

_HEAD: Final = (
    b"HTTP/1.1 200 OK\r\n"
    b"Content-Type: text/event-stream; charset=utf-8\r\n"
    b"Cache-Control: no-cache\r\n"
    b"Transfer-Encoding: chunked\r\n"
    b"anthropic-ratelimit-requests-limit: 4000\r\n"
    b"anthropic-ratelimit-requests-remaining: 3999\r\n"
    b"anthropic-ratelimit-requests-reset: 2030-01-01T00:00:00Z\r\n"
    b"request-id: req_011BenchBenchBenchBenchBe\r\n"
    b"anthropic-organization-id: 00000000-0000-0000-0000-000000000000\r\n"
    b"\r\n"
)
_NOT_FOUND: Final = (
    b"HTTP/1.1 404 Not Found\r\nContent-Type: application/json\r\nContent-Length: 79\r\n\r\n"
    b'{"type":"error","error":{"type":"not_found_error","message":"Nothing is here"}}'
)
_END: Final = b"0\r\n\r\n"
_MODEL: Final = re.compile(rb'"model"\s*:\s*"bench-([a-z]+)(?:-(\d+))?"')
_LENGTH: Final = re.compile(rb"(?i)\r\ncontent-length:\s*(\d+)")


def http_chunk(data: bytes) -> bytes:
    """Return ``data`` as one chunk of a chunked body."""
    return b"%x\r\n%b\r\n" % (len(data), data)


@functools.cache
def _blast_writes(model: str) -> tuple[bytes, ...]:
    chunks = [http_chunk(event) for event in streams.blast(model).events]
    starts = range(0, len(chunks), EVENTS_PER_WRITE)
    writes = [b"".join(chunks[at : at + EVENTS_PER_WRITE]) for at in starts]
    return (_HEAD + writes[0], *writes[1:-1], writes[-1] + _END)


@functools.cache
def _big_writes(model: str) -> bytes:
    return _HEAD + b"".join(http_chunk(event) for event in streams.big(model).events) + _END


class Upstream(asyncio.Protocol):
    """One connection: reads a request, plays the stream it asks for, waits for the next."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        """Play on ``loop``."""
        self._loop = loop
        self._transport: asyncio.Transport | None = None
        self._received = b""
        self._timer: asyncio.Handle | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # uvloop's transports do not derive from asyncio's classes
        self._transport = cast("asyncio.Transport", transport)

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - the protocol's signature
        self._transport = None
        if self._timer is not None:
            self._timer.cancel()

    def data_received(self, data: bytes) -> None:
        self._received += data
        head_end = self._received.find(b"\r\n\r\n")
        if head_end < 0:
            return
        length = _LENGTH.search(self._received, 0, head_end)
        end = head_end + 4 + (int(length[1]) if length else 0)
        if len(self._received) < end:
            return
        request, self._received = self._received[:end], self._received[end:]
        model = _MODEL.search(request, head_end)
        if self._transport is None:
            return
        if model is None or not request.startswith(b"POST "):
            self._transport.write(_NOT_FOUND)
            return
        name = model[0].split(b'"')[3].decode()
        match model[1]:
            case b"blast":
                self._blast(_blast_writes(name), 0)
            case b"paced":
                self._start_paced(name, int(model[2] or 100))
            case b"idle":
                self._transport.write(_HEAD + http_chunk(streams.idle(name)))
                self._idle()
            case b"big":
                self._transport.write(_big_writes(name))
            case _:
                self._transport.write(_NOT_FOUND)

    def _blast(self, writes: tuple[bytes, ...], at: int) -> None:
        """Write one part per turn of the loop: uvloop would join the writes of one turn."""
        if self._transport is None:
            return
        self._transport.write(writes[at])
        if at + 1 < len(writes):
            self._timer = self._loop.call_soon(self._blast, writes, at + 1)

    def _start_paced(self, model: str, deltas: int) -> None:
        if self._transport is not None:
            self._transport.write(_HEAD + http_chunk(streams.paced_head(model)))
            self._paced(0, deltas, self._loop.time())

    def _paced(self, sequence: int, deltas: int, start: float) -> None:
        if self._transport is None:
            return
        if sequence == deltas:
            self._transport.write(http_chunk(streams.paced_tail(deltas)) + _END)
            return
        self._transport.write(http_chunk(streams.paced_delta(sequence, time.monotonic_ns())))
        due = start + (sequence + 1) * streams.PACED_INTERVAL
        self._timer = self._loop.call_at(due, self._paced, sequence + 1, deltas, start)

    def _idle(self) -> None:
        self._timer = self._loop.call_later(streams.IDLE_PING_INTERVAL, self._ping)

    def _ping(self) -> None:
        if self._transport is not None:
            self._transport.write(http_chunk(streams.PING))
            self._idle()


async def serve(host: str, port: int) -> None:
    """Play streams on ``host:port`` until SIGTERM or SIGINT."""
    loop = asyncio.get_running_loop()
    stopping = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stopping.set)
    server = await loop.create_server(lambda: Upstream(loop), host, port, backlog=1024)
    address = server.sockets[0].getsockname()
    sys.stdout.write(f"ready http://{address[0]}:{address[1]}\n")
    sys.stdout.flush()
    await stopping.wait()
    server.close()


def main() -> None:
    """Read the command line and serve."""
    parser = argparse.ArgumentParser(description="The benchmark's scripted upstream.")
    parser.add_argument("--listen", default="127.0.0.1:0", help="HOST:PORT, port 0 for any free one")
    options = parser.parse_args()
    host, _, port = options.listen.rpartition(":")
    gc.disable()  # a collection here would show up as the relay's delay
    uvloop.run(serve(host, int(port)))


if __name__ == "__main__":
    main()
