"""Tool inputs that are cut off or broken, and what each SDK makes of them.

The SDKs differ here, from one another and from one version to the next. This table is what was measured; it is
checked against the real SDKs.
"""

from __future__ import annotations

from typing import Any, Final

from attrs import define, field

from sse_fsm import encode_event

__all__ = ["RAISES", "SAME", "TOOL_INPUTS", "ToolInput"]

RAISES: Final = "<raises>"
"""The SDK raises instead of returning a message."""
SAME: Final = "<same>"
"""The SDK returns what we return."""


@define(frozen=True)
class ToolInput:
    """The fragments of one tool input and what becomes of them."""

    fragments: tuple[str, ...] = field(converter=lambda given: (given,) if isinstance(given, str) else given)
    ours: Any
    python: Any = SAME
    typescript_0: Any = SAME
    typescript_1: Any = SAME
    whole: bool = False
    """Whether the fragments joined are JSON."""

    def stream(self) -> bytes:
        """Return a stream with one tool call that has this input."""
        deltas = [{"type": "input_json_delta", "partial_json": fragment} for fragment in self.fragments]
        events: list[dict[str, Any]] = [
            {"type": "message_start", "message": _MESSAGE},
            {"type": "content_block_start", "index": 0, "content_block": _TOOL_USE},
            *({"type": "content_block_delta", "index": 0, "delta": delta} for delta in deltas),
            {"type": "content_block_stop", "index": 0},
            {"type": "message_delta", "delta": {"stop_reason": "max_tokens"}, "usage": {"output_tokens": 64}},
            {"type": "message_stop"},
        ]
        return b"".join(map(encode_event, events))

    def expected(self, sdk: str) -> Any:
        """Return the input in this SDK's final message, or `RAISES`."""
        language, _, version = sdk.partition("-")
        value = getattr(self, language if language == "python" else f"{language}_{version.partition('.')[0]}")
        return self.ours if value is SAME else value


_MESSAGE: Final = {
    "id": "msg_tool_input",
    "type": "message",
    "role": "assistant",
    "model": "claude-sonnet-5-5",
    "content": [],
    "stop_reason": None,
    "stop_sequence": None,
    "usage": {"input_tokens": 12, "output_tokens": 1},
}
_TOOL_USE: Final = {"type": "tool_use", "id": "toolu_1", "name": "write_file", "input": {}}


def _nested(depth: int) -> Any:
    return {"a": _nested(depth - 1)} if depth else 1


_DEEP: Final = 250

