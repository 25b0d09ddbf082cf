"""When events of which kind came on a stream: taken down as they come, kept small, and read again.

Never what was in them. Deltas of one block that come close together are one entry; the longer a stream lasts, the
more of them are.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Sequence
from operator import attrgetter
from typing import Any, Final

import msgspec
from attrs import define, field, fields

from gateway.ledger.redaction import redact, short_word
from sse_fsm.blocks import BLOCK_TYPES
from sse_fsm.events import EventKind
from sse_fsm.framing import Frame
from sse_fsm.machine import JudgedEvent
from sse_fsm.violations import ProtocolViolation

__all__ = ["Entry", "Timeline", "TimelineError", "TimelineRecorder"]

_MOST_ENTRIES: Final = 2048
_MERGED_SECONDS: Final = 0.25
_MOST_SECONDS: Final = 100_000.0
"""Deltas that are so far apart are merged too before anything is left out."""
_LARGEST: Final = 16 * 1024 * 1024  # bytes of a timeline, unpacked
_DELTA: Final = EventKind.CONTENT_BLOCK_DELTA.value
_RUN_DELTAS: Final = {
    "text": "text_delta",
    "thinking": "thinking_delta",
    "tool_use": "input_json_delta",
    "server_tool_use": "input_json_delta",
    "mcp_tool_use": "input_json_delta",
}
"""Per block type, the deltas that come in runs."""


class TimelineError(Exception):
    """What was kept is no timeline."""


@define
class Entry:
    """One event, or several deltas of one block."""

    at: float
    """Seconds since the request came in."""
    event: str
    """Its type; `committed` for the moment in which the client's answer began."""
    index: int | None = None
    """Of the block; of `message_start`, how many blocks it brings along."""
    detail: str | None = None
    """Type of the block, of the delta, of the error; or the stop reason."""
    count: int = 1
    size: int = 0
    """Bytes of all of them."""
    until: float | None = None
    """When the last of several came."""
    longest_gap: float = 0.0
    """Seconds between two of several, at the most."""

    @property
    def end(self) -> float:
        """When the last of them came."""
        return self.at if self.until is None else self.until


@define
class Timeline:
    """A stream from its beginning to its end."""

    entries: list[Entry] = field(factory=list)
    left_out: int = 0
    """Events that are in no entry, because there were too many."""
    ended_at: float = 0.0
    """Seconds since the request came in."""
    outcome: str = ""
    reason: str | None = None
    violation: str | None = None
    """Its code."""
    broken: bytes | None = None
    """The event that broke a rule, without its content."""

    def encode(self) -> bytes:
        """Return it in a form to be kept."""
        entries = [
            [
                round(entry.at * 1000),
                entry.event,
                entry.index,
                entry.detail,
                entry.count,
                entry.size,
                None if entry.until is None else round(entry.until * 1000),
                round(entry.longest_gap * 1000),
            ]
            for entry in self.entries
        ]
        value = {
            "version": 1,
            "entries": entries,
            "left_out": self.left_out,
            "ended_at": round(self.ended_at * 1000),
            "outcome": self.outcome,
            "reason": self.reason,
            "violation": self.violation,
            "broken": self.broken,
        }
        return zlib.compress(msgspec.msgpack.encode(value))

    @classmethod
    def decode(cls, kept: bytes) -> Timeline:
        """Read what `encode` made.

        Raises:
            TimelineError: it is none.
        """
        try:
            value: dict[str, Any] = msgspec.msgpack.decode(zlib.decompressobj().decompress(kept, _LARGEST))
            return cls(
                [_entry(entry) for entry in value["entries"]],
                value["left_out"],
                value["ended_at"] / 1000,
                value["outcome"],
                value["reason"],
                value["violation"],
                value["broken"],
            )
        except (zlib.error, msgspec.DecodeError, KeyError, TypeError, ValueError):
            raise TimelineError("the timeline in the database cannot be read") from None


def _entry(value: Sequence[Any]) -> Entry:
    at, event, index, detail, count, size, until, gap = value
    return Entry(at / 1000, event, index, detail, count, size, None if until is None else until / 1000, gap / 1000)


_Kept = tuple[float, str, int | None, str | None, int, int, float | None, float]
"""The values of an entry. Objects of a class would be looked through in every garbage collection, which stops all
streams; such tuples are left out of it."""
_values: Final[Callable[[Entry], _Kept]] = attrgetter(*(each.name for each in fields(Entry)))


