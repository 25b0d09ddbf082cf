"""Claude Code through `gateway serve`, set up and stopped as an operator does it."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from attrs import define

from gateway.replay.answers import ANSWER
from gateway.replay.server import ReplayUpstream
from tests.e2e.claude_code import PARTIAL, ClaudeCode, pointed_at, until_text
from tests.e2e.stage import Place, gateway_environment

GATEWAY = str(Path(sys.executable).parent / "gateway")
LIMIT = 60


@define
class Served:
    """A running `gateway serve` with a key to it."""

    process: asyncio.subprocess.Process
    place: Place

    async def log_line(self, event: str) -> dict[str, Any]:
        """Read the log up to the next line of a kind."""
        assert self.process.stdout is not None
        async with asyncio.timeout(LIMIT):
            while line := await self.process.stdout.readline():
                entry: dict[str, Any] = json.loads(line)
                if entry["event"] == event:
                    return entry
        raise AssertionError(f"the log ended without {event!r}")


@asynccontextmanager
async def serving(data_dir: Path, **settings: str) -> AsyncGenerator[Served]:
    async with ReplayUpstream(tokens_per_second=50) as upstream:
        kept = {name: value for name in ("PATH", "HOME", "LANG") if (value := os.environ.get(name)) is not None}
        environ = kept | gateway_environment(upstream, data_dir) | settings
        process = await asyncio.create_subprocess_exec(
            *(GATEWAY, "keys", "create", "--name", "laptop", "--json"),
            env=environ,
            stdout=asyncio.subprocess.PIPE,
        )
        created, _ = await process.communicate()
        key = json.loads(created)["key"]
        process = await asyncio.create_subprocess_exec(
            GATEWAY, "serve", env=environ, stdout=asyncio.subprocess.PIPE
        )
        try:
            served = Served(process, Place("", key, upstream))
            ready = await served.log_line("gateway is ready")
            served.place.base_url = f"{ready['url']}/claude"
            yield served
        finally:
            if process.returncode is None:
                process.terminate()
            await process.communicate()


@pytest.mark.parametrize("workers", ["1", "2"])
async def test_a_tool_loop_and_its_records(claude: ClaudeCode, tmp_path: Path, workers: str) -> None:
    async with serving(tmp_path, GATEWAY_WORKERS=workers) as served:
        environ = pointed_at(served.place, tools=True)
        finished = await claude.run("-p", "hello", "--allowedTools", "Bash", environ=environ)
        assert finished.output.strip() == "The tool answered: replay-tool-ok"
        records = [await served.log_line("request") for _ in range(2)]
        assert [record["stop_reason"] for record in records] == ["tool_use", "end_turn"]
        assert {(record["actor"], record["outcome"]) for record in records} == {("laptop", "complete")}


async def test_ctrl_c_in_the_middle_is_recorded_as_cancelled(claude: ClaudeCode, tmp_path: Path) -> None:
    async with serving(tmp_path) as served:
        environ = pointed_at(served.place)
        async with claude.started("-p", "hello", *PARTIAL, environ=environ) as process:
            await until_text(process)
            process.send_signal(signal.SIGINT)
            record = await served.log_line("request")
        assert (record["outcome"], record["status"]) == ("cancelled", 200)
        assert record["input_tokens"] > 0
        assert [request.finished for request in served.place.upstream.requests] == ["client_gone"]


async def test_an_answer_that_is_under_way_survives_a_restart(claude: ClaudeCode, tmp_path: Path) -> None:
    async with serving(tmp_path, GATEWAY_TIMEOUTS__DRAIN_SECONDS="30") as served:
        environ = pointed_at(served.place)
        async with claude.started("-p", "hello", *PARTIAL, environ=environ) as process:
            await until_text(process)
            served.process.terminate()
            output, _ = await process.communicate()
        assert json.loads(output.splitlines()[-1])["result"] == ANSWER
        async with asyncio.timeout(LIMIT):
            assert await served.process.wait() == 0


async def test_an_answer_that_outlasts_the_drain_ends_as_an_error(claude: ClaudeCode, tmp_path: Path) -> None:
    async with serving(tmp_path, GATEWAY_TIMEOUTS__DRAIN_SECONDS="0.1") as served:
        served.place.upstream.faults.push("hang:event=8")
        environ = pointed_at(served.place, retries=0)
        async with claude.started("-p", "hello", *PARTIAL, environ=environ) as process:
            await until_text(process)
            served.process.terminate()
            record = await served.log_line("request")
            output, _ = await process.communicate()
        assert (record["outcome"], record["status"]) == ("truncated", 200)
        result = json.loads(output.splitlines()[-1])
        assert result["is_error"]
        async with asyncio.timeout(LIMIT):
            assert await served.process.wait() == 0
