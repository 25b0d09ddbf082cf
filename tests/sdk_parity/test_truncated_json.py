"""A cut JSON object reads as it does in the Python SDK, which has jiter read it."""

from __future__ import annotations

import json
import math
from typing import Any

import jiter
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sse_fsm.truncated_json import parse_truncated_json

_VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**70), 2**70)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=12,
)
_DOCUMENTS = st.dictionaries(st.text(), _VALUES) | st.lists(_VALUES)
_WORDS = ['"a"', '"b', r"\u12", "1", "-", "0", ".5", "1e", "tru", "true", "nul", "null", "x", "NaN"]
_SNIPPETS = st.sampled_from([*'{}[]:,"\\ \n\x00\xa0', *_WORDS])


def _by_jiter(text: str) -> Any:
    return jiter.from_json(text.encode(), partial_mode=True)


@given(
    document=_DOCUMENTS,
    escape=st.booleans(),
    indent=st.none() | st.just(1),
    cut=st.floats(0, 1),
)
def test_every_beginning_of_json_reads_as_in_the_python_sdk(
    document: Any, *, escape: bool, indent: int | None, cut: float
) -> None:
    text = json.dumps(document, ensure_ascii=escape, indent=indent)
    beginning = text[: max(1, math.ceil(len(text) * cut))]
    assert repr(parse_truncated_json(beginning)) == repr(_by_jiter(beginning))


def test_each_cut_of_one_document_reads_as_in_the_python_sdk() -> None:
    text = (
        '{"path": "/srv/a.md", "content": "# N\\n\\"q\\" \\u00e9 \\ud83d\\ude00 \u00e9\U0001f600", "": "", "x" : {'
        '"n": [1, -2.5e+10, 0.1, 1E5, -0, true, false, null, {"a": {}, "b": []}]}, "path": [[], [[1]]] } \r\n\t'
    )
    for end in range(1, len(text) + 1):
        assert repr(parse_truncated_json(text[:end])) == repr(_by_jiter(text[:end])), text[:end]


@given(st.lists(_SNIPPETS, max_size=9).map("".join))
def test_what_is_read_from_any_text_the_python_sdk_reads_alike(text: str) -> None:
    try:
        ours = parse_truncated_json(text)
    except ValueError:
        return
    assert repr(ours) == repr(_by_jiter(text))


@pytest.mark.parametrize("text", ["", " ", "tru", '"x', "-", "{}x", "{}{", "]", ":", "{,", "{1", "[,", "[1 2"])
@pytest.mark.parametrize("after", ["", " "])
def test_text_that_is_no_open_object_or_array_is_refused(text: str, after: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        parse_truncated_json(text + after)


@pytest.mark.parametrize("text", [":1}}", ":1]", ':1 "b"', ":tx", ":1,}", ' "b"', ":01", ":.5", ":NaN"])
@pytest.mark.parametrize("before", ["", '"b":[1],'])
def test_members_that_can_never_become_json_are_refused(text: str, before: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        parse_truncated_json("{" + before + '"a"' + text)


@pytest.mark.parametrize("text", [r"\q", r"\uZ", "x\n", r"\ud83d\uX"])
def test_strings_that_can_never_become_json_are_refused(text: str) -> None:
    for beginning in ('{"', '{"a":"', '["', '[1,"'):
        with pytest.raises(ValueError, match=r"."):
            parse_truncated_json(beginning + text)
