"""The directory in which the workers of a gateway share the values of their metrics."""

from __future__ import annotations

import fcntl
import os
import shutil
import tempfile
from collections.abc import Generator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

__all__ = ["shared_directory"]

_MEMORY: Final = Path("/dev/shm")  # noqa: S108 - the directory made in it is for this user alone
_PREFIX: Final = "claude-stream-gateway-metrics-"
_LOCK: Final = "lock"
_BEING_MADE_SECONDS: Final = 60.0


@contextmanager
def shared_directory() -> Generator[Path]:
    """Make a directory for as long as the context lasts, in memory where that can be.

    Those of gateways that died without removing theirs are removed first.
    """
    base = _MEMORY if os.access(_MEMORY, os.W_OK | os.X_OK) else Path(tempfile.gettempdir())
    _remove_abandoned(base)
    path = Path(tempfile.mkdtemp(prefix=_PREFIX, dir=base))
    handle = os.open(path / _LOCK, os.O_CREAT | os.O_RDWR, 0o600)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield path
    finally:
        shutil.rmtree(path, ignore_errors=True)
        os.close(handle)


def _remove_abandoned(base: Path) -> None:
    for path in base.glob(f"{_PREFIX}*"):
        with suppress(OSError):
            if path.stat().st_uid == os.geteuid() and _is_abandoned(path):
                shutil.rmtree(path, ignore_errors=True)


def _is_abandoned(path: Path) -> bool:
    """Whether nobody holds it any more."""
    try:
        handle = os.open(path / _LOCK, os.O_RDWR | os.O_NOFOLLOW)
    except FileNotFoundError:
        return datetime.now(UTC).timestamp() - path.stat().st_mtime > _BEING_MADE_SECONDS
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    finally:
        os.close(handle)
    return True
