"""When a credential is renewed and who waits for it: once at a time, ahead of expiry, never in a storm."""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from collections.abc import Callable, Iterable
from contextlib import suppress
from functools import partial
from typing import Final

from attrs import define, evolve, field

from gateway.accounts.account import Account, Condition
from gateway.accounts.entries import Entry, Flight, Impossible, Lost, Postponed, Present, Renewed, Result, Source
from gateway.accounts.persistence import SecretStore
from gateway.accounts.unavailable import CredentialUnavailableError
from gateway.providers.base import Credential
from gateway.telemetry.logs import exception_facts, get_logger

__all__ = ["RenewalNews", "RenewalTimes", "Renewer"]

_log = get_logger(__name__)

NEVER: Final = float("-inf")
_LAST_WORDS_SECONDS: Final = 2.0
_STRIKES: Final = 3
"""So many tokens in a row that are refused as soon as they are there are enough."""
_AT_A_TIME: Final = 200
"""Accounts that are looked after before streams have their turn."""


@define(frozen=True)
class RenewalTimes:
    """Bounds, in seconds."""

    advisory: float = 120.0
    """Before expiry: renewed in the background. This and the next are as in the `anthropic` Python SDK 2.12.0."""
    mandatory: float = 30.0
    """Before expiry: requests wait for the renewal; if it fails they go on with what there is."""
    wait: float = 15.0
    """A request without anything to send waits no longer for a renewal."""
    patience: float = 3.0
    """Nor does a request with something to send, from when the renewal began."""
    first_backoff: float = 5.0
    """After a failure; doubles with each."""
    longest_backoff: float = 60.0
    soon: float = 1.0
    """When another process is at it."""
    fresh: float = 5.0
    """A credential that is refused at this age is not renewed at once; doubles with each one in a row."""
    settled: float = 300.0
    """A credential that was good for so long makes up for refusals before it."""
    sweep: float = 1.0
    """Between two looks at what is due, at the most."""
    store: float = 10.0
    """For one answer of the database."""
    shutdown: float = 10.0
    """For what must not be left half done."""


@define(frozen=True)
class RenewalNews:
    """How the renewal of a credential stands. All times are Unix seconds."""

    renewed_at: float | None
    """When the present credential was granted; None for unknown."""
    expires_at: float | None
    is_under_way: bool
    problem: str
    """Why the last try failed, or why there can be no other one; empty where all is well."""
    next_try_at: float | None


