"""Up to the commit point: one account after the other, until one has content to show.

Nothing reaches the client here. So the gateway can look inside the upstream's 200, and what fails can be tried
on another account or answered with the HTTP status that clients' retry logic understands.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable
from http import HTTPStatus
from typing import Any, Final

import aiohttp
from attrs import define, field
from multidict import CIMultiDict

from gateway.accounts.account import Account, AccountState
from gateway.accounts.backend import Backend
from gateway.accounts.credentials import CredentialUnavailableError
from gateway.accounts.health import CONSEQUENCES, backoff
from gateway.accounts.pool import Lack, Lease, Need, Observation, PoolBusyError, Switch
from gateway.config import Limits, Routing, StreamMode, Timeouts
from gateway.dataplane.answers import OpenBody, OpenStream, Refusal, UpstreamAnswer
from gateway.dataplane.encoded import decoding_reader
from gateway.dataplane.held import HeldAnswer, look_into
from gateway.dataplane.refusals import LastRefusals
from gateway.dataplane.upstream import NETWORK_ERRORS, Upstream, UpstreamFault
from gateway.ledger.record import AttemptRecord
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

__all__ = ["Attempts", "Outgoing"]

_LEAST_WAIT: Final = 0.05  # seconds, for bytes that are here already when the deadline has passed
_LARGE: Final = 2**20  # bytes that are not gone through on the event loop
_JITTER: Final = random.SystemRandom()
_MOST_ACCOUNTS: Final = 64  # that one request tries, whatever they say
# The account is left out from then on, so that it costs one request an attempt and no more.
_SETS_ASIDE: Final = frozenset({FaultClass.QUOTA, FaultClass.BILLING, FaultClass.CREDENTIAL})
_MOST_ROUNDS: Final = 8  # of attempts, while a request is held for capacity
_RENEWED_SOON: Final = 10  # seconds in which a token that cannot be renewed now may well be
_BUSY: Final = 5  # seconds until a place in the queue is likely to be free
_OR_BY_ENVIRONMENT: Final = {"anthropic": ", or to set GATEWAY_ANTHROPIC_API_KEY"}
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


@define
class Attempts:
    """The attempts of one request."""

    outgoing: Outgoing
    backend: Backend
    upstream: Upstream
    timeouts: Timeouts
    limits: Limits
    routing: Routing
    mode: StreamMode
    refusals: LastRefusals
    records: list[AttemptRecord] = field(factory=list)
    switch: Switch | None = field(default=None, init=False)
    """Set when the session leaves the account that has its prompt cached."""
    current: StreamGuard | None = None
    """Guard of the attempt that is under way, for its verdict should the client leave."""
    _response: aiohttp.ClientResponse | None = field(default=None, init=False)
    _held_by: float = field(default=0.0, init=False)
    """When an answer that is held has to be whole, on the event loop's clock."""
    _rate_limits: RateLimits = field(factory=RateLimits, init=False)
    """What the answer of the attempt that is under way says about its account's limits."""

    async def run(self) -> OpenStream | OpenBody | Refusal:
        """Try accounts until one answers with content, or none is left.

        Whoever gets an open answer has to close it.
        """
        hold_until = self.outgoing.started + self.routing.hold_for_capacity_seconds
        while True:
            result = await self._try_accounts()
            if not isinstance(result, Refusal) or not self._is_worth_a_wait(result):
                return result
            if not await self._wait_for_capacity(hold_until):
                return result

    async def _try_accounts(self) -> OpenStream | OpenBody | Refusal:
        need, pool = self.outgoing.need, self.backend.pool
        tried: set[str] = set()
        per_class: dict[FaultClass, int] = {}
        refusals: list[Refusal] = []
        set_aside = 0
        while len(tried) - set_aside < self.routing.max_attempts and len(tried) < _MOST_ACCOUNTS:
            try:
                lease = await pool.acquire(need, tried)
            except PoolBusyError:
                refusals.append(Refusal(FaultClass.OVERLOAD, _busy()))
                break
            if lease is None:
                break
            if FaultClass.OVERLOAD in per_class:
                await self._back_off(lease, per_class[FaultClass.OVERLOAD])
            tried.add(lease.account.id)
            result = await self._try_with(lease)
            if not isinstance(result, Refusal):
                return result
            refusals.append(result)
            if result.fault in _SETS_ASIDE:
                set_aside += 1
            consequence = CONSEQUENCES[result.fault]
            count = per_class[result.fault] = per_class.get(result.fault, 0) + 1
            if not consequence.try_next_account or count == consequence.most_attempts:
                break
        return self._most_telling(refusals)

    async def _back_off(self, lease: Lease, overloads: int) -> None:
        """Give an overloaded provider a moment before it is asked again, through whichever account."""
        try:
            await asyncio.sleep(backoff(overloads, _JITTER))
        except BaseException:
            lease.release()
            raise

    def _most_telling(self, refusals: list[Refusal]) -> Refusal:
        """Choose what the client gets: the last answer in the upstream's own words, if there is one."""
        for refusal in reversed(refusals):
            if isinstance(refusal.answer, UpstreamAnswer):
                if refusal.fault is FaultClass.QUOTA:
                    self._promise_no_more_than_the_pool(refusal.answer, refusals)
                return refusal
        return refusals[-1] if refusals else self._nobody()

    def _promise_no_more_than_the_pool(self, answer: UpstreamAnswer, refusals: list[Refusal]) -> None:
        """With several accounts a refused client need not wait for that one's reset, but for the first of any."""
        pool, need = self.backend.pool, self.outgoing.need
        if not pool.is_shared:
            return
        lack = pool.exhaustion(need).lack
        if lack is Lack.COOLING or any(refusal.fault is not FaultClass.QUOTA for refusal in refusals):
            _set_retry_after(answer, pool.retry_after(need))

    def _nobody(self) -> Refusal:
        """Say why no account could even be tried."""
        pool, need = self.backend.pool, self.outgoing.need
        exhaustion = pool.exhaustion(need)
        provider = self.backend.provider.name
        if exhaustion.lack is Lack.NO_ACCOUNT:
            return Refusal(
                FaultClass.TRANSPORT,
                ApiError(
                    503,
                    f"This gateway has no account of provider {provider!r}. The operator has to add one with "
                    f"`gateway accounts add --provider {provider}`{_OR_BY_ENVIRONMENT.get(provider, '')}.",
                    retry_after=30,
                ),
            )
        cooling = exhaustion.lack is not Lack.OUT_OF_USE
        fault = FaultClass.QUOTA if cooling else FaultClass.BILLING
        remembered = self.refusals.find(need.family, fault) if cooling or self._is_parked() else None
        if remembered is not None:
            if cooling:
                _set_retry_after(remembered, pool.retry_after(need))
            return Refusal(fault, remembered)
        if cooling:
            seconds = pool.retry_after(need) or _RETRY_SOON
            return Refusal(
                fault,
                ApiError(
                    529, "All accounts of this gateway are at their limits. Try again later.", retry_after=seconds
                ),
            )
        return Refusal(
            FaultClass.CREDENTIAL,
            ApiError(
                503,
                "No account of this gateway can be used: each is paused, parked or in need of a new credential. "
                "Your own key is fine; the operator sees more with `gateway accounts list`.",
                should_retry=False,
            ),
        )

    def _is_parked(self) -> bool:
        pool = self.backend.pool
        return any(pool.state(account.id)[0] is AccountState.PARKED for account in pool.accounts)

    def _is_worth_a_wait(self, refusal: Refusal) -> bool:
        return (
            self.routing.hold_for_capacity_seconds > 0
            and refusal.fault is FaultClass.QUOTA
            and len(self.records) < _MOST_ROUNDS * self.routing.max_attempts
            and self.backend.pool.exhaustion(self.outgoing.need).retry_at is not None
        )

    async def _wait_for_capacity(self, until: float) -> bool:
        """Wait until an account may be ready again; return whether that is before `until`."""
        out, pool = self.outgoing, self.backend.pool
        clock = asyncio.get_running_loop().time
        keep_alive = out.keep_alive if out.stream else None
        next_ping = out.started + self.timeouts.commit_deadline_seconds
        while (now := clock()) < until:
            if keep_alive is not None and now >= next_ping:
                await keep_alive()
                next_ping = now + self.timeouts.ping_interval_seconds
            exhaustion = pool.exhaustion(out.need)
            if exhaustion.retry_at is None or exhaustion.retry_at <= self.backend.clock():
                return True
            wake = min(until - now, exhaustion.retry_at - self.backend.clock())
            await pool.changed(wake if keep_alive is None else min(wake, next_ping - now))
        return False

    async def _try_with(self, lease: Lease) -> OpenStream | OpenBody | Refusal:
        """Try one account; give its slot back unless its answer is handed out."""
        handed_out = False
        self.switch = lease.switch or self.switch
        try:
            result = await self._try(lease.account)
            if not isinstance(result, Refusal):
                result.lease = lease
                handed_out = True
            return result
        finally:
            if not handed_out:
                lease.release()

    async def _try(self, account: Account) -> OpenStream | OpenBody | Refusal:
        """Try one account, and once more if its credential could be renewed."""
        credentials = self.backend.credentials
        if credentials is None:
            return await self._attempt(account, None)
        try:
            credential = await credentials.current(account)
        except CredentialUnavailableError as error:
            self.records.append(AttemptRecord(account.name, FaultClass.CREDENTIAL.value))
            # Others are preferred as long as there is no credential for this one.
            self.backend.pool.report(account.id, self.outgoing.need, Observation(FaultClass.UPSTREAM))
            return Refusal(FaultClass.CREDENTIAL, _no_credential(error.for_clients, terminal=error.terminal))
        result = await self._attempt(account, credential)
        if not isinstance(result, Refusal) or result.fault is not FaultClass.CREDENTIAL:
            self._report(account, result, credential)
            return result
        # One that needs a new credential is only being tried: what was refused before is not renewed for that.
        renewable = credentials.is_renewable(account) and not self._needs_reauth(account)
        renewed = await credentials.renew(account, credential) if renewable else None
        if renewed is None:
            self._report(account, result, credential, renewable=renewable)
            return await self._without_renewal(account, result) if renewable else result
        result = await self._attempt(account, renewed)
        self._report(account, result, renewed)
        return result

    def _needs_reauth(self, account: Account) -> bool:
        try:
            return self.backend.pool.state(account.id)[0] is AccountState.NEEDS_REAUTH
        except KeyError:
            return True  # it was removed meanwhile

    async def _without_renewal(self, account: Account, refusal: Refusal) -> Refusal:
        """Say whether a refused token that could not be renewed will be, sooner or later."""
        credentials = self.backend.credentials
        assert credentials is not None  # noqa: S101 - the only caller has them
        try:
            await credentials.current(account)
        except CredentialUnavailableError as error:
            refusal.answer = _no_credential(error.for_clients, terminal=error.terminal)
        return refusal

    def _report(
        self,
        account: Account,
        result: OpenStream | OpenBody | Refusal,
        credential: Credential,
        *,
        renewable: bool = False,
    ) -> None:
        refused = isinstance(result, Refusal)
        observation = Observation(
            result.fault if refused else None,
            self._rate_limits,
            result.words if refused else "",
            credential.version,
            renewable,
        )
        self.backend.pool.report(account.id, self.outgoing.need, observation)
        if refused and isinstance(result.answer, UpstreamAnswer):
            self.refusals.keep(self.outgoing.need.family, result.fault, result.answer)

    async def _attempt(self, account: Account, credential: Credential | None) -> OpenStream | OpenBody | Refusal:
        clock = asyncio.get_running_loop().time
        began = clock()
        record = AttemptRecord(account.name)
        self.records.append(record)
        self._response = None
        self._rate_limits = RateLimits()
        self._held_by = began + self.timeouts.upstream_head_seconds
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
        base_url = account.base_url or provider.base_url
        response = await self.upstream.send(out.method, base_url, out.target, headers, out.body)
        self._response = response
        record.status = response.status
        if credential is not None:
            self._rate_limits = provider.read_limits(response.headers, self.backend.clock())
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
            return Refusal(fault, _no_credential(_not_accepted(words)), words=words)
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
        guard = self.current = StreamGuard(
            mode=self.mode.value,
            max_event_bytes=self.limits.event_bytes,
            request_id=response.headers.get(REQUEST_ID_HEADER),
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


def _set_retry_after(answer: UpstreamAnswer, seconds: int | None) -> None:
    answer.headers["retry-after"] = str(seconds or _RETRY_SOON)
    answer.headers.popall("retry-after-ms", None)


def _busy() -> ApiError:
    return ApiError(
        529,
        "All accounts of this gateway are busy, and too many requests wait for one. Try again in a moment.",
        retry_after=_BUSY,
    )


def _not_accepted(words: str) -> str:
    what = "The upstream does not accept the gateway's credential"
    return f"{what}; it says: {words}" if words else f"{what}."


def _no_credential(what: str, *, terminal: bool = True) -> ApiError:
    """Say that an account has nothing to send, without naming it: that is the operator's to know, by the log."""
    if not terminal:
        return ApiError(503, f"{what} Your own key is fine; this passes by itself.", retry_after=_RENEWED_SOON)
    return ApiError(
        503,
        f"{what} Your own key is fine; the operator has to renew the account.",
        # It does not heal within anybody's retries, so nobody should sit through them.
        should_retry=False,
    )


def _unreachable(fault: UpstreamFault) -> ApiError:
    status = 504 if fault.timed_out else 502
    return ApiError(status, f"{fault.message} Try again in a moment.", retry_after=_RETRY_SOON)


def _broken(what: str) -> ApiError:
    return ApiError(502, f"The upstream {what}. Try again in a moment.", retry_after=_RETRY_SOON)
