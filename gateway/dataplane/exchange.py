"""One exchange with an upstream: from the request to an answer that has content, or to why there is none.

Nothing reaches the client here. So the gateway can look inside the upstream's 200, and give what fails the HTTP
status that clients' retry logic understands.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from http import HTTPStatus
from typing import Any, Final

import aiohttp
from attrs import define, field
from multidict import CIMultiDict

from gateway.accounts.account import Account
from gateway.accounts.backend import Backend
from gateway.accounts.health import CONSEQUENCES
from gateway.accounts.pool import Need
from gateway.config import Limits, StreamMode, Timeouts
from gateway.dataplane.answers import OpenBody, OpenStream, Refusal, UpstreamAnswer
from gateway.dataplane.encoded import decoding_reader
from gateway.dataplane.held import HeldAnswer, look_into
from gateway.dataplane.refusals import no_credential
from gateway.dataplane.upstream import NETWORK_ERRORS, Upstream, UpstreamFault
from gateway.ledger.record import AttemptRecord
from gateway.ledger.timeline import TimelineRecorder
from gateway.providers.base import Credential, FaultClass
from gateway.providers.limits import RateLimits
from gateway.wire import headers as header_rules
from gateway.wire.errors import (
    REQUEST_ID_HEADER,
    STATUS_BY_TYPE,
    ApiError,
    encode_json,
    error_message,
    new_request_id,
)
from sse_fsm import EndReason, State, StreamGuard

__all__ = ["Exchange", "Outgoing"]

_LEAST_WAIT: Final = 0.05  # seconds, for bytes that are here already when the deadline has passed
_LARGE: Final = 2**20  # bytes that are not gone through on the event loop
_RETRY_SOON: Final = 1  # second; clients wait as long as they are told, even where their own back-off is shorter


@define
class Outgoing:
    """What is sent upstream."""

    method: str
    target: str
    """Path and query as the upstream gets them."""
    headers: CIMultiDict[str]
    body: bytes | bytearray
    stream: bool
    started: float
    """When the client's request came in, on the event loop's clock."""
    need: Need = field(factory=lambda: Need(""))
    """What it asks of an account."""
    keep_alive: Callable[[], Awaitable[None]] | None = None
    """Sends the client of a stream a ping, and the head before the first one; for waits beyond the commit
    deadline."""
    is_looked_into: bool = True
    """Whether an answer is held until it shows what it is; otherwise it goes on as it comes."""
    announce: Callable[[AttemptRecord], str] | None = None
    """Returns the `traceparent` for an attempt, in the place of the client's; None to leave that as it is."""


