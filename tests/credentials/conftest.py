"""Every test here runs on the loop of production and leaves nothing running behind."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from gateway.replay.server import ReplayUpstream
from gateway.store.engine import Database
from tests.credentials.bench import Bench
from tests.faults.conftest import _no_stray_tasks, pytest_asyncio_loop_factories

__all__ = ["_no_stray_tasks", "pytest_asyncio_loop_factories"]


@pytest.fixture
def database_url(request: pytest.FixtureRequest) -> str:
    """Give what GATEWAY_DATABASE_URL is set to: the default, unless a test asks for both with `on_both`."""
    if getattr(request, "param", "sqlite") == "sqlite":
        return ""
    return request.getfixturevalue("postgres").create_database()


@pytest.fixture
async def bench(database_url: str, tmp_path: Path) -> AsyncIterator[Bench]:
    async with ReplayUpstream() as upstream, Database(database_url, tmp_path) as database:
        yield Bench(upstream, database)
