"""Which account serves a request that no session ties to one."""

from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.config import Strategy
from gateway.providers.base import FaultClass
from gateway.providers.limits import LimitWindow, RateLimits
from tests.accounts.simulation import START, World, account, world

HOUR = 3600.0


def used(one: World, name: str, share: float, resets_in: float = HOUR, family: str = "account") -> None:
    """Let an answer say how much of a limit is used."""
    window = LimitWindow("5h", family, share, one.clock() + resets_in)
    one.fail(name, FaultClass.OVERLOAD, limits=RateLimits((window,)))


def test_the_account_that_has_used_least_of_its_limits_comes_first() -> None:
    one = world("a", "b", "c")
    used(one, "a", 0.9)
    used(one, "b", 0.2)
    used(one, "c", 0.5)
    assert one.names(3) == ["b"] * 3


def test_only_limits_of_the_requests_own_models_matter() -> None:
    one = world("a", "b")
    used(one, "a", 0.95, family="opus")
    used(one, "b", 0.5)
    assert one.ask(need=one.need(family="opus")) == "b"
    assert one.ask(need=one.need(family="haiku")) == "a"


def test_the_limit_that_is_nearest_to_its_end_counts() -> None:
    one = world("a", "b")
    windows = (
        LimitWindow("5h", "account", 0.1, START + HOUR),
        LimitWindow("7d", "account", 0.9, START + 9 * HOUR),
    )
    one.fail("a", FaultClass.OVERLOAD, limits=RateLimits(windows))
    used(one, "b", 0.5)
    assert one.ask() == "b"


def test_of_accounts_that_are_equally_used_the_one_that_starts_anew_first_comes_first() -> None:
    one = world("a", "b")
    used(one, "a", 0.52, 4 * HOUR)
    used(one, "b", 0.54, 1 * HOUR)
    assert one.names(3) == ["b"] * 3


def test_a_limit_that_has_started_anew_counts_as_untouched() -> None:
    one = world("a", "b")
    used(one, "a", 0.99, 60)
    used(one, "b", 0.3)
    assert one.ask() == "b"
    one.clock.wait(61)
    assert one.ask() == "a"


def test_equals_share_the_requests_that_are_under_way() -> None:
    one = world("a", "b", "c")
    leases = [one.take() for _ in range(9)]
    assert Counter(lease.account.name for lease in leases if lease) == {"a": 3, "b": 3, "c": 3}


def test_an_account_that_is_busy_with_long_requests_gets_no_more_until_the_others_are_as_busy() -> None:
    one = world("a", "b", "c")
    held = [one.take(tried={"acc_b", "acc_c"}) for _ in range(3)]
    held += [one.take() for _ in range(6)]
    assert Counter(lease.account.name for lease in held if lease) == {"a": 3, "b": 3, "c": 3}


def test_equals_take_turns() -> None:
    assert world("a", "b", "c").names(6) == ["a", "b", "c", "a", "b", "c"]


def test_two_processes_agree_on_the_account_of_a_new_session() -> None:
    first, second = world("a", "b", "c"), world("c", "b", "a")
    second.names(5)
    sessions = [f"{number:032x}" for number in range(60)]
    chosen = [first.ask(need=first.need(session)) for session in sessions]
    assert chosen == [second.ask(need=second.need(session)) for session in reversed(sessions)][::-1]
    assert set(chosen) == {"a", "b", "c"}


def test_round_robin_goes_round_even_while_all_requests_are_under_way() -> None:
    one = world("a", "b", "c", strategy=Strategy.ROUND_ROBIN)
    used(one, "a", 0.9)
    leases = [one.take() for _ in range(7)]
    assert [lease.account.name for lease in leases if lease] == ["a", "b", "c", "a", "b", "c", "a"]


def test_round_robin_goes_on_where_it_was_when_an_account_comes_back() -> None:
    one = world("a", "b", "c", strategy=Strategy.ROUND_ROBIN)
    one.names(3)
    one.change("a", paused_at=START)
    assert one.names(3) == ["b", "c", "b"]
    one.change("a", paused_at=None)
    assert one.names(4) == ["a", "c", "b", "a"]


def test_an_account_that_is_removed_and_added_again_is_a_new_one() -> None:
    one = world("a", "b", strategy=Strategy.ROUND_ROBIN)
    one.names(4)
    row = one.accounts.pop("b")
    one.sync()
    one.names(1)
    one.accounts["b"] = row
    one.sync()
    assert one.names(2) == ["b", "a"]


def test_fill_first_takes_the_first_by_priority_and_age_until_it_can_no_more() -> None:
    rows = [
        account("old", priority=1, created_at=1.0),
        account("new", priority=1, created_at=2.0),
        account("main", priority=0, created_at=9.0, max_concurrency=1),
    ]
    one = world(*rows, strategy=Strategy.FILL_FIRST)
    assert one.names(2) == ["main", "main"]
    lease = one.take()
    assert lease is not None
    assert one.names(2) == ["old", "old"]
    one.fail("old", FaultClass.QUOTA)
    assert one.ask() == "new"
    lease.release()
    assert one.ask() == "main"


def test_weighted_is_in_proportion_and_evenly_spread() -> None:
    one = world(account("a", weight=5), account("b", weight=1), account("c", weight=1), strategy="weighted")
    assert one.names(7) == ["a", "a", "b", "a", "c", "a", "a"]


def test_weighted_owes_nothing_to_an_account_that_was_removed() -> None:
    one = world(account("a", weight=1), account("b", weight=9), strategy="weighted")
    one.names(4)  # a has waited for its turn
    row = one.accounts.pop("a")
    one.sync()
    one.accounts["a"] = row
    one.sync()
    assert one.names(2) == ["b", "b"]


@given(weights=st.lists(st.integers(1, 9), min_size=2, max_size=5))
def test_every_round_of_weighted_gives_each_account_exactly_its_weight(weights: list[int]) -> None:
    one = world(
        *(account(str(number), weight=weight) for number, weight in enumerate(weights)), strategy="weighted"
    )
    for _ in range(3):
        served = Counter(one.names(sum(weights)))
        assert served == {str(number): weight for number, weight in enumerate(weights)}


@pytest.mark.parametrize("strategy", Strategy)
def test_whatever_the_strategy_every_account_that_can_serve_does_when_it_is_the_only_one_left(
    strategy: Strategy,
) -> None:
    one = world("a", "b", account("c", weight=0), strategy=strategy)
    for name in "abc":
        need = one.need()
        lease = one.take(need, tried={f"acc_{other}" for other in "abc" if other != name})
        assert lease is not None
        assert lease.account.name == name


def test_an_account_that_fails_often_is_chosen_only_after_those_that_do_not() -> None:
    for strategy in Strategy:
        one = world("a", "b", "c", strategy=strategy)
        one.fail("a", FaultClass.UPSTREAM, 4)
        assert "a" not in one.names(20), strategy
