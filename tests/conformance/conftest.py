"""A gateway that is ours, before a stage, for all tests of a module."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping

import pytest_asyncio
import uvloop

from gateway.canary.conformance.bench import Bench, Target
from gateway.canary.conformance.catalogue import FIXTURES
from gateway.canary.conformance.stage import Stage
from tests.contract.harness import serving


def pytest_asyncio_loop_factories() -> Mapping[str, Callable[[], asyncio.AbstractEventLoop]]:
    return {"uvloop": uvloop.new_event_loop}


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def bench() -> AsyncIterator[Bench]:
    """Return a bench whose target is our gateway, and whose limits are those of a test."""
    async with serving(timeouts={"commit_deadline_seconds": 0.2, "ping_interval_seconds": 0.2}) as served:
        stage = Stage(served.upstream, "claude-sonnet-4-5")
        await stage.load(FIXTURES)
        yield Bench(Target(f"{served.gateway.url}/claude", served.key), stage)
