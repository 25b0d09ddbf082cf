"""Lists, filters, counts and overviews look at no more rows than they show, however many there are.

How long that takes depends on the machine. What is checked is how many steps SQLite's virtual machine takes: some
ten million a second.
"""

from __future__ import annotations

import asyncio
import sqlite3
import tempfile
from collections.abc import AsyncIterator, Callable
from contextlib import closing
from pathlib import Path
from typing import Any, Final

import pytest
from sqlalchemy import event, text

from gateway.ledger.totals import SUMS
from gateway.store.engine import Database
from gateway.store.facet_queries import FacetQueries
from gateway.store.request_queries import Cursor, RequestFilter, RequestQueries, TotalsFilter

ROWS: Final = 1_000_000
BEGIN: Final = 1_790_000_000
STEPS: Final = 1000  # of the virtual machine, between two looks at their number
MOST_STEPS: Final = 1_500_000  # what a slow machine does in 200 ms

FILL: Final = """
WITH RECURSIVE n(i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM n WHERE i < :rows - 1)
INSERT INTO requests (id, at, route, provider, account, actor_id, actor, model, model_served, stream, outcome,
  status, stop_reason, session, input_tokens, output_tokens, attempts, events, bytes_in, bytes_out, ms_to_content,
  ms, cost_nanousd, summed, ended_at)
SELECT printf('req_%07d', i), :begin + i * 0.7, 'POST /v1/messages',
  CASE WHEN i % 5000 = 7 THEN 'openai' ELSE 'anthropic' END,
  'account' || (i % 10), 'key_' || (i % 50), 'actor ' || (i % 50),
  'claude-' || (i % 5), CASE WHEN i % 100 = 0 THEN NULL ELSE 'claude-' || (i % 5) || '-20260101' END, 1,
  CASE WHEN i % 500 = 3 THEN 'truncated' WHEN i % 700 = 5 THEN 'refused' ELSE 'complete' END,
  200, CASE WHEN i % 10000 = 9 THEN 'refusal' ELSE 'end_turn' END, 'session' || (i / 40),
  100, 20, '[]', 30, 1000, 1000, 800, 4000, 1000000, 1, :begin + i * 0.7 + 4
FROM n
"""
# As the ledger adds them up: one sum for each group and span.
SUM_UP: Final = """
INSERT INTO request_totals
SELECT {span}, CAST(at AS INTEGER) / {span} * {span}, provider, route, account, actor_id,
  coalesce(model_served, model), outcome, stop_reason, count(*), 0, 0, sum(input_tokens), sum(output_tokens), 0, 0,
  0, 0, 0, sum(cost_nanousd), sum(ms), 0, 0, 0
FROM requests GROUP BY 2, 3, 4, 5, 6, 7, 8, 9
"""


def fill(path: Path) -> None:
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute("PRAGMA synchronous = OFF")
        indexes = connection.execute(
            "SELECT name, sql FROM sqlite_master "
            "WHERE type = 'index' AND tbl_name = 'requests' AND sql IS NOT NULL"
        ).fetchall()
        for name, _ in indexes:
            connection.execute(f"DROP INDEX {name}")
        connection.execute(FILL, {"rows": ROWS, "begin": BEGIN})
        for _, made_by in indexes:
            connection.execute(made_by)
        connection.execute(SUM_UP.format(span=86400))


@pytest.fixture(scope="module")
def filled() -> Any:
    """Make the table once; it takes some seconds."""
    with tempfile.TemporaryDirectory() as directory:

        async def lay() -> None:
            async with Database("", Path(directory)):
                pass

        asyncio.run(lay())
        fill(Path(directory) / "gateway.db")
        yield Path(directory)


class Watched:
    """A database that knows how much work its answers were, and how they were found."""

    def __init__(self, database: Database) -> None:
        """Watch what is asked from here on."""
        self.queries = RequestQueries(database)
        self.steps = 0
        self.plans: list[str] = []
        assert database._engine is not None
        event.listen(database._engine.sync_engine, "connect", self._connected)
        event.listen(database._engine.sync_engine, "before_cursor_execute", self._executes)

    def _connected(self, connection: Any, _: Any) -> None:
        connection.run_async(lambda real: real.set_progress_handler(self._step, STEPS))

    def _step(self) -> int:
        self.steps += STEPS
        return 0

    def _executes(self, _: Any, cursor: Any, statement: str, parameters: Any, *__: Any) -> None:
        if statement.lstrip().startswith("SELECT"):
            cursor.execute(f"EXPLAIN QUERY PLAN {statement}", parameters)
            self.plans += [row[3] for row in cursor.fetchall()]

    def check(self) -> None:
        """Check that nothing was looked through from end to end."""
        assert self.plans
        scans = [plan for plan in self.plans if plan.startswith("SCAN requests") and "USING" not in plan]
        assert scans == [], self.plans
        assert self.steps < MOST_STEPS, (self.steps, self.plans)


@pytest.fixture
async def watched(filled: Path) -> AsyncIterator[Watched]:
    async with Database("", filled) as database:
        seen = Watched(database)
        assert database._engine is not None
        await database._engine.dispose()
        yield seen
        seen.check()


