"""The gateway of the contract tests, which no bad input may shake."""

from __future__ import annotations

from tests.contract.conftest import _fresh_journal, pytest_asyncio_loop_factories, served

__all__ = ["_fresh_journal", "pytest_asyncio_loop_factories", "served"]
