"""A database, as several processes see it, on a clock that tests move."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from gateway.store.engine import Database
from tests import fresh_database
from tests.faults.conftest import _no_stray_tasks, pytest_asyncio_loop_factories

__all__ = ["_no_stray_tasks", "pytest_asyncio_loop_factories"]


@pytest.fixture
async def database(database_url: str, tmp_path: Path) -> AsyncIterator[Database]:
    if not database_url:
        await fresh_database.lay(tmp_path)
    async with Database(database_url, tmp_path) as opened:
        yield opened
