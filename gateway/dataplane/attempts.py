"""Up to the commit point: one account after the other, until one has content to show.

Nothing reaches the client here, so what fails can be tried on another account. One try is an `Exchange`.
"""

from __future__ import annotations

import asyncio
import random
from datetime import UTC, datetime
from typing import Final

from attrs import define, field

from gateway.accounts.account import Account, AccountState
from gateway.accounts.backend import Backend
from gateway.accounts.credentials import CredentialUnavailableError
from gateway.accounts.health import CONSEQUENCES, backoff
from gateway.accounts.need import Exhaustion
from gateway.accounts.pool import Lack, Lease, Observation, PoolBusyError, Switch
from gateway.config import Limits, Routing, StreamMode, Timeouts
from gateway.dataplane.answers import OpenBody, OpenStream, Refusal, UpstreamAnswer
from gateway.dataplane.exchange import Exchange, Outgoing
from gateway.dataplane.refusals import LastRefusals, no_credential
from gateway.dataplane.upstream import Upstream
from gateway.ledger.record import AttemptRecord
from gateway.providers.base import Credential, FaultClass
from gateway.providers.limits import RateLimits
from gateway.wire.errors import ApiError
from sse_fsm import StreamGuard

__all__ = ["Attempts"]

_JITTER: Final = random.SystemRandom()
_MOST_ACCOUNTS: Final = 64  # that one request tries, whatever they say
# The account is left out from then on, so that it costs one request an attempt and no more.
_SETS_ASIDE: Final = frozenset({FaultClass.QUOTA, FaultClass.BILLING, FaultClass.CREDENTIAL})
_MOST_ROUNDS: Final = 8  # of attempts, while a request is held for capacity
_BUSY: Final = 5  # seconds until a place in the queue is likely to be free
_OR_BY_ENVIRONMENT: Final = {"anthropic": ", or to set GATEWAY_ANTHROPIC_API_KEY"}
_RETRY_SOON: Final = 1  # second; clients wait as long as they are told, even where their own back-off is shorter


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
    exchange: Exchange | None = field(default=None, init=False)
    """The attempt that is under way, or the last one."""

    @property
    def current(self) -> StreamGuard | None:
        """Guard of the attempt that is under way, for its verdict should the client leave."""
        return self.exchange.guard if self.exchange is not None else None

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
            return Refusal(
                fault, remembered, reason=f"{_why(exhaustion)}; the upstream's last refusal was repeated"
            )
        if cooling:
            seconds = pool.retry_after(need) or _RETRY_SOON
            return Refusal(
                fault,
                ApiError(
                    529, "All accounts of this gateway are at their limits. Try again later.", retry_after=seconds
                ),
                reason=_why(exhaustion),
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
            return Refusal(FaultClass.CREDENTIAL, no_credential(error.for_clients, terminal=error.terminal))
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
            refusal.answer = no_credential(error.for_clients, terminal=error.terminal)
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
            self.exchange.rate_limits if self.exchange is not None else RateLimits(),
            result.words if refused else "",
            credential.version,
            renewable,
        )
        self.backend.pool.report(account.id, self.outgoing.need, observation)
        if refused and isinstance(result.answer, UpstreamAnswer):
            self.refusals.keep(self.outgoing.need.family, result.fault, result.answer)

    async def _attempt(self, account: Account, credential: Credential | None) -> OpenStream | OpenBody | Refusal:
        record = AttemptRecord(account.name)
        self.records.append(record)
        self.exchange = exchange = Exchange(
            self.outgoing, self.backend, self.upstream, self.timeouts, self.limits, self.mode
        )
        return await exchange.run(account, credential, record)


def _why(exhaustion: Exhaustion) -> str:
    if exhaustion.lack is Lack.OUT_OF_USE:
        return "every account is paused, parked or in need of a new credential"
    if exhaustion.retry_at is None:
        return "no account was left to try"
    until = datetime.fromtimestamp(exhaustion.retry_at, UTC).isoformat(" ", "seconds")
    return f"all accounts rest, the first until {until.removesuffix('+00:00')} UTC"


def _set_retry_after(answer: UpstreamAnswer, seconds: int | None) -> None:
    answer.headers["retry-after"] = str(seconds or _RETRY_SOON)
    answer.headers.popall("retry-after-ms", None)


def _busy() -> ApiError:
    return ApiError(
        529,
        "All accounts of this gateway are busy, and too many requests wait for one. Try again in a moment.",
        retry_after=_BUSY,
    )
