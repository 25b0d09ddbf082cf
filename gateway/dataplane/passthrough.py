"""The OpenAI-compatible routes in mode `forward`: everything below `/v1` goes to another server as it came.

Nothing is added, dropped or decoded: credentials, cookies, header order and case, chunks, trailers and WebSocket
frames are between the client and that server. Of a request only its target is given the base URL's path, and
its Host that of the base URL. An upgrade to anything but a WebSocket is left out, which a server is free to ignore
(RFC 9110, section 7.8): behind another protocol requests could not be told to be below `/v1`.
"""

from __future__ import annotations

import asyncio
import re
import socket
import ssl
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager, suppress
from http import HTTPStatus
from typing import Any, Final, Self
from urllib.parse import urlsplit
from weakref import WeakValueDictionary

from aiohappyeyeballs import start_connection
from attrs import define, field
from multidict import CIMultiDict

from gateway.actors.keys import KEY_PREFIX
from gateway.config import ClientAuth, OpenAIMode, Settings
from gateway.dataplane.forwarder import GiveBack, Joined, Waits, Way, way_of
from gateway.dataplane.forwarding import ForwardedConnection
from gateway.dataplane.names import HostName
from gateway.dataplane.upstream import UpstreamFault
from gateway.telemetry.logs import exception_facts, get_logger
from gateway.wire.errors import GATEWAY_REQUEST_ID_HEADER, ApiError, new_request_id
from gateway.wire.forbidden import ForbiddenAddressError
from gateway.wire.http1 import RequestHead
from gateway.wire.loopback import check_local
from gateway.wire.openai_errors import openai_body

__all__ = ["OpenAIForward", "has_dot_segment", "open_forward"]

_log = get_logger(__name__)

_PREFIX: Final = b"/v1"
_ENDS_OF_PREFIX: Final = (b"/", b"?", b" ")
_LONGEST_METHOD: Final = 32
_LONGEST_ORIGIN: Final = 300
_ORIGIN: Final = re.compile(rb"https?://[^/?# ]*", re.IGNORECASE)
_SCHEMES: Final = (b"http://", b"https://")
# What a reader may take for a dot segment, however often it decodes; clients never send them (RFC 3986, 5.2.4).
_SLASH: Final = rb"(?:[/\\]|%(?:25)*(?:2f|5c))"
_SEGMENT_END: Final = rb"(?:%b|[;?#]|%%(?:25)*(?:00|23|3b|3f)|\Z)" % _SLASH
_DOT_SEGMENT: Final = re.compile(rb"%b(?:\.|%%(?:25)*2e){1,2}%b" % (_SLASH, _SEGMENT_END), re.IGNORECASE)
_CREDENTIALS: Final = (b"authorization", b"x-api-key", b"api-key", b"sec-websocket-protocol")
# At the beginning of a credential: other servers' tokens may well have these letters inside. Browsers cannot set
# headers and send theirs as a subprotocol (OpenAI API documentation, "Realtime API with WebSocket").
_OUR_KEY: Final = re.compile(rb"(?:\A|[\s,:=\"'])(?:openai-insecure-api-key\.)?%b" % KEY_PREFIX.encode())
_UPGRADES: Final = (b"upgrade", b"http2-settings")
_HEAD_LINES: Final = 4
"""A whole head may be so many times as long as its longest line."""
_SERVER: Final = "The server behind /v1"
_CHECK: Final = "Check that it runs, and that GATEWAY_OPENAI_BASE_URL is its address as seen from the gateway."
_KEEPALIVE_SECONDS: Final = 60
_LAST_SECONDS: Final = 1.0
_EYEBALLS_SECONDS: Final = 0.25


@define
class _Local:
    """What `check_local` looks at of a request."""

    method: str
    raw_path: str
    headers: CIMultiDict[str]


