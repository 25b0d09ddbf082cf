"""`gateway keys`: make, list, change, replace and revoke the keys of clients."""

from __future__ import annotations

import argparse
import asyncio
import json
from collections.abc import Awaitable, Callable
from functools import partial
from typing import TypeVar

from attrs import define, field
from sqlalchemy.ext.asyncio import AsyncConnection

from gateway.accounts.vault import Vault, VaultError
from gateway.actors.keys import StoredKey, secret_id, secret_standing
from gateway.actors.term_rules import checked_name
from gateway.actors.terms import KeyTerms
from gateway.actors.use import KeyUse
from gateway.cli.common import (
    CommandError,
    Subparsers,
    add_command,
    add_config_option,
    secret_keys_at_hand,
    secret_keys_from,
    settings_from,
    warn,
)
from gateway.cli.key_arguments import add_terms, grace, terms_from
from gateway.cli.key_output import ShownKey, key_as_json, key_as_text
from gateway.cli.noting import note
from gateway.config import Settings
from gateway.controlplane.changes import key_changed, key_created, key_revoked, key_rotated
from gateway.store.audit_log import Change
from gateway.store.canary import check_vault
from gateway.store.client_keys import ClientKeyStore, KeyMeantError, changed_terms
from gateway.store.engine import Database, Opening
from gateway.store.errors import StoreError
from gateway.store.key_use import KeyUseStore

__all__ = ["add_parser"]

_T = TypeVar("_T")
_GRACE = 3_600.0  # seconds

_EXAMPLES = """\
examples:
  gateway keys create --name laptop
  gateway keys create --name ci --expires 30d --models 'claude-haiku-*' --budget-usd-day 5
  KEY=$(gateway keys create --name ci --json | jq -r .key)
  gateway keys list
  gateway keys limits ci --concurrent 4 --requests-per-minute 60 --budget-usd-day none
  gateway keys rotate ci --grace 1d
  gateway keys revoke laptop

A running gateway takes changes over within a second or two. Days, weeks (from Monday) and months are those of UTC.
"""


def add_parser(subparsers: Subparsers) -> None:
    """Add the subcommand."""
    parser = add_command(
        subparsers,
        "keys",
        summary="make, list, limit, replace and revoke client keys",
        about="Client keys: what users of the gateway send as x-api-key or Authorization: Bearer.",
        examples=_EXAMPLES,
    )
    actions = parser.add_subparsers(title="actions", metavar="ACTION", required=True)
    create = actions.add_parser("create", help="make a key; it is shown once")
    create.add_argument("--name", required=True, help="whose key it is, for logs and lists")
    create.add_argument("--json", action="store_true", help='print {"id", "name", "key"}')
    add_terms(create)
    create.set_defaults(run=_create)
    listing = actions.add_parser("list", help="list keys, the newest first")
    listing.add_argument("--json", action="store_true", help="print a JSON array")
    listing.set_defaults(run=_list)
    revoke = actions.add_parser("revoke", help="make a key invalid for good")
    revoke.add_argument("key", metavar="ID|NAME")
    revoke.add_argument("--all", action="store_true", help="all keys of that name, expired ones too")
    revoke.set_defaults(run=_revoke)
    limits = actions.add_parser("limits", help="change what a key may do, while it is used, or show it")
    limits.add_argument("key", metavar="ID|NAME")
    limits.add_argument("--json", action="store_true", help="print a JSON object")
    add_terms(limits)
    limits.set_defaults(run=_limits)
    rotate = actions.add_parser("rotate", help="put a new key in the place of one; id, limits and use stay")
    rotate.add_argument("key", metavar="ID|NAME")
    rotate.add_argument(
        "--grace", metavar="1h", type=grace, default=_GRACE, help="how long the old one is still valid; default 1h"
    )
    rotate.add_argument("--json", action="store_true", help='print {"id", "name", "key"}')
    rotate.set_defaults(run=_rotate)
    for action in (create, listing, revoke, limits, rotate):
        add_config_option(action)


@define
class _Made:
    """Collects what a change of keys came to."""

    change: Callable[[StoredKey, StoredKey], Change]
    """Says what a key's change is, by what it was like and is like now."""
    changes: list[Change] = field(factory=list, init=False)

    async def take(self, _connection: AsyncConnection, before: StoredKey | None, after: StoredKey) -> None:
        """Take note of a key that is changed."""
        self.changes.append(self.change(before or after, after))


