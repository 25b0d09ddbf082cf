"""A pool on a simulated clock: hours pass in no time, and nothing depends on the machine's speed."""

from __future__ import annotations

import asyncio
import random
import selectors
from collections.abc import Awaitable, Callable, Collection, Coroutine
from typing import Any, Final, TypeVar

import attrs
from attrs import define, field

from gateway.accounts.account import Account, AccountKind, Condition, Cooldown
from gateway.accounts.health import CONSEQUENCES, Effect, backoff
from gateway.accounts.pool import (
    AccountPool,
    Change,
    ConditionSet,
    CooldownCleared,
    CooldownSet,
    Lease,
    Need,
    Observation,
    PoolBusyError,
)
from gateway.config import Routing
from gateway.providers.base import FaultClass

T = TypeVar("T")

START = 1_795_300_000.0
"""Unix seconds at which every simulation begins."""


class _NoWaiting(selectors.DefaultSelector):
    """Lets the loop's clock jump to where something happens."""

    def __init__(self, passed: Callable[[float], None]) -> None:
        super().__init__()
        self._passed = passed

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        if timeout is None:
            raise AssertionError("everybody waits for ever")
        self._passed(timeout)
        return super().select(0)


class SimulatedLoop(asyncio.SelectorEventLoop):
    """An event loop whose time passes only while everybody sleeps."""

    def __init__(self) -> None:
        """Start at zero."""
        self._simulated = 0.0
        super().__init__(_NoWaiting(self._pass))

    def _pass(self, seconds: float) -> None:
        self._simulated += max(0.0, seconds)

    def time(self) -> float:
        return self._simulated


def simulate(main: Callable[[], Coroutine[Any, Any, T]]) -> T:
    """Run a coroutine to its end on a simulated loop."""
    with asyncio.Runner(loop_factory=SimulatedLoop) as runner:
        return runner.run(main())


def at_once(coroutine: Coroutine[Any, Any, T]) -> T:
    """Return what a coroutine returns without waiting."""
    try:
        coroutine.send(None)
    except StopIteration as end:
        return end.value
    coroutine.close()
    raise AssertionError("it waits")


def account(name: str, **values: Any) -> Account:
    """Return an account with an API key."""
    values.setdefault("kind", AccountKind.API_KEY)
    return Account(id=f"acc_{name}", name=name, provider="anthropic", **values)


@define
class Clock:
    """Says what time it is, and lets it pass; on a simulated loop the loop's sleeping does."""

    now: float = START
    loop: asyncio.AbstractEventLoop | None = None

    def __call__(self) -> float:
        return self.now + (self.loop.time() if self.loop else 0.0)

    def wait(self, seconds: float) -> None:
        """Let time pass."""
        self.now += seconds


