"""People and the store win over traffic, but for news that they cannot have yet."""

from __future__ import annotations

from gateway.accounts.account import Condition, Cooldown
from gateway.accounts.pool import CooldownCleared, Lack
from gateway.providers.base import FaultClass
from gateway.providers.limits import RateLimits
from tests.accounts.simulation import START, account, world

QUOTA, BILLING, CREDENTIAL = FaultClass.QUOTA, FaultClass.BILLING, FaultClass.CREDENTIAL


def rest(name: str, seconds: float, since: float = START, family: str = "opus") -> Cooldown:
    return Cooldown(f"acc_{name}", family, since + seconds, since, "quota", "told elsewhere")


def test_a_paused_account_stays_paused_whatever_traffic_says() -> None:
    one = world("a", "b")
    under_way = one.take()
    assert under_way is not None
    one.change(under_way.account.name, paused_at=START)
    one.report(under_way)
    for fault in FaultClass:
        one.report(under_way, fault)
    one.pool.set_condition(under_way.account.id, Condition.OK, "", secret_version=0)
    assert one.shown(under_way.account.name) == "paused"
    assert under_way.account.name not in one.names(10)


def test_an_account_that_is_put_to_use_again_is_rid_of_everything_from_before() -> None:
    one = world("a", "b", strategy="fill_first")
    one.fail("a", BILLING)
    one.fail("a", QUOTA)
    one.fail("a", FaultClass.TRANSPORT, 3)
    one.clock.wait(1)
    one.resume("a")
    assert one.shown("a") == "active"
    assert one.names(2) == ["a", "a"]


def test_a_rest_from_before_that_the_store_still_lists_does_not_count() -> None:
    one = world("a", "b", strategy="fill_first")
    one.fail("a", QUOTA, limits=RateLimits(retry_after=500))
    one.write()
    one.clock.wait(1)
    one.change("a", resumed_at=one.clock())
    assert one.cooldowns
    assert one.ask() == "a"


def test_trouble_after_an_account_was_put_to_use_again_counts() -> None:
    one = world("a", "b", strategy="fill_first")
    one.clock.wait(1)
    one.resume("a")
    one.clock.wait(1)
    one.fail("a", QUOTA)
    one.sync()
    assert one.shown("a") == "cooling"


def test_news_that_the_store_does_not_have_yet_outlives_a_look_at_it() -> None:
    one = world("a", "b", "c")
    one.fail("a", QUOTA, limits=RateLimits(retry_after=500))
    one.fail("b", BILLING, message="no money")
    for _ in range(3):
        one.clock.wait(1)
        one.sync()
        assert (one.shown("a"), one.shown("b")) == ("cooling", "parked")
    one.write()
    one.sync()
    assert (one.shown("a"), one.shown("b")) == ("cooling", "parked")


def test_a_rest_that_was_ended_elsewhere_is_over_here() -> None:
    one = world("a", "b", strategy="fill_first")
    one.fail("a", QUOTA, limits=RateLimits(retry_after=500))
    one.write()
    one.sync()
    one.cooldowns.clear()
    one.sync()
    assert one.ask() == "a"


def test_a_rest_that_a_probe_ended_does_not_come_back_from_a_store_that_is_late() -> None:
    one = world("a", "b")
    one.fail("a", QUOTA, limits=RateLimits(retry_after=100))
    one.fail("b", BILLING)
    one.write()
    one.sync()
    assert one.ask() == "a"
    one.sync()
    assert one.shown("a") == "active"
    assert isinstance(one.told[-1], CooldownCleared)
    one.write()
    one.sync()
    assert one.cooldowns == {}
    assert one.shown("a") == "active"


def test_a_rest_that_began_elsewhere_after_a_probe_counts() -> None:
    one = world("a", "b")
    one.fail("a", QUOTA, limits=RateLimits(retry_after=100))
    one.fail("b", BILLING)
    assert one.ask() == "a"
    one.cooldowns["acc_a", "opus"] = rest("a", 300, one.clock() + 1)
    one.sync()
    assert one.shown("a") == "cooling"


def test_rests_that_other_processes_met_are_respected() -> None:
    one = world("a", "b", strategy="fill_first")
    one.cooldowns["acc_a", "opus"] = rest("a", 300)
    one.sync()
    assert one.ask() == "b"
    one.clock.wait(300)
    assert one.ask() == "a"


def test_a_full_hours_rest_of_another_process_is_ended_by_one_request_too() -> None:
    one = world("a", "b", strategy="fill_first")
    one.cooldowns["acc_a", "opus"] = rest("a", 3600)
    one.sync()
    one.clock.wait(3601)
    one.sync()
    lease = one.take()
    assert lease is not None
    assert (lease.account.name, lease.probe) == ("a", True)


def test_a_longer_rest_in_the_store_counts_and_a_shorter_one_does_not_shorten_news() -> None:
    one = world("a", "b")
    one.fail("a", QUOTA, limits=RateLimits(retry_after=300))
    one.cooldowns["acc_a", "opus"] = rest("a", 100)
    one.sync()
    assert one.pool.state("acc_a")[1][0].until == START + 300
    one.cooldowns["acc_a", "opus"] = rest("a", 700)
    one.sync()
    assert one.pool.state("acc_a")[1][0].until == START + 700


def test_a_condition_of_the_store_that_is_newer_than_local_news_counts() -> None:
    one = world("a", "b")
    one.fail("a", CREDENTIAL)
    one.clock.wait(5)
    one.change("a", condition=Condition.PARKED, condition_reason="told elsewhere", condition_since=one.clock())
    assert one.pool.state("acc_a")[::2] == ("parked", "told elsewhere")


def test_a_new_credential_ends_the_need_for_one_even_before_the_row_says_so() -> None:
    one = world(account("a", secret_version=1), "b")
    one.fail("a", CREDENTIAL, credential_version=1)
    one.change("a", secret_version=2)
    assert one.shown("a") == "active"


def test_an_account_that_is_removed_serves_nobody_and_its_requests_end_in_peace() -> None:
    one = world("a", "b")
    leases = [one.take(), one.take()]
    del one.accounts["a"]
    one.sync()
    for lease in leases:
        assert lease is not None
        one.report(lease, QUOTA)
        lease.release()
    assert one.pool.in_flight == 0
    assert [kept.name for kept in one.pool.accounts] == ["b"]
    del one.accounts["b"]
    one.sync()
    assert one.pool.exhaustion(one.need()).lack is Lack.NO_ACCOUNT


def test_a_bound_counts_the_requests_of_an_account_that_was_removed_and_came_back() -> None:
    one = world(account("a", max_concurrency=1), "b", strategy="fill_first")
    lease = one.take()
    assert lease is not None
    assert lease.account.name == "a"
    row = one.accounts.pop("a")
    one.sync()
    one.accounts = {"a": row, **one.accounts}
    one.sync()
    assert one.names(2) == ["b", "b"]
    lease.release()
    assert one.ask() == "a"


def test_families_without_end_do_not_fill_the_memory() -> None:
    one = world("a", "b")
    for number in range(1000):
        one.fail("a", QUOTA, need=one.need(family=f"model-{number}"), limits=RateLimits(retry_after=900))
        one.cooldowns["acc_a", f"other-{number}"] = rest("a", 800, family=f"other-{number}")
    assert len(one.pool.state("acc_a")[1]) == 64
    one.sync()
    assert len(one.pool.state("acc_a")[1]) == 64
