"""Which credential arrived is which account the record names."""

from __future__ import annotations

import asyncio
import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.replay.server import ReplayUpstream
from tests.account_path.harness import NewAccount, pooled
from tests.faults.waiting import until

ACCOUNTS = [NewAccount(name) for name in ("red", "green", "blue", "white")]
KEYS = {account.key: account.name for account in ACCOUNTS}
FAULTS = [
    "none",
    "status:529",
    "status:500",
    "status:429;retry-after=1",
    "error-event:overloaded_error",
    "cut:event=0",
    "status:400",
    "cut:event=4",
]


@pytest.mark.parametrize("strategy", ["headroom", "round_robin", "fill_first", "weighted"])
async def test_the_record_of_each_request_names_the_accounts_whose_credentials_arrived(strategy: str) -> None:
    chance = random.Random(7)
    async with (
        ReplayUpstream(api_keys=set(KEYS)) as upstream,
        pooled(*ACCOUNTS, upstream=upstream, routing={"strategy": strategy}) as served,
    ):
        for _ in range(60):
            for _ in range(chance.randrange(3)):
                upstream.faults.push(chance.choice(FAULTS))
            before = len(upstream.requests)
            answer = await served.stream()
            upstream.faults.clear()
            record = served.ledger.of(answer)
            arrived = [KEYS[request.credential[1]] for request in upstream.requests[before:] if request.credential]
            assert [attempt.account for attempt in record.attempts] == arrived
            assert len(arrived) <= 4
            if answer.status == 200:
                assert record.account == arrived[-1]


async def test_no_request_is_sent_to_a_second_account_once_content_has_left() -> None:
    async with (
        ReplayUpstream(api_keys=set(KEYS)) as upstream,
        pooled(*ACCOUNTS, upstream=upstream) as served,
    ):
        for fault in ("cut:event=4", "eof:event=4", "error-event:overloaded_error;event=5", "garbage:event=5"):
            before = len(upstream.requests)
            answer = await served.stream(fault=fault)
            assert answer.status == 200
            assert answer.body.count(b"event: error\n") == 1
            assert len(upstream.requests) == before + 1


async def test_a_session_stays_with_its_account_and_others_spread() -> None:
    async with (
        ReplayUpstream(api_keys=set(KEYS)) as upstream,
        pooled(*ACCOUNTS, upstream=upstream, routing={"strategy": "round_robin"}) as served,
    ):
        for session in ("s1", "s2", "s3", "s4", "s5"):
            for _ in range(4):
                await served.stream(headers=[("x-claude-code-session-id", session)])
        by_session: dict[str, set[str]] = {}
        for request in upstream.requests:
            session = request.header("x-claude-code-session-id") or ""
            by_session.setdefault(session, set()).add((request.credential or ("", ""))[1])
        assert [len(found) for found in by_session.values()] == [1] * 5
        assert len(set.union(*by_session.values())) == 4


async def test_a_session_that_loses_its_account_is_told_what_the_switch_gave_up() -> None:
    async with (
        ReplayUpstream(api_keys=set(KEYS)) as upstream,
        pooled(*ACCOUNTS[:2], upstream=upstream, routing={"strategy": "fill_first"}) as served,
    ):
        session = [("x-claude-code-session-id", "one")]
        first = await served.stream({"model": "claude-opus-5-5"}, headers=session)
        account = served.ledger.of(first).account
        assert account is not None
        await served.store.pause(f"acc_{account}")
        await until(lambda: any(one.paused_at for one in served.gateway.data_plane.messages.backend.pool.accounts))
        second = await served.stream({"model": "claude-opus-5-5"}, headers=session)
        record = served.ledger.of(second)
        assert record.account != account
        assert record.switch is not None
        assert record.switch.account == account
        assert record.switch.cached_tokens >= 0
        assert record.switch.usd is not None
        third = await served.stream({"model": "claude-opus-5-5"}, headers=session)
        assert served.ledger.of(third).switch is None
        await served.store.resume(f"acc_{account}")
        await until(
            lambda: not any(one.paused_at for one in served.gateway.data_plane.messages.backend.pool.accounts)
        )
        fourth = await served.stream({"model": "claude-opus-5-5"}, headers=session)
        assert served.ledger.of(fourth).account == record.account  # no snap-back


