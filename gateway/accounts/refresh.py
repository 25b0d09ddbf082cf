"""Renewing a token with a single-use refresh token that several processes share.

The order of the steps is what keeps a refresh token from being sent twice: lease, read again, connect, write down
that it is about to be sent, send, write the new pair, use it. Whoever dies between the mark and the last write
takes the pair with it; nobody sends the old token again, and the account goes on until its access token expires.
"""

from __future__ import annotations

import asyncio
import random
import secrets
from collections.abc import Awaitable, Callable
from typing import Final, TypeVar

from attrs import define, evolve, field

from gateway.accounts.account import Account, Condition
from gateway.accounts.entries import Entry, Flight, Impossible, Lost, Postponed, Present, Renewed, Result
from gateway.accounts.oauth import ExchangeTimes, exchange
from gateway.accounts.persistence import Leases, LeaseState, SecretStore, SecretVault
from gateway.accounts.secrets import OAuthSecret, encode_secret
from gateway.accounts.stored import read_secret, replace_command
from gateway.accounts.token_answers import Failed, Granted, NotSent, Outcome, Refused, Unknown
from gateway.accounts.unavailable import CredentialUnavailableError
from gateway.providers.base import Credential
from gateway.telemetry.logs import exception_facts, get_logger

__all__ = ["STEPS", "OAuthSource", "RefreshTimes"]

_log = get_logger(__name__)
_T = TypeVar("_T")

STEPS: Final = ("begun", "leased", "read", "connected", "marked", "answered", "written")
"""What `OAuthSource.step` is told, in order."""


@define(frozen=True)
class RefreshTimes:
    """Bounds, in seconds."""

    lease: float = 15.0
    """From asking for the lease to the mark; covers the connection."""
    sent: float = 45.0
    """From the mark to the write of the new pair; covers the answer."""
    held: float = 15.0
    """Waiting for another process that has the lease."""
    poll: float = 0.075
    """Between two looks at the row meanwhile."""
    first_retry: float = 0.2
    """Of a write that has to be done; doubles with each."""
    longest_retry: float = 2.0
    store: float = 10.0
    """For one answer of the database."""
    exchange: ExchangeTimes = field(factory=ExchangeTimes)


class _LeaseLostError(Exception):
    """The lease was lost before anything was sent."""


@define(eq=False)
class OAuthSource:
    """Tokens of a token endpoint."""

    store: SecretStore
    leases: Leases
    vault: SecretVault
    clock: Callable[[], float]
    owner: str
    """Names this process in leases."""
    times: RefreshTimes = field(factory=RefreshTimes)
    step: Callable[[str], Awaitable[None]] | None = None
    """Awaited between every two steps, for tests that stop a process there."""

    def read(self, account: Account) -> Present:
        """Return the stored token, if there is one.

        Raises:
            CredentialUnavailableError: what is stored cannot be read.
        """
        return _present(account, read_secret(account, self.vault, OAuthSecret))

    async def renew(self, entry: Entry, flight: Flight) -> Result:
        """Exchange the refresh token, or adopt what another process got for it."""
        return await _Refresh(self, entry, flight).run()