@define
class Exchange:
    """One try at one account."""

    outgoing: Outgoing
    backend: Backend
    upstream: Upstream
    timeouts: Timeouts
    limits: Limits
    mode: StreamMode
    guard: StreamGuard | None = field(default=None, init=False)
    """Of the stream, if it is one that is looked into."""
    rate_limits: RateLimits = field(factory=RateLimits, init=False)
    """What the answer says about its account's limits."""
    _response: aiohttp.ClientResponse | None = field(default=None, init=False)
    _held_by: float = field(default=0.0, init=False)
    """When an answer that is held has to be whole, on the event loop's clock."""

    async def run(
        self, account: Account, credential: Credential | None, record: AttemptRecord
    ) -> OpenStream | OpenBody | Refusal:
        """Send the request and return what came of it; `record` is filled in, whatever that is."""
        clock = asyncio.get_running_loop().time
        began = clock()
        self._held_by = began + self.timeouts.upstream_head_seconds
        record.began_milliseconds = max(0, round((began - self.outgoing.started) * 1000))
        result: OpenStream | OpenBody | Refusal | None = None
        try:
            result = await self._exchange(account, credential, record)
        except UpstreamFault as fault:
            result = Refusal(FaultClass.TRANSPORT, _unreachable(fault))
        finally:
            # Whatever is not handed out, a cancelled attempt included, is cut off at once: an upstream that
            # goes on for nobody is billed all the same.
            if self._response is not None and not isinstance(result, (OpenStream, OpenBody)):
                self._response.close()
            record.milliseconds = round((clock() - began) * 1000)
        record.fault = result.fault.value if isinstance(result, Refusal) else None
        return result

    async def _exchange(
        self, account: Account, credential: Credential | None, record: AttemptRecord
    ) -> OpenStream | OpenBody | Refusal:
        out, provider = self.outgoing, self.backend.provider
        headers = out.headers.copy()
        if credential is not None:
            provider.add_credential(headers, credential)
        if out.announce is not None:
            headers["traceparent"] = out.announce(record)
        base_url = account.base_url or provider.base_url
        response = await self.upstream.send(out.method, base_url, out.target, headers, out.body)
        self._response = response
        record.status = response.status
        if credential is not None:
            self.rate_limits = provider.read_limits(response.headers, self.backend.clock())
        if response.status >= 400:  # noqa: PLR2004 - first error status
            return await self._refused(response)
        if response.status == HTTPStatus.NOT_MODIFIED and not out.is_looked_into:
            return OpenBody(account, response, self._client_headers(response), [], complete=False)
        if response.status >= 300 or response.status < 200:  # noqa: PLR2004 - redirects and the unheard-of
            return Refusal(
                # Where clients choose the path, it may be the path.
                FaultClass.UPSTREAM if out.is_looked_into else FaultClass.REQUEST,
                ApiError(502, f"The upstream answered with status {response.status}, which is not followed."),
            )
        if not out.is_looked_into:
            return OpenBody(account, response, self._client_headers(response), [], complete=False)
        return await (self._open_stream(account, response) if out.stream else self._open_body(account, response))

    async def _refused(self, response: aiohttp.ClientResponse) -> Refusal:
        parts, complete = await self._hold_body(response)
        if not complete:
            raise UpstreamFault("The upstream's error answer is too large.")
        body = b"".join(parts)
        response.release()
        fault = self.backend.provider.classify(response.status, response.headers, body)
        words = error_message(body)
        # A 401 never speaks of the client's key, and a 403 only where it is about the request.
        hidden = CONSEQUENCES[fault].hide_from_client or response.status == HTTPStatus.UNAUTHORIZED
        hidden |= response.status == HTTPStatus.FORBIDDEN and fault is not FaultClass.REQUEST
        if hidden and not self.backend.passes_through:
            return Refusal(fault, no_credential(_not_accepted(words)), words=words)
        return Refusal(fault, UpstreamAnswer(response.status, self._client_headers(response), body), words=words)

    async def _open_body(self, account: Account, response: aiohttp.ClientResponse) -> OpenBody | Refusal:
        """Hold an answer that is no stream, and look whether it is what its 200 says."""
        if response.content_type == "text/html":
            return Refusal(FaultClass.UPSTREAM, _broken("answered 200 with a web page"))
        if response.content_type == "text/event-stream":
            return Refusal(FaultClass.UPSTREAM, _broken("answered with a stream that nobody asked for"))
        parts, complete = await self._hold_body(response)
        found = HeldAnswer()
        if complete:
            response.release()
            found = await self._look_into(b"".join(parts), response.headers.get("content-encoding", ""))
            if found.error is not None:
                return self._refused_inside(found.error, self._client_headers(response))
            if found.problem is not None:
                return Refusal(FaultClass.UPSTREAM, _broken(found.problem))
        opened = OpenBody(account, response, self._client_headers(response), parts, complete)
        opened.usage, opened.stop_reason = found.usage, found.stop_reason
        opened.model, opened.has_output = found.model, found.has_output
        opened.refusal_category = found.refusal_category
        return opened

    async def _look_into(self, body: bytes, encoding: str) -> HeldAnswer:
        limit = self.limits.held_body_bytes
        if len(body) <= _LARGE and not encoding:
            return look_into(body, encoding, limit)
        # A small compressed body may become a large one.
        return await asyncio.to_thread(look_into, body, encoding, limit)

    async def _hold_body(self, response: aiohttp.ClientResponse) -> tuple[list[bytes], bool]:
        """Read the body up to the bound; return what was read and whether it is all."""
        clock = asyncio.get_running_loop().time
        parts: list[bytes] = []
        size = 0
        while size <= self.limits.held_body_bytes:
            try:
                # A drop now and then keeps an upstream from being silent, but not its client from waiting.
                async with asyncio.timeout_at(min(self._held_by, clock() + self.timeouts.upstream_idle_seconds)):
                    chunk = await response.content.readany()
            except TimeoutError:
                late = clock() >= self._held_by
                what = "did not finish its answer in time" if late else "stopped in the middle of its answer"
                raise UpstreamFault(f"The upstream {what}.", timed_out=True) from None
            except NETWORK_ERRORS:
                raise UpstreamFault("The upstream's answer was cut off.") from None
            if not chunk:
                return parts, True
            parts.append(chunk)
            size += len(chunk)
        return parts, False

    async def _open_stream(self, account: Account, response: aiohttp.ClientResponse) -> OpenStream | Refusal:
        """Hold a 200 stream until it shows content, fails, or has been silent for too long."""
        read = decoding_reader(response)
        if read is None:
            raise UpstreamFault("The upstream compressed the stream in a way that cannot be read.")
        guard = self.guard = StreamGuard(
            mode=self.mode.value,
            max_event_bytes=self.limits.event_bytes,
            request_id=response.headers.get(REQUEST_ID_HEADER),
            recorder=TimelineRecorder(asyncio.get_running_loop().time, self.outgoing.started),
        )
        opened = OpenStream(account, response, self._client_headers(response, streaming=True), guard, read)
        clock = asyncio.get_running_loop().time
        deadline = self.outgoing.started + self.timeouts.commit_deadline_seconds
        size = 0
        ended = EndReason.EOF
        while True:
            try:
                async with asyncio.timeout(max(deadline - clock(), _LEAST_WAIT)):
                    chunk = await read()
            except TimeoutError:
                opened.silent = True
                return opened
            except NETWORK_ERRORS:
                chunk, ended = b"", EndReason.CUT
            if not chunk:
                return self._ended_early(opened, ended)
            step = guard.feed(chunk)
            opened.held.append(step.data)
            opened.terminal = step.terminal
            size += len(step.data)
            decided = self._decide(opened, size, late=clock() >= deadline)
            if decided is not None:
                return decided

    def _decide(self, opened: OpenStream, size: int, *, late: bool) -> OpenStream | Refusal | None:
        """Say what the events so far come to; None for nothing yet.

        Args:
            opened: the stream.
            size: bytes that are held back.
            late: the client has waited long enough for its head.
        """
        guard = opened.guard
        if guard.committed or size > self.limits.event_bytes:
            return opened
        if guard.state is State.FAILED:
            return self._failed_inside(opened)
        if guard.state is State.VIOLATED and self.mode is not StreamMode.OBSERVE:
            _, verdict = guard.finish()
            broken = _broken(f"broke the stream protocol: {verdict.violation}")
            return Refusal(FaultClass.UPSTREAM, broken, verdict)
        if guard.state is State.VIOLATED or late:
            # Pings keep the upstream from being silent, but not the gateway.
            opened.silent = not size
            return opened
        return None

    def _ended_early(self, opened: OpenStream, reason: EndReason) -> OpenStream | Refusal:
        if self.mode is StreamMode.OBSERVE and reason is EndReason.EOF:
            return opened
        _, verdict = opened.guard.finish(reason)
        if reason is EndReason.CUT:
            return Refusal(FaultClass.TRANSPORT, _broken("broke the connection before any content"), verdict)
        if verdict.events == 0:
            return Refusal(FaultClass.UPSTREAM, _broken("answered 200 without any event of a stream"), verdict)
        return Refusal(FaultClass.TRANSPORT, _broken("closed the stream before any content"), verdict)

    def _failed_inside(self, opened: OpenStream) -> Refusal:
        """Give an error event that came before any content the status that it would have had before the 200."""
        opened.guard.finish()
        headers = opened.headers
        for name in ("x-accel-buffering", "cache-control"):
            headers.popall(name, None)
        return self._refused_inside(opened.guard.error or {}, headers)

    def _refused_inside(self, error: dict[str, Any], headers: CIMultiDict[str]) -> Refusal:
        """Give an error that came under status 200 the status that belongs to its type."""
        kind = error.get("type")
        kind = kind if isinstance(kind, str) else "api_error"
        fault = self.backend.provider.classify_error_type(kind)
        if CONSEQUENCES[fault].hide_from_client and not self.backend.passes_through:
            return Refusal(fault, _broken("did not accept the gateway's credential"))
        headers["content-type"] = "application/json"
        for name in ("content-length", "content-encoding"):
            headers.popall(name, None)
        request_id = headers.setdefault(REQUEST_ID_HEADER, new_request_id())
        body = encode_json({"type": "error", "error": error, "request_id": request_id})
        answer = UpstreamAnswer(STATUS_BY_TYPE.get(kind, 500), headers, body)
        return Refusal(fault, answer, words=error_message(body))

    def _client_headers(self, response: aiohttp.ClientResponse, *, streaming: bool = False) -> CIMultiDict[str]:
        headers = header_rules.to_client(
            response.headers, shared_account=self.backend.pool.is_shared, streaming=streaming
        )
        if streaming:
            # The guard reads the stream in the clear, and in the clear it goes on.
            headers.popall("content-encoding", None)
        return headers


def _not_accepted(words: str) -> str:
    what = "The upstream does not accept the gateway's credential"
    return f"{what}; it says: {words}" if words else f"{what}."


def _unreachable(fault: UpstreamFault) -> ApiError:
    status = 504 if fault.timed_out else 502
    return ApiError(status, f"{fault.message} Try again in a moment.", retry_after=_RETRY_SOON)


def _broken(what: str) -> ApiError:
    return ApiError(502, f"The upstream {what}. Try again in a moment.", retry_after=_RETRY_SOON)
