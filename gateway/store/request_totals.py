"""Sums of requests in the database: `request_totals`, `request_latencies`, and what becomes of old rows."""

from __future__ import annotations

import math
import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from functools import cache, partial
from typing import Any, Final

from attrs import asdict, define
from sqlalchemy import Table, bindparam, delete, func, select, text, update
from sqlalchemy.ext.asyncio import AsyncConnection

from gateway.ledger.totals import KEYS, SPANS, SUMS, LatencyKey, Sums, TotalKey, Totals, key_of, sums_of
from gateway.store.engine import Database
from gateway.store.former_names import ALL_FORMER, SUMMING, with_present_names
from gateway.store.statements import insert
from gateway.store.tables import request_latencies, request_timelines, request_totals, requests
from gateway.telemetry.logs import get_logger

__all__ = ["CostChange", "RequestTotals"]

_log = get_logger(__name__)

_READ: Final = (
    "id",
    "at",
    "provider",
    "route",
    "account",
    "actor_id",
    "model",
    "model_served",
    "outcome",
    "status",
    "stop_reason",
    "input_tokens",
    "output_tokens",
    "thinking_tokens",
    "cache_read_tokens",
    "cache_write_tokens",
    "cache_write_5m_tokens",
    "cache_write_1h_tokens",
    "web_searches",
    "cost_nanousd",
    "cost_note",
    "ms",
    "ms_to_content",
    "longest_gap_ms",
    "attempts",
    "switch",
    "summed",
)
_COLUMNS: Final = tuple(requests.c[name] for name in _READ)

_UNSUMMED: Final = text("requests.summed = false")
"""In these very words both databases know the partial index; `IS false` would be a look at every row."""
_ANY_UNSUMMED: Final = select(requests.c.id).where(_UNSUMMED).limit(1)
# Those that another process gives other costs are waited for, and read as they are then.
_NEXT_UNSUMMED: Final = (
    select(*_COLUMNS).where(_UNSUMMED).order_by(requests.c.id).limit(bindparam("most")).with_for_update()
)

_NEXT_IN_SQLITE: Final = f"SELECT rowid, {', '.join(_READ)} FROM requests WHERE summed = false ORDER BY id LIMIT ?"  # noqa: S608 - names of ours
_FORMER_IN_SQLITE: Final = "SELECT name, since, until, present FROM former_names"
_USED_IN_SQLITE: Final = text(
    "SELECT (page_count - freelist_count) * page_size "
    "FROM pragma_page_count(), pragma_freelist_count(), pragma_page_size()"
)
_USED_IN_POSTGRES: Final = text("SELECT pg_total_relation_size('requests')")
_INDEX_BYTES: Final = 800
"""Of one row in all indexes of `requests`, about."""
_ROW_IN_POSTGRES: Final = text(
    f"SELECT avg(pg_column_size(newest.*)) + {_INDEX_BYTES} FROM "  # noqa: S608 - a number of ours
    "(SELECT * FROM requests ORDER BY at DESC, id DESC LIMIT 1000) AS newest"
)


@define(frozen=True)
class CostChange:
    """What a request turns out to cost."""

    id: str
    nanousd: int | None
    note: str | None


