"""A reverse proxy that does one thing wrong."""

from __future__ import annotations

import asyncio
import gzip
import io
import json
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Final

import aiohttp
from aiohttp import web
from attrs import define
from multidict import CIMultiDict
from yarl import URL

FAULTS: Final = (
    "adds-nothing",
    "buffers",
    "buffers-all-but-the-first",
    "changes-404",
    "changes-errors",
    "changes-statuses",
    "compresses",
    "cuts-bodies",
    "drops-authorization",
    "drops-fault-header",
    "drops-limits",
    "drops-long-headers",
    "drops-query",
    "drops-request-ids",
    "drops-retry-after",
    "drops-should-retry",
    "ends-errors-cleanly",
    "gives-up",
    "gives-up-with-an-error",
    "is-late",
    "joins-betas",
    "keeps-open-at-end",
    "keeps-upstream",
    "hides-hello",
    "hides-models",
    "hides-count-tokens",
    "overload-in-band",
    "redirects",
    "rewrites-bodies",
    "says-plain-text",
    "swallows-pings",
    "takes-little",
)
_NOT_ON: Final = ("host", "content-length", "transfer-encoding", "connection", "expect")
_NOT_BACK: Final = ("content-length", "transfer-encoding", "connection", "keep-alive")
_LITTLE: Final = 1024 * 1024