async def test_with_one_good_account_nobody_notices_the_trouble_of_the_others() -> None:
    async with (
        ReplayUpstream(api_keys=set(KEYS)) as upstream,
        pooled(*ACCOUNTS, upstream=upstream, routing={"strategy": "round_robin"}) as served,
    ):
        for account, fault in zip(
            ACCOUNTS[1:], ("status:429;retry-after=30", "status:401", "refuse"), strict=True
        ):
            upstream.faults.push(fault, credential=account.key, times="forever")
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(served.stream()) for _ in range(50)]
        assert {task.result().status for task in tasks} == {200}


async def test_an_exhausted_pool_answers_with_the_upstreams_own_refusal_and_an_honest_wait() -> None:
    async with (
        ReplayUpstream(api_keys=set(KEYS)) as upstream,
        pooled(*ACCOUNTS, upstream=upstream) as served,
    ):
        # Far enough away that no request finds out whether it is over.
        upstream.faults.push("status:429;retry-after=300", times="forever")
        answers = [await served.stream() for _ in range(6)]
        assert {answer.status for answer in answers} == {429}
        for answer in answers:
            assert b"rate_limit_error" in answer.body
            assert 1 <= int(answer.header("retry-after") or "0") <= 300
        assert len(upstream.requests) == 4  # one for each account, and then nobody asked again


async def test_a_request_that_is_held_for_capacity_gets_its_answer_when_an_account_is_back() -> None:
    async with (
        ReplayUpstream(api_keys=set(KEYS)) as upstream,
        pooled(*ACCOUNTS[:2], upstream=upstream, routing={"hold_for_capacity_seconds": 10}) as served,
    ):
        upstream.faults.push("status:429;retry-after=1", times=2)
        answer = await served.stream()
        assert answer.status == 200
        assert answer.body.endswith(b"}\n\n")


async def test_a_stream_held_beyond_the_commit_deadline_gets_pings_and_then_its_answer_or_one_error() -> None:
    timeouts = {"commit_deadline_seconds": 0.3, "ping_interval_seconds": 0.3}
    async with (
        ReplayUpstream(api_keys=set(KEYS)) as upstream,
        pooled(
            *ACCOUNTS[:2], upstream=upstream, timeouts=timeouts, routing={"hold_for_capacity_seconds": 1.6}
        ) as served,
    ):
        upstream.faults.push("status:429;retry-after=1", times=2)
        answer = await served.stream()
        assert answer.status == 200
        assert answer.body.startswith(b"event: ping\n")
        assert b"event: message_stop\n" in answer.body
        upstream.faults.push("status:429;retry-after=30", times="forever")
        answer = await served.stream()
        assert answer.status == 200
        assert answer.body.count(b"event: error\n") == 1
        assert b"rate_limit_error" in answer.body
        assert b"message_start" not in answer.body


@settings(max_examples=5, deadline=None)
@given(leave_after=st.lists(st.floats(0, 0.1), min_size=5, max_size=15))
def test_clients_that_leave_at_any_time_change_no_account_and_leave_no_slot_taken(
    leave_after: list[float],
) -> None:
    async def scenario() -> None:
        async with (
            ReplayUpstream(api_keys=set(KEYS), tokens_per_second=200) as upstream,
            pooled(*ACCOUNTS[:2], upstream=upstream, routing={"concurrency": 2, "queue_length": 50}) as served,
        ):

            async def leave(seconds: float) -> None:
                async with served.connect() as connection:
                    body = {"model": "m", "max_tokens": 9, "stream": True, "messages": []}
                    await connection.send("/claude/v1/messages", body, usual=served.usual)
                    await asyncio.sleep(seconds)

            async with asyncio.TaskGroup() as group:
                for seconds in leave_after:
                    group.create_task(leave(seconds))
            pool = served.gateway.data_plane.messages.backend.pool
            async with asyncio.TaskGroup() as group:
                tasks = [group.create_task(served.stream()) for _ in range(4)]
            assert {task.result().status for task in tasks} == {200}
            assert {pool.state(account.id)[0].value for account in pool.accounts} == {"active"}

    asyncio.run(scenario())


async def test_an_account_that_is_well_is_found_behind_any_number_that_are_spent() -> None:
    many = [NewAccount(f"spent{number}", more={"priority": number}) for number in range(8)]
    good = NewAccount("good", more={"priority": 99})
    async with (
        ReplayUpstream(api_keys={account.key for account in (*many, good)}) as upstream,
        pooled(*many, good, upstream=upstream, routing={"strategy": "fill_first"}) as served,
    ):
        upstream.faults.push("status:429;retry-after=300", credential="*-of-spent*", times="forever")
        first, second = await served.stream(), await served.stream()
        assert (first.status, second.status) == (200, 200)
        assert len(served.ledger.of(first).attempts) == 9
        assert len(served.ledger.of(second).attempts) == 1
