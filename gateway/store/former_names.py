"""What accounts were called before. Requests and their sums have the name that an account had then.

A name that an account gave up leads to it until another account takes the name: rows that began before that are of
the one, later ones of the other. Sums are of whole spans of time; those of the spans that are under way at that
moment are written over to the present name of the one.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from typing import Any, Final, TypeVar

from attrs import define, field
from sqlalchemy import ColumnElement, FromClause, Table, and_, delete, false, func, or_, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from gateway.ledger.totals import SPANS
from gateway.store.engine import database_time
from gateway.store.request_rows import EARLIEST, LATEST
from gateway.store.statements import insert
from gateway.store.tables import accounts, former_names, request_latencies, request_totals
from gateway.wire.errors import encode_json

__all__ = [
    "ALL_FORMER",
    "SUMMING",
    "AccountNames",
    "Part",
    "by_present_name",
    "give_up_name",
    "take_names",
    "with_present_names",
]

_READ: Final = tuple(former_names.c[name] for name in ("name", "since", "until", "present"))
ALL_FORMER: Final = select(*_READ)
"""Reads what `with_present_names` takes."""
SUMMING: Final = 0x637368
"""The advisory lock of PostgreSQL that whoever adds requests to sums holds; beside that of the migrations."""
_ANY: Final = select(former_names.c.name).limit(1)
_NAMES: Final = 500
"""That are looked up at a time."""
_LONGEST: Final = max(SPANS)

_Row = TypeVar("_Row", bound=Mapping[str, Any])


@define(frozen=True)
class Part:
    """What was recorded under one name from one time to another, in Unix seconds; the end is not included."""

    name: str
    since: float = EARLIEST
    until: float = LATEST


@define(frozen=True)
class AccountNames:
    """Under which names requests of some accounts were recorded, and when."""

    _parts: Mapping[str, Sequence[Part]] = field(factory=dict)
    """By the names by which accounts are asked for; those that were never renamed are left out."""

    @classmethod
    async def read(cls, connection: AsyncConnection, names: Collection[str]) -> AccountNames:
        """Look up what accounts of these names were called before, and whose names these were."""
        if not names or (await connection.execute(_ANY)).first() is None:
            return cls()
        found: dict[str, Sequence[Part]] = {}
        ordered = sorted(names)
        for at in range(0, len(ordered), _NAMES):
            some = ordered[at : at + _NAMES]
            meant = or_(former_names.c.name.in_(some), former_names.c.present.in_(some))
            rows = (await connection.execute(ALL_FORMER.where(meant))).all()
            held = select(accounts.c.name).where(accounts.c.name.in_(some))
            found |= _parts(some, rows, set((await connection.execute(held)).scalars()))
        return cls(found)

    def renamed(self) -> Iterable[str]:
        """Return those of the names of which not all rows of the name, and no others, are the account's."""
        return self._parts

    def of_requests(self, column: Any, name: str) -> ColumnElement[bool]:
        """Return which rows of `requests` are of an account.

        Args:
            column: the columns of the table, or of a part of it.
            name: of the account.
        """
        return or_(*(self.is_in(part, column) for part in self.parts(name)))

    def of_attempts(self, column: Any, name: str) -> ColumnElement[bool]:
        """Return which rows of `requests` tried an account, whether it served or not."""
        return or_(
            *(and_(_was_tried(column.attempts, part.name), *_during(part, column)) for part in self.parts(name))
        )

    def is_in(self, part: Part, column: Any) -> ColumnElement[bool]:
        """Return which rows of `requests` are of one of the account's names and its time."""
        return and_(column.account == part.name, *_during(part, column))

    def of_sums(self, column: Any, name: str) -> ColumnElement[bool]:
        """Return which rows of a table of sums are of an account, as `of_requests` does."""
        end = column.start + column.span
        return or_(
            *(
                and_(column.account == part.name, end > part.since, end <= part.until)
                if part != Part(part.name)
                else column.account == part.name
                for part in self.parts(name)
            )
        )

    def parts(self, name: str) -> Sequence[Part]:
        """Return under which names and when an account's requests were recorded."""
        return self._parts.get(name) or (Part(name),)


def _during(part: Part, column: Any) -> Iterator[ColumnElement[bool]]:
    if part.since > EARLIEST:
        yield column.at >= part.since
    if part.until < LATEST:
        yield column.at < part.until


def _was_tried(attempts: ColumnElement[str], account: str) -> ColumnElement[bool]:
    # By replacing, because LIKE takes no heed of case in one of the two databases.
    named = f'"account":{encode_json(account).decode()},'
    return func.replace(attempts, named, "") != attempts


