"""Diagnostics that an operator switches on by name: sizes, hashes, states and timings, never content."""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Iterable
from typing import Any, Final

from gateway.telemetry.logs import get_logger

__all__ = ["TOPICS", "Diagnostics"]

TOPICS: Final = {
    "requests": "for each request its size, the hash of its body and the names of its headers",
    "attempts": "for each attempt the account, status, fault class and time to the response head",
    "streams": "for each stream the states, events, bytes and gaps, and why it ended",
}
"""What can be switched on."""

_log = get_logger(__name__)


class Diagnostics:
    """Writes the diagnostics that are switched on."""

    def __init__(self, topics: Collection[str] = ()) -> None:
        """Switch on `topics`; `all` means every one.

        Raises:
            ValueError: a topic does not exist.
        """
        unknown = sorted(set(topics) - {*TOPICS, "all"})
        if unknown:
            raise ValueError(f"unknown diagnostics {', '.join(unknown)}; there are {', '.join(TOPICS)} and all")
        self._topics = frozenset(TOPICS if "all" in topics else topics)

    def wants(self, topic: str) -> bool:
        """Whether to gather what `topic` needs."""
        return topic in self._topics

    def write(self, topic: str, **facts: Any) -> None:
        """Log facts under a topic if it is switched on."""
        if topic in self._topics:
            _log.info("diagnostic", topic=topic, **facts)


def body_hash(body: bytes | bytearray) -> str:
    """Return 16 hexadecimal digits that tell whether two bodies are the same."""
    return hashlib.blake2b(body, digest_size=8).hexdigest()


def header_names(headers: Iterable[str]) -> list[str]:
    """Return names alone, in order."""
    return [name.lower() for name in headers]
