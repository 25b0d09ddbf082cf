"""`gateway accounts`: the accounts that requests are sent with."""

from __future__ import annotations

import argparse
import sys
from typing import Any

from gateway.accounts.account import Account, AccountKind
from gateway.accounts.drafts import PROVIDERS
from gateway.accounts.office import KEPT, Resumed, Shown
from gateway.cli import account_adding, account_checking
from gateway.cli.account_input import ask_yes
from gateway.cli.account_office import Office, run_with_office
from gateway.cli.account_output import as_json, iso, moment, print_json, print_table
from gateway.cli.careful_parser import CarefulParser
from gateway.cli.common import CommandError, Subparsers, add_command, add_config_option, settings_from, warn
from gateway.cli.noting import note
from gateway.config import ClientAuth
from gateway.controlplane.changes import account_paused, account_removed, account_resumed
from gateway.telemetry.logs import printable

__all__ = ["add_parser"]

_EXAMPLES = """\
examples:
  printenv ANTHROPIC_API_KEY | gateway accounts add --name work --provider anthropic --secret-stdin
  gateway accounts list
  gateway accounts check
  gateway accounts pause work

A running gateway sees every change within a second. Secrets are read from standard input and kept encrypted.
docs/accounts.md has the kinds of accounts, their states, and what --json prints.
"""
_ADD_EXAMPLES = """\
examples:
  printenv ANTHROPIC_API_KEY | gateway accounts add --name work --provider anthropic --secret-stdin --check
  gateway accounts add --name work --provider anthropic --secret-stdin        asks for the key on a terminal
  gateway accounts add --name vaulted --provider anthropic --kind command --command work --config gateway.toml
  gateway accounts add --name profile --provider anthropic --kind oauth --client-id ID --secret-stdin <token.txt
  gateway accounts add --name workload --provider anthropic --kind oauth --assertion-file /run/secrets/token \\
      --federation-rule-id fdrl_… --organization-id …
  gateway accounts add --replace --name work --secret-stdin        another key for an account that is there
"""
_IMPORT_EXAMPLES = """\
examples:
  gateway accounts import ~/.config/anthropic/configs/default.json --owner "Ada"
  gateway accounts import keys.json        [{"name": "work", "provider": "anthropic", "api_key": "…"}, …]

Credentials of a Claude subscription are taken only with allow_subscription_oauth = true, --owner, and --client-id
and --token-url of your own; the provider's terms restrict their use. API keys are the supported way.
"""
_LIST_EXAMPLES = """\
examples:
  gateway accounts list
  gateway accounts list --json | jq -r '.[] | select(.state != "active") | .name'
"""
_CHECK_EXAMPLES = """\
examples:
  gateway accounts check
  gateway accounts check work play --json

Asks the provider for its list of models, which is free. The exit status is 1 if an account does not work.
An account that needed a new credential and works is active again; one that is paused or parked stays so.
"""
_PAUSE_EXAMPLES = """\
examples:
  gateway accounts pause work

Requests under way finish. Traffic never ends a pause: only `gateway accounts resume` does.
"""
_RESUME_EXAMPLES = """\
examples:
  gateway accounts resume work

Ends a pause, parking, a credential's refusal and all cool-downs; a refresh token that was sent before, and is used
up for all that is known, may be sent once more. While an answer to it may still come, it is not.
"""
_REMOVE_EXAMPLES = """\
examples:
  gateway accounts remove work
  gateway accounts remove work --yes

Deletes its secret too. Requests under way finish.
"""
_REKEY_EXAMPLES = """\
examples:
  GATEWAY_SECRET_KEY=NEW,OLD gateway accounts rekey

To change the secret key of a gateway on one host: set NEW,OLD, restart it, run this, and take OLD away once no
client key needs it. With several hosts, set OLD,NEW on all of them first, so that every one understands NEW before
any uses it; then NEW,OLD on all of them, and run this. docs/security.md has the steps.
"""


