"""aiohttp's low-level server, set up so that it hides nothing of what arrives."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

from aiohttp import web
from aiohttp.http_parser import RawRequestMessage
from aiohttp.web_protocol import RequestHandler

_RECEIVE_LIMIT = 64 * 2**20
_LINE_LIMIT = 64 * 1024


class NumberedServer(web.Server):
    """A protocol factory that numbers its connections from 1 on, so that reuse of one can be seen."""

    def __init__(
        self, handler: Callable[[web.BaseRequest], Awaitable[web.StreamResponse]], keepalive_timeout: float
    ) -> None:
        """Serve ``handler``; idle connections close after ``keepalive_timeout`` seconds."""
        super().__init__(
            handler,
            request_factory=_request,
            handler_cancellation=True,
            access_log=None,
            auto_decompress=False,
            keepalive_timeout=keepalive_timeout,
            max_line_size=_LINE_LIMIT,
            max_field_size=_LINE_LIMIT,
        )
        self._numbers: dict[RequestHandler, int] = {}
        self._accepted = 0

    def connection_made(self, handler: RequestHandler, transport: asyncio.Transport) -> None:
        """Give a new connection its number."""
        super().connection_made(handler, transport)
        self._accepted += 1
        self._numbers[handler] = self._accepted

    def connection_lost(self, handler: RequestHandler, exc: BaseException | None = None) -> None:
        """Forget a connection."""
        self._numbers.pop(handler, None)
        super().connection_lost(handler, exc)

    def number_of(self, handler: RequestHandler) -> int:
        """Return the number of an open connection, 0 for one that is gone."""
        return self._numbers.get(handler, 0)

    async def drop_connections(self) -> None:
        """Drop every connection, which cancels its handler, and wait for the handlers to end."""
        for connection in self.connections:
            if connection.transport is not None:
                connection.transport.abort()
        await self.shutdown(timeout=1)


def _request(message: RawRequestMessage, payload: Any, protocol: Any, writer: Any, task: Any) -> web.BaseRequest:
    loop = asyncio.get_running_loop()
    return web.BaseRequest(message, payload, protocol, writer, task, loop, client_max_size=_RECEIVE_LIMIT)


async def read_body(request: web.BaseRequest) -> bytes:
    """Return the request's body, having told a client that waits for it to go on."""
    if request.headers.get("expect", "").lower() == "100-continue" and request.transport is not None:
        # aiohttp answers this only for an Application, not for the low-level server.
        request.transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")
    return await request.read()
