"""An upstream account."""

from __future__ import annotations

from attrs import define, field

from gateway.providers.base import Provider

__all__ = ["Account"]


@define(frozen=True)
class Account:
    """One credential at one provider."""

    id: str
    name: str
    provider: Provider = field(repr=False)
    secret: str | None = field(default=None, repr=False)
    """None: the client's own credential is passed through."""
