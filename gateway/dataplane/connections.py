"""Client connections: how long a client may take to send a request head and to take an answer."""

from __future__ import annotations

import array
import asyncio
import fcntl
import termios
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Any, Final, Protocol

from aiohttp import web
from aiohttp.http import StreamWriter
from aiohttp.http_exceptions import BadHttpMethod
from aiohttp.http_parser import RawRequestMessage
from attrs import define, evolve

from gateway.telemetry.logs import exception_facts, get_logger
from gateway.wire.errors import GATEWAY_REQUEST_ID_HEADER, ApiError, new_request_id
from gateway.wire.http1 import FramingError, request_start
from gateway.wire.http1_exchange import FollowedRequest

__all__ = ["ClientConnection", "ConnectionServer", "Diversion", "Patience", "error_response"]

_log = get_logger(__name__)

_LAST_PATIENCE_SECONDS: Final = 1.0
_LONGEST_FOLLOWED_HEAD: Final = 256 * 1024


@define(frozen=True)
class Patience:
    """How long a client may keep a connection waiting, in seconds."""

    head_seconds: float
    """For the first request head of a connection."""
    stalled_seconds: float
    """For a client that takes nothing of what is there for it."""


class Diversion(Protocol):
    """Takes connections away from here, bytes and all, for requests that are not to be parsed and made anew."""

    def claims(self, start: bytes | bytearray) -> bool | None:
        """Whether a request that begins with these bytes is one of those; None if they are too few to say."""
        ...

    def take(
        self,
        transport: asyncio.Transport,
        data: bytes,
        give_back: Callable[[asyncio.Transport, bytes], None],
        *,
        writing_paused: bool,
    ) -> None:
        """Take over a connection at the beginning of such a request; at that of another one it is given back."""
        ...


