"""Reading the stored secret of an account."""

from __future__ import annotations

import shlex
from typing import TypeVar

from gateway.accounts.account import Account, AccountKind
from gateway.accounts.persistence import SecretVault
from gateway.accounts.secrets import ApiKeySecret, CommandSecret, OAuthSecret, SecretFormatError, decode_secret
from gateway.accounts.unavailable import CredentialUnavailableError
from gateway.accounts.vault import VaultError

__all__ = ["read_secret", "replace_command"]

_Secret = TypeVar("_Secret", ApiKeySecret, CommandSecret, OAuthSecret)


def read_secret(account: Account, vault: SecretVault, cls: type[_Secret]) -> _Secret:
    """Decrypt the secret of an account.

    Raises:
        CredentialUnavailableError: there is none, it cannot be decrypted, or it is of another kind.
    """
    if account.secret is None:
        message = f"The account has no secret. `{replace_command(account)}` gives it one."
        raise CredentialUnavailableError(message, terminal=True)
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


def replace_command(account: Account) -> str:
    """Return the command by which an operator gives an account another secret."""
    source = "--command NAME" if account.kind is AccountKind.COMMAND else "--secret-stdin"
    return f"gateway accounts add --replace --name {shlex.quote(account.name)} {source}"
