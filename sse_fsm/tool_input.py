"""Whether the input that a model wrote for a tool is JSON.

A model's own broken JSON is no fault of the stream: it passes, and a note says so, because the official SDKs'
accumulators throw on it and a person will ask why. They parse what has arrived after every fragment, the Python
SDK with `jiter`, so what counts as broken here is whatever that parser does not take: lone surrogates, nesting
deeper than 200 levels, a first fragment of nothing but white space, and anything but an object, of which a
beginning would have to be JSON by itself.
"""

from __future__ import annotations

import json
import re
from typing import Final

from sse_fsm.payload import parse_json

__all__ = ["TOOL_INPUT_LIMIT", "ToolInputCheck"]

TOOL_INPUT_LIMIT: Final = 256 * 1024
"""Bytes of one tool input that are looked at. Larger inputs are noted as unchecked: holding them would cost
memory per stream, and parsing them at the block's end would stall every other stream meanwhile."""

_MAX_DEPTH: Final = 200

_SURROGATE_ESCAPE: Final = re.compile(r"\\u[dD][89a-fA-F]")

_MOST_NOTES: Final = 20
# The fragment of each delta in a run that the fast path's pattern has accepted. Inside a JSON string each
# quote has a backslash before it, so the key cannot be found in the wrong place.
_FRAGMENTS: Final = re.compile(rb'"partial_json": ?"((?:[^"\\]++|\\.)*+)"')


class ToolInputCheck:
    """Collects the input fragments of the open tool block, as escaped JSON string content."""

    def __init__(self) -> None:
        """Start with no block open."""
        self.notes: list[str] = []
        self.block = -1
        """Index of the open tool block; -1 while there is none."""
        self._fragments: list[bytes] = []
        self._size = 0

    def begin(self, block: int) -> None:
        """Begin with the tool block that has this index."""
        self.block = block

    def add(self, fragment: str) -> None:
        """Take in the fragment of one delta."""
        self._append(json.dumps(fragment)[1:-1].encode())

    def add_run(self, run: bytes) -> None:
        """Take in all fragments of a run of deltas in the API's own spelling."""
        if self._size > TOOL_INPUT_LIMIT:
            return
        for fragment in _FRAGMENTS.findall(run):
            self._append(fragment)

    def end(self) -> None:
        """Close the block and note what is wrong with its input, if anything is."""
        block, fragments, size = self.block, self._fragments, self._size
        self.block, self._fragments, self._size = -1, [], 0
        if block < 0 or not size:
            return
        if size > TOOL_INPUT_LIMIT:
            self._note(f"tool_input_unchecked: the input of block {block} is too large to check")
            return
        if not _is_readable(_unescape(b"".join(fragments)), _unescape(fragments[0])):
            self._note(f"tool_input_invalid: not every SDK can read the model's input of block {block}")

    def _note(self, text: str) -> None:
        if len(self.notes) < _MOST_NOTES:
            self.notes.append(text)

    def _append(self, fragment: bytes) -> None:
        if not fragment:
            return
        self._size += len(fragment)
        if self._size <= TOOL_INPUT_LIMIT:
            self._fragments.append(fragment)
        else:
            self._fragments.clear()


def _unescape(fragment: bytes) -> str:
    return json.loads(b'"%b"' % fragment)


def _is_readable(text: str, first: str) -> bool:
    """Whether a client can read the JSON object `text` after each of its fragments; `first` is the first one."""
    if not first.lstrip(" \t\n\r").startswith("{"):
        return False
    try:
        value = parse_json(text.encode(), max_depth=_MAX_DEPTH)
        if _SURROGATE_ESCAPE.search(text):
            json.dumps(value, ensure_ascii=False).encode()
    except (ValueError, RecursionError):
        return False
    return True
