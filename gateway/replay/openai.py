"""An OpenAI-compatible server that plays recorded answers, and keeps what arrived byte for byte."""

import asyncio
import contextlib
from collections import deque
from collections.abc import AsyncGenerator, Callable, Mapping
from hashlib import sha256
from types import TracebackType
from typing import Any, Final, Literal, Self
from urllib.parse import parse_qsl

import msgspec
from aiohttp import WSMsgType, web
from aiohttp.web_protocol import RequestHandler
from attrs import define, field

from gateway.replay.delivery import AlreadySent
from gateway.replay.journal import Journal
from gateway.replay.openai_exchanges import RecordedExchange, recorded_exchanges
from gateway.replay.tokens import ACCESS_PREFIX, GrantError, TokenAuthority

__all__ = ["OpenAIArrival", "OpenAIReplay"]

_KEPT: Final = 1024 * 1024
"""Bytes of a request that are kept as they came."""
_SLICE: Final = 64 * 1024
_LINE_LIMIT: Final = 64 * 1024
_CLOSE_COMMAND: Final = "close"
_SUBPROTOCOLS: Final = ("realtime", "openai-realtime-v1")
_NOT_FOUND: Final = (
    b'{"error":{"message":"Invalid URL","type":"invalid_request_error","param":null,"code":"unknown_url"}}'
)
_INVALID_KEY: Final = (
    b'{"error":{"message":"Incorrect API key provided","type":"invalid_request_error","param":null,'
    b'"code":"invalid_api_key"}}'
)


@define(eq=False)
class OpenAIArrival:
    """A request as it arrived, from a client that waits for one answer before it asks again."""

    connection: int
    """Number of its connection, from 1 on."""
    method: str
    target: str
    head: bytes
    """Request line and headers, byte for byte, up to and with the blank line."""
    raw_body: bytes = b""
    """What followed, framing and trailers included; the first MiB of head and body at the most."""
    body: bytearray = field(factory=bytearray)
    """The body without its framing; the first MiB at the most."""
    body_bytes: int = 0
    body_sha256: str = ""
    messages: list[str | bytes] = field(factory=list)
    """What came through a WebSocket."""
    ended: Literal["open", "answered", "client_gone", "cut"] = "open"

    @property
    def lines(self) -> list[bytes]:
        """The lines of the head."""
        return self.head.removesuffix(b"\r\n\r\n").split(b"\r\n")

    @property
    def credential(self) -> str | None:
        """The value of ``Authorization``."""
        for line in self.lines[1:]:
            name, _, value = line.partition(b":")
            if name.lower() == b"authorization":
                return value.strip().decode("latin-1")
        return None


class _Connection(RequestHandler):
    """Keeps what arrives before it is parsed."""

    __slots__ = ("arrived", "number")

    def __init__(self, manager: web.Server, *, number: int, **kwargs: Any) -> None:
        super().__init__(manager, **kwargs)
        self.number = number
        self.arrived = bytearray()

    def data_received(self, data: bytes) -> None:
        if len(self.arrived) < _KEPT:
            self.arrived += data
        super().data_received(data)


class _Server(web.Server):
    """Makes numbered connections."""

    def __init__(self, handler: Any, **options: Any) -> None:
        super().__init__(handler, handler_cancellation=True, request_factory=_request)
        self._options = options
        self.accepted = 0

    def __call__(self) -> RequestHandler:
        self.accepted += 1
        return _Connection(self, number=self.accepted, loop=self._loop, **self._options)


