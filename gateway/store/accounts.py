"""Accounts in the database.

People and traffic write to the same rows. People win: what traffic saw before somebody resumed an account says
nothing about it any more, and traffic never touches a pause.
"""

from __future__ import annotations

import secrets
from collections.abc import Mapping, Sequence
from typing import Any, Final

from attrs import define, evolve, field
from sqlalchemy import RowMapping, and_, case, delete, exists, func, or_, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from gateway.accounts.account import Account, AccountKind, Condition, Cooldown
from gateway.store import statements
from gateway.store.engine import Database, database_time
from gateway.store.errors import NameTakenError, StoreError
from gateway.store.former_names import give_up_name, take_names
from gateway.store.rows import KnownRows, storable, structure, unstructure
from gateway.store.statements import ACCOUNTS, SESSIONS, bump, locking
from gateway.store.tables import account_cooldowns, account_limits, accounts, refresh_leases, session_pins

__all__ = ["ENVIRONMENT", "AccountStore", "new_account_id"]

ENVIRONMENT: Final = "environment"
"""Id and name of the account whose key is in the environment."""

_SOUND: Final = {"condition": Condition.OK.value, "condition_reason": "", "condition_since": database_time()}
_ALL: Final = select(accounts).order_by(accounts.c.created_at, accounts.c.id)


def new_account_id() -> str:
    """Return an id that no account has."""
    return f"acc_{secrets.token_hex(8)}"