def _parts(names: Sequence[str], former: Sequence[Any], held: set[str]) -> dict[str, Sequence[Part]]:
    found: dict[str, Sequence[Part]] = {}
    for name in names:
        parts = [Part(old, since, until) for old, since, until, present in former if present == name]
        others = [until for old, _, until, present in former if old == name and present != name]
        # A name that nobody has any more stands for what was recorded under it.
        since = max(others, default=EARLIEST) if name in held else EARLIEST
        if parts or since > EARLIEST:
            found[name] = (Part(name, since), *parts)
    return found


async def by_present_name(connection: AsyncConnection, table: Table) -> tuple[FromClause, ColumnElement[str]]:
    """Return a table of sums to select from, and in it the present names of accounts, as the column `account`."""
    column: Any = table.c
    if (await connection.execute(_ANY)).first() is None:
        return table, column.account
    end = column.start + column.span
    same = and_(former_names.c.name == column.account, end > former_names.c.since, end <= former_names.c.until)
    present = func.coalesce(former_names.c.present, column.account).label("account")
    return table.outerjoin(former_names, same), present


def with_present_names(rows: Iterable[_Row], former: Iterable[Sequence[Any]]) -> list[Any]:
    """Return rows of `requests` with the names under which they are summed.

    That is the name that the account has now, unless all sums that a row is in are read by the one that it had
    then: the present name may have been that of another account at that time.

    Args:
        rows: with `account` and `at`.
        former: what `ALL_FORMER` reads.
    """
    by_name: dict[str, list[Sequence[Any]]] = {}
    for one in former:
        by_name.setdefault(one[0], []).append(one)
    return [_with_present_name(row, by_name) for row in rows] if by_name else list(rows)


def _with_present_name(row: Mapping[str, Any], by_name: Mapping[str, list[Sequence[Any]]]) -> Mapping[str, Any]:
    at = row["at"]
    for _, since, until, present in by_name.get(row["account"], ()):
        # In a damaged row there may be anything.
        if isinstance(at, (int, float)) and since <= at < until:
            is_over = (at // _LONGEST + 1) * _LONGEST <= until
            return row if is_over else {**row, "account": present}
    return row


async def give_up_name(connection: AsyncConnection, account_id: str, old: str, new: str) -> None:
    """Note that an account is called otherwise from now on."""
    table = former_names.c
    await take_names(connection, {new: account_id})
    await connection.execute(update(former_names).where(table.account_id == account_id).values(present=new))
    # Before that it may have been the name of others, which are called otherwise as well.
    others = select(func.max(table.until)).where(table.name == old)
    since = (await connection.execute(others)).scalar_one_or_none() or EARLIEST
    row = {"name": old, "since": since, "until": LATEST, "account_id": account_id, "present": new}
    await connection.execute(insert(connection, former_names).values(row).on_conflict_do_nothing())


async def take_names(connection: AsyncConnection, names: Mapping[str, str]) -> None:
    """Note that accounts have names from now on that may have been those of others.

    Args:
        connection: of the transaction in which they are given.
        names: ids of the accounts, by their names.
    """
    if (await connection.execute(_ANY)).first() is None:
        return
    table = former_names.c
    ordered = sorted(names)
    for at in range(0, len(ordered), _NAMES):
        query = select(table.name, table.account_id, table.present)
        query = query.where(table.name.in_(ordered[at : at + _NAMES]), table.until == LATEST)
        for name, former, present in (await connection.execute(query)).all():
            meant = and_(table.name == name, table.until == LATEST)
            if former == names[name]:
                # It is called as before: all that was recorded under this name is its own, without this.
                await connection.execute(delete(former_names).where(meant))
                continue
            if connection.dialect.name == "postgresql":
                # What is added meanwhile by the names as they were would be in the sums of the other account.
                await connection.execute(select(func.pg_advisory_xact_lock(SUMMING)))
            now = (await connection.execute(select(database_time()))).scalar_one()
            await connection.execute(update(former_names).where(meant).values(until=now))
            for sums in (request_totals, request_latencies):
                await _write_over(connection, sums, name, present, now)


async def _write_over(connection: AsyncConnection, table: Table, name: str, present: str, now: float) -> None:
    """Give sums of the spans of time that are under way to another name."""
    column = table.c
    under_way = or_(
        false(), *(and_(column.span == span, column.start >= int(now // span) * span) for span in SPANS)
    )
    meant = and_(column.account == name, under_way)
    # In one statement, so that nothing is added in between.
    rows = (await connection.execute(delete(table).where(meant).returning(*table.columns))).mappings().all()
    if not rows:
        return
    statement = insert(connection, table)
    keys = [one.name for one in table.primary_key]
    added = {one.name: one + statement.excluded[one.name] for one in table.columns if one.name not in keys}
    statement = statement.on_conflict_do_update(index_elements=keys, set_=added)
    await connection.execute(statement, [{**row, "account": present} for row in rows])
