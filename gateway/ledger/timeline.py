"""When events of which kind came on a stream: taken down as they come, kept small, and read again.

Never what was in them. Deltas of one block that come close together are one entry; the longer a stream lasts, the
more of them are.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Callable, Sequence
from typing import Any, Final

import msgspec
from attrs import define, field

from gateway.ledger.redaction import redact, short_word
from sse_fsm.blocks import BLOCK_TYPES
from sse_fsm.events import EventKind
from sse_fsm.framing import Frame
from sse_fsm.machine import JudgedEvent
from sse_fsm.violations import ProtocolViolation

__all__ = ["Entry", "Place", "Timeline", "TimelineError", "TimelineRecorder"]

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


_PACKED: Final = struct.Struct("<IIIiIIBB")
"""An entry in 26 bytes: milliseconds at its beginning, at its end, of its longest gap; index, count, size; the
numbers of two words. As objects, a few thousand entries of each stream would take ten times as much, and every
garbage collection would look through them."""
_NOTHING: Final = 2**32 - 1
_NO_INDEX: Final = -(2**31)
_MOST_WORDS: Final = 255


@define(eq=False, on_setattr=[])
class _Entries:
    """Entries, packed."""

    words: list[str | None] = field(factory=lambda: [None])
    """What events and details are called; those that came when there was no room left are None."""
    data: bytearray = field(factory=bytearray)

    def __len__(self) -> int:
        return len(self.data) // _PACKED.size

    def append(self, entry: Entry) -> None:
        """Add one; numbers that are larger than there is room for are the largest."""
        index = entry.index
        self.data += _PACKED.pack(
            min(round(entry.at * 1000), _NOTHING),
            _NOTHING if entry.until is None else min(round(entry.until * 1000), _NOTHING - 1),
            min(round(entry.longest_gap * 1000), _NOTHING),
            _NO_INDEX if index is None or not -(2**31) < index < 2**31 else index,
            min(entry.count, _NOTHING),
            min(entry.size, _NOTHING),
            self._number(entry.event),
            self._number(entry.detail),
        )

    def unpack(self, first: int = 0) -> list[Entry]:
        """Return all of them from one on."""
        data = self.data[first * _PACKED.size :]
        return [
            Entry(
                at / 1000,
                self.words[event] or "unknown",
                None if index == _NO_INDEX else index,
                self.words[detail],
                count,
                size,
                None if until == _NOTHING else until / 1000,
                gap / 1000,
            )
            for at, until, gap, index, count, size, event, detail in _PACKED.iter_unpack(data)
        ]

    def _number(self, word: str | None) -> int:
        words = self.words
        if word not in words:
            if len(words) > _MOST_WORDS:
                return 0
            words.append(word)
        return words.index(word)


@define
class Place:
    """How far somebody has read what a recorder takes down."""

    entries: int = 0
    merged: float = _MERGED_SECONDS


@define(eq=False, on_setattr=[])
class TimelineRecorder:
    """Takes down what a guard judges; `sse_fsm.guard.Recorder` says what is called when."""

    clock: Callable[[], float]
    """The event loop's, in seconds."""
    began: float
    """When the request came in, on that clock."""
    _entries: _Entries = field(factory=_Entries, init=False)
    _last: Entry | None = field(default=None, init=False)
    """Deltas that more may be added to; behind all others."""
    _index: int = field(default=-1, init=False)
    _run_delta: str = field(default="", init=False)
    _merged: float = field(default=_MERGED_SECONDS, init=False)
    _left_out: int = field(default=0, init=False)
    _violation: str | None = field(default=None, init=False)
    _broken: bytes | None = field(default=None, init=False)

    @property
    def violation(self) -> str | None:
        """Code of the rule that was broken."""
        return self._violation

    @property
    def open_deltas(self) -> Entry | None:
        """Deltas that more may be added to: they are in no entry yet."""
        return self._last

    def read_on(self, place: Place) -> tuple[list[Entry], bool]:
        """Return the entries behind a place, which moves behind them; and whether they are all that there are.

        For whoever looks at a stream while it lasts. They are all where neighbours were merged since, to make
        room: what was read before is among them then.
        """
        is_anew = place.merged != self._merged
        found = self._entries.unpack(0 if is_anew else place.entries)
        place.entries, place.merged = len(self._entries), self._merged
        return found, is_anew

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
            self._entries.unpack(),
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
            self._entries.append(entry)
        else:
            self._left_out += entry.count

    def _make_room(self) -> None:
        """Merge neighbouring deltas of one block, further apart each time; nothing else can be spared."""
        while len(self._entries) > _MOST_ENTRIES // 2 and self._merged < _MOST_SECONDS:
            self._merged *= 4
            self._merge()

    def _merge(self) -> None:
        kept: list[Entry] = []
        for entry in self._entries.unpack():
            last = kept[-1] if kept else None
            if last is None or not _belong_together(last, entry) or entry.end - last.at >= self._merged:
                kept.append(entry)
                continue
            last.longest_gap = max(last.longest_gap, entry.longest_gap, entry.at - last.end)
            last.until = entry.end
            last.count += entry.count
            last.size += entry.size
        self._entries.data.clear()
        for entry in kept:
            self._entries.append(entry)


def _belong_together(one: Entry, other: Entry) -> bool:
    return one.event == other.event == _DELTA and (one.index, one.detail) == (other.index, other.detail)
