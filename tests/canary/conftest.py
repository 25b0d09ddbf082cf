"""The commands, with nothing set in the environment."""

from __future__ import annotations

import os

import pytest

from tests.canary.command import Command


@pytest.fixture
def command(monkeypatch: pytest.MonkeyPatch) -> Command:
    for name in [name for name in os.environ if name.startswith("GATEWAY_")]:
        monkeypatch.delenv(name)
    return Command(monkeypatch)