def add_parser(subparsers: Subparsers) -> None:
    """Add the subcommand."""
    parser = add_command(
        subparsers,
        "accounts",
        summary="add, import, list, check, pause, resume and remove upstream accounts",
        about="Upstream accounts: whose credentials requests are sent with.",
        examples=_EXAMPLES,
    )
    actions = parser.add_subparsers(title="actions", metavar="ACTION", required=True, parser_class=CarefulParser)
    _add_adding(actions)
    _add_importing(actions)
    listing = _action(actions, "list", "list accounts, their states and where their requests go", _LIST_EXAMPLES)
    listing.set_defaults(run=_list)
    checking = _action(actions, "check", "find out whether accounts work, with a free request", _CHECK_EXAMPLES)
    checking.add_argument("names", metavar="NAME", nargs="*", help="default: all")
    checking.set_defaults(run=account_checking.run)
    for name, summary, examples, run in (
        ("pause", "keep an account out of use until it is resumed", _PAUSE_EXAMPLES, _pause),
        ("resume", "put an account into use again, whatever kept it out", _RESUME_EXAMPLES, _resume),
        ("remove", "delete an account and its secret", _REMOVE_EXAMPLES, _remove),
    ):
        action = _action(actions, name, summary, examples)
        action.add_argument("name", metavar="NAME", help="name or id")
        action.set_defaults(run=run)
        if name == "remove":
            action.add_argument("--yes", action="store_true", help="do not ask")
    rekey = _action(actions, "rekey", "encrypt all secrets anew with the first secret key", _REKEY_EXAMPLES)
    rekey.set_defaults(run=account_adding.run_rekey)


def _action(actions: Any, name: str, summary: str, examples: str) -> argparse.ArgumentParser:
    parser = add_command(
        actions, name, summary=summary, about=f"{summary[0].upper()}{summary[1:]}.", examples=examples
    )
    parser.add_argument("--json", action="store_true", help="print JSON for scripts; keys stay, more may come")
    add_config_option(parser)
    return parser


def _add_adding(actions: Any) -> None:
    parser = _action(actions, "add", "add an account; its secret comes from standard input", _ADD_EXAMPLES)
    parser.add_argument("--name", required=True, help="for lists, logs and commands")
    parser.add_argument("--provider", choices=PROVIDERS, help="needed, but with --replace")
    kinds = [kind.value for kind in AccountKind if kind is not AccountKind.PASSTHROUGH]
    parser.add_argument("--kind", choices=kinds, help="default: api_key")
    parser.add_argument(
        "--replace",
        action="store_true",
        help="give the account of this name another secret; what no option names stays as it is",
    )
    parser.add_argument(
        "--secret-stdin",
        action="store_true",
        help="read the API key or refresh token from standard input; on a terminal it is asked for, unseen",
    )
    parser.add_argument(
        "--base-url", metavar="URL", help="where its requests go, if not to the provider's base URL"
    )
    parser.add_argument("--owner", metavar="TEXT", help="whose account it is")
    parser.add_argument("--weight", type=int, metavar="N", help="share under the strategy weighted; default: 1")
    parser.add_argument(
        "--priority", type=int, metavar="N", help="order under the strategy fill_first, 0, the default, first"
    )
    parser.add_argument("--max-concurrency", type=int, metavar="N", help="requests at a time; 0 for no bound")
    parser.add_argument("--check", action="store_true", help="find out right away whether it works")
    command = parser.add_argument_group("kind command")
    command.add_argument("--command", metavar="NAME", help="of [credential_commands] in the settings file")
    oauth = parser.add_argument_group("kind oauth")
    oauth.add_argument(
        "--token-url", metavar="URL", help="token endpoint; anthropic: by default that of the base URL"
    )
    oauth.add_argument("--client-id", metavar="ID", help="that the refresh token was issued to")
    oauth.add_argument(
        "--client-secret-stdin", action="store_true", help="a second line of standard input is the client's secret"
    )
    oauth.add_argument("--scope", metavar="TEXT", help="to ask for")
    oauth.add_argument(
        "--token-request",
        choices=("json", "form"),
        help="how the endpoint is asked; openai: form, anthropic: json",
    )
    oauth.add_argument(
        "--assertion-file", metavar="PATH", help="in place of a refresh token: a signed assertion, read each time"
    )
    oauth.add_argument("--federation-rule-id", metavar="ID", help="with an assertion")
    oauth.add_argument("--organization-id", metavar="ID", help="with an assertion")
    oauth.add_argument("--service-account-id", metavar="ID", help="with an assertion")
    oauth.add_argument("--workspace-id", metavar="ID", help="with an assertion")
    parser.set_defaults(run=account_adding.run_add, parser=parser)