def _with_store(
    settings: Settings, work: Callable[[ClientKeyStore], Awaitable[_T]], opening: Opening = Opening.EXISTING
) -> _T:
    async def run() -> _T:
        async with Database.of(settings, opening) as database:
            return await work(ClientKeyStore(database))

    try:
        return asyncio.run(run())
    except (KeyMeantError, StoreError, VaultError) as error:
        raise CommandError(str(error)) from None


def _create(args: argparse.Namespace) -> int:
    settings = settings_from(args)
    try:
        name = checked_name(args.name)
    except ValueError as error:
        raise CommandError(f"--name {error}") from None
    secret_keys = secret_keys_from(settings)
    terms = changed_terms(KeyTerms(), terms_from(args))

    async def create(store: ClientKeyStore) -> tuple[list[str], StoredKey, str]:
        # With another secret key than the gateway's, it would be a key that opens nothing.
        await check_vault(store.database, Vault(secret_keys))
        namesakes = await store.ids_of(name)
        stored, key = await store.create(name, secret_keys[0], terms)
        await note(store.database, key_created(stored))
        return namesakes, stored, key

    namesakes, stored, key = _with_store(settings, create, Opening.MAKE)
    if namesakes:
        warn(
            f"a key with the name {name!r} was there already ({', '.join(namesakes)}): from now on "
            "`gateway keys limits`, `rotate` and `revoke` take ids rather than that name"
        )
    _show_new(args, stored, key)
    return 0


def _rotate(args: argparse.Namespace) -> int:
    settings = settings_from(args)
    secret_keys = secret_keys_from(settings)

    async def rotate(store: ClientKeyStore) -> tuple[StoredKey, str]:
        await check_vault(store.database, Vault(secret_keys))
        made = _Made(lambda before, after: key_rotated(before, after, args.grace))
        stored, key = await store.rotate(args.key, secret_keys[0], args.grace, also=made.take)
        await note(store.database, *made.changes)
        return stored, key

    _show_new(args, *_with_store(settings, rotate))
    return 0


def _show_new(args: argparse.Namespace, stored: StoredKey, key: str) -> None:
    if args.json:
        print(json.dumps({"id": stored.id, "name": stored.name, "key": key}))
    else:
        print(f"id:   {stored.id}\nname: {stored.name}\nkey:  {key}\n\nThe key is not shown again.")


def _list(args: argparse.Namespace) -> int:
    settings = settings_from(args)
    keys = _with_store(settings, partial(_shown, settings))
    if args.json:
        print(json.dumps([key_as_json(key) for key in keys], indent=2))
        return 0
    if not keys:
        print("There are no keys yet. Make one: gateway keys create --name NAME")
    for key in keys:
        print("\n".join(key_as_text(key)))
    return 0


def _limits(args: argparse.Namespace) -> int:
    settings = settings_from(args)
    changes = terms_from(args)

    async def change(store: ClientKeyStore) -> ShownKey:
        made = _Made(key_changed)
        key = (
            await store.change_terms(args.key, changes, also=made.take) if changes else await store.find(args.key)
        )
        await note(store.database, *made.changes)
        return next(shown for shown in await _shown(settings, store) if shown.key.id == key.id)

    shown = _with_store(settings, change)
    print(json.dumps(key_as_json(shown), indent=2) if args.json else "\n".join(key_as_text(shown)))
    return 0


async def _shown(settings: Settings, store: ClientKeyStore) -> list[ShownKey]:
    secret_ids = [secret_id(key) for key in await asyncio.to_thread(secret_keys_at_hand, settings)]
    uses = await KeyUseStore(store.database).all()
    now = store.database.clock()
    return [
        ShownKey(key, uses.get(key.id) or KeyUse(key.id), now, secret_standing(key.secret_id, secret_ids))
        for key in await store.all()
    ]


def _revoke(args: argparse.Namespace) -> int:
    async def revoke(store: ClientKeyStore) -> int:
        made = _Made(lambda _, after: key_revoked(after))
        revoked = await store.revoke(args.key, every=args.all, also=made.take)
        await note(store.database, *made.changes)
        return revoked

    revoked = _with_store(settings_from(args), revoke)
    if not revoked:
        raise CommandError(f"no valid key has the id or name {args.key!r}; see `gateway keys list`")
    print(f"revoked {revoked} key{'s' if revoked > 1 else ''}")
    return 0
