"""What new accounts have in common with those that are there: a name, an API key, a refresh token."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import TypeVar

from gateway.accounts.account import Account
from gateway.accounts.drafts import Draft
from gateway.accounts.secrets import ApiKeySecret, OAuthSecret
from gateway.accounts.stored import read_secret
from gateway.accounts.unavailable import CredentialUnavailableError
from gateway.accounts.vault import Vault
from gateway.cli.common import CommandError

__all__ = ["refuse_known_names", "refuse_known_tokens", "warn_of_known_keys"]

_Secret = TypeVar("_Secret", ApiKeySecret, OAuthSecret)


def refuse_known_names(drafts: Sequence[Draft], known: Collection[Account]) -> None:
    """See that no new account has the name of one that is there.

    Raises:
        CommandError: one has.
    """
    names = {account.name for account in known}
    taken = [draft.name for draft in drafts if draft.name in names]
    if taken:
        raise CommandError(
            f"there is an account {taken[0]!r} already"
            + (f", and {len(taken) - 1} more of these" if len(taken) > 1 else "")
            + "; choose another name, give that one another secret with `gateway accounts add --replace`, or "
            "remove it first"
        )


def refuse_known_tokens(drafts: Sequence[Draft], known: Collection[Account], vault: Vault) -> None:
    """See that no refresh token is in two accounts: whichever renews second would have both revoked.

    Raises:
        CommandError: one is; says where.
    """
    owners: dict[str, str] = {}
    for account in known:
        secret = _read(account, vault, OAuthSecret)
        if secret is not None and secret.refresh_token is not None:
            owners.setdefault(secret.refresh_token, account.name)
    for draft in drafts:
        if isinstance(draft.secret, OAuthSecret) and draft.secret.refresh_token is not None:
            other = owners.setdefault(draft.secret.refresh_token, draft.name)
            if other != draft.name:
                raise CommandError(
                    f"the account {other!r} has this refresh token already. Such a token works once: two accounts "
                    f"with the same one log each other out. Log in a second time for {draft.name!r}, or leave it "
                    f"to {other!r}"
                )


def warn_of_known_keys(
    drafts: Sequence[Draft], known: Collection[Account], vault: Vault, from_environment: str
) -> list[str]:
    """Return a warning for each API key that is in two accounts.

    Args:
        drafts: the new accounts.
        known: those that are there.
        vault: for their secrets.
        from_environment: the key of the account that has none stored.
    """
    owners: dict[str, str] = {}
    for account in known:
        if account.secret is None:
            if from_environment:
                owners.setdefault(from_environment, account.name)
        elif (secret := _read(account, vault, ApiKeySecret)) is not None:
            owners.setdefault(secret.api_key, account.name)
    warnings = []
    for draft in drafts:
        if isinstance(draft.secret, ApiKeySecret):
            other = owners.setdefault(draft.secret.api_key, draft.name)
            if other != draft.name:
                warnings.append(f"{draft.name!r} has the same key as {other!r}: their limits are one and the same")
    return warnings


def _read(account: Account, vault: Vault, cls: type[_Secret]) -> _Secret | None:
    """Return the secret of an account, if it is one of these and can be read."""
    try:
        return None if account.secret is None else read_secret(account, vault, cls)
    except CredentialUnavailableError:
        return None
