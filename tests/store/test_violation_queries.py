"""Which rules were broken is known from the newest requests that broke one, in either database."""

from __future__ import annotations

from typing import Any

import pytest
from sqlalchemy import insert

from gateway.store import violation_queries
from gateway.store.engine import Database
from gateway.store.tables import requests
from gateway.store.violation_queries import ViolationQueries

BOUND = 5


def row(number: int, outcome: str = "violation", code: str | None = None) -> dict[str, Any]:
    """Return a request, made `number` seconds after the first."""
    same: dict[str, Any] = {
        "route": "POST /v1/messages",
        "provider": "anthropic",
        "stream": True,
        "attempts": "[]",
    }
    same |= {"events": 1, "bytes_in": 1, "bytes_out": 1}
    return {"id": f"req_{number:04}", "at": 1000.0 + number, "outcome": outcome, "code": code, **same}


async def keep(database: Database, *rows: dict[str, Any]) -> None:
    async with database.write() as connection:
        await connection.execute(insert(requests), rows)


async def test_rules_are_counted_the_most_broken_first_with_the_newest_requests(database: Database) -> None:
    await keep(
        database,
        row(0, code="old"),
        row(1, code="a_rule"),
        row(2, "complete"),
        row(3, "truncated"),
        *(row(number, code="another_rule") for number in (4, 5, 6)),
        row(7),
    )
    found = await ViolationQueries(database).since(1001.0, examples=2)
    assert [(one.code, one.number) for one in found.seen] == [("another_rule", 3), ("", 1), ("a_rule", 1)]
    assert [example.id for example in found.seen[0].examples] == ["req_0006", "req_0005"]
    assert found.is_exact


async def test_where_there_are_more_than_are_looked_at_that_is_said_and_not_before(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(violation_queries, "_LOOKED_AT", BOUND)
    await keep(database, *(row(number, code="a_rule") for number in range(BOUND)))
    found = await ViolationQueries(database).since(0.0, examples=1)
    assert (found.seen[0].number, found.is_exact) == (BOUND, True)
    await keep(database, row(BOUND, code="a_rule"))
    found = await ViolationQueries(database).since(0.0, examples=1)
    assert (found.seen[0].number, found.is_exact) == (BOUND, False)
