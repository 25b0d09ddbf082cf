"""What one key may do, by itself: rates, slots, budgets and the days they are for."""

from __future__ import annotations

import re
import shlex
from datetime import UTC, datetime, timedelta

import pytest
from attrs import fields
from hypothesis import example, given
from hypothesis import strategies as st

from gateway.actors.keys import Actor
from gateway.actors.periods import period_end, period_start
from gateway.actors.refusals import expired, forbidden_model, over_limit
from gateway.actors.terms import NANO, PERIODS, KeyLimits, KeyTerms
from gateway.actors.use import KeyUse, Refusal, Reservation, Spent

NOON = datetime(2026, 11, 23, 12, tzinfo=UTC).timestamp()  # a Monday
times = st.floats(0, datetime(2100, 1, 1, tzinfo=UTC).timestamp(), allow_nan=False)


def reservation(
    number: int = 0, at: float = NOON, tokens: int = 100, nanousd: int = 0, rate: int | None = None
) -> Reservation:
    return Reservation(f"req_{number}", "key_1", at, tokens, nanousd, rate)


def let_in(use: KeyUse, limits: KeyLimits, now: float, tokens: int = 100) -> bool:
    if use.refusal(limits, now) is not None:
        return False
    use.reserve(reservation(at=now, tokens=tokens, rate=limits.tokens_per_minute), limits, now)
    return True


