"""Read JSON that was cut off: a tool input that a model could not finish.

With `max_tokens` a tool call may end in the middle of its input. The official SDKs then keep what is whole and
drop what is not; so does this module. What it follows is the Python SDK, that is `jiter.from_json` with
`partial_mode=True`: strings, literals and keys without a value are dropped when unfinished, a number is kept as
far as it goes. (The TypeScript SDK drops that number too.)

Only a prefix of JSON is completed. Text that no continuation could make JSON is refused, as the TypeScript SDK
does from 1.0 on; jiter takes some of it, for example whatever stands before a superfluous bracket.

Time is linear in the text.

Source: `jiter` 0.19.0; `@anthropic-ai/sdk` 1.12.0, `_vendor/partial-json-parser/parser.ts`.
"""

from __future__ import annotations

import re
from typing import Any, Final

from sse_fsm.payload import parse_json

__all__ = ["parse_truncated_json"]

_CLOSERS: Final = {"{": "}", "[": "]"}

_SPACE: Final = r"[ \t\n\r]*+"
_CHARACTERS: Final = r'(?:[^"\\\x00-\x1f]++|\\(?:["\\/bfnrt]|u[0-9a-fA-F]{4}))*+'
_STRING: Final = rf'"{_CHARACTERS}"'
_CUT_STRING: Final = rf'"{_CHARACTERS}(?:\\(?:u[0-9a-fA-F]{{0,3}})?)?'
_INTEGER: Final = r"-?(?:0|[1-9][0-9]*+)"
_NUMBER: Final = rf"{_INTEGER}(?:\.[0-9]++)?(?:[eE][+-]?[0-9]++)?"
_CUT_SCALAR: Final = rf"-|{_INTEGER}(?:\.|(?:\.[0-9]++)?[eE][+-]?)|tr?u?|fa?l?s?|nu?l?"
_CUT_VALUE: Final = rf"(?:{_CUT_STRING}|{_CUT_SCALAR})?"
_CUT_MEMBER: Final = rf"(?:{_CUT_STRING}|{_STRING}{_SPACE}(?::{_SPACE}{_CUT_VALUE})?)?"

# Strings are taken by their quotes alone, everything else by the characters that can end it: whether it is JSON
# is for the parser to say.
_TOKEN: Final = re.compile(r'"(?:[^"\\]++|\\.)*+(?:"|\\?\Z)|[{}\[\]:,]|[^ \t\n\r{}\[\]:,"]++', re.DOTALL)
_WHOLE_VALUE: Final = re.compile(rf"{_STRING}|{_NUMBER}|true|false|null")
# What may be left behind the last whole thing, by the bracket it stands in and what that thing is.
_REST: Final = {
    ("{", True): re.compile(rf"{_SPACE}{_CUT_MEMBER}"),
    ("{", False): re.compile(rf"{_SPACE}(?:,{_SPACE}{_CUT_MEMBER})?"),
    ("[", True): re.compile(rf"{_SPACE}{_CUT_VALUE}"),
    ("[", False): re.compile(rf"{_SPACE}(?:,{_SPACE}{_CUT_VALUE})?"),
}


def parse_truncated_json(text: str) -> Any:
    """Decode JSON, or the beginning of a JSON object or array without what is unfinished at its end.

    Raises:
        ValueError: `text` is neither.
        RecursionError: `text` is nested too deeply.
    """
    try:
        return parse_json(text.encode())
    except ValueError:
        return parse_json(_completed(text).encode())


def _completed(text: str) -> str:
    """Cut `text` behind its last whole part and close the brackets that are open there."""
    open_brackets: list[str] = []
    whole = 0  # up to here nothing is unfinished but brackets
    key_expected = False
    for token in _TOKEN.finditer(text):
        part = token.group()
        if not open_brackets and part not in _CLOSERS:
            raise ValueError("no JSON object or array is open here")
        if part in _CLOSERS:
            open_brackets.append(part)
            key_expected = part == "{"
            whole = token.end()
        elif part in "}]":
            open_brackets.pop()
            key_expected = False
            whole = token.end()
        elif part == ",":
            key_expected = open_brackets[-1] == "{"
        elif part == ":":
            key_expected = False
        elif not key_expected and (token.end() < len(text) or _WHOLE_VALUE.fullmatch(part)):
            whole = token.end()
    if not open_brackets:
        raise ValueError("no JSON object or array is open at the end")
    rest = _REST[open_brackets[-1], text[whole - 1] in _CLOSERS]
    if not rest.fullmatch(text, whole):
        raise ValueError(f"the JSON cannot go on like this at character {whole}")
    return text[:whole] + "".join(_CLOSERS[bracket] for bracket in reversed(open_brackets))
