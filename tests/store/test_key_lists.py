"""Lists of client keys are complete, in order and say of each key what it is good for."""

from __future__ import annotations

import itertools

import pytest

from gateway.actors.limits import Asked, Batch
from gateway.actors.terms import KeyLimits, KeyTerms
from gateway.actors.use import Reservation, Spent
from gateway.ledger.row import RequestRow
from gateway.pricing.cost import Cost
from gateway.store.client_keys import ClientKeyStore
from gateway.store.engine import Database
from gateway.store.key_lists import KeyLists, KeyOrder, KeyState, state_of
from gateway.store.key_use import KeyUseStore
from gateway.store.request_queries import RequestQueries
from gateway.store.request_totals import RequestTotals
from gateway.store.requests import RequestStore
from tests.cli_requests.filling import a_request

DAY = 86_400
PEPPER = b"p" * 32


@pytest.fixture
async def ids(database: Database) -> dict[str, str]:
    """Put keys into the database that have used up a part of their budgets; return their ids by name."""
    store, now = ClientKeyStore(database), database.clock()
    terms = {
        "plain": KeyTerms(),
        "Half": KeyTerms(limits=KeyLimits(nanousd_day=100, concurrent=1)),
        "most": KeyTerms(limits=KeyLimits(nanousd_month=1000, tokens_week=10)),
        "soon": KeyTerms(expires_at=now + DAY, limits=KeyLimits(tokens_month=1000)),
        "over": KeyTerms(expires_at=now - DAY, limits=KeyLimits(tokens_month=1)),
        "gone_%": KeyTerms(limits=KeyLimits(tokens_month=1)),
    }
    found = {name: (await store.create(name, PEPPER, term))[0].id for name, term in terms.items()}
    await store.revoke("gone_%")
    today = int(now // DAY) * DAY
    spent = {
        (found["Half"], today): Spent(1, 5, 50),
        (found["most"], today): Spent(1, 9, 3),
        (found["soon"], today): Spent(1, 100, 0),
        (found["over"], today): Spent(1, 100, 70),
        # Of a month that is over, so that it counts for nothing but the total.
        (found["plain"], today - 400 * DAY): Spent(1, 1, 10**6),
    }
    await KeyUseStore(database).apply(Batch("test", 1, spent=spent), now)
    return found


async def test_pages_together_have_all_keys_in_order(database: Database, ids: dict[str, str]) -> None:
    lists = KeyLists(database)
    for order, is_reversed in itertools.product(KeyOrder, (False, True)):
        found, after = [], None
        while True:
            page = await lists.page(limit=2, order=order, is_reversed=is_reversed, after=after)
            assert len(page.keys) <= 2
            found += [listed.key.id for listed in page.keys]
            if (after := page.after) is None:
                break
        assert sorted(found) == sorted(ids.values()), order
        every = await lists.page(limit=50, order=order, is_reversed=is_reversed)
        assert [listed.key.id for listed in every.keys] == found
    by_name = await lists.page(limit=50, order=KeyOrder.NAME)
    assert [listed.key.name for listed in by_name.keys] == ["gone_%", "Half", "most", "over", "plain", "soon"]
    (dearest, *_) = (await lists.page(limit=50, order=KeyOrder.MONTH)).keys
    assert dearest.key.name == "over"


async def test_keys_are_found_by_state_name_id_and_the_key_itself(database: Database, ids: dict[str, str]) -> None:
    lists = KeyLists(database)

    async def names(*states: KeyState, search: str = "") -> set[str]:
        page = await lists.page(limit=50, states=states, search=search)
        now = database.clock()
        assert not states or {state_of(listed.key, now) for listed in page.keys} <= set(states)
        return {listed.key.name for listed in page.keys}

    assert await names(KeyState.ACTIVE) == {"plain", "Half", "most"}
    assert await names(KeyState.EXPIRING, KeyState.EXPIRED) == {"soon", "over"}
    assert await names(KeyState.REVOKED) == {"gone_%"}
    assert await lists.counts() == {
        KeyState.ACTIVE: 3,
        KeyState.EXPIRING: 1,
        KeyState.EXPIRED: 1,
        KeyState.REVOKED: 1,
    }
    assert await names(search="HAL") == {"Half"}
    assert await names(search="_%") == {"gone_%"}
    assert await names(search=ids["soon"]) == {"soon"}
    (listed,) = await lists.some([ids["plain"], "key_of_nobody"])
    assert await names(search=f"{listed.key.prefix}and-what-nobody-may-keep") == {"plain"}


async def test_those_come_first_that_have_least_left_of_a_budget(database: Database, ids: dict[str, str]) -> None:
    lists = KeyLists(database)
    nearest = await lists.nearest_to_budget(limit=50)
    assert [listed.key.name for listed in nearest] == ["most", "Half", "soon"]
    assert [listed.key.id for listed in await lists.nearest_to_budget(limit=1)] == [ids["most"]]


async def test_what_requests_hold_is_told_until_they_are_over(database: Database, ids: dict[str, str]) -> None:
    lists, use, now = KeyLists(database), KeyUseStore(database), database.clock()
    reservation = Reservation("req_1", ids["Half"], now, 10, 20)
    await use.apply(Batch("test", 2, asked=[Asked(reservation, KeyLimits(concurrent=1))]), now)
    assert [(held.request_id, held.tokens, held.nanousd) for held in await lists.held(ids["Half"])] == [
        ("req_1", 10, 20)
    ]
    await use.apply(Batch("test", 3, settled={"req_1": (reservation, Spent(1, 5, 5))}), now)
    assert await lists.held(ids["Half"]) == []


async def test_sums_are_told_by_key_and_day_and_the_dearest_first(database: Database, ids: dict[str, str]) -> None:
    day = int(database.clock() // DAY) * DAY - 3 * DAY
    requests = [
        a_request(1, at=day + 5, actor_id=ids["plain"], cost=Cost(nanousd=7)),
        a_request(2, at=day + 6, actor_id=ids["plain"], cost=Cost(nanousd=8), outcome="truncated"),
        a_request(3, at=day + DAY, actor_id=ids["most"], cost=Cost(nanousd=50), outcome="rejected"),
    ]
    await RequestStore(database).insert([RequestRow.of(one).columns() for one in requests], [])
    while await RequestTotals(database).sum_up(100):
        pass
    costs = await KeyLists(database).nanousd_by_day([ids["plain"], ids["soon"]], day)
    assert costs == {ids["plain"]: {day: 15}}
    groups = await RequestQueries(database).totals(
        DAY, day, day + 2 * DAY, by=["actor_id"], most=1, dearest_first=True
    )
    assert [(group["actor_id"], group["cost_nanousd"], group["errors"]) for group in groups] == [
        (ids["most"], 50, 0)
    ]
    (total,) = await RequestQueries(database).totals(DAY, day, day + 2 * DAY)
    assert (total["requests"], total["errors"]) == (3, 1)


async def test_names_of_actors_are_found_by_their_ids(database: Database, ids: dict[str, str]) -> None:
    queries = RequestQueries(database)
    assert await queries.actor_names({ids["most"], "key_of_nobody"}) == {ids["most"]: "most"}
    assert await queries.actor_names(set()) == {}
    assert set((await queries.actor_names()).values()) == set(ids)
