"""Which account serves a request.

The pool is in memory and does no I/O. It is told what the store knows (`replace`) and what happens to requests
(`report`), and it tells what it found out. Everything but waiting in line is one synchronous step, so nothing
comes between choosing an account and using it.
"""

from __future__ import annotations

import asyncio
import random as random_module
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from types import TracebackType
from typing import Final, Self

from attrs import define, field

from gateway.accounts.account import Account, AccountKind, AccountState, Condition, Cooldown
from gateway.accounts.affinity import Affinity, Pin
from gateway.accounts.changes import (
    Change,
    ConditionSet,
    CooldownCleared,
    CooldownSet,
    LimitsSeen,
    SessionPinned,
)
from gateway.accounts.health import CONSEQUENCES, Effect
from gateway.accounts.need import Exhaustion, Lack, Need, Observation, PoolBusyError, Switch
from gateway.accounts.pins import SessionPin
from gateway.accounts.quota import Rest, SeenWindow, is_billed_beyond, rest_after_overage, rest_after_refusal
from gateway.accounts.slots import LineFullError, NotYet, Slots, WaitingLine
from gateway.accounts.standing import OVERAGE, Access, Outlook, Standing
from gateway.accounts.strategies import Candidates, make_chooser
from gateway.config import Routing
from gateway.providers.base import FaultClass
from gateway.providers.limits import LimitWindow
from gateway.telemetry.logs import get_logger

__all__ = [
    "AccountPool",
    "Change",
    "ConditionSet",
    "CooldownCleared",
    "CooldownSet",
    "Exhaustion",
    "Lack",
    "Lease",
    "Need",
    "Observation",
    "PoolBusyError",
    "Switch",
]

_log = get_logger(__name__)

_FAILING: Final = 2  # level of health at which a session is better served elsewhere, cache or not
_LEAST_WAIT: Final = 0.01  # seconds


@define(eq=False)
class Lease:
    """One request's place on an account, until it is released."""

    account: Account
    need: Need
    since: float
    """When it was given, in Unix seconds."""
    _give_back: Callable[[Lease], None]
    switch: Switch | None = None
    """Set where the request leaves the account that has its session's prompt cached."""
    probe: bool = False
    """Whether it finds out if the account is of use again."""
    _released: bool = field(default=False, init=False)

    def release(self) -> None:
        """Give the place back; once is enough, and more does no harm."""
        if not self._released:
            self._released = True
            self._give_back(self)

    def __enter__(self) -> Self:
        """Return the lease, which is released on the way out."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Give the place back."""
        self.release()


