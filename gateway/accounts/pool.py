"""Which account serves a request."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from attrs import define, field

from gateway.accounts.account import Account
from gateway.providers.base import FaultClass

__all__ = ["AccountPool"]


@define
class AccountPool:
    """The accounts that can serve requests."""

    accounts: Sequence[Account] = field(factory=tuple)

    @property
    def is_shared(self) -> bool:
        """Whether answers may come from accounts that are not one and the same, or whose owner is the client."""
        return len(self.accounts) > 1

    def choose(self, tried: Collection[str]) -> Account | None:
        """Return an account that this request has not tried yet, or None.

        Args:
            tried: ids of the accounts that failed this request.
        """
        return next((account for account in self.accounts if account.id not in tried), None)

    def report(self, account: Account, fault: FaultClass | None) -> None:
        """Take note of how an attempt went; None for well."""
