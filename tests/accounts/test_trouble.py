"""What trouble does to accounts: which are left out, for how long, and how they come back."""

from __future__ import annotations

import pytest

from gateway.accounts.account import AccountKind, Condition
from gateway.accounts.pool import ConditionSet, CooldownCleared, CooldownSet, Lack, Need
from gateway.providers.base import FaultClass
from gateway.providers.limits import LimitWindow, RateLimits
from tests.accounts.simulation import START, World, account, world

TRANSPORT, QUOTA, OVERLOAD = FaultClass.TRANSPORT, FaultClass.QUOTA, FaultClass.OVERLOAD
UPSTREAM, CREDENTIAL, BILLING = FaultClass.UPSTREAM, FaultClass.CREDENTIAL, FaultClass.BILLING
HOUR = 3600.0


def after(seconds: float, family: str | None = None) -> RateLimits:
    return RateLimits(retry_after=seconds, family=family)


def spent(resets_at: float, family: str = "account", **values: object) -> RateLimits:
    window = LimitWindow("5h", family, 1.0, resets_at, "rejected")
    return RateLimits((window,), family=family, **values)  # ty: ignore[invalid-argument-type]


# Overload and requests that are refused anywhere


def test_overload_and_refused_requests_do_nothing_to_an_account() -> None:
    one = world("a", "b")
    one.fail("a", OVERLOAD, 50)
    one.fail("a", FaultClass.REQUEST, 50)
    assert one.shown("a") == "active"
    assert sorted(filter(None, one.names(4))) == ["a", "a", "b", "b"]
    assert one.told == []


# The network


def test_two_connection_errors_leave_an_account_in_use_and_three_in_a_row_leave_it_out_for_seconds() -> None:
    one = world("a", "b")
    one.fail("a", TRANSPORT, 2)
    assert one.shown("a") == "active"
    one.fail("a", TRANSPORT)
    assert one.shown("a") == "cooling"
    assert set(one.names(10)) == {"b"}
    (rest,) = one.pool.state("acc_a")[1]
    assert 4 <= rest.until - START <= 6
    assert one.told == []  # other hosts may well reach it


def test_an_answer_between_connection_errors_shows_that_the_way_is_open() -> None:
    one = world("a", "b")
    for _ in range(5):
        one.fail("a", TRANSPORT, 2)
        one.fail("a", FaultClass.REQUEST)
        assert one.shown("a") == "active"


def test_failures_far_apart_are_no_run() -> None:
    one = world("a", "b")
    for _ in range(10):
        one.fail("a", TRANSPORT, 2)
        assert one.shown("a") == "active"
        one.clock.wait(121)


def test_an_answer_in_between_ends_a_run_of_connection_errors() -> None:
    one = world("a", "b", strategy="fill_first")
    for _ in range(5):
        one.fail("a", TRANSPORT, 2)
        assert one.shown("a") == "active"
        one.clock.wait(100)  # well enough again to be preferred
        assert one.ask() == "a"


def open_breaker(one: World, name: str) -> None:
    one.fail(name, TRANSPORT, 3)
    assert one.shown(name) == "cooling"


def test_requests_that_were_under_way_when_an_account_was_left_out_do_not_make_it_longer() -> None:
    one = world("a", "b")
    open_breaker(one, "a")
    before = one.pool.state("acc_a")
    one.clock.wait(1)
    one.fail("a", TRANSPORT, 50)
    assert one.pool.state("acc_a") == before


def test_an_account_that_could_not_be_reached_is_tried_by_one_request_and_comes_back_with_its_success() -> None:
    one = world("a", "b", strategy="fill_first")
    open_breaker(one, "a")
    one.clock.wait(7)
    one.fail("b", UPSTREAM, 5)  # so that the probe is not put off for b's better health
    probe = one.take()
    assert probe is not None
    assert (probe.account.name, probe.probe) == ("a", True)
    assert one.names(3) == ["b", "b", "b"]
    one.report(probe)
    one.clock.wait(600)
    assert one.ask() == "a"
    probe.release()
    assert one.pool.in_flight == 0


