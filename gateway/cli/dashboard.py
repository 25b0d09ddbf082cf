"""`gateway dashboard`: let people in to the dashboard, and see who may come in."""

from __future__ import annotations

import argparse
import asyncio
import json
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from shlex import quote
from typing import Any, Final, TypeVar

from attrs import define

from gateway.cli.columns import Columns
from gateway.cli.common import CommandError, Subparsers, add_command, add_config_option, settings_from
from gateway.cli.noting import note
from gateway.config import Settings
from gateway.controlplane.changes import link_made, totp_reset, user_added, user_removed
from gateway.controlplane.sign_in.links import LINK_SECONDS, OpenLink, base_url, make_link
from gateway.controlplane.sign_in.names import BadNameError, tidy_name
from gateway.store.audit_log import Change
from gateway.store.engine import Database, Opening
from gateway.store.errors import StoreError
from gateway.store.user_links import LinkStore, Purpose
from gateway.store.user_sessions import UserSessionStore
from gateway.store.users import ADMIN, User, UserStore

__all__ = ["add_parser"]

_T = TypeVar("_T")
_VIEWER: Final = "viewer"
_EXAMPLES: Final = """\
examples:
  gateway dashboard link                            # the first user, who chooses a name
  gateway dashboard link --name ana --role admin    # a new user
  gateway dashboard link --name ana                 # lost the password? another link
  gateway dashboard users
  gateway dashboard reset-totp ana                  # lost the authenticator app
  gateway dashboard remove ana

A link works once and for an hour. Whoever opens it chooses a password and is signed in; viewers may look at
everything and change nothing. A running gateway takes changes over within two seconds.
"""


@define
class _People:
    """What the actions work with."""

    settings: Settings
    users: UserStore
    links: LinkStore
    sessions: UserSessionStore

    async def note(self, *changes: Change) -> None:
        """Write down what whoever runs the command did."""
        await note(self.users.database, *changes)

    async def named(self, name: str) -> User:
        """Return a user.

        Raises:
            CommandError: there is none of this name.
        """
        user = await self.users.named(name)
        if user is None:
            raise CommandError(f"there is no user {name!r}; see `gateway dashboard users`")
        return user


def add_parser(subparsers: Subparsers) -> None:
    """Add the subcommand."""
    parser = add_command(
        subparsers,
        "dashboard",
        summary="let people in to the dashboard",
        about="Users of the dashboard: make links with which they set a password, list them, remove them.",
        examples=_EXAMPLES,
    )
    actions = parser.add_subparsers(title="actions", metavar="ACTION", required=True)
    link = actions.add_parser("link", help="print a link with which somebody sets a password; it works once")
    link.add_argument("--name", help="of the user, who is made if there is none; default: the first user chooses")
    link.add_argument(
        "--role",
        choices=(ADMIN, _VIEWER),
        help="of a user who is made: admins may change things, viewers only look; default viewer, and admin for "
        "the first one",
    )
    link.set_defaults(run=_link)
    listing = actions.add_parser("users", help="list who may sign in")
    listing.set_defaults(run=_list)
    for action in (link, listing):
        action.add_argument("--json", action="store_true", help="print JSON")
    remove = actions.add_parser("remove", help="remove a user and end their sessions")
    remove.set_defaults(run=_remove)
    reset = actions.add_parser("reset-totp", help="let a user who lost the second factor sign in without it")
    reset.set_defaults(run=_reset_totp)
    for action in (remove, reset):
        action.add_argument("name", metavar="NAME")
    for action in (link, listing, remove, reset):
        add_config_option(action)


