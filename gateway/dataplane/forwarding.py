"""A client's connection and one to the upstream, joined: bytes go through as they are, in both directions.

Each client connection has an upstream connection of its own. What either side does to its own, such as closing it
between two requests or in the middle of a body, therefore happens to the other as well, and what HTTP says about
the connection alone (`Connection`, `Keep-Alive`, `Transfer-Encoding`, `Expect`, interim answers) stays true on the
way. Messages are followed only to know where they end.
"""

from __future__ import annotations

import asyncio
import ipaddress
import socket
import struct
from collections.abc import Callable
from typing import Any, Final, Protocol

from attrs import define, field

from gateway.dataplane.upstream import UpstreamFault
from gateway.wire.errors import ApiError
from gateway.wire.http1 import (
    Body,
    FramingError,
    RequestHead,
    ResponseHead,
    UntilClose,
    request_head_end,
    response_head_end,
)

__all__ = ["End", "ForwardedConnection", "Forwarder", "GiveBack", "Waits", "end_of"]

_HELD: Final = 64 * 1024
"""Bytes of a client that are kept while they cannot go on; more are not read."""
_LINGER_SECONDS: Final = 2.0
_RESET: Final = struct.pack("ii", 1, 0)

End = tuple[str, int]
"""Host and port of one end of a connection."""
GiveBack = Callable[[asyncio.Transport, bytes], None]
"""Takes a connection, and the bytes that were read from it, at the beginning of a request that is not ours."""


@define(frozen=True)
class Waits:
    """How long a connection may stay as it is, in seconds."""

    head: float
    """For a request head to become complete."""
    idle: float
    """Without a byte in either direction while a request or a WebSocket is under way."""
    between: float
    """Between two requests."""


class Forwarder(Protocol):
    """Decides what is forwarded and where to."""

    waits: Waits
    longest_head: int
    draining: bool
    own_ends: set[End]
    """The gateway's ends of its connections to the upstream: what comes from there came through here before."""

    def claims(self, start: bytes | bytearray) -> bool | None:
        """Whether a request that begins with these bytes is to be forwarded; None if they are too few to say."""
        ...

    def head_for_upstream(self, head: RequestHead, client: asyncio.Transport) -> bytes:
        """Return the head that the upstream gets.

        Raises:
            ApiError: the request is not forwarded.
        """
        ...

    async def connect(self, factory: Callable[[], asyncio.Protocol]) -> None:
        """Open a connection to the upstream.

        Raises:
            UpstreamFault: there is none.
        """
        ...

    def start(self, connection: ForwardedConnection) -> asyncio.Task[None]:
        """Run `connection.connect()` in a task of its own."""
        ...

    def forget(self, connection: ForwardedConnection) -> None:
        """Be told that a connection is over."""
        ...

    def answer(self, error: ApiError, *, with_body: bool) -> bytes:
        """Return an answer in the gateway's own name, after which the connection closes."""
        ...


@define(eq=False)
class _Exchange:
    """A request and what has come of its answer."""

    method: bytes
    request: Body
    upgrade: bool
    response: Body | None = field(default=None, init=False)
    """None until the head of the final answer has been passed on."""