def test_each_time_it_cannot_be_reached_again_it_is_left_out_for_longer_up_to_a_minute() -> None:
    one = world("a", "b")
    open_breaker(one, "a")
    lengths = []
    for _ in range(8):
        (rest,) = one.pool.state("acc_a")[1]
        lengths.append(rest.until - rest.since)
        one.clock.wait(rest.until - one.clock() + 0.001)
        while True:
            # Somebody chooses it at last; whoever is served by b meanwhile is served well.
            lease = one.take()
            assert lease is not None
            with lease:
                if lease.account.name == "a":
                    assert lease.probe
                    one.report(lease, TRANSPORT)
                    break
                one.report(lease)
            one.clock.wait(1)
    for length, expected in zip(lengths, [5, 10, 20, 40, 60, 60, 60, 60], strict=True):
        assert expected * 0.8 <= length <= expected * 1.2


def test_a_request_that_has_failed_once_is_not_the_one_to_find_out() -> None:
    one = world("a", "b", "c", strategy="fill_first")
    open_breaker(one, "a")
    one.clock.wait(600)
    lease = one.take(tried={"acc_b"})
    assert lease is not None
    assert (lease.account.name, lease.probe) == ("c", False)
    lease = one.take()
    assert lease is not None
    assert (lease.account.name, lease.probe) == ("a", True)


@pytest.mark.parametrize("fault", [TRANSPORT, UPSTREAM, OVERLOAD])
def test_the_last_account_that_is_well_is_never_left_out(fault: FaultClass) -> None:
    one = world("a", "b", "c")
    for _ in range(40):
        for name in "abc":
            one.fail(name, fault)
        assert any(one.shown(name) == "active" for name in "abc")
        assert one.take() is not None
    one.change("b", paused_at=START)
    one.fail("c", QUOTA, limits=after(900))
    one.clock.wait(80)
    one.fail("a", fault, 40)
    assert one.ask() == "a"


def test_errors_of_the_upstream_make_an_account_less_preferred_and_no_more_until_there_are_many() -> None:
    one = world("a", "b", strategy="fill_first")
    one.fail("a", UPSTREAM, 3)
    assert one.shown("a") == "active"
    assert one.names(3) == ["b"] * 3
    one.clock.wait(300)
    assert one.names(3) == ["a"] * 3
    one.fail("a", UPSTREAM, 10)
    assert one.shown("a") == "cooling"


# Limits


def test_a_limit_rests_the_family_of_the_request_and_no_other() -> None:
    one = world("a", "b", strategy="fill_first")
    one.fail("a", QUOTA, need=one.need(family="opus"), limits=after(600), message="Slow down.")
    assert one.ask(need=one.need(family="opus")) == "b"
    assert one.ask(need=one.need(family="haiku")) == "a"
    assert one.shown("a") == "cooling"
    (change,) = one.told
    assert isinstance(change, CooldownSet)
    assert (change.cooldown.family, change.cooldown.reason) == ("opus", "Slow down.")
    assert (change.cooldown.since, change.cooldown.until) == (START, START + 600)


def test_the_family_that_the_refusal_names_counts_more_than_the_requests_own() -> None:
    one = world("a", "b", strategy="fill_first")
    one.fail("a", QUOTA, need=one.need(family="opus"), limits=after(600, "account"))
    assert one.ask(need=one.need(family="haiku")) == "b"


def test_without_retry_after_an_account_rests_until_its_spent_limit_starts_anew() -> None:
    one = world("a", "b")
    spent_windows = (
        LimitWindow("requests", "", 0.4, START + 5),
        LimitWindow("input-tokens", "", 1.0, START + 45),
        LimitWindow("output-tokens", "", 1.0, START + 20),
        LimitWindow("7d_sonnet", "sonnet", 1.0, START + 2000),
    )
    one.fail("a", QUOTA, limits=RateLimits(spent_windows))
    (rest,) = one.pool.state("acc_a")[1]
    assert rest.until == START + 45


