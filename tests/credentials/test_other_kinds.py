"""Credentials that come from elsewhere: keys of the store and of the environment, and what commands print."""

from __future__ import annotations

import asyncio
import json
import sys
from pathlib import Path
from typing import Any

import pytest
from attrs import evolve

from gateway.accounts.account import Account, AccountKind
from gateway.accounts.credentials import CredentialUnavailableError
from gateway.accounts.secrets import (
    ApiKeySecret,
    CommandSecret,
    Federation,
    OAuthSecret,
    Secret,
    SecretFormatError,
    decode_secret,
    encode_secret,
)
from gateway.providers.base import Credential
from tests.credentials.bench import RENEWAL, Bench

PRINTER = """
import pathlib, sys
count = pathlib.Path(sys.argv[1])
count.write_text(count.read_text() + "x" if count.exists() else "x")
print(pathlib.Path(sys.argv[2]).read_text())
"""


class Printer:
    """A command that prints what is in a file, and counts how often."""

    def __init__(self, directory: Path) -> None:
        """Have it print nothing as yet."""
        self._count, self._file = directory / "count", directory / "printed"

    @property
    def commands(self) -> dict[str, list[str]]:
        """The settings file's table of commands."""
        return {"printer": [sys.executable, "-S", "-c", PRINTER, str(self._count), str(self._file)]}

    @property
    def runs(self) -> int:
        """How often it was run."""
        return len(self._count.read_text()) if self._count.exists() else 0

    def prints(self, value: Any) -> None:
        """Have it print this from now on."""
        self._file.write_text(value if isinstance(value, str) else json.dumps(value))


@pytest.fixture
def printer(tmp_path: Path) -> Printer:
    return Printer(tmp_path)


async def add_command(bench: Bench, name: str = "printer") -> Account:
    return await bench.add(CommandSecret(name), AccountKind.COMMAND)


async def test_an_api_key_is_decrypted_and_never_renewed(bench: Bench) -> None:
    account = await bench.add(ApiKeySecret("key-1"), AccountKind.API_KEY)
    async with bench.manager(account) as manager:
        credential = await manager.current(account)
        assert credential == Credential("anthropic", "key-1", version=1)
        assert not manager.is_renewable(account)
        assert await manager.renew(account, credential) is None
        newer = evolve(account, secret=bench.vault.encrypt(encode_secret(ApiKeySecret("key-2"))), secret_version=2)
        assert (await manager.current(newer)).secret == "key-2"


async def test_the_key_of_the_environment_needs_no_secret_in_the_store(bench: Bench) -> None:
    row = await bench.store.ensure_environment_account("anthropic", "fingerprint")
    async with bench.manager(row, environment={row.id: "key-of-the-environment"}) as manager:
        credential = await manager.current(row)
        assert credential == Credential("anthropic", "key-of-the-environment", version=row.secret_version)
        assert "key-of-the-environment" not in repr(manager)


async def test_a_client_that_brings_its_own_credential_gets_none_of_ours(bench: Bench) -> None:
    account = Account("passthrough", "passthrough", "anthropic", AccountKind.PASSTHROUGH)
    async with bench.manager(account) as manager:
        with pytest.raises(CredentialUnavailableError):
            await manager.current(account)
        assert not manager.is_renewable(account)


async def test_a_command_is_run_once_for_everybody(bench: Bench, printer: Printer) -> None:
    printer.prints("key-1")
    account = await add_command(bench)
    async with bench.manager(account, commands=printer.commands) as manager:
        found = await asyncio.gather(*(manager.current(account) for _ in range(100)))
    assert set(found) == {Credential("anthropic", "key-1", version=1)}
    assert printer.runs == 1


async def test_a_storm_of_refusals_runs_a_command_once_more(bench: Bench, printer: Printer) -> None:
    printer.prints({"token": "token-1"})
    account = await add_command(bench)
    async with bench.manager(account, commands=printer.commands) as manager:
        refused = await manager.current(account)
        printer.prints({"token": "token-2"})
        found = await asyncio.gather(*(manager.renew(account, refused) for _ in range(100)))
        assert set(found) == {Credential("anthropic", "token-2", is_token=True, version=1)}
        assert printer.runs == 2
        assert (await manager.current(account)).secret == "token-2"


