"""`gateway accounts add`, `import` and `rekey`: where secrets come in."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from attrs import define

from gateway.accounts.account import AccountKind
from gateway.accounts.checking import Verdict
from gateway.accounts.drafts import Draft, DraftError, check_name, vet
from gateway.accounts.duplicates import refuse_known_names
from gateway.accounts.importing import ImportRefusedError, ImportWishes, read_credentials, read_file
from gateway.cli.account_arguments import read_secret_from, refuse_contradictions
from gateway.cli.account_office import Office, open_vault, run_with_office
from gateway.cli.account_output import as_json, print_json, verdict_as_json, verdict_as_text
from gateway.cli.account_replacing import run_replace
from gateway.cli.common import CommandError, settings_from, warn
from gateway.cli.noting import note
from gateway.config import Settings
from gateway.controlplane.changes import account_added, secrets_rekeyed
from gateway.controlplane.sign_in.rekeying import rekey_second_factors
from gateway.store.engine import Opening
from gateway.store.users import UserStore

__all__ = ["run_add", "run_import", "run_rekey"]


@define
class _Added:
    accounts: list[dict[str, Any]]
    warnings: list[str]
    checked: list[tuple[str, Verdict]]


def run_add(args: argparse.Namespace) -> int:
    """Run `gateway accounts add`."""
    if args.replace:
        return run_replace(args)
    settings = settings_from(args)
    args.kind = args.kind or AccountKind.API_KEY.value
    if args.provider is None:
        args.parser.error("--provider is needed, one of anthropic and openai")
    refuse_contradictions(args)
    try:
        # Before anything is typed: a name that cannot be had is no reason to type a key.
        name = check_name(args.name)
        base_url = args.base_url.rstrip("/") if args.base_url else None
        secret = read_secret_from(args, settings, base_url)
        draft = Draft(
            name,
            args.provider,
            secret,
            base_url,
            (args.owner or "").strip(),
            1 if args.weight is None else args.weight,
            args.priority or 0,
            args.max_concurrency,
        )
        warnings = vet(draft, settings.credential_commands)
    except DraftError as error:
        raise CommandError(str(error)) from None
    added = _add(settings, [draft], check=args.check)
    return _report(args, added, warnings)


def run_import(args: argparse.Namespace) -> int:
    """Run `gateway accounts import`."""
    settings = settings_from(args)
    wishes = ImportWishes(
        args.name, args.owner.strip(), args.client_id, args.token_url, settings.allow_subscription_oauth
    )
    try:
        found = read_credentials(read_file(Path(args.file)), wishes)
    except ImportRefusedError as error:
        raise CommandError(str(error)) from None
    if found.notice is not None:
        print(found.notice, file=sys.stderr)
    return _report(args, _add(settings, found.drafts, check=False), found.warnings)


def run_rekey(args: argparse.Namespace) -> int:
    """Run `gateway accounts rekey`."""
    settings = settings_from(args)
    vault = open_vault(settings)

    async def work(office: Office) -> int:
        await office.check_vault(vault)
        count = await vault.rekey(office.store)
        count += await rekey_second_factors(UserStore(office.store.database), vault)
        # Now that no secret needs another key, have the database say so.
        await office.check_vault(vault)
        if count:
            await note(office.database, secrets_rekeyed(count))
        return count

    count = run_with_office(settings, work)
    if args.json:
        print_json({"encrypted": count})
    else:
        print(f"{count} secret{'' if count == 1 else 's'} encrypted anew with the first secret key.")
    return 0


def _report(args: argparse.Namespace, added: _Added, warnings: Sequence[str]) -> int:
    for text in (*warnings, *added.warnings):
        warn(text)
    verdicts = dict(added.checked)
    if args.json:
        rows = [
            {**row, **({"check": verdict_as_json(row["name"], verdicts[row["name"]])} if verdicts else {})}
            for row in added.accounts
        ]
        print_json(rows[0] if args.run is run_add else rows)
    else:
        for row in added.accounts:
            print(f"{row['name']} is added ({row['kind']} of {row['provider']}, to {row['base_url']}).")
        for name, verdict in added.checked:
            print(verdict_as_text(name, verdict))
    return 0 if all(verdict.is_good for verdict in verdicts.values()) else 1


def _add(settings: Settings, drafts: Sequence[Draft], *, check: bool) -> _Added:
    vault = open_vault(settings)

    async def work(office: Office) -> _Added:
        await office.check_vault(vault)
        known = await office.accounts()
        refuse_known_names(drafts, known)
        warnings = await office.warn_before_adding(drafts, known, vault)
        stored = await office.add(drafts, vault)
        await note(office.database, *map(account_added, stored))
        checked = await office.check(vault, stored) if check else []
        shown = await office.show([await office.find(account.id) for account in stored])
        return _Added(
            [as_json(one) for one in shown], warnings, [(account.name, verdict) for account, verdict in checked]
        )

    return run_with_office(settings, work, Opening.MAKE)
