"""Places on accounts, and the line of those that wait for one."""

from __future__ import annotations

import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.accounts.pool import Lease, PoolBusyError
from gateway.providers.base import FaultClass
from gateway.providers.limits import RateLimits
from tests.accounts.simulation import START, World, account, simulate, world

QUOTA = FaultClass.QUOTA


def here(*accounts: str, **routing: object) -> World:
    """Return a world on the running loop's clock."""
    return world(*accounts, loop=asyncio.get_running_loop(), **routing)


async def lease_of(one: World, family: str = "opus") -> Lease:
    lease = await one.pool.acquire(one.need(family=family), ())
    assert lease is not None
    return lease


async def settled(turns: int = 5) -> None:
    """Let everybody who can go on do so; no time passes."""
    for _ in range(turns):
        await asyncio.sleep(0)


def test_a_lease_is_given_back_once_however_often_it_is_released() -> None:
    one = world("a", concurrency=2)
    first, second = one.take(), one.take()
    assert first is not None
    assert second is not None
    for _ in range(3):
        first.release()
    with first:
        pass
    assert one.pool.in_flight == 1
    second.release()
    assert one.pool.in_flight == 0


def test_an_accounts_own_bound_counts_more_than_the_settings() -> None:
    one = world(account("a", max_concurrency=3), account("b", max_concurrency=0), "c", concurrency=1)
    names = [lease.account.name for lease in [one.take() for _ in range(10)] if lease]
    assert (names.count("a"), names.count("c")) == (3, 1)


def test_who_waits_is_served_in_order_of_arrival() -> None:
    async def main() -> None:
        one = here("a", "b", concurrency=1)
        order: list[int] = []

        async def ask(number: int) -> None:
            async with asyncio.timeout(100):
                with await lease_of(one):
                    order.append(number)
                    await asyncio.sleep(1)

        async with asyncio.TaskGroup() as group:
            for number in range(10):
                group.create_task(ask(number))
                await settled()
        assert order == list(range(10))
        assert (one.pool.in_flight, one.pool.waiting) == (0, 0)

    simulate(main)


def test_nobody_who_comes_later_takes_a_place_that_somebody_waits_for() -> None:
    async def main() -> None:
        one = here("a", concurrency=1)
        first = await lease_of(one)
        waiting = asyncio.ensure_future(lease_of(one))
        await settled()
        first.release()
        late = asyncio.ensure_future(lease_of(one))
        await settled()
        assert waiting.done()
        assert not late.done()
        waiting.result().release()
        (await late).release()

    simulate(main)


def test_a_request_that_cannot_use_the_free_account_does_not_keep_others_from_it() -> None:
    async def main() -> None:
        one = here("a", "b", concurrency=1)
        leases = [await lease_of(one), await lease_of(one)]
        (on_a,) = [lease for lease in leases if lease.account.name == "a"]
        tried_a = asyncio.ensure_future(one.pool.acquire(one.need(), {"acc_a"}))
        await settled()
        anybody = asyncio.ensure_future(lease_of(one))
        await settled()
        on_a.release()
        await settled()
        assert anybody.done()
        assert not tried_a.done()
        for lease in leases:
            lease.release()
        assert (await tried_a) is not None

    simulate(main)


def test_a_line_that_is_full_and_a_wait_that_is_too_long_are_said_at_once() -> None:
    async def main() -> None:
        one = here("a", concurrency=1, queue_length=2, queue_seconds=30)
        held = await lease_of(one)
        waiting = [asyncio.ensure_future(lease_of(one)) for _ in range(2)]
        await settled()
        with pytest.raises(PoolBusyError, match="as many requests wait"):
            await lease_of(one)
        assert asyncio.get_running_loop().time() == 0
        for waiter in waiting:
            with pytest.raises(PoolBusyError, match="for as long as"):
                await waiter
        assert 30 <= asyncio.get_running_loop().time() < 30.1
        held.release()
        assert (one.pool.in_flight, one.pool.waiting) == (0, 0)

    simulate(main)


def test_who_waits_for_a_place_is_served_by_an_account_whose_rest_ends_meanwhile() -> None:
    async def main() -> None:
        one = here("a", "b", concurrency=1)
        one.fail("b", QUOTA, limits=RateLimits(retry_after=7))
        held = await lease_of(one)
        lease = await lease_of(one)
        assert lease.account.name == "b"
        assert 7 <= asyncio.get_running_loop().time() < 7.1
        lease.release()
        held.release()

    simulate(main)


def test_an_account_whose_rest_ends_goes_to_who_waits_and_not_to_who_comes_at_that_moment() -> None:
    async def main() -> None:
        one = here("a", "b", concurrency=1)
        one.fail("b", QUOTA, limits=RateLimits(retry_after=7))
        held = await lease_of(one)

        async def late() -> Lease:
            await asyncio.sleep(7)
            return await lease_of(one)

        latecomer = asyncio.ensure_future(late())
        await settled()
        waiting = asyncio.ensure_future(lease_of(one))
        await asyncio.sleep(7.1)
        assert waiting.done()
        assert not latecomer.done()
        held.release()
        (await latecomer).release()

    simulate(main)


