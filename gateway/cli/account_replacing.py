"""`gateway accounts add --replace`: another secret for an account that is there."""

from __future__ import annotations

import argparse
from contextlib import suppress
from typing import Any, Final

from attrs import define

from gateway.accounts.account import Account
from gateway.accounts.checking import Verdict
from gateway.accounts.drafts import Draft, DraftError, check_name, vet
from gateway.accounts.office import Shown
from gateway.accounts.secrets import OAuthSecret, Secret, SecretFormatError, decode_secret
from gateway.accounts.vault import Vault, VaultError
from gateway.cli.account_arguments import read_secret_from, refuse_contradictions
from gateway.cli.account_office import Office, open_vault, run_with_office
from gateway.cli.account_output import as_json, print_json, still, verdict_as_json, verdict_as_text
from gateway.cli.common import CommandError, settings_from, warn
from gateway.cli.noting import note
from gateway.config import Settings
from gateway.controlplane.changes import account_secret_replaced

__all__ = ["run_replace"]

_CHANGEABLE: Final = ("base_url", "owner", "weight", "priority", "max_concurrency")


@define
class _Replaced:
    shown: Shown
    warnings: list[str]
    verdict: Verdict | None


def run_replace(args: argparse.Namespace) -> int:
    """Run `gateway accounts add --replace`."""
    settings = settings_from(args)
    vault = open_vault(settings)
    # Before anything is typed: what cannot be replaced is no reason to type a key.
    account, known = _find(args, settings, vault)
    args.kind, args.provider = account.kind.value, account.provider
    refuse_contradictions(args)
    changes = {name: getattr(args, name) for name in _CHANGEABLE if getattr(args, name) is not None}
    if args.owner is not None:
        changes["owner"] = args.owner.strip()
    if args.base_url is not None:
        changes["base_url"] = args.base_url.rstrip("/") or None
    values = {name: changes.get(name, getattr(account, name)) for name in _CHANGEABLE}
    secret = read_secret_from(args, settings, values["base_url"], known)
    _refuse_same_token(account, secret, known)
    draft = Draft(account.name, account.provider, secret, **values)
    try:
        warnings = vet(draft, settings.credential_commands)
    except DraftError as error:
        raise CommandError(str(error)) from None
    replaced = _replace(settings, vault, account.id, draft, changes, check=args.check)
    for text in (*warnings, *replaced.warnings):
        warn(text)
    _report(args, replaced)
    return 0 if replaced.verdict is None or replaced.verdict.is_good else 1


def _find(args: argparse.Namespace, settings: Settings, vault: Vault) -> tuple[Account, Secret | None]:
    """Return the account whose secret is to be replaced, and that secret, if it can be read."""
    try:
        name = check_name(args.name)
    except DraftError as error:
        raise CommandError(str(error)) from None

    async def find(office: Office) -> Account:
        await office.check_vault(vault)
        return await office.find(name)

    account = run_with_office(settings, find)
    for what, given, present in (
        ("provider", args.provider, account.provider),
        ("kind", args.kind, account.kind.value),
    ):
        if given not in (None, present):
            raise CommandError(
                f"the account {name!r} is of {what} {present}, and stays so; add another one of {what} {given}"
            )
    known = None
    # A damaged one is all the more reason to replace it.
    with suppress(SecretFormatError, VaultError):
        known = None if account.secret is None else decode_secret(account.kind, vault.decrypt(account.secret))
    return account, known


def _refuse_same_token(account: Account, secret: Secret, known: Secret | None) -> None:
    """See that a refresh token that may have been sent does not pass for a new one."""
    if not isinstance(secret, OAuthSecret) or not isinstance(known, OAuthSecret):
        return
    if secret.refresh_token is not None and secret.refresh_token == known.refresh_token:
        raise CommandError(
            f"the account {account.name!r} has this very refresh token. `gateway accounts resume {account.name}` "
            "lets it be tried once more; to change what goes with it, remove the account and add it again"
        )


def _replace(
    settings: Settings, vault: Vault, account_id: str, draft: Draft, changes: dict[str, Any], *, check: bool
) -> _Replaced:
    async def work(office: Office) -> _Replaced:
        known = await office.accounts()
        others = [account for account in known if account.id != account_id]
        warnings = await office.warn_before_adding([draft], others, vault)
        await office.replace_secret(account_id, draft, vault, changes)
        await note(
            office.database,
            *(account_secret_replaced(before, changes) for before in known if before.id == account_id),
        )
        account = await office.find(account_id)
        verdict = None
        if check:
            ((_, verdict),) = await office.check(vault, [account])
            account = await office.find(account_id)
        (shown,) = await office.show([account])
        return _Replaced(shown, warnings, verdict)

    return run_with_office(settings, work)


def _report(args: argparse.Namespace, replaced: _Replaced) -> None:
    name = replaced.shown.account.name
    verdict = replaced.verdict
    if args.json:
        checked = {} if verdict is None else {"check": verdict_as_json(name, verdict)}
        print_json({**as_json(replaced.shown), **checked})
        return
    print(f"{name} has another secret.", still(replaced.shown) or "It is in use.")
    if verdict is not None:
        print(verdict_as_text(name, verdict))