class ClientConnection(web.RequestHandler):
    """A client connection that has to send its first request head in time, and to take what it asked for.

    Errors of HTTP itself are answered in Anthropic's envelope.
    """

    __slots__ = (
        "_answered",
        "_diversion",
        "_followed",
        "_head_timer",
        "_lost",
        "_patience",
        "_server",
        "_socket",
        "_stall_timer",
        "_start",
        "_taken_before",
        "stalled",
    )

    def __init__(
        self, manager: ConnectionServer, *, patience: Patience, diversion: Diversion | None = None, **kwargs: Any
    ) -> None:
        """Serve one connection; `kwargs` are aiohttp's options."""
        super().__init__(manager, **kwargs)
        self._server = manager
        self._patience = patience
        self._diversion = diversion
        self._start = b""
        """Of a request, while it is too short to say whose it is."""
        self._followed: FollowedRequest | None = None
        """What aiohttp reads, or has read last."""
        self._lost = False
        """Whether it is no longer known where one request ends and another begins."""
        self._answered = 0
        self._head_timer: asyncio.TimerHandle | None = None
        self._stall_timer: asyncio.TimerHandle | None = None
        self._taken_before = 0
        self._socket: asyncio.Transport | None = None
        self.stalled = False
        """Whether the client was given up because it took nothing."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Start the timer for the first request head."""
        super().connection_made(transport)
        # The base class forgets its transport when it closes it, though bytes may still wait in there.
        self._socket = self.transport
        self._head_timer = self._loop.call_later(self._patience.head_seconds, self._expire_head)
        if self._task_handler is not None:
            self._task_handler.add_done_callback(self._watch_close)

    def connection_lost(self, exc: BaseException | None) -> None:
        """Stop all timers."""
        self._socket = None
        self._stop_head_timer()
        self._stop_stall_timer()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Stop the timer once a request head is complete, and break off a body that is not valid HTTP."""
        # aiohttp itself calls with nothing, to have what it holds looked at again.
        if self._diversion is not None and data:
            if self._between_requests():
                data = self._start + data
                data = data[request_start(data) :]
                claimed = self._diversion.claims(data) if data else None
                if claimed is None:
                    self._start = data
                    return
                self._start = b""
                if claimed:
                    self._divert(self._diversion, data)
                    return
            self._follow(data)
        super().data_received(data)
        if self._head_timer is not None and self._request_count:
            self._stop_head_timer()
        if self._messages and self._current_request is not None:
            queued, _ = self._messages[-1]
            content = self._current_request.content
            # The parser's error waits its turn behind the request that is being read, whose body it ended.
            if not isinstance(queued, RawRequestMessage) and not content.is_eof():
                content.set_exception(web.RequestPayloadError("not valid HTTP"))

    def pause_writing(self) -> None:
        """Watch a client that reads more slowly than it is written to."""
        super().pause_writing()
        self._taken_before = self._taken()
        self._start_stall_timer()

    def resume_writing(self) -> None:
        """Stop watching."""
        self._stop_stall_timer()
        super().resume_writing()

    def handle_error(
        self,
        request: web.BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,  # noqa: ARG002 - the parser's text may quote what the client sent
    ) -> web.StreamResponse:
        """Answer what is no valid HTTP, or what went wrong in here, in Anthropic's envelope."""
        if status >= 500:  # noqa: PLR2004 - our own faults
            _log.error("request handler failed", **exception_facts(exc))
        if request.writer.output_size > 0:
            raise ConnectionError("the answer has begun; all that is left is to close the connection")
        if status >= 500:  # noqa: PLR2004 - our own faults
            error = ApiError(status, "The gateway failed to handle this request; its log says why.")
        else:
            if not isinstance(exc, BadHttpMethod):
                _log.debug("not valid HTTP", exception=type(exc).__name__)
            error = ApiError(status, f"The request is not valid HTTP ({type(exc).__name__}).")
        # What failed may have prepared an answer of another kind.
        if isinstance(request.writer, StreamWriter):
            request.writer.chunked, request.writer.length = False, None
        response = error_response(error, new_request_id())
        response.headers.update(self._server.error_headers)
        response.force_close()
        return response

    async def finish_response(
        self, request: web.BaseRequest, resp: web.StreamResponse, start_time: float | None
    ) -> tuple[web.StreamResponse, bool]:
        """Finish, and know that it is finished."""
        finished = await super().finish_response(request, resp, start_time)
        self._answered += 1
        return finished

    def _between_requests(self) -> bool:
        """Whether the next byte will be the first of a request."""
        return (
            self._answered == self._request_count
            and not self._lost
            and (self._followed is None or self._followed.done)
            and self._socket is not None
            and not self._close
            and not self._force_close
        )

    def _follow(self, data: bytes) -> None:
        """Keep track of the requests that aiohttp is given, so as to know the beginning of one from a rest."""
        at = 0
        while at < len(data) and not self._lost:
            if self._followed is None or self._followed.done:
                at = request_start(data, at)
                if at == len(data):
                    break
                self._followed = FollowedRequest(_LONGEST_FOLLOWED_HEAD)
            try:
                at = self._followed.take(data, at)
            except FramingError:
                self._lost = True

    def _divert(self, diversion: Diversion, data: bytes) -> None:
        """Leave the connection to somebody else."""
        transport, self.transport = self._socket, None
        if transport is None:
            return
        # With its transport gone, what ends a connection ends this object and leaves the socket open.
        self.connection_lost(None)
        diversion.take(transport, data, self._server.welcome, writing_paused=self._paused)

    def _expire_head(self) -> None:
        self._head_timer = None
        if self.transport is None:
            return
        request_id = new_request_id()
        error = ApiError(408, "The request head did not arrive in time.")
        body = error.body(request_id)
        head = [f"{name}: {value}" for name, value in error.response_headers(request_id).items()]
        head += [f"content-length: {len(body)}", "connection: close"]
        self.transport.write("\r\n".join(["HTTP/1.1 408 Request Timeout", *head, "", ""]).encode() + body)
        self.force_close()

    def _stop_head_timer(self) -> None:
        if self._head_timer is not None:
            self._head_timer.cancel()
            self._head_timer = None

    def _taken(self) -> int:
        """Bytes of the running answer that the client has taken; only differences mean something."""
        if self._socket is None:
            return 0
        written = self._current_request.writer.output_size if self._current_request is not None else 0
        return written - self._socket.get_write_buffer_size() - _kernel_backlog(self._socket)

    def _start_stall_timer(self) -> None:
        self._stop_stall_timer()
        self._stall_timer = self._loop.call_later(self._patience.stalled_seconds, self._expire_client)

    def _stop_stall_timer(self) -> None:
        if self._stall_timer is not None:
            self._stall_timer.cancel()
            self._stall_timer = None

    def _expire_client(self) -> None:
        self._stall_timer = None
        if self._socket is None:
            return
        taken = self._taken()
        if taken > self._taken_before:
            self._taken_before = taken
            self._start_stall_timer()
            return
        self.stalled = True
        self._socket.abort()

    def hasten(self, stalled_seconds: float) -> None:
        """Have less patience from now on with a client that takes nothing."""
        patience = self._patience
        self._patience = evolve(patience, stalled_seconds=min(stalled_seconds, patience.stalled_seconds))
        if self._stall_timer is not None:
            self._taken_before = self._taken()
            self._start_stall_timer()

    def _watch_close(self, _handler: asyncio.Task[None]) -> None:
        """Give a closing connection a limited time: its last bytes may never be taken."""
        if self._socket is not None:
            self._taken_before = self._taken()
            self._start_stall_timer()


