"""Keeps the limits of keys together with all other processes.

A request of a key with limits waits for one transaction, which it shares with all that come at the same time: see
docs/decisions/0018-limits-are-kept-in-the-database.md. One of any other key waits for nothing; what it used is
written a moment later, together with what others used.

What was let in is settled once, by whoever comes first: this process when the request is over, or any process
that finds that nobody answers for it any more.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from typing import Any, Final

from attrs import define, field

from gateway.actors.estimates import Price, estimate, spent_of
from gateway.actors.keys import Actor
from gateway.actors.limits import Asked, Batch, UseStore, Wanted
from gateway.actors.periods import period_start
from gateway.actors.reclaiming import Reclaimer
from gateway.actors.refusals import forbidden_model, over_limit, without_store
from gateway.actors.report import report_of
from gateway.actors.terms import KeyLimits
from gateway.actors.use import KeyUse, Refusal, Reservation, Spent
from gateway.ledger.record import RequestRecord
from gateway.store.errors import StoreError
from gateway.telemetry.logs import exception_facts, get_logger

__all__ = ["KeyLimiter"]

_log = get_logger(__name__)

_PATIENCE_SECONDS: Final = 2.0
"""For the database to let a request in, before it counts as away."""
_GRACE_SECONDS: Final = 600.0
"""For which limits are kept by what is known, while the database is away; after that requests are refused."""
_LOOK_AGAIN: Final = (0.02, 0.08)
"""Pauses in seconds before a request that has to wait for others to end is refused: one may just be ending."""
_LATER_SECONDS: Final = 1.0
"""After which what keys without limits used is written."""
_WRITE_SECONDS: Final = 15.0
_AGAIN_SECONDS: Final = 0.2
_AGAIN_AT_MOST_SECONDS: Final = 5.0
_LIFE_SECONDS: Final = 5.0
"""Between two signs of life, and between two looks for reservations that belong to nobody."""
_FLUSH_SECONDS: Final = 5.0
_MOST_KNOWN: Final = 2_000
_MOST_SETTLED: Final = 10_000


@define(eq=False)
class _Grant:
    """A request that was let in."""

    key_id: str
    at: float
    reservation: Reservation | None = None
    limits: KeyLimits = field(factory=KeyLimits)
    is_stored: bool = False
    """Whether the database knows of the reservation."""


@define(eq=False)
class _Waiting:
    """A request that waits to be let in."""

    asked: Asked
    is_over: asyncio.Event = field(factory=asyncio.Event)
    refusal: Refusal | None = None
    is_granted: bool = False
    is_abandoned: bool = False


@define(eq=False)
class KeyLimiter:
    """Lets requests in as long as `run` runs."""

    store: UseStore
    owner: str
    """Name of this process; see `Batch`."""
    clock: Callable[[], float]
    """The database's, in Unix seconds."""
    price: Price
    grace_seconds: float = _GRACE_SECONDS
    patience_seconds: float = _PATIENCE_SECONDS
    _grants: dict[str, _Grant] = field(factory=dict, init=False)
    _waiting: list[_Waiting] = field(factory=list, init=False)
    _settled: dict[str, tuple[Reservation, Spent]] = field(factory=dict, init=False)
    _adopted: dict[str, Asked] = field(factory=dict, init=False)
    _spent: dict[tuple[str, int], Spent] = field(factory=dict, init=False)
    _being_added: dict[tuple[str, int], Spent] = field(factory=dict, init=False)
    """Of `_spent`, what the batch with the latest number has; it stays the same until it is certainly written."""
    _used_at: dict[str, float] = field(factory=dict, init=False)
    """By key of either, when the last of these requests was let in."""
    _number: int = field(default=0, init=False)
    _known: dict[str, KeyUse] = field(factory=dict, init=False)
    """By key, what was last read or written of its use."""
    _away_since: float | None = field(default=None, init=False)
    _life_shown: bool = field(default=True, init=False)
    _reclaimer: Reclaimer = field(init=False)
    _news: asyncio.Event = field(factory=asyncio.Event, init=False)
    _hurry: asyncio.Event = field(factory=asyncio.Event, init=False)
    _written: asyncio.Event = field(factory=asyncio.Event, init=False)
    """Set, and replaced, when a write has ended."""
    _closing: asyncio.Event = field(factory=asyncio.Event, init=False)

    def __attrs_post_init__(self) -> None:
        """Look after what others leave behind as well."""
        self._reclaimer = Reclaimer(self.store, self.owner, self.clock, self._knows)

    # What the data plane asks

    async def admit(self, actor: Actor, wanted: Wanted) -> None:
        """Let a request in, or say why not; see `Limiter`."""
        limits, now = actor.terms.limits, self.clock()
        self.check_model(actor, wanted.models)
        if not limits:
            self._grants[wanted.request_id] = _Grant(actor.id, now)
            return
        reservation = estimate(actor, wanted, now, self.price)
        if self._away_since is None:
            for pause in (*_LOOK_AGAIN, None):
                asked = await self._ask(Asked(reservation, limits))
                if asked.is_granted:
                    return
                refusal = asked.refusal
                if refusal is None:
                    break
                if pause is None or refusal.resets_at is not None or refusal.limit.endswith("_per_minute"):
                    raise over_limit(actor, refusal)
                await asyncio.sleep(pause)
        self._admit_alone(actor, reservation, limits)

    def check_model(self, actor: Actor, models: Iterable[str]) -> None:
        """See that a key may use these models; see `Limiter`."""
        forbidden = actor.terms.forbidden(models)
        if forbidden is not None:
            raise forbidden_model(actor, forbidden)

    def settled(self, record: RequestRecord) -> None:
        """Count what a request used; see `Limiter`."""
        grant = self._grants.pop(record.id, None)
        if grant is None:
            return
        spent = spent_of(record)
        reservation = grant.reservation
        if reservation is not None and self._away_since is not None:
            known = self._use(reservation.key_id)
            known.release(reservation)
            known.settle(reservation, spent, self.clock())
        if reservation is not None and grant.is_stored:
            self._settle(reservation, spent)
            return
        if reservation is not None:
            self._adopted.pop(reservation.id, None)
            self._drop(reservation)
        key = (grant.key_id, period_start("day", grant.at))
        self._spent[key] = self._spent.get(key, Spent()) + spent
        self._used_at[grant.key_id] = max(self._used_at.get(grant.key_id, 0.0), grant.at)
        self._news.set()

    async def report(self, actor: Actor) -> Mapping[str, Any]:
        """Return what a key may use and has used; see `Limiter`."""
        try:
            async with asyncio.timeout(self.patience_seconds):
                await self._catch_up()
                use = await self.store.use_of(actor.id)
        except (StoreError, TimeoutError):
            raise without_store() from None
        return report_of(actor, use, self.clock())

    # What goes on behind it

    async def run(self, stopping: asyncio.Event) -> None:
        """Write what comes until told to stop; then what is left, within a bound. It never raises."""
        async with asyncio.TaskGroup() as tasks:
            writer = tasks.create_task(self._write_all(), name="limits")
            looks = tasks.create_task(self._look_around(), name="limits-look")
            await stopping.wait()
            looks.cancel()
            self._closing.set()
            self._hurry.set()
            self._news.set()
            await asyncio.wait({writer}, timeout=_FLUSH_SECONDS)
            writer.cancel()
        if self._settled or self._spent or self._being_added:
            _log.warning("not all that keys used could be written before the end; the ledger has it")

    async def _catch_up(self) -> None:
        """Return when everything is written that was there when this was called."""
        # The first of them may have begun before.
        for _ in range(2):
            written = self._written
            self._wake()
            await written.wait()

    async def _ask(self, asked: Asked) -> _Waiting:
        """Ask the database; if it neither lets the request in nor refuses it, it is away."""
        waiting = _Waiting(asked)
        self._waiting.append(waiting)
        self._wake()
        try:
            async with asyncio.timeout(self.patience_seconds):
                await waiting.is_over.wait()
        except TimeoutError:
            self._abandon(waiting)
            self._note_away("it does not answer in time")
        except BaseException:
            self._abandon(waiting)
            raise
        return waiting

    def _abandon(self, waiting: _Waiting) -> None:
        waiting.is_abandoned = True
        if waiting.is_granted:
            waiting.is_granted = False
            del self._grants[waiting.asked.reservation.id]
            self._drop(waiting.asked.reservation)

    def _admit_alone(self, actor: Actor, reservation: Reservation, limits: KeyLimits) -> None:
        """Let a request in by what is known, while the database is away."""
        away = time.monotonic() - (self._away_since or time.monotonic())
        if away > self.grace_seconds:
            raise without_store()
        now, use = self.clock(), self._use(actor.id)
        if (refusal := use.refusal(limits, now)) is not None:
            raise over_limit(actor, refusal)
        use.reserve(reservation, limits, now)
        self._grants[reservation.id] = _Grant(actor.id, reservation.at, reservation, limits)

    def _drop(self, reservation: Reservation) -> None:
        """Take back a reservation, if the database should know of it: a commit that failed may have gone well."""
        self._settle(reservation, Spent())

    def _settle(self, reservation: Reservation, spent: Spent) -> None:
        self._settled[reservation.id] = (reservation, spent)
        if len(self._settled) > _MOST_SETTLED:
            # It stays in the database, where it is found to be nobody's; the ledger knows what was used.
            del self._settled[next(iter(self._settled))]
        self._wake()

    def _use(self, key_id: str) -> KeyUse:
        return self._known.setdefault(key_id, KeyUse(key_id))

    def _wake(self) -> None:
        self._hurry.set()
        self._news.set()

    async def _write_all(self) -> None:
        pause = _AGAIN_SECONDS
        while True:
            await self._news.wait()
            with suppress(TimeoutError):
                async with asyncio.timeout(_LATER_SECONDS):
                    await self._hurry.wait()
            self._news.clear()
            if not self._closing.is_set():
                self._hurry.clear()
            try:
                went_well = await self._write()
            except Exception as error:  # noqa: BLE001 - it must end neither the limits nor the gateway
                _log.error("a defect in the limits of keys", **exception_facts(error))
                went_well = False
            self._written.set()
            self._written = asyncio.Event()
            if went_well:
                pause = _AGAIN_SECONDS
                if self._closing.is_set() and not self._has_work:
                    return
            else:
                await asyncio.sleep(pause)
                pause = min(2 * pause, _AGAIN_AT_MOST_SECONDS)
                self._wake()

    @property
    def _has_work(self) -> bool:
        work = (self._waiting, self._settled, self._adopted, self._spent, self._being_added)
        return any(work) or not self._life_shown

    async def _write(self) -> bool:
        """Write what there is; return whether the database took it."""
        if not self._has_work:
            return True
        waiting, self._waiting = [one for one in self._waiting if not one.is_abandoned], []
        settled, adopted = dict(self._settled), dict(self._adopted)
        if not self._being_added and self._spent:
            self._being_added, self._spent = self._spent, {}
            self._number += 1
        used_at = {key_id: self._used_at[key_id] for key_id, _ in self._being_added if key_id in self._used_at}
        batch = Batch(
            self.owner,
            self._number,
            [*adopted.values(), *(one.asked for one in waiting)],
            settled,
            self._being_added,
            used_at,
        )
        try:
            async with asyncio.timeout(_WRITE_SECONDS):
                outcome = await self.store.apply(batch, self.clock())
        except Exception as error:  # noqa: BLE001 - whatever it is, what was used is still to be counted
            self._note_away(_words(error))
            for one in waiting:
                self._drop(one.asked.reservation)
            return False
        else:
            self._take(outcome.refused, waiting, settled, adopted)
            self._remember(outcome.uses)
            self._life_shown = True
            self._being_added = {}
            self._used_at = {name: at for name, at in self._used_at.items() if used_at.get(name) != at}
            self._note_back()
            return True
        finally:
            for one in waiting:
                one.is_over.set()

    def _take(
        self,
        refused: Mapping[str, Refusal],
        waiting: list[_Waiting],
        settled: Mapping[str, tuple[Reservation, Spent]],
        adopted: Mapping[str, Asked],
    ) -> None:
        for request_id, one in settled.items():
            if self._settled.get(request_id) is one:
                del self._settled[request_id]
        for request_id, asked in adopted.items():
            if self._adopted.pop(request_id, None) is None:
                # It was over before the database knew of it, and has been counted without.
                self._drop(asked.reservation)
            elif (grant := self._grants.get(request_id)) is not None:
                grant.is_stored = True
        for wait in waiting:
            asked = wait.asked
            reservation = asked.reservation
            wait.refusal = refused.get(reservation.id)
            if wait.refusal is not None:
                continue
            if wait.is_abandoned:
                self._drop(reservation)
                continue
            wait.is_granted = True
            self._grants[reservation.id] = _Grant(
                reservation.key_id, reservation.at, reservation, asked.limits, is_stored=True
            )

    def _remember(self, uses: Mapping[str, KeyUse]) -> None:
        for key_id, use in uses.items():
            self._known.pop(key_id, None)
            self._known[key_id] = use
        while len(self._known) > _MOST_KNOWN:
            del self._known[next(iter(self._known))]

    def _note_away(self, problem: str) -> None:
        if self._away_since is None:
            self._away_since = time.monotonic()
            _log.warning(
                "the limits of keys are kept by what is known: the database does not answer",
                problem=problem,
                seconds_at_most=round(self.grace_seconds),
            )

    def _note_back(self) -> None:
        if self._away_since is None:
            return
        self._away_since = None
        _log.info("the limits of keys are kept in the database again")
        for request_id, grant in self._grants.items():
            if grant.reservation is not None and not grant.is_stored:
                self._adopted[request_id] = Asked(grant.reservation, grant.limits, is_forced=True)
        if self._adopted:
            self._wake()

    async def _look_around(self) -> None:
        while True:
            if any(grant.is_stored for grant in self._grants.values()):
                self._life_shown = False
                self._wake()
            await self._reclaimer.look()
            await asyncio.sleep(_LIFE_SECONDS)

    def _knows(self, request_id: str) -> bool:
        return request_id in self._grants or request_id in self._settled


def _words(error: Exception) -> str:
    """Return what may be logged of a failure."""
    if isinstance(error, TimeoutError):
        return "it does not answer in time"
    return str(error) if isinstance(error, StoreError) else type(error).__name__
