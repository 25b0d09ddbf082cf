"""What client keys have used, in the database.

Each method is one short transaction. Rows of keys are locked in the order of their ids, before any reservation.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any, Final

from attrs import asdict, define
from sqlalchemy import and_, bindparam, case, delete, or_, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from gateway.actors.limits import Batch, Outcome, StaleReservation
from gateway.actors.terms import PERIODS
from gateway.actors.use import MOST, KeyUse, Period, Refusal, Reservation, Spent
from gateway.store.engine import Database
from gateway.store.statements import insert, locking
from gateway.store.tables import key_reservations, key_use, limiting_processes, requests

__all__ = ["KeyUseStore", "use_of_row"]

_SILENT_SECONDS: Final = 30.0
"""After which a process is asked after that gave no sign of life."""
_FORGET_SECONDS: Final = 2 * 86_400.0
"""After which nobody waits any more for a process, or for the record of a request."""
_OWN_SECONDS: Final = 60.0
"""Age of reservations after which a process looks whether it knows its own ones."""
_CEILING_SECONDS: Final = 86_400.0
"""Age at which a reservation does not count any more whoever answers for it."""
_AHEAD_SECONDS: Final = 60.0
"""By which a time may lie ahead; what lies further is from before the clock was set back."""
_MOST_STALE: Final = 5_000
_UNITS: Final = ("requests", "tokens", "nanousd")
_PLAIN: Final = (
    "running",
    "reserved_tokens",
    "reserved_nanousd",
    "requests_until",
    "tokens_until",
    "last_used_at",
)

_held = key_reservations.c
_process = limiting_processes.c
_UPDATE: Final = (
    update(key_use)
    .where(key_use.c.key_id == bindparam("of_key"))
    .values({one.name: bindparam(one.name) for one in key_use.c if one.name != "key_id"})
)


@define(frozen=True)
class KeyUseStore:
    """What keys use and reserve. Every method raises `StoreError` if the database cannot be used."""

    database: Database

    async def apply(self, batch: Batch, now: float) -> Outcome:
        """Do all of a batch, or nothing of it; see `UseStore`."""
        key_ids = {asked.reservation.key_id for asked in batch.asked}
        key_ids |= {reservation.key_id for reservation, _ in batch.settled.values()}
        key_ids |= {key_id for key_id, _ in batch.spent}
        async with self.database.write() as connection:
            last = await _show_life(connection, batch.owner, now)
            uses = await _lock(connection, key_ids)
            if batch.spent and last < batch.number:
                for (key_id, at), spent in batch.spent.items():
                    use = uses[key_id]
                    use.add(spent, at, now)
                    use.last_used_at = max(use.last_used_at, min(batch.used_at.get(key_id, at), now))
                mark = update(limiting_processes).where(_process.owner == batch.owner).values(batch=batch.number)
                await connection.execute(mark)
            # One that is to be let in by force may be there, if an earlier try went well and nobody was told.
            ids = [*batch.settled, *(one.reservation.id for one in batch.asked if one.is_forced)]
            there = await _find(connection, ids)
            gone = [name for name in batch.settled if name in there]
            for name in gone:
                reservation, is_held = there.pop(name)
                if is_held:
                    uses[reservation.key_id].release(reservation)
                uses[reservation.key_id].settle(reservation, batch.settled[name][1], now)
            await _delete(connection, gone)
            refused = await _let_in(connection, batch, uses, frozenset(there), now)
            await _write(connection, uses.values())
        return Outcome(refused, uses)

    async def stale(self, owner: str, now: float) -> Sequence[StaleReservation]:
        """Return reservations that may belong to nobody; see `UseStore`."""
        heard = _process.seen_at.between(now - _SILENT_SECONDS, now + _AHEAD_SECONDS)
        silent = or_(_process.seen_at.is_(None), ~heard)
        own = and_(_held.owner == owner, ~_held.at.between(now - _OWN_SECONDS, now + _AHEAD_SECONDS))
        certain = case(
            (_held.is_held, _held.at < now - _CEILING_SECONDS),
            else_=or_(requests.c.id.is_not(None), _held.at < now - _FORGET_SECONDS),
        )
        query = (
            select(_held.id, _held.owner, certain.label("is_certain"))
            .select_from(
                key_reservations.outerjoin(limiting_processes, _process.owner == _held.owner).outerjoin(
                    requests, requests.c.id == _held.id
                )
            )
            .where(or_(certain, and_(_held.is_held, or_(and_(silent, _held.owner != owner), own))))
            .order_by(_held.at)
            .limit(_MOST_STALE)
        )
        async with self.database.read() as connection:
            rows = (await connection.execute(query)).all()
        return [StaleReservation(row.id, row.owner, bool(row.is_certain)) for row in rows]

    async def reclaim(self, ids: Collection[str], now: float) -> None:
        """Free what reservations hold; see `UseStore`.

        One whose request the ledger knows is settled by that. Any other stays, without counting: its process may
        come back and settle it, or its record may still lie in the spool of a process that died.
        """
        async with self.database.read() as connection:
            query = select(_held.key_id).where(_held.id.in_(list(ids))).distinct()
            key_ids = set((await connection.execute(query)).scalars())
        async with self.database.write() as connection:
            uses = await _lock(connection, key_ids)
            there = await _find(connection, ids)
            recorded = await _recorded(connection, there)
            over: list[str] = []
            freed: list[str] = []
            for name, (reservation, is_held) in there.items():
                use = uses[reservation.key_id]
                if is_held:
                    use.release(reservation)
                if name in recorded:
                    use.settle(reservation, recorded[name], now)
                    over.append(name)
                elif now - reservation.at > _FORGET_SECONDS:
                    over.append(name)
                elif is_held:
                    freed.append(name)
            await _delete(connection, over)
            if freed:
                await connection.execute(update(key_reservations).where(_held.id.in_(freed)).values(is_held=False))
            await _write(connection, uses.values())

    async def forget_processes(self, now: float) -> None:
        """Forget processes that have not been heard of for days; see `UseStore`."""
        gone = _process.seen_at < now - _FORGET_SECONDS
        async with self.database.read() as connection:
            # Mostly there are none, and then no other writer has to wait.
            some = (await connection.execute(select(_process.owner).where(gone).limit(1))).first()
        if some is not None:
            async with self.database.write() as connection:
                await connection.execute(delete(limiting_processes).where(gone))

    async def use_of(self, key_id: str) -> KeyUse:
        """Return the use of one key; see `UseStore`."""
        async with self.database.read() as connection:
            rows = (await connection.execute(select(key_use).where(key_use.c.key_id == key_id))).mappings().all()
        return use_of_row(rows[0]) if rows else KeyUse(key_id)

    async def all(self) -> Mapping[str, KeyUse]:
        """Return the use of all keys that were ever used, by their ids."""
        async with self.database.read() as connection:
            rows = (await connection.execute(select(key_use))).mappings().all()
        return {row["key_id"]: use_of_row(row) for row in rows}


async def _show_life(connection: AsyncConnection, owner: str, now: float) -> int:
    """Write down that a process is there; return the number of its last batch."""
    statement = insert(connection, limiting_processes).values(owner=owner, seen_at=now, batch=0)
    statement = statement.on_conflict_do_update(index_elements=[_process.owner], set_={"seen_at": now})
    return (await connection.execute(statement.returning(_process.batch))).scalar_one()


async def _lock(connection: AsyncConnection, key_ids: Collection[str]) -> dict[str, KeyUse]:
    """Return the use of keys, such that it stays as it is until the transaction ends."""
    if not key_ids:
        return {}
    query = locking(select(key_use).where(key_use.c.key_id.in_(sorted(key_ids))).order_by(key_use.c.key_id))
    rows = (await connection.execute(query)).mappings().all()
    if len(rows) < len(key_ids):
        missing = sorted(set(key_ids) - {row["key_id"] for row in rows})
        row = insert(connection, key_use).on_conflict_do_nothing()
        await connection.execute(row, [_columns(KeyUse(key_id)) for key_id in missing])
        rows = (await connection.execute(query)).mappings().all()
    return {row["key_id"]: use_of_row(row) for row in rows}


async def _find(connection: AsyncConnection, ids: Collection[str]) -> dict[str, tuple[Reservation, bool]]:
    """Return the reservations that are there, and whether they count."""
    if not ids:
        return {}
    query = locking(select(key_reservations).where(_held.id.in_(sorted(ids))).order_by(_held.id))
    rows = (await connection.execute(query)).mappings().all()
    return {row["id"]: (_reservation(row), bool(row["is_held"])) for row in rows}


async def _delete(connection: AsyncConnection, ids: Sequence[str]) -> None:
    if ids:
        await connection.execute(delete(key_reservations).where(_held.id.in_(ids)))


async def _let_in(
    connection: AsyncConnection, batch: Batch, uses: Mapping[str, KeyUse], there: frozenset[str], now: float
) -> dict[str, Refusal]:
    refused: dict[str, Refusal] = {}
    rows: list[dict[str, Any]] = []
    for asked in batch.asked:
        reservation = asked.reservation
        if reservation.id in there:
            continue
        use = uses[reservation.key_id]
        refusal = None if asked.is_forced else use.refusal(asked.limits, now)
        if refusal is not None:
            refused[reservation.id] = refusal
            continue
        use.reserve(reservation, asked.limits, now)
        rows.append(asdict(reservation) | {"owner": batch.owner, "is_held": True})
    if rows:
        await connection.execute(insert(connection, key_reservations), rows)
    return refused


async def _recorded(connection: AsyncConnection, ids: Iterable[str]) -> dict[str, Spent]:
    """Return what requests used that the ledger knows."""
    columns = requests.c
    query = select(
        columns.id,
        columns.input_tokens,
        columns.output_tokens,
        columns.cache_read_tokens,
        columns.cache_write_tokens,
        columns.cost_nanousd,
    ).where(columns.id.in_(sorted(ids)))
    rows = (await connection.execute(query)).all()
    return {row[0]: Spent(1, sum(count or 0 for count in row[1:5]), row[5] or 0) for row in rows}


async def _write(connection: AsyncConnection, uses: Iterable[KeyUse]) -> None:
    rows = []
    for use in uses:
        columns = _columns(use)
        rows.append(columns | {"of_key": columns.pop("key_id")})
    if rows:
        await connection.execute(_UPDATE, rows)


def _columns(use: KeyUse) -> dict[str, Any]:
    columns: dict[str, Any] = {"key_id": use.key_id} | {name: getattr(use, name) for name in _PLAIN}
    for name in (*PERIODS, "total"):
        spent = use.total if name == "total" else use.period(name).spent
        columns |= {f"{name}_{unit}": getattr(spent, unit) for unit in _UNITS}
    return columns | {f"{name}_start": use.period(name).start for name in PERIODS}


def _reservation(row: Mapping[str, Any]) -> Reservation:
    tokens, nanousd = _count(row["tokens"]), _count(row["nanousd"])
    return Reservation(
        row["id"], row["key_id"], _moment(row["at"]), tokens, nanousd, _count(row["token_rate"]) or None
    )


def use_of_row(row: Mapping[str, Any]) -> KeyUse:
    """Return a row of the table `key_use` as an object; what cannot be read in it counts as none."""

    def spent(name: str) -> Spent:
        return Spent(*(_count(row[f"{name}_{unit}"]) for unit in _UNITS))

    def period(name: str) -> Period:
        return Period(_count(row[f"{name}_start"]), spent(name))

    held = (_count(row[name]) for name in ("running", "reserved_tokens", "reserved_nanousd"))
    times = (_moment(row[name]) for name in ("requests_until", "tokens_until", "last_used_at"))
    return KeyUse(row["key_id"], period("day"), period("week"), period("month"), spent("total"), *held, *times)


# What cannot be read counts as none: in one row that is wrong, the limits of all keys must not end.


def _count(value: object) -> int:
    return value if type(value) is int and 0 <= value <= MOST else 0


def _moment(value: object) -> float:
    return float(value) if isinstance(value, (int, float)) and math.isfinite(value) else 0.0