@define
class Crooked:
    """Sends everything on to `to`, apart from what `fault` says."""

    to: str
    fault: str
    session: aiohttp.ClientSession

    def has(self, fault: str) -> bool:
        """Whether this is what it does wrong."""
        assert fault in FAULTS
        return self.fault == fault

    async def handle(self, request: web.BaseRequest) -> web.StreamResponse:
        """Answer one request."""
        body = await request.read()
        if refused := self._refusal(request, len(body)):
            return refused
        if self.has("cuts-bodies"):
            body = body[:_LITTLE]
        if self.has("rewrites-bodies") and body:
            body = json.dumps(json.loads(body)).encode()
        target = request.raw_path.partition("?")[0] if self.has("drops-query") else request.raw_path
        headers = self._headers_on(request)
        timeout = aiohttp.ClientTimeout(total=None, sock_read=0.3 if self.has("gives-up") else None)
        try:
            async with (
                asyncio.timeout(0.3 if self.has("gives-up-with-an-error") else None) as limit,
                self.session.request(
                    request.method,
                    URL(self.to + target, encoded=True),
                    data=io.BytesIO(body) if body else None,
                    headers=headers,
                    allow_redirects=False,
                    timeout=timeout,
                ) as answer,
            ):
                limit.reschedule(None)
                return await self._relay(request, answer)
        except TimeoutError:
            if self.has("gives-up-with-an-error"):
                error = {"type": "error", "error": {"type": "timeout_error", "message": "too slow"}}
                return web.json_response(error, status=504)
            return _page(504)

    def _refusal(self, request: web.BaseRequest, size: int) -> web.Response | None:
        hidden = {"hides-hello": "hello", "hides-models": "models", "hides-count-tokens": "count_tokens"}
        if self.has("takes-little") and size > _LITTLE:
            return _page(413)
        if self.has("redirects") and request.method != "HEAD":
            location = f"https://elsewhere.example{request.path}"
            return web.Response(status=301, headers={"location": location, "server": "nginx/1.26"})
        if self.fault in hidden and hidden[self.fault] in request.path:
            return _page(404)
        if self.has("drops-long-headers") and any(len(value) > 4096 for _, value in request.raw_headers):
            return _page(431)
        return None

    def _headers_on(self, request: web.BaseRequest) -> CIMultiDict[str]:
        headers = CIMultiDict((k, v) for k, v in request.headers.items() if k.lower() not in _NOT_ON)
        if self.has("drops-authorization"):
            headers.popall("authorization", None)
        if self.has("drops-fault-header"):
            headers.popall("x-replay-fault", None)
        if self.has("joins-betas") and (betas := headers.popall("anthropic-beta", None)):
            headers["anthropic-beta"] = betas[0]
        return headers

    async def _relay(self, request: web.BaseRequest, answer: aiohttp.ClientResponse) -> web.StreamResponse:
        status = answer.status
        headers = CIMultiDict((k, v) for k, v in answer.headers.items() if k.lower() not in _NOT_BACK)
        headers["server"] = "nginx/1.26"
        dropped = {
            "drops-limits": "anthropic-ratelimit-",
            "drops-request-ids": ("request-id", "x-gateway-request-id"),
            "drops-retry-after": "retry-after",
            "drops-should-retry": "x-should-retry",
        }
        for name in list(headers):
            if self.fault in dropped and name.lower().startswith(dropped[self.fault]):
                headers.popall(name, None)
        if self.has("is-late"):
            headers["date"] = "Sat, 01 Aug 2026 10:00:00 GMT"
        if self.has("changes-404") and status == 404:
            return _page(404)
        if self.has("overload-in-band") and status == 529:
            return self._in_band(headers)
        if answer.content_type != "text/event-stream":
            body = await answer.read()
            if self.has("changes-statuses") and status in {400, 404, 405}:
                status = 500
            if self.has("changes-errors") and status == 400:
                body = json.dumps({"error": json.loads(body)["error"]}).encode()
            return web.Response(status=status, headers=headers, body=body)
        return await self._relay_stream(request, answer, headers)

    @staticmethod
    def _in_band(headers: CIMultiDict[str]) -> web.Response:
        headers["content-type"] = "text/event-stream"
        error = {"type": "error", "error": {"type": "overloaded_error", "message": "Overloaded"}}
        event = f"event: error\ndata: {json.dumps(error)}\n\n".encode()
        return web.Response(status=200, headers=headers, body=event)

    async def _relay_stream(
        self, request: web.BaseRequest, answer: aiohttp.ClientResponse, headers: CIMultiDict[str]
    ) -> web.StreamResponse:
        if self.has("says-plain-text"):
            headers["content-type"] = "text/plain"
        response = web.StreamResponse(status=answer.status, headers=headers)
        if self.has("buffers") or (self.has("compresses") and "accept-encoding" in request.headers):
            body = await answer.read()
            if self.has("compresses"):
                headers["content-encoding"] = "gzip"
                body = gzip.compress(body)
            return web.Response(status=answer.status, headers=headers, body=body)
        await response.prepare(request)
        await self._pass_on(answer, response)
        if self.has("keeps-open-at-end"):
            await asyncio.sleep(1.3)
        await response.write_eof()
        return response

    async def _pass_on(self, answer: aiohttp.ClientResponse, response: web.StreamResponse) -> None:
        gone = False
        if self.has("buffers-all-but-the-first"):
            await response.write(await answer.content.readuntil(b"\n\n"))
            await response.write(await answer.read())
            return
        async for chunk in answer.content.iter_any():
            if self.has("ends-errors-cleanly") and b"event: error" in chunk:
                return
            if self.has("swallows-pings") and chunk.startswith(b"event: ping"):
                continue
            if not gone:
                try:
                    await response.write(chunk)
                except ConnectionError:
                    if not self.has("keeps-upstream"):
                        raise
                    gone = True


def _page(status: int) -> web.Response:
    return web.Response(
        status=status,
        text=f"<html><h1>{status}</h1></html>",
        content_type="text/html",
        headers={"server": "nginx/1.26"},
    )


@asynccontextmanager
async def crooked(to: str, fault: str) -> AsyncGenerator[str]:
    """Run one; give its base URL."""
    assert fault in FAULTS
    async with aiohttp.ClientSession(
        cookie_jar=aiohttp.DummyCookieJar(),
        auto_decompress=False,
        skip_auto_headers=("user-agent", "accept", "accept-encoding", "content-type"),
        connector=aiohttp.TCPConnector(limit=0, force_close=True),
    ) as session:
        proxy = Crooked(to, fault, session)
        server = web.Server(
            proxy.handle,
            access_log=None,
            auto_decompress=False,
            handler_cancellation=not proxy.has("keeps-upstream"),
            request_factory=lambda message, payload, protocol, writer, task: web.BaseRequest(
                message, payload, protocol, writer, task, asyncio.get_running_loop(), client_max_size=2**26
            ),
        )
        runner = web.ServerRunner(server, shutdown_timeout=0.1)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        try:
            yield f"http://127.0.0.1:{site.port}"
        finally:
            await runner.cleanup()
