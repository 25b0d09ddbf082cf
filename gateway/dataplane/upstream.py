"""The client side of the gateway: one aiohttp session, set up for long streams of untouched bytes."""

from __future__ import annotations

import asyncio
import functools
import socket
from collections.abc import AsyncGenerator
from contextvars import ContextVar
from types import SimpleNamespace
from typing import Any, Final, Self

import aiohttp
from aiohttp.client_proto import ResponseHandler
from attrs import define, field
from multidict import CIMultiDict
from yarl import URL

from gateway.config import Limits, Timeouts
from gateway.wire.forbidden import CarefulResolver, ForbiddenAddressError

__all__ = ["Upstream", "UpstreamFault"]

_SLICE: Final = 64 * 1024
_KEEPALIVE_SECONDS: Final = 60
_AUTOMATIC_HEADERS: Final = ("User-Agent", "Accept", "Accept-Encoding", "Content-Type")

NETWORK_ERRORS: Final = (aiohttp.ClientError, ConnectionError, asyncio.IncompleteReadError, OSError)
"""What reading from or connecting to an upstream may raise, timeouts aside."""


class UpstreamFault(Exception):  # noqa: N818 - it is the upstream's fault, not an error of the program
    """No usable answer came from the upstream."""

    def __init__(self, message: str, *, timed_out: bool = False) -> None:
        """Say in one sentence what happened; no secrets, no addresses of the operator's network."""
        super().__init__(message)
        self.message = message
        self.timed_out = timed_out


class _Connection(ResponseHandler):
    """An upstream connection that resumes reading only when reading was paused.

    aiohttp asks it to resume after every chunk that is read from it, and each time runs its parser over
    nothing and calls the transport: a fifth of what relaying a small event costs in user space.
    """

    def resume_reading(self, resume_parser: bool = True) -> None:  # noqa: FBT001, FBT002 - aiohttp's signature
        if self._reading_paused or self._buffer_paused:
            super().resume_reading(resume_parser)


