"""A row of the database that nobody can read keeps nobody from all others."""

from __future__ import annotations

import csv
import io
import json
import sqlite3
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import pytest

from gateway.cli import main
from gateway.ledger.record import AttemptRecord
from gateway.ledger.row import RequestRow
from gateway.store.engine import Database
from gateway.store.request_following import Follower
from gateway.store.request_queries import RequestFilter, RequestQueries
from gateway.store.request_totals import RequestTotals
from gateway.store.requests import RequestStore
from gateway.store.tables import requests
from tests.cli_requests.filling import a_request, put
from tests.controlplane.api_client import ApiClient
from tests.dashboard.site import gateway_site

BYTES: Final = "x'ff00fe'"
NONSENSE: Final = ("CAST(x'c328' AS TEXT)", "'nonsense'", "1e300", "-1", "''")
"""Text that is no UTF-8, text, and numbers: as SQL."""
COLUMNS: Final = tuple(name for name in RequestRow.__annotations__ if name in requests.columns and name != "id")
DAMAGE: Final = [
    *((name, BYTES) for name in COLUMNS),
    *((name, NONSENSE[number % len(NONSENSE)]) for number, name in enumerate(COLUMNS)),
    *(("at", value) for value in NONSENSE),
    *(("cost_nanousd", value) for value in NONSENSE),
]


def damage(database: Path, changes: dict[str, tuple[str, str]]) -> None:
    """Write nonsense into rows: by id, into which column what."""
    with sqlite3.connect(database) as connection:
        for request_id, (column, value) in changes.items():
            connection.execute(f"UPDATE requests SET {column} = {value} WHERE id = ?", (request_id,))  # noqa: S608
    connection.close()


def records() -> list[Any]:
    """Return a request for each kind of damage, and one that stays whole between any two."""
    attempts, now = [AttemptRecord("red")], datetime.now(UTC).timestamp()
    return [
        a_request(number, at=now - number / 10, session="5f1c", attempts=attempts)
        for number in range(2 * len(DAMAGE))
    ]


CHANGES: Final = {f"req_{2 * number}": change for number, change in enumerate(DAMAGE)}


async def test_each_page_and_file_shows_a_damaged_row_as_such_and_all_others_as_they_are() -> None:
    async with gateway_site(traffic=False) as site:
        client = ApiClient(site.url, site.token)
        rows = [RequestRow.of(record).columns() for record in records()]
        await RequestStore(site.database).insert(rows)
        damage(site.settings.data_path / "gateway.db", CHANGES)
        while await RequestTotals(site.database).sum_up(100):
            pass
        found: dict[str, dict[str, Any]] = {}
        after = ""
        while after is not None:
            status, page = await client.get(f"/api/v1/requests?limit=50{after and f'&after={after}'}")
            assert status == 200, page
            found |= {one["id"]: one for one in page["requests"]}
            after = page["after"]
        # What has no time has no place in a list by time.
        timeless = {f"req_{2 * n}" for n, change in enumerate(DAMAGE) if change[0] == "at"}
        assert set(found) | timeless == {row["id"] for row in rows}
        assert all(found[f"req_{2 * number + 1}"]["damage"] is None for number in range(len(DAMAGE)))
        damaged = {one["id"]: one["damage"] for one in found.values() if one["damage"] is not None}
        for request_id, (column, value) in CHANGES.items():
            # Of a column that says yes or no anything is taken for one of both.
            if value is BYTES and request_id not in timeless and column != "stream":
                assert damaged[request_id] == f"this row cannot be read: nonsense in {column}"
        for request_id in CHANGES:
            status, detail = await client.get(f"/api/v1/requests/{request_id}")
            assert status == 200, detail
            assert detail["request"]["damage"] == damaged.get(request_id) or request_id in timeless
        assert (await client.get("/api/v1/requests/req_0/timeline"))[0] == 200

        file = (await client.ask("GET", "/api/v1/requests.csv")).body.decode()
        exported = {row["id"]: row["damage"] for row in csv.DictReader(io.StringIO(file))}
        assert {request_id: text for request_id, text in exported.items() if text} == damaged
        for path in (
            "/api/v1/requests/count?session=5f1c",
            "/api/v1/requests?tried=red&went_wrong=true",
            "/api/v1/requests?outcome=violation",
            "/api/v1/facets",
            "/api/v1/overview",
            "/api/v1/accounts",
            "/api/v1/usage?by=model&by=day",
            "/api/v1/usage?by=actor",
            "/api/v1/usage.csv?by=account",
            "/api/v1/usage/cache",
            "/api/v1/budgets",
            "/api/v1/machine/violations",
        ):
            answer = await client.ask("GET", path)
            assert answer.status == 200, (path, answer.body)
        _, usage = await client.get("/api/v1/usage?by=model")
        assert usage["waiting"] == 0
        assert usage["total"]["requests"] >= len(DAMAGE)
        assert await Follower(RequestQueries(site.database), RequestFilter()).look()


def test_commands_show_a_damaged_row_as_such_and_all_others_as_they_are(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("GATEWAY_DATA_DIR", str(tmp_path))
    put(tmp_path, records(), is_summed=False)
    damage(tmp_path / "gateway.db", CHANGES)
    assert main(["requests", "list", "--json", "--limit", "100000"]) == 0
    listed = json.loads(capsys.readouterr().out)
    assert {row["id"] for row in listed} >= {f"req_{2 * number + 1}" for number in range(len(DAMAGE))}
    assert "this row cannot be read: nonsense in attempts" in {row["damage"] for row in listed}
    assert main(["requests", "list", "--limit", "100000"]) == 0
    assert "this row cannot be read" in capsys.readouterr().out
    for request_id in [request_id for request_id, (_, value) in CHANGES.items() if value is BYTES][::6]:
        assert main(["requests", "show", request_id]) == 0
    assert "damaged:         this row cannot be read: nonsense in " in capsys.readouterr().out
    for arguments in (
        ["requests", "export", "--format", "csv"],
        ["requests", "export"],
        ["requests", "summary", "--since", "24h"],
        ["usage"],
        ["costs", "recompute", "--all"],
    ):
        assert main(arguments) == 0, arguments
        capsys.readouterr()


async def test_a_row_whose_id_is_damaged_is_summed_once(tmp_path: Path) -> None:
    async with Database("", tmp_path) as database:
        await RequestStore(database).insert([RequestRow.of(a_request(number)).columns() for number in range(3)])
        damage(tmp_path / "gateway.db", {"req_0": ("id", "x'ff00'"), "req_1": ("id", "CAST(x'c328' AS TEXT)")})
        totals, queries = RequestTotals(database), RequestQueries(database)
        assert [await totals.sum_up(100) for _ in range(2)] == [3, 0]
        (total,) = await queries.totals(86400, 0, 2**40)
        assert total["requests"] == 3
        page = await queries.page(RequestFilter(), limit=10)
        assert [row.id for row in page.rows] == ["x'ff00'", "\\xc3(", "req_2"]
        assert [row.damage for row in page.rows] == ["this row cannot be read: nonsense in id", None, None]
