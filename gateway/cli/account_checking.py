"""`gateway accounts check`: whether accounts work."""

from __future__ import annotations

import argparse
import asyncio
import secrets
import sys
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Final

from attrs import define, evolve

from gateway.accounts.account import Account, AccountKind, AccountState, Condition
from gateway.accounts.checking import Checker, Finding, Verdict
from gateway.accounts.credentials import CredentialManager
from gateway.accounts.vault import Vault
from gateway.cli.account_office import Office, open_vault, run_with_office
from gateway.cli.account_output import Shown, print_json, still, verdict_as_json, verdict_as_text
from gateway.cli.common import CommandError, settings_from
from gateway.store.accounts import ENVIRONMENT
from gateway.store.errors import StoreError
from gateway.store.leases import LeaseStore

__all__ = ["check_accounts", "run"]

_NOT_CONFIGURED: Final = Verdict(
    Finding.NO_CREDENTIAL,
    "GATEWAY_ANTHROPIC_API_KEY is not set here. Set it as for the gateway, to check the account; if no gateway "
    f"has it any more, `gateway accounts remove {ENVIRONMENT}`.",
)


def run(args: argparse.Namespace) -> int:
    """Run `gateway accounts check`."""
    settings = settings_from(args)
    vault = open_vault(settings)

    async def work(office: Office) -> list[tuple[Account, Verdict]]:
        if args.names:
            wanted = {account.id: account for account in [await office.find(name) for name in args.names]}
        else:
            wanted = {account.id: account for account in await office.accounts()}
        if not wanted:
            raise CommandError("there are no accounts to check; add one with `gateway accounts add`")
        checked = await check_accounts(office, vault, list(wanted.values()), _Progress(len(wanted)).step)
        present = {account.id: account for account in await office.accounts()}
        shown = await office.show([present.get(account.id, account) for account, _ in checked])
        return [
            (account, _with_state(verdict, one)) for (account, verdict), one in zip(checked, shown, strict=True)
        ]

    checked = run_with_office(settings, work)
    if args.json:
        print_json([verdict_as_json(account.name, verdict) for account, verdict in checked])
    else:
        for account, verdict in checked:
            print(verdict_as_text(account.name, verdict))
    return 0 if all(verdict.is_good for _, verdict in checked) else 1


async def check_accounts(
    office: Office, vault: Vault, accounts: list[Account], done: Callable[[], None] = lambda: None
) -> list[tuple[Account, Verdict]]:
    """Check accounts side by side, and put those into use again that needed a new credential and work.

    Args:
        office: where they are.
        vault: for their secrets.
        accounts: to check.
        done: called after each.

    Returns:
        What was found of each, in their order.
    """
    await office.check_vault(vault)
    settings = office.settings
    found: list[Callable[[], Awaitable[bool]]] = []
    credentials = CredentialManager(
        office.store,
        LeaseStore(office.database),
        vault,
        clock=office.database.clock,
        owner=f"check-{secrets.token_hex(8)}",
        on_condition=lambda account_id, condition, reason, *, secret_version: found.append(
            partial(office.store.set_condition, account_id, condition, reason, secret_version=secret_version)
        ),
        environment={ENVIRONMENT: settings.anthropic_api_key} if settings.anthropic_api_key else {},
        commands=settings.credential_commands,
    )

    async def check(checker: Checker, account: Account) -> Verdict:
        if not office.is_configured(account):
            done()
            return _NOT_CONFIGURED
        verdict = await checker.check(_open_minded(account))
        if verdict.is_good and account.condition is Condition.NEEDS_REAUTH:
            version = verdict.secret_version
            is_over = await office.store.set_condition(account.id, Condition.OK, "", secret_version=version)
            if is_over and account.paused_at is None:
                message = f"{verdict.message} It needed a new credential until now, and was taken back into use."
                verdict = evolve(verdict, message=message)
        done()
        return verdict

    try:
        async with credentials, Checker(office.providers, credentials) as checker, asyncio.TaskGroup() as tasks:
            running = [tasks.create_task(check(checker, account)) for account in accounts]
    except* StoreError as group:
        raise StoreError(str(group.exceptions[0])) from None
    for write in found:
        await write()
    return [(account, task.result()) for account, task in zip(accounts, running, strict=True)]


def _open_minded(account: Account) -> Account:
    """Let a command be asked again that failed before; a refresh token that was refused is not sent again."""
    return evolve(account, condition=Condition.OK) if account.kind is AccountKind.COMMAND else account


def _with_state(verdict: Verdict, shown: Shown) -> Verdict:
    """Let nobody believe that an account serves because it works."""
    untold = verdict.finding is Finding.LIMITED and shown.state is AccountState.COOLING
    if not verdict.is_good or untold or not (words := still(shown)):
        return verdict
    return evolve(verdict, message=f"{verdict.message} {words}")


@define
class _Progress:
    """Says on a terminal how far it is."""

    total: int
    finished: int = 0

    def step(self) -> None:
        self.finished += 1
        if sys.stderr.isatty():
            end = "\n" if self.finished == self.total else ""
            print(f"\rchecked {self.finished} of {self.total}", end=end, file=sys.stderr, flush=True)
