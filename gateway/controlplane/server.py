"""The control plane: metrics and health, apart from the data plane so that neither is in the other's way.

Who may ask: off loopback whoever has the token (`control_token`); on loopback without a token every program of
this machine, but no web page that its browser shows. `/healthz` says nothing that is worth a token.
"""

from __future__ import annotations

import asyncio
import hmac
from collections.abc import Awaitable, Callable, Mapping
from typing import Final

from aiohttp import web
from attrs import define, field

from gateway.telemetry.logs import exception_facts, get_logger
from gateway.wire.errors import SERVER_NAME, ApiError, new_request_id
from gateway.wire.loopback import check_local

__all__ = ["ControlHandler", "ControlPlane"]

_log = get_logger(__name__)

_HEALTH: Final = "/healthz"
_METRICS: Final = "/metrics"
_BEARER: Final = "bearer"
_MOST_REQUESTS: Final = 32
"""At a time; whoever asks for more is no operator."""
_SECONDS: Final = 30.0
"""For one answer."""
_RETRY: Final = 5
_REMEDY: Final = "set GATEWAY_CONTROL_TOKEN and send it as `Authorization: Bearer …`"

ControlHandler = Callable[[web.BaseRequest], Awaitable[web.StreamResponse]]
Page = Callable[[str], Awaitable[tuple[bytes, str]]]
"""Returns the metrics and their content type, for an Accept header."""


@define(eq=False)
class ControlPlane:
    """Routes requests, and keeps out who must not ask."""

    metrics: Page
    token: str = field(repr=False)
    routes: Mapping[str, Mapping[str, ControlHandler]] = field(factory=dict)
    """More of them: handlers by path and method. HEAD is answered by GET's."""
    _busy: int = field(default=0, init=False)

    async def handle(self, request: web.BaseRequest) -> web.StreamResponse:
        """Answer one request; what goes wrong is logged and answered, and touches nothing else."""
        request_id = new_request_id()
        self._busy += 1
        try:
            async with asyncio.timeout(_SECONDS):
                return await self._dispatch(request)
        except ApiError as error:
            return _refuse(error, request_id)
        except TimeoutError:
            return _refuse(ApiError(503, "This took too long; try again.", retry_after=_RETRY), request_id)
        except Exception as error:  # noqa: BLE001 - whatever it is, requests to the data plane go on
            _log.error("a defect in the control plane", request_id=request_id, **exception_facts(error))
            return _refuse(ApiError(500, "The gateway failed to answer; its log says why."), request_id)
        finally:
            self._busy -= 1

    async def _dispatch(self, request: web.BaseRequest) -> web.StreamResponse:
        path = request.raw_path.partition("?")[0]
        if path == _HEALTH:
            methods: Mapping[str, ControlHandler] = {"GET": _healthz}
        else:
            self._admit(request)
            methods = {"GET": self._metrics} if path == _METRICS else self.routes.get(path, {})
        if not methods:
            raise ApiError(404, f"There is nothing at this path of the control plane. Metrics are at {_METRICS}.")
        handler = methods.get("GET" if request.method == "HEAD" else request.method)
        if handler is None:
            allowed = ", ".join([*methods, *(["HEAD"] if "GET" in methods else [])])
            raise ApiError(405, f"Use {allowed} here.", headers={"allow": allowed})
        return await handler(request)

    def _admit(self, request: web.BaseRequest) -> None:
        if self._busy > _MOST_REQUESTS:
            raise ApiError(503, "Too many requests at a time; try again.", retry_after=_RETRY)
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
        return _answer(200, body, content_type)


async def _healthz(_request: web.BaseRequest) -> web.StreamResponse:
    return _answer(200, b'{"status":"ok"}', "application/json")


def _answer(status: int, body: bytes, content_type: str) -> web.Response:
    headers = {"content-type": content_type, "cache-control": "no-store", "server": SERVER_NAME}
    return web.Response(status=status, body=body, headers=headers)


def _refuse(error: ApiError, request_id: str) -> web.Response:
    headers = error.response_headers(request_id)
    headers["cache-control"] = "no-store"
    return web.Response(status=error.status, body=error.body(request_id), headers=headers)
