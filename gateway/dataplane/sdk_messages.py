"""The life of a request to `/claude-sdk/v1/messages`, from admission to its record.

The steps are those of `/claude/v1/messages`, and so are the guard and the relay; what differs is where the stream
comes from, and that a runtime is asked once, for nothing of it may be sent twice.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, Final

from aiohttp import web
from attrs import define, field

from gateway.actors.limits import Wanted
from gateway.dataplane.answers import UpstreamAnswer
from gateway.dataplane.connections import error_response
from gateway.dataplane.messages import PooledApi
from gateway.dataplane.recording import (
    CLIENT_CLOSED,
    begin_record,
    note_commit,
    note_end,
    note_timeline,
    note_verdict,
)
from gateway.dataplane.relay import ClientGone, StreamRelay
from gateway.dataplane.sdk_gate import Turn
from gateway.dataplane.sdk_pool import RuntimePool
from gateway.dataplane.sdk_requests import SdkRequest, read_sdk_request
from gateway.dataplane.sdk_runtime import Runtime
from gateway.ledger.record import RequestRecord
from gateway.ledger.timeline import TimelineRecorder
from gateway.wire.errors import (
    GATEWAY_REQUEST_ID_HEADER,
    REQUEST_ID_HEADER,
    SERVER_NAME,
    STATUS_BY_TYPE,
    TYPE_BY_STATUS,
    ApiError,
    encode_json,
)
from gateway.wire.requests import decode_body
from sse_fsm import EndReason, MessageAccumulator, Outcome, State, StreamGuard, Verdict

__all__ = ["SdkMessagesApi"]

_ROUTE: Final = "POST /claude-sdk/v1/messages"
_RETRY_SOON: Final = 1  # second
_LEAST_WAIT: Final = 0.05  # seconds, for an event that is here already when the deadline has passed


@define(eq=False)
class SdkMessagesApi:
    """Serves `/claude-sdk/v1/messages` with local runtimes."""

    messages: PooledApi
    """Lends its settings, admission and ledger, and its way to end what is under way."""
    pool: RuntimePool

    def create(self, request: web.BaseRequest, _target: str) -> Awaitable[web.StreamResponse]:
        """Answer a request."""
        return _Life(self, request).run()


@define(eq=False)
class _Lease:
    """A runtime for one request. Closing it ends a runtime that is not given back."""

    runtime: Runtime
    given_back: bool = False

    def close(self) -> None:
        if not self.given_back:
            self.runtime.stop()


@define(eq=False)
class _Opened:
    """A runtime's stream, for the relay."""

    response: _Lease
    guard: StreamGuard
    held: list[bytes] = field(factory=list)
    terminal: bytes = b""
    silent: bool = False

    @property
    def read(self) -> Callable[[], Awaitable[bytes]]:
        return self.response.runtime.read


