"""The counters of one answer, as the API means them.

Source of the fields: `anthropic` Python SDK 2.12.0, `types/usage.py` and `types/beta/beta_usage.py` with the types
they name. Which of the values of a stream count is decided where events become a message, `sse_fsm/message.py`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import msgspec
from attrs import asdict, define

__all__ = ["Iteration", "Usage"]

_MOST: Final = 10**12
"""The largest count that is believed: no answer has a trillion tokens, and sums of costs stay within 64 bits."""
_LONGEST_TEXT: Final = 100
_MOST_ITERATIONS: Final = 1000

_COLUMNS: Final = {
    "web_search_requests": "web_searches",
    "web_fetch_requests": "web_fetches",
    "code_execution_requests": "code_executions",
}
"""Fields that have a shorter name in the table of requests."""


@define(frozen=True, kw_only=True)
class Iteration:
    """One sampling inside an answer (beta); None = not said."""

    model: str | None = None
    type: str | None = None
    """`message`, `compaction`, `advisor_message`, `fallback_message`, or one that is new."""
    input_tokens: int | None = None
    output_tokens: int | None = None
    cache_read_tokens: int | None = None
    cache_write_tokens: int | None = None
    cache_write_5m_tokens: int | None = None
    cache_write_1h_tokens: int | None = None

    @property
    def total_input_tokens(self) -> int:
        """All of the prompt: what was new, what was written to the cache, what was read from it."""
        return _total_input(self)


@define(frozen=True, kw_only=True)
class Usage:
    """Counters of one answer as the API means them; None = not said."""

    input_tokens: int | None = None
    """The part of the prompt that was neither written to the cache nor read from it."""
    output_tokens: int | None = None
    """Thinking included."""
    thinking_tokens: int | None = None
    """The part of `output_tokens` that was thinking."""
    cache_read_tokens: int | None = None
    cache_write_tokens: int | None = None
    """All that was written. Where a split is said at all, the next two add up to it."""
    cache_write_5m_tokens: int | None = None
    cache_write_1h_tokens: int | None = None
    web_search_requests: int | None = None
    web_fetch_requests: int | None = None
    code_execution_requests: int | None = None
    iterations: tuple[Iteration, ...] = ()
    service_tier: str | None = None
    inference_geo: str | None = None
    speed: str | None = None

    @classmethod
    def of(cls, raw: Mapping[str, Any] | None) -> Usage | None:
        """Read the `usage` object of a message; OpenAI's too, which is known by its totals.

        Never raises. Whatever is no plausible value counts as not said: negative, fractional or enormous counts,
        texts that are long or unprintable. More than a thousand iterations are left out altogether.

        Returns:
            None if nothing was said at all.
        """
        if not isinstance(raw, Mapping) or not raw:
            return None
        usage = _of_openai(raw) if "prompt_tokens" in raw or "total_tokens" in raw else _of_anthropic(raw)
        return None if usage == cls() else usage

    @classmethod
    def from_columns(cls, columns: Mapping[str, Any]) -> Usage | None:
        """Read a row of the table of requests; the opposite of `columns`. Never raises."""
        said: dict[str, Any] = {name: _count(columns.get(_COLUMNS.get(name, name))) for name in _COUNTS}
        said |= {name: _text(columns.get(name)) for name in _TEXTS}
        usage = cls(**said, iterations=_stored_iterations(columns.get("iterations")))
        return None if usage == cls() else usage

    def columns(self) -> dict[str, Any]:
        """Return its values by the names of the columns of the table of requests; iterations as JSON."""
        values: dict[str, Any] = {_COLUMNS.get(name, name): getattr(self, name) for name in (*_COUNTS, *_TEXTS)}
        values["iterations"] = self.iterations_as_json()
        return values

    def iterations_as_json(self) -> str | None:
        """Return its iterations as they are stored; None if there are none."""
        if not self.iterations:
            return None
        given = [
            {name: value for name, value in asdict(one).items() if value is not None} for one in self.iterations
        ]
        return msgspec.json.encode(given).decode()

    @property
    def total_input_tokens(self) -> int:
        """All of the prompt: what was new, what was written to the cache, what was read from it."""
        return _total_input(self)


_PARTS: Final = (
    "input_tokens",
    "output_tokens",
    "cache_read_tokens",
    "cache_write_tokens",
    "cache_write_5m_tokens",
    "cache_write_1h_tokens",
)
_COUNTS: Final = (*_PARTS, "thinking_tokens", *_COLUMNS)
_TEXTS: Final = ("service_tier", "inference_geo", "speed")


def _of_anthropic(raw: Mapping[str, Any]) -> Usage:
    tools, details = _mapping(raw.get("server_tool_use")), _mapping(raw.get("output_tokens_details"))
    return Usage(
        **_parts(raw),
        thinking_tokens=_count(details.get("thinking_tokens")),
        web_search_requests=_count(tools.get("web_search_requests")),
        web_fetch_requests=_count(tools.get("web_fetch_requests")),
        code_execution_requests=_count(tools.get("code_execution_requests")),
        iterations=_iterations(raw.get("iterations")),
        service_tier=_text(raw.get("service_tier")),
        inference_geo=_text(raw.get("inference_geo")),
        speed=_text(raw.get("speed")),
    )


def _of_openai(raw: Mapping[str, Any]) -> Usage:
    """Read the usage of chat completions, responses or embeddings, whose input includes what was cached."""
    read = _mapping(raw.get("prompt_tokens_details")) or _mapping(raw.get("input_tokens_details"))
    made = _mapping(raw.get("completion_tokens_details")) or _mapping(raw.get("output_tokens_details"))
    prompt = _first(_count(raw.get("prompt_tokens")), _count(raw.get("input_tokens")))
    cached, written = _count(read.get("cached_tokens")), _count(read.get("cache_write_tokens"))
    return Usage(
        input_tokens=None if prompt is None else max(prompt - (cached or 0) - (written or 0), 0),
        output_tokens=_first(_count(raw.get("completion_tokens")), _count(raw.get("output_tokens"))),
        thinking_tokens=_count(made.get("reasoning_tokens")),
        cache_read_tokens=cached,
        cache_write_tokens=written,
        service_tier=_text(raw.get("service_tier")),
    )


def _parts(raw: Mapping[str, Any]) -> dict[str, int | None]:
    """Return the counters that an answer has and each of its iterations too."""
    split = _mapping(raw.get("cache_creation"))
    of_5m, of_1h = _count(split.get("ephemeral_5m_input_tokens")), _count(split.get("ephemeral_1h_input_tokens"))
    written = _count(raw.get("cache_creation_input_tokens"))
    if of_5m is not None or of_1h is not None:
        said = (of_5m or 0) + (of_1h or 0)
        # The total may have grown since the split was said, which `message_start` alone does.
        written = max(written or 0, said)
        of_5m, of_1h = written - (of_1h or 0), of_1h or 0
    return {
        "input_tokens": _count(raw.get("input_tokens")),
        "output_tokens": _count(raw.get("output_tokens")),
        "cache_read_tokens": _count(raw.get("cache_read_input_tokens")),
        "cache_write_tokens": written,
        "cache_write_5m_tokens": of_5m,
        "cache_write_1h_tokens": of_1h,
    }


def _iterations(raw: object) -> tuple[Iteration, ...]:
    if not isinstance(raw, list) or len(raw) > _MOST_ITERATIONS:
        return ()
    return tuple(
        Iteration(**_parts(one), model=_text(one.get("model")), type=_text(one.get("type")))
        for one in raw
        if isinstance(one, Mapping)
    )


def _stored_iterations(text: object) -> tuple[Iteration, ...]:
    if not isinstance(text, str):
        return ()
    try:
        raw = msgspec.json.decode(text)
    except (msgspec.DecodeError, RecursionError):
        return ()
    if not isinstance(raw, list) or len(raw) > _MOST_ITERATIONS:
        return ()
    return tuple(
        Iteration(
            **{name: _count(one.get(name)) for name in _PARTS},
            model=_text(one.get("model")),
            type=_text(one.get("type")),
        )
        for one in raw
        if isinstance(one, Mapping)
    )


def _total_input(counts: Usage | Iteration) -> int:
    return (counts.input_tokens or 0) + (counts.cache_write_tokens or 0) + (counts.cache_read_tokens or 0)


def _mapping(value: object) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}


def _first(*values: int | None) -> int | None:
    return next((value for value in values if value is not None), None)


def _count(value: object) -> int | None:
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value <= _MOST:
        return None
    return value


def _text(value: object) -> str | None:
    """Return a text that may be stored and shown."""
    if not isinstance(value, str) or not 0 < len(value) <= _LONGEST_TEXT or not value.isprintable():
        return None
    return value
