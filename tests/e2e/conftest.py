"""Real clients, and places for them to connect to."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Callable, Mapping
from pathlib import Path
from typing import Final, Never

import pytest

from gateway.replay.server import ReplayUpstream
from tests.e2e import claude_code
from tests.e2e.matrix import observe
from tests.e2e.scenarios import SCENARIOS, Pair
from tests.e2e.stage import Place, behind_gateway
from tests.sdk_parity.installs import Unavailable

_INSTALL_AND_RUN_SECONDS: Final = 900


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark what is here as end-to-end, and leave time for whichever test installs a client first."""
    for item in items:
        if item.path.is_relative_to(Path(__file__).parent):
            item.add_marker(pytest.mark.e2e)
            item.add_marker(pytest.mark.timeout(_INSTALL_AND_RUN_SECONDS))


def give_up(reason: str) -> Never:
    """Skip where somebody works without a client that cannot be installed; fail in CI."""
    if os.environ.get("CI"):
        pytest.fail(reason)
    pytest.skip(reason)


@pytest.fixture(scope="session")
def claude() -> claude_code.ClaudeCode:
    """Give an installed Claude Code."""
    try:
        return claude_code.install()
    except Unavailable as reason:
        give_up(f"Claude Code: {reason}")


@pytest.fixture
async def place() -> AsyncIterator[Place]:
    """Give a gateway in front of a replay upstream, and a key to it."""
    async with behind_gateway(ReplayUpstream()) as gateway:
        yield gateway


@pytest.fixture(scope="session")
def observed(request: pytest.FixtureRequest) -> Callable[[str], Mapping[str, Pair]]:
    """Give how a client fares in all scenarios that this session asks for; they run at once, the first time."""
    known: dict[str, Mapping[str, Pair]] = {}
    wanted: dict[str, dict[str, None]] = {}
    for item in request.session.items:
        parameters = getattr(item, "callspec", None)
        if parameters is not None and {"client", "scenario"} <= parameters.params.keys():
            wanted.setdefault(parameters.params["client"], {})[parameters.params["scenario"]] = None

    def of(client: str) -> Mapping[str, Pair]:
        if client not in known:
            try:
                known[client] = observe(client, [SCENARIOS[name] for name in wanted[client]])
            except Unavailable as reason:
                give_up(f"{client}: {reason}")
        return known[client]

    return of
