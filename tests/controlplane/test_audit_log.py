"""The log of what people change: who, what, before and after, page by page, for 400 days."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import text, update

from gateway.accounts.vault import Vault
from gateway.config import Settings
from gateway.controlplane.sign_in.opening import AUDIT_DAYS, REFUSED_DAYS, make_desk, tidy
from gateway.store.audit_log import MANY, REFUSED, AuditFilter, AuditStore, Change
from gateway.store.engine import Database
from gateway.store.errors import StoreError
from gateway.store.tables import audit_log, users
from gateway.store.user_links import Link, LinkStore, Purpose
from gateway.store.user_sessions import UserSession, UserSessionStore
from gateway.store.users import UserStore
from tests import fresh_database
from tests.controlplane.visitors import PASSWORD, dashboard

DAY = 86_400.0


async def write(store: AuditStore, action: str, **more: Any) -> None:
    about = {name: more.pop(name) for name in ("target", "before", "after") if name in more}
    author: dict[str, Any] = {"who": "ana", "how": "password", "address": "192.0.2.1"} | more
    await store.add(Change(action, **about), **author)


@pytest.fixture(params=["sqlite", "postgresql"])
def database_url(request: pytest.FixtureRequest) -> str:
    """Give both kinds of databases."""
    if request.param == "sqlite":
        return ""
    return request.getfixturevalue("postgres").restore(request.getfixturevalue("migrated"))


@pytest.fixture
async def database(database_url: str, tmp_path: Path) -> AsyncIterator[Database]:
    if not database_url:
        await fresh_database.lay(tmp_path)
    async with Database(database_url, tmp_path) as opened:
        yield opened


async def test_entries_are_found_newest_first_and_each_once_page_by_page(database: Database) -> None:
    store = AuditStore(database)
    for number in range(7):
        await write(store, "account.pause" if number % 2 else "key.create", target=f"target {number}")
    await write(store, "accounts", who="bob", target="50%")
    seen, place = [], None
    while page := await store.page(AuditFilter(), 3, place):
        seen += [entry.target for entry in page]
        place = (page[-1].at, page[-1].id)
    assert seen == ["50%", *(f"target {number}" for number in range(6, -1, -1))]

    async def targets(**wanted: Any) -> list[str]:
        return [entry.target for entry in await store.page(AuditFilter(**wanted), 100)]

    # A group by its name, and nothing that only begins alike.
    assert await targets(action="account") == ["target 5", "target 3", "target 1"]
    assert await targets(action="account.pause") == ["target 5", "target 3", "target 1"]
    assert await targets(action="acc%") == []
    assert await targets(who="bob") == ["50%"]
    assert await targets(target="target 2") == ["target 2"]
    now = await database.now()
    assert await targets(since=now + 60) == await targets(until=now - 60) == []
    assert len(await targets(since=now - 60, until=now + 60)) == 8


async def test_what_was_there_before_and_after_comes_back_as_it_was_and_is_bounded(database: Database) -> None:
    store = AuditStore(database)
    before = {"name": "a\0b\ud800 \u2028", "list": [1, None, 1.5, True]}
    await write(store, "account.change", target="x" * 5000, before=before, after={"name": "y" * 100_000})
    (entry,) = await store.page(AuditFilter(), 1)
    shown, after = entry.states()
    assert shown["list"] == [1, None, 1.5, True]
    assert after == "(too long to keep)"
    assert len(entry.target) == 1000


async def test_what_is_over_is_deleted_and_nothing_else(database: Database) -> None:
    now = await database.now()
    desk = make_desk(Settings(), database, Vault([b"k" * 32]), b"p" * 32)
    user = await UserStore(database).add("ana", "admin")
    times = {"fresh": now - DAY / 4, "idle": now - DAY, "old": now - 8 * DAY}
    sessions = UserSessionStore(database)
    for name, at in times.items():
        used = now if name == "old" else at
        session = UserSession(id=name, user_id=user.id, digest=name, created_at=at, used_at=used, rotated_at=at)
        assert await sessions.add(session, 10, None)
    links = LinkStore(database)
    await links.put(Link(digest="good", purpose=Purpose.SET_PASSWORD, role="admin"), 60)
    await links.put(Link(digest="over", purpose=Purpose.SIGN_IN, role="admin"), -1)
    await write(AuditStore(database), "account.pause")
    await tidy(desk)
    assert [one.id for one in await sessions.of(user.id)] == ["fresh"]
    assert await links.find("good") is not None
    assert await links.find("over") is None
    assert len(await AuditStore(database).page(AuditFilter(), 10)) == 1
    assert await AuditStore(database).delete_before(now + AUDIT_DAYS * DAY, 10) == 1


async def test_attempts_to_sign_in_that_fail_are_counted_by_name_and_address_and_never_fill_the_log(
    database: Database,
) -> None:
    store = AuditStore(database)

    async def fail(address: str, target: str = "ana") -> None:
        await store.add_refusal(how="password", address=address, target=target)

    async def counted() -> list[tuple[str, str, int]]:
        page = await store.page(AuditFilter(action=REFUSED), 500)
        return [(entry.target, entry.address, entry.states()[1]["times"]) for entry in page[::-1]]

    for _ in range(3):
        await fail("192.0.2.1")
    await fail("192.0.2.2")
    await fail("192.0.2.1", "")
    assert await counted() == [("ana", "192.0.2.1", 3), ("ana", "192.0.2.2", 1), ("", "192.0.2.1", 1)]
    for number in range(200):
        await fail(f"198.51.100.{number}")
    told = await counted()
    assert len(told) == 51
    assert told[-1] == (MANY, MANY, 200 - 47)
    # Those that are known are counted by themselves all the same.
    await fail("192.0.2.2")
    assert ("ana", "192.0.2.2", 2) in await counted()
    # An hour later it begins anew.
    async with database.write() as connection:
        await connection.execute(update(audit_log).values(at=audit_log.c.at - 3601))
    await fail("192.0.2.1")
    assert (await counted())[-1] == ("ana", "192.0.2.1", 1)


async def test_failed_attempts_are_kept_for_less_time_than_changes(database: Database) -> None:
    store, desk = AuditStore(database), make_desk(Settings(), database, Vault([b"k" * 32]), b"p" * 32)
    await write(store, "account.pause")
    await store.add_refusal(how="password", address="192.0.2.1", target="ana")
    async with database.write() as connection:
        await connection.execute(update(audit_log).values(at=audit_log.c.at - (REFUSED_DAYS + 1) * DAY))
    await store.add_refusal(how="password", address="192.0.2.1", target="ana")
    await tidy(desk)
    assert [entry.action for entry in await store.page(AuditFilter(), 10)] == [REFUSED, "account.pause"]


@pytest.mark.parametrize("column", ["who", "target", "action"])
async def test_lists_of_the_log_are_found_by_an_index(tmp_path: Path, column: str) -> None:
    await fresh_database.lay(tmp_path)
    async with Database("", tmp_path) as database, database.read() as connection:
        query = f"SELECT * FROM audit_log WHERE {column} = 'x' ORDER BY at DESC, id DESC LIMIT 100"  # noqa: S608 - of ours
        plan = str((await connection.execute(text(f"EXPLAIN QUERY PLAN {query}"))).all())
    assert f"ix_audit_log_{column}_at_id" in plan
    assert "TEMP B-TREE" not in plan


async def test_who_gave_a_password_that_is_being_changed_is_not_let_in(database: Database) -> None:
    people, links, sessions = UserStore(database), LinkStore(database), UserSessionStore(database)
    await links.put(Link(digest="first", purpose=Purpose.SET_PASSWORD, role="admin"), 60)
    user = await links.redeem("first", "ana", "a hash")
    assert user is not None
    session = UserSession(id="one", user_id=user.id, digest="one", created_at=1, used_at=1, rotated_at=1)
    await people.set_password(user.id, "another hash")
    assert not await sessions.add(session, 10, user.password)
    assert await sessions.of(user.id) == []
    await links.put(Link(digest="lost", purpose=Purpose.SET_PASSWORD, user_id=user.id, role="admin"), 60)
    user = await links.redeem("lost", "ana", "a third hash")
    assert user is not None
    assert await sessions.add(session, 10, user.password)


async def test_a_user_with_a_role_that_there_is_not_may_nothing(database: Database) -> None:
    user = await UserStore(database).add("ana", "admin")
    async with database.write() as connection:
        await connection.execute(update(users).values(role="emperor"))
    with pytest.raises(StoreError, match="cannot have written"):
        await UserStore(database).find(user.id)


async def test_who_came_in_and_what_they_did_is_told_to_viewers_too() -> None:
    async with dashboard() as place:
        ana, bob = await place.add("ana"), await place.add("bob", "viewer")
        await place.browser(address="127.0.0.2").sign_in("ana", "wrong")
        status, made = await ana.post("/api/v1/users", {"name": "eve"})
        assert status == 201
        await ana.ask("PATCH", f"/api/v1/users/{made['user']['id']}", {"role": "admin"})
        await ana.post("/api/v1/session/password", {"current": PASSWORD, "new": "another good one"})
        status, page = await bob.get("/api/v1/audit?limit=3")
        told = [(entry["action"], entry["who"], entry["target"]) for entry in page["entries"]]
        assert told == [("user.password", "ana", "ana"), ("user.role", "ana", "eve"), ("user.add", "ana", "eve")]
        role = page["entries"][1]
        assert (role["before"], role["after"], role["how"]) == ({"role": "viewer"}, {"role": "admin"}, "password")
        status, page = await bob.get(f"/api/v1/audit?limit=500&after={page['next']}")
        (refused,) = [entry for entry in page["entries"] if entry["action"] == "session.refused"]
        assert (refused["who"], refused["target"], refused["address"]) == ("", "ana", "127.0.0.2")
        assert page["next"] is None
        times = refused["after"].pop("last")
        assert refused["after"] == {"times": 1}
        assert datetime.fromisoformat(times).tzinfo is not None
        for bad in (
            "after=x",
            "after=1:",
            "after=nan:aud_1",
            "limit=0",
            "limit=501",
            "who=%00",
            "since=-1",
            "no=1",
        ):
            status, _ = await bob.get(f"/api/v1/audit?{bad}")
            assert status == (200 if bad == "after=1:" else 400), bad
