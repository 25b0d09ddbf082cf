"""Encrypts the secrets of accounts, with keys that can be exchanged one by one."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from typing import Final, Protocol

from cryptography.fernet import Fernet, InvalidToken, MultiFernet
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from gateway.accounts.account import Account

__all__ = ["SecretRows", "Vault", "VaultError"]

_PURPOSE: Final = b"claude-stream-gateway: secrets of accounts"
"""Keeps the keys of the vault apart from what else is made of the gateway's secret key."""


class VaultError(Exception):
    """A secret cannot be decrypted; the message says what to do and holds nothing of it."""


class SecretRows(Protocol):
    """Where encrypted secrets are stored."""

    async def all(self) -> list[Account]:
        """Return all accounts."""
        ...

    async def rewrite_secret(self, account_id: str, old: bytes, new: bytes) -> bool:
        """Replace a secret by the same one encrypted anew, if it is still the one that was read."""
        ...


class Vault:
    """Encrypts with the first key and decrypts with any: Fernet, that is AES-128-CBC with HMAC-SHA256."""

    def __init__(self, keys: Sequence[bytes]) -> None:
        """Derive the keys of the vault from the gateway's secret keys; the first one encrypts."""
        self._first, *_ = ciphers = [Fernet(_derive(key)) for key in keys]
        self._any = MultiFernet(ciphers)

    def encrypt(self, data: bytes) -> bytes:
        """Return what may be stored."""
        return self._first.encrypt(data)

    def decrypt(self, data: bytes) -> bytes:
        """Return what was encrypted.

        Raises:
            VaultError: with another key, or it was damaged since.
        """
        try:
            return self._any.decrypt(data)
        except InvalidToken:
            raise VaultError(
                "a secret in the database cannot be decrypted: it was encrypted with another secret key. Set that "
                "one in GATEWAY_SECRET_KEY (several are possible, with commas between them), or put its file "
                "secret.key back; if it is lost, remove the accounts and add them again"
            ) from None

    def is_current(self, data: bytes) -> bool:
        """Return whether something is encrypted with the first key."""
        try:
            self._first.decrypt(data)
        except InvalidToken:
            return False
        return True

    async def rekey(self, store: SecretRows) -> int:
        """Encrypt with the first key whatever is encrypted with another; return how many secrets that were.

        A secret that is replaced meanwhile, by a refresh for one, is not overwritten but encrypted anew in turn.

        Raises:
            VaultError: one cannot be decrypted.
        """
        done: set[str] = set()
        while True:
            old = [
                (account.id, account.secret)
                for account in await store.all()
                if account.secret is not None and not self.is_current(account.secret)
            ]
            if not old:
                return len(done)
            for account_id, secret in old:
                if await store.rewrite_secret(account_id, secret, self.encrypt(self.decrypt(secret))):
                    done.add(account_id)


def _derive(key: bytes) -> bytes:
    return base64.urlsafe_b64encode(HKDF(algorithm=SHA256(), length=32, salt=None, info=_PURPOSE).derive(key))