def _kernel_backlog(transport: asyncio.Transport) -> int:
    """Bytes that the kernel has for the other side: megabytes, which it takes in without asking for more."""
    backlog = array.array("i", [0])
    with suppress(OSError, AttributeError):
        fcntl.ioctl(transport.get_extra_info("socket").fileno(), termios.TIOCOUTQ, backlog)
    return backlog[0]


class ConnectionServer(web.Server):
    """aiohttp's low-level server with our connections.

    Its own factory falls back to default options, with a warning, when it does not know one of them; this one
    fails instead.
    """

    connection_class: type[ClientConnection] = ClientConnection

    def __init__(
        self,
        handler: Any,
        *,
        patience: Patience,
        options: Mapping[str, Any],
        diversion: Diversion | None = None,
        error_headers: Mapping[str, str] | None = None,
        **kwargs: Any,
    ) -> None:
        """Serve `handler`.

        Args:
            handler: of requests.
            patience: with each client.
            options: those of aiohttp's connections.
            diversion: that requests may take.
            error_headers: of answers to what is no valid HTTP, besides the usual ones.
            kwargs: options of aiohttp's server.
        """
        super().__init__(handler, **kwargs)
        self.error_headers = error_headers or {}
        self._patience = patience
        self._diversion = diversion
        self._options = options

    def pre_shutdown(self) -> None:
        """Close what is idle; whoever takes nothing of what is left for it is soon given up."""
        super().pre_shutdown()
        for connection in self.connections:
            if isinstance(connection, ClientConnection):
                connection.hasten(_LAST_PATIENCE_SECONDS)

    def __call__(self) -> Any:
        """Return the protocol of a new connection."""
        return self.connect()

    def connect(self) -> ClientConnection:
        """Return what serves a connection."""
        return self.connection_class(
            self, patience=self._patience, diversion=self._diversion, loop=self._loop, **self._options
        )

    def welcome(self, transport: asyncio.Transport, data: bytes) -> None:
        """Serve a connection that somebody else has had, and what was read from it."""
        connection = self.connect()
        transport.set_protocol(connection)
        connection.connection_made(transport)
        connection.data_received(data)


def error_response(error: ApiError, request_id: str) -> web.Response:
    """Return an answer that the gateway gives in its own name."""
    headers = error.response_headers(request_id)
    headers[GATEWAY_REQUEST_ID_HEADER] = request_id
    response = web.Response(status=error.status, body=error.body(request_id), headers=headers)
    if headers.get("connection") == "close":
        response.force_close()
    return response
