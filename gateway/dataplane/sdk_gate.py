"""The one way from a local runtime to the upstream: a server on loopback that lets each turn through once.

A runtime gets an address of this machine and a key that is worth nothing anywhere else; the account's credential
is added here and never enters the runtime. One turn may send one request, so nothing that the runtime would do by
itself (probing a model, retrying, going on after `max_tokens`) is billed to the account. And what it sends is
compared with what the client asked for: a runtime that would ask something else is refused, not believed.
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Final

import msgspec
from aiohttp import web
from attrs import define, field
from multidict import CIMultiDict

from gateway.config import Limits, Timeouts
from gateway.dataplane.answers import OpenStream, Refusal, UpstreamAnswer
from gateway.dataplane.sdk_requests import SdkRequest
from gateway.dataplane.upstream import NETWORK_ERRORS
from gateway.ledger.record import AttemptRecord
from gateway.wire import headers as header_rules
from gateway.wire.errors import REQUEST_ID_HEADER, ApiError, encode_json, new_request_id

__all__ = ["SdkGate", "Send", "Turn"]

Send = Callable[["Turn", str, CIMultiDict[str], bytes], Awaitable[OpenStream | Refusal]]
"""Sends target, headers and body of a turn to the upstream with an account's credential."""

_KEY_PREFIX: Final = "local-runtime-"
_MESSAGES: Final = "/v1/messages"
_LARGE: Final = 256 * 1024  # bytes of JSON that are not gone through on the event loop
_BACKLOG: Final = 64


@define(eq=False)
class Turn:
    """One request that a runtime may send, and what became of it."""

    request: SdkRequest
    sent: bool = False
    answered: asyncio.Event = field(factory=asyncio.Event)
    """Set once the head of an answer is there, and when none will come."""
    attempts: list[AttemptRecord] = field(factory=list)
    """The accounts that were tried."""
    account: str | None = None
    """Name of the account that serves it."""
    upstream_request_id: str | None = None
    refusal: ApiError | UpstreamAnswer | None = None
    """Why there is no answer, as the client should be told."""
    strayed: bool = False
    """Whether the runtime asked for more than its turn."""


