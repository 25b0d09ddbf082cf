"""The lines that `gateway demo` prints work as they are printed."""

from __future__ import annotations

import asyncio
import os
import re
import signal
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from attrs import define

from gateway.replay.answers import ANSWER
from tests.e2e.claude_code import ClaudeCode

GATEWAY = Path(sys.executable).parent / "gateway"
LIMIT = 60
SECTION = re.compile(r"^# (curl|Claude Code|Python SDK[^\n]*)\n(.*?)\n\n", re.MULTILINE | re.DOTALL)


@define
class Demo:
    """A running demo and the commands that it prints, by their heading's first word."""

    process: asyncio.subprocess.Process
    commands: dict[str, str]
    printed: str


@pytest.fixture
async def demo(tmp_path: Path) -> AsyncIterator[Demo]:
    process = await asyncio.create_subprocess_exec(
        str(GATEWAY),
        "demo",
        cwd=tmp_path,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.DEVNULL,
        env=bare() | {"GATEWAY_LISTEN": "127.0.0.1:0", "GATEWAY_CONTROL_LISTEN": "127.0.0.1:0"},
    )
    try:
        assert process.stdout is not None
        async with asyncio.timeout(LIMIT):
            printed = (await process.stdout.readuntil(b"Press Ctrl-C to stop.")).decode()
        commands = {heading.split()[0]: command for heading, command in SECTION.findall(printed)}
        yield Demo(process, commands, printed)
    finally:
        if process.returncode is None:
            process.kill()
        await process.communicate()


async def paste(command: str, environ: dict[str, str], directory: Path) -> tuple[int | None, str, str]:
    """Run a command in a shell, as somebody who pastes it."""
    process = await asyncio.create_subprocess_exec(
        "bash",
        "-c",
        command,
        cwd=directory,
        env=environ,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        async with asyncio.timeout(LIMIT):
            output, errors = await process.communicate()
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    return process.returncode, output.decode(), errors.decode()


def bare() -> dict[str, str]:
    """Return an environment without the user's own proxies and credentials."""
    return {name: value for name, value in os.environ.items() if name in {"PATH", "HOME", "LANG"}}


async def test_the_curl_line_streams_an_answer(demo: Demo, tmp_path: Path) -> None:
    status, output, errors = await paste(demo.commands["curl"], bare(), tmp_path)
    assert status == 0, errors
    assert output.startswith("event: message_start\n")
    assert output.splitlines()[-2].startswith('data: {"type":"message_stop"')


async def test_the_claude_code_line_runs_a_tool(demo: Demo, claude: ClaudeCode, tmp_path: Path) -> None:
    status, output, errors = await paste(demo.commands["Claude"], claude.environment(tmp_path), tmp_path)
    assert (status, output.strip()) == (0, "The tool answered: replay-tool-ok"), errors


async def test_the_python_snippet_prints_the_answer(demo: Demo, tmp_path: Path) -> None:
    assert f"install it first: {sys.executable} -m pip install anthropic\n" in demo.printed
    status, output, errors = await paste(demo.commands["Python"], bare(), tmp_path)
    assert (status, output.strip()) == (0, ANSWER), errors


async def test_without_an_account_the_openai_routes_are_played_too(demo: Demo, tmp_path: Path) -> None:
    base = re.search(r"listens at (http://\S+)", demo.printed)
    assert base is not None
    status, output, errors = await paste(f"curl -sS --noproxy '*' {base[1]}/v1/models", bare(), tmp_path)
    assert (status, '"text-embedding-3-small"' in output) == (0, True), errors


async def test_it_says_where_its_metrics_are(demo: Demo, tmp_path: Path) -> None:
    url = re.search(r"Its metrics are at (http://\S+/metrics)\.", demo.printed)
    assert url is not None
    status, output, errors = await paste(f"curl -sS --noproxy '*' {url[1]}", bare(), tmp_path)
    assert (status, "gateway_build_info" in output) == (0, True), errors


async def test_it_prints_everything_once_and_stops_on_ctrl_c(demo: Demo) -> None:
    assert list(demo.commands) == ["curl", "Claude", "Python"]
    assert len(set(re.findall(r"csg_\w+", demo.printed))) == 1
    demo.process.send_signal(signal.SIGINT)
    async with asyncio.timeout(LIMIT):
        output, _ = await demo.process.communicate()
    assert (demo.process.returncode, output.decode().strip()) == (0, "stopping")
