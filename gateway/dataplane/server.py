"""The data plane's HTTP server: routes, connections, and how it starts and ends."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Awaitable, Callable
from typing import Final

import attrs
from aiohttp import HttpVersion10, HttpVersion11, web
from attrs import define, field

from gateway.config import ClientAuth, OpenAIMode, Settings
from gateway.dataplane.connections import ConnectionServer, Patience, error_response
from gateway.dataplane.messages import PooledApi
from gateway.dataplane.openai_pool import OpenAIPool
from gateway.dataplane.passthrough import OpenAIForward
from gateway.telemetry.logs import get_logger
from gateway.wire.errors import SERVER_NAME, ApiError, encode_json, new_request_id
from gateway.wire.loopback import check_local
from gateway.wire.openai_errors import openai_body

__all__ = ["READY", "DataPlane", "Drained"]

_log = get_logger(__name__)

READY: Final = "ready"
_PREFIX: Final = "/claude"
_APIS: Final = ("/claude/v1/", "/claude-sdk/v1/", "/v1/")
_OPENAI: Final = re.compile(r"/v1(?=/|\Z)")
_SDK_MESSAGES: Final = "/claude-sdk/v1/messages"
# One segment that stays one however often it is decoded on its way; which ids there are is the upstream's to say.
_MODEL: Final = re.compile(
    r"""/v1/models/
    (?!\.\Z | %(?:25)*2e\Z) (?!.*(?:\.|%(?:25)*2e){2})               # a dot segment, or two dots
    (?:(?!%(?:25)*(?:2f|5c|[01][0-9a-f]|7f))                         # an encoded slash or control character
    [!-"$-.0->@-\[\]-~]){1,256}                                      # visible, but for / \ ? and #
    """,
    re.IGNORECASE | re.VERBOSE,
)
# docs/anthropic-compat-matrix.md says why.
_NOT_SERVED: Final = re.compile(
    r"/v1/(messages/batches|files|skills|complete|sessions|agents|organizations|oauth)(?=/|\Z)"
)
_VERSIONS: Final = (HttpVersion11, HttpVersion10)  # the parser takes 0.9 and 2.0 as well
# RFC 9112, section 3.2.2: a server takes a target in absolute form too. Where clients need keys, its host is as
# little of interest as the Host header is.
_ORIGIN: Final = re.compile(r"\Ahttps?://[^/?#]*(?=/)", re.IGNORECASE)
_LINGER_SECONDS: Final = 2.0
_READ_BUFFER: Final = 64 * 1024

Handler = Callable[[web.BaseRequest, str], Awaitable[web.StreamResponse]]


@define(frozen=True)
class Drained:
    """What became of requests, and of connections that are forwarded, when there were to be no more."""

    finished: int
    cut: int
    """Those that were ended before they had come to their own end."""


@define(eq=False)
class DataPlane:
    """Routes requests to the Messages API and answers everything else itself."""

    settings: Settings
    messages: PooledApi
    openai: OpenAIForward | None = None
    sdk: Handler | None = None
    """Answers `/claude-sdk/v1/messages`, where that is enabled."""
    openai_pool: OpenAIPool | None = None
    """Answers `/v1/*` in mode `pool`."""
    draining: bool = field(default=False, init=False)
    drained: Drained | None = field(default=None, init=False)
    """Set when `drain` is over."""
    _active: int = field(default=0, init=False)
    _answered: int = field(default=0, init=False)
    """Requests to the APIs so far; those of probes do not count."""
    _idle: asyncio.Event = field(factory=asyncio.Event, init=False)
    _routes: dict[str, dict[str, Handler]] = field(init=False)

    def __attrs_post_init__(self) -> None:
        """Lay out the routes."""
        self._idle.set()
        create, fetch = self.messages.create, self.messages.fetch
        self._routes = {
            "/claude": {"HEAD": self._hello, "GET": self._hello},
            "/claude/": {"HEAD": self._hello, "GET": self._hello},
            "/claude/api/hello": {"HEAD": self._hello, "GET": self._hello},
            "/claude/v1/messages": {"POST": create},
            "/claude/v1/messages/count_tokens": {"POST": create},
            "/claude/v1/models": {"GET": fetch},
            "/claude/usage": {"GET": self._usage},
            "/healthz": {"GET": self._healthz, "HEAD": self._healthz},
            "/readyz": {"GET": self._readyz, "HEAD": self._readyz},
        }

    def make_server(self) -> web.Server:
        """Return the server to be put behind listening sockets."""
        limits, timeouts = self.settings.limits, self.settings.timeouts
        return ConnectionServer(
            self.handle,
            patience=Patience(timeouts.request_head_seconds, timeouts.client_stalled_seconds),
            diversion=self.openai,
            # Without it an upstream runs on, and is billed, until it next speaks to a client that has gone.
            handler_cancellation=True,
            options={
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
            response = await self._dispatch(request)
        except ApiError as error:
            request_id = new_request_id()
            response = error_response(error, request_id)
            await self.messages.note_rejection(request, error, request_id)
        finally:
            self._active -= 1
            self._answered += request.path.startswith(_APIS)
            if not self._active:
                self._idle.set()
        if self.draining and not response.prepared and request.path.startswith((_PREFIX, "/v1")):
            # Sends the client elsewhere with its next request.
            response.force_close()
        return response

    def count_streams(self) -> list[tuple[str, int]]:
        """Return how many answers are on their way, by provider."""
        apis = [self.messages, *([self.openai_pool.api] if self.openai_pool is not None else [])]
        return [(api.backend.provider.name, len(api.relays)) for api in apis]

    def count_forwarded(self) -> int:
        """Return how many connections are joined with one to an existing proxy."""
        return self.openai.connections if self.openai is not None else 0

    async def drain(self) -> None:
        """Let running requests finish; end the streams that are left after `drain_seconds` in a legal way."""
        self.draining = True
        answered_before, forwarded_before = self._answered, self.count_forwarded()
        try:
            async with asyncio.timeout(self.settings.timeouts.drain_seconds):
                await self._wait_idle()
        except TimeoutError:
            finished = self._answered - answered_before
            forwarded = self.openai.abort() if self.openai is not None else 0
            requests = self.messages.shut_down()
            requests += self.openai_pool.api.shut_down() if self.openai_pool is not None else 0
            _log.warning("ending requests that did not finish in time", requests=requests, forwarded=forwarded)
            self.drained = Drained(finished + max(forwarded_before - forwarded, 0), requests + forwarded)
        else:
            self.drained = Drained(self._answered - answered_before + forwarded_before, 0)

    async def _wait_idle(self) -> None:
        while True:
            if self.openai is not None:
                await self.openai.wait_idle()
            await self._idle.wait()
            # Connections that are open may have brought requests to be forwarded in the meantime.
            if self.openai is None or not self.openai.busy:
                return

    def _dispatch(self, request: web.BaseRequest) -> Awaitable[web.StreamResponse]:
        if request.version not in _VERSIONS:
            raise ApiError(
                505, "Use HTTP/1.1 or HTTP/1.0 here.", should_retry=False, headers={"connection": "close"}
            )
        if self.settings.client_auth is ClientAuth.OFF:
            check_local(request)
        path, question, query = _ORIGIN.sub("", request.raw_path, count=1).partition("?")
        methods = self._routes.get(path)
        if methods is None and path.startswith(_PREFIX) and _MODEL.fullmatch(path, len(_PREFIX)):
            methods = {"GET": self.messages.fetch}
        if path == _SDK_MESSAGES and self.sdk is not None:
            methods = {"POST": self.sdk}
        elif path == _SDK_MESSAGES:
            raise ApiError(
                404,
                "The local SDK transport is off. The operator can switch it on with GATEWAY_SDK_ENABLED=true and "
                "`pip install 'claude-stream-gateway[sdk]'`; messages are at /claude/v1/messages in any case.",
            )
        if self.openai_pool is not None and _OPENAI.match(path):
            return self._from_openai_pool(request, path + question + query)
        if methods is None and _OPENAI.match(path):
            raise _not_forwarded(self.settings.openai_mode)
        if methods is None:
            raise _nothing_at(path)
        handler = methods.get(request.method)
        if handler is None:
            allowed = ", ".join(methods)
            raise ApiError(
                405, f"{_short(request.method)} is not possible here; use {allowed}.", headers={"allow": allowed}
            )
        return handler(request, path.removeprefix(_PREFIX) + question + query)

    async def _from_openai_pool(self, request: web.BaseRequest, target: str) -> web.StreamResponse:
        assert self.openai_pool is not None  # noqa: S101 - the only caller has looked
        try:
            return await self.openai_pool.handle(request, target)
        except ApiError as error:
            request_id = new_request_id()
            await self.messages.note_rejection(request, error, request_id)
            headers = error.response_headers(request_id)
            return web.Response(status=error.status, body=openai_body(error), headers=headers)

    async def _usage(self, request: web.BaseRequest, _target: str) -> web.StreamResponse:
        """Tell the holder of a key of its limits and what it has used; nothing is asked upstream, nor recorded."""
        admission = self.messages.admission
        try:
            report = await admission.limiter.report(await admission.authenticate(request))
        except ApiError as error:
            return error_response(error, new_request_id())
        return _json(200, encode_json(report))

    async def _healthz(self, _request: web.BaseRequest, _target: str) -> web.StreamResponse:
        return _json(200, b'{"status":"ok"}')

    async def _readyz(self, _request: web.BaseRequest, _target: str) -> web.StreamResponse:
        readiness = self.readiness
        return self._state(200 if readiness == READY else 503, readiness)

    @property
    def readiness(self) -> str:
        """What `/readyz` says: `ready`, or why requests are to go elsewhere."""
        if self.draining:
            return "draining"
        apis = [self.messages, *([self.openai_pool.api] if self.openai_pool is not None else [])]
        pools = [api.backend.pool for api in apis]
        if any(pool.can_serve for pool in pools) or self._only_forwards:
            return READY
        if any(pool.accounts for pool in pools):
            return "no upstream account is of use"
        return "no upstream account"

    def _state(self, status: int, words: str) -> web.Response:
        return _json(status, f'{{"status":"{words}","rollout":"{self.settings.rollout}"}}'.encode())

    async def _hello(self, _request: web.BaseRequest, _target: str) -> web.StreamResponse:
        return _json(200, f'{{"message":"hello","rollout":"{self.settings.rollout}"}}'.encode())

    @property
    def _only_forwards(self) -> bool:
        """Whether this is a gateway without accounts before another server, which somebody has set."""
        usual = attrs.fields(Settings).openai_base_url.default
        has_accounts = bool(self.messages.backend.pool.accounts)
        return self.openai is not None and self.settings.openai_base_url != usual and not has_accounts


def _json(status: int, body: bytes) -> web.Response:
    headers = {"content-type": "application/json", "cache-control": "no-store", "server": SERVER_NAME}
    return web.Response(status=status, body=body, headers=headers)


def _not_forwarded(mode: OpenAIMode) -> ApiError:
    if mode is OpenAIMode.OFF:
        return ApiError(
            404,
            "Nothing is served below /v1: GATEWAY_OPENAI_MODE is off. Messages are at /claude/v1/messages.",
        )
    # Its connection could not be handed over, because bytes of another request came together with it.
    return ApiError(
        503,
        "This request was sent before the answer to another one was over. Send it again, on a new connection.",
        should_retry=True,
        headers={"connection": "close"},
    )


def _nothing_at(path: str) -> ApiError:
    found = _NOT_SERVED.match(path, len(_PREFIX)) if path.startswith(_PREFIX) else None
    if found is None:
        return ApiError(404, f"There is nothing at {_short(path)}. Messages are at /claude/v1/messages.")
    return ApiError(
        404,
        f"This gateway does not serve {found[0]}. Ask the provider for it directly, with a credential of your "
        "own; messages are at /claude/v1/messages.",
    )


def _short(text: str) -> str:
    return text if len(text) <= 80 else text[:80] + "…"  # noqa: PLR2004 - one line
