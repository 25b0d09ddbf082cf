"""Pooled runtimes: a session goes on where it was, and nobody gets into another's."""

from __future__ import annotations

from typing import Any

from tests.contract.harness import Served, envelope
from tests.faults.waiting import until
from tests.replay.raw_client import RawResponse
from tests.sdk_runtime.asking import (
    ask,
    asked_upstream,
    follow_up,
    question,
    runtimes,
    sdk_serving,
    second_key,
    text_of,
)


def session(name: str, text: str = "My secret is 4711.", **fields: Any) -> dict[str, Any]:
    """Return the first request of a session."""
    return question(text, metadata={"user_id": name}, **fields)


def usual_of(served: Served, key: str) -> list[tuple[str, str]]:
    """Return the headers of a client with this key."""
    return [(name, key if name == "x-api-key" else value) for name, value in served.usual]


def assert_refused(answer: RawResponse) -> None:
    """Check that earlier turns were not believed."""
    error = envelope(answer, 400, "invalid_request_error")
    assert error["message"].startswith("messages: earlier turns")


async def test_a_session_goes_on_in_its_own_runtime() -> None:
    async with sdk_serving(sdk_pool_size=2) as served:
        first = session("one", system="Be brief.")
        answer = await ask(served, first)
        (runtime,) = runtimes()
        second = follow_up(first, answer, "And now?")
        second["max_tokens"] = 5
        told = await ask(served, second)

        assert told.status == 200, told.body
        assert runtimes() in ([runtime], [])
        assert asked_upstream(served)[1] == [["My secret is 4711."], [text_of(answer)], ["And now?"]]
        # It went on by itself behind max_tokens, so it is of no use any more.
        await until(lambda: not runtimes())
        assert len(served.upstream.requests) == 2
        assert_refused(await ask(served, follow_up(second, told, "Still there?")))


async def test_nobody_reads_the_history_of_another_actor() -> None:
    async with sdk_serving(sdk_pool_size=4) as served:
        first = session("one")
        answer = await ask(served, first)
        assert len(runtimes()) == 1
        other = usual_of(served, await second_key(served))

        # The same session: a conversation of its own.
        assert (await ask(served, session("one", "What is my secret?"), usual=other)).status == 200
        # The same session by its other name.
        named = [*other, ("x-claude-code-session-id", "one")]
        assert (await ask(served, question("What is my secret?"), usual=named)).status == 200
        # Even every word of the conversation does not open it.
        assert_refused(await ask(served, follow_up(first, answer, "What is my secret?"), usual=other))

        assert asked_upstream(served)[1:] == [[["What is my secret?"]]] * 2
        # And its owner's is still where it was.
        assert (await ask(served, follow_up(first, answer, "Go on."))).status == 200
        assert asked_upstream(served)[-1][0] == ["My secret is 4711."]


async def test_another_session_or_another_history_opens_no_conversation() -> None:
    async with sdk_serving(sdk_pool_size=2) as served:
        first = session("one")
        answer = await ask(served, first)
        follow = follow_up(first, answer, "Go on.")
        for changed in (
            {**follow, "metadata": {"user_id": "two"}},
            {**follow, "system": "You tell everything."},
            follow_up(session("one", "My secret is 4712."), answer, "Go on."),
            {key: value for key, value in follow.items() if key != "metadata"},
        ):
            assert_refused(await ask(served, changed))
        assert len(served.upstream.requests) == 1
        assert (await ask(served, follow)).status == 200
        # One without a session leaves no runtime behind either.
        answer = await ask(served, question())
        await until(lambda: len(runtimes()) == 1)
        assert_refused(await ask(served, follow_up(question(), answer, "Go on.")))


async def test_the_longest_idle_session_makes_room() -> None:
    async with sdk_serving(sdk_pool_size=2, limits={"sdk_runtimes": 2}) as served:
        answers = {name: await ask(served, session(name)) for name in ("one", "two")}
        went_on = await ask(served, follow_up(session("one"), answers["one"], "Go on."))
        assert went_on.status == 200
        assert (await ask(served, session("three"))).status == 200
        assert_refused(await ask(served, follow_up(session("two"), answers["two"], "Go on.")))
        again = follow_up(follow_up(session("one"), answers["one"], "Go on."), went_on, "And on.")
        assert (await ask(served, again)).status == 200


async def test_an_idle_session_ends_in_time() -> None:
    async with sdk_serving(sdk_pool_size=1, timeouts={"sdk_idle_seconds": 0.1}) as served:
        assert (await ask(served, session("one"))).status == 200
        await until(lambda: not runtimes())


async def test_a_new_conversation_takes_the_place_of_the_one_before() -> None:
    async with sdk_serving(sdk_pool_size=2) as served:
        first = await ask(served, session("one"))
        second = await ask(served, session("one", "Something else."))
        await until(lambda: len(runtimes()) == 1)
        assert_refused(await ask(served, follow_up(session("one"), first, "Go on.")))
        went_on = await ask(served, follow_up(session("one", "Something else."), second, "Go on."))
        assert went_on.status == 200
        assert asked_upstream(served)[-1][0] == ["Something else."]


async def test_a_runtime_that_dies_while_it_is_idle_is_forgotten() -> None:
    async with sdk_serving(sdk_pool_size=1, limits={"sdk_runtimes": 1}) as served:
        answer = await ask(served, session("one"))
        runtimes()[0].kill()
        await until(lambda: not runtimes())
        assert_refused(await ask(served, follow_up(session("one"), answer, "Go on.")))
        assert (await ask(served, session("two"))).status == 200
