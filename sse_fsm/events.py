"""The events of a Messages stream as attrs classes.

As in `sse_fsm.blocks`, open sets stay open: unknown fields are kept in `extra`, unknown events have a class of
their own, absent is not null. `sse_fsm.structuring.converter` turns JSON objects into these classes and back.

Shapes: Anthropic docs, "Streaming messages"; the `anthropic` Python SDK 2.12.0, `types/raw_message_*_event.py`
and `types/beta/`.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from typing import Any, Final

from attrs import define, field

from sse_fsm.blocks import UNSET, Block, Delta, OpenObject, Unset

__all__ = [
    "EVENT_CLASSES",
    "KINDS_BY_NAME",
    "CacheCreation",
    "ContentBlockDelta",
    "ContentBlockStart",
    "ContentBlockStop",
    "ErrorDetail",
    "ErrorEvent",
    "Event",
    "EventKind",
    "Message",
    "MessageChanges",
    "MessageDelta",
    "MessageStart",
    "MessageStop",
    "Ping",
    "UnknownEvent",
    "Usage",
]


class EventKind(StrEnum):
    """The eight event types of the protocol, and one for all that may come in future."""

    MESSAGE_START = "message_start"
    CONTENT_BLOCK_START = "content_block_start"
    CONTENT_BLOCK_DELTA = "content_block_delta"
    CONTENT_BLOCK_STOP = "content_block_stop"
    MESSAGE_DELTA = "message_delta"
    MESSAGE_STOP = "message_stop"
    PING = "ping"
    ERROR = "error"
    UNKNOWN = "unknown"


KINDS_BY_NAME: Final[Mapping[bytes, EventKind]] = {
    kind.value.encode(): kind for kind in EventKind if kind is not EventKind.UNKNOWN
}
"""Event kind by the value of the `event:` line; any other name is `EventKind.UNKNOWN`."""


@define
class CacheCreation(OpenObject):
    """Tokens written to the prompt cache, by lifetime."""

    ephemeral_5m_input_tokens: int | Unset | None = UNSET
    ephemeral_1h_input_tokens: int | Unset | None = UNSET


@define
class Usage(OpenObject):
    """Token counts, cumulative. In `message_delta` only `output_tokens` is sure to be there."""

    input_tokens: int | Unset | None = UNSET
    """Uncached input tokens only."""
    output_tokens: int | Unset | None = UNSET
    """Output tokens, thinking included."""
    cache_creation_input_tokens: int | Unset | None = UNSET
    cache_read_input_tokens: int | Unset | None = UNSET
    cache_creation: CacheCreation | Unset | None = UNSET
    """Split of `cache_creation_input_tokens`; only in `message_start` and in whole messages."""
    output_tokens_details: dict[str, Any] | Unset | None = UNSET
    server_tool_use: dict[str, Any] | Unset | None = UNSET
    iterations: list[Any] | Unset | None = UNSET
    """Beta: usage of each sampling iteration; compaction and advisor calls are counted only here."""
    fallback_credit: dict[str, Any] | Unset | None = UNSET
    service_tier: str | Unset | None = UNSET
    inference_geo: str | Unset | None = UNSET
    speed: str | Unset | None = UNSET


@define
class Message(OpenObject):
    """A message: the skeleton in `message_start`, or a whole one."""

    content: list[Block] = field(factory=list)
    usage: Usage = field(factory=Usage)
    id: str | Unset | None = UNSET
    type: str | Unset = UNSET
    role: str | Unset = UNSET
    model: str | Unset | None = UNSET
    stop_reason: str | Unset | None = UNSET
    stop_sequence: str | Unset | None = UNSET
    stop_details: dict[str, Any] | Unset | None = UNSET
    container: Any = UNSET
    context_management: Any = UNSET
    input_transformations: Any = UNSET


@define
class MessageChanges(OpenObject):
    """`message_delta.delta`: what became known of the message at its end."""

    stop_reason: str | Unset | None = UNSET
    stop_sequence: str | Unset | None = UNSET
    stop_details: dict[str, Any] | Unset | None = UNSET
    container: Any = UNSET


@define
class ErrorDetail(OpenObject):
    """What went wrong, in the words of the API."""

    type: Any = UNSET
    message: Any = UNSET


@define
class MessageStart(OpenObject):
    """First event of every stream."""

    message: Message
    type: str = "message_start"


@define
class ContentBlockStart(OpenObject):
    """A block opens; `index` is its position in the final content."""

    index: int
    content_block: Block
    type: str = "content_block_start"


@define
class ContentBlockDelta(OpenObject):
    """More of the open block."""

    index: int
    delta: Delta
    type: str = "content_block_delta"


@define
class ContentBlockStop(OpenObject):
    """The open block is finished."""

    index: int
    type: str = "content_block_stop"


@define
class MessageDelta(OpenObject):
    """Stop reason and cumulative usage; may come more than once, the last one wins."""

    delta: MessageChanges
    usage: Usage
    context_management: Any = UNSET
    input_transformations: Any = UNSET
    type: str = "message_delta"


@define
class MessageStop(OpenObject):
    """Last event of a stream that ended well."""

    type: str = "message_stop"


@define
class Ping(OpenObject):
    """Says that the connection lives; may come anywhere."""

    type: str = "ping"


@define
class ErrorEvent(OpenObject):
    """The stream failed; nothing follows."""

    error: ErrorDetail | Unset | None = UNSET
    type: str = "error"


@define
class UnknownEvent(OpenObject):
    """An event type that this version does not know, carried as it came."""

    type: str


Event = (
    MessageStart
    | ContentBlockStart
    | ContentBlockDelta
    | ContentBlockStop
    | MessageDelta
    | MessageStop
    | Ping
    | ErrorEvent
    | UnknownEvent
)

EVENT_CLASSES: Final[Mapping[EventKind, type]] = {
    EventKind.MESSAGE_START: MessageStart,
    EventKind.CONTENT_BLOCK_START: ContentBlockStart,
    EventKind.CONTENT_BLOCK_DELTA: ContentBlockDelta,
    EventKind.CONTENT_BLOCK_STOP: ContentBlockStop,
    EventKind.MESSAGE_DELTA: MessageDelta,
    EventKind.MESSAGE_STOP: MessageStop,
    EventKind.PING: Ping,
    EventKind.ERROR: ErrorEvent,
    EventKind.UNKNOWN: UnknownEvent,
}
"""The class of each event kind."""
