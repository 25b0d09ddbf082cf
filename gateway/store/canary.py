"""Finds out at once, rather than when a secret is needed, that the secret key is the wrong one."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Final

from sqlalchemy import exists, func, select, update

from gateway.accounts.vault import Vault, VaultError
from gateway.store.engine import Database
from gateway.store.secret import SecretKeyError, has_secret_key, key_file
from gateway.store.statements import insert
from gateway.store.tables import accounts, client_keys, meta

__all__ = ["check_vault", "refuse_lost_key"]

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


async def refuse_lost_key(database: Database, configured: str, data_dir: Path) -> None:
    """See that no secret key is made in the place of one that is lost; to be called before `load_secret_keys`.

    Args:
        database: what the key would be for.
        configured: GATEWAY_SECRET_KEY.
        data_dir: where the key file lives.

    Raises:
        SecretKeyError: there is none, and the database holds what was made with one.
        StoreError: the database cannot be used.
    """
    async with database.read() as connection:
        secrets = select(func.count()).select_from(accounts).where(accounts.c.secret.is_not(None))
        keys = select(func.count()).select_from(client_keys).where(client_keys.c.revoked_at.is_(None))
        counts = [(await connection.execute(query)).scalar_one() for query in (secrets, keys)]
    # Looked for last: a process that stores something has made the file before.
    if not any(counts) or await asyncio.to_thread(has_secret_key, configured, data_dir):
        return
    held = " and ".join(
        f"{count} {thing}{'' if count == 1 else 's'}"
        for count, thing in zip(counts, ("account", "client key"), strict=True)
        if count
    )
    raise SecretKeyError(
        f"there is no key file {key_file(data_dir)}, and the database holds {held} made with a secret key. Put "
        "the file back, or set that key in GATEWAY_SECRET_KEY. If it is lost, remove the accounts and revoke the "
        "client keys, and add and make them again: docs/security.md has the steps"
    )


def _check_client_keys(canary: str, vault: Vault) -> None:
    try:
        vault.decrypt(canary.encode())
    except VaultError:
        raise VaultError(
            "the client keys in the database belong to another secret key, and would all be refused. Set that one "
            "in GATEWAY_SECRET_KEY (several are possible, with commas between them), or put its file secret.key "
            "back; if it is lost, revoke the client keys with `gateway keys revoke` and make new ones"
        ) from None
