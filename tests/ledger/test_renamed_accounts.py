"""What an account used stays its own, whatever it is called, in both databases."""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from pathlib import Path
from typing import Any

from attrs import define, field
from sqlalchemy import func, select, text

from gateway.accounts.account import Account, AccountKind
from gateway.ledger.record import AttemptRecord
from gateway.ledger.row import RequestRow
from gateway.store.account_use import AccountUse, last_used, used_since
from gateway.store.accounts import AccountStore
from gateway.store.cost_rows import CostRows, RowFilter
from gateway.store.engine import Database
from gateway.store.former_names import SUMMING
from gateway.store.request_queries import RequestFilter, RequestQueries, TotalsFilter
from gateway.store.request_totals import CostChange, RequestTotals
from gateway.store.requests import RequestStore
from tests.ledger.writing import make_record
from tests.postgres import Postgres

DAY = 86_400


@define
class Books:
    """A database, with accounts that serve requests."""

    database: Database
    made: int = field(default=0, init=False)

    @property
    def accounts(self) -> AccountStore:
        """The accounts."""
        return AccountStore(self.database)

    async def add(self, name: str) -> str:
        """Add an account and return its id."""
        self.made += 1
        account = Account(f"acc_{self.made}", name, "anthropic", AccountKind.API_KEY, secret=b"sealed")
        return (await self.accounts.add(account)).id

    async def rename(self, account_id: str, name: str) -> None:
        """Call an account otherwise."""
        await self.turn()
        assert await self.accounts.change(account_id, {"name": name})
        await self.turn()

    async def turn(self) -> None:
        """Wait until the database's clock has another time."""
        before = await self.database.now()
        while await self.database.now() <= before:
            pass

    async def serve(self, name: str, *, at: float | None = None) -> str:
        """Have a request served by the account of this name; return its id."""
        self.made += 1
        record = make_record(
            self.made, account=name, attempts=[AttemptRecord("other", "overload", 529, 7), AttemptRecord(name)]
        )
        row = RequestRow.of(record).columns()
        now = await self.database.now()
        row |= {"at": now if at is None else at, "ms_to_content": 9, "ms": 12, "cost_nanousd": 5}
        await RequestStore(self.database).insert([row])
        return record.id

    async def sum_up(self) -> None:
        """Add up what is in no sum yet."""
        while await RequestTotals(self.database).sum_up(100):
            pass

    async def used(self) -> dict[str, int]:
        """Return how many requests there were of each account, having looked whether all that count agree."""
        await self.sum_up()
        now = await self.database.now()
        sums_of = await used_since(self.database, DAY, now - DAY)
        found = {name: AccountUse(*sums).requests for name, sums in sums_of.items()}
        queries, wide = RequestQueries(self.database), (now - DAY, now + DAY)
        for span in (300, 3600, DAY):
            sums = await queries.totals(span, *wide, by=["account"])
            assert {row["account"]: row["requests"] for row in sums} == found
            times = await queries.latencies("duration", span, *wide, by=["account"])
            assert {name: sum(buckets.values()) for (name,), buckets in times.items()} == found
        for name, number in found.items():
            assert await self.count(account=name) == await self.count(tried=name) == number
            for wanted in (name, frozenset({name})):
                (sums,) = await queries.totals(DAY, *wide, wanted=TotalsFilter(account=wanted))
                assert sums["requests"] == number
            costs = CostRows(self.database)
            rows = RowFilter(accounts=frozenset({name}))
            assert await costs.count(rows) == len(await costs.page(rows, after=None, limit=100)) == number
            days = range(int(now // DAY) * DAY - DAY, int(now) + 1, DAY)
            summed = [one for day in days for one in await costs.sums_of_day(day, rows)]
            assert sum(one["requests"] for one in summed) == number
        return found

    async def count(self, **wanted: Any) -> int:
        """Return how many requests a filter takes, having looked whether as many are listed."""
        queries = RequestQueries(self.database)
        number = (await queries.count(RequestFilter(**wanted))).number
        assert len((await queries.page(RequestFilter(**wanted), limit=200)).rows) == number
        return number


async def test_what_an_account_used_goes_with_it_when_it_is_renamed(database: Database) -> None:
    books = Books(database)
    account = await books.add("work")
    now = await database.now()
    await books.serve("work", at=now - 3600)
    await books.sum_up()
    await books.serve("work")
    await books.rename(account, "team")
    # Begun before, or on a host that has not heard of it yet.
    await books.serve("work")
    last = await database.now()
    await books.serve("team", at=last)

    assert await books.used() == {"team": 4}
    assert await last_used(database, ["team"]) == {"team": last}
    # A link to the old name leads to what was recorded under it.
    assert await books.count(account="work") == 3
    await books.rename(account, "work")
    assert await books.used() == {"work": 4}
    await books.rename(account, "team")
    assert await books.used() == {"team": 4}
    await books.accounts.remove(account)
    assert await books.used() == {"team": 4}


async def test_a_name_that_is_given_again_begins_with_nothing(database: Database) -> None:
    books = Books(database)
    old = await books.add("work")
    begun = await database.now()
    await books.serve("work")
    await books.sum_up()
    # In no sum yet when the name changes hands.
    await books.serve("work")
    await books.rename(old, "old")
    new = await books.add("work")
    await books.turn()
    assert await last_used(database, ["work", "old"]) == {"old": (await last_used(database, ["old"]))["old"]}
    assert await books.used() == {"old": 2}
    assert await books.count(account="work") == 0
    await books.serve("work")
    await books.serve("old")
    await books.serve("work", at=begun)
    assert await books.used() == {"old": 4, "work": 1}

    await books.rename(new, "new")
    await books.rename(old, "work")
    await books.serve("work")
    assert await books.used() == {"work": 5, "new": 1}


async def test_costs_of_earlier_days_go_to_who_had_the_name_then_though_the_present_name_was_anothers(
    database: Database,
) -> None:
    books = Books(database)
    first, second = await books.add("a"), await books.add("b")
    then = await database.now() - 3 * DAY
    ids = [await books.serve("a", at=then)]
    await books.sum_up()
    # In no sum yet when it happens, such as one that was kept in a file meanwhile.
    ids.append(await books.serve("a", at=then))
    await books.serve("b", at=then)
    await books.rename(first, "c")
    await books.rename(second, "a")
    await books.rename(first, "b")
    await books.sum_up()
    await RequestTotals(database).recost([CostChange(one, 1000, None) for one in ids])
    for span in (300, 3600, DAY):
        sums = await RequestQueries(database).totals(span, then - DAY, then + DAY, by=["account"])
        assert {row["account"]: (row["requests"], row["cost_nanousd"]) for row in sums} == {
            "a": (1, 5),
            "b": (2, 2000),
        }


async def test_a_name_goes_to_another_account_only_when_nobody_is_adding_to_the_sums(
    postgres: Postgres, tmp_path: Path
) -> None:
    async with Database(postgres.create_database(), tmp_path) as database:
        books = Books(database)
        await books.rename(await books.add("work"), "old")
        waiting = text(
            "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND objid = :key AND NOT granted"
        )
        async with asyncio.timeout(60), asyncio.TaskGroup() as group:
            async with database.write() as connection:
                await connection.execute(select(func.pg_advisory_xact_lock(SUMMING)))
                adding = group.create_task(books.add("work"))
                while not (await connection.execute(waiting, {"key": SUMMING})).scalar_one():
                    assert not adding.done()
            await adding


async def test_whatever_accounts_are_called_each_keeps_what_it_used(database: Database) -> None:
    chance = random.Random(7)
    books = Books(database)
    names = {await books.add(name): name for name in ("a", "b", "c")}
    served: Counter[str] = Counter()
    for _ in range(60):
        account = chance.choice(sorted(names))
        match chance.randrange(4):
            case 0:
                free = sorted({"a", "b", "c", "d", "e"} - set(names.values()))
                names[account] = chance.choice(free)
                await books.rename(account, names[account])
            case 1:
                await books.sum_up()
            case _:
                await books.serve(names[account])
                served[account] += 1
    assert await books.used() == {names[account]: number for account, number in served.items()}
    for account, name in names.items():
        await books.rename(account, f"{name} again")
    assert await books.used() == {f"{names[account]} again": number for account, number in served.items()}
