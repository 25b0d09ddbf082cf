"""The life of a request to `/claude/v1/*`, from admission to its record.

Admit, attempt until the commit point, relay, settle. Each step is a module of its own; this one joins them and
makes sure that there is exactly one record, whatever happens.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Final, TypeVar

from aiohttp import web
from attrs import define, field

from gateway.accounts.account import Account
from gateway.accounts.affinity import session_key
from gateway.accounts.backend import Backend
from gateway.accounts.pool import Need, Observation, Switch
from gateway.actors.keys import Actor
from gateway.actors.limits import Wanted
from gateway.config import ClientAuth, Settings, StreamMode
from gateway.dataplane.admission import Admission
from gateway.dataplane.answers import OpenBody, OpenStream, Refusal, UpstreamAnswer
from gateway.dataplane.attempts import Attempts
from gateway.dataplane.connections import ClientConnection
from gateway.dataplane.contract import ANTHROPIC, Contract
from gateway.dataplane.exchange import Outgoing
from gateway.dataplane.recording import (
    CLIENT_CLOSED,
    begin_record,
    note_commit,
    note_end,
    note_message,
    note_timeline,
    note_verdict,
)
from gateway.dataplane.refusals import LastRefusals
from gateway.dataplane.relay import BodyRelay, ClientGone, Relay, StreamRelay
from gateway.dataplane.upstream import NETWORK_ERRORS, Upstream
from gateway.ledger.in_flight import RequestsInFlight
from gateway.ledger.record import AttemptRecord, RequestRecord, SwitchRecord
from gateway.ledger.settlement import Settlement
from gateway.pricing.cache_loss import price_of_cache_lost
from gateway.providers.base import FaultClass
from gateway.telemetry.diagnostics import Diagnostics, body_hash, header_names
from gateway.telemetry.logs import get_logger
from gateway.wire import headers as header_rules
from gateway.wire.errors import (
    GATEWAY_REQUEST_ID_HEADER,
    REQUEST_ID_HEADER,
    SERVER_NAME,
    TYPE_BY_STATUS,
    ApiError,
    read_error,
)
from gateway.wire.requests import RequestFacts
from sse_fsm import EndReason, Outcome, StreamGuard, Verdict, encode_error
from sse_fsm.encoding import PING

__all__ = ["PooledApi"]

_RETRY_SOON: Final = 5  # seconds
_LARGE: Final = 256 * 1024  # bytes of a body that are not gone through on the event loop without need
_log = get_logger(__name__)
_Result = TypeVar("_Result")

_KNOWN_PATHS: Final = frozenset(
    prefix + path
    for prefix in ("", "/claude")
    for path in ("/", "/v1", "/v1/messages", "/v1/messages/count_tokens", "/v1/models", "/v1/chat/completions")
) | {"/claude-sdk/v1/messages"}
"""Paths that are worth naming in a log: ours, and those of clients with the wrong base URL."""
_COUNT_TOKENS: Final = "/v1/messages/count_tokens"
_COUNTING: Final = "count_tokens"
"""Quota family of requests that count tokens, whatever their model."""
_MOST_TOKENS: Final = 2**30 - 1  # of a kind that an answer is believed to have cached
_SESSION_HEADER: Final = "x-claude-code-session-id"


@define(eq=False)
class PooledApi:
    """Serves the requests of one API with the accounts of a pool."""

    settings: Settings
    admission: Admission
    backend: Backend
    upstream: Upstream
    settlement: Settlement
    diagnostics: Diagnostics
    contract: Contract = ANTHROPIC
    announce: Callable[[RequestRecord, AttemptRecord], str] | None = None
    """Returns the `traceparent` that tells the upstream of an attempt's span; None where it is not told of any."""
    in_flight: RequestsInFlight = field(factory=RequestsInFlight)
    """Requests that are not over, for whoever wants to look."""
    refusals: LastRefusals = field(factory=LastRefusals, init=False)
    relays: set[Relay] = field(factory=set, init=False)
    """Answers on their way, so that a shutdown can end them."""
    waiting: set[asyncio.Timeout] = field(factory=set, init=False)
    """Requests of which nothing has been answered yet, so that a shutdown can end their wait."""

    def create(self, request: web.BaseRequest, target: str) -> Awaitable[web.StreamResponse]:
        """Answer a request whose body names a model: messages and count_tokens."""
        return _Life(self, request, target, reads_body=True).run()

    def fetch(self, request: web.BaseRequest, target: str) -> Awaitable[web.StreamResponse]:
        """Answer a request without a body: models."""
        return _Life(self, request, target, reads_body=False).run()

    async def note_rejection(self, request: web.BaseRequest, error: ApiError, request_id: str) -> None:
        """Record a request that no route would take, so that its sender's operator can find it."""
        # A path that is none of ours may hold anything, a key pasted into the wrong place included.
        path = request.raw_path.partition("?")[0]
        record = RequestRecord(
            id=request_id,
            route=f"{request.method} {path if path in _KNOWN_PATHS else '(unknown path)'}",
            actor="unknown",
            outcome="rejected",
            status=error.status,
        )
        await self.settle(record)

    async def settle(self, record: RequestRecord) -> None:
        """Settle a request, as the last thing before its end leaves."""
        await self.settlement.settle(record)

    async def before_an_end(self, step: Awaitable[_Result]) -> _Result:
        """Do what comes before the first byte of an answer; a shutdown can end it at any point.

        Raises:
            ApiError: 503, a shutdown ended it; and whatever the step raises.
        """
        try:
            async with asyncio.timeout(None) as wait:
                self.waiting.add(wait)
                try:
                    return await step
                finally:
                    self.waiting.discard(wait)
        except TimeoutError:
            raise ApiError(
                503,
                "The gateway is restarting and had to end this request. Send it again.",
                retry_after=_RETRY_SOON,
                headers={"connection": "close"},
            ) from None

    def shut_down(self) -> int:
        """End everything that is under way, each in the way that its client understands; return how many."""
        count = len(self.waiting) + len(self.relays)
        now = asyncio.get_running_loop().time()
        for wait in self.waiting:
            wait.reschedule(now)
        for relay in self.relays:
            relay.end(EndReason.SHUTDOWN)
        return count


