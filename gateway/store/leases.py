"""Leases on refresh tokens that can be used once.

A refresh token that is sent twice may cost the whole account: its provider takes it for stolen. So what is about
to be done is written down before it is done. A lease whose holder is not heard of again is taken over only if the
token had not been sent; if it had, nobody sends it any more until a person says so or there is a new secret.

All times are the database's own, so clocks that disagree do no harm.
"""

from __future__ import annotations

from typing import Any

from attrs import define
from sqlalchemy import and_, delete, func, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from gateway.accounts.persistence import LeaseState
from gateway.store.engine import Database, database_time
from gateway.store.statements import insert, locking
from gateway.store.tables import accounts, refresh_leases

__all__ = ["LeaseState", "LeaseStore"]

_lease = refresh_leases.c


@define
class LeaseStore:
    """Who may use the refresh token of an account.

    An owner is one process; the name must differ from that of any other, earlier ones included. Every method
    raises `StoreError` if the database cannot be used.
    """

    database: Database

    async def acquire(self, account_id: str, owner: str, version: int, ttl_seconds: float) -> LeaseState:
        """Ask for the lease.

        Args:
            account_id: the account.
            owner: who asks. One who has the lease and did not send anything yet gets it for longer.
            version: of the secret whose refresh token is to be used.
            ttl_seconds: how long the lease is to last.

        Returns:
            STALE also if there is no such account any more.
        """
        async with self.database.write() as connection:
            account = await _lock_account(connection, account_id)
            if account is None or account["secret_version"] != version:
                return LeaseState.STALE
            query = select(refresh_leases, (_lease.expires_at <= database_time()).label("expired"))
            held = (
                (await connection.execute(locking(query.where(_lease.account_id == account_id))))
                .mappings()
                .first()
            )
            state = LeaseState.ACQUIRED
            if held is not None and held["secret_version"] == version:
                state = _judge(held, owner)
            if state is not LeaseState.ACQUIRED:
                return state
            values = {
                "owner": owner,
                "secret_version": version,
                "expires_at": database_time() + ttl_seconds,
                "sent_at": None,
            }
            row = insert(connection, refresh_leases).values(account_id=account_id, **values)
            await connection.execute(row.on_conflict_do_update(index_elements=[_lease.account_id], set_=values))
        return state

    async def mark_sent(self, account_id: str, owner: str, version: int, ttl_seconds: float) -> bool:
        """Write down that the refresh token is about to be sent; once per lease.

        Args:
            account_id: the account.
            owner: who holds the lease.
            version: of the secret.
            ttl_seconds: how long the lease is to last from now on.

        Returns:
            False if the lease is not this owner's any more or the secret is a newer one: do not send.
        """
        meant = and_(
            _lease.account_id == account_id,
            _lease.owner == owner,
            _lease.secret_version == version,
            _lease.sent_at.is_(None),
            _lease.expires_at > database_time(),
        )
        async with self.database.write() as connection:
            account = await _lock_account(connection, account_id)
            if account is None or account["secret_version"] != version:
                return False
            values = {"sent_at": database_time(), "expires_at": database_time() + ttl_seconds}
            return bool((await connection.execute(update(refresh_leases).where(meant).values(values))).rowcount)

    async def release(self, account_id: str, owner: str) -> None:
        """Give the lease back, if it is this owner's: the refresh token was certainly not used up."""
        async with self.database.write() as connection:
            await connection.execute(delete(refresh_leases).where(_of(account_id, owner)))

    async def abandon(self, account_id: str, owner: str) -> None:
        """End the lease, if it is this owner's, and keep the mark: whether the token was used up is unknown."""
        async with self.database.write() as connection:
            await _lock_account(connection, account_id)
            values = {"expires_at": database_time(), "sent_at": func.coalesce(_lease.sent_at, database_time())}
            await connection.execute(update(refresh_leases).where(_of(account_id, owner)).values(values))

    async def sent_until(self, account_id: str) -> float | None:
        """Return the end of the lease under which a refresh token was sent, in Unix seconds; None if none was.

        Before that an answer may still come. After it nobody knows whether the token was used up, and an account
        that is resumed may send it once more.
        """
        query = select(_lease.expires_at).where(_lease.account_id == account_id, _lease.sent_at.is_not(None))
        async with self.database.read() as connection:
            return (await connection.execute(query)).scalar()


def _judge(held: Any, owner: str) -> LeaseState:
    """Say what becomes of somebody who asks for a lease that is there."""
    if not held["expired"]:
        return LeaseState.ACQUIRED if held["owner"] == owner and held["sent_at"] is None else LeaseState.HELD
    # A person who resumes the account after the lease's end takes the row away. One who does so before knows no
    # more than anybody else what will become of the token.
    return LeaseState.ACQUIRED if held["sent_at"] is None else LeaseState.UNCERTAIN


def _of(account_id: str, owner: str) -> Any:
    return and_(_lease.account_id == account_id, _lease.owner == owner)


async def _lock_account(connection: AsyncConnection, account_id: str) -> Any:
    query = select(accounts.c.secret_version).where(accounts.c.id == account_id)
    return (await connection.execute(locking(query))).mappings().first()
