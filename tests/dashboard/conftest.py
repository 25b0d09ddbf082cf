"""One browser for all tests of a process, so one event loop for them too."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import AsyncIterator, Callable, Mapping
from functools import partial
from pathlib import Path

import pytest
import pytest_asyncio
import uvloop
from playwright.async_api import Browser

from tests.dashboard.browsing import OpenDashboard, open_browser, open_dashboard

_HERE = Path(__file__).parent


def pytest_asyncio_loop_factories() -> Mapping[str, Callable[[], asyncio.AbstractEventLoop]]:
    return {"uvloop": uvloop.new_event_loop}


@pytest.hookimpl(tryfirst=True)
def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    _use_one_loop(metafunc.definition)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if _HERE in item.path.parents:
            _use_one_loop(item)


def _use_one_loop(item: pytest.Item) -> None:
    # pytest-asyncio asks for it twice: when it makes tests of a function, and when it runs them.
    if inspect.iscoroutinefunction(getattr(item, "obj", None)):
        item.add_marker(pytest.mark.asyncio(loop_scope="session"), append=False)


@pytest_asyncio.fixture(loop_scope="session", scope="session")
async def browser() -> AsyncIterator[Browser]:
    """Run Chromium."""
    async with open_browser() as running:
        yield running


@pytest.fixture(scope="session")
def dashboard(browser: Browser) -> OpenDashboard:
    """Give tests what they open with: `async with … as site`."""
    return partial(open_dashboard, browser)
