"""Our message equals the one that the official SDKs return, for every complete stream of the corpus."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any

import pytest

from sse_fsm import MessageAccumulator, Outcome, StreamGuard, converter
from tests.sdk_parity.conftest import Played
from tests.sdk_parity.known_differences import KNOWN_DIFFERENCES, Difference, differences
from tests.sdk_parity.playback import Stream
from tests.sdk_parity.tool_inputs import RAISES, TOOL_INPUTS

pytestmark = pytest.mark.timeout(900)  # the first test of each SDK installs it


def _accumulated(body: bytes) -> MessageAccumulator:
    accumulator = MessageAccumulator()
    guard = StreamGuard(observer=accumulator.observe)
    guard.feed(body)
    _, verdict = guard.finish()
    assert verdict.outcome is Outcome.COMPLETE
    return accumulator


def _as_json(value: Any) -> Any:
    return json.loads(json.dumps(value))


def _compare(stream: str, body: bytes, played: Played) -> Iterator[Difference]:
    ours = _as_json(_accumulated(body).to_json())
    theirs = played.results[stream]
    if "error" in theirs:
        yield Difference(stream, "", ours, theirs["error"])
    else:
        yield from differences(stream, ours, theirs["message"])


def test_final_message_equals_the_sdks(stream: str, played: Played, corpus: Mapping[str, Stream]) -> None:
    unexplained = [
        difference
        for difference in _compare(stream, corpus[stream].body, played)
        if not any(known.explains(played.sdk, difference) for known in KNOWN_DIFFERENCES)
    ]
    assert unexplained == []


def test_each_known_difference_is_still_there(played: Played, corpus: Mapping[str, Stream]) -> None:
    found = [difference for name, stream in corpus.items() for difference in _compare(name, stream.body, played)]
    gone = [
        known.reason
        for known in KNOWN_DIFFERENCES
        if re.fullmatch(known.sdks, played.sdk) and not any(known.explains(played.sdk, item) for item in found)
    ]
    assert gone == []


def test_attrs_message_holds_the_whole_json_message(stream: str, corpus: Mapping[str, Stream]) -> None:
    accumulator = _accumulated(corpus[stream].body)
    assert converter.unstructure(accumulator.message) == accumulator.to_json()


def test_cut_and_broken_tool_inputs_are_what_the_table_says(tool_input: str, played: Played) -> None:
    result = played.results[tool_input]
    theirs = RAISES if "error" in result else result["message"]["content"][0]["input"]
    expected = TOOL_INPUTS[tool_input].expected(played.sdk)
    if expected == {"a": "NaN"}:
        assert repr(theirs) == "{'a': nan}"
    else:
        assert theirs == expected


def test_our_tool_input_is_what_the_table_says(tool_input: str) -> None:
    wanted = TOOL_INPUTS[tool_input]
    accumulator = _accumulated(wanted.stream())
    message = accumulator.to_json()
    assert message is not None
    assert message["content"][0]["input"] == wanted.ours
    assert accumulator.unparsed_inputs == ({} if wanted.whole else {0: "".join(wanted.fragments)})
