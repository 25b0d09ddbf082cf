"""The command on an empty data directory, and afterwards a look for secrets in every file of it."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from gateway.replay.openai import OpenAIReplay
from gateway.replay.server import ReplayUpstream
from tests.cli_accounts.command import KEY, OTHER_KEY, SECRET_KEY, Command


@pytest.fixture
def accounts(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Command]:
    for name in [name for name in os.environ if name.startswith("GATEWAY_")]:
        monkeypatch.delenv(name)
    command = Command(monkeypatch, tmp_path / "data")
    command.setenv("GATEWAY_DATA_DIR", str(command.data_dir))
    command.setenv("GATEWAY_SECRET_KEY", SECRET_KEY)
    yield command
    for path in command.data_dir.rglob("*"):
        for secret in command.secrets if path.is_file() else ():
            assert secret.encode() not in path.read_bytes(), f"{path.name} holds a secret in clear"


@pytest.fixture
async def upstream(accounts: Command) -> AsyncIterator[ReplayUpstream]:
    async with ReplayUpstream(api_keys={KEY, OTHER_KEY}) as running:
        accounts.setenv("GATEWAY_ANTHROPIC_BASE_URL", running.url)
        yield running


@pytest.fixture
async def openai(accounts: Command) -> AsyncIterator[OpenAIReplay]:
    async with OpenAIReplay(api_keys={"sk-proj-of-the-openai-account"}) as running:
        accounts.setenv("GATEWAY_OPENAI_BASE_URL", running.url)
        yield running
