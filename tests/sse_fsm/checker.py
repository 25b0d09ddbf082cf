"""A second opinion on streams, written without the library: what is a valid stream, and what a valid beginning.

Text is cut into events by the rules of the WHATWG event stream, each event becomes a letter, and two regular
expressions over the letters are the grammar.
"""

from __future__ import annotations

import json
import re
from typing import Any

_FITS = {
    "text_delta": {"text"},
    "citations_delta": {"text"},
    "thinking_delta": {"thinking"},
    "signature_delta": {"thinking"},
    "input_json_delta": {"tool_use", "server_tool_use", "mcp_tool_use"},
    "compaction_delta": {"compaction"},
}
_WITHOUT_DELTAS = {
    "redacted_thinking",
    "web_search_tool_result",
    "web_fetch_tool_result",
    "code_execution_tool_result",
    "bash_code_execution_tool_result",
    "text_editor_code_execution_tool_result",
    "tool_search_tool_result",
    "advisor_tool_result",
    "mcp_tool_result",
    "mcp_tool_listing",
    "container_upload",
    "fallback",
}
_KNOWN_BLOCKS = _WITHOUT_DELTAS.union(*_FITS.values())
_LETTERS = {
    "message_start": "s",
    "content_block_start": "o",
    "content_block_delta": "d",
    "content_block_stop": "c",
    "message_delta": "m",
    "message_stop": "e",
    "error": "!",
    "ping": "n",
}

# n: ping or unknown, X: an event that names the wrong block or does not fit it.
_BEGINNING = r"n*(?:s(?:n|o[dn]*c)*(?:o[dn]*|m[mn]*)?)?"
_COMPLETE = re.compile(r"n*s(?:n|o[dn]*c)*m[mn]*e")
_FAILED = re.compile(_BEGINNING + "!")
_PREFIX = re.compile(_BEGINNING)


def classify(data: bytes) -> str:
    """Return `complete`, `failed` (a valid beginning and one error event) or `prefix` (a valid beginning).

    Raises:
        AssertionError: `data` is none of these, or ends inside an event.
    """
    letters = "".join(_to_letters(read_events(data)))
    if _COMPLETE.fullmatch(letters):
        return "complete"
    if _FAILED.fullmatch(letters):
        return "failed"
    assert _PREFIX.fullmatch(letters), f"the events are {letters}"
    return "prefix"


def read_events(data: bytes) -> list[tuple[str, str | None]]:
    """Return the name and the data of each event; data is None where there was no `data:` line."""
    text = data.decode()
    assert not text.startswith("\ufeff"), "a byte order mark left"
    *lines, unfinished = re.split("\r\n|\n|\r", text)
    assert not unfinished, "the last line has no end"
    events: list[tuple[str, str | None]] = []
    name: str | None = None
    values: list[str] = []
    for line in lines:
        field, _, value = line.partition(":")
        value = value.removeprefix(" ")
        if field == "event":
            name = value
        elif field == "data":
            values.append(value)
        elif not line:
            assert name or not "\n".join(values), "an event has no name"
            if name:
                events.append((name, "\n".join(values) if values else None))
            name, values = None, []
    assert name is None, "the last event has no blank line"
    assert not values, "the last event has no blank line"
    return events


def _to_letters(events: list[tuple[str, str | None]]) -> list[str]:
    letters: list[str] = []
    blocks = 0
    block: str | None = None
    for name, text in events:
        letter = _LETTERS.get(name, "n")
        known = name in _LETTERS
        payload = json.loads(text) if text else None
        if payload is None:
            assert not known, f"{name} has no data"
            letters.append("n")
            continue
        assert type(payload) is dict
        said = payload["type"]
        assert said == name if known else said not in _LETTERS and type(said) is str
        if name == "message_start":
            blocks = len(_checked(payload["message"]["content"], list))
            _checked(payload["message"]["usage"], dict)
        elif name == "message_delta":
            _checked(payload["delta"], dict)
            _checked(payload["usage"]["output_tokens"], int)
        elif letter in "odc":
            index = _checked(payload["index"], int)
            if letter == "o":
                letter = "o" if index == blocks else "X"
                blocks += 1
                block = _checked(payload["content_block"]["type"], str)
            elif index != blocks - 1 or (letter == "d" and not _fits(payload["delta"], block)):
                letter = "X"
        letters.append(letter)
    return letters


def _fits(delta: dict[str, Any], block: str | None) -> bool:
    kind = _checked(delta["type"], str)
    return kind not in _FITS or block not in _KNOWN_BLOCKS or block in _FITS[kind]


def _checked(value: Any, kind: type) -> Any:
    assert type(value) is kind
    return value
