"""Keeps secrets out of everything that these tools print."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from typing import Any, Final

from gateway.wire.headers import CREDENTIALS

__all__ = ["MASK", "Masker"]

MASK: Final = "(masked)"
_WINDOW: Final = 10
"""So many characters of a secret in a row are never shown, wherever in it they stand."""
_SHORTEST: Final = 6
"""A shorter "secret" is a placeholder such as `any`; hiding it would hide words."""
_LIKE_A_KEY: Final = re.compile(r"\b(?:sk-|csg_|rt-)[\w-]{8,}|(?i:\bbearer) [\w.~+/=-]{8,}")
_SECRET_HEADERS: Final = CREDENTIALS | {"cookie", "set-cookie", "proxy-authorization", "proxy-authenticate"}
_OWNERS: Final = frozenset(
    {"anthropic-organization-id", "anthropic-workspace-id", "openai-organization", "openai-project"}
)
"""No secrets, but nobody's business who reads a pull request."""
_SECRET_NAME: Final = re.compile(r"api-?key|token(?!s)|secret|password|auth", re.IGNORECASE)


class Masker:
    """Replaces secrets in text: those that it was told of, whole or in part, and whatever looks like a key."""

    def __init__(self, secrets: Iterable[str] = ()) -> None:
        """Learn the secrets that this run deals in; empty ones count for nothing."""
        self._pattern: re.Pattern[str] | None = None
        self._windows: set[str] = set()
        for secret in secrets:
            self.learn(secret)

    def learn(self, secret: str) -> None:
        """Learn one more."""
        if len(secret) < _SHORTEST:
            return
        last = max(1, len(secret) - _WINDOW + 1)
        self._windows.update(secret[at : at + _WINDOW] for at in range(last))
        words = "|".join(re.escape(window) for window in sorted(self._windows, key=len, reverse=True))
        # A look-ahead finds windows that overlap, so that all of a secret is covered and not a part of it.
        self._pattern = re.compile(f"(?=({words}))")

    def __call__(self, text: str) -> str:
        """Return text without secrets."""
        return _LIKE_A_KEY.sub(MASK, self._without_known(text))

    def header(self, name: str, value: str) -> str:
        """Return a header's value, or the mask for headers that carry credentials."""
        low = name.lower()
        if low in _SECRET_HEADERS | _OWNERS or (
            _SECRET_NAME.search(low) and not low.startswith("anthropic-ratelimit")
        ):
            return MASK
        return self(value)

    def all(self, value: Any) -> Any:
        """Return a JSON value of which every text is without secrets."""
        if isinstance(value, str):
            return self(value)
        if isinstance(value, list):
            return [self.all(item) for item in value]
        if isinstance(value, dict):
            return {name: self.all(item) for name, item in value.items()}
        return value

    def _without_known(self, text: str) -> str:
        if self._pattern is None:
            return text
        parts: list[str] = []
        end = 0
        for start, stop in _joined((match.start(), match.end(1)) for match in self._pattern.finditer(text)):
            parts += [text[end:start], MASK]
            end = stop
        return "".join([*parts, text[end:]])


def _joined(spans: Iterator[tuple[int, int]]) -> Iterator[tuple[int, int]]:
    """Join spans, in the order of their starts, that touch."""
    current: tuple[int, int] | None = None
    for start, stop in spans:
        if current is None:
            current = start, stop
        elif start <= current[1]:
            current = current[0], max(current[1], stop)
        else:
            yield current
            current = start, stop
    if current is not None:
        yield current
