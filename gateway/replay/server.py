"""The replay upstream: a server that speaks the Anthropic API over real sockets."""

import asyncio
import contextlib
from collections.abc import Callable
from types import TracebackType
from typing import Any, Self

import attrs
import msgspec
from aiohttp import web

from gateway.replay import damage
from gateway.replay.control import PREFIX as CONTROL_PREFIX
from gateway.replay.control import control
from gateway.replay.delivery import AlreadySent, Answer, ClientGoneError, Delivery, deliver, hang, refuse
from gateway.replay.endpoints import Endpoints, error_answer, json_answer, whole_number
from gateway.replay.errors import ApiError
from gateway.replay.faults import Fault, FaultScript, FaultSyntaxError, parse_faults
from gateway.replay.fixtures import Corpus, UnknownFixtureError, default_corpus
from gateway.replay.headers import new_id
from gateway.replay.journal import Ending, Journal, ReceivedRequest
from gateway.replay.protocols import NumberedServer, read_body
from gateway.replay.tokens import TokenAuthority


class _Peek(msgspec.Struct):
    """The two members of a request body that choose its faults, whatever else is wrong with it."""

    model: Any = None
    stream: Any = False


@attrs.frozen
class Staging:
    """What a director wants for one request: these faults, and this answer in place of the API's."""

    faults: tuple[Fault, ...] = ()
    answer: Answer | None = None


Director = Callable[[ReceivedRequest], Staging | None]
"""Looks at a request that is whole and says what becomes of it; ``None`` leaves that to the upstream."""


