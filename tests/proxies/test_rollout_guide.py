"""docs/anthropic-rollout.md is walked from end to end: each of its blocks does what the page says."""

from __future__ import annotations

import asyncio
import json
import os
import re
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Final

import pytest

from gateway.config import Rollout, load_settings
from gateway.replay.openai import OpenAIReplay
from gateway.replay.server import ReplayUpstream
from tests.contract.harness import SECRET
from tests.faults.gateway_process import environment, serving_process
from tests.proxies.behind import Behind, behind, free_port, until_well
from tests.proxies.test_rollout import eventually

PAGE: Final = Path(__file__).parents[2] / "docs" / "anthropic-rollout.md"
BLOCK: Final = re.compile(r"^<!-- (tried|refused) -->\n```(\w+)\n(.*?)^```", re.MULTILINE | re.DOTALL)
SHORTER: Final = {
    "gateway doctor ": "gateway doctor --silence 2 ",
    "gateway smoke ": "gateway smoke --parallel 1,4 --no-big-body ",
    "gateway compare ": "gateway compare --rounds 1 ",
    "gateway conformance ": "gateway conformance --quick --only truncated.eof-after-content ",
}
"""What takes a minute and is tested elsewhere."""


QUICK_PINGS: Final = {"TIMEOUTS__COMMIT_DEADLINE_SECONDS": "1", "TIMEOUTS__PING_INTERVAL_SECONDS": "1"}


async def ran(script: str, home: Path, environ: Mapping[str, str]) -> tuple[int, str]:
    """Run a block as it stands; return its exit status and what it said."""
    process = await asyncio.create_subprocess_exec(
        "bash",
        "-eu",
        "-o",
        "pipefail",
        "-c",
        script,
        cwd=home,
        env={**environ, "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"},
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    async with asyncio.timeout(90):
        said, _ = await process.communicate()
    assert process.returncode is not None
    return process.returncode, said.decode()


def with_addresses(script: str, changes: Mapping[str, str]) -> str:
    """Return a block with the addresses and files of the test."""
    for before, after in changes.items():
        script = script.replace(before, after)
    return script


async def goes_elsewhere(stage: Behind) -> bool:
    """Whether the canary has been taken out."""
    return b"rollout" not in (await stage.ask(target="/claude", usual=())).body


@pytest.mark.timeout(300)
async def test_each_step_of_the_guide_does_what_it_says(tmp_path: Path) -> None:
    blocks = BLOCK.findall(PAGE.read_text("utf-8"))
    assert len(blocks) == 10
    settings = {"DATA_DIR": str(tmp_path / "data"), "SECRET_KEY": SECRET}
    environ = {**environment(settings), "OLD_KEY": "sk-old-of-the-existing-proxy"}
    rehearsal, played = free_port(), free_port()

    async with (
        ReplayUpstream() as upstream,
        ReplayUpstream() as old,
        OpenAIReplay() as existing,
        serving_process(upstream.url, **settings, **QUICK_PINGS) as canary,
        behind("nginx", existing=existing, canary_port=canary.address[1]) as stage,
    ):
        await until_well(stage)
        usual = {
            **SHORTER,
            "127.0.0.1:8787": f"127.0.0.1:{canary.address[1]}",
            "127.0.0.1:8080": f"127.0.0.1:{stage.port}",
            "127.0.0.1:8786": f"127.0.0.1:{rehearsal}",
            "127.0.0.1:8790": f"127.0.0.1:{played}",
            "/etc/nginx/nginx.conf": str(stage.file),
            "nginx -s reload": f"kill -HUP {stage.process.pid}",
        }
        for kind, language, block in blocks:
            if language == "toml":
                (tmp_path / "gateway.toml").write_text(block, "utf-8")
                promoted = await asyncio.to_thread(load_settings, tmp_path / "gateway.toml", {})
                assert promoted.rollout is Rollout.PROMOTED
                continue
            beside = old.url if "gateway compare" in block else existing.url
            script = with_addresses(block, {**usual, "http://127.0.0.1:4000": beside})
            if "gateway compare" in script:  # its key is read in the block before
                script = with_addresses(script, {"$KEY": _key(tmp_path)})
            status, said = await ran(script, tmp_path, environ)
            if kind == "refused":
                assert status == 1
                assert "takes a written approval" in said
            else:
                assert status == 0, f"{block}\n{said}\n{_evidence(tmp_path)}"
            if "kill -HUP" in script:
                await eventually(lambda: goes_elsewhere(stage))

    assert "| " in (tmp_path / "evidence" / "smoke.md").read_text("utf-8")
    assert "truncated.eof-after-content" in (tmp_path / "evidence" / "conformance.txt").read_text("utf-8")
    written = "".join(path.read_text("utf-8") for path in (tmp_path / "evidence").iterdir())
    assert _key(tmp_path) not in written
    assert environ["OLD_KEY"] not in written


def _key(home: Path) -> str:
    return json.loads((home / "key.json").read_text("utf-8"))["key"]


def _evidence(home: Path) -> str:
    files = sorted((home / "evidence").glob("*")) if (home / "evidence").exists() else []
    return "\n".join(path.read_text("utf-8") for path in files)
