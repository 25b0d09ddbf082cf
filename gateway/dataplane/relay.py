"""After the commit point: bytes from upstream to client, through the guard.

The loop reads what is there, asks the guard, and writes. It logs nothing and touches no database. Time is
watched by one timer per stream that looks at the clock every few seconds, rather than by a timer per read.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from typing import Final, Protocol

import aiohttp
from aiohttp import HttpVersion11, web

from gateway.config import Timeouts
from gateway.dataplane.answers import OpenBody
from gateway.dataplane.upstream import NETWORK_ERRORS
from sse_fsm import EndReason, Mode, Outcome, State, StreamGuard, Verdict

__all__ = ["BodyRelay", "ClientGone", "Relay", "Source", "StreamRelay", "StreamToRelay"]

_JOIN_BELOW: Final = 16 * 1024  # bytes that are cheaper to copy than to hand over in three pieces
_END_WAIT: Final = 0.05  # seconds for the upstream's connection to end in order behind the last event

Settle = Callable[[Verdict], Awaitable[None]]
"""Makes the request's record durable; awaited before the stream's last event leaves."""
BodySettle = Callable[[EndReason], Awaitable[None]]
"""The same for an answer that is no stream; awaited before its end leaves."""


class ClientGone(Exception):  # noqa: N818 - no error, but the most ordinary end of a stream
    """The client closed its connection, or was given up because it takes nothing."""


class Relay(Protocol):
    """An answer on its way, which a shutdown can end."""

    def end(self, reason: EndReason) -> None:
        """End the answer from outside."""
        ...


class Source(Protocol):
    """Where a stream comes from."""

    def close(self) -> None:
        """End it at once; reading then comes to an end too."""
        ...


class StreamToRelay(Protocol):
    """An open stream; `OpenStream` says what the parts mean."""

    guard: StreamGuard
    held: list[bytes]
    terminal: bytes
    silent: bool

    @property
    def response(self) -> Source:
        """What the bytes come from."""
        ...

    @property
    def read(self) -> Callable[[], Awaitable[bytes]]:
        """Returns the next bytes, empty at the end."""
        ...


class StreamRelay:
    """One stream on its way to one client."""

    def __init__(
        self, request: web.BaseRequest, opened: StreamToRelay, response: web.StreamResponse, timeouts: Timeouts
    ) -> None:
        """Take over an open stream; `response` is prepared and is the answer to `request`."""
        self._loop = asyncio.get_running_loop()
        self._request = request
        self._opened = opened
        self._response = response
        self._timeouts = timeouts
        self._client = _Client(request)
        self._heard = self._loop.time()  # when the upstream last spoke, or was last kept waiting by the client
        self._told = self._heard  # when the client last got a byte
        self._ends_at = self._heard + timeouts.stream_total_seconds
        self._writing = False
        self._stopping_since: float | None = None
        self._reason: EndReason | None = None
        self._timer: asyncio.TimerHandle | None = None
        self.longest_gap = 0.0
        """Longest upstream silence in seconds."""

    @property
    def heard(self) -> float:
        """When the upstream last spoke, or was last kept waiting by the client, on the event loop's clock."""
        return self._heard

    async def run(self, settle: Settle) -> Verdict:
        """Relay until the end and return the verdict. The upstream connection is closed or given back.

        Raises:
            ClientGone: writing failed. More often the server cancels the handler first.
        """
        self._arm()
        try:
            return await self._relay(settle)
        except (ClientGone, ConnectionError):
            raise
        except Exception:
            # A defect of ours: it is reported above, but first the client's stream gets a legal end.
            await self._end_after_defect()
            raise
        finally:
            self._disarm()
            self._opened.response.close()

    async def _relay(self, settle: Settle) -> Verdict:
        opened = self._opened
        await self._begin()
        if not opened.terminal:
            await self._pump()
        if opened.terminal.endswith(b"\r"):
            opened.terminal += await self._end_of_line()
        tail, verdict = opened.guard.finish(self._reason or EndReason.EOF)
        opened.terminal += tail
        await settle(verdict)
        if opened.guard.mode is Mode.OBSERVE and self._reason not in (None, EndReason.EOF):
            # What was cut must look cut.
            _abort(self._request)
            return verdict
        if opened.terminal:
            last, opened.terminal = opened.terminal, b""
            await self._write(last)
        await self._write_eof()
        if verdict.outcome is Outcome.COMPLETE:
            await self._end_upstream()
        return verdict

    async def _end_after_defect(self) -> None:
        opened = self._opened
        with contextlib.suppress(Exception):
            tail, _ = opened.guard.finish(EndReason.CUT)
            if last := opened.terminal + tail:
                await self._write(last)
            await self._write_eof()

    def end(self, reason: EndReason) -> None:
        """End the stream from outside; the client gets a legal ending."""
        if self._reason is None:
            self._reason = reason
            self._opened.response.close()

    async def _begin(self) -> None:
        opened = self._opened
        held = b"".join(opened.held)
        opened.held.clear()
        if opened.silent:
            held += opened.guard.ping()
        if held:
            await self._write(held)

    async def _write(self, data: bytes) -> None:
        self._writing = True
        try:
            await self._response.write(data)
        except NETWORK_ERRORS:
            raise ClientGone from None
        self._writing = False
        self._heard = self._told = self._loop.time()

    async def _write_eof(self) -> None:
        self._writing = True
        try:
            await self._response.write_eof()
        except NETWORK_ERRORS:
            raise ClientGone from None

    async def _pump(self) -> None:
        """Move bytes until the guard, the upstream or a timer says that it is over."""
        opened = self._opened
        read, feed, clock, client = opened.read, opened.guard.feed, self._loop.time, self._client
        try:
            while True:
                chunk = await read()
                if not chunk:
                    self._reason = self._reason or EndReason.EOF
                    return
                now = clock()
                if now - self._heard > self.longest_gap:  # noqa: PLR1730 - a call costs more than a comparison
                    self.longest_gap = now - self._heard
                self._heard = now
                step = feed(chunk)
                if step.data:
                    client.write(step.data)
                    self._told = now
                    if client.is_slow:
                        self._writing = True
                        await client.drain()
                        self._writing = False
                        # A slow client keeps the upstream waiting, which is no silence of the upstream's.
                        self._heard = self._told = clock()
                if step.terminal:
                    opened.terminal = step.terminal
                    return
        except NETWORK_ERRORS:
            if self._writing:
                raise ClientGone from None
            self._reason = self._reason or EndReason.CUT

    async def _end_of_line(self) -> bytes:
        """Return the LF of a CR LF whose CR ended the last event, if it comes."""
        try:
            async with asyncio.timeout(_END_WAIT):
                chunk = await self._opened.read()
        except (TimeoutError, *NETWORK_ERRORS):
            return b""
        return self._opened.guard.feed(chunk).terminal

    async def _end_upstream(self) -> None:
        """Let the upstream finish its HTTP answer, so that its connection can serve again."""
        response = self._opened.response
        if not isinstance(response, aiohttp.ClientResponse):
            return
        try:
            async with asyncio.timeout(_END_WAIT):
                await response.content.readany()
        except (TimeoutError, *NETWORK_ERRORS):
            return
        if response.content.at_eof():
            response.release()

    def _arm(self) -> None:
        limits = self._timeouts
        now = self._loop.time()
        wake = min(self._ends_at, now + limits.stop_grace_seconds)
        if self._writing:
            wake = min(wake, now + limits.ping_interval_seconds)
        else:
            wake = min(wake, self._told + limits.ping_interval_seconds, self._heard + limits.upstream_idle_seconds)
        self._timer = self._loop.call_at(wake, self._tick)

    def _disarm(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _tick(self) -> None:
        now = self._loop.time()
        if now >= self._ends_at:
            self.end(EndReason.TIMEOUT)
        elif not self._writing:
            if now - self._heard >= self._timeouts.upstream_idle_seconds or self._lingers(now):
                self.end(EndReason.TIMEOUT)
            elif now - self._told >= self._timeouts.ping_interval_seconds:
                self._ping(now)
        if self._reason is None:
            self._arm()

    def _lingers(self, now: float) -> bool:
        """Whether the message has been over for too long, but for the event that says so."""
        guard = self._opened.guard
        over = guard.state is State.ENDING and guard.machine.stop_reason is not None
        if not over or guard.mode is Mode.OBSERVE:
            self._stopping_since = None
            return False
        if self._stopping_since is None:
            self._stopping_since = now
        return now - self._stopping_since >= self._timeouts.stop_grace_seconds

    def _ping(self, now: float) -> None:
        self._told = now
        ping = self._opened.guard.ping()
        if ping:
            # From a timer, where nothing can be awaited: 40 bytes need no back-pressure. That the client has
            # gone the relay learns by itself.
            with contextlib.suppress(ClientGone):
                self._client.write(ping)


class _Client:
    """Writes pieces of a response body without the detour through aiohttp's response.

    Its head and its end are aiohttp's; in between each piece is one chunk and, if it is small, one write.
    """

    def __init__(self, request: web.BaseRequest) -> None:
        self._protocol = request.protocol
        self._drain = request.writer.drain
        self._chunked = request.version >= HttpVersion11

    @property
    def is_slow(self) -> bool:
        """Whether more is waiting to be sent than should."""
        return self._protocol.writing_paused

    async def drain(self) -> None:
        """Wait until the client has taken enough."""
        await self._drain()

    def write(self, data: bytes) -> None:
        """Send `data`, which is not empty.

        Raises:
            ClientGone: the connection is closed.
        """
        transport = self._protocol.transport
        if transport is None or transport.is_closing():
            raise ClientGone
        if not self._chunked:
            transport.write(data)
        elif len(data) < _JOIN_BELOW:
            transport.write(b"%x\r\n%b\r\n" % (len(data), data))
        else:
            transport.writelines((b"%x\r\n" % len(data), data, b"\r\n"))


class BodyRelay:
    """An answer that is no stream and too large to be held, on its way to one client."""

    def __init__(
        self, request: web.BaseRequest, opened: OpenBody, response: web.StreamResponse, timeouts: Timeouts
    ) -> None:
        """Take over an open answer; `response` is prepared and is the answer to `request`."""
        self._request = request
        self._opened = opened
        self._response = response
        self._timeouts = timeouts
        self._reason: EndReason | None = None
        self.bytes_in = 0
        """From the upstream."""
        self.bytes_out = 0
        """Handed to the client's connection."""

    async def run(self, settle: BodySettle) -> None:
        """Relay until the end. The upstream connection is closed or given back.

        A body that breaks off reaches the client as one that breaks off: the connection is cut, not ended.

        Raises:
            ClientGone: writing failed.
        """
        try:
            try:
                async with asyncio.timeout(self._timeouts.stream_total_seconds):
                    reason = await self._pump()
            except TimeoutError:
                reason = EndReason.TIMEOUT
            await settle(reason)
            if reason is EndReason.EOF:
                await self._write_eof()
            else:
                _abort(self._request)
        finally:
            self._opened.response.close()

    def end(self, reason: EndReason) -> None:
        """End the answer from outside; to the client it looks cut off, which it is."""
        if self._reason is None:
            self._reason = reason
            self._opened.response.close()

    async def _pump(self) -> EndReason:
        """Move bytes; return how the upstream's answer ended."""
        for part in self._opened.held:
            await self._write(part)
        self._opened.held.clear()
        while True:
            try:
                async with asyncio.timeout(self._timeouts.upstream_idle_seconds):
                    chunk = await self._opened.response.content.readany()
            except TimeoutError:
                return EndReason.TIMEOUT
            except NETWORK_ERRORS:
                return self._reason or EndReason.CUT
            if not chunk:
                return EndReason.EOF
            await self._write(chunk)

    async def _write(self, data: bytes) -> None:
        try:
            self.bytes_in += len(data)
            await self._response.write(data)
            self.bytes_out += len(data)
        except NETWORK_ERRORS:
            raise ClientGone from None

    async def _write_eof(self) -> None:
        try:
            await self._response.write_eof()
        except NETWORK_ERRORS:
            raise ClientGone from None


def _abort(request: web.BaseRequest) -> None:
    if request.transport is not None:
        request.transport.abort()
