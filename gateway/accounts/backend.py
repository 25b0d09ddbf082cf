"""One provider with its accounts: what serves requests of one kind."""

from __future__ import annotations

from collections.abc import Callable

from attrs import define

from gateway.accounts.credentials import CredentialManager
from gateway.accounts.pool import AccountPool
from gateway.providers.base import Provider

__all__ = ["Backend"]


@define
class Backend:
    """A provider, the pool of its accounts and their credentials."""

    provider: Provider
    pool: AccountPool
    credentials: CredentialManager | None
    """None: the client's own credential is passed through."""
    clock: Callable[[], float]
    """Unix seconds, on which all processes agree."""

    @property
    def passes_through(self) -> bool:
        """Whether clients bring their own credentials."""
        return self.credentials is None
