"""Claude Code at work while the account that serves it is revoked, expires or is spent."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest

from gateway.replay.journal import ReceivedRequest
from gateway.replay.server import ReplayUpstream
from gateway.replay.tokens import TokenPair
from tests.account_path.harness import NewAccount, Pooled, pooled
from tests.e2e.claude_code import STREAM_JSON, ClaudeCode, Finished, pointed_at
from tests.e2e.stage import Place

SECOND_KEY = "sk-ant-api03-of-second"
Trouble = Callable[[ReplayUpstream, TokenPair], None]


def revoke(upstream: ReplayUpstream, pair: TokenPair) -> None:
    upstream.tokens.revoke(pair.access_token)


def expire(upstream: ReplayUpstream, pair: TokenPair) -> None:
    upstream.tokens.expire(pair.access_token)


def spend(upstream: ReplayUpstream, pair: TokenPair) -> None:
    fault = {"kind": "status", "status": 429, "retry_after": "3000", "unified": True}
    upstream.faults.push(fault, credential=pair.access_token, times="forever")


async def run_tools(claude: ClaudeCode, served: Pooled, trouble: Trouble, pair: TokenPair) -> Finished:
    """Run a tool loop and bring the trouble when its first answer is on its way."""
    place = Place(f"{served.gateway.url}/claude", served.key, served.upstream)

    def messages() -> list[ReceivedRequest]:
        return [request for request in served.upstream.requests if request.path == "/v1/messages"]

    async def bring_trouble() -> None:
        await served.upstream.wait_for(lambda: bool(messages()), 60)
        trouble(served.upstream, pair)

    async with asyncio.TaskGroup() as group:
        group.create_task(bring_trouble())
        run = group.create_task(
            claude.run(
                *("-p", "Run the command: echo hello", "--allowedTools", "Bash", *STREAM_JSON),
                environ=pointed_at(place, tools=True),
            )
        )
    return run.result()


@pytest.mark.parametrize("trouble", [revoke, expire, spend])
async def test_a_tool_loop_finishes_whatever_befalls_the_account_under_it(
    claude: ClaudeCode, trouble: Trouble
) -> None:
    async with ReplayUpstream(api_keys={SECOND_KEY}, tokens_per_second=60) as upstream:
        pair = upstream.tokens.issue()
        first = NewAccount("first", tokens=pair, more={"priority": 0})
        second = NewAccount("second", more={"priority": 1})
        async with pooled(first, second, upstream=upstream, routing={"strategy": "fill_first"}) as served:
            finished = await run_tools(claude, served, trouble, pair)
            assert finished.status == 0, finished.output
            assert finished.result["subtype"] == "success"
            assert finished.result["result"] == "The tool answered: replay-tool-ok"
            records = [record for record in served.ledger.records if record.route.endswith("/v1/messages")]
            assert {record.outcome for record in records} == {"complete"}
            served_by = [record.account for record in records]
            assert served_by[0] == "first"
            if trouble is expire:
                assert set(served_by) == {"first"}
                assert served.grants() == {"granted": 1}
            else:
                assert served_by[-1] == "second"
                switches = [record.switch for record in records if record.switch is not None]
                assert [switch.account for switch in switches] == ["first"]