@define(eq=False, on_setattr=[])
class TimelineRecorder:
    """Takes down what a guard judges; `sse_fsm.guard.Recorder` says what is called when."""

    clock: Callable[[], float]
    """The event loop's, in seconds."""
    began: float
    """When the request came in, on that clock."""
    _entries: list[_Kept] = field(factory=list, init=False)
    _last: Entry | None = field(default=None, init=False)
    """Deltas that more may be added to; behind all others."""
    _index: int = field(default=-1, init=False)
    _run_delta: str = field(default="", init=False)
    _merged: float = field(default=_MERGED_SECONDS, init=False)
    _left_out: int = field(default=0, init=False)
    _violation: str | None = field(default=None, init=False)
    _broken: bytes | None = field(default=None, init=False)

    def run(self, number: int, size: int) -> None:
        """Add deltas of the open block."""
        self._deltas(self._run_delta, number, size)

    def event(self, judged: JudgedEvent) -> None:
        """Add another event."""
        kind, payload = judged.kind, judged.payload
        size = len(judged.frame.raw)
        if kind is EventKind.CONTENT_BLOCK_DELTA:
            self._deltas(short_word(payload["delta"]["type"]), 1, size)
            return
        index: int | None = None
        detail: str | None = None
        name: str = kind.value
        if kind is EventKind.CONTENT_BLOCK_START:
            block = payload["content_block"]["type"]
            self._index = index = payload["index"]
            self._run_delta = _RUN_DELTAS.get(block, "")
            detail = block if block in BLOCK_TYPES else short_word(block)
        elif kind is EventKind.CONTENT_BLOCK_STOP:
            index = payload["index"]
        elif kind is EventKind.MESSAGE_START:
            index = len(payload["message"]["content"]) or None
        elif kind is EventKind.MESSAGE_DELTA:
            detail = short_word(payload["delta"].get("stop_reason"))
        elif kind is EventKind.ERROR:
            error = payload.get("error")
            detail = short_word(error.get("type")) if isinstance(error, dict) else None
        elif kind is EventKind.UNKNOWN:
            name = short_word((judged.frame.event or b"").decode("utf-8", "replace")) or "unknown"
        self._add(Entry(self.clock() - self.began, name, index, detail, 1, size))

    def broke(self, violation: ProtocolViolation, frame: Frame | None) -> None:
        """Keep what broke a rule, without its content."""
        self._violation = violation.code
        self._broken = redact(frame, violation.code)

    def committed(self) -> None:
        """Say that the client's answer begins now."""
        self._add(Entry(self.clock() - self.began, "committed", count=0))

    def finish(self, outcome: str, reason: str | None) -> bytes:
        """Return the timeline in a form to be kept.

        Args:
            outcome: of the request.
            reason: why nothing more came.
        """
        ended = self.clock() - self.began
        self._close()
        return Timeline(
            [Entry(*kept) for kept in self._entries],
            self._left_out,
            ended,
            outcome,
            reason,
            self._violation,
            self._broken,
        ).encode()

    def _deltas(self, detail: str | None, number: int, size: int) -> None:
        now = self.clock() - self.began
        last = self._last
        if last is not None and last.detail == detail and now - last.at < self._merged:
            before = last.at if last.until is None else last.until
            last.longest_gap = max(last.longest_gap, now - before)
            last.until = now
            last.count += number
            last.size += size
            return
        self._close()
        self._last = Entry(now, _DELTA, self._index, detail, number, size)

    def _add(self, entry: Entry) -> None:
        self._close()
        self._keep(entry)

    def _close(self) -> None:
        last, self._last = self._last, None
        if last is not None:
            self._keep(last)

    def _keep(self, entry: Entry) -> None:
        if len(self._entries) >= _MOST_ENTRIES:
            self._make_room()
        if len(self._entries) < _MOST_ENTRIES:
            self._entries.append(_values(entry))
        else:
            self._left_out += entry.count

    def _make_room(self) -> None:
        """Merge neighbouring deltas of one block, further apart each time; nothing else can be spared."""
        while len(self._entries) > _MOST_ENTRIES // 2 and self._merged < _MOST_SECONDS:
            self._merged *= 4
            self._merge()

    def _merge(self) -> None:
        kept: list[Entry] = []
        for entry in (Entry(*values) for values in self._entries):
            last = kept[-1] if kept else None
            if last is None or not _belong_together(last, entry) or entry.end - last.at >= self._merged:
                kept.append(entry)
                continue
            last.longest_gap = max(last.longest_gap, entry.longest_gap, entry.at - last.end)
            last.until = entry.end
            last.count += entry.count
            last.size += entry.size
        self._entries = [_values(entry) for entry in kept]


def _belong_together(one: Entry, other: Entry) -> bool:
    return one.event == other.event == _DELTA and (one.index, one.detail) == (other.index, other.detail)
