"""What the pages for clients show is run against a gateway; its address and the key are the only difference."""

from __future__ import annotations

import asyncio
import json
import os
import re
import sys
from collections.abc import AsyncGenerator
from pathlib import Path
from typing import Final

import pytest
import pytest_asyncio

from gateway.replay.server import ReplayUpstream
from tests.contract.harness import Served, serving
from tests.replay.raw_client import message

pytestmark = pytest.mark.asyncio(loop_scope="module")

DOCS: Final = Path(__file__).parents[2] / "docs"
ADDRESS: Final = "http://127.0.0.1:8787"
LIMIT: Final = 60


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def served() -> AsyncGenerator[Served]:
    async with serving(upstream=ReplayUpstream(tokens_per_second=200)) as running:
        yield running


def blocks(page: str, language: str = "") -> list[str]:
    text = (DOCS / page).read_text("utf-8")
    return re.findall(rf"^```{language}\n(.*?)^```", text, re.MULTILINE | re.DOTALL)


async def run(served: Served, directory: Path, *command: str) -> tuple[int | None, str]:
    """Run a command where `request.json` and a key are at hand; return its status and all that it printed."""
    body = json.dumps(message(stream=True, max_tokens=64))
    await asyncio.to_thread((directory / "request.json").write_text, body)
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    process = await asyncio.create_subprocess_exec(
        *command,
        cwd=directory,
        env={"PATH": path, "HOME": str(directory), "KEY": served.key, "LANG": "C.UTF-8"},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    async with asyncio.timeout(LIMIT):
        out, _ = await process.communicate()
    return process.returncode, out.decode()


CURL: Final = [block for block in blocks("curl.md") if "curl" in block]


@pytest.mark.parametrize("number", range(len(CURL)))
async def test_the_commands_with_curl_do_what_the_page_says(served: Served, tmp_path: Path, number: int) -> None:
    # What starts servers is left out: they run already.
    kept = re.sub(r"^(gateway replay|GATEWAY_\w+=\S+ ).*\n", "", CURL[number], flags=re.MULTILINE)
    status, printed = await run(served, tmp_path, "bash", "-c", kept.replace(ADDRESS, served.gateway.url))

    assert "curl: (" not in printed
    if "x-replay-fault" in kept:
        assert status == 1  # of sse-fsm, for a stream that ends in an error
        assert "api_error" in printed
        return
    assert status == 0, printed
    if "-i " in kept:
        assert "x-gateway-request-id: req_gw" in printed
        assert "event: message_stop" in printed
    elif "count_tokens" in kept:
        assert '"input_tokens":' in printed
        assert '"ready"' in printed
    else:
        assert "message_stop" in printed or "AWAIT_START" in printed


async def test_the_python_program_prints_the_answer_and_the_requests_id(served: Served, tmp_path: Path) -> None:
    (program,) = blocks("sdks.md", "python")
    program = program.replace(ADDRESS, served.gateway.url).replace("csg_…", served.key)
    status, printed = await run(served, tmp_path, sys.executable, "-c", program)

    assert status == 0, printed
    assert re.search(r"\w+.*req_gw[0-9a-f]{22}\s*\Z", printed, re.DOTALL)
