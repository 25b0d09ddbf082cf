"""Checks of stored accounts: whether they work, and what that changes for those that did not."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Awaitable, Callable, Mapping
from functools import partial
from typing import Final

from attrs import evolve

from gateway.accounts.account import Account, AccountKind, Condition
from gateway.accounts.checking import Checker, Finding, Verdict
from gateway.accounts.credentials import CredentialManager
from gateway.accounts.persistence import SecretVault
from gateway.config import Settings
from gateway.providers.base import Provider
from gateway.store.accounts import ENVIRONMENT, AccountStore
from gateway.store.errors import StoreError
from gateway.store.leases import LeaseStore

__all__ = ["check_accounts"]

_NOT_CONFIGURED: Final = Verdict(
    Finding.NO_CREDENTIAL,
    "GATEWAY_ANTHROPIC_API_KEY is not set here. Set it as for the gateway, to check the account; if no gateway "
    f"has it any more, `gateway accounts remove {ENVIRONMENT}`.",
)


async def check_accounts(
    store: AccountStore,
    vault: SecretVault,
    settings: Settings,
    providers: Mapping[str, Provider],
    accounts: list[Account],
    *,
    done: Callable[[], None],
    remedy: Callable[[Account], str] | None = None,
) -> list[tuple[Account, Verdict]]:
    """Check accounts side by side, and put those into use again that needed a new credential and work.

    Args:
        store: where they are.
        vault: for their secrets.
        settings: for the key of the environment, and the commands.
        providers: by name.
        accounts: to check.
        done: called after each.
        remedy: says how an account gets another credential, if not by a command.

    Returns:
        What was found of each, in their order.

    Raises:
        StoreError: the database cannot be used.
    """
    found: list[Callable[[], Awaitable[bool]]] = []
    credentials = CredentialManager(
        store,
        LeaseStore(store.database),
        vault,
        clock=store.database.clock,
        owner=f"check-{secrets.token_hex(8)}",
        on_condition=lambda account_id, condition, reason, *, secret_version: found.append(
            partial(store.set_condition, account_id, condition, reason, secret_version=secret_version)
        ),
        environment={ENVIRONMENT: settings.anthropic_api_key} if settings.anthropic_api_key else {},
        commands=settings.credential_commands,
    )

    async def check(checker: Checker, account: Account) -> Verdict:
        if account.id == ENVIRONMENT and not settings.anthropic_api_key:
            done()
            return _NOT_CONFIGURED
        verdict = await checker.check(_open_minded(account))
        if verdict.is_good and account.condition is Condition.NEEDS_REAUTH:
            version = verdict.secret_version
            is_over = await store.set_condition(account.id, Condition.OK, "", secret_version=version)
            if is_over and account.paused_at is None:
                message = f"{verdict.message} It needed a new credential until now, and was taken back into use."
                verdict = evolve(verdict, message=message)
        done()
        return verdict

    try:
        async with (
            credentials,
            Checker(providers, credentials, remedy=remedy) as checker,
            asyncio.TaskGroup() as tasks,
        ):
            running = [tasks.create_task(check(checker, account)) for account in accounts]
    except* StoreError as group:
        raise StoreError(str(group.exceptions[0])) from None
    for write in found:
        await write()
    return [(account, task.result()) for account, task in zip(accounts, running, strict=True)]


def _open_minded(account: Account) -> Account:
    """Let a command be asked again that failed before; a refresh token that was refused is not sent again."""
    return evolve(account, condition=Condition.OK) if account.kind is AccountKind.COMMAND else account
