"""The live board: what is shown of requests that are not over."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack
from typing import Any

from attrs import define, field

from tests.contract.harness import MESSAGES, Served, serving
from tests.controlplane.feed_reader import FeedReader, watching
from tests.replay.raw_client import LIMIT, message

TOKEN = "a-token-of-the-operators-own"
SESSION = "0d9b1c52-1111-4f0e-9a51-3d6f3c1b7a10"


@define
class BoardOfPage:
    """What a page knows, made from what it was told."""

    reader: FeedReader
    rows: dict[str, dict[str, Any]] = field(factory=dict)

    async def look(self) -> None:
        """Take in the next change."""
        state = await self.reader.until("streams")
        if state["whole"]:
            self.rows.clear()
        for row in state["came"]:
            self.rows[row["id"]] = row
        for change in state["changed"]:
            row = self.rows[change["id"]]
            if "lane" in change:
                row["lane"][change.pop("lane_from") :] = change.pop("lane")
            row |= change
        for gone in state["gone"]:
            del self.rows[gone]

    async def until(self, wanted: Any) -> list[dict[str, Any]]:
        """Return the rows as soon as they are as wanted."""
        try:
            async with asyncio.timeout(LIMIT):
                while not wanted(rows := list(self.rows.values())):
                    await self.look()
        except TimeoutError:
            raise AssertionError(f"never came: {rows}") from None
        return rows


async def begin(served: Served, stack: AsyncExitStack, fault: str, **more: Any) -> Any:
    """Begin a stream that stays for as long as the stack does."""
    connection = await stack.enter_async_context(served.connect())
    headers = [("x-replay-fault", fault), ("x-claude-code-session-id", SESSION), ("user-agent", "claude-cli/2.1")]
    await connection.send(MESSAGES, message(stream=True, **more), headers=headers, usual=served.usual)
    return connection


async def test_each_request_in_flight_is_shown_with_its_way_through_the_states() -> None:
    async with (
        serving(control=True, control_token=TOKEN) as served,
        watching(served.gateway.control_url, TOKEN, "?topics=streams") as reader,
    ):
        board = BoardOfPage(reader)
        await board.look()
        assert board.rows == {}
        async with AsyncExitStack() as stack:
            await begin(served, stack, "hang:event=5", model="replay-thinking-then-text")
            (row,) = await board.until(lambda rows: rows and rows[0]["events"] == 5)
            assert row["phase"] == row["lane"][-1][0] == "thinking"
            assert [segment[0] for segment in row["lane"]][-2:] == ["head", "thinking"]
            assert row["lane"][-1][2] is None
            began, ended = row["lane"][-2][1:]
            assert 0 <= began <= ended == row["lane"][-1][1]
            shown = {name: row[name] for name in ("provider", "actor", "model", "session", "client", "worker")}
            assert shown == {
                "provider": "anthropic",
                "actor": "contract",
                "model": "replay-thinking-then-text",
                "session": SESSION,
                "client": "claude-cli/2.1",
                "worker": 0,
            }
            assert row["account"]
            assert row["is_stream"]
            assert row["bytes"] > 0
            assert row["heard_at"] >= row["began_at"]
            assert (row["is_exact"], row["attempts"]) == (False, 1)
        assert await board.until(lambda rows: not rows) == []


async def test_a_request_that_waits_for_the_upstreams_head_is_shown_with_what_was_refused_before() -> None:
    async with (
        serving(control=True, control_token=TOKEN) as served,
        watching(served.gateway.control_url, TOKEN, "?topics=streams") as reader,
    ):
        board = BoardOfPage(reader)
        async with AsyncExitStack() as stack:
            await begin(served, stack, "hang:head")
            (row,) = await board.until(lambda rows: rows and rows[0]["attempts"] == 1)
            assert row["phase"] == "head"
            assert (row["bytes"], row["heard_at"], row["output_tokens"]) == (0, None, None)


async def test_edges_of_the_machine_are_counted_to_the_last_event_of_streams_that_are_over() -> None:
    async with (
        serving(control=True, control_token=TOKEN) as served,
        watching(served.gateway.control_url, TOKEN, "?topics=machine") as reader,
    ):
        first = await reader.until("machine")
        assert (first["edges"], first["states"]) == ([], {})
        answer = await served.stream()
        await served.stream(fault="duplicate-start:event=5")
        whole = answer.body.decode()

        def is_all(machine: Any) -> bool:
            return any(event == "violation" for _, event, _ in machine["edges"]) and any(
                event == "message_stop" for _, event, _ in machine["edges"]
            )

        machine = await reader.until("machine", is_all)
        edges = {(state, event): count for state, event, count in machine["edges"]}
        assert edges["AWAIT_START", "message_start"] == 2
        assert edges["ENDING", "message_stop"] == 1
        assert edges["IN_BLOCK", "violation"] == 1
        deltas = whole.count("event: content_block_delta")
        assert edges["IN_BLOCK", "content_block_delta"] >= deltas
        async with AsyncExitStack() as stack:
            await begin(served, stack, "hang:event=5")
            machine = await reader.until("machine", lambda machine: machine["states"])
            assert machine["states"] == {"IN_BLOCK": 1}


async def test_requests_that_have_ended_are_told_of_with_what_became_of_them() -> None:
    async with (
        serving(control=True, control_token=TOKEN) as served,
        watching(served.gateway.control_url, TOKEN, "?topics=request") as reader,
    ):
        answer = await served.stream()
        told = await reader.until("request")
        assert told["id"] == answer.header("x-gateway-request-id")
        assert told["outcome"] == "complete"


async def test_the_tokens_of_a_stream_are_estimated_until_the_upstream_has_counted_them() -> None:
    async with (
        serving(control=True, control_token=TOKEN) as served,
        watching(served.gateway.control_url, TOKEN, "?topics=streams") as reader,
        served.connect() as connection,
    ):
        board = BoardOfPage(reader)
        slow = [("x-replay-tokens", "3000"), ("x-replay-tokens-per-second", "30")]
        await connection.send(MESSAGES, message(stream=True), headers=slow, usual=served.usual)
        (row,) = await board.until(lambda rows: rows and rows[0]["tokens_per_second"])
        assert row["output_tokens"] >= 1
        assert not row["is_exact"]
        async with AsyncExitStack() as stack:
            # In place of the last event it goes on with pings.
            await begin(served, stack, "pings", model="claude-sonnet-5")
            rows = await board.until(lambda rows: any(row["is_exact"] for row in rows))
            (row,) = [row for row in rows if row["is_exact"]]
            assert row["phase"] == "ending"
            assert row["output_tokens"] > 0


async def test_nothing_is_looked_at_while_nobody_watches() -> None:
    async with serving(control=True, control_token=TOKEN) as served:
        in_flight = served.gateway.data_plane.messages.in_flight
        await served.stream()
        assert in_flight.take_ended() == []
        async with watching(served.gateway.control_url, TOKEN, "?topics=health") as reader:
            await reader.until("health")
            await served.stream()
            assert in_flight._ended is None
        assert in_flight.now == set()


async def test_hostile_names_reach_the_page_as_text() -> None:
    model = "<img src=x onerror=alert(1)>\u2028\n\ndata: x"
    async with (
        serving(control=True, control_token=TOKEN) as served,
        watching(served.gateway.control_url, TOKEN, "?topics=streams") as reader,
    ):
        board = BoardOfPage(reader)
        async with AsyncExitStack() as stack:
            await begin(served, stack, "hang:head", model=model)
            (row,) = await board.until(lambda rows: rows)
            assert row["model"].startswith("<img src=x onerror=alert(1)>")
            assert row["model"].endswith("\n\ndata: x")
