"""Laws of the pool, tried with thousands of requests on a simulated clock.

The loop over accounts is `run_request`, which goes by the same table as the gateway's own.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Coroutine, Sequence
from typing import Any, Final

from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from gateway.accounts.account import AccountState
from gateway.accounts.changes import SessionPinned
from gateway.accounts.pool import Need, Observation
from gateway.config import Strategy
from gateway.providers.base import FaultClass
from gateway.providers.limits import RateLimits
from tests.accounts.simulation import Outcome, SimulatedLoop, World, account, run_request, simulate, world

PASSING: Final = (FaultClass.TRANSPORT, FaultClass.UPSTREAM, FaultClass.OVERLOAD)
OF_THE_ACCOUNT: Final = (*PASSING, FaultClass.QUOTA, FaultClass.CREDENTIAL, FaultClass.BILLING)
SESSIONS: Final = [None, *(f"session-{number}" for number in range(8))]

faults_of = st.lists(st.sampled_from(OF_THE_ACCOUNT), min_size=1, max_size=6)


async def traffic(
    one: World, dice: random.Random, *, requests: int, share: float, faulty: set[str], kinds: Sequence[FaultClass]
) -> list[Outcome]:
    """Send requests, several at a time; so many of a hundred attempts at the faulty accounts fail."""

    async def attempt(name: str) -> FaultClass | None:
        await asyncio.sleep(dice.uniform(0.05, 3))
        return dice.choice(kinds) if name in faulty and dice.random() < share else None

    async def client(count: int) -> list[Outcome]:
        outcomes = []
        for _ in range(count):
            need = one.need(dice.choice(SESSIONS), dice.choice(["opus", "haiku"]))
            outcomes.append(await run_request(one, need, attempt, jitter=dice))
            await asyncio.sleep(dice.uniform(0, 2))
        return outcomes

    async with asyncio.TaskGroup() as group:
        clients = [group.create_task(client(requests // 10)) for _ in range(10)]
    return [outcome for task in clients for outcome in task.result()]


def shares(outcomes: list[Outcome], faulty: set[str]) -> tuple[float, float]:
    """Return the share of failed requests, and of failed attempts at faulty accounts."""
    attempts = [fault for outcome in outcomes for name, fault in outcome.attempts if name in faulty]
    failed = sum(not outcome.served for outcome in outcomes)
    return failed / len(outcomes), sum(fault is not None for fault in attempts) / max(1, len(attempts))


@given(
    others=st.integers(1, 6),
    share=st.floats(0.01, 1),
    kinds=faults_of,
    strategy=st.sampled_from(Strategy),
    seed=st.integers(0, 2**32),
)
@settings(max_examples=25)
def test_with_one_healthy_account_faults_of_others_never_make_more_of_the_clients_fail(
    others: int, share: float, kinds: list[FaultClass], strategy: Strategy, seed: int
) -> None:
    faulty = {f"bad-{number}" for number in range(others)}

    async def main() -> None:
        one = world(*sorted(faulty), "healthy", loop=asyncio.get_running_loop(), strategy=strategy)
        outcomes = await traffic(one, random.Random(seed), requests=600, share=share, faulty=faulty, kinds=kinds)
        assert all(outcome.attempts for outcome in outcomes), "a request found no account"
        assert one.shown("healthy") == "active"
        clients, attempts = shares(outcomes, faulty)
        assert clients <= attempts
        assert one.pool.in_flight == 0

    simulate(main)


@given(
    accounts=st.integers(2, 6),
    share=st.floats(0.01, 0.9),
    kinds=st.lists(st.sampled_from(PASSING), min_size=1, max_size=4),
    strategy=st.sampled_from(Strategy),
    seed=st.integers(0, 2**32),
)
@settings(max_examples=25)
def test_passing_faults_of_all_accounts_never_leave_a_request_without_one(
    accounts: int, share: float, kinds: list[FaultClass], strategy: Strategy, seed: int
) -> None:
    faulty = {f"bad-{number}" for number in range(accounts)}

    async def main() -> None:
        one = world(*sorted(faulty), loop=asyncio.get_running_loop(), strategy=strategy)
        outcomes = await traffic(one, random.Random(seed), requests=600, share=share, faulty=faulty, kinds=kinds)
        assert all(outcome.attempts for outcome in outcomes), "a request found no account"
        clients, attempts = shares(outcomes, faulty)
        assert clients <= attempts

    simulate(main)


@given(share=st.floats(0.02, 0.1), seed=st.integers(0, 2**32))
@settings(max_examples=10)
def test_a_pool_in_which_each_account_fails_now_and_then_hides_nearly_all_of_it(share: float, seed: int) -> None:
    faulty = {"a", "b", "c"}

    async def main() -> None:
        one = world(*sorted(faulty), loop=asyncio.get_running_loop())
        outcomes = await traffic(
            one, random.Random(seed), requests=2000, share=share, faulty=faulty, kinds=PASSING
        )
        clients, attempts = shares(outcomes, faulty)
        assert clients <= attempts / 2

    simulate(main)


class Pool(RuleBasedStateMachine):
    """People, traffic, the store and time do what they like with a pool."""

    @initialize(
        count=st.integers(1, 5),
        strategy=st.sampled_from(Strategy),
        concurrency=st.integers(0, 3),
        attempts=st.integers(1, 5),
    )
    def begin(self, count: int, strategy: Strategy, concurrency: int, attempts: int) -> None:
        self.loop = SimulatedLoop()
        self.dice = random.Random(count)
        names = [f"acc{number}" for number in range(count)]
        self.world = world(
            *(account(name, weight=number) for number, name in enumerate(names, 1)),
            loop=self.loop,
            strategy=strategy,
            concurrency=concurrency,
            max_attempts=attempts,
            queue_length=20,
            queue_seconds=5.0,
        )
        self.names = names
        self.faults: dict[str, list[FaultClass | None]] = {name: [None] for name in names}
        self.sent: list[str] = []
        self.under_way: list[asyncio.Task[Outcome]] = []

    def run(self, what: Coroutine[Any, Any, Any]) -> None:
        self.loop.run_until_complete(what)

    async def attempt(self, name: str) -> FaultClass | None:
        assert self.world.accounts[name].paused_at is None, "sent to an account that is paused"
        self.sent.append(name)
        await asyncio.sleep(self.dice.uniform(0, 4))
        return self.dice.choice(self.faults[name])

    async def request(self, session: str | None, family: str) -> Outcome:
        outcome = await run_request(self.world, Need(family, session), self.attempt, jitter=self.dice)
        assert outcome.counted <= self.world.routing.max_attempts, "too many attempts"
        names = [name for name, _ in outcome.attempts]
        assert len(names) == len(set(names)), "an account was tried twice"
        return outcome

    @rule(count=st.integers(1, 60), session=st.sampled_from(SESSIONS), family=st.sampled_from(["opus", "haiku"]))
    def requests(self, count: int, session: str | None, family: str) -> None:
        for _ in range(count):
            self.under_way.append(self.loop.create_task(self.request(session, family)))
        self.run(asyncio.sleep(0))

    @rule(seconds=st.sampled_from([0.0, 0.1, 1.0, 3.0, 10.0, 60.0, 150.0, 3700.0]))
    def time_passes(self, seconds: float) -> None:
        self.run(asyncio.sleep(seconds))
        self.collect()

    def collect(self) -> None:
        for task in [task for task in self.under_way if task.done()]:
            self.under_way.remove(task)
            if not task.cancelled():
                task.result()

    @rule(which=st.integers(0, 4), kinds=st.lists(st.sampled_from([None, *FaultClass]), min_size=1, max_size=4))
    def upstream_changes(self, which: int, kinds: list[FaultClass | None]) -> None:
        self.faults[self.names[which % len(self.names)]] = kinds

    @rule(which=st.integers(0, 4))
    def a_person_pauses(self, which: int) -> None:
        self.world.change(self.names[which % len(self.names)], paused_at=self.world.clock())

    @rule(which=st.integers(0, 4))
    def a_person_resumes(self, which: int) -> None:
        name = self.names[which % len(self.names)]
        self.run(asyncio.sleep(0.01))
        self.world.resume(name)
        assert self.world.shown(name) == "active"

    @rule(which=st.integers(0, 4))
    def a_credential_is_renewed(self, which: int) -> None:
        row = self.world.accounts[self.names[which % len(self.names)]]
        self.world.change(row.name, secret_version=row.secret_version + 1)
        assert self.world.shown(row.name) != "needs_reauth" or row.condition != "ok"

    @rule(count=st.integers(0, 3))
    def the_store_catches_up_a_little(self, count: int) -> None:
        self.world.write(count)

    @rule()
    def the_store_is_looked_at(self) -> None:
        before = {name: self.world.shown(name) for name in self.names}
        self.world.sync()
        for name, state in before.items():
            # A look at a store that is late takes no news back.
            assert self.world.shown(name) == state or not self.world.unwritten

    @precondition(lambda self: self.under_way)
    @rule(which=st.integers(0, 99))
    def a_client_leaves(self, which: int) -> None:
        before = {name: self.world.pool.state(f"acc_{name}") for name in self.names}
        told = len(self.world.told)
        self.under_way[which % len(self.under_way)].cancel()
        self.run(asyncio.sleep(0))
        if len(self.world.told) == told:
            after = {name: self.world.pool.state(f"acc_{name}") for name in self.names}
            assert after == before, "a client's abort changed an account"

    @precondition(lambda self: self.under_way)
    @rule()
    def all_clients_leave(self) -> None:
        for task in self.under_way:
            task.cancel()
        self.run(asyncio.sleep(0.0))
        self.run(asyncio.sleep(0.0))
        self.collect()
        sent = len(self.sent)
        assert not self.under_way
        self.run(asyncio.sleep(30))
        assert len(self.sent) == sent, "attempts went on after the client had left"

    @invariant()
    def places_are_conserved(self) -> None:
        if not hasattr(self, "world"):
            return
        pool, bound = self.world.pool, self.world.routing.concurrency
        assert 0 <= pool.in_flight <= len(self.under_way)
        assert pool.waiting <= self.world.routing.queue_length
        if bound:
            assert pool.in_flight <= bound * len(self.names)

    @invariant()
    def paused_stays_paused(self) -> None:
        if not hasattr(self, "world"):
            return
        for name in self.names:
            paused = self.world.accounts[name].paused_at is not None
            assert (self.world.pool.state(f"acc_{name}")[0] is AccountState.PAUSED) == paused

    def teardown(self) -> None:
        if not hasattr(self, "world"):
            return
        self.run(asyncio.sleep(10_000))
        self.collect()
        assert not self.under_way, "a request never ended"
        assert (self.world.pool.in_flight, self.world.pool.waiting) == (0, 0)
        self.loop.close()


TestPool = Pool.TestCase
TestPool.settings = settings(max_examples=40, stateful_step_count=40)


@given(st.lists(st.sampled_from([None, *FaultClass]), max_size=30), st.integers(0, 2**32))
def test_a_clients_abort_changes_no_account(history: list[FaultClass | None], seed: int) -> None:
    dice = random.Random(seed)
    one = world("a", "b", "c")
    for fault in history:
        name = dice.choice("abc")
        one.pool.report(f"acc_{name}", one.need(), Observation(fault, RateLimits(), "", 0))
        one.clock.wait(dice.uniform(0, 20))
    before = [one.pool.state(f"acc_{name}") for name in "abc"]
    told = len(one.told)
    for _ in range(20):
        lease = one.take(one.need(dice.choice(SESSIONS)))
        if lease is not None:
            lease.release()
    assert [one.pool.state(f"acc_{name}") for name in "abc"] == before
    # Where a session was sent says nothing about the account.
    assert all(isinstance(news, SessionPinned) for news in one.told[told:])
    assert one.pool.in_flight == 0
