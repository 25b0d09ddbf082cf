"""The model catalogue of ``GET /v1/models``: the identifiers in the official SDK's type, newest first."""

from collections.abc import Mapping
from typing import Any

from gateway.replay.errors import ApiError

_MODELS: tuple[tuple[str, str, str], ...] = (
    ("claude-fable-5-2", "Claude Fable 5.2", "2026-11-12"),
    ("claude-mythos-5-2", "Claude Mythos 5.2", "2026-11-12"),
    ("claude-haiku-5-5", "Claude Haiku 5.5", "2026-10-21"),
    ("claude-sonnet-5-5", "Claude Sonnet 5.5", "2026-09-22"),
    ("claude-fable-5-1", "Claude Fable 5.1", "2026-09-08"),
    ("claude-opus-5-5", "Claude Opus 5.5", "2026-08-25"),
    ("claude-mythos-5-1", "Claude Mythos 5.1", "2026-08-11"),
    ("claude-sonnet-5", "Claude Sonnet 5", "2026-07-14"),
    ("claude-fable-5", "Claude Fable 5", "2026-06-30"),
    ("claude-mythos-5", "Claude Mythos 5", "2026-06-30"),
    ("claude-opus-5", "Claude Opus 5", "2026-06-09"),
    ("claude-opus-4-8", "Claude Opus 4.8", "2026-05-12"),
    ("claude-opus-4-7", "Claude Opus 4.7", "2026-04-14"),
    ("claude-mythos-preview", "Claude Mythos Preview", "2026-04-07"),
    ("claude-opus-4-6", "Claude Opus 4.6", "2026-02-05"),
    ("claude-sonnet-4-6", "Claude Sonnet 4.6", "2026-02-17"),
    ("claude-opus-4-5-20251101", "Claude Opus 4.5", "2025-11-24"),
    ("claude-haiku-4-5-20251001", "Claude Haiku 4.5", "2025-10-15"),
    ("claude-sonnet-4-5-20250929", "Claude Sonnet 4.5", "2025-09-29"),
)
_ALIASES = {
    "claude-opus-4-5": "claude-opus-4-5-20251101",
    "claude-haiku-4-5": "claude-haiku-4-5-20251001",
    "claude-sonnet-4-5": "claude-sonnet-4-5-20250929",
}
_LINES = ("haiku", "sonnet", "opus", "fable", "mythos")
_DEFAULT_LIMIT = 20
_LARGEST_LIMIT = 1_000

CATALOGUE: tuple[dict[str, Any], ...] = tuple(
    {
        "type": "model",
        "id": identifier,
        "display_name": name,
        "created_at": f"{date}T00:00:00Z",
        "lifecycle": "active",
        "line": next((line for line in _LINES if line in identifier), None),
        "capabilities": None,
        "max_input_tokens": 200_000,
        "max_tokens": 64_000 if "4-5" in identifier else 128_000,
        "deprecated_at": None,
        "retires_at": None,
    }
    for identifier, name, date in _MODELS
)
"""Every model as the API describes it. Release dates are approximate and mean nothing."""


def find_model(identifier: str) -> dict[str, Any]:
    """Return one model; an alias leads to the dated identifier. Raises ``ApiError`` (404)."""
    wanted = _ALIASES.get(identifier, identifier)
    for model in CATALOGUE:
        if model["id"] == wanted:
            return model
    raise ApiError(404, f"model: {identifier}")


def list_models(query: Mapping[str, str]) -> dict[str, Any]:
    """Return one page by ``after_id`` or ``before_id`` and ``limit`` (1 to 1,000, default 20).

    Raises ``ApiError`` (400) for a limit out of range and an identifier that is not in the list.
    """
    limit = _limit(query.get("limit"))
    models: tuple[dict[str, Any], ...] = CATALOGUE
    if "before_id" in query:
        models = models[: _position(query["before_id"], "before_id")]
        page = models[-limit:]
    else:
        if "after_id" in query:
            models = models[_position(query["after_id"], "after_id") + 1 :]
        page = models[:limit]
    return {
        "data": list(page),
        "has_more": len(models) > len(page),
        "first_id": page[0]["id"] if page else None,
        "last_id": page[-1]["id"] if page else None,
    }


def _limit(text: str | None) -> int:
    if text is None:
        return _DEFAULT_LIMIT
    try:
        limit = int(text)
    except ValueError:
        raise ApiError(400, "limit: Input should be a valid integer") from None
    if limit < 1:
        raise ApiError(400, "limit: Input should be greater than or equal to 1")
    if limit > _LARGEST_LIMIT:
        raise ApiError(400, f"limit: Input should be less than or equal to {_LARGEST_LIMIT}")
    return limit


def _position(identifier: str, parameter: str) -> int:
    for position, model in enumerate(CATALOGUE):
        if model["id"] == identifier:
            return position
    raise ApiError(400, f"{parameter}: no such model in this list: {identifier}")
