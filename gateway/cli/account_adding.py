"""`gateway accounts add`, `import` and `rekey`: where secrets come in."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from attrs import define

from gateway.accounts.account import Account, AccountKind
from gateway.accounts.checking import Verdict
from gateway.accounts.drafts import Draft, DraftError, check_name, vet
from gateway.accounts.importing import ImportRefusedError, ImportWishes, read_credentials, read_file
from gateway.accounts.secrets import ApiKeySecret, CommandSecret, Federation, OAuthSecret, Secret, encode_secret
from gateway.cli.account_checking import check_accounts
from gateway.cli.account_duplicates import refuse_known_names, refuse_known_tokens, warn_of_known_keys
from gateway.cli.account_input import read_secrets
from gateway.cli.account_office import Office, open_vault, run_with_office, warn
from gateway.cli.account_output import as_json, print_json, verdict_as_json, verdict_as_text
from gateway.cli.common import CommandError, settings_from
from gateway.config import ClientAuth, OpenAIMode, Settings
from gateway.store.accounts import new_account_id

__all__ = ["run_add", "run_import", "run_rekey"]

_TOKEN_PATH = "/v1/oauth/token"  # noqa: S105 - where tokens come from
_TICK = 1e-5  # seconds
_FEDERATION = ("federation_rule_id", "organization_id", "service_account_id", "workspace_id")


@define
class _Added:
    accounts: list[dict[str, Any]]
    warnings: list[str]
    checked: list[tuple[str, Verdict]]


def run_add(args: argparse.Namespace) -> int:
    """Run `gateway accounts add`."""
    settings = settings_from(args)
    _refuse_contradictions(args)
    try:
        # Before anything is typed: a name that cannot be had is no reason to type a key.
        name = check_name(args.name)
        base_url = args.base_url.rstrip("/") if args.base_url else None
        secret = _read_secret(args, settings, base_url)
        draft = Draft(
            name,
            args.provider,
            secret,
            base_url,
            args.owner.strip(),
            args.weight,
            args.priority,
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
        # Now that no secret needs another key, have the database say so.
        await office.check_vault(vault)
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
        refuse_known_tokens(drafts, known, vault)
        warnings = [*_warn_of_idle_accounts(drafts, settings)]
        warnings += warn_of_known_keys(drafts, known, vault, settings.anthropic_api_key)
        stored = await _store_all(
            office, [(draft, vault.encrypt(encode_secret(draft.secret))) for draft in drafts]
        )
        checked = await check_accounts(office, vault, stored) if check else []
        shown = await office.show([await office.find(account.id) for account in stored])
        return _Added(
            [as_json(one) for one in shown], warnings, [(account.name, verdict) for account, verdict in checked]
        )

    return run_with_office(settings, work)


async def _store_all(office: Office, drafts: Sequence[tuple[Draft, bytes]]) -> list[Account]:
    created_at = await office.database.now()
    # All of a file or nothing of it. Lists are in the order in which accounts were made.
    return await office.store.add_all(
        [
            draft.as_account(new_account_id(), encrypted, created_at + index * _TICK)
            for index, (draft, encrypted) in enumerate(drafts)
        ]
    )


def _warn_of_idle_accounts(drafts: Sequence[Draft], settings: Settings) -> Iterator[str]:
    providers = {draft.provider for draft in drafts}
    if "openai" in providers and settings.openai_mode is not OpenAIMode.POOL:
        yield "accounts of openai serve only with openai_mode = pool"
    if "anthropic" in providers and settings.client_auth is ClientAuth.PASSTHROUGH:
        yield "client_auth = passthrough: clients bring their own credentials, and no account of anthropic serves"


def _refuse_contradictions(args: argparse.Namespace) -> None:
    """Refuse options that do not go together, as wrong usage."""
    kind = AccountKind(args.kind)
    given = {
        f"--{name.replace('_', '-')}": value
        for name, value in vars(args).items()
        if name not in {"json", "check"} and value not in (None, False)
    }
    oauth = {
        "--token-url",
        "--client-id",
        "--client-secret-stdin",
        "--scope",
        "--token-request",
        "--assertion-file",
    }
    oauth |= {f"--{name.replace('_', '-')}" for name in _FEDERATION}
    misplaced = [name for name in given if name in oauth and kind is not AccountKind.OAUTH]
    misplaced += ["--command"] if "--command" in given and kind is not AccountKind.COMMAND else []
    if misplaced:
        args.parser.error(f"{misplaced[0]} is for --kind {'command' if misplaced[0] == '--command' else 'oauth'}")
    if kind is AccountKind.COMMAND:
        if args.command is None:
            args.parser.error("--kind command needs --command NAME, one of [credential_commands] of the settings")
        if args.secret_stdin:
            args.parser.error(
                "--kind command has no secret of its own: the command prints it; leave --secret-stdin out"
            )
        return
    if args.assertion_file is not None:
        if args.secret_stdin:
            args.parser.error("--assertion-file takes the place of a refresh token; leave --secret-stdin out")
        return
    for name in _FEDERATION:
        if getattr(args, name) is not None:
            args.parser.error(f"--{name.replace('_', '-')} goes with --assertion-file")
    if not args.secret_stdin:
        args.parser.error("say --secret-stdin, and pipe the secret in or type it when asked; no option takes it")


def _read_secret(args: argparse.Namespace, settings: Settings, base_url: str | None) -> Secret:
    kind = AccountKind(args.kind)
    if kind is AccountKind.COMMAND:
        return CommandSecret(args.command)
    if kind is AccountKind.API_KEY:
        return ApiKeySecret(read_secrets(["API key"])[0])
    token_url = args.token_url
    if token_url is None:
        if args.provider != "anthropic":
            args.parser.error("--kind oauth of openai needs --token-url")
        token_url = (base_url or settings.anthropic_base_url.rstrip("/")) + _TOKEN_PATH
    federation, refresh_token = None, None
    labels = [] if args.assertion_file is not None else ["refresh token"]
    labels += ["client secret"] if args.client_secret_stdin else []
    secrets = read_secrets(labels) if labels else []
    if args.assertion_file is not None:
        federation = Federation(args.assertion_file, **{name: getattr(args, name) for name in _FEDERATION})
    else:
        refresh_token = secrets.pop(0)
    return OAuthSecret(
        token_url=token_url,
        client_id=args.client_id,
        client_secret=secrets.pop() if secrets else None,
        scope=args.scope,
        refresh_token=refresh_token,
        federation=federation,
        as_form=(args.token_request or ("form" if args.provider == "openai" else "json")) == "form",
    )
