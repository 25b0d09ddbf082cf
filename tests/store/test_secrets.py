"""Secrets at rest: one key after another, and the wrong one told at once."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest
from attrs import evolve
from hypothesis import given
from hypothesis import strategies as st

from gateway.accounts.account import Account
from gateway.accounts.vault import Vault, VaultError
from gateway.actors.keys import KeyRing
from gateway.store.accounts import AccountStore
from gateway.store.canary import check_vault
from gateway.store.client_keys import ClientKeyStore
from gateway.store.engine import Database
from gateway.store.secret import SecretKeyError, load_secret_key, load_secret_keys

OLD, NEW, WRONG = (hashlib.sha256(word).digest() for word in (b"old", b"new", b"wrong"))


@given(st.binary(max_size=2_000))
def test_what_goes_into_the_vault_comes_out_again(data: bytes) -> None:
    vault = Vault([NEW])
    sealed = vault.encrypt(data)
    assert vault.decrypt(sealed) == data
    assert len(data) < 8 or data not in sealed
    with pytest.raises(VaultError, match="GATEWAY_SECRET_KEY"):
        Vault([WRONG]).decrypt(sealed)


def test_what_was_damaged_is_not_decrypted() -> None:
    sealed = bytearray(Vault([NEW]).encrypt(b"secret"))
    sealed[20] ^= 1
    with pytest.raises(VaultError):
        Vault([NEW]).decrypt(bytes(sealed))


async def test_secrets_are_encrypted_anew_and_their_versions_stay(
    accounts: AccountStore, account: Account
) -> None:
    old, both, new = Vault([OLD]), Vault([NEW, OLD]), Vault([NEW])
    await accounts.replace_secret(account.id, old.encrypt(b"one"), None, expected_version=0)
    second = evolve(account, id="acc_2", name="second", secret=new.encrypt(b"two"))
    await accounts.add(second)
    await accounts.add(evolve(account, id="acc_3", name="third", secret=None))
    assert await both.rekey(accounts) == 1
    assert await both.rekey(accounts) == 0
    by_id = {found.id: found for found in await accounts.all()}
    first = by_id[account.id]
    assert first.secret is not None
    assert (new.decrypt(first.secret), first.secret_version) == (b"one", 1)
    assert by_id["acc_2"] == evolve(second, created_at=by_id["acc_2"].created_at)


async def test_a_refresh_while_secrets_are_encrypted_anew_is_not_lost(
    accounts: AccountStore, account: Account
) -> None:
    outdated, both = Vault([OLD]), Vault([NEW, OLD])
    await accounts.replace_secret(account.id, outdated.encrypt(b"before"), None, expected_version=0)

    class Meanwhile(AccountStore):
        """Has a process with the old key refresh the account right before it is written."""

        async def rewrite_secret(self, account_id: str, old: bytes, new: bytes) -> bool:
            await self.replace_secret(account_id, outdated.encrypt(b"after"), None, expected_version=1)
            return await super().rewrite_secret(account_id, old, new)

    assert await both.rekey(Meanwhile(accounts.database)) == 1
    found = await accounts.find(account.id)
    assert found is not None
    assert found.secret is not None
    assert (Vault([NEW]).decrypt(found.secret), found.secret_version) == (b"after", 2)


async def test_the_wrong_key_is_told_at_start(accounts: AccountStore, account: Account) -> None:
    database = accounts.database
    await accounts.replace_secret(account.id, Vault([OLD]).encrypt(b"x"), None, expected_version=0)
    for _ in range(2):
        with pytest.raises(VaultError, match="encrypted with another secret key"):
            await check_vault(database, Vault([WRONG]))
        await check_vault(database, Vault([OLD]))
    with pytest.raises(VaultError):
        await check_vault(database, Vault([NEW]))
    await check_vault(database, Vault([NEW, OLD]))
    with pytest.raises(VaultError):
        await check_vault(database, Vault([NEW]))
    await Vault([NEW, OLD]).rekey(accounts)
    await check_vault(database, Vault([NEW]))
    with pytest.raises(VaultError):
        await check_vault(database, Vault([OLD]))


async def test_where_there_are_no_secrets_any_key_will_do(database: Database) -> None:
    for key in (OLD, NEW, OLD):
        await check_vault(database, Vault([key]))


async def test_a_key_that_no_client_key_was_made_with_is_told_at_start(database: Database) -> None:
    store = ClientKeyStore(database)
    await check_vault(database, Vault([OLD]))
    made, _ = await store.create("laptop", OLD)
    for _ in range(2):
        with pytest.raises(VaultError, match="client keys in the database belong to another secret key"):
            await check_vault(database, Vault([WRONG]))
        await check_vault(database, Vault([OLD]))
    await check_vault(database, Vault([NEW, OLD]))
    await check_vault(database, Vault([NEW]))
    await store.revoke(made.id)
    await check_vault(database, Vault([WRONG]))


def test_several_keys_come_from_a_list_or_from_lines(tmp_path: Path) -> None:
    one, two = (hashlib.sha256(word).digest() for word in (b"one", b"two"))
    assert load_secret_keys("one", tmp_path) == (one,)
    assert load_secret_key(" one ", tmp_path) == hashlib.sha256(b" one ").digest()
    assert load_secret_keys("two, one,", tmp_path)[:2] == (two, one)
    with pytest.raises(SecretKeyError, match="blank"):
        load_secret_keys(" \n", tmp_path)
    path = tmp_path / "secret.key"
    path.write_text("two\none\n")
    path.chmod(0o600)
    assert load_secret_keys("", tmp_path)[:2] == (two, one)
    path.write_text("one\n")
    assert load_secret_keys("", tmp_path) == (one,)
    path.write_text("\n")
    with pytest.raises(SecretKeyError):
        load_secret_keys("", tmp_path)


@pytest.mark.parametrize("single", ["a,b", ",", "a, b"])
def test_a_single_key_of_old_with_a_comma_in_it_is_still_understood(tmp_path: Path, single: str) -> None:
    assert hashlib.sha256(single.encode()).digest() in load_secret_keys(single, tmp_path)


async def test_client_keys_outlive_the_exchange_of_the_secret_key(database: Database) -> None:
    store = ClientKeyStore(database)
    _, early = await store.create("early", OLD)
    _, late = await store.create("late", NEW)
    ring = KeyRing(NEW, await store.all(), [OLD])
    for key, name in ((early, "early"), (late, "late")):
        found = ring.find(key)
        assert found is not None
        assert found.name == name
    assert ring.find("csg_unknown") is None
    assert KeyRing(NEW, await store.all()).find(early) is None