@define(eq=False)
class Renewer:
    """Keeps credentials that expire good."""

    clock: Callable[[], float]
    times: RenewalTimes
    store: SecretStore
    on_condition: Callable[..., None]
    results: Counter[str] = field(factory=Counter, init=False)
    """How many renewals came to what: renewed, postponed (where another process is at it, none counts), lost,
    impossible."""
    _entries: dict[str, Entry] = field(factory=dict, init=False)
    _tasks: asyncio.TaskGroup | None = field(default=None, init=False)
    _flights: dict[Flight, str] = field(factory=dict, init=False)
    """With the names of their accounts."""
    _wake: asyncio.Event = field(factory=asyncio.Event, init=False)
    _sweeper: asyncio.Task[None] | None = field(default=None, init=False)

    def start(self, tasks: asyncio.TaskGroup) -> None:
        """Look after what is due, in tasks of this group, until `close`."""
        self._tasks = tasks
        self._sweeper = tasks.create_task(self._sweep(), name="renew-credentials")

    async def close(self) -> None:
        """Stop; give what must not be left half done a limited time."""
        self._tasks = None
        if self._sweeper is not None:
            self._sweeper.cancel()
        for flight in self._flights:
            if not flight.critical and flight.task is not None:
                flight.task.cancel()
        if running := [flight.task for flight in self._flights if flight.task is not None]:
            await asyncio.wait(running, timeout=self.times.shutdown)
        for flight, name in self._flights.items():
            if flight.task is not None and not flight.task.done():
                _log.error("a renewal did not come to its end before the shutdown", account=name)
                flight.task.cancel()
        with suppress(TimeoutError):
            async with asyncio.timeout(_LAST_WORDS_SECONDS):
                await self._tell_store()

    def replace(self, accounts: Iterable[Account], source_of: Callable[[Account], Source | None]) -> None:
        """Take over what the store says now."""
        kept: set[str] = set()
        for account in accounts:
            if (source := source_of(account)) is None:
                continue
            kept.add(account.id)
            entry = self._entries.get(account.id) or self._add(account, source)
            # Of thousands of accounts hardly any changes; of one that is doubted it matters what is left to send.
            if entry.told is not account or account.condition is Condition.NEEDS_REAUTH:
                self._update(entry, account)
                entry.told = account
        for account_id in self._entries.keys() - kept:
            del self._entries[account_id]
        self._wake.set()

    def news(self, account_id: str) -> RenewalNews | None:
        """Return how the renewal of an account's credential stands; None if there is nothing to renew."""
        entry = self._entries.get(account_id)
        if entry is None:
            return None
        credential, lifetime = entry.credential, entry.present.lifetime
        expires_at = None if credential is None else credential.expires_at
        renewed_at = None if entry.renewed_at == NEVER else entry.renewed_at
        if renewed_at is None and expires_at is not None and lifetime is not None:
            renewed_at = expires_at - lifetime
        next_try = entry.next_try if entry.next_try > self.clock() else None
        problem = entry.dead or entry.lost or entry.problem
        return RenewalNews(renewed_at, expires_at, entry.flight is not None, problem, next_try)

    async def current(self, account: Account, source: Source) -> Credential:
        """Return what is to be sent; wait for it, within bounds, if there is nothing that can be.

        Raises:
            CredentialUnavailableError: there is nothing now.
        """
        entry = self._entry(account, source)
        if entry.dead:
            raise CredentialUnavailableError(entry.dead, terminal=True)
        now = self.clock()
        present = entry.usable(now)
        if present is not None and entry.left(now) > self._margin(entry, self.times.mandatory):
            return present
        if now >= entry.withheld_until:
            await self._wait_for(self._begin(entry), entry.left(now) if present is not None else None)
        present = entry.usable(self.clock())
        if present is not None and not entry.dead:
            return present
        if entry.lost and entry.left(self.clock()) <= 0:
            self._declare(entry, entry.lost)
        if entry.dead:
            raise CredentialUnavailableError(entry.dead, terminal=True)
        why = f": {entry.problem}" if entry.problem else ""
        raise CredentialUnavailableError(f"The account's credential cannot be renewed now{why}.")

    async def renew(self, account: Account, source: Source, refused: Credential) -> Credential | None:
        """Return a newer credential than the refused one; None if there is none to be had now."""
        entry = self._entry(account, source)
        now = self.clock()
        if (newer := entry.newer(refused)) is not None and entry.usable(now) is not None:
            return newer
        if entry.dead or entry.account.paused_at is not None:
            return None
        if newer is None:
            self._refuse(entry, now)
        await self._wait_for(self._begin(entry), None)
        if (newer := entry.newer(refused)) is not None and entry.usable(self.clock()) is not None:
            return newer
        if entry.lost and not entry.dead:
            self._declare(entry, entry.lost)
        entry.withheld_until = max(entry.withheld_until, entry.next_try)
        return None

    def _refuse(self, entry: Entry, now: float) -> None:
        """Note that the upstream refused the present credential, and when it may be renewed for that."""
        age = now - entry.renewed_at
        if age > self.times.settled:
            entry.strikes = 0
        entry.refused = True
        spacing = self.times.fresh * 2**entry.strikes
        if age >= spacing:
            return
        if entry.strikes >= _STRIKES:
            self._declare(entry, "The upstream refuses every token that the account gets.")
            return
        entry.problem = entry.problem or "the upstream refuses a credential that is only just new"
        entry.next_try = max(entry.next_try, entry.renewed_at + spacing)

    def _entry(self, account: Account, source: Source) -> Entry:
        entry = self._entries.get(account.id)
        if entry is None:
            return self._update(self._add(account, source), account)
        # The caller's may be newer than what was last heard of the store, or older.
        return entry if account.secret_version <= entry.account.secret_version else self._update(entry, account)

    def _add(self, account: Account, source: Source) -> Entry:
        entry = self._entries[account.id] = Entry(account, source)
        self._read(entry)
        return entry

    def _update(self, entry: Entry, account: Account) -> Entry:
        known = entry.account
        if account.secret_version > known.secret_version:
            entry.account = account
            self._read(entry)
            return entry
        # Resumed by a person, or found to be sound after all by a check.
        resumed = account.resumed_at != known.resumed_at or (
            known.condition is Condition.NEEDS_REAUTH and account.condition is Condition.OK
        )
        # What is being written, or was since this was read, is newer.
        entry.account = evolve(
            account, secret=known.secret, secret_version=known.secret_version, expires_at=known.expires_at
        )
        if resumed:
            entry.forget_trouble()
            entry.strikes = 0
        doubted = account.condition is Condition.NEEDS_REAUTH and account.secret_version == known.secret_version
        # As long as there is something to send, the pool may find out by it whether the upstream still refuses it.
        if doubted and entry.usable(self.clock()) is None:
            entry.dead = entry.dead or account.condition_reason or "The account needs a new credential."
        return entry

    def _read(self, entry: Entry) -> None:
        """Take over the stored secret of an entry's account."""
        entry.forget_trouble()
        try:
            self._put(entry, entry.source.read(entry.account))
        except CredentialUnavailableError as error:
            entry.present = Present(None)
            entry.dead = error.message

    def _put(self, entry: Entry, present: Present) -> None:
        if entry.credential is not None and present.credential is not None:
            entry.renewed_at = self.clock()
        entry.present = present
        entry.haste = random.random()  # noqa: S311 - spreads load
        if entry.flight is not None:
            entry.flight.ready.set()

    def _adopt(self, entry: Entry, account: Account, present: Present) -> None:
        """Put into use what a renewal brought, unless something newer came in the meantime."""
        if account.secret_version < entry.account.secret_version:
            return
        if entry.refused:
            entry.strikes += 1
        entry.forget_trouble()
        entry.account = evolve(
            entry.account,
            secret=account.secret,
            secret_version=account.secret_version,
            expires_at=account.expires_at,
        )
        self._put(entry, present)

    def _begin(self, entry: Entry) -> Flight | None:
        """Return the renewal under way, or a new one; None if it is not the time for one."""
        if entry.flight is not None:
            return entry.flight
        if self._tasks is None or entry.dead or entry.account.paused_at is not None:
            return None
        if self.clock() < entry.next_try:
            return None
        flight = Flight(partial(self._adopt, entry), partial(self._conclude, entry))
        entry.flight = flight
        self._flights[flight] = entry.account.name
        flight.task = self._tasks.create_task(self._fly(entry, flight), name=f"renew-{entry.account.id}")
        return flight

    async def _fly(self, entry: Entry, flight: Flight) -> None:
        try:
            result = await entry.source.renew(entry, flight)
            self._conclude(entry, result)
        except Exception as error:  # noqa: BLE001 - whatever is wrong with the database, requests go on
            _log.warning("a renewal failed", account=entry.account.name, **exception_facts(error))
            self._conclude(entry, Postponed("the gateway's database does not answer"))
        finally:
            entry.flight = None
            self._flights.pop(flight, None)
            flight.ready.set()
            self._wake.set()

    def _conclude(self, entry: Entry, result: Result) -> None:
        if entry.flight is None or entry.flight.concluded:
            return
        entry.flight.concluded = True
        self._settle(entry, result)
        entry.flight.ready.set()

    def _settle(self, entry: Entry, result: Result) -> None:
        now = self.clock()
        facts = {"account": entry.account.name, "version": entry.account.secret_version}
        if not (isinstance(result, Postponed) and result.soon):
            self.results[type(result).__name__.lower()] += 1
        match result:
            case Renewed():
                _log.info("credential renewed", **facts)
                return
            case Postponed(reason, retry_after, soon):
                if not soon:
                    entry.failures += 1
                    _log.warning("credential not renewed", reason=reason, failures=entry.failures, **facts)
                entry.problem = reason
                entry.next_try = now + self._backoff(entry, retry_after, soon=soon)
            case Lost(reason):
                if not entry.lost:
                    _log.error("credential can be renewed no more", reason=reason, **facts)
                entry.lost = entry.problem = reason
                entry.next_try = now + self.times.longest_backoff
                if entry.left(now) <= 0 or entry.refused:
                    self._declare(entry, reason)
            case Impossible(reason):
                self._declare(entry, reason)
        if entry.refused:
            entry.withheld_until = max(entry.withheld_until, entry.next_try)

    def _backoff(self, entry: Entry, asked: float | None, *, soon: bool) -> float:
        seconds = self.times.soon
        if not soon:
            doubled = self.times.first_backoff * 2 ** min(entry.failures - 1, 10)
            seconds = max(asked or 0.0, min(self.times.longest_backoff, doubled))
        return seconds * random.uniform(0.8, 1.2)  # noqa: S311 - spreads load

    def _declare(self, entry: Entry, reason: str) -> None:
        """Take an account out of use until a person does something."""
        if entry.dead:
            return
        entry.dead, entry.dead_since, entry.untold = reason, self.clock(), True
        account = entry.account
        _log.error("account needs a person", account=account.name, version=account.secret_version, reason=reason)
        self.on_condition(account.id, Condition.NEEDS_REAUTH, reason, secret_version=account.secret_version)
        self._wake.set()

    def _margin(self, entry: Entry, usual: float) -> float:
        """Return how long before expiry something is due; less for what does not live long."""
        lifetime = entry.present.lifetime
        return usual if lifetime is None else min(usual, lifetime / 4 * usual / self.times.advisory)

    async def _wait_for(self, flight: Flight | None, left: float | None) -> None:
        """Wait for a renewal, less long where there is something to send for the seconds that are `left`."""
        if flight is None:
            return
        now = asyncio.get_running_loop().time()
        until = now + self.times.wait if left is None else min(flight.began + self.times.patience, now + left)
        with suppress(TimeoutError):
            # Whoever gives up waiting does not give up the renewal: it has a task of its own.
            async with asyncio.timeout_at(until):
                await flight.ready.wait()

    async def _sweep(self) -> None:
        while True:
            self._wake.clear()
            soonest = self.times.sweep
            try:
                for place, (account_id, entry) in enumerate(list(self._entries.items()), start=1):
                    if self._entries.get(account_id) is entry:
                        soonest = min(soonest, self._look_after(entry))
                    if place % _AT_A_TIME == 0:
                        await asyncio.sleep(0)
                await self._tell_store()
            except Exception as error:  # noqa: BLE001 - one account's trouble must not end the renewal of all
                _log.error("cannot look after the credentials", **exception_facts(error))
            with suppress(TimeoutError):
                async with asyncio.timeout(soonest):
                    await self._wake.wait()

    def _look_after(self, entry: Entry) -> float:
        """Begin what is due; return the seconds until something else will be."""
        now = self.clock()
        usual = self.times.sweep
        if entry.dead or entry.flight is not None or entry.account.paused_at is not None:
            return usual
        if entry.account.condition is not Condition.OK:
            return usual
        left = entry.left(now)
        if entry.lost and left <= 0:
            self._declare(entry, entry.lost)
            return usual
        late, early = (self._margin(entry, bound) for bound in (self.times.mandatory, self.times.advisory))
        due_in = left - (early - entry.haste * (early - late) / 2)
        if due_in <= 0 or entry.refused:
            wait = entry.next_try - now
            if wait > 0:
                return min(usual, wait)
            self._begin(entry)
            return usual
        return min(usual, due_in)

    async def _tell_store(self) -> None:
        for entry in [entry for entry in self._entries.values() if entry.untold]:
            account = entry.account
            try:
                async with asyncio.timeout(self.times.store):
                    await self.store.set_condition(
                        account.id,
                        Condition.NEEDS_REAUTH,
                        entry.dead,
                        secret_version=account.secret_version,
                        since=entry.dead_since,
                    )
            except Exception as error:  # noqa: BLE001 - told again at the next sweep
                _log.warning("cannot store an account's condition", account=account.name, **exception_facts(error))
            else:
                entry.untold = False
