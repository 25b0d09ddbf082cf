"""Processes that share a store agree on each session's account, however late they hear of each other."""

from __future__ import annotations

from collections.abc import Callable
from random import Random

import attrs
import pytest
from attrs import define, evolve, field
from hypothesis import example, given
from hypothesis import strategies as st

from gateway.accounts.account import Account
from gateway.accounts.changes import Change, LimitsSeen, SessionPinned
from gateway.accounts.pins import SessionPin, kept_seconds, settle, touch_seconds
from gateway.accounts.pool import AccountPool
from gateway.accounts.quota import SeenWindow
from gateway.config import Routing, Strategy
from gateway.providers.base import FaultClass
from gateway.providers.limits import LimitWindow, RateLimits
from tests.accounts.simulation import START, Clock, World, account

SESSION = "a-session"
IDLE = 3600.0
HOUR = 3600.0


@define
class Sharing(World):
    """A pool whose news of use is heard too."""

    use: list[SessionPinned | LimitsSeen] = field(factory=list)

    def tell(self, change: Change) -> None:
        """Hear of a change."""
        if isinstance(change, SessionPinned | LimitsSeen):
            self.use.append(change)
        else:
            World.tell(self, change)


@define
class Store:
    """Rows in the order in which they were written, as all processes come to see them."""

    accounts: dict[str, Account]
    rows: dict[str, SessionPin] = field(factory=dict)
    log: list[SessionPin] = field(factory=list)
    moves: dict[str, int] = field(factory=dict)
    """How often a session's account changed."""

    def write(self, told: list[SessionPin]) -> list[SessionPin]:
        for pin in told:
            known = self.rows.get(pin.session_key)
            if pin.account_id.removeprefix("acc_") in self.accounts:
                settled = settle(known, pin, IDLE)
                if known is not None and settled.account_id != known.account_id:
                    self.moves[pin.session_key] = self.moves.get(pin.session_key, 0) + 1
                if settled != known:
                    self.rows[pin.session_key] = settled
                    self.log.append(settled)
        return [self.rows[pin.session_key] for pin in told if pin.session_key in self.rows]


@define
class Process:
    """A gateway, which hears of the others when it looks, and is heard of when it writes."""

    store: Store
    world: Sharing
    place: int = 0

    def ask(self, session: str = SESSION, fault: FaultClass | None = None) -> str:
        """Send a request; return where it went."""
        name = self.world.ask(fault, self.world.need(session))
        assert name is not None
        return name

    def write(self) -> None:
        """Write what is new, the latest of each session, and go by what comes back."""
        told = {news.pin.session_key: news.pin for news in self.world.use if isinstance(news, SessionPinned)}
        self.world.use.clear()
        self.world.pool.adopt(self.store.write(list(told.values())))

    def look(self) -> None:
        """See what others wrote: accounts first."""
        self.world.accounts = dict(self.store.accounts)
        self.world.sync()
        self.world.pool.adopt(self.store.log[self.place :])
        self.place = len(self.store.log)


@define
class Cluster:
    """Processes that share a store."""

    store: Store
    processes: list[Process]
    clock: Clock

    def settle(self) -> None:
        """Let everybody write and look until nobody has news."""
        for _ in range(3):
            for one in self.processes:
                one.write()
            for one in self.processes:
                one.look()
        assert not any(one.world.use for one in self.processes)

    def asked_everywhere(self, session: str = SESSION) -> set[str]:
        """Return where a session's requests go, whoever gets them."""
        return {one.ask(session) for one in self.processes}

    def pause(self, name: str, *, paused: bool = True) -> None:
        """Do as a person does on another host."""
        rows = self.store.accounts
        rows[name] = evolve(rows[name], paused_at=self.clock() if paused else None)


def cluster(count: int = 2, names: str = "abc", strategy: Strategy = Strategy.ROUND_ROBIN) -> Cluster:
    clock = Clock()
    settings = Routing(strategy, affinity_idle_seconds=IDLE)
    store = Store({name: account(name) for name in names})
    processes = []
    for number in range(count):
        world = Sharing(dict(store.accounts), settings, clock)
        world.names(number)  # so that they do not choose alike
        processes.append(Process(store, world))
    return Cluster(store, processes, clock)


