"""The grammar of a stream a second time: regular expressions over one letter per event, nothing of the library's.

The alphabet has two block indices and two kinds of block, which is enough for every rule to be broken:

    s  message_start          a b  text block starts, index 0 and 1      c d  block 0, 1 stops
    m  message_delta          A B  tool block starts, index 0 and 1      p    ping
    e  message_stop           t u  text_delta for block 0, 1             q    an unknown event
    x  error                  T U  input_json_delta for block 0, 1
"""

from __future__ import annotations

import json
import re
from typing import Any, Final

from sse_fsm import Frame

ALPHABET: Final = "smexabABtuTUcdpq"
KINDS: Final = {
    "message_start": "s",
    "content_block_start": "abAB",
    "content_block_delta": "tuTU",
    "content_block_stop": "cd",
    "message_delta": "m",
    "message_stop": "e",
    "error": "x",
    "ping": "p",
    "unknown": "q",
}

_N = "[pq]*"
_OPEN_TEXT_0, _OPEN_TOOL_0 = "a[pqt]*", "A[pqT]*"
_OPEN_TEXT_1, _OPEN_TOOL_1 = "b[pqu]*", "B[pqU]*"
_BLOCK_0 = f"(?:{_OPEN_TEXT_0}|{_OPEN_TOOL_0})c{_N}"
_BLOCK_1 = f"(?:{_OPEN_TEXT_1}|{_OPEN_TOOL_1})d{_N}"

# The places where a stream may stand, as what came before.
_START = _N
_EMPTY = f"{_N}s{_N}"
_ONE = _EMPTY + _BLOCK_0
_TWO = _ONE + _BLOCK_1
_BETWEEN = f"{_EMPTY}(?:{_BLOCK_0}(?:{_BLOCK_1})?)?"
_IN_TEXT_0, _IN_TOOL_0 = _EMPTY + _OPEN_TEXT_0, _EMPTY + _OPEN_TOOL_0
_IN_TEXT_1, _IN_TOOL_1 = _ONE + _OPEN_TEXT_1, _ONE + _OPEN_TOOL_1
_IN_0 = f"(?:{_IN_TEXT_0}|{_IN_TOOL_0})"
_IN_1 = f"(?:{_IN_TEXT_1}|{_IN_TOOL_1})"
_IN = f"(?:{_IN_0}|{_IN_1})"
_ENDING = _BETWEEN + "m[mpq]*"
_LIVE = f"(?:{_START}|{_BETWEEN}|{_IN}|{_ENDING})"
_STOPPED = _ENDING + "e"
_FAILED = _LIVE + "x"

PLACES: Final = {
    "AWAIT_START": _START,
    "BETWEEN_BLOCKS": _BETWEEN,
    "IN_BLOCK": _IN,
    "ENDING": _ENDING,
    "STOPPED": _STOPPED,
    "FAILED": _FAILED,
}

_VIOLATIONS: Final = {
    "event_before_message_start": f"{_START}[abABtuTUcdme]",
    "duplicate_message_start": f"(?:{_BETWEEN}|{_IN}|{_ENDING})s",
    "block_index_gap": f"{_EMPTY}[bB]",
    "block_index_reused": f"(?:{_ONE}[aA]|{_TWO}[abAB])",
    "block_index_mismatch": f"(?:{_IN_0}[uUd]|{_IN_1}[tTc])",
    "delta_outside_block": f"(?:{_BETWEEN}|{_ENDING})[tuTU]",
    "block_stop_outside_block": f"(?:{_BETWEEN}|{_ENDING})[cd]",
    "block_start_inside_block": f"{_IN}[abAB]",
    "delta_type_mismatch": f"(?:{_IN_TEXT_0}T|{_IN_TOOL_0}t|{_IN_TEXT_1}U|{_IN_TOOL_1}u)",
    "message_delta_with_open_block": f"{_IN}m",
    "message_stop_with_open_block": f"{_IN}e",
    "message_stop_before_message_delta": f"{_BETWEEN}e",
    "block_after_message_delta": f"{_ENDING}[abAB]",
    "event_after_stop": f"{_STOPPED}[{ALPHABET}]",
    "event_after_error": f"{_FAILED}[{ALPHABET}]",
}
ORDER_CODES: Final = frozenset(_VIOLATIONS)

_JUDGE: Final = re.compile(
    "|".join([f"(?P<legal>{_LIVE}|{_STOPPED}|{_FAILED})", *(f"(?P<{c}>{r})" for c, r in _VIOLATIONS.items())])
)


def judge(word: str) -> str | None:
    """Return `legal`, or the code of the violation that the last letter is; None for anything beyond that."""
    found = _JUDGE.fullmatch(word)
    return found.lastgroup if found else None


def judges(word: str) -> list[str]:
    """Return every answer that fits; a grammar that is sound has one at most."""
    rules = {"legal": f"{_LIVE}|{_STOPPED}|{_FAILED}", **_VIOLATIONS}
    return [code for code, rule in rules.items() if re.fullmatch(rule, word)]


def _frame(payload: dict[str, Any]) -> Frame:
    name, data = payload["type"].encode(), json.dumps(payload).encode()
    return Frame(b"event: %b\ndata: %b\n\n" % (name, data), 0, name, data)


def _start(index: int, **block: Any) -> Frame:
    return _frame({"type": "content_block_start", "index": index, "content_block": block})


def _delta(index: int, **delta: Any) -> Frame:
    return _frame({"type": "content_block_delta", "index": index, "delta": delta})


FRAMES: Final = {
    "s": _frame({"type": "message_start", "message": {"content": [], "usage": {}}}),
    "m": _frame({"type": "message_delta", "delta": {"stop_reason": None}, "usage": {"output_tokens": 1}}),
    "e": _frame({"type": "message_stop"}),
    "x": _frame({"type": "error", "error": {}}),
    "a": _start(0, type="text", text=""),
    "b": _start(1, type="text", text=""),
    "A": _start(0, type="tool_use", input={}),
    "B": _start(1, type="tool_use", input={}),
    "t": _delta(0, type="text_delta", text="x"),
    "u": _delta(1, type="text_delta", text="x"),
    "T": _delta(0, type="input_json_delta", partial_json=""),
    "U": _delta(1, type="input_json_delta", partial_json=""),
    "c": _frame({"type": "content_block_stop", "index": 0}),
    "d": _frame({"type": "content_block_stop", "index": 1}),
    "p": _frame({"type": "ping"}),
    "q": _frame({"type": "future_event"}),
}
