"""A client's connection and one to the upstream, joined: bytes go through as they are, in both directions.

Each client connection has an upstream connection of its own. What either side does to its own, such as closing it
between two requests or in the middle of a body, therefore happens to the other as well, and what HTTP says about
the connection alone (`Connection`, `Keep-Alive`, `Transfer-Encoding`, `Expect`, interim answers) stays true on the
way. Messages are followed only to know where they end.
"""

from __future__ import annotations

import asyncio
import socket
import struct
from collections.abc import Callable
from contextlib import suppress
from typing import Any, Final
from weakref import WeakValueDictionary

from gateway.dataplane.forwarder import Forwarder, GiveBack, Way, way_of
from gateway.dataplane.upstream import UpstreamFault
from gateway.wire.errors import ApiError
from gateway.wire.http1 import FramingError, RequestHead, request_head_end, request_start
from gateway.wire.http1_exchange import Exchange

__all__ = ["ForwardedConnection"]

_HELD: Final = 64 * 1024
"""Bytes of a client that are kept while they cannot go on; more are not read."""
_MOST_LINES: Final = 1000
"""Of a request head: reading lines takes time that others wait for."""
_LINGER_SECONDS: Final = 2.0
_LONGEST_LINGER_SECONDS: Final = 30.0
_RESET: Final = struct.pack("ii", 1, 0)


class _UpstreamSide(asyncio.Protocol):
    """The upstream's end of a joined connection."""

    def __init__(self, joined: ForwardedConnection, own_ways: WeakValueDictionary[Way, asyncio.Protocol]) -> None:
        self._joined = joined
        self._own_ways = own_ways
        self._way: Way | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._way = way_of(transport, opened_here=True)
        self._own_ways[self._way] = self
        self._joined.upstream_made(transport)  # ty: ignore[invalid-argument-type]  # a stream's

    def data_received(self, data: bytes) -> None:
        self._joined.upstream_received(data)

    def eof_received(self) -> bool:
        return self._joined.upstream_ended()

    def connection_lost(self, exc: Exception | None) -> None:
        if self._way is not None:
            self._own_ways.pop(self._way, None)
        self._joined.upstream_lost(exc)

    def pause_writing(self) -> None:
        self._joined.hold_client(full=True)

    def resume_writing(self) -> None:
        self._joined.hold_client(full=False)


