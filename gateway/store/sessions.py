"""Which account each session has, in the database."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final

from attrs import define
from sqlalchemy import and_, delete, or_, select

from gateway.accounts.pins import SessionPin, kept_seconds, settle
from gateway.store import statements
from gateway.store.engine import Database, database_time
from gateway.store.rows import structure, unstructure
from gateway.store.statements import SESSIONS, bump, known_accounts
from gateway.store.tables import session_pins

__all__ = ["START", "Place", "SessionStore"]

_COLUMNS: Final = session_pins.c


@define(frozen=True, order=True)
class Place:
    """How far pins were read: they come in the order in which they were written."""

    version: int
    session_key: str


START: Final = Place(-1, "")
"""Before all pins."""


@define(frozen=True)
class SessionStore:
    """The table `session_pins`. Every method raises `StoreError` if the database cannot be used."""

    database: Database

    async def write(self, told: Iterable[SessionPin], idle_seconds: float) -> list[SessionPin]:
        """Write pins, one for each session, in one transaction, as far as they count.

        Args:
            told: the pins. One of an account that is gone is left out.
            idle_seconds: after which a session may be served by any account again.

        Returns:
            What counts from now on for these sessions, which may be what others wrote before.
        """
        pins = {pin.session_key: pin for pin in told}
        async with self.database.write() as connection:
            accounts = await known_accounts(connection, (pin.account_id for pin in pins.values()))
            version = await bump(connection, SESSIONS)
            # From here on no other process writes pins until this transaction has ended.
            query = select(session_pins).where(_COLUMNS.session_key.in_(list(pins)))
            rows = (await connection.execute(query)).mappings().all()
            known = {pin.session_key: pin for pin in structure(SessionPin, rows, session_pins.name)}
            changed: list[SessionPin] = []
            for key, pin in pins.items():
                if pin.account_id in accounts:
                    settled = settle(known.get(key), pin, idle_seconds)
                    if settled != known.get(key):
                        changed.append(settled)
                        known[key] = settled
            if changed:
                insert = statements.insert(connection, session_pins)
                names = ("account_id", "used_at", "moves", "cached_tokens", "version")
                await connection.execute(
                    insert.on_conflict_do_update(
                        index_elements=[_COLUMNS.session_key],
                        set_={name: insert.excluded[name] for name in names},
                    ),
                    [unstructure(pin) | {"version": version} for pin in changed],
                )
        return list(known.values())

    async def place_before(self, most: int) -> Place:
        """Return the place after which there are at most so many pins, and more only of one and the same write."""
        query = select(_COLUMNS.version).order_by(_COLUMNS.version.desc()).offset(most).limit(1)
        async with self.database.read() as connection:
            version = (await connection.execute(query)).scalar_one_or_none()
        return START if version is None else Place(version, "")

    async def after(self, place: Place, idle_seconds: float, most: int) -> tuple[Sequence[SessionPin], Place]:
        """Return the next pins behind a place that are not idle, in the order in which they were written.

        Args:
            place: how far they were read.
            idle_seconds: how long ago they may have been used.
            most: how many there may be.

        Returns:
            Them, and how far they were read now; fewer than `most` if these are all.
        """
        query = (
            select(session_pins)
            .where(
                _COLUMNS.version >= place.version,
                or_(_COLUMNS.version > place.version, _COLUMNS.session_key > place.session_key),
                _COLUMNS.used_at > database_time() - kept_seconds(idle_seconds),
            )
            .order_by(_COLUMNS.version, _COLUMNS.session_key)
            .limit(most)
        )
        async with self.database.read() as connection:
            rows = (await connection.execute(query)).mappings().all()
        if rows:
            place = Place(rows[-1]["version"], rows[-1]["session_key"])
        return structure(SessionPin, rows, session_pins.name), place

    async def forget(self, idle_seconds: float, most: int) -> int:
        """Delete pins that nobody uses any more, but no more than so many; return how many.

        Any number of processes may do so at the same time.
        """
        idle = _COLUMNS.used_at < database_time() - kept_seconds(idle_seconds)
        some = select(_COLUMNS.session_key).where(idle).order_by(_COLUMNS.used_at).limit(most)
        meant = _COLUMNS.session_key.in_(some.with_for_update(skip_locked=True))
        async with self.database.write() as connection:
            return (await connection.execute(delete(session_pins).where(and_(meant, idle)))).rowcount
