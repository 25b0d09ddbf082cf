"""The control plane: dashboard, admin API, metrics and health, apart from the data plane.

Who may ask for metrics: off loopback whoever has the token (`control_token`); on loopback without a token every
program of this machine, but no web page that its browser shows. `/healthz` says nothing that is worth a token, and
nor do the dashboard's files. Who may ask the admin API its gate says, and its endpoints.
"""

from __future__ import annotations

import asyncio
import hmac
from collections.abc import Awaitable, Callable, Generator, Mapping
from contextlib import contextmanager
from typing import Any, Final

from aiohttp import web
from attrs import define, field

from gateway.controlplane.access import Visitor
from gateway.controlplane.endpoints import Call, Endpoint, Routes, answer_bytes
from gateway.controlplane.pages import Pages
from gateway.controlplane.parts import Parts
from gateway.controlplane.security_headers import SECURITY_HEADERS
from gateway.controlplane.shares import Shares
from gateway.store.errors import StoreError
from gateway.telemetry.logs import exception_facts, get_logger
from gateway.wire.errors import ApiError, new_request_id
from gateway.wire.loopback import check_local

__all__ = ["ControlPlane", "Dashboard"]

_log = get_logger(__name__)

_HEALTH: Final = "/healthz"
_METRICS: Final = "/metrics"
_BEARER: Final = "bearer"
_MOST_REQUESTS: Final = 32
"""At a time; whoever asks for more is no operator."""
_MOST_SLOW_STRANGERS: Final = 64
"""Fewer than there are connections: who sends slowly through a proxy must leave some to probes."""
_MOST_BYTES_OF_STRANGERS: Final = 16 * 1024
"""Of the body that somebody sends who has not signed in: a name, a password, the token of a link."""
_SECONDS: Final = 30.0
"""For one answer."""
_SECONDS_OF_STRANGERS: Final = 10.0
"""For what they send."""
_RETRY: Final = 5
_REMEDY: Final = "set GATEWAY_CONTROL_TOKEN and send it as `Authorization: Bearer …`"

_API: Final = "/api/"
_READING: Final = frozenset({"GET", "HEAD"})

Page = Callable[[str], Awaitable[tuple[bytes, str]]]
"""Returns the metrics and their content type, for an Accept header."""


@define(frozen=True)
class Dashboard:
    """What people see: pages, and the API that they show."""

    parts: Parts
    routes: Routes
    pages: Pages


