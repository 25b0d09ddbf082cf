"""One provider with its accounts: what serves requests of one kind."""

from __future__ import annotations

from collections.abc import Mapping

from attrs import define, field

from gateway.accounts.account import Account
from gateway.accounts.pool import AccountPool
from gateway.providers.base import Credential, Provider

__all__ = ["Backend"]


@define
class Backend:
    """A provider, the pool of its accounts and their credentials."""

    provider: Provider
    pool: AccountPool
    keys: Mapping[str, str] | None = field(default=None, repr=False)
    """None: the client's own credential is passed through."""

    @property
    def passes_through(self) -> bool:
        """Whether clients bring their own credentials."""
        return self.keys is None

    async def credential(self, account: Account) -> Credential:
        """Return what is sent for an account."""
        return Credential(self.provider.name, (self.keys or {})[account.id])