@pytest.mark.parametrize(
    "told",
    [
        RateLimits(),
        RateLimits(retry_after=float("nan")),
        RateLimits(retry_after=-5.0),
        RateLimits(retry_after=float("inf")),
        RateLimits(retry_after=400 * 86400.0),
        RateLimits((LimitWindow("5h", "account", 1.0, START - 10, "rejected"),)),
        RateLimits((LimitWindow("5h", "account", 1.0, START + 400 * 86400, "rejected"),)),
        RateLimits((LimitWindow("5h", "account", float("nan"), float("nan")),)),
    ],
)
def test_a_refusal_that_says_nothing_plausible_means_half_a_minute(told: RateLimits) -> None:
    one = world("a", "b")
    one.fail("a", QUOTA, limits=told)
    (rest,) = one.pool.state("acc_a")[1]
    assert rest.until == START + 30


def test_no_rest_is_shorter_than_a_second() -> None:
    one = world("a", "b")
    one.fail("a", QUOTA, limits=after(0.02))
    (rest,) = one.pool.state("acc_a")[1]
    assert rest.until == START + 1


def test_a_rest_of_hours_is_cut_to_one_and_then_one_request_finds_out() -> None:
    one = world("a", "b", strategy="fill_first")
    one.fail("a", QUOTA, limits=spent(START + 5 * HOUR))
    one.clock.wait(HOUR - 121)
    one.change("b", paused_at=START)
    assert one.take() is None
    one.change("b", paused_at=None)
    one.clock.wait(122)
    probe = one.take()
    assert probe is not None
    assert (probe.account.name, probe.probe) == ("a", True)
    assert one.names(2) == ["b", "b"]
    one.report(probe, QUOTA, limits=spent(START + 5 * HOUR))
    probe.release()
    assert one.shown("a") == "cooling"
    one.clock.wait(HOUR + 1)
    assert one.ask() == "a"
    assert one.names(3) == ["a"] * 3
    lease = one.take()
    assert lease is not None
    assert not lease.probe


def test_many_refusals_at_a_time_are_told_once() -> None:
    one = world("a", "b")
    one.fail("a", QUOTA, 200, limits=after(60))
    assert len(one.told) == 1
    one.fail("a", QUOTA, limits=after(90))
    assert len(one.told) == 2
    one.fail("a", QUOTA, limits=after(5))
    assert len(one.told) == 2


def test_where_nothing_else_is_left_a_rest_that_ends_within_two_minutes_is_tried_early_by_one_request() -> None:
    one = world("a", "b")
    one.fail("a", QUOTA, limits=after(100))
    one.fail("b", QUOTA, limits=after(1000))
    probe = one.take()
    assert probe is not None
    assert (probe.account.name, probe.probe) == ("a", True)
    one.report(probe)
    probe.release()
    assert one.shown("a") == "active"
    (cleared,) = [change for change in one.told if isinstance(change, CooldownCleared)]
    assert (cleared.account_id, cleared.family, cleared.since) == ("acc_a", "opus", START)


def test_an_early_try_that_is_refused_makes_the_next_one_wait_longer() -> None:
    one = world("a", "b")
    one.fail("a", QUOTA, limits=after(100))
    one.fail("b", QUOTA, limits=after(1000))
    assert one.ask(QUOTA, limits=after(90)) == "a"
    assert one.take() is None
    one.clock.wait(2)
    assert one.ask(QUOTA, limits=after(90)) == "a"
    one.clock.wait(2)
    assert one.take() is None
    one.clock.wait(2)
    assert one.ask() == "a"


def test_an_early_try_that_says_nothing_about_the_limit_costs_no_waiting() -> None:
    one = world("a", "b")
    one.fail("a", QUOTA, limits=after(100))
    one.fail("b", QUOTA, limits=after(1000))
    assert [one.ask(OVERLOAD), one.ask(FaultClass.REQUEST), one.ask()] == ["a"] * 3


def test_after_an_early_try_that_went_well_the_next_rest_is_tried_as_early_as_the_first() -> None:
    one = world("a", "b")
    one.fail("b", QUOTA, limits=after(3600))
    for _ in range(2):
        one.fail("a", QUOTA, limits=after(100))
        assert one.ask(QUOTA, limits=after(100)) == "a"
        one.clock.wait(2)
        assert one.ask() == "a"
        assert one.shown("a") == "active"