async def test_what_a_command_printed_is_replaced_ahead_of_its_expiry(bench: Bench, printer: Printer) -> None:
    printer.prints({"token": "token-1", "expires_in": 1000})
    account = await add_command(bench)
    async with bench.manager(account, commands=printer.commands) as manager:
        assert (await manager.current(account)).secret == "token-1"
        printer.prints({"token": "token-2", "expires_in": 1000})
        bench.shift += 990
        assert (await manager.current(account)).secret == "token-2"
    assert printer.runs == 2


async def test_a_command_that_fails_costs_nothing_until_the_last_credential_expires(
    bench: Bench, printer: Printer
) -> None:
    printer.prints({"token": "token-1", "expires_in": 1000})
    account = await add_command(bench)
    async with bench.manager(account, commands=printer.commands) as manager:
        await manager.current(account)
        printer.prints({"token": None})
        bench.shift += 990
        for _ in range(30):
            assert (await manager.current(account)).secret == "token-1"
        assert printer.runs < 8
        bench.shift += 20
        with pytest.raises(
            CredentialUnavailableError, match="command 'printer': what the command printed"
        ) as failure:
            await manager.current(account)
        assert not failure.value.terminal
    assert bench.conditions == []


async def test_a_refused_credential_that_a_command_goes_on_printing_is_held_back_for_a_while(
    bench: Bench, printer: Printer
) -> None:
    printer.prints("key-1")
    account = await add_command(bench)
    times = evolve(RENEWAL, first_backoff=30.0, longest_backoff=60.0, sweep=1000.0)
    async with bench.manager(account, renewal=times, commands=printer.commands) as manager:
        refused = await manager.current(account)
        for _ in range(20):
            assert await manager.renew(account, refused) is None
        assert printer.runs == 2
        with pytest.raises(CredentialUnavailableError, match="prints the same"):
            await manager.current(account)
        bench.shift += 100
        # Perhaps the upstream has changed its mind.
        assert await manager.current(account) == refused


async def test_an_account_whose_command_is_not_in_the_settings_is_said_so(bench: Bench, printer: Printer) -> None:
    account = await add_command(bench, "missing")
    async with bench.manager(account, commands=printer.commands) as manager:
        with pytest.raises(CredentialUnavailableError, match="'missing'") as failure:
            await manager.current(account)
        assert failure.value.terminal


async def test_a_shutdown_ends_a_command_that_runs(bench: Bench, tmp_path: Path) -> None:
    account = await add_command(bench, "sleep")
    started = tmp_path / "started"
    code = "import sys, time; open(sys.argv[1], 'w').close(); time.sleep(600)"
    commands = {"sleep": [sys.executable, "-S", "-c", code, str(started)]}
    async with bench.manager(account, commands=commands):
        while not started.exists():  # noqa: ASYNC110 - another process makes it
            await asyncio.sleep(0.01)


SECRETS = {
    AccountKind.API_KEY: ApiKeySecret("sk-ant-api03-secret"),
    AccountKind.COMMAND: CommandSecret("name"),
    AccountKind.OAUTH: OAuthSecret(
        "https://example.com/token",
        "client",
        "sk-ant-secret",
        "scope",
        "sk-ant-ort01-secret",
        Federation("/file", "rule", "org", "account", "workspace"),
        as_form=True,
        access_token="sk-ant-oat01-secret",
        expires_at=1.5,
        lifetime=60.0,
    ),
}


@pytest.mark.parametrize("kind", SECRETS)
def test_a_secret_is_read_as_it_was_stored_and_shown_by_nothing(kind: AccountKind) -> None:
    secret: Secret = SECRETS[kind]
    assert decode_secret(kind, encode_secret(secret)) == secret
    assert "sk-ant" not in repr(secret)


@pytest.mark.parametrize("kind", AccountKind)
@pytest.mark.parametrize(
    "data",
    [b"", b"{", b"[]", b"{}", b'{"api_key": 7}', b'{"command": null}', b'{"token_url": "u", "lifetime": "x"}'],
)
def test_a_secret_of_another_kind_is_refused_without_being_quoted(kind: AccountKind, data: bytes) -> None:
    with pytest.raises(SecretFormatError) as failure:
        decode_secret(kind, data)
    assert failure.value.__cause__ is None
    assert "7" not in str(failure.value)


def test_members_that_a_newer_version_wrote_are_left_alone() -> None:
    assert decode_secret(AccountKind.API_KEY, b'{"api_key": "k", "future": [1]}') == ApiKeySecret("k")
