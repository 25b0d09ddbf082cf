"""A state machine for Claude's Messages streams.

Five nouns. A *frame* is a piece of the byte stream that is forwarded or withheld as a whole. An *event* is what
a frame says. The *machine* says which event may follow which. The *guard* uses all three to turn whatever an
upstream sends into a stream that is valid or says that it is not. A *message* is what a valid stream adds up to.

Pure: bytes in; events, verdicts and bytes out. No I/O, no clock, no event loop. Usable on its own.
"""

from sse_fsm.encoding import encode_error, encode_event
from sse_fsm.events import Event, EventKind, Message, Usage
from sse_fsm.framing import DEFAULT_MAX_EVENT_BYTES, Frame, FrameDecoder
from sse_fsm.guard import EndReason, Mode, Outcome, Step, StreamGuard, Verdict
from sse_fsm.machine import TRANSITIONS, JudgedEvent, State, StreamMachine
from sse_fsm.message import MessageAccumulator
from sse_fsm.structuring import converter
from sse_fsm.violations import VIOLATIONS, ProtocolViolation

__all__ = [
    "DEFAULT_MAX_EVENT_BYTES",
    "TRANSITIONS",
    "VIOLATIONS",
    "EndReason",
    "Event",
    "EventKind",
    "Frame",
    "FrameDecoder",
    "JudgedEvent",
    "Message",
    "MessageAccumulator",
    "Mode",
    "Outcome",
    "ProtocolViolation",
    "State",
    "Step",
    "StreamGuard",
    "StreamMachine",
    "Usage",
    "Verdict",
    "converter",
    "encode_error",
    "encode_event",
]