STEPS = ("ask", "write", "look")
step = st.tuples(st.sampled_from([*STEPS, "ask", "pause", "resume"]), st.integers(0, 3), st.integers(0, 3))


@given(count=st.integers(2, 4), steps=st.lists(step, max_size=60))
@example(count=2, steps=[("ask", 0, 0), ("ask", 1, 0), ("write", 0, 0), ("write", 1, 0)])
def test_whoever_gets_the_requests_a_session_ends_on_one_account_and_moves_only_for_a_reason(
    count: int, steps: list[tuple[str, int, int]]
) -> None:
    all_of = cluster(count, "abcd")
    sessions = [f"session-{number}" for number in range(3)]
    paused: set[str] = set()
    reasons = 0
    for what, which, of in steps:
        one, name = all_of.processes[which % count], "abcd"[of]
        all_of.clock.wait(0.1)
        if what == "ask":
            one.ask(sessions[of % 3])
        elif what == "pause" and len(paused | {name}) < 4 and name not in paused:
            paused.add(name)
            reasons += 1
            all_of.pause(name)
        elif what == "resume" and name in paused:
            paused.discard(name)
            all_of.pause(name, paused=False)
        elif what == "write":
            one.write()
        elif what == "look":
            one.look()
    all_of.settle()
    # Those whose account was paused leave it now, all to the same one.
    for session in sessions:
        all_of.asked_everywhere(session)
    all_of.settle()
    for session in sessions:
        assert len(all_of.asked_everywhere(session)) == 1
    assert all(moves <= reasons for moves in all_of.store.moves.values())
    before = dict(all_of.store.moves)
    all_of.settle()
    assert before == all_of.store.moves


def test_two_processes_that_meet_a_session_at_the_same_moment_end_on_the_account_that_was_written_first() -> None:
    both = cluster(2)
    first, second = (one.ask() for one in both.processes)
    assert first != second
    for one in both.processes:
        one.write()
    both.processes[0].look()
    assert both.asked_everywhere() == {first}
    assert not both.store.moves


def test_a_move_wins_over_what_was_before_it_and_is_not_undone_by_who_has_not_heard_of_it() -> None:
    both = cluster(2)
    here, there = both.processes
    home = here.ask()
    both.settle()
    assert there.ask() == home
    both.pause(home)
    here.look()
    moved_to = here.ask()
    here.write()
    # It has not seen the pause yet, and goes on for so long that others are told of it.
    both.clock.wait(touch_seconds(IDLE) + 1)
    assert there.ask() == home
    there.write()
    both.settle()
    assert both.asked_everywhere() == {moved_to}
    both.pause(home, paused=False)
    both.settle()
    assert both.asked_everywhere() == {moved_to}


def test_a_move_that_is_not_written_yet_outlives_a_look_at_what_was_before_it() -> None:
    both = cluster(2, "abcd")
    here, there = both.processes
    home = here.ask()
    both.settle()
    both.clock.wait(touch_seconds(IDLE) + 1)
    here.world.fail(home, FaultClass.QUOTA, limits=RateLimits(retry_after=600))
    moved_to = here.ask()
    assert there.ask() == home
    there.write()
    here.look()
    assert here.ask() == moved_to
    both.settle()
    assert both.asked_everywhere() == {moved_to}


def test_processes_that_move_a_session_at_the_same_moment_end_on_one_account() -> None:
    all_of = cluster(3, "abcd")
    home = all_of.processes[0].ask()
    all_of.settle()
    all_of.pause(home)
    for one in all_of.processes:
        one.look()
    all_of.asked_everywhere()
    all_of.settle()
    assert len(all_of.asked_everywhere()) == 1
    assert list(all_of.store.moves.values()) == [1]