TOOL_INPUTS: Final = {
    # Cut off: what is whole stays.
    "cut-in-string": ToolInput('{"a":"x","b":"y', {"a": "x"}),
    "cut-after-backslash": ToolInput('{"a":1,"b":"x\\', {"a": 1}),
    "cut-in-unicode-escape": ToolInput('{"a":1,"b":"x\\u00', {"a": 1}),
    "cut-between-surrogates": ToolInput('{"a":1,"b":"\\ud83d', {"a": 1}),
    "cut-in-key": ToolInput('{"a":1,"b', {"a": 1}),
    "cut-after-key": ToolInput('{"a":1,"b"', {"a": 1}),
    "cut-after-colon": ToolInput('{"a":1,"b":', {"a": 1}),
    "cut-after-comma": ToolInput('{"a":1,', {"a": 1}),
    "cut-in-literal": ToolInput('{"a":1,"b":tr', {"a": 1}),
    "cut-after-literal": ToolInput('{"a":1,"b":true', {"a": 1, "b": True}),
    "cut-after-minus": ToolInput('{"a":1,"b":-', {"a": 1}),
    "cut-after-decimal-point": ToolInput('{"a":1,"b":1.', {"a": 1}),
    "cut-in-exponent": ToolInput('{"a":1,"b":1e', {"a": 1}),
    "cut-in-array": ToolInput('{"a":["x","y', {"a": ["x"]}),
    "cut-in-deep-object": ToolInput('{"a":{"b":{"c":"x', {"a": {"b": {}}}),
    "cut-in-second-object": ToolInput('{"a":[{"c":1},{"d', {"a": [{"c": 1}, {}]}),
    "cut-at-once": ToolInput("{", {}),
    # A number at the very end may lack digits: Python keeps it, TypeScript does not. We follow Python.
    "cut-in-number": ToolInput('{"a":1,"b":12', {"a": 1, "b": 12}, typescript_0={"a": 1}, typescript_1={"a": 1}),
    "cut-in-number-of-array": ToolInput(
        '{"a":[1,2', {"a": [1, 2]}, typescript_0={"a": [1]}, typescript_1={"a": [1]}
    ),
    "cut-after-number": ToolInput('{"a":1,"b":12 ', {"a": 1, "b": 12}),
    # Whole, in fragments that cut where it hurts.
    "no-fragments": ToolInput((), {}, whole=True),
    "empty-fragments": ToolInput(("", ""), {}, whole=True),
    "fragments-cut-surrogates": ToolInput(('{"a":"\\ud83d', '\\ude00"}'), {"a": "\U0001f600"}, whole=True),
    "space-before": ToolInput('\n{"a":1}', {"a": 1}, whole=True),
    "space-behind": ToolInput(('{"a":1}', " "), {"a": 1}, whole=True),
    # Python parses at each fragment, and space alone is not the beginning of a value to it.
    "fragment-of-space-first": ToolInput((" ", '{"a":1}'), {"a": 1}, python=RAISES, whole=True),
    "not-an-object": ToolInput("[1,2]", [1, 2], whole=True),
    # Whole, but some parser has a limit.
    "lone-surrogate": ToolInput('{"a":"\\ud800"}', {"a": "\ud800"}, python=RAISES, whole=True),
    "deeply-nested": ToolInput('{"a":' * _DEEP + "1" + "}" * _DEEP, _nested(_DEEP), python=RAISES, whole=True),
    # The model's own mistakes. We keep what the block began with, and the text apart; the SDKs raise, or take
    # what they have read so far for a cut input, or give up and return an empty object.
    "unknown-word": ToolInput('{"a":nope}', {}, python=RAISES, typescript_1=RAISES),
    "not-a-number": ToolInput('{"a":NaN}', {}, python={"a": "NaN"}, typescript_1=RAISES),
    "trailing-comma": ToolInput('{"a":1,}', {}, python=RAISES, typescript_0=RAISES, typescript_1=RAISES),
    "unquoted-key": ToolInput("{a:1}", {}, python=RAISES, typescript_0=RAISES, typescript_1=RAISES),
    "leading-zero": ToolInput('{"a":01}', {}, python=RAISES, typescript_0=RAISES, typescript_1=RAISES),
    "raw-line-end": ToolInput('{"a":"x\ny"}', {}, python=RAISES, typescript_0=RAISES, typescript_1=RAISES),
    "wrong-escape-cut": ToolInput('{"a":"\\q', {}, python=RAISES),
    "only-space": ToolInput(" ", {}, python=RAISES, typescript_0=RAISES, typescript_1=RAISES),
    "cut-outside-object": ToolInput("tru", {}, python=RAISES, typescript_0=RAISES, typescript_1=RAISES),
    "bracket-too-many": ToolInput('{"a":1}}', {}, python={"a": 1}, typescript_0=RAISES, typescript_1=RAISES),
    "wrong-bracket": ToolInput('{"a":1]', {}, python={"a": 1}, typescript_0=RAISES, typescript_1=RAISES),
    "missing-comma": ToolInput('{"a":1 "b":2}', {}, python={"a": 1}, typescript_0=RAISES, typescript_1=RAISES),
    "word-behind": ToolInput('{"a":1}x', {}, python={"a": 1}, typescript_0={"a": 1}, typescript_1=RAISES),
}
