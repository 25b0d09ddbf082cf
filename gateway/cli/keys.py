"""`gateway keys`: make, list and revoke the keys of clients."""

from __future__ import annotations

import argparse
import asyncio
import json

from gateway.cli.common import CommandError, Subparsers, add_command, add_config_option, settings_from
from gateway.store.client_keys import ClientKeyStore, StoreError, database_path
from gateway.store.secret import SecretKeyError, load_secret_key

__all__ = ["add_parser"]

_EXAMPLES = """\
examples:
  gateway keys create --name laptop
  KEY=$(gateway keys create --name ci --json | jq -r .key)
  gateway keys list
  gateway keys revoke laptop

A running gateway takes new and revoked keys over within a second or two.
"""


def add_parser(subparsers: Subparsers) -> None:
    """Add the subcommand."""
    parser = add_command(
        subparsers,
        "keys",
        summary="make, list and revoke client keys",
        about="Client keys: what users of the gateway send as x-api-key or Authorization: Bearer.",
        examples=_EXAMPLES,
    )
    actions = parser.add_subparsers(title="actions", metavar="ACTION", required=True)
    create = actions.add_parser("create", help="make a key; it is shown once")
    create.add_argument("--name", required=True, help="whose key it is, for logs and lists")
    create.add_argument("--json", action="store_true", help='print {"id", "name", "key"}')
    create.set_defaults(run=_create)
    listing = actions.add_parser("list", help="list keys, the newest first")
    listing.add_argument("--json", action="store_true", help="print a JSON array")
    listing.set_defaults(run=_list)
    revoke = actions.add_parser("revoke", help="make a key invalid for good")
    revoke.add_argument("key", metavar="ID|NAME")
    revoke.set_defaults(run=_revoke)
    for action in (create, listing, revoke):
        add_config_option(action)


def _store(args: argparse.Namespace) -> tuple[ClientKeyStore, bytes]:
    settings = settings_from(args)
    try:
        pepper = load_secret_key(settings.secret_key, settings.data_path)
        return ClientKeyStore(database_path(settings.database_url, settings.data_path)), pepper
    except (SecretKeyError, StoreError) as error:
        raise CommandError(str(error)) from None


def _create(args: argparse.Namespace) -> int:
    store, pepper = _store(args)
    name = args.name.strip()
    if not name or not name.isprintable():
        raise CommandError("--name needs at least one visible character and no control characters")
    try:
        stored, key = asyncio.run(store.create(name, pepper))
    except StoreError as error:
        raise CommandError(str(error)) from None
    if args.json:
        print(json.dumps({"id": stored.id, "name": stored.name, "key": key}))
    else:
        print(f"id:   {stored.id}\nname: {stored.name}\nkey:  {key}\n\nThe key is not shown again.")
    return 0


def _list(args: argparse.Namespace) -> int:
    store, _ = _store(args)
    try:
        keys = asyncio.run(store.all())
    except StoreError as error:
        raise CommandError(str(error)) from None
    if args.json:
        rows = [
            {
                "id": key.id,
                "name": key.name,
                "prefix": key.prefix,
                "created_at": key.created_at,
                "revoked_at": key.revoked_at,
            }
            for key in keys
        ]
        print(json.dumps(rows, indent=2))
        return 0
    if not keys:
        print("There are no keys yet. Make one: gateway keys create --name NAME")
    for key in keys:
        state = f"revoked {key.revoked_at}" if key.revoked_at else "valid"
        print(f"{key.id}  {key.prefix}…  {key.created_at}  {state:<8}  {key.name}")
    return 0


def _revoke(args: argparse.Namespace) -> int:
    store, _ = _store(args)
    try:
        revoked = asyncio.run(store.revoke(args.key))
    except StoreError as error:
        raise CommandError(str(error)) from None
    if not revoked:
        raise CommandError(f"no valid key has the id or name {args.key!r}; see `gateway keys list`")
    print(f"revoked {revoked} key{'s' if revoked > 1 else ''}")
    return 0
