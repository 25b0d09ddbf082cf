"""Who keeps the limits of keys, as the data plane sees it, and where their use is kept."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any, Protocol

from attrs import define, field

from gateway.actors.keys import Actor
from gateway.actors.refusals import no_keys
from gateway.actors.terms import KeyLimits
from gateway.actors.use import KeyUse, Refusal, Reservation, Spent
from gateway.ledger.record import RequestRecord

__all__ = ["Asked", "Batch", "Limiter", "NoLimits", "Outcome", "StaleReservation", "UseStore", "Wanted"]


@define(frozen=True)
class Wanted:
    """What a request asks for, as far as limits are concerned."""

    request_id: str
    models: Sequence[str]
    """The one that is asked for, and others that may serve in its place."""
    body_bytes: int
    max_tokens: int = 0
    """Of the answer."""
    is_counted: bool = True
    """Whether the gateway will see how many tokens it used."""


class Limiter(Protocol):
    """Keeps the limits of keys."""

    async def admit(self, actor: Actor, wanted: Wanted) -> None:
        """Let a request in; `settled` is to be called for it, once, whatever becomes of it.

        Raises:
            ApiError: 403 or 429, a limit forbids it; 503, limits cannot be checked. Nothing is to be settled then.
        """
        ...

    def check_model(self, actor: Actor, models: Iterable[str]) -> None:
        """See that a request that uses nothing is for models that the key may use.

        Raises:
            ApiError: 403, it may not.
        """
        ...

    def settled(self, record: RequestRecord) -> None:
        """Take note of a request that is over, at once; one that was not let in is none of its business."""
        ...

    async def report(self, actor: Actor) -> Mapping[str, Any]:
        """Return what a key may use and has used, for whoever holds it.

        Raises:
            ApiError: 404, there is nothing to say of it; 503, the database is away.
        """
        ...


@define(frozen=True)
class Asked:
    """A request that is to be let in."""

    reservation: Reservation
    limits: KeyLimits
    is_forced: bool = False
    """Whether it was let in already, while the database was away."""


@define(frozen=True)
class Batch:
    """What a process wants to have done at once; also without any of it, a sign that it is there."""

    owner: str
    """The process; its name must differ from that of any other, earlier ones included."""
    number: int
    """Counts the batches that have `spent`, so that none is added twice."""
    asked: Sequence[Asked] = ()
    settled: Mapping[str, tuple[Reservation, Spent]] = field(factory=dict)
    """By request, what it had reserved and what it used."""
    spent: Mapping[tuple[str, int], Spent] = field(factory=dict)
    """What was used without a reservation, by key and day."""
    used_at: Mapping[str, float] = field(factory=dict)
    """By key of `spent`, when the last of these requests was let in."""


@define(frozen=True)
class Outcome:
    """What became of a batch."""

    refused: Mapping[str, Refusal]
    """By request; all others were let in."""
    uses: Mapping[str, KeyUse]
    """Of the keys that the batch was about, as they are now."""


@define(frozen=True)
class StaleReservation:
    """A reservation that may belong to nobody any more."""

    id: str
    owner: str
    """Which has not been heard of for a while, if it is not the process that asks."""
    is_certain: bool
    """Whether it is to be reclaimed whoever answers for it: it is too old, or what became of it is known."""


class UseStore(Protocol):
    """Where the use of keys is kept, for all processes."""

    async def apply(self, batch: Batch, now: float) -> Outcome:
        """Do all of a batch, or nothing of it.

        Raises:
            StoreError: the database cannot be used; it is not certain then that nothing was done. To do the same
                batch again does no harm.
        """
        ...

    async def stale(self, owner: str, now: float) -> Sequence[StaleReservation]:
        """Return reservations that may belong to nobody, old ones of the process that asks included.

        Raises:
            StoreError: the database cannot be used.
        """
        ...

    async def reclaim(self, ids: Collection[str], now: float) -> None:
        """Free what these reservations hold; what the ledger knows of their requests is counted.

        Raises:
            StoreError: the database cannot be used.
        """
        ...

    async def forget_processes(self, now: float) -> None:
        """Forget processes that have not been heard of for days; each start leaves one behind.

        Raises:
            StoreError: the database cannot be used.
        """
        ...

    async def use_of(self, key_id: str) -> KeyUse:
        """Return the use of one key.

        Raises:
            StoreError: the database cannot be used.
        """
        ...


class NoLimits:
    """Keeps none: clients need no key, or have the upstream's own."""

    async def admit(self, actor: Actor, wanted: Wanted) -> None:
        """Let it in."""

    def check_model(self, actor: Actor, models: Iterable[str]) -> None:
        """Let it pass."""

    def settled(self, record: RequestRecord) -> None:
        """Take no note of it."""

    async def report(self, actor: Actor) -> Mapping[str, Any]:  # noqa: ARG002 - as of all limiters
        """Say that there is nothing to say."""
        raise no_keys()