class AccountPool:
    """The accounts that can serve requests."""

    def __init__(
        self,
        routing: Routing,
        *,
        clock: Callable[[], float],
        random: random_module.Random,
        tell: Callable[[Change], None] = lambda _: None,
        secret: bytes = b"",
    ) -> None:
        """Make a pool without accounts.

        Args:
            routing: the settings.
            clock: Unix seconds; goes on smoothly.
            random: for the jitter of cool-downs.
            tell: gets what traffic finds out, at once and on the event loop.
            secret: keys the hashes under which sessions are told of, the same in all processes, and another one
                for each pool; at most 64 bytes.
        """
        self._routing = routing
        self._clock = clock
        self._random = random
        self._tell = tell
        self._standings: dict[str, Standing] = {}
        self._slots = Slots()
        self._line: WaitingLine[Lease | None] = WaitingLine(routing.queue_length)
        self._affinity = Affinity(routing.affinity_idle_seconds, secret)
        self._chooser = make_chooser(routing.strategy)
        self._leases: dict[tuple[str, int], Lease] = {}
        self._something_changed = asyncio.Event()

    # Accounts

    def replace(self, accounts: Sequence[Account], cooldowns: Sequence[Cooldown]) -> None:
        """Take over what the store says now.

        It wins, but for what it cannot know yet: what traffic found out since a row was last changed.

        Args:
            accounts: all there are.
            cooldowns: of all of them.
        """
        now = self._clock()
        rests: dict[str, list[Cooldown]] = {}
        for cooldown in cooldowns:
            rests.setdefault(cooldown.account_id, []).append(cooldown)
        standings = {account.id: self._standings.get(account.id) or Standing(account) for account in accounts}
        for account in accounts:
            standings[account.id].replace(account, rests.get(account.id, ()), now)
        self._standings = standings
        self._chooser.keep(standings.keys())
        self._changed()

    def adopt(self, pins: Iterable[SessionPin]) -> None:
        """Go by what the store says of sessions; those of accounts that are not of this pool do not concern it."""
        now = self._clock()
        for pin in pins:
            if pin.account_id in self._standings:
                self._affinity.adopt(pin, now)

    def learn(self, limits: Iterable[LimitsSeen]) -> None:
        """Take note of what other processes saw of the accounts' limits; the newest counts for each."""
        for one in limits:
            standing = self._standings.get(one.account_id)
            if standing is not None:
                standing.quota.merge(one.windows)

    def look_over(self) -> Iterator[tuple[AccountState, Sequence[LimitWindow]]]:
        """Say of each account what state it is in and what is known of its limits, one after the other.

        Whoever asks may let others have their turn in between; what is said of an account is so when it is said.
        """
        for standing in tuple(self._standings.values()):
            now = self._clock()
            yield standing.state(now)[0], standing.quota.windows(now)

    @property
    def accounts(self) -> Sequence[Account]:
        """All of them, whatever their state."""
        return tuple(standing.account for standing in self._standings.values())

    def __len__(self) -> int:
        """Return how many accounts there are."""
        return len(self._standings)

    @property
    def is_shared(self) -> bool:
        """Whether answers may come from accounts that are not one and the same."""
        return len(self._standings) > 1

    @property
    def can_serve(self) -> bool:
        """Whether there is an account of use, be it later: one that is neither paused, parked nor refused."""
        now = self._clock()
        useless = {AccountState.PAUSED, AccountState.PARKED, AccountState.NEEDS_REAUTH}
        return any(standing.state(now)[0] not in useless for standing in self._standings.values())

    @property
    def in_flight(self) -> int:
        """Places that are taken."""
        return self._slots.total

    @property
    def waiting(self) -> int:
        """Requests that wait for a place."""
        return len(self._line)

    def state(self, account_id: str) -> tuple[AccountState, list[Cooldown], str]:
        """Return what people are shown of an account: its state, what cools, and why.

        Raises:
            KeyError: there is no such account.
        """
        return self._standings[account_id].state(self._clock())

    def windows(self, account_id: str) -> Sequence[LimitWindow]:
        """Return what is known of an account's limits.

        Raises:
            KeyError: there is no such account.
        """
        return self._standings[account_id].quota.windows(self._clock())

    def seen_windows(self, account_id: str) -> Sequence[SeenWindow]:
        """Return what is known of an account's limits, and since when.

        Raises:
            KeyError: there is no such account.
        """
        return self._standings[account_id].quota.seen(self._clock())

    def limits_seen_at(self, account_id: str) -> float | None:
        """Return when an answer last showed a limit of an account, whether or not it still holds; None for never.

        Raises:
            KeyError: there is no such account.
        """
        return self._standings[account_id].quota.last_seen()

    def places_taken(self, account_id: str) -> int:
        """Return how many requests an account serves at this moment."""
        return self._slots.taken(account_id)

    def knows(self, account_id: str) -> bool:
        """Return whether an account is of this pool."""
        return account_id in self._standings

    # Requests

    async def acquire(self, need: Need, tried: Collection[str]) -> Lease | None:
        """Return a place on an account that this request has not tried yet; None where none can serve it now.

        Waits in line where all that could are at their bound, or where one is just being tried.

        Args:
            need: what the request needs.
            tried: ids of the accounts that failed this request.

        Raises:
            PoolBusyError: the line is full, or the request has waited in it for as long as it may.
        """
        if len(self._line):
            # Time has passed, and somebody who was here before may be served now.
            self._line.serve(self._has_room)
        answer = self._decide(need, tried)
        if not isinstance(answer, NotYet):
            return answer
        try:
            return await self._line.wait(lambda: self._decide(need, tried), _release, self._routing.queue_seconds)
        except LineFullError:
            raise PoolBusyError("every account is at its bound, and as many requests wait as may") from None
        except TimeoutError:
            raise PoolBusyError("every account was at its bound for as long as a request may wait") from None

    def _decide(self, need: Need, tried: Collection[str]) -> Lease | NotYet | None:
        """Choose an account and take a place on it, in one step; None for no account, NotYet for no place."""
        now = self._clock()
        pin = None if need.session is None else self._affinity.find(need.session, need.family, now)
        chosen = None if pin is None else self._stay(pin, need, tried, now)
        if chosen is None:
            standings = list(self._standings.values())
            outlooks = [standing.outlook(need.family, now) for standing in standings]
            usable = self._usable(standings, outlooks, need, tried, now)
            if not usable and not self._is_one_being_tried(standings, outlooks, tried, now):
                return None
            free = self._free(usable)
            if not free:
                due = [time for standing in standings for time in standing.due(now)]
                return NotYet(min(due) - now if due else None)
            chosen = self._choose(free, need, pin, now)
        switch = self._follow(need, pin, chosen, tried, now)
        return self._grant(chosen, need, switch, now)

    def _stay(self, pin: Pin, need: Need, tried: Collection[str], now: float) -> Standing | None:
        """Return the account of a session if it would be chosen whatever there is to be said of all others."""
        standing = self._standings.get(pin.account_id)
        if standing is None or pin.account_id in tried or not self._has_slot(standing.account):
            return None
        if standing.health.level(now) >= _FAILING:
            return None
        return standing if standing.outlook(need.family, now).access is Access.READY else None

    def _usable(
        self,
        standings: Sequence[Standing],
        outlooks: Sequence[Outlook],
        need: Need,
        tried: Collection[str],
        now: float,
    ) -> Sequence[Standing]:
        """Return the accounts that may serve the request, whether or not they have a place for it."""
        by_outlook = zip(standings, outlooks, strict=True)
        ready = [standing for standing, outlook in by_outlook if outlook.access is Access.READY]
        untried = [standing for standing in ready if standing.account.id not in tried] if tried else ready
        if tried and untried:
            # Whoever has failed once is not the one to find out.
            return untried
        if len(ready) < len(standings):
            by_outlook = zip(standings, outlooks, strict=True)
            probes = [standing for standing, outlook in by_outlook if outlook.access is Access.PROBE]
            untried = untried + [standing for standing in probes if standing.account.id not in tried]
        if untried or ready:
            return untried
        if len(standings) == 1 and not standings[0].is_withheld(need.family, now):
            # Without a choice there is nothing to hold back: the upstream says best what it thinks of the account.
            return [standing for standing in standings if standing.account.id not in tried]
        return [
            standing
            for standing in standings
            if standing.account.id not in tried and standing.may_be_tried_early(need.family, now)
        ]

    def _is_one_being_tried(
        self, standings: Sequence[Standing], outlooks: Sequence[Outlook], tried: Collection[str], now: float
    ) -> bool:
        """Whether it is soon known if an account is of use again, and there is no other to ask for."""
        return not any(outlook.access is Access.READY for outlook in outlooks) and any(
            standing.is_being_tried(now) and outlook.access is not Access.OUT and standing.account.id not in tried
            for standing, outlook in zip(standings, outlooks, strict=True)
        )

    def _free(self, usable: Sequence[Standing]) -> Sequence[Standing]:
        """Return those of the accounts that have a place."""
        full = {
            account_id
            for account_id in self._slots.ids
            if (standing := self._standings.get(account_id)) is not None and not self._has_slot(standing.account)
        }
        return [standing for standing in usable if standing.account.id not in full] if full else usable

    def _choose(self, free: Sequence[Standing], need: Need, pin: Pin | None, now: float) -> Standing:
        levels = [standing.health.level(now) for standing in free]
        best = min(levels)
        if pin is not None:
            for standing, level in zip(free, levels, strict=True):
                if standing.account.id == pin.account_id and (level < _FAILING or level == best):
                    return standing
        if max(levels) > best:
            free = [standing for standing, level in zip(free, levels, strict=True) if level == best]
        candidates = Candidates(
            [standing.account for standing in free],
            lambda: [standing.quota.usage(need.family, now) for standing in free],
            self._slots.taken,
        )
        return free[self._chooser.choose(candidates, need.session)]

    def _follow(
        self, need: Need, pin: Pin | None, chosen: Standing, tried: Collection[str], now: float
    ) -> Switch | None:
        """Keep or move the session's pin; return the switch, if this is one."""
        if need.session is None:
            return None
        chosen_id = chosen.account.id
        if pin is None or pin.account_id == chosen_id:
            self._pin(need.session, need.family, chosen_id, now)
            return None
        reason, lasting = self._why_not(pin.account_id, need, tried, now)
        switch = Switch(pin.account_id, reason, pin.cached_tokens, lasting) if pin.confirmed else None
        if lasting or not pin.confirmed:
            self._pin(need.session, need.family, chosen_id, now)
        else:
            self._pin(need.session, need.family, pin.account_id, now)
        return switch

    def _pin(self, session: str, family: str, account_id: str, now: float) -> None:
        self._tell_of(self._affinity.pin(session, family, account_id, now))

    def _tell_of(self, pin: SessionPin | None) -> None:
        standing = None if pin is None else self._standings.get(pin.account_id)
        if pin is not None and standing is not None and standing.has_state:
            self._tell(SessionPinned(pin))

    def _why_not(self, account_id: str, need: Need, tried: Collection[str], now: float) -> tuple[str, bool]:
        """Say what keeps a request from its session's account, and whether for long."""
        standing = self._standings.get(account_id)
        if standing is None:
            return "removed", True
        outlook = standing.outlook(need.family, now)
        if outlook.reason:
            return outlook.reason, outlook.is_lasting
        if account_id in tried:
            return "failed", False
        if not self._has_slot(standing.account):
            return "full", False
        return "unwell", False

    def _grant(self, standing: Standing, need: Need, switch: Switch | None, now: float) -> Lease:
        account = standing.account
        is_ready = standing.outlook(need.family, now).access is Access.READY
        probe = not is_ready and not standing.is_being_tried(now)
        lease = Lease(account, need, now, self._give_back, switch, probe)
        if probe:
            standing.probing = lease
        self._slots.take(account.id)
        self._leases[account.id, id(need)] = lease
        return lease

    def _give_back(self, lease: Lease) -> None:
        account_id = lease.account.id
        self._slots.give_back(account_id)
        if self._leases.get((account_id, id(lease.need))) is lease:
            del self._leases[account_id, id(lease.need)]
        standing = self._standings.get(account_id)
        if standing is not None and standing.probing is lease:
            standing.probing = None
            self._changed()
        elif len(self._line):
            self._line.serve(self._has_room)

    def _has_slot(self, account: Account) -> bool:
        bound = account.max_concurrency
        if bound is None:
            bound = 0 if account.kind is AccountKind.PASSTHROUGH else self._routing.concurrency
        return not bound or self._slots.taken(account.id) < bound

    def _has_room(self) -> bool:
        return any(
            self._has_slot(standing.account)
            for standing in self._standings.values()
            if standing.account.paused_at is None and standing.condition is Condition.OK
        )

    # When there is none

    def exhaustion(self, need: Need) -> Exhaustion:
        """Say why no account serves a request."""
        now = self._clock()
        outlooks = [standing.outlook(need.family, now) for standing in self._standings.values()]
        if not outlooks:
            return Exhaustion(Lack.NO_ACCOUNT)
        if any(outlook.access in {Access.READY, Access.PROBE} for outlook in outlooks):
            return Exhaustion(Lack.TRIED)
        back = [outlook.back_at for outlook in outlooks if outlook.back_at is not None]
        return Exhaustion(Lack.COOLING, min(back)) if back else Exhaustion(Lack.OUT_OF_USE)

    def retry_after(self, need: Need) -> int | None:
        """Return whole seconds until an account is expected back, rounded down; None for unknown or less."""
        back = self.exhaustion(need).retry_at
        seconds = 0 if back is None else int(back - self._clock())
        return seconds if seconds > 0 else None

    async def changed(self, seconds: float) -> None:
        """Return when an account may have come back, or after so many seconds."""
        now = self._clock()
        due = [time - now for standing in self._standings.values() for time in standing.due(now)]
        pause = max(min([seconds, *due]), _LEAST_WAIT)
        try:
            async with asyncio.timeout(pause):
                await self._something_changed.wait()
        except TimeoutError:
            return

    def _changed(self) -> None:
        """Wake whoever waits for an account."""
        self._something_changed.set()
        self._something_changed = asyncio.Event()
        self._line.serve()

    # What becomes of requests

    def report(self, account_id: str, need: Need, observation: Observation) -> None:
        """Take note of how an attempt went.

        Args:
            account_id: whose attempt it was.
            need: the very object that the lease was acquired with.
            observation: how it went.
        """
        standing = self._standings.get(account_id)
        if standing is None or not standing.has_state:
            return
        now = self._clock()
        lease = self._leases.get((account_id, id(need)))
        probe = lease is not None and standing.probing is lease
        if probe:
            standing.probing = None
        was_left_out = standing.health.is_tripped
        if seen := standing.quota.observe(observation.limits, need.family, now):
            self._tell(LimitsSeen(account_id, seen))
        if observation.fault is None:
            self._went_well(standing, need, observation, lease if probe else None, now)
        else:
            self._went_badly(standing, need, observation, now, probe=probe)
        if probe or was_left_out:
            self._changed()

    def _went_well(
        self, standing: Standing, need: Need, observation: Observation, probe: Lease | None, now: float
    ) -> None:
        account = standing.account
        if standing.health.is_tripped:
            _log.info("account_reachable_again", account=account.name)
        standing.health.went_well(now)
        if probe is not None:
            for over in standing.probe_went_well(need.family, probe.since):
                self._tell(CooldownCleared(account.id, over.family, over.since))
            if standing.condition is Condition.NEEDS_REAUTH:
                self.set_condition(account.id, Condition.OK, "", secret_version=observation.credential_version)
        if not self._routing.use_extra_usage and is_billed_beyond(observation.limits, need.family):
            rest = rest_after_overage(observation.limits, need.family, now)
            self._rest(standing, rest, OVERAGE, "its plan is used up, and requests are billed beyond it", now)
        if need.session is not None:
            pin = self._affinity.find(need.session, need.family, now)
            if pin is not None and pin.account_id == account.id:
                pin.confirmed = True

    def _went_badly(
        self, standing: Standing, need: Need, observation: Observation, now: float, *, probe: bool
    ) -> None:
        fault = observation.fault
        if fault is None:
            return
        effect = CONSEQUENCES[fault].account
        if probe and effect is not Effect.NONE:
            standing.probe_went_badly(now)
        if effect not in {Effect.BREAKER, Effect.SCORE}:
            standing.health.was_reached(probe=probe)
        if effect in {Effect.BREAKER, Effect.SCORE}:
            self._failed(standing, need, fault, now, probe=probe)
        elif effect is Effect.COOL:
            reason = observation.message or "its limit is reached"
            self._rest(
                standing, rest_after_refusal(observation.limits, need.family, now), fault.value, reason, now
            )
        elif effect is Effect.PARK:
            reason = observation.message or "the provider refuses it for its bill or a policy"
            self.set_condition(
                standing.account.id, Condition.PARKED, reason, secret_version=observation.credential_version
            )
        elif effect is Effect.REAUTH and not observation.renewable:
            reason = observation.message or "the provider refuses its credential"
            self.set_condition(
                standing.account.id, Condition.NEEDS_REAUTH, reason, secret_version=observation.credential_version
            )

    def _failed(self, standing: Standing, need: Need, fault: FaultClass, now: float, *, probe: bool) -> None:
        others_are_well = any(
            other is not standing and other.outlook(need.family, now).access is Access.READY
            for other in self._standings.values()
        )
        opened = standing.health.failed(fault, now, self._random, may_open=others_are_well, probe=probe)
        if opened:
            seconds = round(standing.health.open_until - now, 1)
            _log.warning("account_left_out", account=standing.account.name, fault=fault.value, seconds=seconds)

    def _rest(self, standing: Standing, rest: Rest, fault: str, reason: str, now: float) -> None:
        cooldown = Cooldown(standing.account.id, rest.family, rest.until, now, fault, reason)
        if standing.rest(cooldown, now):
            self._tell(CooldownSet(cooldown))
            # Whoever waits for a place on this account may have to look elsewhere.
            self._line.serve()

    def set_condition(self, account_id: str, condition: Condition, reason: str, *, secret_version: int) -> None:
        """Take note of a condition that was found with a version of an account's credential.

        Nothing happens where the account has a newer one by now.
        """
        standing = self._standings.get(account_id)
        if standing is None or not standing.has_state:
            return
        now = self._clock()
        if standing.find(condition, reason, secret_version, now):
            self._tell(ConditionSet(account_id, condition, reason, now, secret_version))
            self._changed()

    def note_usage(self, need: Need, account_id: str, cached_tokens: int) -> None:
        """Take note of how much of a session's prompt an account has cached after an answer.

        Args:
            need: of the request.
            account_id: who answered.
            cached_tokens: tokens read from the cache and written to it.
        """
        if need.session is None:
            return
        now = self._clock()
        self._tell_of(self._affinity.note_cached(need.session, need.family, account_id, cached_tokens, now))


def _release(lease: Lease | None) -> None:
    if lease is not None:
        lease.release()