class _UpstreamSide(asyncio.Protocol):
    """The upstream's end of a joined connection."""

    def __init__(self, joined: ForwardedConnection, own_ends: set[End]) -> None:
        self._joined = joined
        self._own_ends = own_ends
        self._own_end: End = ("", 0)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._own_end = end_of(transport.get_extra_info("sockname"))
        self._own_ends.add(self._own_end)
        self._joined.upstream_made(transport)  # ty: ignore[invalid-argument-type]  # a stream's

    def data_received(self, data: bytes) -> None:
        self._joined.upstream_received(data)

    def eof_received(self) -> bool:
        return self._joined.upstream_ended()

    def connection_lost(self, exc: Exception | None) -> None:
        self._own_ends.discard(self._own_end)
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
        self._answer_head = bytearray()
        """From the upstream, of a head that is not complete."""
        self._exchange: _Exchange | None = None
        self._tunnel = False
        self._closing = False
        """Nothing more is to be done but to let the client have its last bytes."""
        self._in_head = False
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
        if upstream is not None:
            if exc is not None or self._exchange is not None:
                upstream.abort()
            else:
                upstream.close()
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
        hold = self._upstream_full or len(self._arrived) > _HELD
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
        claimed = self._forwarder.claims(arrived)
        if claimed is False:
            self._return_client()
            return False
        while arrived.startswith(b"\r\n"):
            del arrived[:2]
        end = request_head_end(arrived) if claimed else 0
        if not end:
            if len(arrived) > self._forwarder.longest_head:
                self.refuse(ApiError(431, "The request head is too long."))
            elif not self._in_head:
                self._in_head = True
                self._start_timer(self._forwarder.waits.head, self._expire_head)
            return False
        client = self._client
        if client is None:
            return False
        try:
            head = RequestHead.parse(bytes(arrived[:end]))
            self._exchange = _Exchange(head.method, head.body(), head.asks_for_websocket)
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

    def _send_on(self, exchange: _Exchange, data: bytes) -> None:
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
            await self._forwarder.connect(lambda: _UpstreamSide(self, self._forwarder.own_ends))
        except UpstreamFault as fault:
            self.refuse(ApiError(504 if fault.timed_out else 502, fault.message))
        finally:
            self._connecting = None

    def upstream_made(self, transport: asyncio.Transport) -> None:
        """Send on what has arrived by now."""
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
        elif exchange.response is None:
            self._read_answer(client, exchange, data)
        else:
            self._pass_on(client, exchange, exchange.response, data, 0)

    def _read_answer(self, client: asyncio.Transport, exchange: _Exchange, data: bytes) -> None:
        """Pass on whole heads, and with the last of them the beginning of the body."""
        looked = len(self._answer_head)
        if looked:
            self._answer_head += data
            data = bytes(self._answer_head)
            self._answer_head.clear()
        at = self._read_heads(exchange, data, looked - 3)
        if self._closing or self._tunnel:
            return
        if exchange.response is not None:
            self._pass_on(client, exchange, exchange.response, data, at)
            return
        client.write(data[:at])
        self._answer_head += data[at:]
        if len(self._answer_head) > self._forwarder.longest_head:
            self._break_off(ApiError(502, "The upstream's response head is too long."))

    def _pass_on(
        self, client: asyncio.Transport, exchange: _Exchange, body: Body, data: bytes, start: int
    ) -> None:
        """Pass on what belongs to the answer, whose body begins or goes on at `start`."""
        try:
            end = body.take(data, start)
        except FramingError:
            # Its receiver may judge it: from here on everything is part of it.
            exchange.response = UntilClose()
            end = len(data)
        client.write(data if end == len(data) else data[:end])
        if end < len(data):
            self._close_client()
        else:
            self._finish(exchange)

    def _read_heads(self, exchange: _Exchange, data: bytes, start: int) -> int:
        """Read heads up to that of the final answer; return where what may be passed on ends."""
        at = 0
        while end := response_head_end(data[at:] if at else data, start):
            try:
                head = ResponseHead.parse(data[at : at + end])
            except FramingError:
                break
            at += end
            start = 0
            if head.is_interim:
                continue
            if head.status == 101:  # noqa: PLR2004 - Switching Protocols
                self._open_tunnel(exchange, data)
            else:
                exchange.response = head.body(exchange.method)
            return at
        else:
            return at
        self._break_off(ApiError(502, "The upstream's answer is not valid HTTP."))
        return at

    def _open_tunnel(self, exchange: _Exchange, data: bytes) -> None:
        if not exchange.upgrade or self._client is None or self._upstream is None:
            self._break_off(ApiError(502, "The upstream switched to a protocol that nobody asked for."))
            return
        self._tunnel = True
        self._client.write(data)
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
            client.write_eof()
            return True
        self._upstream = None
        if exchange is not None and self._answer_head:
            client.write(bytes(self._answer_head))
        self._close_client()
        return False

    def upstream_lost(self, exc: Exception | None) -> None:
        """Let the client see a cut as one."""
        lost, self._upstream = self._upstream, None
        client, exchange = self._client, self._exchange
        if lost is None or client is None or self._closing:
            return
        if exchange is not None and isinstance(exchange.response, UntilClose):
            # An ordinary end of the connection would look like the end of such a body.
            self._reset_client()
        elif self._tunnel and exc is not None:
            self._reset_client()
        else:
            if self._answer_head:
                client.write(bytes(self._answer_head))
            self._close_client()

    # Ends

    def _finish(self, exchange: _Exchange) -> None:
        """Make room for the next request if this one and its answer are over."""
        if exchange.response is None or not exchange.response.done or not exchange.request.done:
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

        One that is still sending would have them torn away by a reset, so it is listened to for a moment.
        """
        client, exchange = self._client, self._exchange
        if client is None or self._closing:
            return
        self._closing = True
        self._drop_upstream()
        linger = linger or (exchange is not None and not exchange.request.done)
        self._arrived.clear()
        if linger and not self._client_ended:
            client.write_eof()
            self.hold_client(full=False)
            self._start_timer(_LINGER_SECONDS, self.abort)
        else:
            self._start_timer(self._forwarder.waits.idle, self.abort)
            client.close()

    def _drop_upstream(self) -> None:
        if self._connecting is not None and self._connecting is not asyncio.current_task():
            self._connecting.cancel()
        upstream, self._upstream = self._upstream, None
        if upstream is not None:
            upstream.abort() if self._exchange is not None else upstream.close()

    def _end_upstream(self) -> bool:
        """Pass on the client's end; return whether there may still be an answer to wait for."""
        upstream = self._upstream
        if upstream is None or not upstream.can_write_eof() or upstream.is_closing():
            # TLS has no half of a connection to close; a client that has gone must not be worked for.
            return False
        if not self._arrived:
            upstream.write_eof()
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

    def _expire_idle(self) -> None:
        left = self._moved + self._forwarder.waits.idle - self._loop.time()
        if left > 0:
            self._timer = self._loop.call_later(left, self._expire_idle)
        elif self._tunnel:
            self.abort()
        else:
            self._break_off(ApiError(504, "The upstream did not answer in time."))


def end_of(name: Any) -> End:
    """Return one end of a connection from its socket's name; IPv4 is the same through an IPv6 socket."""
    if not isinstance(name, tuple):
        return "", 0
    address = ipaddress.ip_address(name[0].partition("%")[0])
    mapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
    return str(mapped or address), name[1]
