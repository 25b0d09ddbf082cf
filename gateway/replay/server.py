"""The replay upstream: a server that speaks the Anthropic API over real sockets."""

import asyncio
from collections.abc import Callable
from types import TracebackType
from typing import Any, Self

import attrs
import msgspec
from aiohttp import web
from aiohttp.http_parser import RawRequestMessage
from aiohttp.web_protocol import RequestHandler

from gateway.replay import models, validation
from gateway.replay.delivery import AlreadySent, Answer, ClientGoneError, Delivery, deliver
from gateway.replay.errors import NAMED, ApiError
from gateway.replay.events import split_events
from gateway.replay.fixtures import Corpus, UnknownFixtureError, default_corpus
from gateway.replay.headers import identity, new_id, rate_limits, unified_limits
from gateway.replay.journal import Journal, ReceivedRequest
from gateway.replay.tokens import ACCESS_PREFIX, GrantError, TokenAuthority
from gateway.replay.tool_loop import Wishes, compose

_RECEIVE_LIMIT = 64 * 2**20
_LINE_LIMIT = 64 * 1024
_OAUTH_BETA = "oauth-2025-04-20"
_BYTES_PER_TOKEN = 4


@attrs.define(eq=False)
class ReplayUpstream:
    """An Anthropic API on ``host``:``port`` for as long as the ``async with`` block runs.

    ``tokens_per_second`` paces streamed deltas (0: as fast as the client reads). ``api_keys`` limits who may
    ask; ``None`` takes any credential, though one must be there. Tokens issued by ``tokens`` are always judged
    by their standing. ``shutdown_grace`` is how many seconds running answers get to finish at the end.
    """

    host: str = "127.0.0.1"
    port: int = 0
    tokens_per_second: float = 0
    api_keys: set[str] | None = None
    keepalive_timeout: float = 75
    shutdown_grace: float = 0
    journal: Journal = attrs.field(factory=Journal)
    tokens: TokenAuthority = attrs.field(factory=TokenAuthority)
    corpus: Corpus | None = None
    _server: asyncio.Server | None = attrs.field(default=None, init=False)
    _protocols: "_Protocols | None" = attrs.field(default=None, init=False)
    _closing: bool = attrs.field(default=False, init=False)

    @property
    def url(self) -> str:
        """The base URL, without a slash at the end."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"http://{host}:{self.port}"

    @property
    def requests(self) -> list[ReceivedRequest]:
        """Every request received and still kept, oldest first; ``/_replay`` is left out."""
        return list(self.journal)

    @property
    def open_streams(self) -> int:
        """How many streamed answers are under way."""
        return self.journal.open_streams

    async def wait_for(self, predicate: Callable[[], bool], timeout: float = 10) -> None:  # noqa: ASYNC109 - the limit belongs to the question asked
        """Return once ``predicate()`` holds; see ``Journal.wait_for``."""
        await self.journal.wait_for(predicate, timeout)

    async def __aenter__(self) -> Self:
        """Start listening; raises ``OSError`` when the address is taken."""
        loop = asyncio.get_running_loop()
        if self.corpus is None:
            self.corpus = await asyncio.to_thread(default_corpus)
        self._protocols = _Protocols(self._handle, self.keepalive_timeout)
        self._server = await loop.create_server(self._protocols, self.host, self.port, backlog=1024)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stop listening, let running answers finish for ``shutdown_grace`` seconds, drop the others."""
        if self._server is None or self._protocols is None:
            return
        self._closing = True
        self._server.close()
        if self.shutdown_grace:
            try:
                await self.wait_for(lambda: not self.open_streams, self.shutdown_grace)
            except TimeoutError:
                pass
        await self._protocols.drop_connections()
        await self._server.wait_closed()

    async def _handle(self, request: web.BaseRequest) -> web.StreamResponse:
        loop = asyncio.get_running_loop()
        record = ReceivedRequest(
            method=request.method,
            raw_path=request.raw_path.encode("utf-8", "surrogateescape"),
            headers=[(name.decode("latin-1"), value.decode("latin-1")) for name, value in request.raw_headers],
            connection_id=self._protocols.connection_id(request.protocol) if self._protocols else 0,
            at=loop.time(),
            request_id=new_id("req"),
        )
        try:
            return await self._exchange(request, record)
        except (asyncio.CancelledError, ClientGoneError) as error:
            self.journal.finish(record, "cut" if self._closing else "client_gone", loop.time())
            if isinstance(error, asyncio.CancelledError):
                raise
            return AlreadySent(keep_alive=False)

    async def _exchange(self, request: web.BaseRequest, record: ReceivedRequest) -> web.StreamResponse:
        try:
            record.body = await _read(request)
        finally:
            self.journal.add(record)
        delivery = Delivery(tokens_per_second=self.tokens_per_second)
        try:
            answer = await self._answer(request, record)
        except ApiError as error:
            answer = _error_answer(error, record.request_id)
        if answer.streamed:
            with self.journal.stream_open():
                outcome = await deliver(request, answer, delivery)
        else:
            outcome = await deliver(request, answer, delivery)
        self.journal.finish(record, outcome, asyncio.get_running_loop().time())
        transport = request.transport
        return AlreadySent(keep_alive=transport is not None and not transport.is_closing())

    async def _answer(self, request: web.BaseRequest, record: ReceivedRequest) -> Answer:
        path = request.path
        match request.method, path:
            case ("HEAD" | "GET", "/api/hello"):
                return _json_answer({"message": "hello"}, record)
            case "POST", "/v1/oauth/token":
                return self._grant(request, record)
        if not path.startswith("/v1/"):
            raise ApiError(404, "Not found")
        oauth = self._authenticate(request)
        version = validation.check_version(request.headers)
        match request.method, path:
            case "POST", "/v1/messages":
                return await self._messages(request, record, version, oauth=oauth)
            case "POST", "/v1/messages/count_tokens":
                body = validation.decode_body(record.body, request.headers.get("content-encoding"))
                validation.check_message(body, version, counting=True)
                record.model = body["model"]
                return _json_answer({"input_tokens": _count(record.body)}, record)
            case "GET", "/v1/models":
                return _json_answer(models.list_models(request.query), record)
            case "GET", _ if path.startswith("/v1/models/"):
                return _json_answer(models.find_model(path.removeprefix("/v1/models/")), record)
            case _, "/v1/messages" | "/v1/messages/count_tokens" | "/v1/models":
                raise ApiError(405, "Method Not Allowed")
        raise ApiError(404, "Not found")

    def _authenticate(self, request: web.BaseRequest) -> bool:
        """Judge the credential; return whether it is an OAuth token. ``x-api-key`` wins over a bearer."""
        key = request.headers.get("x-api-key")
        scheme, _, bearer = request.headers.get("authorization", "").partition(" ")
        if key is None and scheme.lower() != "bearer":
            raise NAMED["missing_key"]
        secret = bearer.strip() if key is None else key
        if key is None and secret.startswith(ACCESS_PREFIX):
            betas = ",".join(request.headers.getall("anthropic-beta", []))
            if _OAUTH_BETA not in betas:
                raise NAMED["oauth_beta_missing"]
            match self.tokens.standing(secret):
                case "expired":
                    raise NAMED["oauth_expired"]
                case "revoked":
                    raise NAMED["oauth_revoked"]
                case "unknown" if self.api_keys is not None and secret not in self.api_keys:
                    raise NAMED["invalid_bearer"]
            return True
        if not secret or (self.api_keys is not None and secret not in self.api_keys):
            raise NAMED["invalid_key" if key is not None else "invalid_bearer"]
        return False

    async def _messages(
        self, request: web.BaseRequest, record: ReceivedRequest, version: str, *, oauth: bool
    ) -> Answer:
        body = validation.decode_body(record.body, request.headers.get("content-encoding"))
        if isinstance(body.get("model"), str):
            record.model = body["model"]
        validation.check_message(body, version)
        streamed = body.get("stream", False)
        headers = [*identity(record.request_id), *(unified_limits() if oauth else rate_limits())]
        if streamed:
            headers += [
                ("Content-Type", "text/event-stream; charset=utf-8"),
                ("Cache-Control", "no-cache"),
            ]
        else:
            headers.append(("Content-Type", "application/json"))
        fixture = request.headers.get("x-replay-stream") or _fixture_of(body["model"])
        if fixture is not None:
            content = await self._fixture("stream" if streamed else "message", fixture)
            return Answer(200, headers, split_events(content) if streamed else [content], streamed)
        reply = compose(body, _count(record.body), _wishes(request))
        return Answer(200, headers, reply.as_events() if streamed else [reply.as_json()], streamed)

    async def _fixture(self, kind: Any, name: str) -> bytes:
        assert self.corpus is not None  # noqa: S101 - set before the server listens
        try:
            return await asyncio.to_thread(self.corpus.read, kind, name)
        except UnknownFixtureError as error:
            raise ApiError(404, f"replay: {error}") from None

    def _grant(self, request: web.BaseRequest, record: ReceivedRequest) -> Answer:
        try:
            pair = self.tokens.grant(_form(request, record.body))
        except GrantError as error:
            answer = _json_answer({"error": error.code, "error_description": error.description}, record)
            answer.status = 400
            return answer
        return _json_answer(pair.as_json(), record)


