"""Everything that is known of one account: what the store says, and what traffic found out since."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from enum import Enum, auto
from typing import Final, Protocol

from attrs import define, field

from gateway.accounts.account import ACCOUNT_WIDE, Account, AccountKind, AccountState, Condition, Cooldown
from gateway.accounts.health import Health
from gateway.accounts.quota import LONGEST_REST, Quota
from gateway.providers.base import FaultClass

__all__ = ["OVERAGE", "Access", "Outlook", "Standing"]

OVERAGE: Final = "overage"
"""In place of a fault: the account rests because it would be billed beyond its plan."""
_MOST_RESTS: Final = 64
_LASTING: Final = 60.0  # seconds; a session bears with a shorter rest
_SOON: Final = 120.0  # seconds; a rest that ends within is cut short where nothing else is left
_PROBE_AGAIN: Final = 2.0  # seconds after a probe that went badly, doubling
_PROBE_AGAIN_MOST: Final = 10.0
_TRIAL: Final = 3.0  # seconds in which a refusal would have come
_REAUTH_PROBE: Final = 30.0  # seconds after a key was refused, doubling
_REAUTH_PROBE_MOST: Final = 600.0


class Access(Enum):
    """Whether an account can serve a request."""

    #: It can.
    READY = auto()
    #: It is due to be of use again: one request may find out.
    PROBE = auto()
    #: Not now, but it comes back by itself.
    LATER = auto()
    #: Not before a person has done something.
    OUT = auto()


@define(frozen=True)
class Outlook:
    """What an account is to a class of models."""

    access: Access
    reason: str = ""
    """In a word or two."""
    back_at: float | None = None
    """Unix seconds, where it comes back by itself."""
    is_lasting: bool = False
    """Whether a session should look for another account rather than bear with it."""


_READY: Final = Outlook(Access.READY)


@define(frozen=True)
class _Found:
    """A condition that traffic or the credential manager found, which the store may not know yet."""

    condition: Condition
    reason: str
    since: float
    version: int


class Trial(Protocol):
    """A request that finds out whether an account is of use again."""

    since: float
    """Unix seconds at which it began."""


@define
class Standing:
    """One account and what is known of it."""

    account: Account
    health: Health = field(factory=Health)
    quota: Quota = field(factory=Quota)
    probing: Trial | None = None
    """Whoever is finding out whether the account is of use again."""
    _found: _Found | None = None
    _rests: dict[str, Cooldown] = field(factory=dict)
    _untold: set[str] = field(factory=set)  # families whose rest the store has not shown yet
    _ended: dict[str, float] = field(factory=dict)  # by family, since when: rests that the store may still show
    _probe_at: float = 0.0
    _failed_probes: int = 0
    _reauth_probe_at: float = 0.0
    _failed_reauth_probes: int = 0

    # What the store says

    def replace(self, account: Account, rests: Sequence[Cooldown], now: float) -> None:
        """Take over what the store says; what it cannot know yet stays.

        Args:
            account: its row.
            rests: its cool-downs.
            now: Unix seconds.
        """
        before = self.account
        if account is before and not (rests or self._found or self._rests or self._ended or self._untold):
            return
        self.account = account
        resumed_at = -math.inf if account.resumed_at is None else account.resumed_at
        resumed = account.resumed_at is not None and account.resumed_at != before.resumed_at
        if resumed:
            self.health = Health()
        if resumed or account.secret_version != before.secret_version:
            self._failed_probes = self._failed_reauth_probes = 0
            self._probe_at = self._reauth_probe_at = 0.0
        found = self._found
        if found is not None and not (
            found.version >= account.secret_version and found.since > max(account.condition_since, resumed_at)
        ):
            self._found = None
        self._merge({rest.family: rest for rest in rests if rest.since > resumed_at}, resumed_at, now)

    def _merge(self, told: dict[str, Cooldown], resumed_at: float, now: float) -> None:
        for family, since in list(self._ended.items()):
            if family not in told or told[family].since > since:
                del self._ended[family]
            else:
                del told[family]
        for family, rest in self._rests.items():
            theirs = told.get(family)
            if theirs is not None and theirs.until >= rest.until:
                self._untold.discard(family)
            elif rest.since > resumed_at and (family in self._untold or (theirs is None and rest.until <= now)):
                # News, or over by the clock, which the store does not list: such a one may want a probe.
                told[family] = rest
        self._untold &= told.keys()
        self._rests = told
        self._prune(now)

    # What stands between the account and a request

    @property
    def condition(self) -> Condition:
        """What time alone does not mend."""
        return self.account.condition if self._found is None else self._found.condition

    @property
    def condition_reason(self) -> str:
        """Why."""
        return self.account.condition_reason if self._found is None else self._found.reason

    @property
    def has_state(self) -> bool:
        """Whether what happens to it is its own: a client's own credential comes and goes with the client."""
        return self.account.kind is not AccountKind.PASSTHROUGH

    def outlook(self, family: str, now: float) -> Outlook:
        """Say whether the account can serve a request of this family."""
        if self.account.paused_at is not None or self.condition is not Condition.OK:
            reason = self.condition.value if self.account.paused_at is None else "paused"
            return Outlook(Access.OUT, reason, is_lasting=True)
        if not self._rests and not self.health.is_tripped:
            return _READY
        rests = self._rests_of(family)
        until = max((rest.until for rest in rests), default=0.0)
        if until > now:
            return Outlook(Access.LATER, "cooling", until, is_lasting=until - now > _LASTING)
        if self.health.is_open(now):
            return Outlook(Access.LATER, "unreachable", self.health.open_until)
        if not self.health.is_tripped and not any(map(_wants_probe, rests)):
            return _READY
        return self._next_probe(now)

    def is_withheld(self, family: str, now: float) -> bool:
        """Whether nothing may be sent to it, whoever else there is: for a person's sake, or for the bill's."""
        return self.account.paused_at is not None or any(
            rest.fault == OVERAGE and rest.until > now for rest in self._rests_of(family)
        )

    def _rests_of(self, family: str) -> list[Cooldown]:
        """Return the cool-downs that a request of this family has to do with."""
        return [rest for of in (ACCOUNT_WIDE, family) if (rest := self._rests.get(of)) is not None]

    def _next_probe(self, now: float) -> Outlook:
        if not self.is_being_tried(now) and now >= self._probe_at:
            return Outlook(Access.PROBE)
        return Outlook(Access.LATER, "being tried", max(self._probe_at, now + 1))

    def is_being_tried(self, now: float) -> bool:
        """Whether it is soon known if the account is of use again.

        Refusals come at once. A request that has gone on for longer than they take holds nobody up.
        """
        return self.probing is not None and now < self.probing.since + _TRIAL

    def may_be_tried_early(self, family: str, now: float) -> bool:
        """Whether one request may find out before the time, because there is no other account."""
        if self.account.paused_at is not None or self.is_being_tried(now):
            return False
        if self.condition is Condition.NEEDS_REAUTH:
            return now >= self._next_reauth_probe()
        if self.condition is not Condition.OK or now < self._probe_at:
            return False
        return all(
            rest.until <= now or (rest.until - now <= _SOON and rest.fault != OVERAGE)
            for rest in self._rests_of(family)
        )

    def _next_reauth_probe(self) -> float:
        since = self.account.condition_since if self._found is None else self._found.since
        return max(since + _REAUTH_PROBE, self._reauth_probe_at)

    def due(self, now: float) -> Iterable[float]:
        """Return when something about the account changes by itself: Unix seconds, all in the future."""
        times = [rest.until for rest in self._rests.values()]
        times += [rest.until - _SOON for rest in self._rests.values() if rest.fault != OVERAGE]
        times += [self.health.open_until, self._probe_at]
        if self.probing is not None:
            times.append(self.probing.since + _TRIAL)
        if self.condition is Condition.NEEDS_REAUTH:
            times.append(self._next_reauth_probe())
        return (time for time in times if time > now)

    def state(self, now: float) -> tuple[AccountState, list[Cooldown], str]:
        """Return what people are shown: the state, what cools, and why."""
        cooling = [rest for rest in self._rests.values() if rest.until > now]
        if self.health.is_open(now):
            health = self.health
            reason = "could not be reached several times in a row"
            cooling.append(
                Cooldown(
                    self.account.id,
                    ACCOUNT_WIDE,
                    health.open_until,
                    health.open_since,
                    FaultClass.TRANSPORT.value,
                    reason,
                )
            )
        if self.account.paused_at is not None:
            return AccountState.PAUSED, cooling, "paused by a person"
        if self.condition is not Condition.OK:
            return AccountState(self.condition.value), cooling, self.condition_reason
        if cooling:
            return AccountState.COOLING, cooling, max(cooling, key=lambda rest: rest.until).reason
        return AccountState.ACTIVE, [], ""

    # What traffic finds out

    def find(self, condition: Condition, reason: str, version: int, now: float) -> bool:
        """Note a condition; return whether that is news. What met an older credential is none."""
        if version < self.account.secret_version or (self._found and version < self._found.version):
            return False
        if condition is self.condition or (condition is Condition.OK and self.condition is Condition.PARKED):
            # A good credential settles no bill.
            return False
        self._found = _Found(condition, reason, now, version)
        return True

    def rest(self, cooldown: Cooldown, now: float) -> bool:
        """Note a cool-down; return whether that is news. The longer one of a family counts."""
        known = self._rests.get(cooldown.family)
        if known is not None and known.until > now and cooldown.until <= known.until + 1:
            return False
        self._rests[cooldown.family] = cooldown
        self._untold.add(cooldown.family)
        self._ended.pop(cooldown.family, None)
        self._prune(now)
        return True

    def probe_went_well(self, family: str, since: float) -> list[Cooldown]:
        """End what a probe of this family has shown to be over; return the cool-downs among it.

        Args:
            family: of the request that found out.
            since: when it was sent; what began later is not what it was about.
        """
        self._failed_probes = self._failed_reauth_probes = 0
        self._probe_at = self._reauth_probe_at = 0.0
        over = [rest for rest in self._rests_of(family) if rest.since <= since]
        for rest in over:
            del self._rests[rest.family]
            self._untold.discard(rest.family)
            self._ended[rest.family] = rest.since
        return over

    def probe_went_badly(self, now: float) -> None:
        """Let the next probe wait a little longer."""
        if self.condition is Condition.NEEDS_REAUTH:
            self._failed_reauth_probes += 1
            self._reauth_probe_at = now + _doubled(
                _REAUTH_PROBE, self._failed_reauth_probes + 1, _REAUTH_PROBE_MOST
            )
        else:
            self._failed_probes += 1
            self._probe_at = now + _doubled(_PROBE_AGAIN, self._failed_probes, _PROBE_AGAIN_MOST)

    def _prune(self, now: float) -> None:
        over = [of for of, rest in self._rests.items() if rest.until <= now and not _wants_probe(rest)]
        for of in over:
            del self._rests[of]
            self._untold.discard(of)
        while len(self._rests) > _MOST_RESTS:
            first = min(self._rests.values(), key=lambda rest: rest.until)
            del self._rests[first.family]
            self._untold.discard(first.family)
        while len(self._ended) > _MOST_RESTS:
            del self._ended[next(iter(self._ended))]


def _wants_probe(rest: Cooldown) -> bool:
    """Whether the limit may go on when the rest is over, as it was cut to the longest that is allowed."""
    return rest.until - rest.since >= LONGEST_REST - 1


def _doubled(first: float, count: int, most: float) -> float:
    return min(most, first * 2 ** min(count - 1, 20))
