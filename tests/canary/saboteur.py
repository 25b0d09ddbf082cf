"""A gateway that does everything right but for what a test has it do wrong."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from types import TracebackType
from typing import Any, Final, Self

import aiohttp
import msgspec
from aiohttp import web
from attrs import define, evolve, field
from multidict import CIMultiDict
from yarl import URL

from gateway.replay.openai import OpenAIReplay
from gateway.replay.server import ReplayUpstream

_PREFIX: Final = "/claude"
_OF_THE_CONNECTION: Final = ("transfer-encoding", "content-length", "connection", "keep-alive", "date")


@define
class Asked:
    """A request as it came."""

    method: str
    path: str
    """Below `/claude`, or from `/v1` on where it came without."""
    headers: CIMultiDict[str]
    body: bytes
    to_claude: bool
    number: int
    """1 for the first one for this method, path and body, 2 for its repetition, and so on."""

    @property
    def json(self) -> dict[str, Any]:
        """The body."""
        try:
            value = msgspec.json.decode(self.body or b"{}")
        except msgspec.DecodeError:
            return {}
        return value if isinstance(value, dict) else {}

    @property
    def is_stream(self) -> bool:
        return self.json.get("stream") is True

    @property
    def key(self) -> str | None:
        return self.headers.get("x-api-key")


@define
class Reply:
    """What goes back; pieces are sent one after the other, with `pause` seconds between."""

    status: int
    headers: CIMultiDict[str]
    body: bytes
    cut: int | None = None
    """Break the connection after so many bytes."""
    first_pause: float = 0.0
    pause_before: bytes = b""
    """Wait `pause` seconds before this is sent."""
    pause: float = 0.0
    never_ends: bool = False

    def json(self) -> Any:
        """Return the body."""
        return msgspec.json.decode(self.body)

    def changed(self, **members: Any) -> Reply:
        """Return it with other members of its JSON body."""
        return evolve(self, body=msgspec.json.encode({**self.json(), **members}))

    def replaced(self, old: bytes, new: bytes) -> Reply:
        """Return it with other bytes; they have to be there."""
        assert old in self.body, self.body
        return evolve(self, body=self.body.replace(old, new))

    def without(self, *names: str) -> Reply:
        """Return it without some headers."""
        return evolve(self, headers=CIMultiDict((n, v) for n, v in self.headers.items() if n.lower() not in names))

    def with_header(self, name: str, value: str) -> Reply:
        """Return it with a header set."""
        headers = CIMultiDict(self.headers)
        headers[name] = value
        return evolve(self, headers=headers)


Spoil = Callable[[Asked, Reply], Reply]


def honest(_asked: Asked, reply: Reply) -> Reply:
    """Spoil nothing."""
    return reply


@define(eq=False)
class Saboteur:
    """Sends `/claude/*` to a replay upstream and `/v1/*` to a replayed OpenAI server; to be used as a context."""

    claude: ReplayUpstream
    openai: OpenAIReplay
    spoil: Spoil = honest
    keys: frozenset[str] = frozenset()
    """Those that are let in below `/claude`; none for any."""
    asked: list[Asked] = field(factory=list)
    answers_left: int | None = None
    """After so many answers it stops listening and drops its connections; None for never."""
    obeys: bool = False
    """Whether the upstream learns how `gateway smoke` wants to be answered, by which it is known."""
    never_answers: Callable[[Asked], bool] = lambda _asked: False
    port: int = 0
    _session: aiohttp.ClientSession = field(init=False)
    _server: web.Server = field(init=False)
    _listener: asyncio.Server = field(init=False)

    @property
    def root(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def url(self) -> str:
        """The base URL for Claude."""
        return self.root + _PREFIX

    async def __aenter__(self) -> Self:
        """Listen."""
        self._session = aiohttp.ClientSession(cookie_jar=aiohttp.DummyCookieJar(), auto_decompress=False)
        self._server = web.Server(
            self._handle,
            access_log=None,
            request_factory=lambda m, p, protocol, w, t: web.BaseRequest(
                m, p, protocol, w, t, asyncio.get_running_loop(), client_max_size=2**26
            ),
        )
        self._listener = await asyncio.get_running_loop().create_server(self._server, "127.0.0.1", self.port)
        self.port = self._listener.sockets[0].getsockname()[1]
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Drop every connection."""
        self._listener.close()
        await self._server.shutdown(timeout=0.1)
        await self._session.close()

    async def _handle(self, request: web.BaseRequest) -> web.StreamResponse:
        body = await request.read()
        to_claude = request.path.startswith(_PREFIX)
        path = request.raw_path.removeprefix(_PREFIX) if to_claude else request.raw_path
        earlier = [a for a in self.asked if (a.method, a.path, a.body) == (request.method, path, body)]
        asked = Asked(request.method, path, CIMultiDict(request.headers), body, to_claude, len(earlier) + 1)
        self.asked.append(asked)
        if self.answers_left is not None and len(self.asked) > self.answers_left:
            self._listener.close()
            assert request.transport is not None
            request.transport.abort()
            return web.Response()
        if self.never_answers(asked):
            await asyncio.Event().wait()
        reply = self.spoil(asked, await self._ask(asked))
        return await _deliver(request, reply)

    async def _ask(self, asked: Asked) -> Reply:
        headers = CIMultiDict(
            (n, v)
            for n, v in asked.headers.items()
            if n.lower() not in (*_OF_THE_CONNECTION, "host") and (self.obeys or "message=smoke-" not in v)
        )
        if asked.to_claude and self.keys and asked.key is not None and asked.key not in self.keys:
            error = {
                "type": "error",
                "error": {"type": "authentication_error", "message": "no"},
                "request_id": "req_1",
            }
            made = CIMultiDict({"content-type": "application/json", "request-id": "req_1"})
            return Reply(401, made, msgspec.json.encode(error))
        base = self.claude.url if asked.to_claude else self.openai.url
        url = URL(base + asked.path, encoded=True)
        async with self._session.request(asked.method, url, headers=headers, data=asked.body or None) as response:
            kept = [(n, v) for n, v in response.headers.items() if n.lower() not in _OF_THE_CONNECTION]
            return Reply(response.status, CIMultiDict(kept), await response.read())


async def _deliver(request: web.BaseRequest, reply: Reply) -> web.StreamResponse:
    response = web.StreamResponse(status=reply.status, headers=reply.headers)
    if reply.first_pause:
        await asyncio.sleep(reply.first_pause)
    await response.prepare(request)
    if reply.cut is not None:
        await response.write(reply.body[: reply.cut])
        assert request.transport is not None
        # What was written has to leave before the connection does.
        request.transport.close()
        return response
    before, mark, after = reply.body.partition(reply.pause_before) if reply.pause else (reply.body, b"", b"")
    if before:
        await response.write(before)
    if mark:
        await asyncio.sleep(reply.pause)
        await response.write(mark + after)
    if reply.never_ends:
        await asyncio.Event().wait()
    await response.write_eof()
    return response


@asynccontextmanager
async def sabotaged(spoil: Spoil = honest, **options: Any) -> AsyncGenerator[Saboteur]:
    """Run one before upstreams of its own."""
    async with (
        ReplayUpstream() as claude,
        OpenAIReplay() as openai,
        Saboteur(claude, openai, spoil, **options) as made,
    ):
        yield made