FILTERS: Final = {
    "nothing": RequestFilter(),
    "a time": RequestFilter(since=BEGIN + 100_000.0, until=BEGIN + 200_000.0),
    "a session": RequestFilter(session="session777"),
    "an account": RequestFilter(account="account3"),
    "an actor": RequestFilter(actor="key_17"),
    "a model": RequestFilter(model="claude-2"),
    "what went wrong": RequestFilter(outcomes=frozenset({"truncated", "refused", "violation"})),
    "what was not the client's doing": RequestFilter(went_wrong=True),
    "the same of an account": RequestFilter(went_wrong=True, account="account3"),
    "the same of a session": RequestFilter(went_wrong=True, session="session12"),
    "an account that was tried": RequestFilter(tried="account3"),
    "models by a pattern": RequestFilter(model="claude-?"),
    "a pattern of no model": RequestFilter(model="*nothing*"),
    "an outcome of an account": RequestFilter(outcomes=frozenset({"truncated"}), account="account3"),
    "a model of an actor": RequestFilter(model="claude-2", actor="key_17"),
    "what no index has": RequestFilter(stop_reason="refusal"),
    "a provider that is rarely asked": RequestFilter(provider="openai"),
    "nobody": RequestFilter(actor="nobody"),
}


async def test_what_looks_at_every_row_would_be_noticed(filled: Path) -> None:
    async with Database("", filled) as database:
        watched = Watched(database)
        assert database._engine is not None
        await database._engine.dispose()
        async with database.read() as connection:
            await connection.execute(text("SELECT count(*) FROM requests WHERE reason = 'x'"))
        assert watched.steps > MOST_STEPS
        with pytest.raises(AssertionError):
            watched.check()


def test_there_are_a_million(filled: Path) -> None:
    with closing(sqlite3.connect(filled / "gateway.db")) as connection:
        assert connection.execute("SELECT count(*) FROM requests").fetchone() == (ROWS,)


@pytest.mark.parametrize("name", FILTERS)
async def test_a_page_is_there_at_once(watched: Watched, name: str) -> None:
    page = await watched.queries.page(FILTERS[name], limit=50)
    assert name == "nobody" or page.rows or page.after is not None
    assert [row.at for row in page.rows] == sorted((row.at for row in page.rows), reverse=True)


@pytest.mark.parametrize("name", FILTERS)
async def test_so_is_one_from_the_middle(watched: Watched, name: str) -> None:
    middle = Cursor(BEGIN + 350_000.0, "")
    page = await watched.queries.page(FILTERS[name], limit=50, after=middle)
    assert all(row.at < middle.at for row in page.rows)


@pytest.mark.parametrize("name", FILTERS)
async def test_and_so_is_how_many_there_are_as_far_as_anyone_counts(watched: Watched, name: str) -> None:
    count = await watched.queries.count(FILTERS[name])
    assert count.is_exact or count.number <= ROWS


async def test_and_so_is_what_ended_lately(watched: Watched) -> None:
    last = BEGIN + ROWS * 0.7
    ended = await watched.queries.ended_since(RequestFilter(provider="anthropic"), last - 100, most=9000)
    assert 100 <= len(ended) <= 200
    rows = await watched.queries.by_ids(list(ended))
    assert {row.id: row.ended_at for row in rows} == ended


async def test_and_so_is_what_they_can_be_told_apart_by(watched: Watched) -> None:
    found = await FacetQueries(watched.queries.database).read()
    assert found.accounts == [f"account{number}" for number in range(10)]
    dated = (f"claude-{number}-20260101" for number in range(5))
    assert found.models == sorted([*dated, *(f"claude-{number}" for number in range(5))])
    assert (found.routes, found.stop_reasons) == (["POST /v1/messages"], ["end_turn"])


@pytest.mark.parametrize("by", [(), ("start",), ("model",), ("start", "account"), ("actor_id",), ("outcome",)])
async def test_and_an_overview_of_all_of_it(watched: Watched, by: tuple[str, ...]) -> None:
    rows = await watched.queries.totals(86400, BEGIN - 86400, BEGIN + ROWS, by=by)
    assert sum(row["requests"] for row in rows) == ROWS
    assert sum(row["cost_nanousd"] for row in rows) == ROWS * 1_000_000
    assert set(SUMS) <= set(rows[0])


async def test_and_one_of_an_account(watched: Watched) -> None:
    wanted = TotalsFilter(account="account3")
    (row,) = await watched.queries.totals(86400, BEGIN - 86400, BEGIN + ROWS, wanted=wanted)
    assert row["requests"] == ROWS // 10


async def test_and_one_request(watched: Watched) -> None:
    found = await watched.queries.get("req_0500000")
    assert found is not None
    assert found.session == "session12500"
    assert await watched.queries.get("req_upstream") is None


async def test_pages_go_through_everything_once(filled: Path) -> None:
    async def walk(wanted: RequestFilter, is_wanted: Callable[[int], bool], numbers: range) -> None:
        found: list[str] = []
        after: Cursor | None = None
        while True:
            page = await queries.page(wanted, limit=1000, after=after)
            found += [row.id for row in page.rows]
            if page.after is None:
                break
            after = page.after
        assert found == [f"req_{number:07}" for number in reversed(numbers) if is_wanted(number)]

    async with Database("", filled) as database:
        queries = RequestQueries(database)
        await walk(RequestFilter(provider="openai"), lambda i: i % 5000 == 7, range(ROWS))
        since, until = BEGIN + 100_000 * 0.7, BEGIN + 110_000 * 0.7
        some = range(100_000, 110_000)
        await walk(RequestFilter(since=since, until=until, model="claude-2"), lambda i: i % 5 == 2, some)
        broken = frozenset({"truncated", "refused"})
        await walk(
            RequestFilter(since=since, until=until, outcomes=broken),
            lambda i: i % 500 == 3 or i % 700 == 5,
            some,
        )
