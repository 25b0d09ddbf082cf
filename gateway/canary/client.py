"""A client that keeps what it saw: status, headers, every piece of the body with its time, and how it ended."""

from __future__ import annotations

import asyncio
import io
from collections.abc import Mapping
from enum import StrEnum
from types import TracebackType
from typing import Any, Final, Self

import aiohttp
import msgspec
from attrs import define, field
from multidict import CIMultiDict, CIMultiDictProxy
from yarl import URL

from gateway.canary.streams import StreamReading
from gateway.setting_values import BadValueError, check_base_url, check_credential, is_loopback
from gateway.wire.errors import GATEWAY_REQUEST_ID_HEADER, REQUEST_ID_HEADER, SERVER_NAME
from sse_fsm import EndReason

__all__ = [
    "CanaryClient",
    "CannotRunError",
    "Ending",
    "Exchange",
    "Key",
    "Piece",
    "Request",
    "Target",
    "encode",
]

ANTHROPIC_VERSION: Final = "2023-06-01"
_CONNECT_SECONDS: Final = 10.0
_LARGEST_ANSWER: Final = 32 * 1024 * 1024
_KEPT_PIECES: Final = 4  # of an answer that is larger; each is what one read gave
_LARGE_BODY: Final = 1024 * 1024  # bytes from which aiohttp wants a file to send them from
_HEADER_BYTES: Final = 64 * 1024
_DEEPEST_JSON: Final = 100
_WRONG_KEY: Final = "a-key-that-nobody-has-made"


class CannotRunError(Exception):
    """There is nothing to talk to, or no way to; the message says why and what to do."""


class Key(StrEnum):
    """Which credential goes with a request."""

    OWN = "own"
    #: None at all.
    NONE = "none"
    #: One that cannot be valid.
    WRONG = "wrong"


class Ending(StrEnum):
    """How reading an answer ended."""

    #: Its own framing says that it is whole.
    COMPLETE = "complete"
    #: The connection broke, or the body ended short.
    CUT = "cut"
    #: It took too long.
    TIMEOUT = "timeout"
    #: The message was over, and the answer was not ended.
    LEFT_OPEN = "left open"
    #: It was larger than anybody would keep.
    TOO_LARGE = "too large"
    #: There was no answer.
    NO_ANSWER = "no answer"


@define(frozen=True)
class Request:
    """What to send."""

    method: str
    path: str
    """Below the base URL, its query included."""
    body: bytes | None = None
    headers: Mapping[str, str] = field(factory=dict)
    """Beside, or in the place of, the usual ones."""
    without: frozenset[str] = frozenset()
    """Usual headers to be left out, in lower case."""
    key: Key = Key.OWN


@define(frozen=True)
class Piece:
    """Bytes that came together, and when."""

    at: float
    """Seconds since the request began to be sent."""
    data: bytes


@define(eq=False)
class Exchange:
    """A request and what came of it."""

    url: str
    request: Request
    sent: CIMultiDict[str]
    """Headers as they were sent, the credential included: mask before printing."""
    status: int | None = None
    headers: CIMultiDictProxy[str] = field(factory=lambda: CIMultiDictProxy(CIMultiDict()))
    pieces: list[Piece] = field(factory=list)
    stream: StreamReading | None = None
    """Of an answer that says it is an event stream."""
    ending: Ending = Ending.NO_ANSWER
    trouble: str = ""
    """What went wrong on the way, in a few words."""
    seconds: float = 0.0
    """From the first byte sent to the last one received."""

    @property
    def body(self) -> bytes:
        """The body, without its transfer coding."""
        return b"".join(piece.data for piece in self.pieces)

    @property
    def milliseconds(self) -> int:
        """The time that it all took."""
        return round(self.seconds * 1000)

    def header(self, name: str) -> str | None:
        """Return a header of the answer."""
        return self.headers.get(name)

    @property
    def content_type(self) -> str:
        """The media type of the answer, without parameters."""
        return self.headers.get("content-type", "").partition(";")[0].strip().lower()

    @property
    def content_encoding(self) -> str | None:
        """How the body is compressed; None where it is not."""
        coding = self.headers.get("content-encoding", "").strip().lower()
        return None if coding in ("", "identity") else coding

    @property
    def request_id(self) -> str | None:
        """The API's id of the request."""
        return self.headers.get(REQUEST_ID_HEADER)

    @property
    def is_from_gateway(self) -> bool:
        """Whether a gateway of ours put its mark on the answer."""
        return GATEWAY_REQUEST_ID_HEADER in self.headers

    def json(self) -> Any:
        """Return the body as JSON; None if it is none, or one so deep that nobody could compare or print it."""
        try:
            value = msgspec.json.decode(self.body)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            return None
        return None if _is_deep(value) else value

    @property
    def message(self) -> dict[str, Any] | None:
        """The message that a stream added up to, or that came whole."""
        if self.stream is not None:
            return self.stream.message
        value = self.json()
        return value if isinstance(value, dict) and value.get("type") == "message" else None


