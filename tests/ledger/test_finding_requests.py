"""What a filter of requests takes, in both databases."""

from __future__ import annotations

from typing import Any

import pytest

from gateway.ledger.record import AttemptRecord
from gateway.ledger.row import RequestRow
from gateway.store.client_keys import ClientKeyStore
from gateway.store.engine import Database
from gateway.store.request_queries import RequestFilter, RequestQueries, TotalsFilter
from gateway.store.request_totals import RequestTotals
from gateway.store.requests import RequestStore
from tests.ledger.writing import make_record

LATER = 4_000_000_000.0


async def put(database: Database, *records: Any) -> None:
    await RequestStore(database).insert([RequestRow.of(record).columns() for record in records])


async def taken(database: Database, **wanted: Any) -> set[str]:
    """Return what is taken, having looked whether as many are counted."""
    queries = RequestQueries(database)
    found = {row.id for row in (await queries.page(RequestFilter(**wanted), limit=100)).rows}
    count = await queries.count(RequestFilter(**wanted))
    assert (count.number, count.is_exact) == (len(found), True)
    return found


async def test_what_went_wrong_is_not_what_clients_did_wrong(database: Database) -> None:
    told = [
        ("complete", 200),
        ("cancelled", 499),
        ("truncated", 200),
        ("violation", 200),
        ("upstream_error", 502),
        ("failed", 500),
        *(("refused", status) for status in (400, 404, 413, 429, 500, 529)),
        *(("rejected", status) for status in (400, 401, 404, 405, 429, 503, 529)),
        ("refused", 200),  # behind the head of a stream that was held
        ("refused", None),
    ]
    records = [
        make_record(number, id=f"{number}: {outcome} {status}", outcome=outcome, status=status, session="s")
        for number, (outcome, status) in enumerate(told)
    ]
    await put(database, *records)
    expected = {
        *("truncated 200", "violation 200", "upstream_error 502", "failed 500", "refused 429", "refused 500"),
        *("refused 529", "rejected 503", "rejected 529", "refused 200", "refused None"),
    }
    for more in ({}, {"session": "s"}, {"actor": "laptop"}):
        found = await taken(database, went_wrong=True, **more)
        assert {name.partition(": ")[2] for name in found} == expected
    both = await taken(database, went_wrong=True, outcomes=frozenset({"rejected", "complete"}))
    assert {name.partition(": ")[2] for name in both} == {"rejected 503", "rejected 529"}


@pytest.mark.parametrize("name", ["red", 'a "quoted" one', "hundred %", "under_score", "Grün", "\\"])
async def test_an_account_that_was_tried_is_found_by_its_very_name(database: Database, name: str) -> None:
    tries = [AttemptRecord(name, "overload", 529, 7), AttemptRecord("other", None, 200, 12)]
    await put(
        database,
        make_record(0, attempts=tries, account="other"),
        make_record(1, attempts=tries[:1], account=None, outcome="refused", status=529),
        make_record(2, attempts=tries[1:], account="other"),
        make_record(3, attempts=[AttemptRecord(name + "x")], outcome="failed"),
        make_record(4, attempts=[AttemptRecord(name.upper() + name.lower())], outcome="failed"),
    )
    assert await taken(database, tried=name) == {"req_0", "req_1"}
    assert await taken(database, tried=name, went_wrong=True) == {"req_1"}


@pytest.mark.parametrize(
    ("pattern", "expected"),
    [
        ("claude-opus-*", {"req_0", "req_1"}),
        ("CLAUDE-*", {"req_0", "req_1", "req_2"}),
        ("claude-opus-?-5", {"req_0", "req_1"}),
        ("claude_opus*", set()),
        ("*%*", {"req_3"}),
        ("a/b*", {"req_3"}),
        ("claude-opus-5-5", {"req_0"}),
    ],
)
async def test_models_are_found_by_patterns(database: Database, pattern: str, expected: set[str]) -> None:
    names = ("claude-opus-5-5", "claude-haiku-5-5", "claude-haiku-5-5", "a/b%c")
    served = ("claude-opus-5-5", "claude-opus-4-5", None, None)
    records = [
        make_record(number, model=model, model_served=answered)
        for number, (model, answered) in enumerate(zip(names, served, strict=True))
    ]
    await put(database, *records)
    assert await taken(database, model=pattern) == expected
    while await RequestTotals(database).sum_up(100):
        pass
    rows = await RequestQueries(database).totals(
        86400, 0, LATER, by=["model"], wanted=TotalsFilter(model="Claude-*", outcome=frozenset({"complete"}))
    )
    assert [row["model"] for row in rows] == ["claude-haiku-5-5", "claude-opus-4-5", "claude-opus-5-5"]


async def test_requests_are_found_by_when_they_ended(database: Database) -> None:
    await put(
        database,
        make_record(0, at=1000.0, milliseconds=50_000),
        make_record(1, at=1010.0, milliseconds=5_000),
        make_record(2, at=1049.0, milliseconds=None),
        make_record(3, at=1050.0, milliseconds=None),
    )
    queries = RequestQueries(database)
    assert await queries.ended_since(RequestFilter(), 1050.0, most=9) == {"req_0": 1050.0, "req_3": 1050.0}
    assert await queries.ended_since(RequestFilter(actor="nobody"), 0.0, most=9) == {}
    assert await queries.ended_since(RequestFilter(), 1020.0, most=1) in ({"req_0": 1050.0}, {"req_3": 1050.0})


async def test_keys_are_known_by_their_names_also_when_they_are_revoked(database: Database) -> None:
    store = ClientKeyStore(database)
    first, _ = await store.create("ci", b"pepper" * 8)
    await store.revoke(first.id)
    second, _ = await store.create("ci", b"pepper" * 8)
    third, _ = await store.create("laptop", b"pepper" * 8)
    queries = RequestQueries(database)
    assert await queries.actor_names() == {first.id: "ci", second.id: "ci", third.id: "laptop"}
    assert set(await queries.actor_ids("ci")) == {first.id, second.id}
    assert await queries.actor_ids(third.id) == [third.id]
    assert await queries.account_names() == []


async def test_what_is_in_no_sum_yet_is_counted(database: Database) -> None:
    await put(database, make_record(0), make_record(1))
    queries = RequestQueries(database)
    assert (await queries.unsummed()).number == 2
    while await RequestTotals(database).sum_up(100):
        pass
    assert (await queries.unsummed()).number == 0