def _add_importing(actions: Any) -> None:
    parser = _action(actions, "import", "add the accounts that are in another program's file", _IMPORT_EXAMPLES)
    parser.add_argument(
        "file", metavar="FILE", help="a profile, a JSON list of API keys, or a login's credentials"
    )
    parser.add_argument("--name", help="of the account; default: the profile's, or the owner")
    parser.add_argument("--owner", default="", metavar="TEXT", help="whose account it is")
    parser.add_argument("--client-id", metavar="ID", help="your own OAuth client")
    parser.add_argument("--token-url", metavar="URL", help="where your client renews tokens")
    parser.set_defaults(run=account_adding.run_import)


def _list(args: argparse.Namespace) -> int:
    settings = settings_from(args)

    async def work(office: Office) -> list[Any]:
        return await office.show(await office.accounts())

    shown = run_with_office(settings, work)
    if args.json:
        print_json([as_json(one) for one in shown])
        return 0
    if settings.client_auth is ClientAuth.PASSTHROUGH:
        warn("client_auth = passthrough: below /claude clients bring their own credentials, and no account serves")
    if shown:
        print_table(shown)
    else:
        print("There are no accounts yet. Add one:")
        print("  gateway accounts add --name NAME --provider anthropic --secret-stdin")
    return 0


def _pause(args: argparse.Namespace) -> int:
    async def work(office: Office) -> dict[str, Any]:
        account = await office.find_stored(args.name)
        await office.store.pause(account.id)
        if account.paused_at is None:
            await note(office.database, account_paused(account))
        (shown,) = await office.show([await office.find(account.id)])
        return as_json(shown)

    paused = run_with_office(settings_from(args), work)
    if args.json:
        print_json(paused)
    else:
        print(f"{paused['name']} is paused. Requests under way finish; `gateway accounts resume` ends the pause.")
    return 0


def _resume(args: argparse.Namespace) -> int:
    async def work(office: Office) -> tuple[Shown, Resumed]:
        account = await office.find_stored(args.name)
        (before,) = await office.show([account])
        ended = await office.resume(account, before.cooling)
        await note(office.database, account_resumed(account, ended))
        (shown,) = await office.show([await office.find(account.id)])
        return shown, ended

    resumed, ended = run_with_office(settings_from(args), work)
    cleared, until = ended.cleared, ended.refresh_sent_until
    if args.json:
        print_json({**as_json(resumed), "cleared": list(cleared), "refresh_under_way_until": iso(until)})
        return 0
    name = printable(resumed.account.name)
    print(
        f"{name} is in use.",
        f"Cleared: {'; '.join(map(printable, cleared))}." if cleared else "Nothing was in its way.",
    )
    if until is not None:
        print(
            f"Its refresh token was sent a moment ago, and the answer may come until {moment(until)}. If {name} "
            f"says needs_reauth after that, `gateway accounts resume {name}` lets the token be sent once more."
        )
    return 0


def _remove(args: argparse.Namespace) -> int:
    settings = settings_from(args)

    async def find(office: Office) -> Account:
        account = await office.find(args.name)
        if office.is_kept(account):
            raise CommandError(KEPT)
        return account

    account = run_with_office(settings, find)
    account_id, name = account.id, account.name
    if not args.yes:
        if not sys.stdin.isatty():
            raise CommandError(f"removing {name!r} deletes its secret; confirm with --yes")
        if not ask_yes(f"Remove the account {name!r} and its secret?"):
            raise CommandError("nothing was removed")

    async def remove(office: Office) -> bool:
        removed = await office.store.remove(account_id)
        if removed:
            await note(office.database, account_removed(account))
        return removed

    removed = run_with_office(settings, remove)
    if args.json:
        print_json({"id": account_id, "name": name, "removed": removed})
    else:
        print(f"{name} is removed.")
    return 0
