"""Runs of deltas, recognised without decoding them.

Nearly all events of a stream are deltas of one block in one spelling, and they differ in one string alone. So a
run of them can be judged by looking for what is the same and checking the syntax of what differs, in four calls
of C code for the whole run. That costs about as much as decoding the JSON of every second event.

How. Each event of a run is a *head*, which is known to the byte, and a *tail*: JSON string content, the closing
quote, padding, two braces and a blank line. A pattern skips as many bytes as a head has and matches a tail, over
and over. It says nothing about the skipped bytes; counting does:

- the run begins with a head, and `number - 1` times a blank line is followed by a head. None of these can begin
  inside a skipped stretch, which is too short to hold blank line and head, and none inside a tail, since a tail
  has no line end but its blank line; nor can one reach from a stretch into a tail, since what remains of a head
  holds a quote that is no end of a tail. So `number` of the skipped stretches are heads;
- the run has three line ends for each of these events, one in the head and two in the tail. A stretch that is no
  head would be followed by a tail with two more line ends, so there is none.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Final

from sse_fsm.blocks import DELTA_TYPES

__all__ = ["DeltaRun"]

_CHARACTERS: Final = rb'[^"\\\x00-\x1f]*+'
# Surrogate escapes are left to the slow path: in tool input a lone one is a violation.
_ESCAPE: Final = rb'\\(?:["\\/bfnrt]|u(?![dD][89a-fA-F])[0-9a-fA-F]{4})'
_TAIL: Final = _CHARACTERS + rb"(?:" + _ESCAPE + _CHARACTERS + rb')*+" *+\} *+\}\n\n'
_LINE_ENDS: Final = 3


class DeltaRun:
    """What a run of deltas of one block looks like."""

    __slots__ = ("_head", "_head_after_blank_line", "_pattern")

    def __init__(self, index: int, delta: str, *, spaced: bool) -> None:
        """Describe the run.

        Args:
            index: of the block.
            delta: type of all its deltas, one whose field is a string.
            spaced: whether there is a space behind each colon and comma of the JSON, as many JSON writers put
                it; the API puts none. Both may pad before the last two braces.
        """
        field, _ = DELTA_TYPES[delta]
        space = " " if spaced else ""
        head = (
            "event: content_block_delta\n"
            f'data: {{"type":{space}"content_block_delta",{space}"index":{space}{index},{space}'
            f'"delta":{space}{{"type":{space}"{delta}",{space}"{field}":{space}"'
        ).encode()
        self._head = head
        self._head_after_blank_line = b"\n\n" + head
        self._pattern = _tails(len(head))

    def measure(self, buffer: bytes | bytearray, start: int) -> tuple[int, int]:
        """Return where the run that begins at `start` ends and how many events it holds.

        No events means that there is no run. The end then says how far was looked: up to there asking again
        would be in vain, and the time of whoever did so would not be linear.
        """
        if not buffer.startswith(self._head, start):
            return start, 0
        match = self._pattern.match(buffer, start)
        if match is None:
            return start, 0
        end = match.end()
        line_ends = buffer.count(b"\n", start, end)
        if line_ends == _LINE_ENDS:
            return end, 1
        number = buffer.count(self._head_after_blank_line, start, end) + 1
        return end, number if line_ends == _LINE_ENDS * number else 0


@lru_cache(maxsize=64)
def _tails(head_length: int) -> re.Pattern[bytes]:
    """Compile the pattern of tails behind heads of this many bytes; possessive, so its time is linear."""
    return re.compile(rb"(?s:.{%d}%b)++" % (head_length, _TAIL))
