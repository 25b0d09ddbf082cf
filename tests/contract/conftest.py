"""A gateway for each module, on the event loop that it runs on in production."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping

import pytest
import pytest_asyncio
import uvloop

from tests.contract.harness import Served, serving


def pytest_asyncio_loop_factories() -> Mapping[str, Callable[[], asyncio.AbstractEventLoop]]:
    return {"uvloop": uvloop.new_event_loop}


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def served() -> AsyncIterator[Served]:
    """Return a gateway with a key, shared by the tests of a module."""
    async with serving() as running:
        yield running


@pytest.fixture(autouse=True)
def _fresh_journal(request: pytest.FixtureRequest) -> None:
    """Forget what earlier tests sent and planned, where the module's gateway is in use."""
    if "served" in request.fixturenames:
        shared: Served = request.getfixturevalue("served")
        shared.upstream.journal.clear()
        shared.upstream.faults.clear()
        shared.ledger.records.clear()
