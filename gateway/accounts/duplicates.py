"""What new accounts have in common with those that are there: a name, an API key, a refresh token."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from attrs import define, field

from gateway.accounts.account import Account, AccountKind
from gateway.accounts.drafts import Draft, DraftError
from gateway.accounts.persistence import SecretVault
from gateway.accounts.secrets import ApiKeySecret, OAuthSecret
from gateway.accounts.stored import read_secret
from gateway.accounts.unavailable import CredentialUnavailableError

__all__ = ["Holders", "refuse_known_names", "refuse_known_tokens", "warn_of_known_keys"]


@define
class Holders:
    """Who has which refresh token and which API key already; each draft that is looked at counts from then on."""

    _tokens: dict[str, str] = field(factory=dict, repr=False)
    """Names of accounts by their refresh tokens."""
    _keys: dict[str, str] = field(factory=dict, repr=False)
    """Likewise by their API keys."""

    @classmethod
    def among(cls, known: Collection[Account], vault: SecretVault, from_environment: str = "") -> Holders:
        """Read the secrets of accounts; takes its time where they are many.

        Args:
            known: the accounts.
            vault: for their secrets.
            from_environment: the key of the account that has none stored.
        """
        found = cls()
        for account in known:
            match _read(account, vault):
                case OAuthSecret(refresh_token=str(token)):
                    found._tokens.setdefault(token, account.name)
                case ApiKeySecret(api_key):
                    found._keys.setdefault(api_key, account.name)
                case None if account.secret is None and from_environment:
                    found._keys.setdefault(from_environment, account.name)
        return found

    def token_holder(self, draft: Draft) -> str | None:
        """Return the name of the other account that has the refresh token of this one, if any."""
        if not isinstance(draft.secret, OAuthSecret) or draft.secret.refresh_token is None:
            return None
        other = self._tokens.setdefault(draft.secret.refresh_token, draft.name)
        return other if other != draft.name else None

    def key_holder(self, draft: Draft) -> str | None:
        """Return the name of the other account that has the API key of this one, if any."""
        if not isinstance(draft.secret, ApiKeySecret):
            return None
        other = self._keys.setdefault(draft.secret.api_key, draft.name)
        return other if other != draft.name else None


def refuse_known_names(drafts: Sequence[Draft], known: Collection[Account]) -> None:
    """See that no new account has the name of one that is there.

    Raises:
        DraftError: one has.
    """
    names = {account.name for account in known}
    taken = [draft.name for draft in drafts if draft.name in names]
    if taken:
        raise DraftError(
            f"there is an account {taken[0]!r} already"
            + (f", and {len(taken) - 1} more of these" if len(taken) > 1 else "")
            + "; choose another name, give that one another secret with `gateway accounts add --replace`, or "
            "remove it first"
        )


def refuse_known_tokens(drafts: Sequence[Draft], holders: Holders) -> None:
    """See that no refresh token is in two accounts: whichever renews second would have both revoked.

    Raises:
        DraftError: one is; says where.
    """
    for draft in drafts:
        if (other := holders.token_holder(draft)) is not None:
            raise DraftError(
                f"the account {other!r} has this refresh token already. Such a token works once: two accounts "
                f"with the same one log each other out. Log in a second time for {draft.name!r}, or leave it "
                f"to {other!r}"
            )


def warn_of_known_keys(drafts: Sequence[Draft], holders: Holders) -> list[str]:
    """Return a warning for each API key that is in two accounts."""
    return [
        f"{draft.name!r} has the same key as {other!r}: their limits are one and the same"
        for draft in drafts
        if (other := holders.key_holder(draft)) is not None
    ]


def _read(account: Account, vault: SecretVault) -> ApiKeySecret | OAuthSecret | None:
    """Return the secret of an account, if it has one of its own that can be read."""
    if account.secret is None:
        return None
    try:
        if account.kind is AccountKind.API_KEY:
            return read_secret(account, vault, ApiKeySecret)
        return read_secret(account, vault, OAuthSecret) if account.kind is AccountKind.OAUTH else None
    except CredentialUnavailableError:
        return None
