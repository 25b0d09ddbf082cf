"""What holds for every test.

Hypothesis profiles: `fast` while working, `ci` that always tries the same, `property` for a long search,
`mutants` that only wants to know whether there is a failure. No
blocking call on the event loop of a gateway, and no secret in any log line or answer of a control plane.
"""

from __future__ import annotations

import asyncio
import inspect
import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from blockbuster import blockbuster_ctx
from hypothesis import HealthCheck, Phase, settings

from gateway.store.engine import Database
from tests import answer_watch, log_watch
from tests.postgres import Postgres

# The strategies build whole streams, which takes longer than Hypothesis expects of an example.
_SLOW = [HealthCheck.too_slow, HealthCheck.data_too_large]

settings.register_profile("fast", max_examples=60, deadline=None, suppress_health_check=_SLOW)
settings.register_profile("ci", max_examples=100, deadline=None, suppress_health_check=_SLOW, derandomize=True)
settings.register_profile("property", max_examples=3000, deadline=None, suppress_health_check=_SLOW)
settings.register_profile(
    "mutants",
    max_examples=15,
    deadline=None,
    suppress_health_check=[*_SLOW, HealthCheck.differing_executors],
    derandomize=True,
    database=None,
    phases=[Phase.explicit, Phase.generate],
)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "fast"))


_LONGEST = (
    "tests/container/test_image",
    "tests/controlplane/test_openapi_contract",
    "tests/ledger/test_kill",
    "tests/e2e/",
    "tests/hosts/",
    "tests/dashboard/",
)
"""They take minutes: begun last, one of them would keep a process at work when the others have nothing left."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with what takes longest; with `--no-loadscope-reorder` pytest-xdist keeps to that."""
    items.sort(key=_turn)


def _turn(item: pytest.Item) -> int:
    return next((turn for turn, start in enumerate(_LONGEST) if item.nodeid.startswith(start)), len(_LONGEST))


def pytest_configure(config: pytest.Config) -> None:
    config.pluginmanager.register(log_watch, "log-watch")
    config.pluginmanager.register(answer_watch, "answer-watch")


@pytest.fixture(autouse=True)
def _no_blocking_calls(request: pytest.FixtureRequest) -> Iterator[None]:
    """Fail a test in which the gateway blocks the event loop: files, sleeps, sockets, locks, SQLite."""
    if not inspect.iscoroutinefunction(getattr(request.node, "obj", None)):
        yield
        return
    with blockbuster_ctx(scanned_modules=["gateway", "sse_fsm", "aiohttp"]) as blocking:
        for function in blocking.functions.values():
            # Tests look things up in the corpus by themselves; the replay upstream does it in a thread.
            function.can_block_in("gateway/replay/fixtures.py", {"default_corpus", "read"})
            # asyncpg looks for certificates in the home directory when it connects: a few look-ups, rarely.
            function.can_block_in("asyncpg/connect_utils.py", {"_parse_connect_dsn_and_args"})
        yield


@pytest.fixture(scope="session")
def postgres() -> Iterator[Postgres]:
    """Give a running PostgreSQL; a test that stops it starts it again."""
    server = Postgres()
    try:
        server.start()
        yield server
    finally:
        server.remove()


@pytest.fixture(scope="session")
def migrated(postgres: Postgres) -> str:
    """Give the dump of a database that has all tables: a copy takes a fraction of what migrating takes."""

    async def migrate(url: str) -> None:
        async with Database(url, Path()):
            pass

    url = postgres.create_database()
    asyncio.run(migrate(url))
    return postgres.dump(url)


@pytest.fixture(params=["sqlite", "postgresql"])
def database_url(request: pytest.FixtureRequest) -> str:
    """Give what GATEWAY_DATABASE_URL is set to: the default, and then PostgreSQL, with tables that are empty."""
    if request.param == "sqlite":
        return ""
    return request.getfixturevalue("postgres").restore(request.getfixturevalue("migrated"))