def test_a_move_that_comes_while_the_first_pin_is_written_counts() -> None:
    both = cluster(2)
    one = both.processes[0]
    need = one.world.need(SESSION)
    lease = one.world.take(need)
    assert lease is not None
    one.write()
    with lease:
        one.world.report(lease, FaultClass.OVERLOAD)
    second = one.world.take(need, {lease.account.id})
    assert second is not None
    with second:
        one.world.report(second)
    one.look()  # what it wrote itself before comes late
    both.settle()
    assert both.asked_everywhere() == {second.account.name}


def test_passing_trouble_of_an_account_moves_nobodys_session() -> None:
    both = cluster(2)
    here, there = both.processes
    home = here.ask()
    both.settle()
    need = there.world.need(SESSION)
    lease = there.world.take(need)
    assert lease is not None
    assert lease.account.name == home
    with lease:
        there.world.report(lease, FaultClass.OVERLOAD)
    second = there.world.take(need, {lease.account.id})
    assert second is not None
    assert second.switch is not None
    assert not second.switch.lasting
    second.release()
    both.settle()
    assert both.asked_everywhere() == {home}


def test_a_switch_elsewhere_names_the_tokens_that_are_given_up() -> None:
    both = cluster(2)
    here, there = both.processes
    home = here.ask()
    here.world.pool.note_usage(here.world.need(SESSION), f"acc_{home}", 70_000)
    both.settle()
    both.pause(home)
    there.look()
    lease = there.world.take(there.world.need(SESSION))
    assert lease is not None
    assert lease.switch is not None
    assert (lease.switch.from_account, lease.switch.cached_tokens) == (f"acc_{home}", 70_000)


def test_a_process_that_starts_anew_finds_its_sessions_where_they_were() -> None:
    both = cluster(2)
    homes = {f"{number}": both.processes[0].ask(f"{number}") for number in range(20)}
    both.settle()
    fresh = Process(both.store, Sharing(dict(both.store.accounts), Routing(Strategy.ROUND_ROBIN), both.clock))
    fresh.look()
    assert {session: fresh.ask(session) for session in homes} == homes


def test_a_session_that_is_in_use_anywhere_is_idle_nowhere() -> None:
    both = cluster(2)
    here, there = both.processes
    home = here.ask()
    both.settle()
    for _ in range(40):
        both.clock.wait(IDLE / 20)
        here.ask()
        both.settle()
    assert there.ask() == home


def test_a_session_that_was_idle_everywhere_is_like_a_new_one() -> None:
    both = cluster(2)
    here, there = both.processes
    home = here.ask()
    both.settle()
    both.clock.wait(kept_seconds(IDLE) + 1)
    there.world.names(1)
    other = there.ask()
    assert other != home
    both.settle()
    assert both.asked_everywhere() == {other}


def test_a_session_that_seems_idle_to_one_process_alone_stays() -> None:
    both = cluster(2)
    here, there = both.processes
    home = here.ask()
    both.settle()
    both.clock.wait(touch_seconds(IDLE) - 1)
    here.ask()  # not worth telling yet
    both.clock.wait(IDLE - 10)
    there.world.names(1)
    assert there.ask() != home
    both.settle()
    assert both.asked_everywhere() == {home}


def test_accounts_that_a_process_does_not_know_cost_it_no_session() -> None:
    both = cluster(2, "ab")
    here, there = both.processes
    both.store.accounts["new"] = account("new")
    here.look()
    here.world.change("a", paused_at=START)
    here.world.change("b", paused_at=START)
    assert here.ask() == "new"
    here.write()
    there.world.pool.adopt(both.store.log)
    home = there.ask()
    assert there.ask() == home
    there.look()
    there.write()
    assert there.ask() == "new"


def test_what_is_told_of_a_session_is_bounded_however_many_requests_it_has() -> None:
    one = cluster(1).processes[0]
    for number in range(400):
        one.ask()
        one.world.pool.note_usage(one.world.need(SESSION), f"acc_{one.ask()}", 50_000 + number)
        one.world.clock.wait(3)
    # It begins, it has something cached, and every few minutes it is still in use.
    assert len(one.world.use) == 2 + 1200 // touch_seconds(IDLE) - 1


