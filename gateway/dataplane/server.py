"""The data plane's HTTP server: routes, connections, and how it starts and ends."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Final

from aiohttp import web
from aiohttp.http_exceptions import BadHttpMethod
from attrs import define, field

from gateway.config import Settings
from gateway.dataplane.messages import GATEWAY_REQUEST_ID_HEADER, MessagesApi
from gateway.telemetry.logs import get_logger
from gateway.wire.errors import SERVER_NAME, ApiError, new_request_id
from sse_fsm import EndReason

__all__ = ["DataPlane"]

_log = get_logger(__name__)

_PREFIX: Final = "/claude"
_MODEL: Final = re.compile(r"/v1/models/(?!\.{1,2}$)[A-Za-z0-9._:@~-]{1,256}")
# RFC 9112, section 3.2.2: a server takes a target in absolute form too. Its host is as little of interest here
# as the Host header is.
_ORIGIN: Final = re.compile(r"\Ahttps?://[^/?#]*(?=/)", re.IGNORECASE)
_LINGER_SECONDS: Final = 2.0
_READ_BUFFER: Final = 64 * 1024

Handler = Callable[[web.BaseRequest, str], Awaitable[web.StreamResponse]]


class _Connection(web.RequestHandler):
    """A client connection that has to send its first request head in time, and gets errors in our form."""

    __slots__ = ("_head_seconds", "_head_timer")

    def __init__(self, manager: web.Server, *, head_seconds: float, **kwargs: Any) -> None:
        super().__init__(manager, **kwargs)
        self._head_seconds = head_seconds
        self._head_timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        self._head_timer = self._loop.call_later(self._head_seconds, self._expire_head)

    def connection_lost(self, exc: BaseException | None) -> None:
        self._stop_head_timer()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        if self._head_timer is not None and self._request_count:
            self._stop_head_timer()

    def handle_error(
        self,
        request: web.BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,  # noqa: ARG002 - the parser's text may quote what the client sent
    ) -> web.StreamResponse:
        """Answer what is no valid HTTP, or what went wrong in here, in Anthropic's envelope."""
        if request.writer.output_size > 0:
            raise ConnectionError("the answer has begun; all that is left is to close the connection")
        if status >= 500:  # noqa: PLR2004 - our own faults
            _log.error("request handler failed", exception=type(exc).__name__, exc_info=exc)
            error = ApiError(status, "The gateway failed to handle this request; its log says why.")
        else:
            if not isinstance(exc, BadHttpMethod):
                _log.debug("not valid HTTP", exception=type(exc).__name__)
            error = ApiError(status, f"The request is not valid HTTP ({type(exc).__name__}).")
        response = _answer(error)
        response.force_close()
        return response

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


class _Server(web.Server):
    """aiohttp's low-level server with our connections.

    Its own factory falls back to default options, with a warning, when it does not know one of them; this one
    fails instead.
    """

    def __init__(self, handler: Any, *, options: Mapping[str, Any], **kwargs: Any) -> None:
        super().__init__(handler, **kwargs)
        self._options = options

    def __call__(self) -> web.RequestHandler:
        return _Connection(self, loop=self._loop, **self._options)


@define(eq=False)
class DataPlane:
    """Routes requests to the Messages API and answers everything else itself."""

    settings: Settings
    messages: MessagesApi
    draining: bool = field(default=False, init=False)
    _active: int = field(default=0, init=False)
    _idle: asyncio.Event = field(factory=asyncio.Event, init=False)
    _routes: dict[str, dict[str, Handler]] = field(init=False)

    def __attrs_post_init__(self) -> None:
        """Lay out the routes."""
        self._idle.set()
        create, fetch = self.messages.create, self.messages.fetch
        self._routes = {
            "/claude": {"HEAD": _hello, "GET": _hello},
            "/claude/api/hello": {"HEAD": _hello, "GET": _hello},
            "/claude/v1/messages": {"POST": create},
            "/claude/v1/messages/count_tokens": {"POST": create},
            "/claude/v1/models": {"GET": fetch},
            "/healthz": {"GET": self._healthz, "HEAD": self._healthz},
            "/readyz": {"GET": self._readyz, "HEAD": self._readyz},
        }

    def make_server(self) -> web.Server:
        """Return the server to be put behind listening sockets."""
        limits, timeouts = self.settings.limits, self.settings.timeouts
        return _Server(
            self.handle,
            # Without it an upstream runs on, and is billed, until it next speaks to a client that has gone.
            handler_cancellation=True,
            options={
                "head_seconds": timeouts.request_head_seconds,
                "access_log": None,
                "auto_decompress": False,
                "keepalive_timeout": timeouts.keepalive_seconds,
                "lingering_time": _LINGER_SECONDS,
                "max_field_size": limits.header_bytes,
                "max_line_size": limits.header_bytes,
                "read_bufsize": _READ_BUFFER,
            },
        )

    async def handle(self, request: web.BaseRequest) -> web.StreamResponse:
        """Answer one request."""
        self._active += 1
        self._idle.clear()
        try:
            return await self._dispatch(request)
        except ApiError as error:
            return _answer(error)
        finally:
            self._active -= 1
            if not self._active:
                self._idle.set()

    async def drain(self) -> None:
        """Let running requests finish; end the streams that are left after `drain_seconds` in a legal way."""
        self.draining = True
        try:
            async with asyncio.timeout(self.settings.timeouts.drain_seconds):
                await self._idle.wait()
        except TimeoutError:
            _log.warning("ending streams that did not finish in time", streams=len(self.messages.relays))
            for relay in tuple(self.messages.relays):
                relay.end(EndReason.SHUTDOWN)

    async def _dispatch(self, request: web.BaseRequest) -> web.StreamResponse:
        path, question, query = _ORIGIN.sub("", request.raw_path, count=1).partition("?")
        methods = self._routes.get(path)
        if methods is None and path.startswith(_PREFIX) and _MODEL.fullmatch(path, len(_PREFIX)):
            methods = {"GET": self.messages.fetch}
        if methods is None:
            raise ApiError(404, f"There is nothing at {_short(path)}. Messages are at /claude/v1/messages.")
        handler = methods.get(request.method)
        if handler is None:
            allowed = ", ".join(methods)
            raise ApiError(
                405, f"{_short(request.method)} is not possible here; use {allowed}.", headers={"allow": allowed}
            )
        return await handler(request, path.removeprefix(_PREFIX) + question + query)

    async def _healthz(self, _request: web.BaseRequest, _target: str) -> web.StreamResponse:
        return _json(200, b'{"status":"ok"}')

    async def _readyz(self, _request: web.BaseRequest, _target: str) -> web.StreamResponse:
        if self.draining:
            return _json(503, b'{"status":"draining"}')
        if not self.messages.pool.accounts:
            return _json(503, b'{"status":"no upstream account"}')
        return _json(200, b'{"status":"ready"}')


async def _hello(_request: web.BaseRequest, _target: str) -> web.StreamResponse:
    return _json(200, b'{"message":"hello"}')


def _json(status: int, body: bytes) -> web.Response:
    headers = {"content-type": "application/json", "cache-control": "no-store", "server": SERVER_NAME}
    return web.Response(status=status, body=body, headers=headers)


def _answer(error: ApiError) -> web.Response:
    request_id = new_request_id()
    headers = error.response_headers(request_id)
    headers[GATEWAY_REQUEST_ID_HEADER] = request_id
    return web.Response(status=error.status, body=error.body(request_id), headers=headers)


def _short(text: str) -> str:
    return text if len(text) <= 80 else text[:80] + "…"  # noqa: PLR2004 - one line
