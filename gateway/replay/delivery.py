"""How an answer's bytes get onto the wire: framing, pace, and where they stop.

The head and the chunk framing are written here and not by aiohttp, for two reasons: an answer must be able to
break off at any byte, and one write for many events is what keeps this server faster than what it tests.
"""

import asyncio
import socket
import struct
from collections.abc import Iterator
from http import HTTPStatus
from typing import Literal

import attrs
from aiohttp import web

from gateway.replay.headers import Headers

_WRITE_SIZE = 64 * 1024

Outcome = Literal["answered", "cut"]


class ClientGoneError(Exception):
    """The client closed its connection before the answer was complete."""


class AlreadySent(web.StreamResponse):
    """Tells aiohttp that the answer is on the wire, and whether the connection may be used again."""

    def __init__(self, *, keep_alive: bool) -> None:
        """Remember whether another request may follow on this connection."""
        super().__init__()
        self._keep_alive = keep_alive

    async def prepare(self, request: web.BaseRequest) -> None:
        """Do nothing: the head was written by ``deliver``."""

    async def write_eof(self, data: bytes = b"") -> None:
        """Do nothing: the end was written by ``deliver``, or left out on purpose."""


@attrs.define
class Answer:
    """A response before it meets the wire: ``pieces`` are its events, or the one body of a JSON answer."""

    status: int
    headers: Headers
    pieces: list[bytes]
    streamed: bool = False


@attrs.frozen
class Mark:
    """Something that happens when ``offset`` body bytes have been sent.

    ``wait`` pauses for ``seconds`` (``None``: until the client goes), ``cut`` drops the connection without the
    end of the body (``reset``: by RST), ``eof`` ends the body properly.
    """

    offset: int
    action: Literal["wait", "cut", "eof"]
    seconds: float | None = None
    reset: bool = False


@attrs.define
class Delivery:
    """Everything about an answer's way onto the wire that is not its bytes."""

    tokens_per_second: float = 0
    marks: list[Mark] = attrs.field(factory=list)
    slice_size: int | None = None
    """Body bytes in one chunk; ``None`` sends one chunk for each piece."""
    bytes_per_second: float | None = None
    close: bool = False
    """Announce and do a close after the answer."""
    drop: bool = False
    """Close after the answer without having announced it."""
    chunked: bool = False
    """Frame a JSON answer in chunks instead of by its length."""
    endless: tuple[bytes, float] | None = None
    """A piece to repeat for ever, with the pause in seconds before each, in place of the body's end."""
    after_end: bytes = b""
    """Bytes that follow the complete response on the same connection."""

    @property
    def plain(self) -> bool:
        """Whether the body can go out as fast as the socket takes it."""
        return not (
            self.tokens_per_second
            or self.marks
            or self.slice_size
            or self.bytes_per_second
            or self.endless is not None
        )


async def deliver(request: web.BaseRequest, answer: Answer, how: Delivery) -> Outcome:
    """Write ``answer`` to the request's connection.

    Raises ``ClientGoneError`` when the connection is found closed while writing; a client that goes during a
    pause cancels the handler instead.
    """
    wire = _Wire(request)
    http_1_1 = request.version >= (1, 1)
    chunked = http_1_1 and (answer.streamed or how.chunked)
    close = how.close or ("connection", "close") in ((name.lower(), value) for name, value in answer.headers)
    keep_alive = request.keep_alive and not close and (http_1_1 or not answer.streamed)
    wire.frame_chunks = chunked
    head = _head(answer, chunked=chunked, keep_alive=keep_alive, http_1_1=http_1_1)
    if request.method == "HEAD":
        await wire.write(head)
    elif how.plain:
        await _send_plain(wire, head, answer.pieces)
    else:
        await wire.write(head)
        if not await _send_stepwise(wire, answer.pieces, how):
            return "cut"
    if how.after_end:
        await wire.write(how.after_end)
    if not keep_alive or how.drop:
        await wire.hang_up()
    return "answered"


async def hang(seconds: float | None) -> None:
    """Wait ``seconds``, or for ever; a client that leaves cancels the wait."""
    if seconds is None:
        await asyncio.get_running_loop().create_future()
    else:
        await asyncio.sleep(seconds)


async def refuse(request: web.BaseRequest) -> None:
    """Close the connection without a byte of an answer."""
    await _Wire(request).cut(reset=False)


def _head(answer: Answer, *, chunked: bool, keep_alive: bool, http_1_1: bool) -> bytes:
    try:
        reason = HTTPStatus(answer.status).phrase
    except ValueError:
        reason = "Overloaded" if answer.status == 529 else "Unknown"  # noqa: PLR2004 - not a registered status
    lines = [f"HTTP/1.1 {answer.status} {reason}"]
    lines.extend(f"{name}: {value}" for name, value in answer.headers if name.lower() != "connection")
    if chunked:
        lines.append("Transfer-Encoding: chunked")
    elif not answer.streamed:
        lines.append(f"Content-Length: {sum(map(len, answer.pieces))}")
    if keep_alive:
        lines.append("Connection: keep-alive")
    elif http_1_1:
        lines.append("Connection: close")
    return "\r\n".join([*lines, "", ""]).encode("utf-8", "surrogateescape")