@attrs.define(eq=False)
class ReplayUpstream:
    """An Anthropic API on ``host``:``port`` for as long as the ``async with`` block runs.

    ``tokens_per_second`` paces streamed deltas (0: as fast as the client reads). ``faults`` is a script, or
    anything that ``FaultScript.of`` makes one of. ``api_keys`` limits who may ask; ``None`` takes any
    credential, though one must be there. Tokens issued by ``tokens`` are always judged by their standing.
    ``shutdown_grace`` is how many seconds running answers get to finish at the end. ``director`` is asked about
    each request before headers and script are: a gateway under test may keep those from coming through.
    ``stream`` is played, byte for byte, to whoever asks for a stream and names no fixture.

    Request headers choose the answer: ``x-replay-stream`` (or a model named ``replay-NAME``) plays a fixture,
    ``x-replay-tokens`` and ``x-replay-delta-bytes`` size a made-up text, ``x-replay-tool`` names the tool to
    call (``none``: no call), ``x-replay-tokens-per-second`` sets the pace, ``x-replay-fault`` the faults.
    """

    host: str = "127.0.0.1"
    port: int = 0
    tokens_per_second: float = 0
    faults: FaultScript = attrs.field(default=None, converter=FaultScript.of)
    api_keys: set[str] | None = None
    keepalive_timeout: float = 75
    shutdown_grace: float = 0
    keep_requests: int = 10_000
    tokens: TokenAuthority = attrs.field(factory=TokenAuthority)
    corpus: Corpus | None = None
    stream: bytes | None = None
    director: Director | None = None
    journal: Journal = attrs.field(init=False)
    _listener: asyncio.Server | None = attrs.field(default=None, init=False)
    _server: NumberedServer = attrs.field(init=False)
    _endpoints: Endpoints = attrs.field(init=False)
    _closing: bool = attrs.field(default=False, init=False)

    def __attrs_post_init__(self) -> None:
        """Start with an empty journal."""
        self.journal = Journal(self.keep_requests)

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
        """How many streamed answers are under way, silent ones included."""
        return self.journal.open_streams

    async def wait_for(self, predicate: Callable[[], bool], timeout: float = 30) -> None:  # noqa: ASYNC109 - the limit belongs to the question asked
        """Return once ``predicate()`` holds, asked at every change of the record.

        Raises ``TimeoutError`` with a summary of the record after ``timeout`` seconds.
        """
        await self.journal.wait_for(predicate, timeout)

    async def __aenter__(self) -> Self:
        """Start listening; raises ``OSError`` when the address is taken."""
        if self.corpus is None:
            self.corpus = await asyncio.to_thread(default_corpus)
        self._endpoints = Endpoints(self.tokens, self.corpus, self.api_keys, self.stream)
        self._server = NumberedServer(self._handle, self.keepalive_timeout)
        loop = asyncio.get_running_loop()
        self._listener = await loop.create_server(self._server, self.host, self.port, backlog=1024)
        self.port = self._listener.sockets[0].getsockname()[1]
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stop listening, let running answers finish for ``shutdown_grace`` seconds, drop the others."""
        if self._listener is None:
            return
        self._listener.close()
        if self.shutdown_grace:
            with contextlib.suppress(TimeoutError):
                await self.wait_for(lambda: not self.open_streams, self.shutdown_grace)
        self._closing = True
        await self._server.drop_connections()
        await self._listener.wait_closed()

    async def _handle(self, request: web.BaseRequest) -> web.StreamResponse:
        loop = asyncio.get_running_loop()
        record = ReceivedRequest(
            method=request.method,
            raw_path=request.raw_path.encode("utf-8", "surrogateescape"),
            headers=[(name.decode("latin-1"), value.decode("latin-1")) for name, value in request.raw_headers],
            connection_id=self._server.number_of(request.protocol),
            at=loop.time(),
            request_id=new_id("req"),
        )
        try:
            if request.path.startswith(CONTROL_PREFIX):
                await self._control(request, record)
            else:
                self.journal.finish(record, await self._exchange(request, record), loop.time())
        except (asyncio.CancelledError, ClientGoneError) as error:
            self.journal.finish(record, "cut" if self._closing else "client_gone", loop.time())
            if isinstance(error, asyncio.CancelledError):
                raise
        transport = request.transport
        return AlreadySent(keep_alive=transport is not None and not transport.is_closing())

    async def _control(self, request: web.BaseRequest, record: ReceivedRequest) -> None:
        body = await read_body(request)
        try:
            answer = json_answer(control(self, request, body), record)
        except ApiError as error:
            answer = error_answer(error, record.request_id)
        await deliver(request, answer, Delivery())

    async def _exchange(self, request: web.BaseRequest, record: ReceivedRequest) -> Ending:
        """Read a request and answer it, with whatever faults befall it; return how that ended."""
        try:
            record.body = await read_body(request)
        finally:
            self.journal.add(record)
        delivery = Delivery(tokens_per_second=self.tokens_per_second)
        try:
            staging = None if self.director is None else self.director(record)
            faults = self._faults_of(request, record) if staging is None else staging.faults
            for fault in faults:
                if fault.kind == "refuse":
                    await refuse(request)
                    return "cut"
                if fault.kind == "hang" and fault.at == "head":
                    with self.journal.stream_open():
                        await hang(fault.seconds)
            answer = None if staging is None else staging.answer
            if answer is None:
                answer = await self._answer(request, record, faults)
            delivery.tokens_per_second = (
                whole_number(request, "x-replay-tokens-per-second") or self.tokens_per_second
            )
            damage.apply(faults, answer, delivery)
        except ApiError as error:
            answer, delivery = error_answer(error, record.request_id), Delivery()
        if not answer.streamed:
            return await deliver(request, answer, delivery)
        with self.journal.stream_open():
            return await deliver(request, answer, delivery)

    def _faults_of(self, request: web.BaseRequest, record: ReceivedRequest) -> tuple[Fault, ...]:
        asked = request.headers.get("x-replay-fault")
        if asked is not None:
            try:
                return parse_faults(asked)
            except FaultSyntaxError as error:
                raise ApiError(400, f"x-replay-fault: {error}") from None
        if not self.faults.rules:
            return ()
        try:
            peek = msgspec.json.decode(record.body, type=_Peek)
        except msgspec.DecodeError:
            peek = _Peek()
        record.model = peek.model if isinstance(peek.model, str) else None
        _, credential = record.credential or ("", "")
        if credential[:7].lower() == "bearer ":
            credential = credential[7:]
        return self.faults.take(request.path, record.model, credential, streamed=peek.stream is True)

    async def _answer(
        self, request: web.BaseRequest, record: ReceivedRequest, faults: tuple[Fault, ...]
    ) -> Answer:
        for fault in faults:
            if fault.kind in ("status", "error"):
                return error_answer(await self._error(fault), record.request_id)
        try:
            return await self._endpoints.answer(request, record)
        except ApiError as error:
            return error_answer(error, record.request_id)

    async def _error(self, fault: Fault) -> Any:
        assert self.corpus is not None  # noqa: S101 - set before the server listens
        recorded = None
        if fault.name is not None:
            with contextlib.suppress(UnknownFixtureError):
                recorded = await asyncio.to_thread(self.corpus.error, fault.name)
        return damage.error_of(fault, recorded)