@define
class RequestTotals:
    """Keeps the sums. Every method raises `StoreError` if the database cannot be used."""

    database: Database

    async def sum_up(self, most: int) -> int:
        """Add rows that are in no sum yet to the sums, up to a number; return how many there were.

        Each row is added once, whatever happens and however many processes are at it.
        """
        async with self.database.read() as connection:
            # Most of the time there is nothing to do, and no other writer has to wait for that.
            if (await connection.execute(_ANY_UNSUMMED)).first() is None:
                return 0
        if not self.database.is_postgres:
            return await self.database.write_to_sqlite(partial(_sum_up_in_sqlite, most))
        async with self.database.write() as connection:
            if not await self._alone(connection):
                return 0
            rows = (await connection.execute(_NEXT_UNSUMMED, {"most": most})).mappings().all()
            if rows:
                former = (await connection.execute(ALL_FORMER)).all()
                await self._add(connection, _totals_of(with_present_names(rows, former)))
                done = update(requests).where(requests.c.id == bindparam("row_id")).values(summed=True)
                await connection.execute(done, [{"row_id": row["id"]} for row in rows])
        return len(rows)

    async def recost(self, changes: Sequence[CostChange]) -> int:
        """Put other costs into rows, and the differences into the sums; return how many rows there were."""
        wanted = {change.id: change for change in changes}
        async with self.database.write() as connection:
            query = select(*_COLUMNS).where(requests.c.id.in_(wanted)).order_by(requests.c.id).with_for_update()
            rows = (await connection.execute(query)).mappings().all()
            totals = Totals()
            former = (await connection.execute(ALL_FORMER)).all()
            for row in with_present_names(rows, former):
                change = wanted[row["id"]]
                after = {**row, "cost_nanousd": change.nanousd, "cost_note": change.note}
                if row["summed"] and _is_sound(row):
                    self._difference(totals, row, after)
            await self._add(connection, totals)
            if rows:
                statement = update(requests).where(requests.c.id == bindparam("row_id"))
                statement = statement.values(cost_nanousd=bindparam("nanousd"), cost_note=bindparam("note"))
                changed = [wanted[row["id"]] for row in rows]
                values = [{"row_id": each.id, "nanousd": each.nanousd, "note": each.note} for each in changed]
                await connection.execute(statement, values)
        return len(rows)

    async def delete_before(self, at: float, most: int) -> int:
        """Delete the oldest rows that are in the sums and began before a time; return how many they were.

        Args:
            at: Unix seconds.
            most: rows to delete in this step.
        """
        oldest = select(requests.c.id).where(requests.c.at < at, requests.c.summed.is_(True))
        # Those that another process works on are left for the next time.
        oldest = oldest.order_by(requests.c.at, requests.c.id).limit(most).with_for_update(skip_locked=True)
        async with self.database.write() as connection:
            ids = (await connection.execute(oldest)).scalars().all()
            if ids:
                await connection.execute(delete(requests).where(requests.c.id.in_(ids)))
                await connection.execute(delete(request_timelines).where(request_timelines.c.id.in_(ids)))
        return len(ids)

    async def delete_timelines_before(self, at: float, most: int) -> int:
        """Delete the oldest timelines of requests that began before a time; return how many they were."""
        oldest = select(request_timelines.c.id).where(request_timelines.c.at < at)
        oldest = oldest.order_by(request_timelines.c.at).limit(most)
        async with self.database.write() as connection:
            ids = (await connection.execute(oldest)).scalars().all()
            if ids:
                await connection.execute(delete(request_timelines).where(request_timelines.c.id.in_(ids)))
        return len(ids)

    async def delete_totals_before(self, span: int, start: float) -> None:
        """Delete the sums of one span of time that begin before a time, in Unix seconds."""
        async with self.database.write() as connection:
            for table in (request_totals, request_latencies):
                await connection.execute(delete(table).where(table.c.span == span, table.c.start < start))

    async def excess(self, most_bytes: int) -> int:
        """Return how many of the oldest rows have to go for the others to take no more than so many bytes.

        In SQLite all that is in the file counts, but for free space; in PostgreSQL what the rows are estimated to
        take with their indexes.
        """
        async with self.database.read() as connection:
            used = int(
                (
                    await connection.execute(_USED_IN_POSTGRES if self.database.is_postgres else _USED_IN_SQLITE)
                ).scalar_one()
            )
            if used <= most_bytes:
                return 0
            rows = (await connection.execute(select(func.count()).select_from(requests))).scalar_one()
            if self.database.is_postgres:
                # Space that is free again still belongs to the table there.
                used = int((await connection.execute(_ROW_IN_POSTGRES)).scalar_one() or 0) * rows
        return max(0, math.ceil(rows * (1 - most_bytes / used))) if used else 0

    async def time_of_oldest(self, number: int) -> float | None:
        """Return when the last of so many of the oldest rows began, in Unix seconds; None if there are fewer."""
        query = select(requests.c.at).order_by(requests.c.at, requests.c.id).offset(number - 1).limit(1)
        async with self.database.read() as connection:
            return (await connection.execute(query)).scalar_one_or_none()

    async def _alone(self, connection: AsyncConnection) -> bool:
        query = select(func.pg_try_advisory_xact_lock(SUMMING))
        return bool((await connection.execute(query)).scalar_one())

    def _difference(self, totals: Totals, before: Mapping[str, Any], after: Mapping[str, Any]) -> None:
        old, new = sums_of(before), sums_of(after)
        change = Sums(**{name: getattr(new, name) - getattr(old, name) for name in SUMS})
        for span in SPANS:
            totals.sums.setdefault(key_of(before, span), Sums()).add(change)

    async def _add(self, connection: AsyncConnection, totals: Totals) -> None:
        for table, rows in _rows_of(totals):
            await _upsert(connection, table, rows)