class ForwardedConnection(asyncio.Protocol):
    """A client connection whose requests go on to the upstream, one after the other."""

    def __init__(
        self, forwarder: Forwarder, client: asyncio.Transport, give_back: GiveBack, *, writing_paused: bool
    ) -> None:
        """Take over `client`; to be made its protocol, and then given what has been read from it."""
        self._forwarder = forwarder
        self._give_back = give_back
        self._loop = asyncio.get_running_loop()
        self._client: asyncio.Transport | None = client
        self._client_ended = False
        self._client_full = writing_paused
        self._client_held = False
        self._upstream: asyncio.Transport | None = None
        self._upstream_ended = False
        self._upstream_full = False
        self._connecting: asyncio.Task[None] | None = None
        self._arrived = bytearray()
        """From the client, still to be dealt with."""
        self._for_upstream = b""
        """A head that waits for the connection."""
        self._exchange: Exchange | None = None
        self._tunnel = False
        self._closing = False
        """Nothing more is to be done but to let the client have its last bytes."""
        self._in_head = False
        self._linger_end = 0.0
        self._moved = 0.0
        self._timer: asyncio.TimerHandle | None = None

    # The client's side

    def data_received(self, data: bytes) -> None:
        """Send on what a client sends, as far as it is its turn."""
        self._moved = self._loop.time()
        if self._closing:
            return
        if self._tunnel:
            if self._upstream is not None:
                self._upstream.write(data)
            return
        exchange = self._exchange
        if exchange is None or exchange.request.done or self._upstream is None or self._arrived:
            self._arrived += data
            self._proceed()
        else:
            self._send_on(exchange, data)

    def eof_received(self) -> bool:
        """End what the upstream gets as well: it may take its client for gone, or answer all the same."""
        if self._closing or (self._exchange is None and not self._tunnel):
            return False
        self._client_ended = True
        if self._upstream is None:
            return self._connecting is not None
        return not self._upstream_ended and self._end_upstream()

    def connection_lost(self, exc: Exception | None) -> None:
        """Take the upstream's connection along."""
        self._client = None
        self._stop_timer()
        if self._connecting is not None:
            self._connecting.cancel()
        upstream, self._upstream = self._upstream, None
        if upstream is not None and (exc is not None or (self._exchange is not None and not self._tunnel)):
            upstream.abort()
        elif upstream is not None:
            upstream.close()
            self._loop.call_later(_LINGER_SECONDS, upstream.abort)
        self._forwarder.forget(self)

    def pause_writing(self) -> None:
        """Read no more from the upstream than the client takes."""
        self._client_full = True
        if self._upstream is not None and not self._upstream.is_closing():
            self._upstream.pause_reading()

    def resume_writing(self) -> None:
        """Go on reading."""
        self._client_full = False
        if self._upstream is not None and not self._upstream.is_closing():
            self._upstream.resume_reading()
        if self._exchange is None and self._arrived:
            self._proceed()

    def hold_client(self, *, full: bool | None = None) -> None:
        """Read from the client only what can go on, and a little more to notice it when it leaves."""
        if full is not None:
            self._upstream_full = full
        enough = self._forwarder.longest_head if self._exchange is None else _HELD
        hold = self._upstream_full or len(self._arrived) > enough
        if hold is self._client_held or self._client is None or self._client.is_closing():
            return
        self._client_held = hold
        if hold:
            self._client.pause_reading()
        else:
            self._client.resume_reading()

    def _proceed(self) -> None:
        """Deal with what has arrived, as far as that is possible now."""
        while self._arrived and not self._closing:
            exchange = self._exchange
            if exchange is None:
                if not self._begin():
                    break
            elif exchange.request.done or self._upstream is None:
                break
            else:
                data = bytes(self._arrived)
                self._arrived.clear()
                self._send_on(exchange, data)
        self.hold_client()

    def _begin(self) -> bool:
        """Begin with the next request; return whether its head was there."""
        arrived = self._arrived
        del arrived[: request_start(arrived)]
        claimed = self._forwarder.claims(arrived) if arrived else None
        if claimed is False:
            self._return_client()
            return False
        end = request_head_end(arrived) if claimed else 0
        if end:
            return self._begin_with(end)
        if len(arrived) > self._forwarder.longest_head:
            self.refuse(ApiError(431, "The request head is too long."))
        elif arrived and not self._in_head:
            self._in_head = True
            self._start_timer(self._forwarder.waits.head, self._expire_head)
        return False

    def _begin_with(self, end: int) -> bool:
        """Begin with the request whose head ends there; return whether it goes on."""
        arrived, client = self._arrived, self._client
        if client is None:
            return False
        try:
            if end > self._forwarder.longest_head or arrived.count(b"\n", 0, end) > _MOST_LINES:
                raise ApiError(431, "The request head is too long.")  # noqa: TRY301 - as those from elsewhere
            head = RequestHead.parse(bytes(arrived[:end]))
            self._exchange = Exchange.begin(head, self._forwarder.longest_head)
            rewritten = self._forwarder.head_for_upstream(head, client)
        except FramingError as error:
            self.refuse(ApiError(400, f"The request is not valid HTTP: {error}."))
            return False
        except ApiError as error:
            self.refuse(error)
            return False
        del arrived[:end]
        self._in_head = False
        self._start_timer(self._forwarder.waits.idle, self._expire_idle)
        if self._upstream is not None:
            self._upstream.write(rewritten)
        else:
            self._for_upstream = rewritten
            self._connecting = self._forwarder.start(self)
        return True

    def _send_on(self, exchange: Exchange, data: bytes) -> None:
        """Send on what of these bytes belongs to the body of the request."""
        try:
            end = exchange.request.take(data)
        except FramingError as error:
            self.refuse(ApiError(400, f"The request is not valid HTTP: {error}."))
            return
        if self._upstream is not None:
            self._upstream.write(data if end == len(data) else data[:end])
        if end < len(data):
            self._arrived += data[end:]
        self._finish(exchange)

    def _return_client(self) -> None:
        """Give the connection back to where other requests are served."""
        client = self._client
        # Whoever takes it over knows nothing of bytes that still wait for the client to take them.
        if client is None or self._client_full:
            return
        self._client = None
        self._stop_timer()
        self._drop_upstream()
        self._forwarder.forget(self)
        if self._client_held:
            client.resume_reading()
        self._give_back(client, bytes(self._arrived))

    # The upstream's side

    async def connect(self) -> None:
        """Open the upstream connection; a client without one is told so."""
        try:
            await self._forwarder.connect(lambda: _UpstreamSide(self, self._forwarder.own_ways))
        except UpstreamFault as fault:
            self.refuse(ApiError(504 if fault.timed_out else 502, fault.message))
        finally:
            self._connecting = None

    def upstream_made(self, transport: asyncio.Transport) -> None:
        """Send on what has arrived by now."""
        # uvloop tells nobody of the end of a connection that is made while its making is cancelled.
        self._connecting = None
        if self._client is None or self._closing:
            transport.abort()
            return
        self._upstream = transport
        if self._client_full:
            transport.pause_reading()
        transport.write(self._for_upstream)
        self._for_upstream = b""
        self._proceed()
        if self._client_ended and not self._end_upstream():
            self._close_client()

    def upstream_received(self, data: bytes) -> None:
        """Pass on what the upstream answers."""
        self._moved = self._loop.time()
        client, exchange = self._client, self._exchange
        if client is None or self._closing:
            return
        if self._tunnel:
            client.write(data)
        elif exchange is None:
            # Nobody has asked for anything; the client would take it for the answer to its next request.
            self._close_client()
        else:
            self._pass_on(client, exchange, data)

    def _pass_on(self, client: asyncio.Transport, exchange: Exchange, data: bytes) -> None:
        try:
            client.write(exchange.take_answer(data))
        except FramingError as error:
            self._break_off(ApiError(502, f"The upstream's answer is not valid HTTP: {error}."))
            return
        if exchange.switched:
            self._open_tunnel()
        elif exchange.excess:
            self._close_client()
        else:
            self._finish(exchange)

    def _open_tunnel(self) -> None:
        self._tunnel = True
        # A client that has closed its half has nothing more, and an ended transport takes not even that.
        if self._upstream is not None and self._arrived:
            self._upstream.write(bytes(self._arrived))
        self._arrived.clear()
        self.hold_client()

    def upstream_ended(self) -> bool:
        """Let the client see that no more will come."""
        client, exchange = self._client, self._exchange
        if client is None or self._closing:
            return False
        self._upstream_ended = True
        if (
            self._tunnel
            and self._upstream is not None
            and self._upstream.can_write_eof()
            and not self._client_ended
        ):
            _write_eof(client)
            return True
        upstream, self._upstream = self._upstream, None
        if upstream is not None and upstream.get_write_buffer_size():
            # Closing would wait for an upload to be taken that nobody is interested in any more.
            upstream.abort()
        if exchange is not None and exchange.held:
            client.write(exchange.held)
        self._close_client()
        return False

    def upstream_lost(self, exc: Exception | None) -> None:
        """Let the client see a cut as one."""
        lost, self._upstream = self._upstream, None
        client, exchange = self._client, self._exchange
        if lost is None or client is None or self._closing:
            return
        if exchange is not None and exchange.ends_with_connection:
            # An ordinary end of the connection would look like the end of such a body.
            self._reset_client()
        elif self._tunnel and exc is not None:
            self._reset_client()
        else:
            if exchange is not None and exchange.held:
                client.write(exchange.held)
            self._close_client()

    # Ends

    def _finish(self, exchange: Exchange) -> None:
        """Make room for the next request if this one and its answer are over."""
        if not exchange.done:
            return
        self._exchange = None
        if self._forwarder.draining or (self._client_ended and not self._arrived):
            self._close_client()
            return
        self._start_timer(self._forwarder.waits.between, self._close_client)
        if self._arrived:
            self._proceed()

    def refuse(self, error: ApiError) -> None:
        """Answer in the gateway's own name, or break off an answer that has begun."""
        client, exchange = self._client, self._exchange
        if client is None or self._closing:
            return
        if exchange is not None and exchange.response is not None:
            self._reset_client()
            return
        client.write(self._forwarder.answer(error, with_body=exchange is None or exchange.method != b"HEAD"))
        self._close_client(linger=exchange is None or not exchange.request.done)

    def _break_off(self, error: ApiError) -> None:
        self._drop_upstream()
        self.refuse(error)

    def hurry(self) -> None:
        """Close the connection when what is under way is over, at once if nothing is."""
        if self._exchange is None and not self._tunnel and not self._arrived:
            self._close_client()

    def abort(self) -> None:
        """Give up what is under way."""
        if self._client is not None:
            self._client.abort()

    def _reset_client(self) -> None:
        """Cut the connection so that nobody can take it for an ordinary end."""
        client = self._client
        if client is None:
            return
        self._closing = True
        self._drop_upstream()
        connection: Any = client.get_extra_info("socket")
        if connection is not None:
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
        client.abort()

    def _close_client(self, *, linger: bool = False) -> None:
        """Close the connection once the client has taken its last bytes.

        One that is still sending would have them torn away by a reset, so it is listened to for a while.
        """
        client, exchange = self._client, self._exchange
        if client is None or self._closing:
            return
        self._closing = True
        self._drop_upstream()
        linger = linger or bool(self._arrived) or (exchange is not None and not exchange.request.done)
        self._arrived.clear()
        if linger and not self._client_ended:
            _write_eof(client)
            self.hold_client(full=False)
            self._linger_end = self._loop.time() + _LONGEST_LINGER_SECONDS
            self._start_timer(_LINGER_SECONDS, self._expire_linger)
        else:
            self._start_timer(self._forwarder.waits.idle, self.abort)
            client.close()

    def _drop_upstream(self) -> None:
        if self._connecting is not None and self._connecting is not asyncio.current_task():
            self._connecting.cancel()
        upstream, self._upstream = self._upstream, None
        if upstream is not None:
            upstream.abort()

    def _end_upstream(self) -> bool:
        """Pass on the client's end; return whether there may still be an answer to wait for."""
        upstream = self._upstream
        if upstream is None or not upstream.can_write_eof() or upstream.is_closing():
            # TLS has no half of a connection to close; a client that has gone must not be worked for.
            return False
        if not self._arrived:
            _write_eof(upstream)
        return True

    # Time

    def _start_timer(self, seconds: float, expire: Callable[[], None]) -> None:
        self._stop_timer()
        self._moved = self._loop.time()
        self._timer = self._loop.call_later(seconds, expire)

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _expire_head(self) -> None:
        self.refuse(ApiError(408, "The request head did not arrive in time."))

    def _expire_linger(self) -> None:
        """Give up a client that has stopped sending, or never does; many read nothing until they have sent all."""
        now = self._loop.time()
        left = self._moved + _LINGER_SECONDS - now
        if left > 0 and now < self._linger_end:
            self._timer = self._loop.call_later(left, self._expire_linger)
        else:
            self.abort()

    def _expire_idle(self) -> None:
        left = self._moved + self._forwarder.waits.idle - self._loop.time()
        if left > 0:
            self._timer = self._loop.call_later(left, self._expire_idle)
        elif self._tunnel:
            self.abort()
        else:
            self._break_off(ApiError(504, "The upstream did not answer in time."))


def _write_eof(transport: asyncio.Transport) -> None:
    """Say that no more will come, unless the other side has gone, which its reader will be told."""
    with suppress(OSError):
        transport.write_eof()