@define(eq=False)
class SdkGate:
    """Listens on loopback for the runtimes of this process. To be opened and closed by its owner."""

    send: Send
    timeouts: Timeouts
    limits: Limits
    _turns: dict[str, Turn | None] = field(factory=dict, init=False)
    """By the runtime's key; None between its turns."""
    _runner: web.ServerRunner | None = field(default=None, init=False)
    _port: int = field(default=0, init=False)

    @property
    def url(self) -> str:
        """Base URL for runtimes."""
        return f"http://127.0.0.1:{self._port}"

    async def open(self) -> None:
        """Listen on a port that the system chooses.

        Raises:
            OSError: there is none.
        """
        server = web.Server(self._handle, handler_cancellation=True, access_log=None, auto_decompress=False)
        self._runner = web.ServerRunner(server, shutdown_timeout=0)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", 0, backlog=_BACKLOG)
        await site.start()
        self._port = site.port

    async def close(self) -> None:
        """Stop listening and drop what is open."""
        if self._runner is not None:
            await self._runner.cleanup()
            self._runner = None

    def admit(self) -> str:
        """Return a key for a new runtime; it opens nothing until a turn is granted."""
        key = _KEY_PREFIX + secrets.token_urlsafe(32)
        self._turns[key] = None
        return key

    def dismiss(self, key: str) -> None:
        """Take a key back."""
        self._turns.pop(key, None)

    def grant(self, key: str, request: SdkRequest) -> Turn:
        """Let the runtime with this key send the one request that belongs to `request`.

        Raises:
            ConnectionError: the key has been taken back, because its runtime has ended.
        """
        if key not in self._turns:
            raise ConnectionError("the local runtime has ended")
        turn = Turn(request)
        self._turns[key] = turn
        return turn

    async def _handle(self, request: web.BaseRequest) -> web.StreamResponse:
        turn = self._turns.get(request.headers.get("x-api-key", ""))
        if turn is None:
            return _answer(ApiError(403, "There is no turn for this key."))
        if request.method != "POST" or request.path != _MESSAGES or turn.sent:
            turn.strayed = True
            return _answer(ApiError(403, "This turn is over."))
        turn.sent = True
        try:
            return await self._pass(request, turn)
        finally:
            turn.answered.set()

    async def _pass(self, request: web.BaseRequest, turn: Turn) -> web.StreamResponse:
        try:
            body = await self._body(request, turn.request)
            headers = header_rules.to_upstream(request.headers)
            result = await self.send(turn, request.raw_path, headers, body)
        except ApiError as error:
            turn.refusal = error
            return _answer(error)
        if isinstance(result, Refusal):
            return self._refuse(result, turn)
        turn.account = result.account.name
        turn.upstream_request_id = result.headers.get(REQUEST_ID_HEADER)
        try:
            turn.answered.set()
            return await self._stream(request, result)
        finally:
            result.close()

    async def _body(self, request: web.BaseRequest, asked: SdkRequest) -> bytes:
        """Read what the runtime would send, and return it with what the client asked for."""
        limit = 2 * self.limits.request_body_bytes
        body = bytearray()
        async with asyncio.timeout(self.timeouts.request_body_total_seconds):
            while chunk := await request.content.readany():
                body += chunk
                if len(body) > limit:
                    raise ApiError(413, "The local runtime made too large a request of this conversation.")
        if len(body) < _LARGE:
            return _checked(body, asked)
        return await asyncio.to_thread(_checked, body, asked)

    def _refuse(self, refusal: Refusal, turn: Turn) -> web.StreamResponse:
        turn.refusal = refusal.answer
        if isinstance(refusal.answer, UpstreamAnswer):
            turn.upstream_request_id = refusal.answer.headers.get(REQUEST_ID_HEADER)
            refusal.answer.headers.popall("content-length", None)
        # Whatever it was: the runtime is to give up now, and to say so in its own way.
        return _answer(ApiError(400, "The upstream refused.", should_retry=False))

    async def _stream(self, request: web.BaseRequest, opened: OpenStream) -> web.StreamResponse:
        response = web.StreamResponse(headers={"content-type": "text/event-stream; charset=utf-8"})
        await response.prepare(request)
        try:
            for part in opened.held:
                await response.write(part)
            opened.held.clear()
            while not opened.terminal:
                async with asyncio.timeout(self.timeouts.upstream_idle_seconds):
                    chunk = await opened.read()
                if not chunk:
                    break
                step = opened.guard.feed(chunk)
                opened.terminal = step.terminal
                await response.write(step.data)
            await response.write(opened.terminal)
            await response.write_eof()
        except (TimeoutError, *NETWORK_ERRORS):
            # What was cut must look cut: everything that came, and then a close without the last chunk.
            if request.transport is not None:
                request.transport.close()
        return response


def _checked(body: bytearray, asked: SdkRequest) -> bytes:
    """Return the runtime's request with the client's bound on tokens.

    Raises:
        ApiError: 400, it differs from what the client asked for.
    """
    try:
        sent: dict[str, Any] = msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError):
        raise ApiError(502, "The local runtime made a request that is not JSON.") from None
    turns = [turn for turn in sent.get("messages") or [] if turn.get("role") != "system"]
    if sent.get("model") != asked.model:
        raise _altered("model")
    if len(turns) != asked.before.turns + 1 or _texts(turns[-1].get("content")) != list(asked.texts):
        raise _altered("messages")
    if asked.system is not None and asked.system not in _texts(sent.get("system")):
        raise _altered("system")
    if sent.get("tools"):
        raise _altered("tools")
    if sent.get("stream") is not True:
        raise _altered("stream")
    sent["max_tokens"] = asked.max_tokens
    return encode_json(sent)


def _texts(content: Any) -> list[Any]:
    if isinstance(content, str):
        return [content]
    return [block.get("text") if isinstance(block, Mapping) else None for block in content or []]


def _altered(name: str) -> ApiError:
    return ApiError(
        400,
        f"{name}: the local runtime does not carry this as it is; it would have sent something else. "
        "Use /claude/v1/messages.",
    )


def _answer(error: ApiError) -> web.Response:
    request_id = new_request_id()
    headers = error.response_headers(request_id) | {"x-should-retry": "false"}
    return web.Response(status=error.status, body=error.body(request_id), headers=headers)
