"""Encrypts the secrets of second factors anew when the gateway's secret key is exchanged."""

from __future__ import annotations

from gateway.accounts.vault import Vault
from gateway.store.users import UserStore

__all__ = ["rekey_second_factors"]


async def rekey_second_factors(users: UserStore, vault: Vault) -> int:
    """Encrypt with the first key whatever is encrypted with another; return how many users that were.

    Raises:
        VaultError: one cannot be decrypted.
        StoreError: the database cannot be used.
    """
    done = 0
    for user in await users.all():
        secrets = [user.totp, user.totp_offered]
        if all(secret is None or vault.is_current(secret) for secret in secrets):
            continue
        totp, offered = (vault.encrypt(vault.decrypt(one)) if one is not None else None for one in secrets)
        done += await users.rewrite_totp(user, totp, offered)
    return done