def test_a_success_that_was_under_way_before_proves_nothing_about_a_limit() -> None:
    one = world("a", "b", strategy="fill_first")
    early = one.take()
    assert early is not None
    one.fail("a", QUOTA, limits=after(300))
    one.report(early)
    assert one.shown("a") == "cooling"


def test_a_limit_that_another_request_met_meanwhile_is_not_ended_by_a_probe() -> None:
    one = world("a", "b")
    one.fail("a", QUOTA, limits=after(60))
    one.fail("b", QUOTA, limits=after(1000))
    probe = one.take()
    assert probe is not None
    one.clock.wait(1)
    one.fail("a", QUOTA, limits=after(200))
    one.report(probe)
    assert one.shown("a") == "cooling"


def test_a_request_that_takes_long_to_find_out_holds_nobody_up_for_long() -> None:
    one = world("a", "b")
    one.fail("a", QUOTA, limits=after(60))
    one.fail("b", QUOTA, limits=after(1000))
    slow = one.take()
    assert slow is not None
    assert slow.probe
    one.clock.wait(3)
    second = one.take()
    assert second is not None
    assert second.probe
    one.report(second)
    assert one.shown("a") == "active"


# Beyond the plan


def test_an_account_that_would_be_billed_beyond_its_plan_rests_until_the_plan_starts_anew() -> None:
    one = world("a", "b", strategy="fill_first")
    assert one.ask(limits=spent(START + 4 * HOUR, overage=True)) == "a"
    one.change("b", paused_at=START)
    for _ in range(4):
        assert one.take() is None
        one.clock.wait(HOUR - 1)
    one.clock.wait(5)
    assert one.ask() == "a"


def test_even_an_account_that_is_alone_is_not_asked_while_it_would_be_billed_beyond_its_plan() -> None:
    one = world("a")
    assert one.ask(limits=spent(START + 4 * HOUR, overage=True)) == "a"
    assert one.take() is None
    assert one.pool.exhaustion(one.need()).retry_at == START + 4 * HOUR


def test_a_rejected_window_under_a_success_is_taken_for_the_same() -> None:
    one = world("a", "b", strategy="fill_first")
    one.ask(limits=spent(START + HOUR))
    assert one.ask() == "b"


def test_extra_usage_that_is_wanted_is_used() -> None:
    one = world("a", "b", strategy="fill_first", use_extra_usage=True)
    for _ in range(3):
        assert one.ask(limits=spent(START + 4 * HOUR, overage=True)) == "a"


# Bills, policies, credentials


def test_an_account_with_a_bill_is_parked_with_the_upstreams_own_words() -> None:
    one = world("a", "b")
    one.fail("a", BILLING, message="Your credit balance\nis too low.")
    assert one.pool.state("acc_a")[0].value == "parked"
    assert one.pool.state("acc_a")[2] == "Your credit balance is too low."
    assert set(one.names(5)) == {"b"}
    one.clock.wait(30 * 86400)
    assert set(one.names(5)) == {"b"}
    (change,) = one.told
    assert isinstance(change, ConditionSet)
    assert (change.condition, change.reason) == (Condition.PARKED, "Your credit balance is too low.")


def test_a_credential_that_is_being_renewed_is_not_the_pools_affair() -> None:
    one = world("a", "b")
    one.fail("a", CREDENTIAL, 20, renewable=True)
    assert one.shown("a") == "active"
    assert one.told == []


def test_news_of_an_older_credential_does_not_harm_the_present_one() -> None:
    one = world(account("a", secret_version=4), "b")
    one.fail("a", CREDENTIAL, credential_version=3)
    assert one.shown("a") == "active"
    one.fail("a", CREDENTIAL, credential_version=4)
    assert one.shown("a") == "needs_reauth"
    one.change("a", secret_version=5)
    assert one.shown("a") == "active"


def test_news_of_a_credential_that_is_newer_than_the_row_counts() -> None:
    one = world(account("a", secret_version=4), "b")
    one.fail("a", CREDENTIAL, credential_version=5)
    one.sync()
    assert one.shown("a") == "needs_reauth"
    one.change("a", secret_version=5)
    assert one.shown("a") == "needs_reauth"