def _link(args: argparse.Namespace) -> int:
    settings = settings_from(args)
    base = base_url(settings)
    if base is None:
        raise CommandError("there is no dashboard: GATEWAY_CONTROL_LISTEN is off")
    try:
        name = tidy_name(args.name) if args.name is not None else ""
    except BadNameError as error:
        raise CommandError(f"--name: {error}") from None

    async def make(people: _People) -> tuple[OpenLink, User | None, bool]:
        known = await people.users.all()
        is_first = not any(user.password is not None for user in known)
        if not name:
            if not is_first:
                names = ", ".join(user.name for user in known[:10])
                raise CommandError(f"say for whom with --name NAME, somebody new or one of: {names}")
            if args.role == _VIEWER:
                raise CommandError("the first user has to be an admin, or nobody could let others in")
            link = await make_link(people.links, base, Purpose.SET_PASSWORD, role=ADMIN)
            await people.note(link_made(""))
            return link, None, True
        user = await people.users.named(name)
        if is_new := user is None:
            user = await people.users.add(name, args.role or (ADMIN if is_first else _VIEWER))
            await people.note(user_added(user))
        elif args.role not in {None, user.role}:
            raise CommandError(f"{user.name} is {user.role}; change that in the dashboard, or leave --role out")
        link = await make_link(people.links, base, Purpose.SET_PASSWORD, user_id=user.id, role=user.role)
        await people.note(link_made(user.name))
        return link, user, is_new

    link, user, is_new = _with_people(settings, make, Opening.MAKE)
    if args.json:
        whose = {"name": user.name, "role": user.role} if user is not None else {"name": "", "role": ADMIN}
        print(json.dumps({"url": link.url, "expires_at": link.expires_at, **whose, "is_new": is_new}))
    else:
        minutes = round(LINK_SECONDS / 60)
        print(f"{link.url}\n\n{_whose(user, is_new=is_new)}")
        print(f"It works once, for {minutes} minutes; earlier links for the same are good no more.")
    return 0


def _whose(user: User | None, *, is_new: bool) -> str:
    """Say whom a link is for, so that a name with a slip in it is seen."""
    if user is None:
        return f"For the first user, who chooses a name and is {ADMIN}."
    if is_new:
        return f"For {user.name}, a new user: {user.role}. Not meant? gateway dashboard remove {quote(user.name)}"
    if user.password is None:
        return f"For {user.name}, {user.role}, who has not chosen a password yet."
    return f"For {user.name}, {user.role}, to choose another password; the present one is good until then."


def _list(args: argparse.Namespace) -> int:
    async def read(people: _People) -> tuple[list[User], dict[str, float]]:
        return await people.users.all(), await people.sessions.last_used()

    users, seen = _with_people(settings_from(args), read)
    if args.json:
        print(json.dumps([_as_json(user, seen.get(user.id)) for user in users], indent=2))
    elif not users:
        print("There are no users yet. Let somebody in: gateway dashboard link")
    else:
        Columns(["NAME", "ROLE", "PASSWORD", "SECOND FACTOR", "LAST SEEN (UTC)"]).print(
            [
                (
                    user.name,
                    user.role,
                    "set" if user.password is not None else "not set yet",
                    "yes" if user.totp is not None else "no",
                    _time(seen.get(user.id)),
                )
                for user in users
            ]
        )
    return 0


def _remove(args: argparse.Namespace) -> int:
    async def remove(people: _People) -> tuple[User, bool]:
        user = await people.named(args.name)
        await people.users.remove(user.id, even_the_last=True)
        await people.note(user_removed(user))
        return user, await people.users.anybody_has_a_password()

    user, others = _with_people(settings_from(args), remove)
    print(f"{user.name} is removed.")
    if not others:
        print("Nobody can sign in with a password any more; let somebody in: gateway dashboard link")
    return 0


def _reset_totp(args: argparse.Namespace) -> int:
    async def reset(people: _People) -> User:
        user = await people.named(args.name)
        if user.totp is None:
            raise CommandError(f"{user.name} has no second factor")
        await people.users.remove_totp(user.id)
        await people.note(totp_reset(user))
        return user

    user = _with_people(settings_from(args), reset)
    print(f"{user.name} signs in by password alone from now on.")
    return 0


def _with_people(
    settings: Settings, work: Callable[[_People], Awaitable[_T]], opening: Opening = Opening.EXISTING
) -> _T:
    async def run() -> _T:
        async with Database.of(settings, opening) as database:
            stores = (UserStore(database), LinkStore(database), UserSessionStore(database))
            return await work(_People(settings, *stores))

    try:
        return asyncio.run(run())
    except StoreError as error:
        raise CommandError(str(error)) from None


def _as_json(user: User, seen_at: float | None) -> dict[str, Any]:
    return {
        "id": user.id,
        "name": user.name,
        "role": user.role,
        "has_password": user.password is not None,
        "has_totp": user.totp is not None,
        "created_at": user.created_at,
        "last_seen_at": seen_at,
    }


def _time(at: float | None) -> str:
    return "-" if at is None else datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%d %H:%M")
