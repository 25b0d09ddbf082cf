"""JSON is read as the standard library reads it, to a depth that does not depend on who asks."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sse_fsm.payload import MAX_DEPTH, parse_json
from sse_fsm.strategies.values import json_values, texts


def nested(depth: int) -> bytes:
    return b"[" * depth + b"]" * depth


@pytest.mark.parametrize(
    "around",
    [
        pytest.param(nested, id="lists"),
        pytest.param(lambda depth: b'{"a":' * depth + b"1" + b"}" * depth, id="objects"),
        pytest.param(lambda depth: b"[" + nested(depth - 1) + b"," + nested(depth - 1) + b"]", id="twice"),
        pytest.param(lambda depth: b'["\\"[[[","]",' + nested(depth - 1) + b"]", id="behind strings"),
        pytest.param(lambda depth: b"[" + b"[]," * 600 + nested(depth - 1) + b"]", id="behind many"),
        pytest.param(lambda depth: b"[[[]," + nested(depth - 2) + b"]]", id="inside and behind a few"),
        pytest.param(lambda depth: b"[[[[]]]," + nested(depth - 1) + b"]", id="behind a few"),
    ],
)
def test_five_hundred_levels_are_read_and_no_more(around: Callable[[int], bytes]) -> None:
    assert MAX_DEPTH == 500
    assert parse_json(around(500)) == json.loads(around(500))
    with pytest.raises(ValueError, match=r"^it is nested deeper than 500 levels$"):
        parse_json(around(501))


def test_many_brackets_that_are_not_nested_are_read() -> None:
    assert parse_json(b"[" + b"[]," * 5000 + b"{}]")[-1] == {}
    assert parse_json(b'"' + b"[{" * 5000 + b'"') == "[{" * 5000
    assert parse_json(b'"\\\\' + b"[{" * 5000 + b'\\"]"')[:2] == "\\["


def test_another_limit_can_be_set() -> None:
    assert parse_json(nested(3), max_depth=3) == [[[]]]
    with pytest.raises(ValueError, match="3 levels"):
        parse_json(nested(4), max_depth=3)


@given(json_values() | st.dictionaries(texts(surrogates=True), texts(surrogates=True)), st.booleans())
def test_json_is_read_as_the_standard_library_reads_it(value: Any, spaced: bool) -> None:  # noqa: FBT001 - Hypothesis draws it
    text = json.dumps(value, separators=None if spaced else (",", ":"))

    assert repr(parse_json(text.encode())) == repr(json.loads(text))


@given(st.text(st.sampled_from(list('{}[]",:0123456789.eE+-truefalsn\\ud\n\t \x00\x1f\x7fé\ufeff')), max_size=12))
def test_text_that_is_no_json_to_the_standard_library_is_none_here(text: str) -> None:
    def outcome(parse: Callable[[], Any]) -> str:
        try:
            return repr(parse())
        except ValueError:
            return "not JSON"

    assert outcome(lambda: parse_json(text.encode())) == outcome(lambda: json.loads(text))


@pytest.mark.parametrize("name", ["NaN", "Infinity", "-Infinity"])
def test_names_of_numbers_are_no_json(name: str) -> None:
    with pytest.raises(ValueError, match=rf"^{name} is not JSON$"):
        parse_json(f'{{"x": {name}}}'.encode())


def test_the_callers_own_stack_is_the_last_limit() -> None:
    """With no stack left the event is refused too, instead of an exception that nobody expects."""

    def at(depth: int) -> Any:
        return parse_json(nested(MAX_DEPTH)) if depth == 0 else at(depth - 1)

    with pytest.raises(RecursionError):
        at(sys.getrecursionlimit() - 300)
