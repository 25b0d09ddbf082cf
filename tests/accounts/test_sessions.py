"""Sessions stay with the account that has their prompt cached, as long as that is good for them."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.accounts.affinity import Affinity, session_key
from gateway.accounts.pool import Lease, Need, Switch
from gateway.providers.base import FaultClass
from gateway.providers.limits import RateLimits
from tests.accounts.simulation import START, World, account, world

SESSION = "a-session"
UUID = "0f0e0d0c-0b0a-4908-8706-050403020100"


def settle(one: World, session: str = SESSION, cached: int = 50_000, family: str = "opus") -> str:
    """Let a session begin; return the name of its account."""
    need = one.need(session, family)
    name = one.ask(need=need)
    assert name is not None
    one.pool.note_usage(need, f"acc_{name}", cached)
    return name


def goes_to(one: World, session: str = SESSION, family: str = "opus") -> tuple[str, Switch | None]:
    """Send a request of a session that goes well; return where it went."""
    need = one.need(session, family)
    lease = one.take(need)
    assert lease is not None
    with lease:
        one.report(lease)
    return lease.account.name, lease.switch


def others(one: World, home: str) -> list[str]:
    return [name for name in one.accounts if name != home]


def test_a_session_stays_with_its_account_whatever_the_strategy_would_say() -> None:
    for strategy in ("headroom", "round_robin", "fill_first", "weighted"):
        one = world("a", "b", "c", strategy=strategy)
        home = settle(one)
        for _ in range(5):
            one.names(2)
            assert goes_to(one) == (home, None)


def test_a_class_of_models_has_an_account_of_its_own() -> None:
    one = world("a", "b", strategy="round_robin")
    first = settle(one, family="opus")
    second = settle(one, family="haiku")
    assert first != second
    assert (goes_to(one, family="opus")[0], goes_to(one, family="haiku")[0]) == (first, second)


def test_a_session_whose_account_is_full_is_served_elsewhere_and_comes_back() -> None:
    one = world("a", "b", concurrency=1)
    home = settle(one)
    busy = one.take(one.need(SESSION))
    assert busy is not None
    assert busy.account.name == home
    name, switch = goes_to(one)
    assert name != home
    assert switch == Switch(f"acc_{home}", "full", 50_000, lasting=False)
    busy.release()
    assert goes_to(one) == (home, None)


@pytest.mark.parametrize("fault", [FaultClass.TRANSPORT, FaultClass.OVERLOAD, FaultClass.UPSTREAM])
def test_a_session_bears_with_passing_trouble_of_its_account(fault: FaultClass) -> None:
    one = world("a", "b")
    home = settle(one)
    need = one.need(SESSION)
    lease = one.take(need)
    assert lease is not None
    with lease:
        one.report(lease, fault)
    second = one.take(need, {lease.account.id})
    assert second is not None
    with second:
        one.report(second)
    assert second.switch == Switch(f"acc_{home}", "failed", 50_000, lasting=False)
    assert goes_to(one) == (home, None)


def test_a_session_bears_with_an_account_that_could_not_be_reached_for_a_while() -> None:
    one = world("a", "b")
    home = settle(one)
    one.fail(home, FaultClass.TRANSPORT, 3)
    name, switch = goes_to(one)
    assert name != home
    assert switch is not None
    assert (switch.reason, switch.lasting) == ("unreachable", False)
    one.clock.wait(200)
    assert goes_to(one) == (home, None)


def test_a_session_is_served_elsewhere_while_its_account_fails_more_often_than_not() -> None:
    one = world("a", "b")
    home = settle(one)
    one.fail(home, FaultClass.UPSTREAM, 3)
    assert goes_to(one) == (home, None)
    one.fail(home, FaultClass.UPSTREAM, 4)
    assert goes_to(one)[1] == Switch(f"acc_{home}", "unwell", 50_000, lasting=False)
    one.clock.wait(120)
    assert goes_to(one) == (home, None)


def test_a_session_waits_for_a_short_rest_of_its_account_and_leaves_it_for_a_long_one() -> None:
    one = world("a", "b")
    home = settle(one)
    one.fail(home, FaultClass.QUOTA, limits=RateLimits(retry_after=50))
    assert goes_to(one)[1] == Switch(f"acc_{home}", "cooling", 50_000, lasting=False)
    one.clock.wait(51)
    assert goes_to(one) == (home, None)
    one.fail(home, FaultClass.QUOTA, limits=RateLimits(retry_after=90))
    name, switch = goes_to(one)
    assert switch == Switch(f"acc_{home}", "cooling", 50_000, lasting=True)
    one.clock.wait(91)
    assert goes_to(one) == (name, None)  # no way back: the cache is here now


@pytest.mark.parametrize("why", ["paused", "parked", "needs_reauth", "removed"])
def test_a_session_leaves_an_account_that_is_of_no_use_any_more_and_does_not_come_back(why: str) -> None:
    one = world("a", "b", "c")
    home = settle(one)
    if why == "paused":
        one.change(home, paused_at=START)
    elif why == "removed":
        gone = one.accounts.pop(home)
        one.sync()
    else:
        one.fail(home, FaultClass.BILLING if why == "parked" else FaultClass.CREDENTIAL)
    name, switch = goes_to(one)
    assert switch == Switch(f"acc_{home}", why, 50_000, lasting=True)
    one.clock.wait(1)
    if why == "removed":
        one.accounts[home] = gone
    one.resume(home)
    assert goes_to(one) == (name, None)


def test_a_session_that_nobody_has_answered_yet_has_nothing_to_lose() -> None:
    one = world("a", "b")
    need = one.need(SESSION)
    first = one.take(need)
    assert first is not None
    with first:
        one.report(first, FaultClass.OVERLOAD)
    second = one.take(need, {first.account.id})
    assert second is not None
    with second:
        one.report(second)
    assert second.switch is None
    assert goes_to(one) == (second.account.name, None)


def test_requests_of_a_new_session_that_come_together_go_to_one_account() -> None:
    one = world("a", "b", "c", strategy="round_robin")
    leases = [one.take(one.need(SESSION)) for _ in range(5)]
    assert len({lease.account.name for lease in leases if lease}) == 1


def test_a_session_that_was_idle_for_long_is_like_a_new_one() -> None:
    one = world("a", "b", strategy="round_robin", affinity_idle_seconds=600)
    home = settle(one)
    for _ in range(5):
        one.clock.wait(599)
        assert goes_to(one) == (home, None)
    one.clock.wait(601)
    name, switch = goes_to(one)
    assert name != home
    assert switch is None


def test_a_session_that_is_served_elsewhere_for_a_while_is_not_idle() -> None:
    one = world("a", "b", affinity_idle_seconds=600, concurrency=1)
    home = settle(one)
    busy = one.take(one.need(SESSION))
    assert busy is not None
    for _ in range(3):
        one.clock.wait(500)
        assert goes_to(one)[0] != home
    busy.release()
    assert goes_to(one) == (home, None)


def test_a_session_never_waits_for_its_account() -> None:
    one = world("a", "b", concurrency=1)
    settle(one)
    first, second = one.take(one.need(SESSION)), one.take(one.need(SESSION))
    assert first is not None
    assert second is not None
    assert first.account.name != second.account.name


def test_the_tokens_that_a_switch_gives_up_are_those_of_the_last_answer_there() -> None:
    one = world("a", "b")
    home = settle(one, cached=10)
    one.pool.note_usage(one.need(SESSION), f"acc_{home}", 70_000)
    one.pool.note_usage(one.need(SESSION), f"acc_{others(one, home)[0]}", 5)
    one.change(home, paused_at=START)
    switch = goes_to(one)[1]
    assert switch is not None
    assert switch.cached_tokens == 70_000


def test_sessions_without_end_do_not_fill_the_memory() -> None:
    affinity = Affinity(3600.0)
    for number in range(20_500):
        affinity.pin(f"{number}", "opus", "acc_a", START + number)
        affinity.pin("0", "opus", "acc_a", START + number)  # in use all the time
    assert len(affinity) == 20_000
    assert affinity.find("0", "opus", START + 20_500) is not None
    assert affinity.find("1", "opus", START + 20_500) is None


# Keys


def key(actor: str = "key_1", **values: Any) -> str | None:
    return session_key(actor, **{"header": None, "user_id": None, "opening": None, **values})


def test_the_key_is_of_the_header_then_of_the_user_id_then_of_the_opening() -> None:
    opening = b"You are a tool.\0Fix the bug."
    assert key() is None
    assert key(user_id="user_1", opening=opening) == key(opening=opening)
    assert key(header=UUID, user_id="x", opening=opening) == key(header=UUID)
    assert len({key(header="1"), key(header="2"), key(opening=opening), key(opening=b"other")}) == 4


@pytest.mark.parametrize(
    "user_id",
    [
        f"user_abc_account__session_{UUID}",
        f"user_abc_account_1_session_{UUID}",
        json.dumps({"device_id": "d", "account_uuid": "", "session_id": UUID}),
    ],
)
def test_the_session_in_the_user_id_is_the_one_of_the_header(user_id: str) -> None:
    assert key(user_id=user_id) == key(header=UUID)


@pytest.mark.parametrize(
    "user_id",
    [
        "",
        "user_1",
        "_session_",
        "_session_no-uuid",
        "{",
        "{}",
        '{"session_id":3}',
        '{"session_id":""}',
        "[]",
        "{" * 9999,
    ],
)
def test_a_user_id_without_a_session_gives_none(user_id: str) -> None:
    assert key(user_id=user_id) is None


def test_two_actors_never_share_a_session() -> None:
    assert key("key_1", header=UUID) != key("key_2", header=UUID)
    assert key("a", header="b:c") != key("a:b", header="c")


@given(
    actor=st.text(),
    header=st.none() | st.text(max_size=300),
    user_id=st.none() | st.text(max_size=300),
    opening=st.none() | st.binary(max_size=300),
)
def test_whatever_a_client_sends_the_key_is_short_and_tells_nothing(
    actor: str, header: str | None, user_id: str | None, opening: bytes | None
) -> None:
    made = session_key(actor, header=header, user_id=user_id, opening=opening)
    if made is None:
        assert not header or len(header) > 200
        assert not opening
    else:
        assert len(made) == 32
        assert set(made) <= set("0123456789abcdef")


def test_a_lease_names_its_account_and_its_need() -> None:
    one = world(account("a"))
    need = Need("opus")
    lease = one.take(need)
    assert isinstance(lease, Lease)
    assert lease.need is need