def _rows_of(totals: Totals) -> Iterator[tuple[Table, list[dict[str, Any]]]]:
    """Give sums as rows, in one order, lest two writers wait for each other."""
    sums = sorted(totals.sums.items(), key=lambda item: [str(getattr(item[0], name)) for name in KEYS])
    yield request_totals, [_total_values(key, values) for key, values in sums]
    latencies = sorted(totals.latencies.items(), key=lambda item: str(item[0]))
    yield request_latencies, [_latency_values(key, count) for key, count in latencies]


def _sum_up_in_sqlite(most: int, connection: sqlite3.Connection) -> int:
    found = connection.execute(_NEXT_IN_SQLITE, (most,)).fetchall()
    if not found:
        return 0
    rows = [dict(zip(_READ, values[1:], strict=True)) for values in found]
    former = connection.execute(_FORMER_IN_SQLITE).fetchall()
    for table, sums in _rows_of(_totals_of(with_present_names(rows, former))):
        connection.executemany(_upsert_in_sqlite(table), sums)
    # By what cannot be damaged: a row that is not found again would be added for ever.
    connection.executemany("UPDATE requests SET summed = true WHERE rowid = ?", [values[:1] for values in found])
    return len(rows)


@cache
def _upsert_in_sqlite(table: Table) -> str:
    keys = [column.name for column in table.primary_key]
    names = [column.name for column in table.columns]
    changes = ", ".join(f"{name} = {name} + excluded.{name}" for name in names if name not in keys)
    values = ", ".join(f":{name}" for name in names)
    return (
        f"INSERT INTO {table.name} ({', '.join(names)}) VALUES ({values}) "  # noqa: S608 - names of ours
        f"ON CONFLICT ({', '.join(keys)}) DO UPDATE SET {changes}"
    )


def _totals_of(rows: Sequence[Mapping[str, Any]]) -> Totals:
    """Return the sums of rows; one that holds nonsense adds nothing, and keeps no other from being summed."""
    try:
        return Totals.of(rows)
    except (ArithmeticError, RecursionError, TypeError, ValueError):
        sound = [row for row in rows if _is_sound(row)]
        for row in rows:
            if row not in sound:
                _log.error("a row of the ledger holds nonsense and is in no sum", request_id=row["id"])
        return Totals.of(sound)


def _is_sound(row: Mapping[str, Any]) -> bool:
    try:
        Totals.of([row])
    except (ArithmeticError, RecursionError, TypeError, ValueError):
        return False
    return True


def _total_values(key: TotalKey, sums: Sums) -> dict[str, Any]:
    return asdict(key) | asdict(sums)


def _latency_values(key: LatencyKey, count: int) -> dict[str, Any]:
    return asdict(key) | {"requests": count}


async def _upsert(connection: AsyncConnection, table: Table, rows: Sequence[Mapping[str, Any]]) -> None:
    if not rows:
        return
    statement = insert(connection, table)
    keys = [column.name for column in table.primary_key]
    others = [column.name for column in table.columns if column.name not in keys]
    statement = statement.on_conflict_do_update(
        index_elements=keys, set_={name: table.c[name] + statement.excluded[name] for name in others}
    )
    await connection.execute(statement, list(rows))
