"""What an answer says about the limits of the account that it came from."""

from __future__ import annotations

from attrs import define

__all__ = ["LimitWindow", "RateLimits"]


@define(frozen=True)
class LimitWindow:
    """One limit: how much of it is used, and when it starts anew."""

    name: str
    """As the provider calls it: `5h`, `7d`, `requests`, `input-tokens` and so on."""
    family: str
    """`account`, or the class of models that it is for; empty for that of the request's own model."""
    utilization: float | None = None
    """0 for untouched, 1 for used up; may exceed 1."""
    resets_at: float | None = None
    """Unix seconds."""
    status: str | None = None
    """`allowed`, `allowed_warning` or `rejected`, where the provider says so."""


@define(frozen=True)
class RateLimits:
    """What one answer says."""

    windows: tuple[LimitWindow, ...] = ()
    retry_after: float | None = None
    """Seconds."""
    family: str | None = None
    """The family that a refusal is about, where the headers say so."""
    overage: bool = False
    """The plan's own limit is used up, and requests are billed beyond it."""
