"""Finds out at once, rather than when a secret is needed, that the secret key is the wrong one."""

from __future__ import annotations

from typing import Final

from sqlalchemy import exists, select, update

from gateway.accounts.vault import Vault, VaultError
from gateway.store.engine import Database
from gateway.store.statements import insert
from gateway.store.tables import accounts, client_keys, meta

__all__ = ["check_vault"]

_NAME: Final = "canary"
_SONG: Final = b"tweet"


async def check_vault(database: Database, vault: Vault) -> None:
    """See that the vault can decrypt what is in the database; to be called before it is used.

    A value that is stored for the purpose tells. Where it was encrypted with another key than the first, every
    secret is looked at: the value is exchanged when none needs the other key any more, or there are none. Client
    keys cannot be looked at like that; where they are all there is, the value itself has to be decrypted.

    Raises:
        VaultError: it cannot; the message says what to do.
        StoreError: the database cannot be used.
    """
    async with database.read() as connection:
        canary = (await connection.execute(select(meta.c.value).where(meta.c.name == _NAME))).scalar()
    if canary is not None and vault.is_current(canary.encode()):
        return
    async with database.read() as connection:
        rows = (await connection.execute(select(accounts.c.secret))).scalars().all()
        valid = exists().where(client_keys.c.revoked_at.is_(None))
        has_client_keys = (await connection.execute(select(valid))).scalar_one()
    secrets = [secret for secret in rows if secret is not None]
    for secret in secrets:
        vault.decrypt(secret)
    if canary is not None and has_client_keys and not secrets:
        _check_client_keys(canary, vault)
    if not all(map(vault.is_current, secrets)):
        return
    fresh = vault.encrypt(_SONG).decode()
    async with database.write() as connection:
        if canary is None:
            row = insert(connection, meta).values(name=_NAME, value=fresh)
            await connection.execute(row.on_conflict_do_nothing())
        else:
            # Unless another process has exchanged it meanwhile.
            same = update(meta).where(meta.c.name == _NAME, meta.c.value == canary)
            await connection.execute(same.values(value=fresh))


def _check_client_keys(canary: str, vault: Vault) -> None:
    try:
        vault.decrypt(canary.encode())
    except VaultError:
        raise VaultError(
            "the client keys in the database belong to another secret key, and would all be refused. Set that one "
            "in GATEWAY_SECRET_KEY (several are possible, with commas between them), or put its file secret.key "
            "back; if it is lost, revoke the client keys with `gateway keys revoke` and make new ones"
        ) from None