def test_another_secret_gives_other_keys_and_the_session_cannot_be_read_from_any() -> None:
    keys = set()
    for secret in (b"", b"of one pool", b"of another"):
        one = Sharing({"a": account("a")}, Routing())
        one.pool = AccountPool(Routing(), clock=one.clock, random=Random(1), tell=one.tell, secret=secret)
        one.sync()
        one.ask(need=one.need(SESSION))
        (news,) = one.use
        assert isinstance(news, SessionPinned)
        assert SESSION not in news.pin.session_key
        keys.add(news.pin.session_key)
    assert len(keys) == 3


pins = st.builds(
    SessionPin,
    st.just("key"),
    st.sampled_from(["acc_a", "acc_b", "acc_c"]),
    st.floats(START, START + 2 * kept_seconds(IDLE)),
    st.integers(0, 4),
    st.integers(0, 3),
)


@given(known=pins, told=pins)
def test_to_tell_the_same_again_changes_nothing(known: SessionPin, told: SessionPin) -> None:
    once = settle(known, told, IDLE)
    assert settle(once, told, IDLE) == once
    assert settle(None, told, IDLE) == told
    assert once.account_id in {known.account_id, told.account_id}
    assert once.moves >= known.moves


# Limits


def seen(share: float, at: float, resets_in: float | None = HOUR, status: str | None = None) -> LimitsSeen:
    resets_at = None if resets_in is None else at + resets_in
    return LimitsSeen("acc_a", (SeenWindow(LimitWindow("5h", "account", share, resets_at, status), at),))


def hear(one: Sharing, *told: LimitsSeen) -> None:
    one.pool.learn(told)


def test_what_another_process_saw_of_limits_counts_when_it_is_newer() -> None:
    one = cluster(1, "ab", Strategy.HEADROOM).processes[0].world
    hear(one, seen(0.9, START - 10))
    assert one.names(2) == ["b", "b"]
    hear(one, seen(0.0, START - 20))
    assert one.names(2) == ["b", "b"]
    hear(one, seen(0.0, START - 5))
    assert "a" in one.names(2)


@pytest.mark.parametrize("resets_in", [30.0, None])
def test_what_another_process_saw_of_a_limit_counts_only_as_long_as_that_holds(
    resets_in: float | None,
) -> None:
    one = cluster(1, "ab", Strategy.HEADROOM).processes[0].world
    hear(one, seen(0.9, START, resets_in))
    assert one.names(2) == ["b", "b"]
    one.clock.wait(resets_in or HOUR)
    assert "a" in one.names(2)
    hear(one, seen(0.9, START, resets_in))
    assert "a" in one.names(2)


def told_limits(change: Callable[[int], LimitWindow], count: int = 20) -> int:
    one = cluster(1).processes[0].world
    for number in range(count):
        one.fail("a", FaultClass.OVERLOAD, limits=RateLimits((change(number),)))
        one.clock.wait(1)
    return sum(isinstance(news, LimitsSeen) for news in one.use)


def test_only_what_is_new_of_limits_is_told() -> None:
    window = LimitWindow("5h", "account", 0.5, START + HOUR, "allowed")
    assert told_limits(lambda _: window) == 1
    assert told_limits(lambda _: window, 130) == 3
    assert told_limits(lambda number: attrs.evolve(window, utilization=0.5 + number / 1000)) == 2
    assert told_limits(lambda number: attrs.evolve(window, utilization=number / 20)) == 20
    assert told_limits(lambda number: attrs.evolve(window, status=f"{number % 2}")) == 20
    assert told_limits(lambda number: attrs.evolve(window, resets_at=START + HOUR + number)) == 1


def test_what_was_heard_of_limits_is_not_told_again() -> None:
    one = cluster(1).processes[0].world
    hear(one, seen(0.5, START))
    one.clock.wait(1)
    window = LimitWindow("5h", "account", 0.505, START + HOUR)
    one.fail("a", FaultClass.OVERLOAD, limits=RateLimits((window,)))
    assert not one.use
