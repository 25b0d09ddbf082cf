"""Where an official SDK's final message differs from ours, and why. Whatever is not in here must be equal.

A rule that no longer applies to any stream fails a test too: the list stays as short as the truth.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from datetime import datetime
from typing import Any, Final

from attrs import define

__all__ = ["ABSENT", "KNOWN_DIFFERENCES", "Difference", "KnownDifference", "differences"]

ABSENT: Final = "<absent>"
_EXACT_IN_DOUBLES: Final = 2**53


@define(frozen=True)
class Difference:
    """One place where two messages differ."""

    stream: str
    path: str
    ours: Any
    theirs: Any


@define(frozen=True)
class KnownDifference:
    """A difference that is expected, with the reason for it."""

    sdks: str
    """Pattern of SDK names."""
    path: str
    """Pattern of places; empty for the message as a whole, where the SDK raises instead of returning one."""
    fits: Callable[[Difference], bool]
    reason: str

    def explains(self, sdk: str, difference: Difference) -> bool:
        """Whether this rule speaks of that difference."""
        place = re.fullmatch(self.path, difference.path)
        return bool(re.fullmatch(self.sdks, sdk) and place and self.fits(difference))


def differences(stream: str, ours: Any, theirs: Any, path: str = "") -> Iterator[Difference]:
    """Compare two JSON values; numbers by value, so that 1 equals 1.0, but true does not equal 1."""
    if isinstance(ours, dict) and isinstance(theirs, dict):
        for key in sorted({*ours, *theirs}):
            below = f"{path}.{key}" if path else key
            yield from differences(stream, ours.get(key, ABSENT), theirs.get(key, ABSENT), below)
    elif isinstance(ours, list) and isinstance(theirs, list) and len(ours) == len(theirs):
        for index, (one, other) in enumerate(zip(ours, theirs, strict=True)):
            yield from differences(stream, one, other, f"{path}[{index}]")
    elif ours != theirs or isinstance(ours, bool) != isinstance(theirs, bool):
        yield Difference(stream, path, ours, theirs)


def _is_only_theirs(difference: Difference) -> bool:
    return difference.ours == ABSENT and difference.theirs is None


def _is_rounded(difference: Difference) -> bool:
    ours = difference.ours
    return isinstance(ours, int) and abs(ours) > _EXACT_IN_DOUBLES and difference.theirs == float(ours)


def _is_same_instant(difference: Difference) -> bool:
    return datetime.fromisoformat(difference.ours) == datetime.fromisoformat(difference.theirs)


def _lost_its_start(difference: Difference) -> bool:
    return difference.stream.startswith("framing-bom") and difference.theirs.startswith(
        ("AssertionError", "RuntimeError: Unexpected event order")
    )


def _is_from_message_start(difference: Difference) -> bool:
    return difference.stream.startswith("fallback-model") and difference.theirs == []


KNOWN_DIFFERENCES: Final = (
    KnownDifference(
        "python-.*",
        "",
        _lost_its_start,
        "the decoder does not strip a byte order mark and so loses the first event; behind our guard, which "
        "strips it, the stream is read",
    ),
    KnownDifference(
        "python-.*",
        r"container\.expires_at",
        _is_same_instant,
        "the SDK turns times into datetime objects; we keep the text as it came",
    ),
    KnownDifference(
        "python-.*",
        r"content\[\d+\]\.encrypted_content",
        _is_only_theirs,
        "compaction_delta: the SDK assigns null where the stream left it out; like the TypeScript SDK we keep "
        "absent absent",
    ),
    KnownDifference(
        r"python-0\..*",
        "input_transformations",
        _is_from_message_start,
        "before 2.0 the SDK did not take it over from message_delta",
    ),
    KnownDifference(
        "typescript-.*",
        "parsed_output",
        _is_only_theirs,
        "the streaming helper adds it to every message; it is no field of the API",
    ),
    KnownDifference(
        "typescript-.*",
        r"content\[2\]\.input\.a",
        lambda difference: difference.stream == "tool-input-from-the-start" and difference.theirs == ABSENT,
        "an input that the block's start brought is emptied by an empty fragment; like the Python SDK we keep it",
    ),
    KnownDifference(
        "typescript-.*",
        ".+",
        _is_rounded,
        "JavaScript numbers are doubles; we keep every digit, as the Python SDK does",
    ),
)
