"""Reading the stored secret of an account."""

from __future__ import annotations

from typing import TypeVar

from gateway.accounts.account import Account
from gateway.accounts.persistence import SecretVault
from gateway.accounts.secrets import ApiKeySecret, CommandSecret, OAuthSecret, SecretFormatError, decode_secret
from gateway.accounts.unavailable import CredentialUnavailableError
from gateway.accounts.vault import VaultError

__all__ = ["read_secret"]

_Secret = TypeVar("_Secret", ApiKeySecret, CommandSecret, OAuthSecret)


def read_secret(account: Account, vault: SecretVault, cls: type[_Secret]) -> _Secret:
    """Decrypt the secret of an account.

    Raises:
        CredentialUnavailableError: there is none, it cannot be decrypted, or it is of another kind.
    """
    if account.secret is None:
        raise CredentialUnavailableError("The account has no secret. Add it again.", terminal=True)
    try:
        secret = decode_secret(account.kind, vault.decrypt(account.secret))
    except SecretFormatError as error:
        raise CredentialUnavailableError(f"The account cannot be used: {error}.", terminal=True) from None
    except VaultError as error:
        # Its text says what to do, for operators.
        message = str(error)
        raise CredentialUnavailableError(f"{message[0].upper()}{message[1:]}.", terminal=True) from None
    if not isinstance(secret, cls):
        raise CredentialUnavailableError("The account's secret is of another kind.", terminal=True)
    return secret