def _is_deep(value: Any) -> bool:
    level = [value]
    for _ in range(_DEEPEST_JSON):
        level = [
            item
            for one in level
            if isinstance(one, dict | list)
            for item in (one.values() if isinstance(one, dict) else one)
        ]
        if not level:
            return False
    return True


def encode(value: Any) -> bytes:
    """Return a JSON body."""
    return msgspec.json.encode(value)


@define(frozen=True)
class Target:
    """A place to send requests to, and what goes with each."""

    base_url: str
    """Without a slash at the end."""
    key: str = field(default="", repr=False)
    bearer: bool = False
    """Send the key as `Authorization: Bearer` rather than `x-api-key`."""
    headers: Mapping[str, str] = field(factory=dict, repr=False)
    """For every request."""
    openai: bool = False
    """Whether it speaks OpenAI's dialect: bearer tokens, no `anthropic-version`."""

    @classmethod
    def of(cls, base_url: str, key: str = "", **options: Any) -> Self:
        """Make one of what somebody typed.

        Raises:
            CannotRunError: it cannot be used; never tells the key.
        """
        url = base_url.strip().rstrip("/")
        try:
            check_base_url(url)
        except BadValueError:
            raise CannotRunError(
                "a base URL is like http://127.0.0.1:8787/claude: a scheme, a host, perhaps a path; no user, "
                "password, query or fragment"
            ) from None
        try:
            check_credential(key)
        except BadValueError as error:
            raise CannotRunError(f"the key {error}") from None
        return cls(url, key, **options)

    @property
    def is_loopback(self) -> bool:
        """Whether it is on this machine."""
        return is_loopback((URL(self.base_url).host or "").lower())

    def headers_of(self, request: Request) -> CIMultiDict[str]:
        """Return the headers that a request goes out with."""
        found: CIMultiDict[str] = CIMultiDict(
            {"accept": "application/json", "user-agent": f"{SERVER_NAME}-canary"}
        )
        if not self.openai:
            found["anthropic-version"] = ANTHROPIC_VERSION
        if request.body is not None:
            found["content-type"] = "application/json"
        key = {Key.OWN: self.key, Key.NONE: "", Key.WRONG: _WRONG_KEY}[request.key]
        if key and (self.bearer or self.openai):
            found["authorization"] = f"Bearer {key}"
        elif key:
            found["x-api-key"] = key
        found.update(self.headers)
        found.update(request.headers)
        for name in request.without:
            found.popall(name, None)
        return found


_AUTOMATIC: Final = ("Accept", "Accept-Encoding", "User-Agent", "Content-Type")