class _Life:
    """One request."""

    def __init__(self, api: PooledApi, request: web.BaseRequest, target: str, *, reads_body: bool) -> None:
        self._api = api
        self._request = request
        self._target = target
        self._reads_body = reads_body
        self._clock: Callable[[], float] = asyncio.get_running_loop().time
        self._started = self._clock()
        path = target.partition("?")[0]
        self._record = begin_record(request, path, provider=api.backend.provider.name)
        self._attempts: Attempts | None = None
        self._guard: StreamGuard | None = None
        self._settled = False
        self._need = Need("")
        self._early: web.StreamResponse | None = None
        self._stream: StreamRelay | None = None
        self._body: BodyRelay | None = None

    @property
    def record(self) -> RequestRecord:
        return self._record

    @property
    def started(self) -> float:
        return self._started

    @property
    def guard(self) -> StreamGuard | None:
        return self._attempts.current if self._attempts is not None else self._guard

    @property
    def heard(self) -> float | None:
        return self._stream.heard if self._stream is not None else None

    @property
    def longest_gap(self) -> float:
        return self._stream.longest_gap if self._stream is not None else 0.0

    @property
    def body_bytes(self) -> int | None:
        return self._body.bytes_in if self._body is not None else None

    async def run(self) -> web.StreamResponse:
        self._api.in_flight.begin(self)
        try:
            result = await self._prepare()
            if isinstance(result, ApiError):
                return await self._reject(result)
            return await self._answer(result)
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

    async def _prepare(self) -> OpenStream | OpenBody | Refusal | ApiError:
        """Do all that comes before the first byte of an answer."""
        try:
            return await self._api.before_an_end(self._admit_and_attempt())
        except ApiError as error:
            return error

    async def _admit_and_attempt(self) -> OpenStream | OpenBody | Refusal:
        return await self._attempt(await self._admit())

    async def _admit(self) -> Outgoing:
        api, request = self._api, self._request
        actor = await api.admission.identify(request)
        self._record.actor, self._record.actor_id = actor.name, actor.id
        api.admission.refuse_invalid(actor)
        body = bytearray()
        stream = False
        if self._reads_body:
            body = await api.admission.read_body(request)
            limit = api.settings.limits.request_body_bytes
            plain: bytes | bytearray = body
            if encoding := request.headers.get("content-encoding"):
                # A thread, because a small body may become a large one.
                plain = await asyncio.to_thread(api.contract.decode_body, body, encoding, limit)
            facts = api.contract.read_facts(plain)
            self._record.model, self._record.stream = facts.model, facts.stream
            stream = facts.stream
            self._need = self._what_is_needed(actor.id, facts)
            await self._keep_limits(actor, facts, len(plain))
        if api.diagnostics.wants("requests"):
            api.diagnostics.write(
                "requests",
                request_id=self._record.id,
                body_bytes=len(body),
                body_hash=body_hash(body) if len(body) < _LARGE else await asyncio.to_thread(body_hash, body),
                header_names=header_names(request.headers),
            )
        headers = header_rules.to_upstream(
            request.headers, keep_credentials=api.settings.client_auth is ClientAuth.PASSTHROUGH
        )
        return Outgoing(
            request.method,
            self._target,
            headers,
            body,
            stream,
            self._started,
            self._need,
            self._keep_alive,
            is_looked_into=api.contract.is_looked_into,
            announce=partial(api.announce, self._record) if api.announce is not None else None,
        )

    async def _keep_limits(self, actor: Actor, facts: RequestFacts, size: int) -> None:
        limiter = self._api.admission.limiter
        # Nearly always there are none, and then nobody asks.
        models = facts.models() if actor.terms.models or actor.terms.limits else [facts.model]
        if self._target.partition("?")[0] == _COUNT_TOKENS:
            # Which is free (Anthropic docs, "Token counting").
            limiter.check_model(actor, models)
            return
        is_counted = self._api.contract.is_looked_into
        await limiter.admit(actor, Wanted(self._record.id, models, size, facts.max_tokens, is_counted=is_counted))

    def _what_is_needed(self, actor_id: str, facts: RequestFacts) -> Need:
        backend = self._api.backend
        if self._target.partition("?")[0] == _COUNT_TOKENS:
            # Its limits are its own, and it writes nothing to a cache that a session could stay for (Anthropic
            # docs, "Token counting").
            return Need(_COUNTING, None, facts.model)
        header = self._request.headers.get(_SESSION_HEADER)
        session = session_key(actor_id, header=header, user_id=facts.user_id, opening=None)
        if session is None and backend.pool.is_shared:
            session = session_key(actor_id, header=None, user_id=None, opening=facts.opening())
        return Need(backend.provider.quota_family(facts.model), session, facts.model)

    async def _attempt(self, outgoing: Outgoing) -> OpenStream | OpenBody | Refusal:
        api = self._api
        self._attempts = attempts = Attempts(
            outgoing,
            api.backend,
            api.upstream,
            api.settings.timeouts,
            api.settings.limits,
            api.settings.routing,
            api.settings.stream_mode,
            api.refusals,
        )
        self._record.attempts = attempts.records
        result = await attempts.run()
        if not isinstance(result, Refusal):
            # Where nobody answers, nobody caches the session's prompt again.
            self._note_switch(attempts.switch)
        # A stream may last for hours; the request's body and headers need not.
        self._attempts, self._guard = None, attempts.current
        self._write_attempts()
        return result

    async def _answer(self, result: OpenStream | OpenBody | Refusal) -> web.StreamResponse:
        if isinstance(result, Refusal):
            return await self._refuse(result)
        self._record.upstream_request_id = result.headers.get(REQUEST_ID_HEADER)
        self._record.milliseconds_to_content = self._elapsed()
        self._record.account = result.account.name
        try:
            if isinstance(result, OpenStream):
                return await self._relay(result)
            return await self._pass_body(result)
        finally:
            result.close()

    async def _relay(self, opened: OpenStream) -> web.StreamResponse:
        request = self._request
        response = self._early
        if response is None:
            response = self._response(opened.response.status, opened.headers)
            await response.prepare(request)
            self._record.milliseconds_to_first_byte = self._elapsed()
        self._record.status = response.status
        note_commit(opened.guard)
        self._stream = relay = StreamRelay(request, opened, response, self._api.settings.timeouts)
        self._api.relays.add(relay)
        try:
            verdict = await relay.run(self._settle_stream)
            self._learn(opened, verdict)
        finally:
            self._api.relays.discard(relay)
            self._api.diagnostics.write(
                "streams",
                request_id=self._record.id,
                state=opened.guard.state.name,
                outcome=self._record.outcome,
                events=self._record.events,
                bytes_in=self._record.bytes_in,
                bytes_out=self._record.bytes_out,
                longest_gap_ms=round(relay.longest_gap * 1000),
            )
        return response

    def _learn(self, opened: OpenStream, verdict: Verdict) -> None:
        """Tell the pool what a stream has shown after its commit point; nothing is retried any more."""
        backend = self._api.backend
        if backend.passes_through:
            return
        if verdict.outcome is Outcome.TRUNCATED and verdict.reason in (EndReason.CUT, EndReason.EOF):
            backend.pool.report(opened.account.id, self._need, Observation(FaultClass.TRANSPORT))
        self._note_cached(opened.account, (verdict.message or {}).get("usage"))

    def _note_cached(self, account: Account, usage: object) -> None:
        """Tell the pool how much of the session's prompt an account has cached, as its answer says."""
        if self._api.backend.passes_through or not isinstance(usage, dict):
            return
        counts = (usage.get("cache_read_input_tokens"), usage.get("cache_creation_input_tokens"))
        cached = sum(count for count in counts if isinstance(count, int) and 0 <= count <= _MOST_TOKENS)
        self._api.backend.pool.note_usage(self._need, account.id, cached)

    async def _keep_alive(self) -> None:
        """Send the client of a stream a ping while no account is ready; the head goes before the first one."""
        if self._early is None:
            headers = header_rules.Headers({"content-type": "text/event-stream; charset=utf-8"})
            headers["cache-control"] = "no-cache"
            headers["x-accel-buffering"] = "no"
            headers["server"] = SERVER_NAME
            headers[REQUEST_ID_HEADER] = self._record.id
            response = self._response(200, headers)
            await response.prepare(self._request)
            self._early = response
            self._record.status = response.status
            self._record.milliseconds_to_first_byte = self._elapsed()
        try:
            await self._early.write(PING)
        except NETWORK_ERRORS:
            raise ClientGone from None

    async def _end_early(self, response: web.StreamResponse, kind: str, message: str) -> web.StreamResponse:
        """End a stream whose head has left already, and that has nothing to show."""
        try:
            await response.write(encode_error(kind, message, request_id=self._record.id))
            await response.write_eof()
        except NETWORK_ERRORS:
            raise ClientGone from None
        return response

    def _note_switch(self, switch: Switch | None) -> None:
        if switch is not None:
            names = {account.id: account.name for account in self._api.backend.pool.accounts}
            left = names.get(switch.from_account, switch.from_account)
            cost = price_of_cache_lost(
                self._need.model,
                switch.cached_tokens,
                prices=self._api.settlement.prices,
                at=self._record.at,
                provider=self._api.backend.provider.name,
            )
            self._record.switch = SwitchRecord(left, switch.reason, switch.cached_tokens, cost)

    async def _pass_body(self, opened: OpenBody) -> web.StreamResponse:
        self._record.status = opened.response.status
        if opened.complete:
            body = b"".join(opened.held)
            response = web.Response(status=opened.response.status, body=body, headers=self._marked(opened.headers))
            self._record.bytes_in = self._record.bytes_out = len(body)
            note_message(self._record, opened.model, opened.stop_reason, opened.usage)
            self._record.has_output = opened.has_output
            self._record.refusal_category = opened.refusal_category
            self._note_cached(opened.account, opened.usage)
            await self._settle(Outcome.COMPLETE)
            return response
        response = self._response(opened.response.status, opened.headers)
        await response.prepare(self._request)
        self._body = relay = BodyRelay(self._request, opened, response, self._api.settings.timeouts)
        self._api.relays.add(relay)
        try:
            await relay.run(partial(self._settle_body, relay))
        finally:
            self._note_size(relay)
            self._api.relays.discard(relay)
        if self._record.reason is EndReason.CUT and not self._api.backend.passes_through:
            self._api.backend.pool.report(opened.account.id, self._need, Observation(FaultClass.TRANSPORT))
        return response

    async def _refuse(self, refusal: Refusal) -> web.StreamResponse:
        answer = refusal.answer
        self._record.reason = refusal.reason or None
        if isinstance(answer, ApiError):
            if refusal.verdict is None:
                # Without an attempt it is the gateway's own doing: there is no account, or no place on one.
                return await self._reject(answer, Outcome.UPSTREAM_ERROR if self._record.attempts else "rejected")
            note_verdict(self._record, refusal.verdict)
            self._record.bytes_out = 0  # what the guard let out was held back
            return await self._reject(answer, outcome=refusal.verdict.outcome)
        return await self._pass_refusal(answer)

    async def _pass_refusal(self, answer: UpstreamAnswer) -> web.StreamResponse:
        self._record.status = answer.status if self._early is None else self._record.status
        self._record.upstream_request_id = answer.headers.get(REQUEST_ID_HEADER)
        self._record.bytes_in = len(answer.body) if self._record.attempts else 0
        if self._early is None:
            self._record.bytes_out = len(answer.body)
        await self._settle("refused")
        if self._early is not None:
            error = read_error(answer.body) or {}
            kind, message = error.get("type"), error.get("message")
            kind = kind if isinstance(kind, str) else TYPE_BY_STATUS.get(answer.status, "api_error")
            message = message if isinstance(message, str) else "The upstream refused the request."
            return await self._end_early(self._early, kind, message)
        return web.Response(status=answer.status, body=answer.body, headers=self._marked(answer.headers))

    async def _reject(self, error: ApiError, outcome: str = "rejected") -> web.StreamResponse:
        if self._early is None:
            self._record.status = error.status
        self._record.reason = self._record.reason or error.message
        await self._settle(outcome)
        if self._early is not None:
            return await self._end_early(self._early, error.kind, error.message)
        headers = error.response_headers(self._record.id)
        headers[GATEWAY_REQUEST_ID_HEADER] = self._record.id
        response = web.Response(
            status=error.status, body=self._api.contract.error_body(error, self._record.id), headers=headers
        )
        if headers.get("connection") == "close":
            response.force_close()
        return response

    def _response(self, status: int, headers: header_rules.Headers) -> web.StreamResponse:
        return web.StreamResponse(status=status, headers=self._marked(headers))

    def _marked(self, headers: header_rules.Headers) -> header_rules.Headers:
        headers[GATEWAY_REQUEST_ID_HEADER] = self._record.id
        return headers

    async def _settle_stream(self, verdict: Verdict) -> None:
        is_observed = self._api.settings.stream_mode is StreamMode.OBSERVE
        note_verdict(self._record, verdict, is_observed=is_observed)
        await self._settle(verdict.outcome)

    def _note_size(self, relay: BodyRelay) -> None:
        self._record.bytes_in, self._record.bytes_out = relay.bytes_in, relay.bytes_out

    async def _settle_body(self, relay: BodyRelay, reason: EndReason) -> None:
        self._note_size(relay)
        if reason is EndReason.EOF:
            await self._settle(Outcome.COMPLETE)
        else:
            self._record.reason = reason
            await self._settle(Outcome.TRUNCATED)

    async def _settle_cancelled(self) -> None:
        if self._settled:
            return
        self._record.status = self._record.status or CLIENT_CLOSED
        guard, outcome = self.guard, Outcome.CANCELLED
        if guard is not None:
            _, verdict = guard.finish(EndReason.CANCELLED)
            if self._attempts is None or verdict.outcome is Outcome.CANCELLED:
                note_verdict(self._record, verdict)
                outcome = verdict.outcome
            else:
                # A stream that is over while attempts go on is that of one that was given up.
                self._attempts = None
        protocol = self._request.protocol
        if isinstance(protocol, ClientConnection) and protocol.stalled:
            self._record.reason = "the client took nothing for too long"
        await self._settle(outcome)

    async def _settle(self, outcome: str) -> None:
        if self._settled:
            return
        self._settled = True
        note_end(self._record, outcome, self._elapsed(), self._stream)
        note_timeline(self._record, self.guard)
        await self._api.settle(self._record)

    def _write_attempts(self) -> None:
        if self._api.diagnostics.wants("attempts"):
            for attempt in self._record.attempts:
                self._api.diagnostics.write(
                    "attempts",
                    request_id=self._record.id,
                    account=attempt.account,
                    status=attempt.status,
                    fault=attempt.fault,
                    ms=attempt.milliseconds,
                )

    def _elapsed(self) -> int:
        return round((self._clock() - self._started) * 1000)