@define(eq=False)
class OpenAIReplay:
    """An OpenAI-compatible API on ``host``:``port`` for as long as the ``async with`` block runs.

    A request gets the first recorded answer for its method, path and ``stream``, or the one that its header
    ``x-replay-answer`` names. ``api_keys`` limits who may ask; ``None`` takes any credential and none. Tokens that
    ``tokens`` issued are judged by their standing. ``/oauth/token`` renews them; ``token_status`` makes it answer
    with that status instead. ``/v1/realtime`` and ``/v1/responses`` take WebSockets, on which they answer
    ``response.create`` with the events of a response, echo anything else, and close with CODE and REASON at the
    text ``close CODE REASON``.
    """

    host: str = "127.0.0.1"
    port: int = 0
    api_keys: set[str] | None = None
    tokens: TokenAuthority = field(factory=TokenAuthority)
    token_status: int | None = None
    keepalive_timeout: float = 75
    keep_requests: int = 10_000
    arrivals: deque[OpenAIArrival] = field(init=False)
    """Every request received, oldest first."""
    _exchanges: Mapping[str, RecordedExchange] = field(factory=dict, init=False)
    _defaults: dict[tuple[str, str, bool], RecordedExchange] = field(factory=dict, init=False)
    _changes: Journal = field(factory=Journal, init=False)
    _listener: asyncio.Server | None = field(default=None, init=False)
    _server: _Server = field(init=False)
    _closing: bool = field(default=False, init=False)

    def __attrs_post_init__(self) -> None:
        """Start with an empty journal."""
        self.arrivals = deque(maxlen=self.keep_requests)

    @property
    def url(self) -> str:
        """The base URL, without ``/v1``."""
        return f"http://{self.host}:{self.port}"

    @property
    def connections(self) -> int:
        """How many connections there have been."""
        return self._server.accepted

    async def wait_for(self, predicate: Callable[[], bool], timeout: float = 30) -> None:  # noqa: ASYNC109 - the limit belongs to the question asked
        """Return once ``predicate()`` holds, asked at every change; raises ``TimeoutError`` if it never does."""
        await self._changes.wait_for(predicate, timeout)

    async def __aenter__(self) -> Self:
        """Start listening."""
        recorded = await asyncio.to_thread(recorded_exchanges)
        self._exchanges = {exchange.name: exchange for exchange in recorded}
        for exchange in recorded:
            self._defaults.setdefault((exchange.method, exchange.path, exchange.streamed), exchange)
        self._server = _Server(
            self._handle,
            access_log=None,
            auto_decompress=False,
            keepalive_timeout=self.keepalive_timeout,
            max_line_size=_LINE_LIMIT,
            max_field_size=_LINE_LIMIT,
        )
        loop = asyncio.get_running_loop()
        self._listener = await loop.create_server(self._server, self.host, self.port, backlog=1024)
        self.port = self._listener.sockets[0].getsockname()[1]
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stop listening and drop every connection."""
        if self._listener is None:
            return
        self._listener.close()
        self._closing = True
        for connection in self._server.connections:
            if connection.transport is not None:
                connection.transport.abort()
        await self._server.shutdown(timeout=1)
        await self._listener.wait_closed()

    async def _handle(self, request: web.BaseRequest) -> web.StreamResponse:
        connection = request.protocol
        assert isinstance(connection, _Connection)  # noqa: S101 - the server makes no others
        head, _, _ = bytes(connection.arrived).partition(b"\r\n\r\n")
        arrival = OpenAIArrival(connection.number, request.method, request.raw_path, head + b"\r\n\r\n")
        self.arrivals.append(arrival)
        self._changes.changed()
        try:
            if request.headers.get("upgrade", "").lower() == "websocket" and request.path in _SOCKETS:
                return await self._websocket(request, arrival)
            await _receive(request, arrival)
            arrival.raw_body = bytes(connection.arrived[len(arrival.head) :])
            connection.arrived.clear()
            keep_alive = await _send(request, self._answer(request, arrival))
            arrival.ended = "answered"
        except (asyncio.CancelledError, ConnectionError) as error:
            arrival.ended = "cut" if self._closing else "client_gone"
            if isinstance(error, asyncio.CancelledError):
                raise
            keep_alive = False
        finally:
            self._changes.changed()
        return AlreadySent(keep_alive=keep_alive)

    def _answer(self, request: web.BaseRequest, arrival: OpenAIArrival) -> bytes:
        if request.path == "/oauth/token":
            return self._grant(request, arrival)
        if not self._known(arrival.credential):
            return _json("401 Unauthorized", _INVALID_KEY)
        name = request.headers.get("x-replay-answer")
        if name is not None:
            exchange = self._exchanges.get(name)
        else:
            streamed = b'"stream":true' in arrival.body.replace(b'"stream": true', b'"stream":true')
            path = arrival.target.partition("?")[0]
            found = [self._defaults.get((arrival.method, path, stream)) for stream in (streamed, not streamed)]
            exchange = next((exchange for exchange in found if exchange is not None), None)
        return _json("404 Not Found", _NOT_FOUND) if exchange is None else exchange.answer(arrival.method)

    def _known(self, credential: str | None) -> bool:
        secret = (credential or "").removeprefix("Bearer ")
        if secret.startswith(ACCESS_PREFIX):
            return self.tokens.standing(secret) == "valid"
        return self.api_keys is None or secret in self.api_keys

    def _grant(self, request: web.BaseRequest, arrival: OpenAIArrival) -> bytes:
        if self.token_status is not None:
            return _json(f"{self.token_status} Scripted", b'{"error":"temporarily_unavailable"}')
        body = bytes(arrival.body)
        form: dict[str, Any] = {}
        if request.content_type == "application/x-www-form-urlencoded":
            form = dict(parse_qsl(body.decode("utf-8", "replace")))
        else:
            with contextlib.suppress(msgspec.DecodeError):
                form = msgspec.json.decode(body, type=dict[str, Any])
        try:
            pair = self.tokens.grant({name: text for name, text in form.items() if isinstance(text, str)})
        except GrantError as error:
            refusal = {"error": error.code, "error_description": error.description}
            return _json("400 Bad Request", msgspec.json.encode(refusal))
        return _json("200 OK", msgspec.json.encode(pair.as_json()))

    async def _websocket(self, request: web.BaseRequest, arrival: OpenAIArrival) -> web.StreamResponse:
        socket = web.WebSocketResponse(protocols=_SUBPROTOCOLS)
        await socket.prepare(request)
        try:
            if request.path == "/v1/realtime":
                await socket.send_str(
                    '{"type":"session.created","event_id":"event_made_up","session":{"type":"realtime"}}'
                )
            async for message in socket:
                if message.type is WSMsgType.TEXT:
                    arrival.messages.append(message.data)
                    await self._converse(socket, message.data)
                elif message.type is WSMsgType.BINARY:
                    arrival.messages.append(message.data)
                    await socket.send_bytes(message.data)
                self._changes.changed()
            arrival.ended = "client_gone" if socket.close_code in (None, 1006) else "answered"
        except asyncio.CancelledError:
            arrival.ended = "cut" if self._closing else "client_gone"
            raise
        finally:
            self._changes.changed()
        return socket

    async def _converse(self, socket: web.WebSocketResponse, text: str) -> None:
        if text.startswith(_CLOSE_COMMAND):
            _, code, reason = text.split(" ", 2)
            await socket.close(code=int(code), message=reason.encode())
        elif '"response.create"' in text:
            for event in self._exchanges["responses-stream"].named_sse:
                await socket.send_str(event)
        else:
            await socket.send_str(text)


_SOCKETS: Final = frozenset({"/v1/realtime", "/v1/responses"})


def _request(message: Any, payload: Any, protocol: Any, writer: Any, task: Any) -> web.BaseRequest:
    return web.BaseRequest(message, payload, protocol, writer, task, asyncio.get_running_loop())


async def _pieces(request: web.BaseRequest) -> AsyncGenerator[bytes]:
    while piece := await request.content.readany():
        yield piece


async def _receive(request: web.BaseRequest, arrival: OpenAIArrival) -> None:
    if request.headers.get("expect", "").lower() == "100-continue" and request.transport is not None:
        request.transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")
    digest = sha256()
    async for piece in _pieces(request):
        digest.update(piece)
        arrival.body_bytes += len(piece)
        if len(arrival.body) < _KEPT:
            arrival.body += piece
    arrival.body_sha256 = digest.hexdigest()


async def _send(request: web.BaseRequest, answer: bytes) -> bool:
    """Write an answer as it is; return whether the connection may be used again."""
    for start in range(0, len(answer), _SLICE):
        transport = request.transport
        if transport is None or transport.is_closing():
            raise ConnectionError
        transport.write(answer[start : start + _SLICE])
        await request.writer.drain()
    head = answer.partition(b"\r\n\r\n")[0].lower()
    return request.keep_alive and b"\r\nconnection: close" not in head


def _json(status: str, body: bytes) -> bytes:
    lines = [f"HTTP/1.1 {status}", "Content-Type: application/json", f"Content-Length: {len(body)}", "", ""]
    return "\r\n".join(lines).encode() + body