class _Connector(aiohttp.TCPConnector):
    """aiohttp's connector with our connections."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self._factory = functools.partial(_Connection, loop=self._loop)

    async def _get(self, key: Any, traces: Any) -> Any:
        return None if _fresh.get() else await super()._get(key, traces)


_fresh: Final[ContextVar[bool]] = ContextVar("fresh", default=False)
"""Whether the request that is being sent needs a connection that nobody used before."""


class _StaleConnectionError(Exception):
    """The upstream had closed a kept-alive connection before the request reached it."""


@define
class Upstream:
    """Sends requests on. To be used as an async context manager."""

    timeouts: Timeouts
    limits: Limits
    _session: aiohttp.ClientSession | None = field(default=None, init=False)

    async def __aenter__(self) -> Self:
        """Open the session."""
        traces = aiohttp.TraceConfig()
        traces.on_connection_reuseconn.append(_note_reuse)
        longest = self.limits.header_bytes
        self._session = aiohttp.ClientSession(
            # Streams last; how many there may be is decided at admission, not by a silent queue here.
            connector=_Connector(
                limit=0,
                ttl_dns_cache=300,
                keepalive_timeout=30,
                socket_factory=_make_socket,
                resolver=CarefulResolver(),
            ),
            timeout=aiohttp.ClientTimeout(
                total=None, sock_connect=self.timeouts.upstream_connect_seconds, sock_read=None
            ),
            # One tenant's cookies must not travel with another's request.
            cookie_jar=aiohttp.DummyCookieJar(),
            auto_decompress=False,
            trust_env=False,
            read_bufsize=_SLICE,
            max_line_size=longest,
            max_field_size=longest,
            skip_auto_headers=_AUTOMATIC_HEADERS,
            trace_configs=[traces],
        )
        return self

    async def __aexit__(self, *_: object) -> None:
        """Close the session and its connections."""
        if self._session is not None:
            await self._session.close()
            self._session = None

    async def send(
        self, method: str, base_url: str, target: str, headers: CIMultiDict[str], body: bytes | bytearray
    ) -> aiohttp.ClientResponse:
        """Send a request and return the answer once its head is there.

        A request that dies on a kept-alive connection before any byte of an answer is sent once more, on a fresh
        connection: the upstream had closed the other one already.

        Args:
            method: HTTP method.
            base_url: of the provider, without a trailing slash.
            target: path and query exactly as they are to be sent, from the first slash on.
            headers: to send; none are added but Host and Content-Length.
            body: to send.

        Raises:
            UpstreamFault: no head of an answer came.
        """
        url = _exact_url(base_url, target)
        if method in {"POST", "PUT", "PATCH"} or body:
            headers["content-length"] = str(len(body))
        try:
            return await self._send(method, url, headers, body)
        except _StaleConnectionError:
            # Any other idle connection may be as stale.
            _fresh.set(True)
        try:
            return await self._send(method, url, headers, body)
        finally:
            _fresh.set(False)

    async def _send(
        self, method: str, url: URL, headers: CIMultiDict[str], body: bytes | bytearray
    ) -> aiohttp.ClientResponse:
        if self._session is None:
            raise RuntimeError("the upstream session is not open")
        facts: dict[str, bool] = {}
        try:
            async with asyncio.timeout(self.timeouts.upstream_head_seconds):
                return await self._session.request(
                    method,
                    url,
                    headers=headers,
                    data=_slices(body) if len(body) > _SLICE else bytes(body) or None,
                    allow_redirects=False,
                    trace_request_ctx=facts,
                )
        except TimeoutError:
            raise UpstreamFault("The upstream did not answer in time.", timed_out=True) from None
        except NETWORK_ERRORS as error:
            if facts.get("reused") and _before_any_answer(error):
                raise _StaleConnectionError from None
            raise UpstreamFault(_describe(error)) from None


def _exact_url(base_url: str, target: str) -> URL:
    """Join the two so that the request line will hold `target` byte for byte.

    All of it counts as path: parsed, it would lose an empty query, and everything from a `#` on.
    """
    base = URL(base_url, encoded=True)
    return URL.build(
        scheme=base.scheme,
        authority=base.raw_authority,
        path=base.raw_path.removesuffix("/") + target,
        encoded=True,
    )


def _before_any_answer(error: BaseException) -> bool:
    if isinstance(error, aiohttp.ServerDisconnectedError):
        # Otherwise it holds what had come of a response head.
        return isinstance(error.message, str)
    return isinstance(error, aiohttp.ClientOSError)


def _make_socket(address: aiohttp.AddrInfoType) -> socket.socket:
    """Make a socket that notices a peer that is gone: an answer may be silent for ten minutes."""
    family, kind, protocol, _, _ = address
    made = socket.socket(family, kind, protocol)
    made.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    if hasattr(socket, "TCP_KEEPIDLE"):
        made.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, _KEEPALIVE_SECONDS)
        made.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, _KEEPALIVE_SECONDS // 4)
    return made


async def _note_reuse(_session: aiohttp.ClientSession, context: SimpleNamespace, _params: Any) -> None:
    context.trace_request_ctx["reused"] = True


async def _slices(body: bytes | bytearray) -> AsyncGenerator[memoryview, None]:
    """Send a large body in pieces, so that other streams get their turn in between."""
    view = memoryview(body)
    for start in range(0, len(view), _SLICE):
        yield view[start : start + _SLICE]


def _describe(error: BaseException) -> str:
    if isinstance(error, aiohttp.ClientConnectorDNSError):
        is_forbidden = isinstance(error.os_error, ForbiddenAddressError)
        why = "leads to an address that no provider has" if is_forbidden else "could not be resolved"
        return f"The upstream's name {why}."
    if isinstance(error, (aiohttp.ClientConnectorCertificateError, aiohttp.ClientSSLError)):
        return "The TLS connection to the upstream failed."
    if isinstance(error, aiohttp.ClientConnectorError):
        return "The upstream refused the connection."
    if isinstance(error, (aiohttp.ServerDisconnectedError, ConnectionError, aiohttp.ClientOSError)):
        return "The upstream closed the connection without an answer."
    if isinstance(error, aiohttp.ClientResponseError):
        return "The upstream's answer is not valid HTTP."
    return f"The connection to the upstream failed ({type(error).__name__})."
