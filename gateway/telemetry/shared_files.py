"""The directory in which the workers of a gateway share the values of their metrics."""

from __future__ import annotations

import fcntl
import os
import shutil
import tempfile
from collections.abc import Generator, Iterator, Mapping
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

__all__ = ["NoRoomError", "shared_directory"]

_MEMORY: Final = Path("/dev/shm")  # noqa: S108 - the directory made in it is for this user alone
_PREFIX: Final = "claude-stream-gateway-metrics-"
_LOCK: Final = "lock"
_BEING_MADE_SECONDS: Final = 60.0


class NoRoomError(Exception):
    """There is no place for the files; the message says where one was looked for."""


@contextmanager
def shared_directory(files: Mapping[str, int], otherwise: Path) -> Generator[Path]:
    """Make a directory with files of their full size for as long as the context lasts, in memory where possible.

    What has its room now needs none later: a process that writes to a mapped file on a full disk is killed for it.
    Directories of gateways that died without removing theirs are removed first.

    Args:
        files: their names and sizes in bytes.
        otherwise: where the directory is made if neither memory nor the directory for temporary files will do.

    Raises:
        NoRoomError: nor will this.
    """
    path, lock = _make(files, otherwise)
    try:
        yield path
    finally:
        shutil.rmtree(path, ignore_errors=True)
        os.close(lock)


def _make(files: Mapping[str, int], otherwise: Path) -> tuple[Path, int]:
    """Return the directory, and the open file whose lock says that it is in use."""
    places = list(_places(otherwise))
    for base in places:
        with suppress(OSError):
            _remove_abandoned(base)
            path = Path(tempfile.mkdtemp(prefix=_PREFIX, dir=base))
            try:
                return path, _fill(path, files)
            except OSError:
                shutil.rmtree(path, ignore_errors=True)
    size = sum(files.values()) >> 20
    raise NoRoomError(
        f"several workers need {size} MiB for files that they share, and there is no room for them in any of "
        f"{', '.join(map(str, places))}; make some, or set GATEWAY_WORKERS=1"
    )


def _places(otherwise: Path) -> Iterator[Path]:
    yield _MEMORY
    with suppress(OSError):
        yield Path(tempfile.gettempdir())
    with suppress(OSError):
        otherwise.mkdir(mode=0o700, parents=True, exist_ok=True)
    yield otherwise


def _fill(path: Path, files: Mapping[str, int]) -> int:
    lock = os.open(path / _LOCK, os.O_CREAT | os.O_RDWR, 0o600)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX)
        for name, size in files.items():
            handle = os.open(path / name, os.O_CREAT | os.O_EXCL | os.O_RDWR, 0o600)
            try:
                os.posix_fallocate(handle, 0, size)
            finally:
                os.close(handle)
    except OSError:
        os.close(lock)
        raise
    return lock


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
