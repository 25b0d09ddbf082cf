"""The credential of each account: ready to be sent, or the reason why there is none."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from types import TracebackType
from typing import Self

from attrs import define, field

from gateway.accounts.account import Account, AccountKind
from gateway.accounts.persistence import Leases, SecretStore, SecretVault
from gateway.accounts.secrets import ApiKeySecret, SecretFormatError, decode_secret
from gateway.providers.base import Credential

__all__ = ["CredentialManager", "CredentialUnavailableError"]


class CredentialUnavailableError(Exception):
    """There is no credential to send for an account now."""

    def __init__(self, message: str, *, terminal: bool = False) -> None:
        """Say why, in a sentence for people that holds no secret.

        Args:
            message: the sentence.
            terminal: only a person can mend it.
        """
        super().__init__(message)
        self.message = message
        self.terminal = terminal


@define(eq=False)
class CredentialManager:
    """Hands out credentials and renews them. To be used as an async context manager, which owns its tasks."""

    store: SecretStore
    leases: Leases
    vault: SecretVault
    clock: Callable[[], float] = field(kw_only=True)
    """Unix seconds, on which all processes agree."""
    owner: str = field(kw_only=True)
    """Names this process in leases."""
    on_condition: Callable[..., None] = field(kw_only=True)
    """Called with an account's id, its new condition, the reason, and `secret_version=`."""
    environment: Mapping[str, str] = field(factory=dict, repr=False, kw_only=True)
    """API keys of the environment, by account id."""
    commands: Mapping[str, Sequence[str]] = field(factory=dict, repr=False, kw_only=True)
    """Command lines of the settings file, by name."""
    _keys: dict[str, Credential] = field(factory=dict, init=False, repr=False)

    async def __aenter__(self) -> Self:
        """Start renewing ahead of expiry."""
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stop, and bring to an end what must not be left half done."""

    async def current(self, account: Account) -> Credential:
        """Return what is to be sent for an account.

        Raises:
            CredentialUnavailableError: there is nothing now.
        """
        if account.kind is AccountKind.API_KEY:
            return self._api_key(account)
        raise CredentialUnavailableError("Accounts of this kind cannot be used yet.", terminal=True)

    async def renew(self, account: Account, refused: Credential) -> Credential | None:
        """Return a newer credential than the one that the upstream refused; None if there is none to be had."""
        if account.kind is AccountKind.API_KEY and refused.version < account.secret_version:
            return self._api_key(account)
        return None

    def replace(self, accounts: Sequence[Account]) -> None:
        """Take over what the store says now."""
        known = {account.id for account in accounts}
        for account_id in self._keys.keys() - known:
            del self._keys[account_id]

    def is_renewable(self, account: Account) -> bool:
        """Whether a refused credential of this account may be followed by a better one."""
        return account.kind in {AccountKind.COMMAND, AccountKind.OAUTH}

    def _api_key(self, account: Account) -> Credential:
        kept = self._keys.get(account.id)
        if kept is not None and kept.version >= account.secret_version:
            return kept
        key = self.environment.get(account.id) if account.secret is None else None
        if key is None:
            key = self._stored_key(account)
        made = Credential(account.provider, key, version=account.secret_version)
        self._keys[account.id] = made
        return made

    def _stored_key(self, account: Account) -> str:
        if account.secret is None:
            raise CredentialUnavailableError("The account has no key.", terminal=True)
        try:
            secret = decode_secret(account.kind, self.vault.decrypt(account.secret))
        except SecretFormatError as error:
            raise CredentialUnavailableError(
                f"The account's key cannot be used: {error}.", terminal=True
            ) from None
        except Exception:  # noqa: BLE001 - the vault's own kind of error; its text is not for clients
            raise CredentialUnavailableError("The account's key cannot be decrypted.", terminal=True) from None
        assert isinstance(secret, ApiKeySecret)  # noqa: S101 - the kind says so
        return secret.api_key
