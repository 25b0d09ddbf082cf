"""`gateway keys`: make, list and revoke the keys of clients."""

from __future__ import annotations

import argparse
import asyncio
import json
from collections.abc import Awaitable, Callable, Sequence
from typing import TypeVar

from gateway.accounts.vault import Vault, VaultError
from gateway.actors.keys import StoredKey, secret_id
from gateway.cli.common import (
    CommandError,
    Subparsers,
    add_command,
    add_config_option,
    secret_keys_at_hand,
    secret_keys_from,
    settings_from,
)
from gateway.config import Settings
from gateway.store.canary import check_vault
from gateway.store.client_keys import ClientKeyStore
from gateway.store.engine import Database
from gateway.store.errors import StoreError

__all__ = ["add_parser"]

_T = TypeVar("_T")
_LONGEST_NAME = 100
_NOTES = {
    "older": "  (made with an older secret key: replace it before that is taken away)",
    "missing": "  (of no use: made with a secret key that is not configured here)",
}

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


def _with_store(settings: Settings, work: Callable[[ClientKeyStore], Awaitable[_T]]) -> _T:
    async def run() -> _T:
        async with Database.of(settings) as database:
            return await work(ClientKeyStore(database))

    try:
        return asyncio.run(run())
    except (StoreError, VaultError) as error:
        raise CommandError(str(error)) from None


def _create(args: argparse.Namespace) -> int:
    settings = settings_from(args)
    name = args.name.strip()
    if not name or not name.isprintable() or len(name) > _LONGEST_NAME:
        raise CommandError(f"--name needs 1 to {_LONGEST_NAME} visible characters and no control characters")
    secret_keys = secret_keys_from(settings)

    async def create(store: ClientKeyStore) -> tuple[StoredKey, str]:
        # With another secret key than the gateway's, it would be a key that opens nothing.
        await check_vault(store.database, Vault(secret_keys))
        return await store.create(name, secret_keys[0])

    stored, key = _with_store(settings, create)
    if args.json:
        print(json.dumps({"id": stored.id, "name": stored.name, "key": key}))
    else:
        print(f"id:   {stored.id}\nname: {stored.name}\nkey:  {key}\n\nThe key is not shown again.")
    return 0


def _list(args: argparse.Namespace) -> int:
    settings = settings_from(args)
    keys = _with_store(settings, lambda store: store.all())
    secret_ids = [secret_id(key) for key in secret_keys_at_hand(settings)]
    if args.json:
        rows = [
            {
                "id": key.id,
                "name": key.name,
                "prefix": key.prefix,
                "created_at": key.created_at,
                "revoked_at": key.revoked_at,
                "secret_key": _standing(key, secret_ids),
            }
            for key in keys
        ]
        print(json.dumps(rows, indent=2))
        return 0
    if not keys:
        print("There are no keys yet. Make one: gateway keys create --name NAME")
    for key in keys:
        state = f"revoked {key.revoked_at}" if key.revoked_at else "valid"
        note = "" if key.revoked_at else _NOTES.get(_standing(key, secret_ids) or "", "")
        print(f"{key.id}  {key.prefix}…  {key.created_at}  {state:<8}  {key.name}{note}")
    return 0


def _standing(key: StoredKey, secret_ids: Sequence[str]) -> str | None:
    """Say what has become of the secret key that a key was made with; None for unknown."""
    if key.secret_id is None:
        return None
    if key.secret_id not in secret_ids:
        return "missing"
    return "current" if key.secret_id == secret_ids[0] else "older"


def _revoke(args: argparse.Namespace) -> int:
    revoked = _with_store(settings_from(args), lambda store: store.revoke(args.key))
    if not revoked:
        raise CommandError(f"no valid key has the id or name {args.key!r}; see `gateway keys list`")
    print(f"revoked {revoked} key{'s' if revoked > 1 else ''}")
    return 0
