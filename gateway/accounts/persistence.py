"""What renewing credentials needs of the database and of the vault."""

from __future__ import annotations

from enum import StrEnum
from typing import Protocol

from gateway.accounts.account import Account, Condition

__all__ = ["LeaseState", "Leases", "SecretStore", "SecretVault"]


class LeaseState(StrEnum):
    """What asking for the lease on one version of an account's secret comes to."""

    #: It is ours.
    ACQUIRED = "acquired"
    #: Somebody else has it and is not too late.
    HELD = "held"
    #: There is a newer secret.
    STALE = "stale"
    #: Somebody sent the refresh token and was not heard of since: it must not be sent again.
    UNCERTAIN = "uncertain"


class SecretStore(Protocol):
    """The accounts in the database. Every method may raise when that is down."""

    async def find(self, id_or_name: str, /) -> Account | None:
        """Return an account as it is now."""
        ...

    async def set_condition(
        self, account_id: str, condition: Condition, reason: str, /, *, secret_version: int, since: float | None
    ) -> bool:
        """Note what traffic found out about a version of the secret; return whether that is the present one."""
        ...

    async def replace_secret(
        self, account_id: str, secret: bytes, expires_at: float | None, /, *, expected_version: int
    ) -> int | None:
        """Store a new secret, end the lease, and return the new version; None if the present one is unexpected."""
        ...


class Leases(Protocol):
    """Who may use the refresh token of an account. Times are the database's own; every method may raise."""

    async def acquire(self, account_id: str, owner: str, version: int, ttl_seconds: float, /) -> LeaseState:
        """Ask for the lease on one version of the secret."""
        ...

    async def mark_sent(self, account_id: str, owner: str, version: int, ttl_seconds: float, /) -> bool:
        """Write down that the refresh token is about to be sent; False: it must not be."""
        ...

    async def release(self, account_id: str, owner: str, /) -> None:
        """Give the lease back: the refresh token was certainly not used up."""
        ...

    async def abandon(self, account_id: str, owner: str, /) -> None:
        """End the lease, but not the mark: nobody knows whether the refresh token was used up."""
        ...


class SecretVault(Protocol):
    """Encrypts what is stored."""

    def encrypt(self, data: bytes, /) -> bytes:
        """Return what may be stored."""
        ...

    def decrypt(self, data: bytes, /) -> bytes:
        """Return what was encrypted; raises `VaultError`, which says what to do, when the key is another."""
        ...