@define(eq=False)
class ControlPlane:
    """Routes requests, and keeps out who must not ask."""

    metrics: Page
    token: str = field(repr=False)
    dashboard: Dashboard | None = None
    """None: there are but metrics and health."""
    _busy: int = field(default=0, init=False)
    _slow_strangers: Shares = field(factory=lambda: Shares(_MOST_SLOW_STRANGERS), init=False)
    """Requests of those who have not signed in that have not come yet as a whole."""

    async def handle(self, request: web.BaseRequest) -> web.StreamResponse:
        """Answer one request; what goes wrong is logged and answered, and touches nothing else."""
        request_id = new_request_id()
        try:
            response = await self._dispatch(request)
        except ApiError as error:
            response = _refuse(error, request_id)
        except TimeoutError:
            response = _refuse(ApiError(503, "This took too long; try again.", retry_after=_RETRY), request_id)
        except StoreError as error:
            _log.warning("the control plane cannot use the database", request_id=request_id, problem=str(error))
            away = "The database cannot be used at the moment; the gateway's log says why. Try again."
            response = _refuse(ApiError(503, away, retry_after=_RETRY), request_id)
        except ConnectionError:
            raise
        except Exception as error:  # noqa: BLE001 - whatever it is, requests to the data plane go on
            _log.error("a defect in the control plane", request_id=request_id, **exception_facts(error))
            response = _refuse(ApiError(500, "The gateway failed to answer; its log says why."), request_id)
        if not response.prepared:
            for name, value in SECURITY_HEADERS.items():
                response.headers.setdefault(name, value)
        return response

    async def _dispatch(self, request: web.BaseRequest) -> web.StreamResponse:
        path = request.raw_path.partition("?")[0]
        if self.dashboard is not None and path.startswith(_API):
            return await self._call(self.dashboard, request, path)
        if path not in {_HEALTH, _METRICS}:
            if self.dashboard is None:
                raise ApiError(
                    404, f"There is nothing at this path of the control plane. Metrics are at {_METRICS}."
                )
            return self.dashboard.pages.respond(request, path)
        if path == _METRICS:
            self._admit(request)
        if request.method not in _READING:
            raise ApiError(405, "Use GET or HEAD here.", headers={"allow": "GET, HEAD"})
        if path == _HEALTH:
            # However many others are served: whoever asks would start the gateway anew.
            return answer_bytes(b'{"status":"ok"}', "application/json")
        with self._counted():
            async with asyncio.timeout(_SECONDS):
                return await self._metrics(request)

    async def _call(self, dashboard: Dashboard, request: web.BaseRequest, path: str) -> web.StreamResponse:
        parts = dashboard.parts
        found, params = dashboard.routes.find(path, request.method)
        call = None
        async with asyncio.timeout(_SECONDS):
            with self._counted():
                visitor = await parts.gate.identify(request)
                if not visitor.may(found.access):
                    raise _not_allowed(visitor)
                if request.method not in _READING:
                    parts.gate.check_sender(request, visitor, with_token=found.check_csrf)
            if visitor.role is None:
                call = await self._read_of_stranger(found, request, visitor, params)
        with self._counted(found.seconds is not None):
            if call is None:
                async with asyncio.timeout(_SECONDS):
                    call = await found.read(request, visitor, params)
            work = found.handler(parts, call)
            if request.method in _READING or found.seconds is None:
                async with asyncio.timeout(found.seconds):
                    response = found.respond(await work)
            else:
                response = found.respond(await _to_the_end(parts.tasks, work, found.seconds))
            if visitor.new_cookie and not response.prepared:
                response.headers.setdefault("set-cookie", visitor.new_cookie)
            return response

    async def _read_of_stranger(
        self, found: Endpoint, request: web.BaseRequest, visitor: Visitor, params: Mapping[str, str]
    ) -> Call:
        """Read what somebody sends who has not signed in.

        Not counted among the others: strangers who send slowly would keep everybody else from being served.
        """
        if request.content.is_eof():
            return await found.read(request, visitor, params, _MOST_BYTES_OF_STRANGERS)
        with self._slow_strangers.taken(visitor.address) as is_taken:
            if not is_taken:
                # Without an answer: while that is sent, and what comes is read, the connection keeps its place.
                raise ConnectionAbortedError
            async with asyncio.timeout(_SECONDS_OF_STRANGERS):
                return await found.read(request, visitor, params, _MOST_BYTES_OF_STRANGERS)

    @contextmanager
    def _counted(self, counts: bool = True) -> Generator[None]:  # noqa: FBT001, FBT002 - what it is called with
        """Bound how many requests are served at a time."""
        if self._busy >= _MOST_REQUESTS:
            raise ApiError(503, "Too many requests at a time; try again.", retry_after=_RETRY)
        self._busy += counts
        try:
            yield
        finally:
            self._busy -= counts

    def _admit(self, request: web.BaseRequest) -> None:
        if not self.token:
            check_local(request, remedy=_REMEDY)
            return
        scheme, _, given = request.headers.get("authorization", "").partition(" ")
        expected = self.token.encode()
        if scheme.lower() == _BEARER and hmac.compare_digest(given.strip().encode(errors="replace"), expected):
            return
        raise ApiError(
            401,
            "The control plane needs the gateway's GATEWAY_CONTROL_TOKEN, as `Authorization: Bearer …`.",
            headers={"www-authenticate": "Bearer"},
        )

    async def _metrics(self, request: web.BaseRequest) -> web.StreamResponse:
        body, content_type = await self.metrics(request.headers.get("accept", ""))
        return answer_bytes(body, content_type)


async def _to_the_end(tasks: asyncio.TaskGroup, work: Awaitable[Any], seconds: float) -> Any:
    """Make a change and write it down even if whoever asked for it goes away meanwhile."""

    async def run() -> tuple[Any, Exception | None]:
        try:
            async with asyncio.timeout(seconds):
                return await work, None
        except Exception as error:  # noqa: BLE001 - raised below; here it would end the gateway
            return None, error

    task = tasks.create_task(run(), name="change")
    # Which leaves the task alone when it is itself cancelled.
    await asyncio.wait({task})
    value, error = task.result()
    if error is not None:
        raise error
    return value


def _not_allowed(visitor: Visitor) -> ApiError:
    if visitor.role is not None:
        return ApiError(403, "You may look but not change anything; ask an admin of this gateway to.")
    return ApiError(
        401,
        "Sign in first; programs send the gateway's GATEWAY_CONTROL_TOKEN as `Authorization: Bearer …`.",
        headers={"www-authenticate": "Bearer"},
    )


def _refuse(error: ApiError, request_id: str) -> web.Response:
    headers = error.response_headers(request_id)
    headers["cache-control"] = "no-store"
    return web.Response(status=error.status, body=error.body(request_id), headers=headers)