@define
class AccountStore:
    """Accounts and their cool-downs. Every method raises `StoreError` if the database cannot be used."""

    database: Database
    _known: KnownRows[Account] = field(factory=lambda: KnownRows(_account), init=False, repr=False)
    _known_cooldowns: KnownRows[Cooldown] = field(factory=lambda: KnownRows(_cooldown), init=False, repr=False)

    async def all(self) -> list[Account]:
        """Return all accounts, the oldest first; one that has not changed is the object that it was before."""
        async with self.database.read() as connection:
            return await self._known.read(await connection.execute(_ALL), ("id",))

    async def find(self, id_or_name: str) -> Account | None:
        """Return the account with this id, or else with this name."""
        found = await self._accounts(or_(accounts.c.id == id_or_name, accounts.c.name == id_or_name))
        return min(found, key=lambda account: account.id != id_or_name, default=None)

    async def cooldowns(self) -> list[Cooldown]:
        """Return the cool-downs that are not over; one that has not changed is the object that it was before."""
        query = select(account_cooldowns).where(account_cooldowns.c.until > database_time())
        async with self.database.read() as connection:
            return await self._known_cooldowns.read(await connection.execute(query), ("account_id", "family"))

    async def add(self, account: Account) -> Account:
        """Store a new account and return it as it is stored, with the time of its creation if it had none.

        Raises:
            NameTakenError: its name is taken.
        """
        (added,) = await self.add_all([account])
        return added

    async def add_all(self, new: Sequence[Account]) -> list[Account]:
        """Store new accounts, all or none of them, as `add` does.

        Raises:
            NameTakenError: the name of one is taken.
        """
        if any(ENVIRONMENT in (account.id, account.name) for account in new):
            raise NameTakenError(
                f"{ENVIRONMENT!r} is the account of GATEWAY_ANTHROPIC_API_KEY; choose another name"
            )
        added = []
        async with self.database.write() as connection:
            now = (await connection.execute(select(database_time()))).scalar_one()
            for one in new:
                account = evolve(one, created_at=one.created_at or now)
                row = statements.insert(connection, accounts).values(unstructure(account)).on_conflict_do_nothing()
                if not (await connection.execute(row)).rowcount:
                    raise NameTakenError(
                        f"there is an account {account.name!r} already; choose another name, give that one "
                        "another secret with `gateway accounts add --replace`, or remove it first"
                    )
                added.append(account)
            await take_names(connection, {account.name: account.id for account in added})
            await bump(connection, ACCOUNTS)
        return added

    async def remove(self, account_id: str) -> bool:
        """Delete an account and everything about it; return whether there was one."""
        async with self.database.write() as connection:
            if not await _lock(connection, account_id):
                return False
            await connection.execute(delete(accounts).where(accounts.c.id == account_id))
            # Whoever writes pins keeps away until this is done, and the other way round.
            await bump(connection, SESSIONS)
            for table in (account_cooldowns, account_limits, refresh_leases, session_pins):
                await connection.execute(delete(table).where(table.c.account_id == account_id))
            await bump(connection, ACCOUNTS)
        return True

    async def change(self, account_id: str, values: Mapping[str, Any]) -> bool:
        """Change what a person says of an account; return whether there is one.

        Args:
            account_id: the account.
            values: `name`, `owner`, `weight`, `priority`, `max_concurrency`, as far as they change.

        Raises:
            NameTakenError: another account has the name.
        """
        if not values:
            return await self.find(account_id) is not None
        try:
            return await self._change(account_id, dict(values))
        except StoreError as error:
            other = await self.find(values["name"]) if "name" in values else None
            if other is None or other.id == account_id:
                raise
            message = f"there is an account {other.name!r} already; choose another name"
            raise NameTakenError(message) from error

    async def pause(self, account_id: str) -> bool:
        """Keep an account out of use until it is resumed; return whether there is one."""
        paused = {"paused_at": func.coalesce(accounts.c.paused_at, database_time())}
        return await self._change(account_id, paused)

    async def resume(self, account_id: str) -> bool:
        """Put an account into use again, whatever kept it out of use; return whether there is one.

        A refresh token of which nobody knows whether it was used up may be sent once more. One that is on its way
        at this moment keeps its lease until that expires.
        """
        lease = refresh_leases.c
        async with self.database.write() as connection:
            if not await _lock(connection, account_id):
                return False
            changed = {"paused_at": None, "resumed_at": database_time(), **_SOUND}
            await connection.execute(update(accounts).where(accounts.c.id == account_id).values(changed))
            await connection.execute(delete(account_cooldowns).where(account_cooldowns.c.account_id == account_id))
            await connection.execute(
                delete(refresh_leases).where(lease.account_id == account_id, lease.expires_at <= database_time())
            )
            await bump(connection, ACCOUNTS)
        return True

    async def set_condition(
        self,
        account_id: str,
        condition: Condition,
        reason: str,
        *,
        secret_version: int,
        since: float | None = None,
    ) -> bool:
        """Note what traffic found out about an account.

        Args:
            account_id: the account.
            condition: what it found.
            reason: for people.
            secret_version: of the secret that was in use; news of another one says nothing.
            since: when it was found out, on the database's clock; None for now. Older than when the account was
                resumed, it says nothing.

        Returns:
            Whether it is what the store now says.
        """
        reason = storable(reason)
        same = and_(accounts.c.condition == condition.value, accounts.c.condition_reason == reason)
        meant = and_(
            accounts.c.id == account_id,
            accounts.c.secret_version == secret_version,
            _not_before_resumed(since),
        )
        values = {
            "condition": condition.value,
            "condition_reason": reason,
            "condition_since": database_time() if since is None else since,
        }
        async with self.database.write() as connection:
            if (await connection.execute(update(accounts).where(meant, ~same).values(values))).rowcount:
                await bump(connection, ACCOUNTS)
                return True
            return (await connection.execute(select(exists().where(meant, same)))).scalar_one()

    async def set_cooldown(self, cooldown: Cooldown) -> bool:
        """Note that a quota family of an account has a rest; of two, the one that ends later counts.

        Returns:
            False if the account is gone or was resumed after the cool-down began.
        """
        table = account_cooldowns.c
        cooldown = evolve(cooldown, family=storable(cooldown.family), reason=storable(cooldown.reason))
        async with self.database.write() as connection:
            known = select(accounts.c.id).where(
                accounts.c.id == cooldown.account_id, _not_before_resumed(cooldown.since)
            )
            if (await connection.execute(locking(known))).first() is None:
                return False
            over = and_(table.account_id == cooldown.account_id, table.until <= database_time())
            await connection.execute(delete(account_cooldowns).where(over))
            row = statements.insert(connection, account_cooldowns).values(unstructure(cooldown))
            changed = await connection.execute(
                row.on_conflict_do_update(
                    index_elements=[table.account_id, table.family],
                    set_={name: row.excluded[name] for name in ("until", "since", "fault", "reason")},
                    where=row.excluded.until > table.until,
                )
            )
            if changed.rowcount:
                await bump(connection, ACCOUNTS)
        return True

    async def clear_cooldown(self, account_id: str, family: str, *, since: float) -> bool:
        """End a cool-down, unless one that began after `since` has taken its place; return whether it did."""
        table = account_cooldowns.c
        meant = and_(table.account_id == account_id, table.family == storable(family), table.since <= since)
        async with self.database.write() as connection:
            cleared = (await connection.execute(delete(account_cooldowns).where(meant))).rowcount
            if cleared:
                await bump(connection, ACCOUNTS)
        return bool(cleared)

    async def replace_secret(
        self,
        account_id: str,
        secret: bytes,
        expires_at: float | None,
        *,
        expected_version: int,
        changes: Mapping[str, Any] | None = None,
    ) -> int | None:
        """Store a new secret: the account needs no other one any more, and the lease has served.

        A parked account stays parked: a new token settles no bill.

        Args:
            account_id: the account.
            secret: encrypted.
            expires_at: when the credential expires, in Unix seconds; None for never or unknown.
            expected_version: of the secret that it replaces.
            changes: what else a person changes, by the names of an account's fields.

        Returns:
            The new version; None if the present one is another, and nothing was stored.
        """
        meant = and_(accounts.c.id == account_id, accounts.c.secret_version == expected_version)
        is_parked = accounts.c.condition == Condition.PARKED.value
        values = {
            "secret": secret,
            "secret_version": accounts.c.secret_version + 1,
            "expires_at": expires_at,
            **{name: case((is_parked, accounts.c[name]), else_=sound) for name, sound in _SOUND.items()},
            **(changes or {}),
        }
        async with self.database.write() as connection:
            if not (await connection.execute(update(accounts).where(meant).values(values))).rowcount:
                return None
            await connection.execute(delete(refresh_leases).where(refresh_leases.c.account_id == account_id))
            await bump(connection, ACCOUNTS)
        return expected_version + 1

    async def rewrite_secret(self, account_id: str, old: bytes, new: bytes) -> bool:
        """Store the same secret encrypted anew, if it is still the one that was read; its version stays.

        Args:
            account_id: the account.
            old: the secret as it was read, encrypted.
            new: the same secret, encrypted with another key.
        """
        meant = and_(accounts.c.id == account_id, accounts.c.secret == old)
        async with self.database.write() as connection:
            written = (await connection.execute(update(accounts).where(meant).values(secret=new))).rowcount
            if written:
                await bump(connection, ACCOUNTS)
        return bool(written)

    async def ensure_environment_account(self, provider: str, fingerprint: str) -> Account:
        """Return the row of the account whose key is in the environment; make it if need be.

        Args:
            provider: whose key it is.
            fingerprint: tells one key from another and gives none away. When it changes, the version rises and
                what was found out about the old key is forgotten; a person's pause stays.
        """
        async with self.database.write() as connection:
            row = (
                await connection.execute(
                    locking(
                        select(accounts.c.provider, accounts.c.fingerprint).where(accounts.c.id == ENVIRONMENT)
                    )
                )
            ).first()
            if row is None:
                made = Account(ENVIRONMENT, ENVIRONMENT, provider, AccountKind.API_KEY, secret_version=1)
                values = unstructure(made) | {"created_at": database_time(), "fingerprint": fingerprint}
                statement = statements.insert(connection, accounts).values(values).on_conflict_do_nothing()
                await connection.execute(statement)
                await bump(connection, ACCOUNTS)
            elif tuple(row) != (provider, fingerprint):
                await _renew_environment_account(connection, provider, fingerprint)
        (account,) = await self._accounts(accounts.c.id == ENVIRONMENT)
        return account

    async def _accounts(self, *conditions: Any) -> list[Account]:
        async with self.database.read() as connection:
            rows = (await connection.execute(_ALL.where(*conditions))).mappings().all()
        return structure(Account, rows, accounts.name)

    async def _change(self, account_id: str, values: dict[str, Any]) -> bool:
        async with self.database.write() as connection:
            present = select(accounts.c.name).where(accounts.c.id == account_id)
            name = (await connection.execute(locking(present))).scalar_one_or_none()
            if name is None:
                return False
            await connection.execute(update(accounts).where(accounts.c.id == account_id).values(values))
            if values.get("name", name) != name:
                await give_up_name(connection, account_id, name, values["name"])
            await bump(connection, ACCOUNTS)
        return True


def _account(row: RowMapping) -> Account:
    return structure(Account, (row,), accounts.name)[0]


def _cooldown(row: RowMapping) -> Cooldown:
    return structure(Cooldown, (row,), account_cooldowns.name)[0]


def _not_before_resumed(since: float | None) -> Any:
    return or_(
        accounts.c.resumed_at.is_(None), accounts.c.resumed_at <= (database_time() if since is None else since)
    )


async def _lock(connection: AsyncConnection, account_id: str) -> bool:
    query = locking(select(accounts.c.id).where(accounts.c.id == account_id))
    return (await connection.execute(query)).first() is not None


async def _renew_environment_account(connection: AsyncConnection, provider: str, fingerprint: str) -> None:
    values = {
        "provider": provider,
        "fingerprint": fingerprint,
        "secret_version": accounts.c.secret_version + 1,
        "resumed_at": database_time(),
        **_SOUND,
    }
    await connection.execute(update(accounts).where(accounts.c.id == ENVIRONMENT).values(values))
    table = account_cooldowns
    await connection.execute(delete(table).where(table.c.account_id == ENVIRONMENT))
    await bump(connection, ACCOUNTS)
