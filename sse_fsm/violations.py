"""What can be wrong with a stream: one exception class per rule, each with a stable code.

Codes are a public contract: logs, ledgers, dashboards and other projects' tests match on them. A code is
never renamed or given a second meaning; a new rule gets a new code.
"""

from __future__ import annotations

from typing import ClassVar, Final, Literal

__all__ = [
    "VIOLATIONS",
    "BlockAfterMessageDelta",
    "BlockIndexGap",
    "BlockIndexMismatch",
    "BlockIndexReused",
    "BlockStartInsideBlock",
    "BlockStopOutsideBlock",
    "DeltaOutsideBlock",
    "DeltaTypeMismatch",
    "DuplicateMessageStart",
    "EventAfterError",
    "EventAfterStop",
    "EventBeforeMessageStart",
    "EventTooLarge",
    "FramingViolation",
    "InvalidJson",
    "InvalidUtf8",
    "MessageDeltaWithOpenBlock",
    "MessageStopBeforeMessageDelta",
    "MessageStopWithOpenBlock",
    "MissingData",
    "MissingEventName",
    "MissingField",
    "MissingUsage",
    "NameTypeMismatch",
    "OrderViolation",
    "PayloadNotObject",
    "PayloadViolation",
    "ProtocolViolation",
]


class ProtocolViolation(Exception):  # noqa: N818 - "violation" is the term of this package; it is not always an error of the program
    """A stream broke a rule of the protocol.

    Raised only as one of the subclasses below. After the first violation a stream has no meaning any more:
    every judge in this package stops there and stays stopped.
    """

    code: ClassVar[str]
    """Stable, lower-case identifier of the rule."""
    found_in: ClassVar[Literal["framing", "payload", "order"]]
    """Which of the three questions an event failed: `framing`, `payload` or `order`."""

    def __init__(self, reason: str, *, event_number: int, offset: int) -> None:
        """Describe one violation.

        Args:
            reason: one sentence for a person who debugs with curl.
            event_number: 1-based number of the offending event; pings count, comments do not.
            offset: where that event begins, in bytes from the start of the stream (a BOM included).
        """
        super().__init__(reason, event_number, offset)
        self.reason: Final = reason
        self.event_number: Final = event_number
        self.offset: Final = offset

    @classmethod
    def meaning(cls) -> str:
        """Return what breaks the rule, in a sentence."""
        return " ".join((cls.__doc__ or "").split())

    def __str__(self) -> str:
        """Return the whole finding in one line."""
        return f"event {self.event_number} at byte {self.offset}: {self.reason} [{self.code}]"


class FramingViolation(ProtocolViolation):
    """The bytes are not a usable event stream."""

    found_in = "framing"


class EventTooLarge(FramingViolation):
    """One event is longer than the bound (8 MiB by default)."""

    code = "event_too_large"


class InvalidUtf8(FramingViolation):
    """The bytes of an event are not UTF-8; the official Python SDK decodes every line and would throw."""

    code = "invalid_utf8"


class PayloadViolation(ProtocolViolation):
    """One event, looked at alone, is not what its name promises."""

    found_in = "payload"


class MissingEventName(PayloadViolation):
    """There is data but no `event:` line; the official SDKs would silently skip it."""

    code = "missing_event_name"


class MissingData(PayloadViolation):
    """A known event came without a `data:` line; the official SDKs would silently skip it."""

    code = "missing_data"


class InvalidJson(PayloadViolation):
    """The data of an event does not parse as JSON."""

    code = "invalid_json"


class PayloadNotObject(PayloadViolation):
    """The data of an event is JSON, but not an object."""

    code = "payload_not_object"


class NameTypeMismatch(PayloadViolation):
    """The `event:` name and the `type` in the data differ."""

    code = "name_type_mismatch"


class MissingField(PayloadViolation):
    """A field that the official SDKs' accumulators read is absent or has the wrong type."""

    code = "missing_field"


class MissingUsage(PayloadViolation):
    """`message_start` or `message_delta` carries no usage with an integer `output_tokens`."""

    code = "missing_usage"


class OrderViolation(ProtocolViolation):
    """The event is sound in itself, but may not come here."""

    found_in = "order"


class EventBeforeMessageStart(OrderViolation):
    """Something other than a ping or an unknown event came before `message_start`."""

    code = "event_before_message_start"


class DuplicateMessageStart(OrderViolation):
    """A second `message_start` came; the official TypeScript SDK throws on it."""

    code = "duplicate_message_start"


class BlockIndexGap(OrderViolation):
    """A block starts with an index higher than the number of blocks so far."""

    code = "block_index_gap"


class BlockIndexReused(OrderViolation):
    """A block starts with an index that an earlier block already had."""

    code = "block_index_reused"


class BlockIndexMismatch(OrderViolation):
    """A delta or stop names another block than the one that is open."""

    code = "block_index_mismatch"


class DeltaOutsideBlock(OrderViolation):
    """A `content_block_delta` came while no block was open."""

    code = "delta_outside_block"


class BlockStopOutsideBlock(OrderViolation):
    """A `content_block_stop` came while no block was open."""

    code = "block_stop_outside_block"


class BlockStartInsideBlock(OrderViolation):
    """A block starts while another one is still open."""

    code = "block_start_inside_block"


class DeltaTypeMismatch(OrderViolation):
    """A known delta type came for a known block type that it does not fit."""

    code = "delta_type_mismatch"


class BlockAfterMessageDelta(OrderViolation):
    """A block starts after `message_delta` closed the content."""

    code = "block_after_message_delta"


class MessageDeltaWithOpenBlock(OrderViolation):
    """`message_delta` came while a block was still open."""

    code = "message_delta_with_open_block"


class MessageStopWithOpenBlock(OrderViolation):
    """`message_stop` came while a block was still open."""

    code = "message_stop_with_open_block"


class MessageStopBeforeMessageDelta(OrderViolation):
    """`message_stop` came without any `message_delta` before it."""

    code = "message_stop_before_message_delta"


class EventAfterStop(OrderViolation):
    """An event came after `message_stop`; the official Python SDK would still accumulate it."""

    code = "event_after_stop"


class EventAfterError(OrderViolation):
    """An event came after `event: error`, which ends a stream."""

    code = "event_after_error"


def _leaves(parent: type[ProtocolViolation]) -> list[type[ProtocolViolation]]:
    below = parent.__subclasses__()
    return [leaf for child in below for leaf in _leaves(child)] if below else [parent]


VIOLATIONS: Final[dict[str, type[ProtocolViolation]]] = {
    violation.code: violation for violation in _leaves(ProtocolViolation)
}
"""Every violation by its code, in the order in which a stream is judged: framing, payload, order."""
