"""What the admin API says was used, what it cost and what the prompt cache saved."""

from __future__ import annotations

import csv
import io
from collections.abc import AsyncGenerator
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.controlplane.usage_views import cache_report
from gateway.ledger.record import SwitchRecord
from gateway.ledger.row import RequestRow
from gateway.ledger.sums import Period
from gateway.pricing.book import PriceBook
from gateway.pricing.cost import Cost, cost_of_many
from gateway.pricing.usage import Usage
from gateway.store.client_keys import ClientKeyStore
from gateway.store.engine import Database
from gateway.store.request_totals import RequestTotals
from gateway.store.requests import RequestStore
from tests import fresh_database
from tests.cli_requests.filling import NOW, a_request
from tests.contract.harness import serving
from tests.controlplane.api_client import ApiClient

TOKEN = "a-token-of-the-operators-own"
DAY = 86_400
THEN = (NOW // DAY - 1) * DAY + DAY / 2
"""Yesterday at noon in UTC, so that no test is at it when a day begins."""
PRICES = PriceBook.load()


async def fill(directory: Path) -> dict[str, str]:
    """Put requests of two keys into a gateway's database and add them up; return the ids of the keys by name."""
    async with Database("", directory) as database:
        store = ClientKeyStore(database)
        ids = {name: (await store.create(name, b"pepper" * 8))[0].id for name in ("ci", "=laptop()")}
        ci = {"actor": "ci", "actor_id": ids["ci"]}
        laptop = {"actor": "=laptop()", "actor_id": ids["=laptop()"]}
        unknown = {
            "model": "claude-saga-9",
            "model_served": None,
            "cost": Cost(nanousd=None, note="unknown model"),
        }
        records = [
            a_request(1, at=THEN, account="red", **ci),
            a_request(2, at=THEN, account="green", switch=SwitchRecord("red", "overload", 1000, 0.5), **laptop),
            a_request(3, at=THEN, outcome="truncated", cost=Cost(nanousd=9_000_000, note="partial"), **laptop),
            a_request(4, at=THEN, **unknown, **laptop),
            a_request(5, at=THEN - 5 * DAY, account="red", **ci),
        ]
        rows = [RequestRow.of(record).columns() for record in records]
        await RequestStore(database).insert(rows, [])
        while await RequestTotals(database).sum_up(1000):
            pass
    return ids


@pytest.fixture
async def served(tmp_path: Path) -> AsyncGenerator[tuple[ApiClient, dict[str, str]]]:
    """Give a client of a gateway that has had some requests, and the ids of its keys."""
    await fresh_database.lay(tmp_path)
    ids = await fill(tmp_path)
    async with serving(control=True, control_token=TOKEN, data_dir=str(tmp_path)) as running:
        assert running.gateway.control_url is not None
        yield ApiClient(running.gateway.control_url, TOKEN), ids


async def test_use_is_told_by_day_and_by_whatever_else_was_asked_for(
    served: tuple[ApiClient, dict[str, str]],
) -> None:
    api, ids = served
    status, report = await api.get("/api/v1/usage?by=actor")
    assert status == 200
    assert [(group["actor"], group["actor_id"], group["sums"]["requests"]) for group in report["groups"]] == [
        ("ci", ids["ci"], 2),
        ("=laptop()", ids["=laptop()"], 3),
    ]
    total = report["total"]
    assert (total["requests"], total["errors"], total["partial"], total["unpriced"]) == (5, 1, 1, 1)
    assert total["cost_usd"] == pytest.approx(3 * 0.018 + 0.009)
    assert (total["switches"], total["switch_usd"], total["cached_share"]) == (1, 0.5, 0.75)
    assert report["since"] % DAY == 0
    _, report = await api.get("/api/v1/usage?by=day&by=model")
    days = [(group["start"], group["model"], group["has_price"]) for group in report["groups"]]
    day = THEN - DAY / 2
    assert days == [
        (day - 5 * DAY, "claude-opus-5-5", True),
        (day, "claude-opus-5-5", True),
        (day, "claude-saga-9", False),
    ]
    _, report = await api.get(f"/api/v1/usage?by=hour&since={THEN - 7200}")
    assert report["span_seconds"] == 3600
    assert sum(group["sums"]["requests"] for group in report["groups"]) == 4


async def test_what_is_summed_can_be_chosen(served: tuple[ApiClient, dict[str, str]]) -> None:
    expected: list[tuple[dict[str, Any], int]] = [
        ({"actor": "ci"}, 2),
        ({"actor": "nobody"}, 0),
        ({"account": "red"}, 2),
        ({"model": "claude-saga-*"}, 1),
        ({"outcome": ["truncated", "refused"]}, 1),
        ({"provider": "openai"}, 0),
        ({"since": THEN - 2 * DAY}, 4),
        ({"until": THEN - 3 * DAY}, 1),
    ]
    for query, number in expected:
        status, report = await served[0].get(f"/api/v1/usage?by=model&{urlencode(query, doseq=True)}")
        assert status == 200
        assert sum(group["sums"]["requests"] for group in report["groups"]) == number, query
        assert report["total"]["requests"] == number


async def test_the_dearest_groups_come_first_and_it_is_said_that_there_are_more(
    served: tuple[ApiClient, dict[str, str]],
) -> None:
    api, _ = served
    _, report = await api.get("/api/v1/usage?by=actor&limit=1")
    assert [group["actor"] for group in report["groups"]] == ["ci"]
    assert report["has_more"]
    assert report["total"]["requests"] == 5


async def test_a_chart_gets_those_that_cost_most_and_the_rest_together(
    served: tuple[ApiClient, dict[str, str]],
) -> None:
    status, report = await served[0].get("/api/v1/usage?by=day&by=actor&top=1")
    assert status == 200
    day = THEN - DAY / 2
    found = {
        (group["start"], group.get("actor"), group.get("is_rest", False)): group["sums"]["requests"]
        for group in report["groups"]
    }
    assert found == {(day - 5 * DAY, "ci", False): 1, (day, "ci", False): 1, (day, None, True): 3}
    assert not report["has_more"]
    assert (await served[0].get("/api/v1/usage?by=actor&top=1"))[0] == 400


async def test_a_chart_is_told_that_times_are_left_out_of_the_rest_too(tmp_path: Path) -> None:
    dear = Cost(nanousd=10**9, note=None)
    records = [
        a_request(1, at=THEN - DAY, model="claude-opus-5-5", model_served=None, cost=dear),
        a_request(2, at=THEN, model="claude-haiku-5-5", model_served=None),
    ]
    async with Database("", tmp_path) as database:
        await RequestStore(database).insert([RequestRow.of(record).columns() for record in records], [])
        await RequestTotals(database).sum_up(100)
    async with serving(control=True, control_token=TOKEN, data_dir=str(tmp_path)) as running:
        assert running.gateway.control_url is not None
        api = ApiClient(running.gateway.control_url, TOKEN)
        for limit, has_more in ((2, False), (1, True)):
            _, report = await api.get(f"/api/v1/usage?by=day&by=model&top=1&limit={limit}&since={THEN - 2 * DAY}")
            assert report["has_more"] is has_more


async def test_what_makes_no_sense_is_refused_with_a_reason(served: tuple[ApiClient, dict[str, str]]) -> None:
    for query, words in (
        ("by=colour", "Invalid enum value"),
        ("by=day&by=hour", "day or hour, not both"),
        ("by=day&by=model&by=actor", "two dimensions"),
        ("since=x", "since"),
        ("since=nan", "since"),
        ("since=9999999999", "must be a time that has been"),
        ("since=20&until=10", "before `until`"),
        ("limit=0", "limit"),
        ("colour=red", "no parameter `colour`"),
    ):
        status, answer = await served[0].get(f"/api/v1/usage?{query}")
        assert status == 400, query
        assert words in answer["error"]["message"]


async def test_a_spreadsheet_gets_the_same_and_takes_no_name_for_a_formula(
    served: tuple[ApiClient, dict[str, str]],
) -> None:
    api, _ = served
    answer = await api.ask("GET", "/api/v1/usage.csv?by=day&by=actor")
    assert answer.headers["content-type"] == "text/csv; charset=utf-8"
    assert answer.headers["content-disposition"] == 'attachment; filename="usage-day-actor.csv"'
    rows = list(csv.DictReader(io.StringIO(answer.body.decode())))
    day = datetime.fromtimestamp(THEN, UTC).date().isoformat()
    assert sorted((row["day"] == day, row["actor"], row["requests"]) for row in rows) == [
        (False, "ci", "1"),
        (True, "'=laptop()", "3"),
        (True, "ci", "1"),
    ]
    assert sum(float(row["cost_usd"]) for row in rows) == pytest.approx(3 * 0.018 + 0.009)
    answer = await api.ask("GET", "/api/v1/usage.csv")
    (row,) = csv.DictReader(io.StringIO(answer.body.decode()))
    assert row["requests"] == "5"


async def test_what_the_cache_saved_is_told_by_day_and_model(served: tuple[ApiClient, dict[str, str]]) -> None:
    status, report = await served[0].get("/api/v1/usage/cache")
    assert status == 200
    # 3,000 tokens read at $0.20 rather than $4 a million, in each of four requests.
    saved = 3000 * (4 - 0.2) / 1e6
    assert report["total"]["hit_share"] == 0.75
    assert report["total"]["saved_usd"] == pytest.approx(4 * saved)
    assert not report["total"]["is_priced"]
    by_model = {group["model"]: (group["saved_usd"], group["is_priced"]) for group in report["by_model"]}
    assert by_model == {"claude-opus-5-5": (pytest.approx(4 * saved), True), "claude-saga-9": (0, False)}
    assert [group["saved_usd"] for group in report["by_time"]] == [pytest.approx(saved), pytest.approx(3 * saved)]
    _, report = await served[0].get(f"/api/v1/usage/cache?span=hour&since={THEN - 3600}")
    assert report["span_seconds"] == 3600


COUNTS = st.integers(0, 10**9)


@given(read=COUNTS, short=COUNTS, long=COUNTS, fresh=COUNTS)
def test_what_was_saved_is_what_it_would_have_cost_without_a_cache_less_what_it_cost(
    read: int, short: int, long: int, fresh: int
) -> None:
    row: dict[str, Any] = {
        "start": 1_795_000_000 // DAY * DAY,
        "provider": "anthropic",
        "model": "claude-opus-5-5",
        "input_tokens": fresh,
        "cache_read_tokens": read,
        "cache_write_5m_tokens": short,
        "cache_write_1h_tokens": long,
    }
    report = cache_report([row], Period(0, 1, DAY), PRICES, has_more=False)

    def cost(**counts: Any) -> Decimal:
        found = cost_of_many(Usage(**counts), model=row["model"], prices=PRICES, at=row["start"], prompt_tokens=0)
        assert found is not None
        return found

    without = cost(input_tokens=fresh + read + short + long)
    with_cache = cost(
        input_tokens=fresh,
        cache_read_tokens=read,
        cache_write_tokens=short + long,
        cache_write_5m_tokens=short,
        cache_write_1h_tokens=long,
    )
    assert report.total.saved_usd == pytest.approx(float(without - with_cache))
