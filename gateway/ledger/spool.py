"""Records that the database would not take, kept in files until it does.

Each process appends to a file of its own, which it holds locked. A file whose process is gone is not locked any
more, and the next one that looks takes it over. Whatever `append` counted as kept has been on the disk since.
"""

from __future__ import annotations

import fcntl
import os
import secrets
import stat
from collections.abc import Iterator, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from attrs import define, field

__all__ = ["Kept", "Spool", "SpoolFile"]

_PREFIX: Final = "requests-"
_SUFFIX: Final = ".jsonl"
_REFUSED: Final = "refused.jsonl"
_FILE_MODE: Final = 0o600
_DIRECTORY_MODE: Final = 0o700
_READ_BYTES: Final = 256 * 1024
_LONGEST_LINE: Final = 4 * 1024 * 1024
_TRIES: Final = 10


@define(frozen=True)
class Kept:
    """How many of some lines are on the disk: the first `count` of them."""

    count: int
    problem: str | None = None
    """Why not all are."""


@define(eq=False)
class SpoolFile:
    """A file that this process holds."""

    path: Path
    _handle: int
    size: int = 0
    """Bytes of whole lines, as far as this process knows."""
    _read: int = 0

    @property
    def is_there(self) -> bool:
        """Whether nobody has deleted it."""
        return os.fstat(self._handle).st_nlink > 0

    def append(self, lines: Sequence[bytes]) -> Kept:
        """Append lines and make them durable; on a full disk as many as there is room for, whole.

        Raises:
            OSError: nothing can be said of what is on the disk.
        """
        data = memoryview(b"".join(line + b"\n" for line in lines))
        written, problem = 0, None
        while written < len(data):
            try:
                written += os.write(self._handle, data[written:])
            except OSError as error:
                problem = _words(error)
                break
        whole = bytes(data[:written]).rfind(b"\n") + 1
        if whole < written:
            os.ftruncate(self._handle, self.size + whole)
        os.fsync(self._handle)
        self.size += whole
        return Kept(bytes(data[:whole]).count(b"\n"), problem)

    def read(self) -> tuple[list[bytes], int]:
        """Return the next lines, and the place behind them for `skip_to`; no lines at the end of the file.

        What follows the last end of a line is the rest of a write that a crash cut off: no line, and nothing that
        anybody was told is kept.
        """
        wanted = _READ_BYTES
        while True:
            data = os.pread(self._handle, wanted, self._read)
            whole = data.rfind(b"\n") + 1
            if whole or len(data) < wanted or wanted >= _LONGEST_LINE:
                break
            wanted *= 2
        if not whole and len(data) == wanted:
            whole = len(data)  # no line of ours is so long: it is for the reader to set aside
        return [line for line in data[:whole].split(b"\n") if line], self._read + whole

    def skip_to(self, place: int) -> None:
        """Go on reading at this place."""
        self._read = place

    def close(self) -> None:
        """Let go of it: another process may take it over."""
        os.close(self._handle)


