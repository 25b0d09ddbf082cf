"""Content blocks and deltas: the known ones by name, and what fits what.

Open sets stay open. The API may add block types, delta types, fields and enum members at any time (Anthropic
docs, "Versioning"), so every class keeps what it does not know in `extra`, unknown types have classes of their
own, and a field that was absent (`UNSET`) stays distinct from one that was null.

Shapes: the `anthropic` Python SDK 2.12.0, `types/content_block.py`, `types/raw_content_block_delta.py` and
their counterparts in `types/beta/`.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum
from typing import Any, Final

from attrs import define, field

__all__ = [
    "BLOCK_CLASSES",
    "BLOCK_TYPES",
    "DELTA_CLASSES",
    "DELTA_TYPES",
    "UNSET",
    "Block",
    "BlockType",
    "CitationsDelta",
    "CompactionBlock",
    "CompactionDelta",
    "CompleteBlock",
    "Delta",
    "FallbackBlock",
    "InputJsonDelta",
    "OpenObject",
    "SignatureDelta",
    "TextBlock",
    "TextDelta",
    "ThinkingBlock",
    "ThinkingDelta",
    "ToolUseBlock",
    "UnknownBlock",
    "UnknownDelta",
    "Unset",
]


class Unset(Enum):
    """Type of `UNSET`."""

    UNSET = "unset"

    def __bool__(self) -> bool:
        """Be false, as null is."""
        return False


UNSET: Final = Unset.UNSET
"""The field was not in the JSON at all; None means that it was there and null."""


@define(frozen=True)
class BlockType:
    """What the protocol says about one known content block type."""

    deltas: frozenset[str]
    """Delta types that may follow its start."""
    text_fields: Mapping[str, str] = field(factory=dict)
    """Per delta type, the block's field that an accumulator appends to and that must be a string."""

    @property
    def starts_complete(self) -> bool:
        """Whether the block arrives whole in `content_block_start`."""
        return not self.deltas


_STREAMS_INPUT: Final = BlockType(frozenset({"input_json_delta"}))
_COMPLETE: Final = BlockType(frozenset())

BLOCK_TYPES: Final[Mapping[str, BlockType]] = {
    "text": BlockType(frozenset({"text_delta", "citations_delta"}), {"text_delta": "text"}),
    "thinking": BlockType(frozenset({"thinking_delta", "signature_delta"}), {"thinking_delta": "thinking"}),
    "tool_use": _STREAMS_INPUT,
    "server_tool_use": _STREAMS_INPUT,
    "mcp_tool_use": _STREAMS_INPUT,
    "compaction": BlockType(frozenset({"compaction_delta"})),
    "redacted_thinking": _COMPLETE,
    "web_search_tool_result": _COMPLETE,
    "web_fetch_tool_result": _COMPLETE,
    "code_execution_tool_result": _COMPLETE,
    "bash_code_execution_tool_result": _COMPLETE,
    "text_editor_code_execution_tool_result": _COMPLETE,
    "tool_search_tool_result": _COMPLETE,
    "advisor_tool_result": _COMPLETE,
    "mcp_tool_result": _COMPLETE,
    "mcp_tool_listing": _COMPLETE,
    "container_upload": _COMPLETE,
    "fallback": _COMPLETE,
}
"""Known block types. Any other type is accepted with any deltas."""

DELTA_TYPES: Final[Mapping[str, tuple[str, type | None]]] = {
    "text_delta": ("text", str),
    "input_json_delta": ("partial_json", str),
    "thinking_delta": ("thinking", str),
    "signature_delta": ("signature", str),
    "citations_delta": ("citation", dict),
    "compaction_delta": ("content", None),
}
"""Known delta types: the field that accumulators read and its JSON type; None where it may be null or absent."""


@define
class OpenObject:
    """A JSON object that may carry more fields than its class names."""

    extra: dict[str, Any] = field(factory=dict, kw_only=True)
    """The fields that the class does not name, as they came."""


@define
class TextBlock(OpenObject):
    """Text for the reader."""

    text: str | Unset = UNSET
    citations: list[Any] | Unset | None = UNSET
    type: str = "text"


@define
class ThinkingBlock(OpenObject):
    """Extended thinking; `signature` is opaque and must come back to the API unchanged."""

    thinking: str | Unset = UNSET
    signature: str | Unset | None = UNSET
    type: str = "thinking"


@define
class ToolUseBlock(OpenObject):
    """A call of a client, server or MCP tool; its input streams as JSON fragments."""

    id: Any = UNSET
    name: Any = UNSET
    input: Any = UNSET
    type: str = "tool_use"


@define
class CompactionBlock(OpenObject):
    """Beta: a summary that stands for the conversation so far; comes whole in one delta."""

    content: Any = UNSET
    encrypted_content: Any = UNSET
    type: str = "compaction"


@define
class FallbackBlock(OpenObject):
    """Beta: from here on another model answers; `to["model"]` becomes the message's model."""

    to: dict[str, Any] | Unset = UNSET
    type: str = "fallback"


@define
class CompleteBlock(OpenObject):
    """Any other known block: it arrives whole, and its fields are carried as they came."""

    type: str


@define
class UnknownBlock(OpenObject):
    """A block type that this version does not know, carried as it came."""

    type: str


Block = TextBlock | ThinkingBlock | ToolUseBlock | CompactionBlock | FallbackBlock | CompleteBlock | UnknownBlock


@define
class TextDelta(OpenObject):
    """More text of a text block."""

    text: str
    type: str = "text_delta"


@define
class InputJsonDelta(OpenObject):
    """A fragment of a tool's input; the fragments of a block joined are one JSON object."""

    partial_json: str
    type: str = "input_json_delta"


@define
class ThinkingDelta(OpenObject):
    """More text of a thinking block."""

    thinking: str
    type: str = "thinking_delta"


@define
class SignatureDelta(OpenObject):
    """The whole signature of a thinking block; replaces, never appends."""

    signature: str
    type: str = "signature_delta"


@define
class CitationsDelta(OpenObject):
    """One more citation of a text block."""

    citation: dict[str, Any]
    type: str = "citations_delta"


@define
class CompactionDelta(OpenObject):
    """Beta: the whole content of a compaction block."""

    content: Any = UNSET
    encrypted_content: Any = UNSET
    type: str = "compaction_delta"


@define
class UnknownDelta(OpenObject):
    """A delta type that this version does not know, carried as it came."""

    type: str


Delta = (
    TextDelta | InputJsonDelta | ThinkingDelta | SignatureDelta | CitationsDelta | CompactionDelta | UnknownDelta
)

BLOCK_CLASSES: Final[Mapping[str, type]] = {
    **dict.fromkeys(BLOCK_TYPES, CompleteBlock),
    "text": TextBlock,
    "thinking": ThinkingBlock,
    "tool_use": ToolUseBlock,
    "server_tool_use": ToolUseBlock,
    "mcp_tool_use": ToolUseBlock,
    "compaction": CompactionBlock,
    "fallback": FallbackBlock,
}
DELTA_CLASSES: Final[Mapping[str, type]] = {
    "text_delta": TextDelta,
    "input_json_delta": InputJsonDelta,
    "thinking_delta": ThinkingDelta,
    "signature_delta": SignatureDelta,
    "citations_delta": CitationsDelta,
    "compaction_delta": CompactionDelta,
}
