"""A relay between the rules and a gateway that keeps them; a sabotage breaks one thing on its way."""

from __future__ import annotations

import asyncio
import io
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from typing import Any, Final

import aiohttp
from aiohttp import web
from attrs import define, field
from multidict import CIMultiDict
from yarl import URL

_FRAMING: Final = ("connection", "content-length", "host", "keep-alive", "transfer-encoding")
_LOST: Final = (aiohttp.ClientError, ConnectionError)
_OPTIONS: Final[dict[str, Any]] = {"max_line_size": 2**16, "max_field_size": 2**16}


@define
class Request:
    """A client's request, to be changed."""

    method: str
    target: str
    headers: CIMultiDict[str]
    body: bytes


@define
class Response:
    """A gateway's answer, to be changed."""

    status: int
    headers: CIMultiDict[str]
    body: bytes = b""
    whole: bool = True
    """False where the connection broke; it then breaks for the client as well."""


Fetch = Callable[[Request], Awaitable[Response]]


@define
class Sabotage:
    """Breaks something. As it is, it breaks nothing and passes everything on as it comes."""

    request: Callable[[Request], Response | None] | None = None
    """Changes a request, or answers it in the gateway's place."""
    head: Callable[[Response], None] | None = None
    """Changes status and headers, before the body comes."""
    chunk: Callable[[bytes], bytes] | None = None
    """Changes each chunk."""
    answer: Callable[[Response], None] | None = None
    """Changes the whole answer, for which the relay waits."""
    exchange: Callable[[Request, Fetch], Awaitable[Response]] | None = None
    """Makes the answer out of as many others as it likes."""
    holds_open: bool = False
    """Never ends a stream."""
    reads_on: bool = False
    """Does not notice that the client has gone."""
    past_the_gateway: bool = False
    """Goes to the upstream itself: what it sends comes through."""


@define
class Relay:
    """Serves one sabotage."""

    sabotage: Sabotage
    gateway: str
    upstream: str
    session: aiohttp.ClientSession
    _runs: list[asyncio.Future[Any]] = field(factory=list)

    async def handle(self, request: web.BaseRequest) -> web.StreamResponse:
        """Answer one request."""
        if request.headers.get("expect", "").lower() == "100-continue" and request.transport is not None:
            request.transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        asked = Request(request.method, request.raw_path, _end_to_end(request.headers), await request.read())
        sabotage = self.sabotage
        made = sabotage.request(asked) if sabotage.request is not None else None
        if made is None and sabotage.exchange is not None:
            made = await sabotage.exchange(asked, self._fetch)
        elif made is None and sabotage.answer is not None:
            made = await self._fetch(asked)
        if made is not None:
            if sabotage.answer is not None:
                sabotage.answer(made)
            return await _give(request, made)
        return await self._pass(request, asked)

    def _call(self, asked: Request) -> Any:
        base = self.gateway
        if self.sabotage.past_the_gateway:
            base, asked.target = self.upstream, asked.target.removeprefix("/claude")
        url = URL(base + asked.target, encoded=True)
        return self.session.request(
            asked.method,
            url,
            headers=asked.headers,
            data=io.BytesIO(asked.body) if asked.body else None,
            allow_redirects=False,
        )

    async def _fetch(self, asked: Request) -> Response:
        made = Response(0, CIMultiDict())
        try:
            async with self._call(asked) as response:
                made.status, made.headers = response.status, _end_to_end(response.headers)
                while chunk := await response.content.readany():
                    made.body += chunk
        except _LOST:
            made.whole = False
        return made

    async def _pass(self, request: web.BaseRequest, asked: Request) -> web.StreamResponse:
        sabotage = self.sabotage
        async with self._call(asked) as upstream:
            changed = Response(upstream.status, _end_to_end(upstream.headers))
            if sabotage.head is not None:
                sabotage.head(changed)
            response = web.StreamResponse(status=changed.status, headers=changed.headers)
            await response.prepare(request)
            try:
                while chunk := await upstream.content.readany():
                    data = sabotage.chunk(chunk) if sabotage.chunk is not None else chunk
                    with suppress(*(_LOST if sabotage.reads_on else ())):
                        await response.write(data)
            except _LOST:
                if request.transport is not None:
                    request.transport.abort()
                return response
            if sabotage.holds_open and changed.headers.get("content-type", "").startswith("text/event-stream"):
                await asyncio.get_running_loop().create_future()
        return response


async def _give(request: web.BaseRequest, made: Response) -> web.StreamResponse:
    response = web.StreamResponse(status=made.status or 502, headers=made.headers)
    await response.prepare(request)
    if request.method != "HEAD":
        await response.write(made.body)
    if not made.whole and request.transport is not None:
        request.transport.abort()
    return response


def _end_to_end(headers: Any) -> CIMultiDict[str]:
    return CIMultiDict((name, value) for name, value in headers.items() if name.lower() not in _FRAMING)


@asynccontextmanager
async def relaying(sabotage: Sabotage, gateway: str, upstream: str) -> AsyncGenerator[str]:
    """Run a relay and give its URL."""
    loop = asyncio.get_running_loop()
    async with aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(limit=0, force_close=True),
        cookie_jar=aiohttp.DummyCookieJar(),
        auto_decompress=False,
        skip_auto_headers=("User-Agent", "Accept", "Accept-Encoding", "Content-Type"),
        **_OPTIONS,
    ) as session:
        server = web.Server(
            Relay(sabotage, gateway, upstream, session).handle,
            request_factory=lambda *parts: web.BaseRequest(*parts, loop, client_max_size=2**26),
            handler_cancellation=not sabotage.reads_on,
            access_log=None,
            auto_decompress=False,
            **_OPTIONS,
        )
        runner = web.ServerRunner(server, handle_signals=False, shutdown_timeout=0.01)
        await runner.setup()
        try:
            await web.TCPSite(runner, "127.0.0.1", 0, backlog=256).start()
            host, port = runner.addresses[0][:2]
            yield f"http://{host}:{port}"
        finally:
            await runner.cleanup()
