"""How the workers of one gateway tell the first of them, which serves the control plane, of their requests.

Each writes a file into the directory that they share, twice a second, and only while the first one says that
somebody watches: by a file that it touches. docs/decisions/0022-one-worker-serves-the-control-plane.md says why.
"""

from __future__ import annotations

import math
import os
from collections.abc import Sequence
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

import msgspec
from attrs import define, field

from gateway.controlplane.health import WorkerHealth
from gateway.controlplane.request_views import RequestView
from gateway.controlplane.streams import StreamView

__all__ = ["WorkerFiles", "WorkerReport"]

_WATCHED: Final = "watched"
_REPORT: Final = "report_{place}.json"
_FRESH_SECONDS: Final = 3.0
"""That a report or the mark is believed."""
_LARGEST: Final = 4 * 1024 * 1024
"""Bytes of a report that is read, or written."""


class WorkerReport(msgspec.Struct, kw_only=True):
    """What one worker tells."""

    at: float
    health: WorkerHealth
    streams: list[StreamView]
    not_shown: int
    edges: list[tuple[str, str, int]]
    states: dict[str, int]
    ended: list[tuple[int, RequestView]]
    """The last requests that ended, with their numbers, which rise."""


_decoder: Final = msgspec.json.Decoder(WorkerReport)


@define(eq=False)
class WorkerFiles:
    """The files of one gateway's workers. All methods block for a moment: they are for a thread."""

    directory: Path
    place: int
    """Of this worker; the first is 0."""
    workers: int
    _marked: float = field(default=-math.inf, init=False)
    """When it was last said that somebody watches."""
    _since: float = field(default=math.inf, init=False)
    """Since when it has been said without a break."""

    def mark_watched(self) -> None:
        """Say that somebody watches."""
        now = _now()
        if now - self._marked >= _FRESH_SECONDS:
            self._since = now
        self._marked = now
        with suppress(OSError):
            (self.directory / _WATCHED).touch(mode=0o600)
            os.utime(self.directory / _WATCHED)

    def unmark_watched(self) -> None:
        """Say that nobody does any more."""
        self._marked, self._since = -math.inf, math.inf
        with suppress(OSError):
            (self.directory / _WATCHED).unlink(missing_ok=True)

    def has_all(self, reports: Sequence[WorkerReport]) -> bool:
        """Whether these are all reports that there are: whoever is just asked needs a moment to tell."""
        return len(reports) >= self.workers - 1 or _now() - self._since >= _FRESH_SECONDS

    def is_watched(self) -> bool:
        """Whether somebody watches."""
        try:
            return _now() - (self.directory / _WATCHED).stat().st_mtime < _FRESH_SECONDS
        except OSError:
            return False

    def write(self, report: WorkerReport) -> None:
        """Tell of this worker; one that is too large or for which there is no room is not told."""
        data = msgspec.json.encode(report)
        if len(data) > _LARGEST:
            data = msgspec.json.encode(msgspec.structs.replace(report, streams=[], ended=[]))
        path = self.directory / _REPORT.format(place=self.place)
        part = path.with_suffix(".part")
        try:
            part.write_bytes(data)
            part.replace(path)
        except OSError:
            with suppress(OSError):
                part.unlink(missing_ok=True)

    def remove(self) -> None:
        """Take back what this worker told."""
        with suppress(OSError):
            (self.directory / _REPORT.format(place=self.place)).unlink(missing_ok=True)

    def read(self) -> list[WorkerReport]:
        """Return what the other workers tell; what is old, or no report, is passed over."""
        found: list[WorkerReport] = []
        for place in range(self.workers):
            if place == self.place:
                continue
            with suppress(OSError, msgspec.MsgspecError, UnicodeDecodeError):
                with (self.directory / _REPORT.format(place=place)).open("rb") as file:
                    report = _decoder.decode(file.read(_LARGEST + 1))
                if _now() - report.at < _FRESH_SECONDS:
                    found.append(report)
        return found


def _now() -> float:
    return datetime.now(UTC).timestamp()