@define(eq=False)
class OpenAIForward:
    """Forwards connections. To be used as an async context manager.

    A connection comes by `take` when a request that `claims` recognises begins, and goes back where it came from
    when the next request is another one.
    """

    settings: Settings
    draining: bool = field(default=False, init=False)
    waits: Waits = field(init=False)
    longest_head: int = field(init=False)
    _host: str = field(init=False)
    _name: HostName = field(init=False)
    _authority: bytes = field(init=False)
    _path: bytes = field(init=False)
    _is_openai: bool = field(init=False)
    _tls: ssl.SSLContext | None = field(default=None, init=False)
    _tasks: asyncio.TaskGroup = field(factory=asyncio.TaskGroup, init=False)
    _connections: set[Joined] = field(factory=set, init=False)
    _idle: asyncio.Event = field(factory=asyncio.Event, init=False)
    own_ways: WeakValueDictionary[Way, asyncio.Protocol] = field(factory=WeakValueDictionary, init=False)
    """The gateway's connections to the upstream: what comes in by one of them came through here before."""

    def __attrs_post_init__(self) -> None:
        """Take the base URL apart."""
        timeouts = self.settings.timeouts
        base = urlsplit(self.settings.openai_base_url)
        self._host = (base.hostname or "").encode("idna").decode()
        self._name = HostName(self._host, base.port or (443 if base.scheme == "https" else 80))
        self._authority = (f"[{self._host}]" if ":" in self._host else self._host).encode()
        if base.port is not None:
            self._authority += b":%d" % base.port
        self._path = base.path.removesuffix("/").encode()
        self._is_openai = self._host == "openai.com" or self._host.endswith(".openai.com")
        self.waits = Waits(
            head=timeouts.request_head_seconds,
            idle=timeouts.forward_idle_seconds,
            between=timeouts.keepalive_seconds,
        )
        self.longest_head = _HEAD_LINES * self.settings.limits.header_bytes
        self._idle.set()

    async def __aenter__(self) -> Self:
        """Get ready to connect."""
        if self.settings.openai_base_url.startswith("https:"):
            self._tls = await asyncio.to_thread(_make_tls)
        await self._tasks.__aenter__()
        return self

    async def __aexit__(self, *_: object) -> None:
        """Cut what is left."""
        self.abort()
        with suppress(TimeoutError):
            async with asyncio.timeout(_LAST_SECONDS):
                await self._idle.wait()
        await self._tasks.__aexit__(None, None, None)
        self._name.close()

    def claims(self, start: bytes | bytearray) -> bool | None:
        """Whether a request that begins with these bytes is for `/v1` or below; None if they cannot say yet."""
        method, space, rest = bytes(start[: _LONGEST_METHOD + _LONGEST_ORIGIN]).partition(b" ")
        if not space:
            return None if len(method) < _LONGEST_METHOD else False
        origin = _ORIGIN.match(rest)
        if origin is not None:
            rest = rest[origin.end() :]
            if not rest:
                return None if origin.end() < _LONGEST_ORIGIN - _LONGEST_METHOD else False
        elif any(scheme.startswith(rest.lower()) for scheme in _SCHEMES):
            return None
        if len(rest) <= len(_PREFIX):
            return None if _PREFIX.startswith(rest) else False
        return rest.startswith(_PREFIX) and rest[3:4] in _ENDS_OF_PREFIX

    def take(
        self, transport: asyncio.Transport, data: bytes, give_back: GiveBack, *, writing_paused: bool = False
    ) -> None:
        """Take over a connection at the beginning of a request that is claimed.

        Args:
            transport: of the client; from now on it has another protocol.
            data: what has been read and not dealt with.
            give_back: takes the connection at the beginning of a request that is not claimed.
            writing_paused: whether the transport has told its protocol to pause.
        """
        connection = ForwardedConnection(self, transport, give_back, writing_paused=writing_paused)
        self._connections.add(connection)
        self._idle.clear()
        transport.set_protocol(connection)
        connection.data_received(data)

    def start(self, connection: Joined) -> asyncio.Task[None]:
        """Run the connecting of a connection in a task."""
        return self._tasks.create_task(self._run(connection), name="forward-connect")

    def forget(self, connection: Joined) -> None:
        """Let a connection go that is over."""
        self._connections.discard(connection)
        if not self._connections:
            self._idle.set()

    def head_for_upstream(self, head: RequestHead, client: asyncio.Transport) -> bytes:
        """Return the head that the upstream gets.

        Raises:
            ApiError: the request is not forwarded.
        """
        target = _ORIGIN.sub(b"", head.target, count=1)
        self._check(head, target, client)
        lines = head.lines if head.asks_for_websocket else _without_upgrade(head)
        out = [b"%b %b%b %b" % (head.method, self._path, target, head.version)]
        for line in lines:
            name, _, _ = line.partition(b":")
            out.append(b"%b: %b" % (name, self._authority) if name.lower() == b"host" else line)
        return b"\r\n".join([*out, b"", b""])

    async def connect(self, factory: Callable[[], asyncio.Protocol]) -> None:
        """Open a connection to the upstream.

        Raises:
            UpstreamFault: it cannot be reached.
        """
        loop = asyncio.get_running_loop()
        try:
            async with asyncio.timeout(self.settings.timeouts.upstream_connect_seconds):
                addresses = await self._name.addresses()
                connected = await start_connection(
                    addresses, happy_eyeballs_delay=_EYEBALLS_SECONDS, interleave=1, socket_factory=_make_socket
                )
                try:
                    await loop.create_connection(
                        factory, sock=connected, ssl=self._tls, server_hostname=self._host if self._tls else None
                    )
                finally:
                    if not isinstance(loop, asyncio.BaseEventLoop):
                        # uvloop closes what it was given itself, and forgets to tell the socket of a connection
                        # that ends while it is made. That would close the descriptor again, when it is another's.
                        connected.detach()
        except TimeoutError:
            raise UpstreamFault(f"{_SERVER} took no connection in time. {_CHECK}", timed_out=True) from None
        except socket.gaierror:
            raise UpstreamFault(f"{_SERVER} has a name that could not be resolved. {_CHECK}") from None
        except ForbiddenAddressError:
            raise UpstreamFault(f"{_SERVER} has a name that leads where no server is. {_CHECK}") from None
        except ssl.SSLError:
            raise UpstreamFault(f"{_SERVER} could not be talked to in TLS. {_CHECK}") from None
        except OSError:
            raise UpstreamFault(f"{_SERVER} could not be connected with. {_CHECK}") from None

    def answer(self, error: ApiError, *, with_body: bool) -> bytes:
        """Return an answer in the gateway's own name: OpenAI's envelope, or Anthropic's for clients of theirs."""
        request_id = new_request_id()
        facts = {"status": error.status, "reason": error.message, "request_id": request_id}
        if error.status < HTTPStatus.INTERNAL_SERVER_ERROR:
            _log.info("request below /v1 refused", **facts)
        else:
            _log.warning("request below /v1 could not be forwarded", **facts)
        body = error.body(request_id) if isinstance(error, _ForClaudeError) else openai_body(error)
        headers = {
            **error.response_headers(request_id),
            GATEWAY_REQUEST_ID_HEADER: request_id,
            "content-length": str(len(body)),
            "connection": "close",
        }
        lines = [f"HTTP/1.1 {error.status} {HTTPStatus(error.status).phrase}"]
        lines += [f"{name}: {value}" for name, value in headers.items()]
        return "\r\n".join([*lines, "", ""]).encode() + (body if with_body else b"")

    @property
    def busy(self) -> bool:
        """Whether there are connections."""
        return bool(self._connections)

    @property
    def connections(self) -> int:
        """How many connections of clients are joined with one to the upstream, or about to be."""
        return len(self._connections)

    async def wait_idle(self) -> None:
        """Close what is idle, and wait until what is under way is over."""
        self.draining = True
        for connection in list(self._connections):
            connection.hurry()
        await self._idle.wait()

    def abort(self) -> int:
        """Cut all connections; return how many there were."""
        for connection in list(self._connections):
            connection.abort()
        return len(self._connections)

    async def _run(self, connection: Joined) -> None:
        try:
            await connection.connect()
        except Exception as error:  # noqa: BLE001 - one connection's trouble is not that of the others
            _log.error("connecting failed", **exception_facts(error))
            connection.abort()

    def _check(self, head: RequestHead, target: bytes, client: asyncio.Transport) -> None:
        if way_of(client, opened_here=False) in self.own_ways:
            raise ApiError(
                508,
                "This request came back to the gateway that sent it on: GATEWAY_OPENAI_BASE_URL leads to the "
                "gateway itself. Set it to the server that is to answer /v1.",
                error_code="loop_detected",
                should_retry=False,
            )
        if self.settings.client_auth is ClientAuth.OFF:
            headers = CIMultiDict(
                (name.decode("latin-1"), value.strip().decode("latin-1"))
                for name, _, value in (line.partition(b":") for line in head.lines)
            )
            local = _Local(head.method.decode(), head.target.decode("latin-1"), headers)
            check_local(local, websocket=head.asks_for_websocket)
        if head.method == b"CONNECT":
            # RFC 9110, section 9.3.6: its target is no path, and what follows its answer is no HTTP.
            raise ApiError(400, "CONNECT is not possible here: there is nothing to be connected with below /v1.")
        if has_dot_segment(target.partition(b"?")[0]):
            raise ApiError(400, "A path below /v1 must not have dot segments.")
        is_claude = bool(head.values(b"anthropic-version"))
        has_our_key = any(_OUR_KEY.search(value) for name in _CREDENTIALS for value in head.values(name))
        if is_claude and (has_our_key or self._is_openai):
            raise _ForClaudeError(
                404,
                "Claude is not served at /v1 but at /claude/v1: put /claude at the end of the base URL, such as "
                "ANTHROPIC_BASE_URL=http://127.0.0.1:8787/claude.",
            )
        if has_our_key:
            raise ApiError(
                401,
                "This is a key of the gateway, for Claude at /claude/v1. What is below /v1 is forwarded to "
                "another server: use a key of that server.",
                error_code="invalid_api_key",
            )