async def _send_plain(wire: "_Wire", head: bytes, pieces: list[bytes]) -> None:
    waiting = [head]
    size = len(head)
    for piece in pieces:
        waiting.append(wire.frame(piece))
        size += len(piece)
        if size >= _WRITE_SIZE:
            await wire.write(b"".join(waiting))
            waiting, size = [], 0
    waiting.append(wire.end)
    await wire.write(b"".join(waiting))


async def _send_stepwise(wire: "_Wire", pieces: list[bytes], how: Delivery) -> bool:
    """Send the body with its pauses and marks; return whether the response was ended properly."""
    schedule = _Schedule()
    for step in steps(pieces, how.marks, how.slice_size):
        match step:
            case bytes():
                await schedule.pause(_pause_before(step, how))
                await wire.write(wire.frame(step))
                if how.slice_size:
                    # One turn of the loop for each slice, else the kernel joins them again.
                    await asyncio.sleep(0)
            case Mark(action="wait", seconds=seconds):
                await hang(seconds)
            case Mark(action="eof"):
                break
            case Mark(reset=reset):
                await wire.cut(reset=reset)
                return False
    while how.endless is not None:
        piece, seconds = how.endless
        await asyncio.sleep(seconds)
        await wire.write(wire.frame(piece))
    await wire.write(wire.end)
    return True


def _pause_before(step: bytes, how: Delivery) -> float:
    if how.bytes_per_second:
        return len(step) / how.bytes_per_second
    if how.tokens_per_second and step.startswith(b"event: content_block_delta"):
        return 1 / how.tokens_per_second
    return 0


class _Schedule:
    """Pauses measured from one due time to the next, so that late wake-ups do not add up."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._due = self._loop.time()

    async def pause(self, seconds: float) -> None:
        if seconds:
            # After a long stall (a hang, a slow reader) the schedule starts anew instead of catching up.
            self._due = max(self._due + seconds, self._loop.time() - seconds)
            await asyncio.sleep(self._due - self._loop.time())


def steps(pieces: list[bytes], marks: list[Mark], slice_size: int | None = None) -> Iterator[bytes | Mark]:
    """Yield what to send and what to do, in order: pieces (split where a mark stands inside one) and marks."""
    pending = sorted(marks, key=lambda mark: mark.offset)
    sent = 0
    for piece in pieces:
        start = 0
        while pending and pending[0].offset < sent + len(piece):
            mark = pending.pop(0)
            stop = max(mark.offset - sent, start)
            yield from _slices(piece[start:stop], slice_size)
            yield mark
            start = stop
        yield from _slices(piece[start:], slice_size)
        sent += len(piece)
    yield from pending


def _slices(data: bytes, size: int | None) -> Iterator[bytes]:
    if size is None:
        if data:
            yield data
        return
    for start in range(0, len(data), size):
        yield data[start : start + size]


@attrs.define
class _Wire:
    """The connection of one request."""

    request: web.BaseRequest
    frame_chunks: bool = False

    def frame(self, data: bytes) -> bytes:
        """Return body bytes as they travel; an empty chunk would end the body, so it becomes nothing."""
        if not self.frame_chunks or not data:
            return data
        return b"%x\r\n%b\r\n" % (len(data), data)

    @property
    def end(self) -> bytes:
        """What ends the body."""
        return b"0\r\n\r\n" if self.frame_chunks else b""

    def _transport(self) -> asyncio.Transport:
        transport = self.request.transport
        if transport is None or transport.is_closing():
            raise ClientGoneError
        return transport

    async def write(self, data: bytes) -> None:
        """Write and wait while the client reads too slowly."""
        self._transport().write(data)
        await self._drained()

    async def _drained(self) -> None:
        try:
            await self.request.writer.drain()
        except ConnectionError:
            raise ClientGoneError from None

    async def flush(self) -> None:
        """Wait until the kernel has every byte written so far."""
        self._transport().set_write_buffer_limits(high=0)
        await self._drained()

    async def cut(self, *, reset: bool) -> None:
        """Drop the connection after what was written, leaving the body without its end."""
        await self.flush()
        transport = self._transport()
        if reset:
            # Linger on with zero seconds makes the kernel answer with RST instead of FIN (socket(7)).
            transport.get_extra_info("socket").setsockopt(
                socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0)
            )
        transport.abort()

    async def hang_up(self) -> None:
        """Close the connection once everything written has left."""
        self._transport().close()