class _Protocols(web.Server):
    """aiohttp's low-level server, with a number for each connection."""

    def __init__(self, handler: Callable[[web.BaseRequest], Any], keepalive_timeout: float) -> None:
        super().__init__(
            handler,
            request_factory=self._request,
            handler_cancellation=True,
            access_log=None,
            auto_decompress=False,
            keepalive_timeout=keepalive_timeout,
            max_line_size=_LINE_LIMIT,
            max_field_size=_LINE_LIMIT,
        )
        self._ids: dict[RequestHandler, int] = {}
        self._transports: set[asyncio.Transport] = set()
        self._accepted = 0

    def _request(
        self, message: RawRequestMessage, payload: Any, protocol: Any, writer: Any, task: Any
    ) -> web.BaseRequest:
        loop = asyncio.get_running_loop()
        return web.BaseRequest(
            message, payload, protocol, writer, task, loop, client_max_size=_RECEIVE_LIMIT
        )

    def connection_made(self, handler: RequestHandler, transport: asyncio.Transport) -> None:
        super().connection_made(handler, transport)
        self._accepted += 1
        self._ids[handler] = self._accepted

    def connection_lost(self, handler: RequestHandler, exc: BaseException | None = None) -> None:
        self._ids.pop(handler, None)
        super().connection_lost(handler, exc)

    def connection_id(self, handler: RequestHandler) -> int:
        """Return the number of a connection: 1 for the first ever accepted."""
        return self._ids.get(handler, 0)

    async def drop_connections(self) -> None:
        """Drop every connection, which cancels its handler, and wait for the handlers to end."""
        for connection in self.connections:
            if connection.transport is not None:
                connection.transport.abort()
        await self.shutdown(timeout=1)


