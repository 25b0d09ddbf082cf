"""Every way to break a valid stream with one fault, and the verdict that each must give."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final

from attrs import define
from hypothesis import strategies as st

from sse_fsm.strategies.damage import BrokenStream
from sse_fsm.strategies.ending_faults import ENDING_FAULTS
from sse_fsm.strategies.event_faults import EVENT_FAULTS
from sse_fsm.strategies.order_faults import ORDER_FAULTS
from sse_fsm.strategies.streams import ValidStream, valid_streams

__all__ = ["FAULTS", "BrokenStream", "Fault", "broken_streams"]


@define(frozen=True)
class Fault:
    """One way to break a stream."""

    code: str | None
    """Code of the violation that it is; None where that depends on the stream, or where it is no violation."""
    apply: Callable[[st.DrawFn, ValidStream], BrokenStream]
    """Breaks a stream that has a block with a delta in it."""


FAULTS: Final[Mapping[str, Fault]] = {
    name: Fault(code, apply) for name, (code, apply) in {**EVENT_FAULTS, **ORDER_FAULTS, **ENDING_FAULTS}.items()
}
"""All faults by name: `message_start twice`, `no usage in message_delta` and so on."""


@st.composite
def broken_streams(draw: st.DrawFn, *names: str, noise: bool = True) -> BrokenStream:
    """Streams with exactly one fault, each with the verdict that it must give.

    Args:
        names: keys of `FAULTS` to choose from; all of them where none is given.
        noise: as for `valid_streams`, of which these are broken ones.
    """
    fault = FAULTS[draw(st.sampled_from(names or tuple(FAULTS)))]
    return fault.apply(
        draw, draw(valid_streams(min_blocks=1, max_blocks=2, min_deltas=1, max_deltas=2, noise=noise))
    )