@define(eq=False)
class _Refresh:
    """One attempt to renew the token of one account."""

    source: OAuthSource
    entry: Entry
    flight: Flight
    account: Account = field(init=False)
    secret: OAuthSecret = field(init=False)
    owner: str = field(init=False)
    """Of this very attempt, so that even its own process has to respect a mark that it left."""
    asked_at: float = 0.0
    marked: bool = False

    def __attrs_post_init__(self) -> None:
        self.account = self.entry.account
        self.owner = f"{self.source.owner}/{secrets.token_hex(6)}"

    async def run(self) -> Result:
        try:
            self.secret = read_secret(self.account, self.source.vault, OAuthSecret)
        except CredentialUnavailableError as error:
            return Impossible(error.message)
        if not self.secret.is_renewable:
            return Lost(f"The account's token cannot be renewed: there is no refresh token. {self._new_secret()}")
        await self._step("begun")
        result = await self._get_lease()
        if result is not None:
            return result
        try:
            return await self._renew_under_lease()
        except BaseException:
            if not self.flight.critical:
                await self._try_to_release()
            raise

    async def _get_lease(self) -> Result | None:
        """Return None with the lease in hand; otherwise what has come of waiting for whoever has it."""
        times = self.source.times
        clock = asyncio.get_running_loop().time
        give_up = clock() + times.held
        while True:
            asked = self.source.leases.acquire(
                self.account.id, self.owner, self.account.secret_version, times.lease
            )
            match await self._bounded(asked):
                case LeaseState.ACQUIRED:
                    return None
                case LeaseState.STALE:
                    return await self._adopt_stored()
                case LeaseState.UNCERTAIN:
                    return await self._find_uncertain()
            if self.entry.usable(self.source.clock()) is not None and not self.entry.refused:
                return Postponed("another process is renewing it", soon=True)
            # Looking is cheaper than asking: other processes look as well.
            for _ in range(5):
                if clock() >= give_up:
                    return Postponed("another process is still renewing it", soon=True)
                await asyncio.sleep(times.poll * random.uniform(0.7, 1.3))  # noqa: S311 - spreads load
                if await self._is_newer_stored():
                    return Renewed()

    async def _renew_under_lease(self) -> Result:
        await self._step("leased")
        row = await self._bounded(self.source.store.find(self.account.id))
        if row is None or row.secret_version != self.account.secret_version or row.paused_at is not None:
            await self._try_to_release()
            return self._adopt_row(row)
        try:
            self.secret = read_secret(row, self.source.vault, OAuthSecret)
        except CredentialUnavailableError as error:
            await self._try_to_release()
            return Impossible(error.message)
        self.account = row
        await self._step("read")
        self.asked_at = self.source.clock()
        try:
            outcome = await exchange(
                self.secret,
                row.provider,
                before_sending=self._before_sending,
                times=self.source.times.exchange,
            )
        except _LeaseLostError:
            await self._try_to_release()
            return Postponed("the lease was lost before anything was sent", soon=True)
        except Exception as error:  # noqa: BLE001 - the database's, unless something went wrong in here
            _log.warning("a renewal was broken off", account=row.name, sent=self.marked, **exception_facts(error))
            if self.marked:
                outcome = Unknown("the gateway failed to read the answer")
            else:
                outcome = NotSent("the gateway's database does not answer")
        await self._step("answered")
        return await self._conclude(outcome)

    async def _before_sending(self) -> None:
        await self._step("connected")
        self.asked_at = self.source.clock()
        if self.secret.federation is None:
            # From here on even a cancelled attempt must come to its end.
            self.flight.critical = True
            marked = self.source.leases.mark_sent(
                self.account.id, self.owner, self.account.secret_version, self.source.times.sent
            )
            if not await self._bounded(marked):
                self.flight.critical = False
                raise _LeaseLostError
            self.marked = True
        await self._step("marked")

    async def _conclude(self, outcome: Outcome) -> Result:
        match outcome:
            case Granted():
                return await self._keep(outcome)
            case Refused(reason) if self.secret.federation is None:
                return await self._refused(reason)
            case Unknown(reason) if self.secret.federation is None:
                return await self._lost(reason)
            case Failed(reason, retry_after):
                result = Postponed(reason, retry_after)
            case Refused(reason) | NotSent(reason) | Unknown(reason):
                # An assertion may be sent again, and the next one may be better.
                result = Postponed(reason)
        self.flight.conclude(result)
        await self._insist(lambda: self.source.leases.release(self.account.id, self.owner))
        self.flight.critical = False
        return result

    async def _keep(self, granted: Granted) -> Result:
        """Write the new pair; only when that is impossible for now, use it before it is written."""
        secret = evolve(
            self.secret,
            access_token=granted.access_token,
            refresh_token=granted.refresh_token or self.secret.refresh_token,
            expires_at=self.asked_at + granted.lifetime,
            lifetime=granted.lifetime,
        )
        old = self.account
        data = self.source.vault.encrypt(encode_secret(secret))
        new = evolve(old, secret=data, secret_version=old.secret_version + 1, expires_at=secret.expires_at)

        async def write() -> int | None:
            return await self.source.store.replace_secret(
                old.id, data, secret.expires_at, expected_version=old.secret_version
            )

        def use_unwritten() -> None:
            _log.error("cannot write a renewed token; it is kept in memory and tried again", account=old.name)
            self.flight.adopt(new, _present(new, secret))

        self.flight.critical = True
        version = await self._insist(write, on_trouble=use_unwritten)
        await self._step("written")
        self.flight.critical = False
        if version is None:
            # Either ours, of whose write the database's answer was lost, or that of a person who was faster.
            return self._adopt_row(await self._insist(lambda: self.source.store.find(old.id)))
        new = evolve(new, secret_version=version)
        self.flight.adopt(new, _present(new, secret))
        return Renewed()

    async def _refused(self, reason: str) -> Result:
        """Blame the account only if the refused token is the present one: another process may have been faster."""
        row = await self._insist(lambda: self.source.store.find(self.account.id))
        if row is None or row.secret_version != self.account.secret_version:
            self.flight.critical = False
            return self._adopt_row(row)
        result = Impossible(f"The account's token cannot be renewed: {reason}. {self._new_secret()}")
        return await self._give_up(result)

    async def _lost(self, reason: str) -> Result:
        return await self._give_up(
            Lost(
                f"The account's refresh token was sent, but {reason}. "
                f"It may be used up, so it is not sent again. {self._what_to_do()}"
            )
        )

    async def _give_up(self, result: Result) -> Result:
        """End the lease and leave the mark, so that nobody sends the refresh token again."""
        self.flight.conclude(result)
        await self._try_to_abandon()
        self.flight.critical = False
        return result

    async def _find_uncertain(self) -> Result:
        row = await self._bounded(self.source.store.find(self.account.id))
        if row is None or row.secret_version != self.account.secret_version:
            return self._adopt_row(row)
        if row.condition is Condition.NEEDS_REAUTH:
            return Impossible(row.condition_reason)
        return Lost(
            "A process of the gateway sent the account's refresh token and ended before it had the answer. "
            f"The token may be used up, so it is not sent again. {self._what_to_do()}"
        )

    def _what_to_do(self) -> str:
        return f"`gateway accounts resume {self.account.name}` has it tried once more. {self._new_secret()}"

    def _new_secret(self) -> str:
        return f"`{replace_command(self.account)}` gives it another one."

    async def _adopt_stored(self) -> Result:
        return self._adopt_row(await self._bounded(self.source.store.find(self.account.id)))

    async def _is_newer_stored(self) -> bool:
        row = await self._bounded(self.source.store.find(self.account.id))
        return row is not None and isinstance(self._adopt_row(row), Renewed)

    def _adopt_row(self, row: Account | None) -> Result:
        if row is None:
            return Impossible("The account was removed.")
        known = self.entry.account
        if known.secret_version > max(row.secret_version, self.account.secret_version):
            return Renewed()
        nothing = Postponed("there is nothing newer", soon=True)
        if row.secret_version < known.secret_version or row.secret == known.secret:
            return nothing
        try:
            present = self.source.read(row)
        except CredentialUnavailableError as error:
            return Impossible(error.message)
        # Encrypted anew, a secret looks different and is the same.
        if row.secret_version == known.secret_version and present.credential == self.entry.credential:
            return nothing
        self.flight.adopt(row, present)
        return Renewed()

    async def _try_to_release(self) -> None:
        """Spare others the wait for the end of the lease."""
        try:
            await self._bounded(self.source.leases.release(self.account.id, self.owner))
        except Exception as error:  # noqa: BLE001 - it ends by itself
            _log.debug("cannot release a lease", account=self.account.name, **exception_facts(error))

    async def _try_to_abandon(self) -> None:
        try:
            await self._bounded(self.source.leases.abandon(self.account.id, self.owner))
        except Exception as error:  # noqa: BLE001 - it ends by itself, and the mark is there
            _log.debug("cannot end a lease", account=self.account.name, **exception_facts(error))

    async def _insist(
        self, ask: Callable[[], Awaitable[_T]], *, on_trouble: Callable[[], None] | None = None
    ) -> _T:
        """Ask the database until it answers; whoever closes the manager sets the bound."""
        times = self.source.times
        pause = times.first_retry
        while True:
            try:
                return await self._bounded(ask())
            except Exception as error:  # noqa: BLE001 - whatever is wrong with the database, this has to be done
                facts = exception_facts(error)
                _log.warning("the database has to be told of a renewal", account=self.account.name, **facts)
            if on_trouble is not None:
                on_trouble()
                on_trouble = None
            await asyncio.sleep(pause * random.uniform(0.8, 1.2))  # noqa: S311 - spreads load
            pause = min(times.longest_retry, pause * 2)

    async def _bounded(self, answer: Awaitable[_T]) -> _T:
        async with asyncio.timeout(self.source.times.store):
            return await answer

    async def _step(self, name: str) -> None:
        if self.source.step is not None:
            await self.source.step(name)


def _present(account: Account, secret: OAuthSecret) -> Present:
    if secret.access_token is None:
        return Present(None)
    return Present(
        Credential(
            account.provider,
            secret.access_token,
            is_token=True,
            version=account.secret_version,
            expires_at=secret.expires_at,
        ),
        secret.lifetime,
    )
