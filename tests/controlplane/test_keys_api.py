"""Keys of clients in the admin API: made, limited, replaced and revoked, and known to requests at once."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pytest
from attrs import evolve
from hypothesis import example, given
from hypothesis import strategies as st
from sqlalchemy import insert

from gateway.actors.forecast import forecast
from gateway.actors.periods import period_end, period_start
from gateway.actors.terms import PERIODS, KeyLimits, KeyTerms
from gateway.store.client_keys import ClientKeyStore
from gateway.store.engine import Database
from gateway.store.tables import client_keys
from tests import fresh_database
from tests.contract.harness import Served, serving
from tests.controlplane.api_client import ApiClient

TOKEN = "a-token-of-the-operators-own"
DAY = 86_400
KEYS = "/api/v1/keys"


@pytest.fixture
async def running(tmp_path: Path) -> AsyncGenerator[tuple[ApiClient, Served]]:
    """Give a gateway, and a client of its admin API."""
    await fresh_database.lay(tmp_path)
    async with serving(control=True, control_token=TOKEN, data_dir=str(tmp_path)) as served:
        assert served.gateway.control_url is not None
        yield ApiClient(served.gateway.control_url, TOKEN), served


async def status_with(served: Served, key: str) -> int:
    return (await evolve(served, key=key).stream()).status


async def use_of(api: ApiClient, key_id: str) -> dict[str, Any]:
    """Return the use of a key when what its requests used is counted, which is a moment after they end."""
    while not (use := (await api.get(f"{KEYS}/{key_id}/usage"))[1])["key"]["day"]["tokens"]:
        pass
    return use


async def make(api: ApiClient, name: str, **terms: Any) -> dict[str, Any]:
    status, made = await api.post(KEYS, {"name": name, **terms})
    assert status == 201, made
    return made


async def test_a_key_is_shown_once_and_opens_the_gateway_at_once(running: tuple[ApiClient, Served]) -> None:
    api, served = running
    made = await make(api, " laptop ", models=["claude-*"], budget_usd_day=5, requests_per_minute=60)
    secret, key = made["secret"], made["key"]
    assert await status_with(served, secret) == 200
    assert (key["name"], key["state"], key["prefix"]) == ("laptop", "active", secret[:10])
    assert key["limits"]["budget_usd_day"] == 5
    assert made["namesakes"] == []
    for path in (KEYS, f"{KEYS}/{key['id']}", f"{KEYS}/{key['id']}/usage", "/api/v1/budgets"):
        answer = await api.ask("GET", path)
        assert answer.status == 200
        assert secret.encode() not in answer.body
        assert b"digest" not in answer.body
    assert (await make(api, "laptop"))["namesakes"] == [key["id"]]


async def test_what_a_key_may_do_is_changed_while_it_is_used(running: tuple[ApiClient, Served]) -> None:
    api, served = running
    made = await make(api, "ci")
    path, secret = f"{KEYS}/{made['key']['id']}", made["secret"]
    status, key = await api.patch(path, {"models": ["claude-haiku-*"], "name": "build"})
    assert (status, key["name"], key["models"]) == (200, "build", ["claude-haiku-*"])
    assert await status_with(served, secret) == 403
    status, key = await api.patch(path, {"models": [], "budget_tokens_day": 1, "budget_usd_month": 0.1})
    assert (status, key["models"]) == (200, [])
    assert await status_with(served, secret) == 200
    # What is left out stays.
    _, key = await api.patch(path, {"budget_tokens_day": None})
    assert key["limits"]["budget_usd_month"] == 0.1
    assert key["limits"]["budget_tokens_day"] is None
    assert (await use_of(api, made["key"]["id"]))["key"]["day"]["requests"] == 1


async def test_a_replaced_key_is_valid_for_as_long_as_was_said(running: tuple[ApiClient, Served]) -> None:
    api, served = running
    made = await make(api, "ci")
    path = f"{KEYS}/{made['key']['id']}/rotate"
    status, second = await api.post(path, {})
    assert (status, second["key"]["id"]) == (201, made["key"]["id"])
    assert second["key"]["replaced_valid_until"] is None or second["key"]["replaced_valid_until"] > 0
    _, key = await api.get(f"{KEYS}/{made['key']['id']}")
    assert key["replaced_valid_until"] == pytest.approx(key["created_at"] + 3600, abs=60)
    assert [await status_with(served, one["secret"]) for one in (made, second)] == [200, 200]
    _, third = await api.post(path, {"grace_seconds": 0})
    assert [await status_with(served, one["secret"]) for one in (made, second, third)] == [401, 401, 200]


async def test_a_revoked_key_opens_nothing_from_then_on(running: tuple[ApiClient, Served]) -> None:
    api, served = running
    made = await make(api, "gone")
    path = f"{KEYS}/{made['key']['id']}"
    assert (await api.delete(path))[0] == 204
    assert await status_with(served, made["secret"]) == 401
    assert (await api.delete(path))[0] == 204
    _, key = await api.get(path)
    assert key["state"] == "revoked"
    assert (await api.patch(path, {"name": "back"}))[0] == 409
    assert (await api.post(f"{path}/rotate", {}))[0] == 409


async def test_a_key_that_is_named_like_the_id_of_another_is_not_taken_for_it(
    running: tuple[ApiClient, Served],
) -> None:
    api, served = running
    first = await make(api, "first")
    second = await make(api, first["key"]["id"])
    assert (await api.patch(f"{KEYS}/{first['key']['id']}", {"name": "still first"}))[0] == 200
    assert (await api.delete(f"{KEYS}/{first['key']['id']}"))[0] == 204
    assert [await status_with(served, one["secret"]) for one in (first, second)] == [401, 200]
    assert (await api.delete(f"{KEYS}/first"))[0] == 404


async def test_every_change_of_a_key_is_written_down_without_the_key(running: tuple[ApiClient, Served]) -> None:
    api, _ = running
    made = await make(api, "ci", budget_usd_day=5)
    path = f"{KEYS}/{made['key']['id']}"
    await api.patch(path, {"budget_usd_day": None, "concurrent": 2})
    await api.post(f"{path}/rotate", {})
    await api.delete(path)
    _, log = await api.get("/api/v1/audit")
    entries = {entry["action"]: entry for entry in log["entries"] if entry["action"].startswith("key.")}
    assert list(entries) == ["key.revoke", "key.rotate", "key.change", "key.create"]
    assert {entry["target"] for entry in entries.values()} == {"ci"}
    changed = entries["key.change"]
    assert (changed["before"]["budget_usd_day"], changed["after"]["concurrent"]) == (5, 2)
    assert "budget_usd_day" not in changed["after"]


async def test_what_a_key_cannot_have_is_refused_with_a_reason(running: tuple[ApiClient, Served]) -> None:
    api, _ = running
    for body, words in (
        ({}, "name"),
        ({"name": ""}, "name"),
        ({"name": "  "}, "visible characters"),
        ({"name": "tab\there"}, "visible characters"),
        ({"name": "x", "colour": "red"}, "colour"),
        ({"name": "x", "concurrent": 0}, "concurrent"),
        ({"name": "x", "concurrent": 10**16}, "concurrent"),
        ({"name": "x", "budget_usd_day": 0}, "budget_usd_day"),
        ({"name": "x", "budget_usd_day": 1e7}, "budget_usd_day"),
        ({"name": "x", "models": ["\n"]}, "1 to 50 patterns"),
        ({"name": "x", "models": ["a\x07"]}, "visible characters"),
        ({"name": "x", "expires_at": 1000}, "over already"),
        ({"name": "x", "expires_at": 9e10}, "hundred years"),
    ):
        status, answer = await api.post(KEYS, body)
        assert status == 400, body
        assert words in answer["error"]["message"]
    for query in ("after=x", "after=WzEsMl0=", "order=colour", "state=x", "limit=501"):
        assert (await api.get(f"{KEYS}?{query}"))[0] == 400, query
    assert (await api.get(f"{KEYS}/key_0"))[0] == 404


async def test_a_list_of_many_keys_is_read_page_by_page(running: tuple[ApiClient, Served], tmp_path: Path) -> None:
    api, _ = running
    async with Database("", tmp_path) as database:
        store = ClientKeyStore(database)
        now = database.clock()
        await store.create("soon", b"p" * 32, KeyTerms(expires_at=now + DAY))
        await store.create("over", b"p" * 32, KeyTerms(expires_at=now - DAY, limits=KeyLimits(tokens_day=5)))
        (await store.create("50%_off", b"p" * 32))[0]
        rows = [
            {
                "id": f"key_{number:016x}",
                "name": f"many {number}",
                "digest": f"{number:064x}",
                "prefix": "csg_000000",
            }
            | {"created_at": "2026-01-01T00:00:00.000+00:00", "revoked_at": None, "secret_id": None}
            for number in range(1000)
        ]
        async with database.write() as connection:
            await connection.execute(insert(client_keys), rows)
    for order in ("newest", "name", "last_used", "month", "name&reversed=true"):
        found: list[str] = []
        after = ""
        while True:
            status, page = await api.get(f"{KEYS}?limit=500&order={order}{after}")
            assert status == 200
            found += [key["id"] for key in page["keys"]]
            if page["after"] is None:
                break
            after = f"&after={page['after']}"
        assert len(found) == len(set(found)) == 1004
    assert page["counts"] == {"active": 1002, "expiring": 1, "expired": 1, "revoked": 0}

    async def names(query: str) -> list[str]:
        return [key["name"] for key in (await api.get(f"{KEYS}?{query}"))[1]["keys"]]

    assert await names("state=expiring") == ["soon"]
    assert await names("state=expired") == ["over"]
    assert await names("search=%25_O") == ["50%_off"]
    assert await names("search=MANY%20999") == ["many 999"]
    assert await names("search=key_00000000000003e7") == ["many 999"]
    assert await names("order=name&limit=1&state=active") == ["50%_off"]
    await make(api, "ÖZGÜR's laptop")
    for part in ("ÖZGÜR", "özgür", "Özgür'S LAP"):
        assert await names(urlencode({"search": part})) == ["ÖZGÜR's laptop"], part
    assert len(await names("search=csg_000000-and-the-rest-of-it&limit=500")) == 500


async def test_the_use_of_a_key_is_told_by_day_and_model_and_by_budget(
    running: tuple[ApiClient, Served],
) -> None:
    api, served = running
    made = await make(api, "ci", budget_usd_day=1000, budget_tokens_month=10)
    assert await status_with(served, made["secret"]) == 200
    use = await use_of(api, made["key"]["id"])
    assert len(use["days"]) == 30
    assert [one["start"] % DAY for one in use["days"]] == [0] * 30
    budgets = {(one["period"], one["unit"]): one for one in use["budgets"]}
    assert budgets["month", "tokens"]["used"] > 10
    assert budgets["month", "tokens"]["used_up_at"] is not None
    assert budgets["day", "usd"]["limit"] == 1000
    _, listed = await api.get("/api/v1/budgets")
    # What is used up stands first.
    assert [(one["period"], one["key_name"]) for one in listed["budgets"]] == [("month", "ci"), ("day", "ci")]
    assert not listed["has_more"]


async def test_a_request_under_way_is_seen_to_hold_a_part_of_the_budget(
    running: tuple[ApiClient, Served],
) -> None:
    api, served = running
    made = await make(api, "ci", budget_usd_day=1000, concurrent=2)
    path = f"{KEYS}/{made['key']['id']}/usage"
    async with asyncio.TaskGroup() as tasks:
        stream = tasks.create_task(
            evolve(served, key=made["secret"]).stream({"max_tokens": 1000}, fault="hang:event=3")
        )
        while not (held := (await api.get(path))[1]["held"]):
            assert not stream.done(), stream.result()
        assert held[0]["tokens"] >= 1000
        assert held[0]["cost_usd"] > 0
        stream.cancel()


async def test_other_processes_learn_of_a_revoked_key_by_themselves(tmp_path: Path) -> None:
    await fresh_database.lay(tmp_path)
    options: dict[str, Any] = {"control": True, "control_token": TOKEN, "data_dir": str(tmp_path)}
    async with serving(**options) as one, serving(**options) as other:
        assert one.gateway.control_url is not None
        api = ApiClient(one.gateway.control_url, TOKEN)
        made = await make(api, "ci")
        while await status_with(other, made["secret"]) != 200:
            pass
        await api.delete(f"{KEYS}/{made['key']['id']}")
        while await status_with(other, made["secret"]) != 401:
            pass


@given(
    period=st.sampled_from(PERIODS),
    now=st.floats(1.7e9, 2e9),
    used=st.floats(0, 1e6),
    limit=st.floats(1e-6, 1e6),
)
@example(period="month", now=1_767_225_600.0, used=1.0, limit=2.0)
def test_a_budget_is_used_up_when_the_pace_so_far_reaches_it(
    period: str, now: float, used: float, limit: float
) -> None:
    start, end = period_start(period, now), period_end(period, now)
    found = forecast(period, used, limit, now)
    if found is None:
        assert now - start < 0.05 * (end - start)
        return
    assert found.at_end >= used
    if found.used_up_at is None:
        assert found.at_end < limit
        return
    assert now <= found.used_up_at <= end
    if used < limit:
        pace = used / (now - start)
        assert pace * (found.used_up_at - start) == pytest.approx(limit, rel=1e-6)