@define(eq=False)
class CanaryClient:
    """Sends requests and keeps the answers. To be used as an async context manager."""

    answer_seconds: float = 60.0
    """For one answer, from the first attempt to connect to its last byte."""
    end_seconds: float = 5.0
    """For the end of an answer behind `message_stop`: clients that read to the end would hang otherwise."""
    _session: aiohttp.ClientSession = field(init=False)

    async def __aenter__(self) -> Self:
        """Open a session."""
        self._session = aiohttp.ClientSession(
            cookie_jar=aiohttp.DummyCookieJar(),
            connector=aiohttp.TCPConnector(limit=0),
            timeout=aiohttp.ClientTimeout(total=None, sock_connect=_CONNECT_SECONDS),
            auto_decompress=False,
            skip_auto_headers=_AUTOMATIC,
            max_line_size=_HEADER_BYTES,
            max_field_size=_HEADER_BYTES,
            trust_env=False,
        )
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close it."""
        await self._session.close()

    async def send(self, target: Target, request: Request) -> Exchange:
        """Send a request and return what came of it, whatever that is.

        Redirects are not followed: a client's key would go with it.

        Raises:
            CannotRunError: no connection could be made.
        """
        url = target.base_url + request.path
        exchange = Exchange(url, request, target.headers_of(request))
        body: Any = request.body
        if body is not None and len(body) >= _LARGE_BODY:
            body = io.BytesIO(body)
        clock = asyncio.get_running_loop().time
        started = clock()
        try:
            async with (
                asyncio.timeout(self.answer_seconds) as limit,
                self._session.request(
                    request.method,
                    URL(url, encoded=True),
                    headers=exchange.sent,
                    data=body,
                    allow_redirects=False,
                ) as response,
            ):
                exchange.status = response.status
                exchange.headers = response.headers
                exchange.ending = Ending.CUT
                await self._read(response, exchange, started, limit)
        except TimeoutError as error:
            if isinstance(error, aiohttp.ConnectionTimeoutError):
                raise CannotRunError(_unreachable(target, error)) from None
            exchange.ending = exchange.ending if exchange.ending is Ending.LEFT_OPEN else Ending.TIMEOUT
            exchange.trouble = "no end in time" if exchange.status is not None else "no answer in time"
        except aiohttp.ClientConnectorError as error:
            raise CannotRunError(_unreachable(target, error)) from None
        except (aiohttp.ClientError, OSError, ValueError) as error:
            exchange.ending = Ending.NO_ANSWER if exchange.status is None else Ending.CUT
            exchange.trouble = _TROUBLES.get(type(error), type(error).__name__)
        exchange.seconds = clock() - started
        if exchange.stream is not None and exchange.stream.verdict is None:
            reasons = {Ending.COMPLETE: EndReason.EOF, Ending.TIMEOUT: EndReason.TIMEOUT}
            exchange.stream.finish(reasons.get(exchange.ending, EndReason.CUT))
        return exchange

    async def _read(
        self, response: aiohttp.ClientResponse, exchange: Exchange, started: float, limit: asyncio.Timeout
    ) -> None:
        clock = asyncio.get_running_loop().time
        if exchange.content_type == "text/event-stream" and exchange.content_encoding is None:
            exchange.stream = StreamReading()
        size = 0
        while chunk := await response.content.readany():
            at = clock() - started
            exchange.pieces.append(Piece(at, chunk))
            size += len(chunk)
            if size > _LARGEST_ANSWER:
                exchange.ending = Ending.TOO_LARGE
                # It is wrong whatever it says; many of them would not fit into memory.
                del exchange.pieces[_KEPT_PIECES:]
                response.close()
                return
            if exchange.stream is not None:
                exchange.stream.feed(chunk, at)
                if exchange.stream.is_over and exchange.ending is Ending.CUT:
                    exchange.ending = Ending.LEFT_OPEN
                    limit.reschedule(min(limit.when() or clock() + self.end_seconds, clock() + self.end_seconds))
        exchange.ending = Ending.COMPLETE

    async def try_send(self, target: Target, request: Request) -> Exchange:
        """Send a request as `send` does; where nothing can be connected with, the exchange says so."""
        try:
            return await self.send(target, request)
        except CannotRunError as error:
            exchange = Exchange(target.base_url + request.path, request, target.headers_of(request))
            exchange.trouble = str(error)
            return exchange


_TROUBLES: Final[Mapping[type[BaseException], str]] = {
    aiohttp.ServerDisconnectedError: "the connection was closed without an answer",
    aiohttp.ClientOSError: "the connection broke",
    aiohttp.ClientPayloadError: "the body ended short",
    aiohttp.ClientResponseError: "what answers does not speak HTTP",
    ConnectionResetError: "the connection was reset",
}


def _unreachable(target: Target, error: BaseException) -> str:
    place = URL(target.base_url).origin()
    if isinstance(error, aiohttp.ClientConnectorDNSError):
        return f"the name of {place} cannot be resolved; see the base URL and the name server"
    if isinstance(error, aiohttp.ClientConnectorCertificateError):
        return f"the certificate of {place} is not valid; see the base URL, this machine's clock and authorities"
    if isinstance(error, aiohttp.ClientSSLError):
        return f"{place} does not speak TLS; see the scheme and the port of the base URL"
    if isinstance(error, TimeoutError):
        return f"{place} takes no connection in time; see the base URL, and what is between"
    return (
        f"{place} refuses connections; see that the gateway runs and listens there (`gateway serve` says where), "
        "and that the base URL has its port"
    )
