"""What holds for every request, whatever the upstreams do: searched for counterexamples over real sockets.

The laws of the pool alone are in `tests/accounts/test_laws.py`, on a simulated clock. Here are those that need the
wire: no second account after the commit point, bounded attempts, and no credential at another provider's host.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence
from typing import Any, Final

from attrs import define
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.config import OpenAIMode
from gateway.replay.openai import OpenAIReplay
from gateway.replay.server import ReplayUpstream
from tests.account_path.harness import NewAccount, Pooled, pooled
from tests.faults.waiting import until
from tests.replay.raw_client import RawResponse, message

CLAUDE: Final = [NewAccount(name) for name in ("red", "green", "blue")]
OPENAI: Final = [NewAccount(name, api_key=f"sk-proj-of-{name}", provider="openai") for name in ("cyan", "pink")]
MOST_ATTEMPTS: Final = 3
BEFORE_CONTENT: Final = (
    "status:401",
    "status:403",
    "status:429;retry-after=1",
    "status:500",
    "status:529",
    "cut:event=0",
    "eof:event=1",
    "error-event:overloaded_error",
    "garbage:event=0",
    "skip-index",
)
AFTER_CONTENT: Final = (
    "cut:event=4",
    "eof:event=5",
    "error-event:overloaded_error;event=4",
    "error-event:api_error;event=6",
    "garbage:event=5",
    "duplicate-start;event=4",
)


@define(frozen=True)
class Asked:
    """One request of a client: what befalls the attempts at it, and whether the client stays."""

    faults: tuple[str, ...]
    stream: bool
    leaves_after: float | None


asked = st.builds(
    Asked,
    faults=st.lists(st.sampled_from(["none", *BEFORE_CONTENT, *AFTER_CONTENT]), max_size=5).map(tuple),
    stream=st.booleans(),
    leaves_after=st.one_of(st.none(), st.none(), st.floats(0, 0.05)),
)


async def ask(served: Pooled, number: int, one: Asked) -> RawResponse | None:
    """Ask; each attempt meets its own fault. Returns None for a client that left."""
    marker = f"request-{number:04}"
    body = message(stream=one.stream, messages=[{"role": "user", "content": marker}])
    for fault in one.faults:
        served.upstream.faults.push(fault, model=marker)
    body["model"] = marker
    if one.leaves_after is None:
        return await served.ask(body)
    async with served.connect() as connection:
        await connection.send("/claude/v1/messages", body, usual=served.usual)
        await asyncio.sleep(one.leaves_after)
    return None


async def ask_openai(served: Pooled, number: int) -> RawResponse:
    """Ask below /v1."""
    body = {"model": f"gpt-{number}", "messages": [{"role": "user", "content": "hi"}]}
    usual = [("authorization", f"Bearer {served.key}"), ("content-type", "application/json")]
    return await served.ask(body, "/v1/chat/completions", usual=usual)


@settings(max_examples=20)
@given(requests=st.lists(asked, min_size=10, max_size=40))
def test_no_request_goes_on_after_its_content_has_begun_nor_for_ever_nor_to_another_provider(
    requests: Sequence[Asked],
) -> None:
    asyncio.run(scenario(requests))


async def scenario(requests: Sequence[Asked]) -> None:
    keys = {account.key for account in CLAUDE}
    async with OpenAIReplay() as openai, ReplayUpstream(api_keys=keys) as upstream:
        extra: dict[str, Any] = {"openai_mode": OpenAIMode.POOL, "openai_base_url": openai.url}
        routing = {"max_attempts": MOST_ATTEMPTS}
        async with pooled(*CLAUDE, *OPENAI, upstream=upstream, routing=routing, **extra) as served:
            async with asyncio.TaskGroup() as group:
                tasks = [group.create_task(ask(served, number, one)) for number, one in enumerate(requests)]
                others = [group.create_task(ask_openai(served, number)) for number in range(5)]
            assert [task.result().body for task in others if task.result().status != 200] == []
            for number, task in enumerate(tasks):
                check(upstream, number, requests[number], task.result())
            check_hosts(openai, upstream)
            await nothing_is_left(served)


def check(upstream: ReplayUpstream, number: int, one: Asked, answer: RawResponse | None) -> None:
    """Check what arrived upstream for one request."""
    marker = f"request-{number:04}"
    arrived = [request for request in upstream.requests if request.model == marker]
    credentials = [request.credential for request in arrived]
    # Each account at most once, and at most one more time for a connection that had died while it was idle.
    assert len(set(credentials)) <= max(MOST_ATTEMPTS, len(CLAUDE))
    assert len(arrived) <= len(CLAUDE) + 1, (one, credentials)
    for fault in one.faults[: max(0, len(arrived) - 1)]:
        # Whatever was tried again had shown no content.
        assert fault in BEFORE_CONTENT or not one.stream, (one, arrived)
    if answer is not None and answer.status == 200 and one.stream:
        assert answer.body.count(b"event: message_start\n") == 1
        assert answer.body.count(b"event: error\n") + answer.body.count(b"event: message_stop\n") == 1
    if answer is not None:
        # The gateway's own trouble is never the client's fault.
        assert answer.status != 401 or "status:401" not in one.faults


def check_hosts(openai: OpenAIReplay, upstream: ReplayUpstream) -> None:
    """Check that each host has seen the credentials of its own provider alone."""
    at_openai = b"".join(arrival.head for arrival in openai.arrivals)
    at_anthropic = json.dumps([request.headers for request in upstream.requests]).encode()
    assert not any(account.key.encode() in at_openai for account in CLAUDE)
    assert not any(account.key.encode() in at_anthropic for account in OPENAI)


async def nothing_is_left(served: Pooled) -> None:
    """Check that every place on an account has been given back."""
    plane = served.gateway.data_plane
    assert plane.openai_pool is not None
    for pool in (plane.messages.backend.pool, plane.openai_pool.api.backend.pool):
        await until(lambda pool=pool: not pool.in_flight and not pool.waiting)
