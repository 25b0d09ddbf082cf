"""A database, as several processes see it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from gateway.accounts.account import Account, AccountKind
from gateway.store.accounts import AccountStore
from gateway.store.engine import Database
from tests import fresh_database


@pytest.fixture
async def database(database_url: str, tmp_path: Path) -> AsyncIterator[Database]:
    if not database_url:
        await fresh_database.lay(tmp_path)
    async with Database(database_url, tmp_path) as opened:
        yield opened


@pytest.fixture
async def other(database: Database) -> AsyncIterator[Database]:
    """Give the same database with connections of its own, as another process has it."""
    async with Database(database.url, database.data_dir) as opened:
        yield opened


@pytest.fixture
def accounts(database: Database) -> AccountStore:
    return AccountStore(database)


@pytest.fixture
async def account(accounts: AccountStore) -> Account:
    """Give an account that is stored."""
    return await accounts.add(Account("acc_1", "main", "anthropic", AccountKind.OAUTH, secret=b"sealed"))