@define(eq=False)
class Spool:
    """The files in one directory. Every method reads or writes files; to be used by one thread at a time."""

    directory: Path
    limit_bytes: int
    """For all files together, those of other processes included."""
    _current: SpoolFile | None = field(default=None, init=False)
    _held: dict[Path, SpoolFile] = field(factory=dict, init=False)
    """Files that are appended to no more."""

    def append(self, lines: Sequence[bytes]) -> Kept:
        """Keep lines, none of which has an end of line in it.

        Returns:
            How many are kept, and why not more; it never raises.
        """
        fitting, problem = self._fitting(lines)
        if not fitting:
            return Kept(0, problem)
        if self._current is not None and not self._current.is_there:
            self._set_down(self._current)
        file = self._current
        try:
            if file is None:
                file = self._current = self._make()
            kept = file.append(fitting)
        except OSError as error:
            if file is not None:
                # Nobody knows what is in it from here on, so nothing is appended to it any more.
                self._set_down(file)
            return Kept(0, _words(error))
        if not file.size:
            # A disk without room for a record may have room for the name of a file.
            self._current = None
            with suppress(OSError):
                self.discard(file)
        return Kept(kept.count, kept.problem or problem)

    def oldest(self) -> SpoolFile | None:
        """Return the oldest file with lines that no living process but this one has; None for no more.

        It stays this process's own, and is returned again, until `discard` is called with it.

        Raises:
            OSError: the directory cannot be read.
        """
        paths = {*self._held, *self._paths()}
        if self._current is not None and self._current.size:
            paths.add(self._current.path)
        for path in sorted(paths):
            if self._current is not None and path == self._current.path:
                if self._current.size:
                    self._set_down(self._current)
                    return self._held[path]
            elif (file := self._held.get(path) or self._take_over(path)) is not None:
                return file
        return None

    def discard(self, file: SpoolFile) -> None:
        """Delete a file whose lines are where they belong.

        Raises:
            OSError: it cannot be deleted.
        """
        self._held.pop(file.path, None)
        try:
            # While it is still locked: the next process must not find it.
            file.path.unlink(missing_ok=True)
        finally:
            file.close()

    def set_aside(self, lines: Sequence[bytes]) -> Kept:
        """Keep lines that no database will ever take in `refused.jsonl`, for a person to look at."""
        fitting, problem = self._fitting(lines)
        try:
            self._make_directory()
            handle = os.open(self.directory / _REFUSED, os.O_CREAT | os.O_APPEND | os.O_WRONLY, _FILE_MODE)
            file = SpoolFile(self.directory / _REFUSED, handle)
            try:
                fcntl.flock(handle, fcntl.LOCK_EX)
                file.size = os.fstat(handle).st_size
                kept = file.append(fitting)
            finally:
                file.close()
        except OSError as error:
            return Kept(0, _words(error))
        return Kept(kept.count, kept.problem or problem)

    def close(self) -> None:
        """Let go of all files; the next process that looks takes them over."""
        current, self._current = self._current, None
        if current is not None:
            if current.size:
                current.close()
            else:
                self.discard(current)
        while self._held:
            self._held.popitem()[1].close()

    def _paths(self) -> Iterator[Path]:
        return self.directory.glob(f"{_PREFIX}*{_SUFFIX}")

    def _used(self) -> int:
        used = 0
        for path in (*self._paths(), self.directory / _REFUSED):
            with suppress(FileNotFoundError):  # its process has just deleted it
                used += path.stat().st_size
        return used

    def _fitting(self, lines: Sequence[bytes]) -> tuple[Sequence[bytes], str | None]:
        """Return the first lines for which there is room within the limit."""
        try:
            used = self._used()
        except OSError:  # such as no file handle to list the directory with
            held = (*self._held.values(), *([self._current] if self._current is not None else ()))
            used = sum(file.size for file in held)
        for count, line in enumerate(lines):
            used += len(line) + 1
            if used > self.limit_bytes:
                return lines[:count], f"the spool is at its limit of {self.limit_bytes} bytes"
        return lines, None

    def _make_directory(self) -> None:
        self.directory.mkdir(parents=True, exist_ok=True, mode=_DIRECTORY_MODE)

    def _make(self) -> SpoolFile:
        """Make this process's file, durable in its directory and locked.

        Raises:
            OSError: it cannot be made.
        """
        self._make_directory()
        for _ in range(_TRIES):
            # The names sort by age.
            now = datetime.now(UTC).strftime("%Y%m%dT%H%M%S%f")
            path = self.directory / f"{_PREFIX}{now}-{os.getpid()}-{secrets.token_hex(4)}{_SUFFIX}"
            handle = os.open(path, os.O_CREAT | os.O_EXCL | os.O_APPEND | os.O_RDWR, _FILE_MODE)
            try:
                # Another process may have taken it for one of a dead process in between.
                if _lock(path, handle):
                    _sync_directory(self.directory)
                    return SpoolFile(path, handle)
            except OSError:
                path.unlink(missing_ok=True)
                os.close(handle)
                raise
            os.close(handle)
        raise OSError("other processes take over each new file")

    def _take_over(self, path: Path) -> SpoolFile | None:
        """Return a file if its process is gone, and nobody else has taken it over."""
        try:
            handle = os.open(path, os.O_APPEND | os.O_RDWR | os.O_NOFOLLOW | os.O_NONBLOCK)
        except OSError:
            return None
        try:
            if not _lock(path, handle):
                os.close(handle)
                return None
        except OSError:
            os.close(handle)
            return None
        file = self._held[path] = SpoolFile(path, handle, os.fstat(handle).st_size)
        return file

    def _set_down(self, file: SpoolFile) -> None:
        self._held[file.path] = file
        self._current = None


def _lock(path: Path, handle: int) -> bool:
    """Lock a file; False if somebody else has, or had until it was deleted.

    Raises:
        OSError: the file system cannot lock, or it is no plain file.
    """
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    opened = os.fstat(handle)
    if not stat.S_ISREG(opened.st_mode):
        raise OSError("not a plain file")
    try:
        found = path.stat()
    except FileNotFoundError:
        return False
    return (found.st_ino, found.st_dev) == (opened.st_ino, opened.st_dev)


def _sync_directory(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _words(error: OSError) -> str:
    return error.strerror or str(error) or type(error).__name__
