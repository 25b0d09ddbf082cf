"""The requests that two servers are compared by: a set of our own, or those of a file."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import msgspec
from attrs import define, evolve

from gateway.canary import prompts
from gateway.canary.client import CannotRunError, Key, Request, encode

__all__ = ["Case", "read_cases", "replayed_cases", "usual_cases"]

_LARGEST_FILE: Final = 64 * 1024 * 1024
_MOST_CASES: Final = 10_000
_UNKNOWN_MODEL: Final = "claude-nope-compare"
_REPLAYED: Final = (
    "text-documented-order",
    "text-padded",
    "text-japanese",
    "thinking-then-text",
    "tool-use",
    "unknown-events",
    "framing-crlf",
)
"""Fixtures of the replay upstream, which plays them byte for byte."""


@define(frozen=True)
class Case:
    """One request that both get."""

    name: str
    request: Request
    answers: bool = True
    """Whether a model is to answer, which is what costs."""
    status: int = 200
    """That it ought to have by the API's contract."""

    @property
    def wants_stream(self) -> bool:
        """Whether it asks for a stream."""
        try:
            value = msgspec.json.decode(self.request.body or b"")
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            return False
        return isinstance(value, dict) and value.get("stream") is True


def usual_cases(model: str, max_tokens: int) -> list[Case]:
    """Return requests to a model that is there: answers whole and streamed, tools, counts, models, refusals."""
    question = prompts.ask(model, max_tokens, "Reply with the single word: ok")
    tool = prompts.tool_turn(model, max_tokens)
    call = {
        "type": "tool_use",
        "id": "toolu_01compare",
        "name": prompts.TOOL,
        "input": {prompts.TOOL_FIELD: "fire"},
    }
    talk = [
        {"role": "user", "content": "My word is fire."},
        {"role": "assistant", "content": "Noted."},
        {"role": "user", "content": "Reply with my word only."},
    ]
    streams = {
        "stream": {**question, "stream": True},
        "stream, longer": prompts.ask(
            model, max_tokens, "Count from one to twenty in words, nothing else.", stream=True
        ),
        "stream, system and stop sequence": prompts.ask(
            model, max_tokens, "Begin.", stream=True, system="Reply with: one two three", stop_sequences=["two"]
        ),
        "stream, tool call": tool,
        "stream, tool result": prompts.tool_result_turn(tool, [call]),
    }
    good = prompts.messages(question)
    return [
        Case("message", good),
        Case("message, several turns", prompts.messages({**question, "messages": talk})),
        *(Case(name, prompts.messages(body)) for name, body in streams.items()),
        Case("count_tokens", prompts.count(model), answers=False),
        Case("models: list", prompts.list_models(), answers=False),
        Case("models: one", Request("GET", f"/v1/models/{model}"), answers=False),
        *_refused(question),
        _refusal("body is no JSON", 400, evolve(good, body=b'{"model": ')),
        _refusal("no key", 401, evolve(good, key=Key.NONE)),
        _refusal("wrong key", 401, evolve(good, key=Key.WRONG)),
        _refusal("unknown path", 404, Request("GET", "/v1/no-such-path")),
    ]


def replayed_cases(max_tokens: int) -> list[Case]:
    """Return requests for recorded answers of the replay upstream, which have to be the same byte for byte."""
    cases = []
    for name in _REPLAYED:
        body = prompts.ask(f"replay-{name}", max_tokens, "Play it.", stream=True)
        cases.append(Case(f"stream {name}", prompts.messages(body)))
    whole = prompts.ask("replay-text-end-turn", max_tokens, "Play it.")
    return [*cases, Case("message text-end-turn", prompts.messages(whole)), *_refused(whole)]


def _refused(question: dict[str, Any]) -> Iterator[Case]:
    without = {name: value for name, value in question.items() if name != "max_tokens"}
    yield _refusal("max_tokens missing", 400, prompts.messages(without))
    yield _refusal("unknown model", 404, prompts.messages({**question, "model": _UNKNOWN_MODEL}))


def _refusal(name: str, status: int, request: Request) -> Case:
    return Case(f"error: {name}", request, answers=False, status=status)


class _Line(msgspec.Struct, forbid_unknown_fields=True):
    path: str
    method: str = "POST"
    headers: dict[str, str | None] = {}
    body: Any = None
    name: str = ""


def read_cases(path: Path) -> list[Case]:
    """Read a file of JSON lines: `{"method", "path", "headers", "body", "name"}`, of which `path` is needed.

    A body that is a text is sent as it is, any other value as JSON; a header that is null is left out, that of
    the credential included.

    Raises:
        CannotRunError: it cannot be used; says which line and why.
    """
    try:
        if path.stat().st_size > _LARGEST_FILE:
            raise CannotRunError(f"{path} is larger than {_LARGEST_FILE} bytes")
        lines = path.read_bytes().splitlines()
    except OSError as error:
        raise CannotRunError(f"cannot read {path}: {error.strerror or error}") from None
    cases = [_case(path, number, line) for number, line in enumerate(lines, 1) if line.strip()]
    if not 0 < len(cases) <= _MOST_CASES:
        raise CannotRunError(f"{path} has {len(cases)} requests; it needs 1 to {_MOST_CASES}")
    names = [case.name for case in cases]
    if twice := next((name for name in names if names.count(name) > 1), None):
        raise CannotRunError(f"{path} has two requests with the name {twice!r}")
    return cases


def _case(path: Path, number: int, text: bytes) -> Case:
    where = f"{path}, line {number}"
    try:
        line = msgspec.json.decode(text, type=_Line)
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise CannotRunError(f"{where}: {error}") from None
    if not line.path.startswith("/") or not line.path.isascii() or not line.path.isprintable() or " " in line.path:
        raise CannotRunError(f"{where}: path has to begin with / and is sent as it stands")
    if not line.method.isascii() or not line.method.isalpha():
        raise CannotRunError(f"{where}: method is none")
    for name, value in line.headers.items():
        if not name.replace("-", "").isalnum() or not name.isascii() or not (value or "").isprintable():
            raise CannotRunError(f"{where}: a header has characters that none can have")
    body = None if line.body is None else line.body.encode() if isinstance(line.body, str) else encode(line.body)
    request = Request(
        line.method.upper(),
        line.path,
        body,
        {name.lower(): value for name, value in line.headers.items() if value is not None},
        frozenset(name.lower() for name, value in line.headers.items() if value is None),
    )
    return Case(line.name or f"line {number}: {request.method} {line.path.partition('?')[0]}", request)
