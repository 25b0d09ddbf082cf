"""Every test here runs on the loop of production and leaves nothing running behind."""

from tests.faults.conftest import _no_stray_tasks, pytest_asyncio_loop_factories

__all__ = ["_no_stray_tasks", "pytest_asyncio_loop_factories"]