async def _read(request: web.BaseRequest) -> bytes:
    if request.headers.get("expect", "").lower() == "100-continue" and request.transport is not None:
        # aiohttp answers this only for an Application, not for the low-level server.
        request.transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")
    return await request.read()


def _fixture_of(model: str) -> str | None:
    return model.removeprefix("replay-") if model.startswith("replay-") else None


def _wishes(request: web.BaseRequest) -> Wishes:
    return Wishes(
        tokens=_whole_number(request, "x-replay-tokens"),
        delta_bytes=_whole_number(request, "x-replay-delta-bytes"),
        tool=request.headers.get("x-replay-tool"),
    )


def _whole_number(request: web.BaseRequest, header: str) -> int | None:
    text = request.headers.get(header)
    if text is None:
        return None
    if not text.isdecimal():
        raise ApiError(400, f"{header}: a whole number is needed, not {text!r}")
    return int(text)


def _count(body: bytes) -> int:
    return max(1, len(body) // _BYTES_PER_TOKEN)


def _form(request: web.BaseRequest, body: bytes) -> dict[str, str]:
    from urllib.parse import parse_qsl

    if request.content_type == "application/x-www-form-urlencoded":
        return dict(parse_qsl(body.decode("utf-8", "replace")))
    try:
        value = msgspec.json.decode(body)
    except msgspec.DecodeError:
        return {}
    return {name: text for name, text in value.items() if isinstance(text, str)} if isinstance(value, dict) else {}


def _json_answer(value: Any, record: ReceivedRequest) -> Answer:
    headers = [*identity(record.request_id), ("Content-Type", "application/json")]
    return Answer(200, headers, [msgspec.json.encode(value)])


def _error_answer(error: ApiError, request_id: str) -> Answer:
    headers = [*identity(request_id), ("Content-Type", "application/json"), *error.headers]
    return Answer(error.status, headers, [error.body(request_id)])
