"""What the pool does, as a client meets it."""

from __future__ import annotations

import asyncio

from gateway.replay.server import ReplayUpstream
from tests.account_path.harness import NewAccount, Pooled, pooled
from tests.contract.harness import MESSAGES
from tests.faults.waiting import until
from tests.replay.raw_client import message

FIRST, SECOND = NewAccount("first", more={"priority": 1}), NewAccount("second", more={"priority": 2})
KEYS = {FIRST.key, SECOND.key}
UNIFIED = "anthropic-ratelimit-unified-"


async def served_by(served: Pooled, model: str = "claude-opus-5-5") -> str | None:
    return served.ledger.of(await served.stream({"model": model})).account


async def test_an_answer_that_was_billed_beyond_the_plan_is_the_last_one_of_its_account() -> None:
    async with (
        ReplayUpstream(api_keys=KEYS) as upstream,
        pooled(FIRST, SECOND, upstream=upstream, routing={"strategy": "fill_first"}) as served,
    ):
        upstream.faults.push(f"header:{UNIFIED}overage-in-use=true")
        assert [await served_by(served) for _ in range(3)] == ["first", "second", "second"]


async def test_extra_usage_that_the_operator_wants_is_used() -> None:
    routing = {"strategy": "fill_first", "use_extra_usage": True}
    async with (
        ReplayUpstream(api_keys=KEYS) as upstream,
        pooled(FIRST, SECOND, upstream=upstream, routing=routing) as served,
    ):
        upstream.faults.push(f"header:{UNIFIED}overage-in-use=true", times=2)
        assert [await served_by(served) for _ in range(3)] == ["first"] * 3


async def test_a_week_of_one_class_of_models_that_is_spent_leaves_the_others_in_use() -> None:
    async with (
        ReplayUpstream(api_keys=KEYS) as upstream,
        pooled(FIRST, SECOND, upstream=upstream, routing={"strategy": "fill_first"}) as served,
    ):
        upstream.faults.push("error:429-unified-seven-day-opus")
        assert [await served_by(served) for _ in range(2)] == ["second", "second"]
        assert await served_by(served, "claude-haiku-5-5") == "first"


async def test_a_request_that_its_plan_does_not_cover_is_answered_and_leaves_the_account_alone() -> None:
    async with (
        ReplayUpstream(api_keys=KEYS) as upstream,
        pooled(FIRST, SECOND, upstream=upstream, routing={"strategy": "fill_first"}) as served,
    ):
        upstream.faults.push("status:429;message=Extra usage is required for long context requests.")
        answer = await served.stream()
        assert answer.status == 429
        assert len(upstream.requests) == 1
        assert await served_by(served) == "first"


async def test_a_request_for_which_there_is_no_place_gets_a_529_and_the_next_one_its_answer() -> None:
    routing = {"concurrency": 1, "queue_length": 0}
    async with (
        ReplayUpstream(api_keys=KEYS) as upstream,
        pooled(FIRST, SECOND, upstream=upstream, routing=routing) as served,
    ):
        upstream.faults.push("hang:event=4", times=2)
        async with served.connect() as one, served.connect() as other:
            for connection in (one, other):
                await connection.send(MESSAGES, message(stream=True), usual=served.usual)
            await upstream.wait_for(lambda: upstream.open_streams == 2)
            busy = await served.stream()
            assert busy.status == 529
            assert busy.json()["error"]["type"] == "overloaded_error"
        pool = served.gateway.data_plane.messages.backend.pool
        await until(lambda: not pool.in_flight)
        assert await served_by(served) in {"first", "second"}


async def test_a_request_that_waits_for_a_place_is_served_when_one_is_free() -> None:
    async with (
        ReplayUpstream(api_keys=KEYS) as upstream,
        pooled(FIRST, SECOND, upstream=upstream, routing={"concurrency": 1}) as served,
    ):
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(served.stream()) for _ in range(20)]
        assert {task.result().status for task in tasks} == {200}
