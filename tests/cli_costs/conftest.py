"""The command on an empty database."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path

import pytest

from tests import fresh_database
from tests.cli_costs.command import Costs


@pytest.fixture
def costs(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Costs:
    for name in [name for name in os.environ if name.startswith("GATEWAY_")]:
        monkeypatch.delenv(name)
    data_dir = tmp_path / "data"
    data_dir.mkdir()
    asyncio.run(fresh_database.lay(data_dir))
    monkeypatch.setenv("GATEWAY_DATA_DIR", str(data_dir))
    return Costs(monkeypatch, data_dir)


@pytest.fixture
def costs_anywhere(costs: Costs, database_url: str) -> Costs:
    """Give the command on each kind of database."""
    if database_url:
        costs.monkeypatch.setenv("GATEWAY_DATABASE_URL", database_url)
        costs.database_url = database_url
    return costs