@pytest.mark.parametrize("what", ["paused", "parked", "removed", "cooling"])
def test_who_waits_for_an_account_that_is_lost_is_told_so(what: str) -> None:
    async def main() -> None:
        one = here("a", "b", concurrency=1)
        one.change("b", paused_at=START)
        held = await lease_of(one)
        waiting = asyncio.ensure_future(one.pool.acquire(one.need(), ()))
        await settled()
        if what == "paused":
            one.change("a", paused_at=START)
        elif what == "parked":
            one.fail("a", FaultClass.BILLING)
        elif what == "cooling":
            one.fail("a", QUOTA, limits=RateLimits(retry_after=600))
        else:
            del one.accounts["a"]
            one.sync()
        assert await waiting is None
        assert asyncio.get_running_loop().time() == 0
        held.release()

    simulate(main)


def test_while_one_request_finds_out_about_the_last_account_others_wait_for_what_it_finds() -> None:
    async def main() -> None:
        one = here("a", "b")
        one.fail("a", QUOTA, limits=RateLimits(retry_after=60))
        one.fail("b", QUOTA, limits=RateLimits(retry_after=600))
        probe = await lease_of(one)
        assert probe.probe
        waiting = [asyncio.ensure_future(lease_of(one)) for _ in range(3)]
        await settled()
        assert one.pool.waiting == 3
        one.report(probe)
        leases = await asyncio.gather(*waiting)
        assert [(lease.account.name, lease.probe) for lease in leases] == [("a", False)] * 3
        assert asyncio.get_running_loop().time() == 0

    simulate(main)


def test_a_request_that_the_account_has_failed_does_not_wait_for_what_another_finds_out_about_it() -> None:
    one = world("a", "b")
    one.fail("a", QUOTA, limits=RateLimits(retry_after=60))
    one.fail("b", QUOTA, limits=RateLimits(retry_after=600))
    probe = one.take()
    assert probe is not None
    assert one.take(tried={"acc_a"}) is None


def test_a_probe_that_its_client_leaves_is_passed_on_to_the_next() -> None:
    async def main() -> None:
        one = here("a", "b")
        one.fail("a", QUOTA, limits=RateLimits(retry_after=60))
        one.fail("b", QUOTA, limits=RateLimits(retry_after=600))
        probe = await lease_of(one)
        waiting = asyncio.ensure_future(lease_of(one))
        await settled()
        probe.release()
        assert (await waiting).probe
        assert asyncio.get_running_loop().time() == 0

    simulate(main)


def test_whoever_holds_on_for_capacity_hears_of_an_account_that_comes_back() -> None:
    async def main() -> None:
        one = here("a", "b")
        one.change("a", paused_at=START)
        one.fail("b", QUOTA, limits=RateLimits(retry_after=900))
        loop = asyncio.get_running_loop()
        await one.pool.changed(5)
        assert 5 <= loop.time() < 5.1
        holding = asyncio.ensure_future(one.pool.changed(10_000))
        await settled()
        assert not holding.done()
        one.change("a", paused_at=None)
        await holding
        assert loop.time() < 5.1
        await one.pool.changed(10_000)
        assert 900 - 120 <= loop.time() < 900 - 119  # from then on it may be tried early
        await one.pool.changed(10_000)
        assert 900 <= loop.time() < 901

    simulate(main)


# Cancelled anywhere, nothing is lost


@pytest.mark.parametrize("granted", [False, True])
def test_a_request_that_is_cancelled_at_any_step_of_its_wait_gives_everything_back(*, granted: bool) -> None:
    async def main() -> None:
        cancelled = 0
        for steps in range(12):
            one = here("a", concurrency=1)
            held = await lease_of(one)
            first = asyncio.ensure_future(lease_of(one))
            second = asyncio.ensure_future(lease_of(one))
            for step in range(steps):
                if granted and step == steps // 2:
                    held.release()
                await asyncio.sleep(0)
            first.cancel()
            if granted:
                held.release()  # at the same moment
            try:
                (await first).release()
            except asyncio.CancelledError:
                cancelled += 1
            held.release()
            (await second).release()
            assert (one.pool.in_flight, one.pool.waiting) == (0, 0)
        assert cancelled

    simulate(main)


@given(
    st.lists(
        st.tuples(st.floats(0, 20), st.floats(0, 5), st.none() | st.floats(0, 10), st.booleans()),
        min_size=1,
        max_size=40,
    ),
    st.integers(1, 3),
)
def test_whoever_leaves_whenever_all_others_are_served_and_all_places_are_free_at_the_end(
    plans: list[tuple[float, float, float | None, bool]], bound: int
) -> None:
    async def main() -> None:
        one = here("a", "b", concurrency=bound, queue_length=1000, queue_seconds=10_000)
        served = 0

        async def ask(starts: float, lasts: float, *, fails: bool) -> None:
            nonlocal served
            await asyncio.sleep(starts)
            tried: set[str] = set()
            while (lease := await one.pool.acquire(one.need(), tried)) is not None:
                with lease:
                    tried.add(lease.account.id)
                    await asyncio.sleep(lasts)
                    one.report(lease, FaultClass.OVERLOAD if fails else None)
                    if not fails:
                        break
                assert one.pool.in_flight <= 2 * bound
            served += 1

        async def plan(starts: float, lasts: float, leaves: float | None, *, fails: bool) -> None:
            try:
                async with asyncio.timeout(leaves):
                    await ask(starts, lasts, fails=fails)
            except TimeoutError:
                return

        async with asyncio.TaskGroup() as group:
            for starts, lasts, leaves, fails in plans:
                group.create_task(plan(starts, lasts, leaves, fails=fails))
        assert served >= sum(leaves is None for _, _, leaves, _ in plans)
        assert (one.pool.in_flight, one.pool.waiting) == (0, 0)

    simulate(main)
