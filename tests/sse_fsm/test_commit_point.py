"""Until content is seen a caller may still turn to another upstream; the guard knows when it is."""

from __future__ import annotations

import pytest

from sse_fsm import StreamGuard, encode_event
from tests.sse_fsm.grammar import FRAMES

COMPLETE = {"type": "content_block_start", "index": 0, "content_block": {"type": "redacted_thinking", "data": "x"}}
UNKNOWN = {"type": "content_block_start", "index": 0, "content_block": {"type": "future_block"}}


def raw(letters: str) -> bytes:
    return b"".join(FRAMES[letter].raw for letter in letters)


@pytest.mark.parametrize("observed", [False, True])
@pytest.mark.parametrize(
    ("begin", "commits"),
    [
        pytest.param(b"", b"", id="nothing yet"),
        pytest.param(raw("pqs"), b"", id="the message began"),
        pytest.param(raw("sap"), b"", id="a text block began"),
        pytest.param(raw("sA"), b"", id="a tool block began"),
        pytest.param(raw("s") + b"event: content_block_delta\n", b"", id="half a delta"),
        pytest.param(raw("x"), b"", id="an error came first"),
        pytest.param(raw("sx"), b"", id="an error came soon"),
        pytest.param(raw("s"), raw("t"), id="a violation came soon"),
        pytest.param(raw("sa"), raw("t"), id="a delta"),
        pytest.param(raw("sA"), raw("T"), id="a fragment"),
        pytest.param(raw("sa"), raw("t").replace(b'": "', b'" : "'), id="a delta in another spelling"),
        pytest.param(raw("sa"), raw("c"), id="an empty block ended"),
        pytest.param(raw("s"), raw("m"), id="message_delta"),
        pytest.param(raw("s"), encode_event(COMPLETE), id="a block that is whole"),
        pytest.param(raw("s"), encode_event(UNKNOWN), id="a block of unknown type"),
    ],
)
def test_the_first_content_event_commits(begin: bytes, commits: bytes, observed: bool) -> None:  # noqa: FBT001 - a parameter
    guard = StreamGuard(observer=(lambda _: None) if observed else None)

    guard.feed(begin)
    assert guard.committed is False
    if commits:
        guard.feed(commits)
        assert guard.committed is (guard.machine.violation is None)
        guard.feed(raw("p"))
        assert guard.committed is (guard.machine.violation is None)