def test_a_refused_key_is_tried_again_only_where_nothing_else_is_left_and_ever_more_rarely() -> None:
    one = world("a", "b")
    one.fail("a", CREDENTIAL)
    one.clock.wait(3600)
    assert set(one.names(10)) == {"b"}
    one.fail("b", BILLING)
    tries = []
    began = one.clock()
    while one.clock() - began < 3600:
        if one.ask(CREDENTIAL) == "a":
            tries.append(one.clock() - began)
        one.clock.wait(1)
    assert tries == [0, 60, 180, 420, 900, 1500, 2100, 2700, 3300]
    one.clock.wait(600)
    assert one.ask() == "a"
    assert one.shown("a") == "active"
    assert [change.condition for change in one.told if isinstance(change, ConditionSet)] == [
        Condition.NEEDS_REAUTH,
        Condition.PARKED,
        Condition.OK,
    ]


def test_a_new_key_is_not_made_to_wait_for_what_an_old_one_did() -> None:
    one = world("a", "b")
    one.fail("b", BILLING)
    one.fail("a", CREDENTIAL)
    for _ in range(1000):
        one.ask(CREDENTIAL)
        one.clock.wait(1)
    one.change("a", secret_version=1)
    assert one.ask(CREDENTIAL) == "a"
    assert one.take() is None
    one.clock.wait(30)
    assert one.ask() == "a"


def test_a_key_that_was_just_refused_is_left_alone_for_half_a_minute() -> None:
    one = world("a", "b")
    one.fail("b", BILLING)
    one.fail("a", CREDENTIAL)
    one.clock.wait(29)
    assert one.take() is None
    one.clock.wait(1)
    assert one.ask() == "a"


def test_a_refused_token_is_tried_again_as_rarely_as_a_refused_key() -> None:
    one = world(account("a", kind=AccountKind.OAUTH), account("b", paused_at=START))
    one.fail("a", CREDENTIAL)
    assert one.take() is None
    one.clock.wait(30)
    assert one.ask(CREDENTIAL) == "a"
    one.clock.wait(59)
    assert one.take() is None
    one.clock.wait(1)
    assert one.ask() == "a"
    assert one.shown("a") == "active"


def test_a_good_credential_settles_no_bill() -> None:
    one = world("a", "b")
    one.fail("a", BILLING)
    one.pool.set_condition("acc_a", Condition.OK, "", secret_version=0)
    assert one.shown("a") == "parked"


# When there is none


def test_it_is_said_whether_there_is_no_account_or_none_of_use_or_none_yet() -> None:
    assert world().pool.exhaustion(Need("opus")).lack is Lack.NO_ACCOUNT
    one = world(account("a", paused_at=START), "b", "c")
    one.fail("b", BILLING)
    one.fail("c", QUOTA, limits=after(700.9))
    nothing = one.pool.exhaustion(one.need())
    assert (nothing.lack, nothing.retry_at) == (Lack.COOLING, START + 700.9)
    assert one.pool.exhaustion(one.need(family="haiku")).lack is Lack.TRIED
    assert one.pool.retry_after(one.need()) == 700
    assert one.pool.retry_after(one.need(family="haiku")) is None
    one.clock.wait(700.2)
    assert one.pool.retry_after(one.need()) is None
    one.fail("c", CREDENTIAL)
    assert one.pool.exhaustion(one.need()).lack is Lack.OUT_OF_USE


def test_the_only_account_is_asked_whatever_its_state_unless_a_person_paused_it() -> None:
    one = world("a")
    for fault in FaultClass:
        for _ in range(20):
            assert one.ask(fault) == "a"
    assert one.ask() == "a"
    one.change("a", paused_at=START)
    assert one.take() is None


def test_a_clients_own_credential_has_no_state() -> None:
    one = world(account("a", kind=AccountKind.PASSTHROUGH), concurrency=1)
    leases = [one.take() for _ in range(10)]
    assert all(leases)
    for fault in FaultClass:
        one.fail("a", fault, 20)
    assert one.shown("a") == "active"
    assert one.told == []
    assert not one.pool.is_shared
