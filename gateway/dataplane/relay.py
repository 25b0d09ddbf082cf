"""After the commit point: bytes from upstream to client, through the guard.

The loop reads what is there, asks the guard, and writes. It logs nothing and touches no database. Time is
watched by one timer per stream that looks at the clock every few seconds, rather than by a timer per read.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Final

from aiohttp import HttpVersion11, web

from gateway.config import Timeouts
from gateway.dataplane.answers import OpenBody, OpenStream
from gateway.dataplane.upstream import NETWORK_ERRORS
from sse_fsm import EndReason, Mode, Outcome, Verdict

__all__ = ["ClientGone", "StreamRelay", "relay_body"]

_END_WAIT: Final = 0.05  # seconds for the upstream's connection to end in order behind the last event

Settle = Callable[[Verdict], Awaitable[None]]
"""Makes the request's record durable; awaited before the stream's last event leaves."""


class ClientGone(Exception):  # noqa: N818 - no error, but the most ordinary end of a stream
    """The client closed its connection."""


class StreamRelay:
    """One stream on its way to one client."""

    def __init__(
        self, request: web.BaseRequest, opened: OpenStream, response: web.StreamResponse, timeouts: Timeouts
    ) -> None:
        """Take over an open stream; `response` is prepared and is the answer to `request`."""
        self._loop = asyncio.get_running_loop()
        self._request = request
        self._opened = opened
        self._response = response
        self._timeouts = timeouts
        self._chunked = request.version >= HttpVersion11
        self._heard = self._loop.time()
        self._told = self._heard  # when the client last got a byte
        self._ends_at = self._heard + timeouts.stream_total_seconds
        self._writing_since: float | None = None
        self._reason: EndReason | None = None
        self._timer: asyncio.TimerHandle | None = None
        self.longest_gap = 0.0
        """Longest upstream silence in seconds."""

    async def run(self, settle: Settle) -> Verdict:
        """Relay until the end and return the verdict. The upstream connection is closed or given back.

        Raises:
            ClientGone: writing failed. More often the server cancels the handler first.
        """
        opened = self._opened
        self._arm()
        try:
            await self._begin()
            if not opened.terminal:
                await self._pump()
            tail, verdict = opened.guard.finish(self._reason or EndReason.EOF)
            await settle(verdict)
            if opened.guard.mode is Mode.OBSERVE and self._reason not in (None, EndReason.EOF):
                # What was cut must look cut.
                self._abort_client()
                return verdict
            if last := opened.terminal + tail:
                await self._write(last)
            await self._response.write_eof()
            if verdict.outcome is Outcome.COMPLETE:
                await self._end_upstream()
            return verdict
        finally:
            self._disarm()
            opened.response.close()

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
        self._writing_since = self._told = self._loop.time()
        try:
            await self._response.write(data)
        except NETWORK_ERRORS:
            raise ClientGone from None
        self._writing_since = None

    async def _pump(self) -> None:
        """Move bytes until the guard, the upstream or a timer says that it is over."""
        opened = self._opened
        read, feed, write, clock = opened.read, opened.guard.feed, self._response.write, self._loop.time
        try:
            while True:
                chunk = await read()
                if not chunk:
                    self._reason = self._reason or EndReason.EOF
                    return
                now = clock()
                self.longest_gap = max(self.longest_gap, now - self._heard)
                self._heard = now
                step = feed(chunk)
                if step.data:
                    self._writing_since = self._told = now
                    await write(step.data)
                    self._writing_since = None
                if step.terminal:
                    opened.terminal = step.terminal
                    return
        except NETWORK_ERRORS:
            if self._writing_since is not None:
                raise ClientGone from None
            self._reason = self._reason or EndReason.CUT

    async def _end_upstream(self) -> None:
        """Let the upstream finish its HTTP answer, so that its connection can serve again."""
        response = self._opened.response
        try:
            async with asyncio.timeout(_END_WAIT):
                await response.content.readany()
        except (TimeoutError, *NETWORK_ERRORS):
            return
        if response.content.at_eof():
            response.release()

    def _arm(self) -> None:
        limits = self._timeouts
        if self._writing_since is not None:
            wake = self._writing_since + limits.client_stalled_seconds
        else:
            wake = min(
                self._told + limits.ping_interval_seconds,
                self._heard + limits.upstream_idle_seconds,
                self._ends_at,
            )
        self._timer = self._loop.call_at(wake, self._tick)

    def _disarm(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _tick(self) -> None:
        now = self._loop.time()
        limits = self._timeouts
        if self._writing_since is not None:
            if now - self._writing_since >= limits.client_stalled_seconds:
                self._abort_client()
                return
        elif now >= self._ends_at or now - self._heard >= limits.upstream_idle_seconds:
            self.end(EndReason.TIMEOUT)
            return
        elif now - self._told >= limits.ping_interval_seconds:
            self._ping(now)
        self._arm()

    def _ping(self, now: float) -> None:
        self._told = now
        ping = self._opened.guard.ping()
        transport = self._request.transport
        if ping and transport is not None:
            # Written from a timer, where nothing can be awaited: 40 bytes need no back-pressure.
            transport.write(b"%x\r\n%b\r\n" % (len(ping), ping) if self._chunked else ping)

    def _abort_client(self) -> None:
        transport = self._request.transport
        if transport is not None:
            transport.abort()


async def relay_body(
    request: web.BaseRequest, opened: OpenBody, response: web.StreamResponse, timeouts: Timeouts
) -> bool:
    """Send an answer that is no stream; return whether it is whole.

    A body that breaks off reaches the client as one that breaks off: the connection is cut, not ended.
    """
    complete = opened.complete
    try:
        await response.prepare(request)
        for part in opened.held:
            await response.write(part)
        while not complete:
            try:
                async with asyncio.timeout(timeouts.upstream_idle_seconds):
                    chunk = await opened.response.content.readany()
            except (TimeoutError, *NETWORK_ERRORS):
                if request.transport is not None:
                    request.transport.abort()
                return False
            if chunk:
                await response.write(chunk)
            else:
                complete = True
        await response.write_eof()
        return True
    finally:
        opened.response.close()