class _Life:
    """One request."""

    def __init__(self, api: SdkMessagesApi, request: web.BaseRequest) -> None:
        self._pool = api.pool
        self._api = api.messages
        self._timeouts = api.messages.settings.timeouts
        self._request = request
        self._clock: Callable[[], float] = asyncio.get_running_loop().time
        self._started = self._clock()
        self._record = begin_record(request, "/v1/messages", provider="anthropic")
        self._record.route = _ROUTE
        self._actor_id = ""
        self._turn: Turn | None = None
        self._guard: StreamGuard | None = None
        self._message = MessageAccumulator()
        self._settled = False
        self._stream: StreamRelay | None = None

    @property
    def record(self) -> RequestRecord:
        return self._record

    @property
    def started(self) -> float:
        return self._started

    @property
    def guard(self) -> StreamGuard | None:
        return self._guard

    @property
    def heard(self) -> float | None:
        return self._stream.heard if self._stream is not None else None

    @property
    def longest_gap(self) -> float:
        return self._stream.longest_gap if self._stream is not None else 0.0

    @property
    def body_bytes(self) -> int | None:
        return None

    async def run(self) -> web.StreamResponse:
        self._api.in_flight.begin(self)
        try:
            try:
                asked = await self._api.before_an_end(self._admit())
                lease = _Lease(await self._api.before_an_end(self._pool.acquire(self._actor_id, asked)))
            except ApiError as error:
                return await self._reject(error)
            try:
                return await self._serve(lease, asked)
            finally:
                lease.close()
        except (ClientGone, ConnectionError):
            await self._settle_cancelled()
            return web.Response(status=CLIENT_CLOSED)  # goes nowhere: the connection is closed
        except asyncio.CancelledError:
            await self._settle_cancelled()
            raise
        except Exception as error:
            self._record.status = self._record.status or 500
            self._record.reason = f"internal error ({type(error).__name__}); the log says where"
            await self._settle("failed")
            raise
        finally:
            self._api.in_flight.end(self)

    async def _admit(self) -> SdkRequest:
        api, request = self._api, self._request
        actor = await api.admission.identify(request)
        self._record.actor, self._record.actor_id = actor.name, actor.id
        self._actor_id = actor.id
        api.admission.refuse_invalid(actor)
        body: bytes | bytearray = await api.admission.read_body(request)
        if encoding := request.headers.get("content-encoding"):
            body = await asyncio.to_thread(decode_body, body, encoding, api.settings.limits.request_body_bytes)
        query = request.raw_path.partition("?")[2]
        # A thread, because all of it is read, however large it is.
        asked = await asyncio.to_thread(read_sdk_request, body, request.headers, query)
        self._record.model, self._record.stream = asked.model, asked.stream
        wanted = Wanted(self._record.id, [asked.model], len(body), asked.max_tokens)
        await api.admission.limiter.admit(actor, wanted)
        return asked

    async def _serve(self, lease: _Lease, asked: SdkRequest) -> web.StreamResponse:
        guard = self._guard = StreamGuard(
            max_event_bytes=self._api.settings.limits.event_bytes,
            request_id=self._record.id,
            observer=self._message.observe,
            recorder=TimelineRecorder(self._clock, self._started),
        )
        opened = _Opened(lease, guard)
        try:
            refusal = await self._api.before_an_end(self._open(opened, asked))
        except ApiError as error:
            refusal = error
        if self._turn is not None:
            self._record.upstream_request_id = self._turn.upstream_request_id
            self._record.attempts = self._turn.attempts
            self._record.account = self._turn.account
        if refusal is not None:
            return await self._refuse(refusal)
        self._record.milliseconds_to_content = self._elapsed()
        if not asked.stream:
            return await self._whole(lease, asked)

        async def settle(verdict: Verdict) -> None:
            self._give_back(lease, asked, verdict)
            note_verdict(self._record, verdict)
            await self._settle(verdict.outcome)

        response = web.StreamResponse(headers=self._headers("text/event-stream; charset=utf-8"))
        response.headers["cache-control"] = "no-cache"
        response.headers["x-accel-buffering"] = "no"
        await response.prepare(self._request)
        self._record.status = response.status
        self._record.milliseconds_to_first_byte = self._elapsed()
        note_commit(guard)
        relay = self._stream = StreamRelay(self._request, opened, response, self._timeouts)
        self._api.relays.add(relay)
        try:
            await relay.run(settle)
        finally:
            self._api.relays.discard(relay)
        return response

    async def _open(self, opened: _Opened, asked: SdkRequest) -> ApiError | UpstreamAnswer | None:
        """Ask, and hold the answer back: a stream until it shows content, anything else until it is whole.

        Returns why there is none.
        """
        runtime = opened.response.runtime
        latest = self._clock() + self._timeouts.upstream_head_seconds
        try:
            async with asyncio.timeout(self._timeouts.sdk_start_seconds):
                turn = self._turn = await runtime.ask(asked)
        except (TimeoutError, ConnectionError):
            return ApiError(
                503, "The local runtime did not take the request. Try again in a moment.", retry_after=1
            )
        try:
            async with asyncio.timeout_at(latest):
                if asked.stream:
                    await self._hold(opened, turn)
                else:
                    while chunk := await runtime.read():
                        opened.guard.feed(chunk)
        except TimeoutError:
            return ApiError(504, "The local runtime did not answer in time. Try again in a moment.")
        if asked.stream and (opened.guard.committed or opened.silent):
            return None
        return self._judge(opened.guard, turn)

    async def _hold(self, opened: _Opened, turn: Turn) -> None:
        """Hold a stream back until it shows content, ends, or has been silent for too long behind its head."""
        deadline = self._started + self._timeouts.commit_deadline_seconds
        while not (opened.guard.committed or opened.terminal):
            try:
                async with asyncio.timeout_at(max(deadline, self._clock() + _LEAST_WAIT)):
                    chunk = await opened.read()
            except TimeoutError:
                # Before the head, the upstream's own status can still be passed on.
                await turn.answered.wait()
                opened.silent = turn.refusal is None
                if opened.silent:
                    return
                continue
            if not chunk:
                return
            step = opened.guard.feed(chunk)
            opened.held.append(step.data)
            opened.terminal = step.terminal

    def _judge(self, guard: StreamGuard, turn: Turn) -> ApiError | UpstreamAnswer | None:
        """Say what an answer that has come to its end without being relayed is worth."""
        if guard.state is State.STOPPED:
            return None
        if turn.refusal is not None:
            return turn.refusal
        if guard.error is not None:
            kind = str(guard.error.get("type"))
            status = 502 if kind == TYPE_BY_STATUS[502] else STATUS_BY_TYPE.get(kind, 502)
            return ApiError(status, str(guard.error.get("message")), kind)
        return ApiError(
            502, "The local runtime broke off its answer. Try again in a moment.", retry_after=_RETRY_SOON
        )

    async def _whole(self, lease: _Lease, asked: SdkRequest) -> web.StreamResponse:
        assert self._guard is not None  # noqa: S101 - made before anything is asked
        _, verdict = self._guard.finish()
        self._give_back(lease, asked, verdict)
        body = encode_json(self._message.to_json())
        note_verdict(self._record, verdict)
        self._record.status, self._record.bytes_out = 200, len(body)
        await self._settle(verdict.outcome)
        return web.Response(body=body, headers=self._headers("application/json"))

    def _give_back(self, lease: _Lease, asked: SdkRequest, verdict: Verdict) -> None:
        """Give the runtime back before the client knows that its turn is over, so that its next one finds it."""
        if verdict.outcome is not Outcome.COMPLETE:
            return
        message: dict[str, Any] = self._message.to_json() or {}
        texts = [block["text"] for block in message["content"] if block["type"] == "text"]
        lease.given_back = True
        answer = asked.before.then("user", asked.texts).then("assistant", texts)
        self._pool.give_back(self._actor_id, asked, lease.runtime, answer)

    async def _refuse(self, refusal: ApiError | UpstreamAnswer) -> web.StreamResponse:
        if self._guard is not None:
            _, verdict = self._guard.finish()
            note_verdict(self._record, verdict)
            self._record.bytes_out = 0  # what the guard let out was held back
        if isinstance(refusal, ApiError):
            outcome = "rejected" if refusal.status == 400 else Outcome.UPSTREAM_ERROR  # noqa: PLR2004 - a refusal of ours
            return await self._reject(refusal, outcome)
        self._record.status = refusal.status
        await self._settle("refused")
        headers = refusal.headers
        headers[GATEWAY_REQUEST_ID_HEADER] = self._record.id
        return web.Response(status=refusal.status, body=refusal.body, headers=headers)

    async def _reject(self, error: ApiError, outcome: str = "rejected") -> web.StreamResponse:
        self._record.status = error.status
        self._record.reason = error.message
        await self._settle(outcome)
        return error_response(error, self._record.id)

    def _headers(self, content_type: str) -> dict[str, str]:
        upstream = self._turn.upstream_request_id if self._turn is not None else None
        return {
            "content-type": content_type,
            "server": SERVER_NAME,
            REQUEST_ID_HEADER: upstream or self._record.id,
            GATEWAY_REQUEST_ID_HEADER: self._record.id,
        }

    async def _settle_cancelled(self) -> None:
        if self._settled:
            return
        self._record.status = self._record.status or CLIENT_CLOSED
        outcome = Outcome.CANCELLED
        if self._guard is not None:
            _, verdict = self._guard.finish(EndReason.CANCELLED)
            note_verdict(self._record, verdict)
            outcome = verdict.outcome
        await self._settle(outcome)

    async def _settle(self, outcome: str) -> None:
        if self._settled:
            return
        self._settled = True
        note_end(self._record, outcome, self._elapsed(), self._stream)
        note_timeline(self._record, self._guard)
        await self._api.settle(self._record)

    def _elapsed(self) -> int:
        return round((self._clock() - self._started) * 1000)
