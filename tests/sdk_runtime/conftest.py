"""Every test here runs on the loop of production and leaves no task, no runtime and no directory behind."""

from __future__ import annotations

import asyncio
import os
import tempfile
from collections.abc import AsyncIterator, Callable, Mapping
from pathlib import Path

import pytest
import uvloop

from tests.sdk_runtime.asking import runtimes


def pytest_asyncio_loop_factories() -> Mapping[str, Callable[[], asyncio.AbstractEventLoop]]:
    return {"uvloop": uvloop.new_event_loop}


@pytest.fixture(autouse=True)
async def _nothing_left(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[None]:
    """Fail a test after which anything of a runtime is still there."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    before = asyncio.all_tasks()
    yield
    left = asyncio.all_tasks() - before - {asyncio.current_task()}
    if left:
        # A connection that was just closed may need one more turn of the loop.
        _, left = await asyncio.wait(left, timeout=2)
    assert not left, left
    assert not runtimes()
    assert not os.listdir(tmp_path)  # noqa: PTH208 - pathlib's own way may not be called here
