"""Runtimes as processes: what they are given, and that they end."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

import psutil
import pytest

from gateway.config import ClientAuth
from gateway.dataplane.sdk_process import SdkUnavailableError, remove_leftovers
from gateway.replay.server import ReplayUpstream
from tests.contract.harness import ACCOUNT_KEY, Served, envelope
from tests.faults.gateway_process import started
from tests.faults.waiting import until
from tests.replay.raw_client import LIMIT, RawConnection
from tests.sdk_runtime.asking import SDK, ask, question, runtimes, sdk_serving

SECRET_WORDS: Final = "a-word-that-only-the-prompt-has"
SYSTEM_WORDS: Final = "a-word-that-only-the-system-prompt-has"


@asynccontextmanager
async def under_way(served: Served) -> AsyncGenerator[tuple[RawConnection, psutil.Process]]:
    """Ask for a stream that falls silent behind its first delta."""
    served.upstream.faults.push("hang:event=4")
    async with served.connect() as connection:
        body = question(SECRET_WORDS, system=SYSTEM_WORDS, metadata={"user_id": SECRET_WORDS})
        await connection.send(SDK, body, usual=served.usual)
        await connection.until(b"content_block_delta")
        (runtime,) = runtimes()
        yield connection, runtime


async def test_a_runtime_knows_nothing_but_its_prompt(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CLAUDE_CODE_SOMETHING", "inherited")
    async with sdk_serving() as served, under_way(served) as (_, runtime):
        environment, line = runtime.environ(), " ".join(runtime.cmdline())
        own = Path(environment["HOME"])
        given = json.dumps(environment) + line
        assert "CLAUDE_CODE_SOMETHING" not in environment
        for word in (SECRET_WORDS, SYSTEM_WORDS, ACCOUNT_KEY, served.key, served.upstream.url):
            assert word not in given
        assert environment["ANTHROPIC_BASE_URL"].startswith("http://127.0.0.1:")
        assert own.parent == tmp_path
        assert Path(runtime.cwd()) == own / "work"
        assert os.listdir(own / "work") == []  # noqa: PTH208 - pathlib's own way may not be called here
        assert own.stat().st_mode & 0o777 == 0o700  # noqa: ASYNC240 - a look at a file, in a test
        assert runtime.children(recursive=True) == []


async def test_a_client_that_leaves_takes_its_runtime_and_the_upstream_request_with_it() -> None:
    async with sdk_serving() as served:
        async with under_way(served):
            pass
        await served.upstream.wait_for(lambda: served.upstream.requests[0].finished == "client_gone")
        await until(lambda: served.ledger.records)
        (record,) = served.ledger.records
        assert (record.outcome, record.status) == ("cancelled", 200)
        await until(lambda: not runtimes())


async def test_a_client_that_leaves_while_its_runtime_starts_leaves_none() -> None:
    async with sdk_serving() as served:
        async with served.connect() as connection:
            await connection.send(SDK, question(), usual=served.usual)
            await until(runtimes)
        await until(lambda: served.ledger.records)
        assert served.ledger.records[0].outcome == "cancelled"
        await until(lambda: not runtimes())
        assert not served.upstream.requests


async def test_a_runtime_may_send_one_request_for_each_turn_and_nobody_else_any() -> None:
    async with sdk_serving() as served, under_way(served) as (_, runtime):
        given = runtime.environ()
        gate = urlsplit(given["ANTHROPIC_BASE_URL"])
        for key in (given["ANTHROPIC_API_KEY"], served.key, ACCOUNT_KEY, ""):
            reader, writer = await asyncio.open_connection(gate.hostname, gate.port)
            connection = RawConnection(reader, writer)
            await connection.send("/v1/messages", question(), usual=[("x-api-key", key)])
            answer = await connection.receive()
            assert (answer.status, answer.header("x-should-retry")) == (403, "false")
            await connection.close()
        assert len(served.upstream.requests) == 1


async def test_a_runtime_that_does_not_end_when_asked_is_killed() -> None:
    async with sdk_serving(timeouts={"sdk_stop_seconds": 0.2}) as served:
        async with under_way(served) as (_, runtime):
            runtime.suspend()
        await until(lambda: not runtimes())
        assert not runtime.is_running()


async def test_a_runtime_that_is_killed_amid_its_answer_leaves_one_error_event() -> None:
    async with sdk_serving() as served, under_way(served) as (connection, runtime):
        runtime.kill()
        async with asyncio.timeout(LIMIT):
            rest = await connection.reader.readuntil(b"0\r\n\r\n")
        assert rest.count(b"event: error") == 1
        assert b"message_stop" not in rest
        await until(lambda: served.ledger.records)
        assert served.ledger.records[0].outcome == "upstream_error"


async def test_a_runtime_that_is_killed_before_any_content_is_a_502() -> None:
    async with sdk_serving() as served, served.connect() as connection:
        served.upstream.faults.push("hang:head")
        await connection.send(SDK, question(), usual=served.usual)
        await served.upstream.wait_for(lambda: served.upstream.open_streams == 1)
        runtimes()[0].kill()
        envelope(await connection.receive(), 502, "api_error")


async def test_a_shutdown_ends_streams_with_an_error_and_leaves_no_runtime() -> None:
    async with sdk_serving(sdk_pool_size=1) as served:
        idle = await ask(served, question(metadata={"user_id": "one"}))
        assert idle.status == 200
        served.upstream.faults.push("hang:event=4")
        async with served.connect() as connection:
            await connection.send(SDK, question(), usual=served.usual)
            await connection.until(b"content_block_delta")
            assert len(runtimes()) == 2
            async with asyncio.timeout(LIMIT), asyncio.TaskGroup() as tasks:
                tasks.create_task(served.gateway.data_plane.drain())
                rest = await connection.reader.readuntil(b"0\r\n\r\n")
        assert rest.count(b"event: error") == 1
        assert b"restarting" in rest
    assert not runtimes()


async def test_silence_is_filled_with_pings_and_ended_in_time() -> None:
    timeouts = {"commit_deadline_seconds": 0.1, "ping_interval_seconds": 0.1, "upstream_idle_seconds": 0.8}
    async with sdk_serving(timeouts=timeouts) as served:
        served.upstream.faults.push("hang:event=1")
        answer = await ask(served, question())
        names = [name for name, _ in answer.events]
        assert answer.status == 200
        assert names.count("ping") > 1
        assert names[-1] == "error"
        assert served.ledger.of(answer).status == 200


async def test_an_upstream_that_never_answers_is_a_504() -> None:
    async with sdk_serving(timeouts={"commit_deadline_seconds": 0.1, "upstream_head_seconds": 1.0}) as served:
        served.upstream.faults.push("hang:head")
        envelope(await ask(served, question()), 504, "timeout_error")


async def test_more_runtimes_than_there_may_be_are_refused_for_the_moment() -> None:
    async with sdk_serving(limits={"sdk_runtimes": 1}) as served, under_way(served):
        envelope(await ask(served, question()), 529, "overloaded_error")
        assert len(runtimes()) == 1


async def test_a_gateway_that_is_killed_takes_its_runtimes_with_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    async with (
        ReplayUpstream() as upstream,
        started(upstream.url, SDK_ENABLED="true", SDK_POOL_SIZE="1") as gateway,
    ):
        await until(lambda: gateway.named("gateway is ready") or gateway.process.returncode is not None)
        async with gateway.connect() as connection:
            body = question(system=SYSTEM_WORDS, metadata={"user_id": "one"})
            await connection.send(SDK, body, usual=gateway.usual)
            assert (await connection.receive()).status == 200
        upstream.faults.push("hang:event=4")
        async with gateway.connect() as connection:
            await connection.send(SDK, question(), usual=gateway.usual)
            await connection.until(b"content_block_delta")
            left = runtimes(gateway.pid)
            assert len(left) == 2
            own = [Path(runtime.environ()["HOME"]) for runtime in left]
            # A prompt that is still there would stay.
            assert not any((directory / "system.txt").exists() for directory in own)
            gateway.send(signal.SIGKILL)
            await until(lambda: not any(runtime.is_running() for runtime in left))
    for directory in own:
        os.utime(directory, (0, 0))
    async with sdk_serving() as served, under_way(served) as (_, runtime):
        os.utime(runtime.environ()["HOME"], (0, 0))
        await asyncio.to_thread(remove_leftovers)
        # What is in use stays, however old it is.
        assert await asyncio.to_thread(Path(runtime.environ()["HOME"]).is_dir)
    assert not any(directory.exists() for directory in own)


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"client_auth": ClientAuth.PASSTHROUGH}, "passthrough"),
        ({"sdk_pool_size": 1, "workers": 2}, "GATEWAY_WORKERS=1"),
        ({"sdk_program": "/nowhere/claude"}, "GATEWAY_SDK_PROGRAM"),
        ({"sdk_program": sys.executable}, "does not say its version"),
        ({"sdk_program": "OLD"}, "2.1.248"),
    ],
)
async def test_a_gateway_that_cannot_run_it_says_why_and_does_not_start(
    settings: dict[str, Any], says: str, scripts: Path
) -> None:
    if settings.get("sdk_program") == "OLD":
        settings = {"sdk_program": write_script(scripts, "echo '2.1.200 (Claude Code)'")}
    with pytest.raises(SdkUnavailableError, match=says):
        async with sdk_serving(**settings):
            pass


async def test_a_runtime_that_does_not_start_is_a_503_at_once(scripts: Path) -> None:
    program = write_script(scripts, "[ \"$1\" = --version ] && echo '2.1.330 (Claude Code)' || exit 3")
    async with sdk_serving(sdk_program=program) as served:
        error = envelope(await ask(served, question()), 503, "api_error")
        assert "did not start" in error["message"]


@pytest.mark.parametrize(
    ("code", "status", "says"),
    [
        ("import gateway.cli, gateway.app; sys.exit('claude_agent_sdk' in sys.modules)", 0, ""),
        (
            "sys.modules['claude_agent_sdk'] = None; import gateway.cli; sys.exit(gateway.cli.main(['serve']))",
            1,
            "pip install 'claude-stream-gateway[sdk]'",
        ),
    ],
    ids=["imported only where enabled", "missing"],
)
async def test_the_sdk_is_an_extra(code: str, status: int, says: str) -> None:
    environment = {"PATH": os.defpath, "GATEWAY_SDK_ENABLED": "true", "GATEWAY_ANTHROPIC_API_KEY": ACCOUNT_KEY}
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", f"import sys; {code}", env=environment, stderr=asyncio.subprocess.PIPE
    )
    _, errors = await process.communicate()
    assert process.returncode == status, errors
    assert says in errors.decode()


@pytest.fixture
def scripts(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a directory for programs."""
    return tmp_path_factory.mktemp("scripts")


def write_script(directory: Path, text: str) -> str:
    """Write a program that is not the runtime, and return its path."""
    path = directory / "claude"
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o700)
    return str(path)
