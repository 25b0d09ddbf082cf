"""Hypothesis strategies for Messages streams: valid ones, every way to break one, and any way to cut them up.

They are public, so that other gateways and clients can be tested with them (`pip install
claude-stream-gateway[testing]`):

    from hypothesis import given
    from sse_fsm.strategies import broken_streams, valid_streams

    @given(valid_streams())
    def test_my_relay_changes_nothing(stream):
        assert my_relay(stream.data) == stream.forwarded

    @given(broken_streams())
    def test_my_relay_says_what_is_wrong(broken):
        assert my_relay(broken.data).startswith(broken.forwarded)

Nothing here asks the state machine what it thinks: a valid stream is valid because it was built by the grammar,
and a broken one carries the verdict that follows from how it was broken.
"""

from sse_fsm.strategies.chunks import chunkings, cut_at, stream_bytes
from sse_fsm.strategies.faults import FAULTS, BrokenStream, Fault, broken_streams
from sse_fsm.strategies.spelling import API_SPELLING, JsonStyle, Spelling, spell, spellings
from sse_fsm.strategies.streams import Phase, Piece, ValidStream, valid_streams

__all__ = [
    "API_SPELLING",
    "FAULTS",
    "BrokenStream",
    "Fault",
    "JsonStyle",
    "Phase",
    "Piece",
    "Spelling",
    "ValidStream",
    "broken_streams",
    "chunkings",
    "cut_at",
    "spell",
    "spellings",
    "stream_bytes",
    "valid_streams",
]