@define
class World:
    """A pool, its clock, and a store that hears what it tells."""

    accounts: dict[str, Account]
    routing: Routing
    clock: Clock = field(factory=Clock)
    pool: AccountPool = field(init=False)
    told: list[Change] = field(factory=list)
    unwritten: list[Change] = field(factory=list)
    cooldowns: dict[tuple[str, str], Cooldown] = field(factory=dict)

    def __attrs_post_init__(self) -> None:
        """Start with what the store says."""
        self.pool = AccountPool(self.routing, clock=self.clock, random=random.Random(1), tell=self.tell)
        self.sync()

    def need(self, session: str | None = None, family: str = "opus") -> Need:
        """Return what one more request needs."""
        return Need(family, session, f"claude-{family}")

    def take(self, need: Need | None = None, tried: Collection[str] = ()) -> Lease | None:
        """Return a lease, if there is one without waiting."""
        return at_once(self.pool.acquire(need or self.need(), tried))

    def ask(self, fault: FaultClass | None = None, need: Need | None = None, **observed: Any) -> str | None:
        """Send a request that goes so; return the name of the account that it went to."""
        lease = self.take(need)
        if lease is None:
            return None
        with lease:
            self.report(lease, fault, **observed)
        return lease.account.name

    def report(self, lease: Lease, fault: FaultClass | None = None, **observed: Any) -> None:
        """Say how the attempt of a lease went."""
        observed.setdefault("credential_version", lease.account.secret_version)
        self.pool.report(lease.account.id, lease.need, Observation(fault, **observed))

    def fail(
        self, name: str, fault: FaultClass, times: int = 1, need: Need | None = None, **observed: Any
    ) -> None:
        """Let attempts at one account fail, whatever the pool would choose."""
        for _ in range(times):
            observed.setdefault("credential_version", self.accounts[name].secret_version)
            self.pool.report(f"acc_{name}", need or self.need(), Observation(fault, **observed))

    def names(self, count: int, need: Need | None = None) -> list[str | None]:
        """Send so many requests that go well, one after the other; return where they went."""
        return [self.ask(need=need) for _ in range(count)]

    def shown(self, name: str) -> str:
        """Return the state of an account as people are shown it."""
        return self.pool.state(f"acc_{name}")[0].value

    def change(self, name: str, **values: Any) -> None:
        """Change a row of the store, and let the pool know."""
        self.accounts[name] = attrs.evolve(self.accounts[name], **values)
        self.sync()

    def tell(self, change: Change) -> None:
        """Hear of what becomes of accounts."""
        if isinstance(change, CooldownSet | CooldownCleared | ConditionSet):
            self.told.append(change)
            self.unwritten.append(change)

    def write(self, count: int | None = None) -> None:
        """Write the oldest changes down, as the store does: people and newer credentials win."""
        for change in self.unwritten[:count]:
            self._write(change)
        del self.unwritten[:count]

    def _write(self, change: Change) -> None:
        match change:
            case CooldownSet(cooldown):
                key = (cooldown.account_id, cooldown.family)
                known = self.cooldowns.get(key)
                if known is None or known.until < cooldown.until:
                    self.cooldowns[key] = cooldown
            case CooldownCleared(account_id, family, since):
                known = self.cooldowns.get((account_id, family))
                if known is not None and known.since <= since:
                    del self.cooldowns[account_id, family]
            case ConditionSet(account_id, condition, reason, _, version):
                name = account_id.removeprefix("acc_")
                row = self.accounts.get(name)
                if row is not None and row.secret_version == version:
                    self.accounts[name] = attrs.evolve(
                        row, condition=condition, condition_reason=reason, condition_since=self.clock()
                    )

    def sync(self) -> None:
        """Let the pool know what the store says."""
        now = self.clock()
        rests = [rest for rest in self.cooldowns.values() if rest.until > now]
        self.pool.replace(list(self.accounts.values()), rests)

    def resume(self, name: str) -> None:
        """Do as a person does who puts an account to use again."""
        for key in [key for key in self.cooldowns if key[0] == f"acc_{name}"]:
            del self.cooldowns[key]
        self.change(name, paused_at=None, condition=Condition.OK, condition_reason="", resumed_at=self.clock())


def world(*accounts: str | Account, loop: asyncio.AbstractEventLoop | None = None, **routing: Any) -> World:
    """Return a pool of these accounts."""
    rows = [account(one) if isinstance(one, str) else one for one in accounts]
    return World({row.name: row for row in rows}, Routing(**routing), Clock(loop=loop))


SET_ASIDE: Final = frozenset({Effect.COOL, Effect.PARK, Effect.REAUTH})


@define
class Outcome:
    """What became of a request."""

    attempts: list[tuple[str, FaultClass | None]] = field(factory=list)
    """Names of accounts, and how they did."""
    busy: bool = False

    @property
    def served(self) -> bool:
        """Whether the client got its answer."""
        return bool(self.attempts) and self.attempts[-1][1] is None

    @property
    def counted(self) -> int:
        """Attempts that count: not those that set their account aside."""
        return sum(fault is None or CONSEQUENCES[fault].account not in SET_ASIDE for _, fault in self.attempts)


async def run_request(
    one: World,
    need: Need,
    attempt: Callable[[str], Awaitable[FaultClass | None]],
    jitter: random.Random,
) -> Outcome:
    """Try accounts as the gateway does: one after the other, for as long as the table of faults says."""
    outcome = Outcome()
    tried: set[str] = set()
    per_class: dict[FaultClass, int] = {}
    while outcome.counted < one.routing.max_attempts:
        try:
            lease = await one.pool.acquire(need, tried)
        except PoolBusyError:
            outcome.busy = True
            break
        if lease is None:
            break
        with lease:
            tried.add(lease.account.id)
            if FaultClass.OVERLOAD in per_class:
                await asyncio.sleep(backoff(per_class[FaultClass.OVERLOAD], jitter))
            fault = await attempt(lease.account.name)
            one.report(lease, fault)
        outcome.attempts.append((lease.account.name, fault))
        if fault is None:
            break
        row = CONSEQUENCES[fault]
        per_class[fault] = per_class.get(fault, 0) + 1
        if not row.try_next_account or per_class[fault] == row.most_attempts:
            break
    return outcome