@asynccontextmanager
async def open_forward(settings: Settings) -> AsyncGenerator[OpenAIForward | None]:
    """Forward for as long as the context lasts, if the settings say so."""
    if settings.openai_mode is not OpenAIMode.FORWARD:
        yield None
        return
    async with OpenAIForward(settings) as forward:
        yield forward


def has_dot_segment(path: bytes) -> bool:
    """Whether a reader may take part of a path for `.` or `..`, however often it decodes."""
    return _DOT_SEGMENT.search(path) is not None


class _ForClaudeError(ApiError):
    """For a client that speaks to Claude."""


def _without_upgrade(head: RequestHead) -> tuple[bytes, ...]:
    """Return the header lines without what asks for another protocol."""
    if not head.values(b"upgrade"):
        return head.lines
    kept = []
    for line in head.lines:
        name, _, value = line.partition(b":")
        low = name.lower()
        if low in _UPGRADES:
            continue
        if low == b"connection":
            tokens = [token.strip() for token in value.split(b",")]
            rest = [token for token in tokens if token.lower() not in _UPGRADES]
            if rest != tokens:
                if rest:
                    kept.append(b"%b: %b" % (name, b", ".join(rest)))
                continue
        kept.append(line)
    return tuple(kept)


def _make_tls() -> ssl.SSLContext:
    context = ssl.create_default_context()
    context.set_alpn_protocols(["http/1.1"])
    return context


def _make_socket(address: Any) -> socket.socket:
    """Make a socket that notices a peer that is gone: an answer may be silent for long."""
    family, kind, protocol, _, _ = address
    made = socket.socket(family, kind, protocol)
    made.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    if hasattr(socket, "TCP_KEEPIDLE"):
        made.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, _KEEPALIVE_SECONDS)
        made.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, _KEEPALIVE_SECONDS // 4)
    return made