@given(at=times)
@example(at=datetime(2027, 1, 3, 23, 59, 59, 999999, tzinfo=UTC).timestamp())
@example(at=2051222399.9999995)
@example(at=datetime(2024, 2, 29, tzinfo=UTC).timestamp())
def test_each_moment_is_in_the_day_iso_week_and_month_that_a_calendar_says(at: float) -> None:
    moment = datetime.fromtimestamp(at // 1, UTC)
    midnight = moment.replace(hour=0, minute=0, second=0, microsecond=0)
    first = midnight.replace(day=1)
    assert period_start("day", at) == midnight.timestamp()
    assert period_start("week", at) == (midnight - timedelta(moment.isoweekday() - 1)).timestamp()
    assert period_start("month", at) == first.timestamp()
    assert period_end("month", at) == (first + timedelta(32)).replace(day=1).timestamp()
    for period in PERIODS:
        assert period_start(period, at) <= at < period_end(period, at)
        assert period_start(period, period_end(period, at)) == period_end(period, at)


@given(
    allowed=st.integers(1, 1000),
    gaps=st.lists(st.floats(0, 90, allow_nan=False), min_size=1, max_size=50),
)
def test_in_any_stretch_of_time_a_key_sends_a_minutes_worth_and_what_time_adds(
    allowed: int, gaps: list[float]
) -> None:
    use, limits, now, sent = KeyUse("key_1"), KeyLimits(requests_per_minute=allowed), NOON, []
    for gap in gaps:
        now += gap
        sent += [now for _ in range(3) if let_in(use, limits, now)]
    for number, first in enumerate(sent):
        for later, last in enumerate(sent[number:], start=1):
            assert later <= allowed + (last - first) * allowed / 60 + 0.02


@given(allowed=st.integers(1, 1000), before=st.floats(0, 1e6))
@example(allowed=929, before=0)
def test_a_client_that_waits_as_long_as_it_is_told_is_let_in(allowed: int, before: float) -> None:
    use, limits, now = KeyUse("key_1"), KeyLimits(requests_per_minute=allowed), NOON + before
    for _ in range(allowed):
        assert let_in(use, limits, now)
    refusal = use.refusal(limits, now)
    assert refusal is not None
    assert refusal.limit == "requests_per_minute"
    assert refusal.wait is not None
    assert 0 < refusal.wait <= 60
    assert (refusal.used, refusal.allowed) == (allowed, allowed)
    assert let_in(use, limits, now + refusal.wait)


def test_tokens_that_were_reserved_and_not_used_are_given_back() -> None:
    use, limits = KeyUse("key_1"), KeyLimits(tokens_per_minute=1_000)
    one = reservation(tokens=64_000, rate=1_000)
    use.reserve(one, limits, NOON)
    assert use.refusal(limits, NOON + 1) is not None
    use.release(one)
    use.settle(one, Spent(1, 200), NOON + 1)
    assert use.refusal(limits, NOON + 1) is None
    assert use.used_of_minute(limits, "tokens_per_minute", NOON) == pytest.approx(200, abs=20)


def test_what_a_long_request_gave_back_with_time_is_not_given_back_twice() -> None:
    use, limits = KeyUse("key_1"), KeyLimits(tokens_per_minute=1_000)
    long, other = reservation(1, tokens=1_000, rate=1_000), reservation(2, NOON + 600, 1_000, rate=1_000)
    use.reserve(long, limits, NOON)
    use.reserve(other, limits, NOON + 600)
    use.release(long)
    use.settle(long, Spent(1, 1), NOON + 601)
    refusal = use.refusal(limits, NOON + 600)
    assert refusal is not None
    assert refusal.limit == "tokens_per_minute"


def test_more_tokens_than_reserved_are_waited_for() -> None:
    use, limits = KeyUse("key_1"), KeyLimits(tokens_per_minute=1_000)
    one = reservation(tokens=10, rate=1_000)
    use.reserve(one, limits, NOON)
    use.release(one)
    use.settle(one, Spent(1, 3_000), NOON)
    refusal = use.refusal(limits, NOON)
    assert refusal is not None
    assert refusal.wait == pytest.approx(120)


@pytest.mark.parametrize("period", PERIODS)
@pytest.mark.parametrize("unit", ["nanousd", "tokens"])
def test_a_budget_lasts_until_it_is_used_up_and_is_there_again_in_the_next_period(period: str, unit: str) -> None:
    use, limits = KeyUse("key_1"), KeyLimits(**{f"{unit}_{period}": 1_000})
    use.add(Spent(1, 999, 999), NOON, NOON)
    assert use.refusal(limits, NOON) is None
    use.add(Spent(1, 1, 1), NOON, NOON)
    refusal = use.refusal(limits, NOON)
    assert refusal is not None
    assert (refusal.limit, refusal.used, refusal.wait) == (f"{unit}_{period}", 1_000, None)
    assert refusal.resets_at == period_end(period, NOON)
    assert use.refusal(limits, refusal.resets_at - 1) is not None
    assert use.refusal(limits, refusal.resets_at) is None
    assert use.total == Spent(2, 1_000, 1_000)


def test_what_others_may_use_counts_until_it_is_known_and_then_only_what_they_used() -> None:
    use, limits = KeyUse("key_1"), KeyLimits(nanousd_day=NANO)
    one = reservation(nanousd=2 * NANO)
    use.reserve(one, limits, NOON)
    refusal = use.refusal(limits, NOON)
    assert refusal is not None
    assert refusal.resets_at is None
    assert refusal.wait
    use.release(one)
    use.settle(one, Spent(1, 5, NANO // 2), NOON)
    assert use.refusal(limits, NOON) is None


def test_of_several_budgets_that_are_used_up_the_one_that_lasts_longest_is_named() -> None:
    use, limits = KeyUse("key_1"), KeyLimits(tokens_day=10, tokens_week=10, requests_per_minute=1)
    use.add(Spent(1, 10), NOON, NOON)
    refusal = use.refusal(limits, NOON)
    assert refusal is not None
    assert refusal.limit == "tokens_week"


steps = st.lists(
    st.one_of(
        st.tuples(st.just("ask"), st.integers(0, 500)),
        st.tuples(st.just("end"), st.integers(0, 500)),
        st.tuples(st.just("lose"), st.integers(0, 10)),
        st.tuples(st.just("wait"), st.integers(0, 200_000)),
    ),
    max_size=60,
)


@given(steps=steps, budget=st.integers(1, 1_000), slots=st.integers(1, 8))
def test_nobody_is_let_in_beyond_what_is_left_and_every_reservation_ends(
    steps: list[tuple[str, int]], budget: int, slots: int
) -> None:
    use, limits, now = (
        KeyUse("key_1"),
        KeyLimits(concurrent=slots, tokens_day=budget, tokens_per_minute=10_000),
        NOON,
    )
    open_: list[Reservation] = []
    total = 0
    for number, (what, value) in enumerate(steps):
        if what == "wait":
            now += value
        elif what == "ask":
            one = reservation(number, now, value, rate=10_000)
            if use.refusal(limits, now) is None:
                assert use.day.spent.tokens + use.reserved_tokens < budget
                use.reserve(one, limits, now)
                open_.append(one)
                assert use.running == len(open_) <= slots
        elif open_:
            one = open_.pop(value % len(open_))
            use.release(one)
            if what == "end":
                # Less than was reserved, the same, or more: nobody knows before.
                use.settle(one, Spent(1, value), now)
                total += value
        assert use.reserved_tokens == sum(one.tokens for one in open_)
    for one in open_:
        use.release(one)
        use.settle(one, Spent(1, one.tokens), now)
        total += one.tokens
    assert (use.running, use.reserved_tokens) == (0, 0)
    assert use.total.tokens == total


@given(sizes=st.lists(st.integers(0, 300), min_size=1, max_size=40), budget=st.integers(1, 1_000))
def test_with_estimates_that_hold_a_budget_is_passed_by_less_than_one_request(
    sizes: list[int], budget: int
) -> None:
    use, limits, open_ = KeyUse("key_1"), KeyLimits(tokens_day=budget), []
    for number, size in enumerate(sizes):
        if use.refusal(limits, NOON) is None:
            open_.append(reservation(number, tokens=size))
            use.reserve(open_[-1], limits, NOON)
        elif open_:
            one = open_.pop(0)
            use.release(one)
            use.settle(one, Spent(1, min(size, one.tokens)), NOON)
    for one in open_:
        use.release(one)
        use.settle(one, Spent(1, one.tokens), NOON)
    assert use.day.spent.tokens < budget + max(sizes)


def test_what_was_used_yesterday_does_not_count_today_however_late_it_is_known() -> None:
    use = KeyUse("key_1")
    one = reservation(at=NOON)
    use.reserve(one, KeyLimits(), NOON)
    tomorrow = NOON + 86_400
    use.roll(tomorrow)
    use.release(one)
    use.settle(one, Spent(1, 100), tomorrow)
    assert (use.day.spent, use.week.spent, use.total) == (Spent(), Spent(1, 100), Spent(1, 100))


def test_a_clock_that_goes_back_gives_no_budget_back() -> None:
    use, limits = KeyUse("key_1"), KeyLimits(tokens_day=10)
    use.add(Spent(1, 10), NOON, NOON)
    assert use.refusal(limits, NOON - 86_400) is not None


@pytest.mark.parametrize("seconds", [3_600, 30 * 86_400, 400 * 86_400])
def test_after_a_clock_that_was_ahead_is_set_right_limits_hold_as_ever(seconds: int) -> None:
    use = KeyUse("key_1")
    limits = KeyLimits(requests_per_minute=2, tokens_per_minute=1_000, tokens_day=500, tokens_month=500)
    wrong = NOON + seconds
    assert let_in(use, limits, wrong)
    assert let_in(use, limits, wrong)
    assert not let_in(use, limits, wrong)
    # What was reserved is settled by the clock as it is now.
    one = reservation(at=wrong, rate=1_000)
    for _ in range(2):
        use.release(one)
        use.settle(one, Spent(1, 100), NOON)
    assert use.day.spent.tokens == use.month.spent.tokens == 200
    refusal = use.refusal(limits, NOON)
    assert refusal is not None
    assert refusal.wait == pytest.approx(30)
    assert refusal.used == 2
    for minute in (1, 2, 3):
        now = NOON + 60 * minute
        assert use.refusal(limits, now) is None
        use.add(Spent(1, 100), now, now)
    refusal = use.refusal(limits, NOON + 240)
    assert refusal is not None
    assert (refusal.limit, refusal.used) == ("tokens_month", 500)
    # The next day comes when it comes.
    use.roll(NOON + 86_400)
    assert (use.day.spent, use.month.spent.tokens) == (Spent(), 500)


def test_clocks_that_differ_by_a_moment_give_nothing_back_and_lose_nothing_at_midnight() -> None:
    use, midnight = KeyUse("key_1"), NOON + 12 * 3_600
    limits = KeyLimits(tokens_day=100, requests_per_minute=4)
    for number in range(10):
        use.add(Spent(1, 10), midnight - number % 2, midnight - number % 2)
    assert use.day.spent.tokens == 100
    sent = sum(let_in(use, KeyLimits(requests_per_minute=4), midnight - number % 2) for number in range(40))
    assert sent == 4
    assert use.refusal(limits, midnight - 1) is not None


@pytest.mark.parametrize("name", [one.name for one in fields(KeyLimits)])
@pytest.mark.parametrize("allowed", [0, -1])
def test_a_key_that_may_use_nothing_is_told_so(name: str, allowed: int) -> None:
    use, limits = KeyUse("key_1"), KeyLimits(**{name: allowed})
    refusal = use.refusal(limits, NOON)
    assert refusal is not None
    assert over_limit(Actor("key_1", "laptop"), refusal).status == 429
    # One that was let in before, or while the database was away.
    use.reserve(reservation(rate=limits.tokens_per_minute), limits, NOON)
    assert use.refusal(limits, NOON + 60) is not None


def test_a_command_that_an_answer_names_can_be_typed_whatever_the_key_is_called() -> None:
    mine = Actor("key_1", "Ann's laptop; $(id)", KeyTerms(models=("claude-haiku-*",)), valid_until=NOON)
    used_up = Refusal("nanousd_day", 1, 1, None, period_end("day", NOON))
    for error, key in (
        (expired(mine), mine.id),
        (forbidden_model(mine, "claude-opus-5"), mine.name),
        (over_limit(mine, used_up), mine.name),
    ):
        command = re.search("`(gateway .*?)`", error.message)
        assert command is not None
        assert shlex.split(command[1])[:4] == ["gateway", "keys", "limits", key]


def test_a_key_may_use_the_models_that_one_of_its_patterns_matches() -> None:
    terms = KeyTerms(models=("claude-haiku-*", "claude-sonnet-5"))
    assert terms.forbidden(["claude-haiku-4-5", "Claude-Sonnet-5"]) is None
    assert terms.forbidden(["claude-haiku-4-5", "claude-opus-5"]) == "claude-opus-5"
    assert terms.forbidden(["claude-sonnet-5-5"]) == "claude-sonnet-5-5"
    assert terms.forbidden([""]) == ""
    assert KeyTerms().forbidden(["anything", ""]) is None
