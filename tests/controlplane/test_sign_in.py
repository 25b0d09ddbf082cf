"""Signing in to the dashboard: links, passwords, sessions and their end."""

from __future__ import annotations

import asyncio
import re
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from argon2 import PasswordHasher
from sqlalchemy import select, text, update

from gateway.config import DashboardSettings
from gateway.controlplane.sign_in import attempts
from gateway.store.tables import user_links, user_sessions, users
from gateway.store.user_links import Purpose
from gateway.store.users import UserStore
from gateway.wire.errors import ApiError
from tests import log_watch
from tests.controlplane.api_client import ApiClient
from tests.controlplane.feed_reader import watching
from tests.controlplane.visitors import PASSWORD, TOKEN, Browser, Place, dashboard
from tests.postgres import Postgres

HOUR = 3600.0


async def age(place: Place, **seconds: float) -> None:
    """Have columns of all sessions lie so much further back."""
    values = {name: user_sessions.c[name] - by for name, by in seconds.items()}
    async with place.database.write() as connection:
        await connection.execute(update(user_sessions).values(values))


async def rows(place: Place) -> list[Any]:
    async with place.database.read() as connection:
        return list((await connection.execute(select(user_sessions))).mappings().all())


@pytest.fixture
def _at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have the gateway look at what tests write to the database by themselves without waiting for two seconds."""
    monkeypatch.setattr("gateway.controlplane.sign_in.sessions._CACHE_SECONDS", 0.0)


async def test_the_first_user_chooses_a_name_and_a_password_by_a_link_that_works_once() -> None:
    async with dashboard() as place:
        browser = place.browser()
        seen = await browser.session()
        assert (seen["signed_in"], seen["setup_needed"], seen["user"]) == (False, True, None)
        assert seen["version"] is seen["rollout"] is seen["csrf_token"] is None
        token = await place.link(role="admin")
        status, about = await browser.post("/api/v1/session/link/check", {"token": token})
        assert (status, about["purpose"], about["name"], about["role"]) == (200, "set_password", "", "admin")
        use = {"token": token, "name": "Ana", "password": PASSWORD}
        for worse, words in (
            ({"password": "short"}, "needs 10 to 256"),
            ({"password": "passwordpassword"}, "tried first"),
            ({"password": "aaaaaaaaaaaaaaa"}, "tried first"),
            ({"name": "administra-Tor", "password": "ADMINISTRA-TOR"}, "tried first"),
            ({"name": "line\u2028break"}, "visible characters"),
        ):
            status, refused = await browser.post("/api/v1/session/link", use | worse)
            assert status == 400, worse
            assert words in refused["error"]["message"]
        status, seen = await browser.post("/api/v1/session/link", use)
        assert (status, seen["signed_in"]) == (200, True)
        assert (seen["user"]["name"], seen["user"]["role"]) == ("Ana", "admin")
        for again, body in (("/api/v1/session/link/check", {"token": token}), ("/api/v1/session/link", use)):
            status, refused = await place.browser().post(again, body)
            assert (status, "not good any more" in refused["error"]["message"]) == (404, True)
        other = place.browser()
        assert (await other.sign_in("ANA")).status == 200
        seen = await other.session()
        assert (seen["user"]["name"], seen["user"]["how"], seen["setup_needed"]) == ("Ana", "password", False)
        assert seen["version"]


async def test_a_newer_link_takes_the_place_of_an_older_one_and_old_links_are_good_no_more() -> None:
    async with dashboard() as place:
        first, second = await place.link(role="admin"), await place.link(role="admin")
        browser = place.browser()
        assert (await browser.post("/api/v1/session/link/check", {"token": first}))[0] == 404
        assert (await browser.post("/api/v1/session/link/check", {"token": second}))[0] == 200
        async with place.database.write() as connection:
            await connection.execute(update(user_links).values(expires_at=user_links.c.expires_at - 2 * HOUR))
        assert (await browser.post("/api/v1/session/link/check", {"token": second}))[0] == 404


async def test_the_first_users_link_is_good_no_more_once_somebody_can_sign_in() -> None:
    async with dashboard() as place:
        first = await place.link(role="admin")
        browser = place.browser()
        assert (await browser.post("/api/v1/session/link/check", {"token": first}))[0] == 200
        await place.add("ana")
        assert (await browser.post("/api/v1/session/link/check", {"token": first}))[0] == 404
        use = {"token": first, "name": "eve", "password": PASSWORD}
        assert (await browser.post("/api/v1/session/link", use))[0] == 404
        assert await UserStore(place.database).count() == 1


async def test_hosts_that_share_a_database_share_sessions_and_their_ends(postgres: Postgres) -> None:
    url = await asyncio.to_thread(postgres.create_database)
    async with dashboard(database_url=url) as here, dashboard(database_url=url) as there:
        token = await here.link(role="admin")
        ana = here.browser()
        status, seen = await ana.post(
            "/api/v1/session/link", {"token": token, "name": "ana", "password": PASSWORD}
        )
        assert status == 200, seen
        assert (await there.browser().post("/api/v1/session/link/check", {"token": token}))[0] == 404
        # A balancer in front sends a browser now here and now there.
        cookies = {f"gateway_session_{there.url.rpartition(':')[2]}": ana.token}
        elsewhere = there.browser(cookies=cookies, csrf=seen["csrf_token"])
        assert (await elsewhere.post("/api/v1/users", {"name": "bob"}))[0] == 201
        assert len((await ana.get("/api/v1/users"))[1]["users"]) == 2
        assert (await elsewhere.ask("DELETE", "/api/v1/session")).status == 204
        async with asyncio.timeout(30):
            while (await ana.get("/api/v1/users"))[0] == 200:
                pass


async def test_a_sign_in_link_lets_somebody_in_without_a_password() -> None:
    async with dashboard() as place:
        user = await UserStore(place.database).add("demo", "admin")
        browser = place.browser()
        token = await place.link(Purpose.SIGN_IN, user_id=user.id)
        status, seen = await browser.post("/api/v1/session/link", {"token": token})
        assert (status, seen["user"]["name"], seen["user"]["how"]) == (200, "demo", "link")
        assert (await browser.get("/api/v1/users"))[0] == 200
        # And nobody signs in by that name without one.
        assert (await place.browser().sign_in("demo", "")).status == 401


async def test_neither_a_wrong_password_nor_a_wrong_name_says_which_it_was() -> None:
    async with dashboard() as place:
        await place.add("ana")
        browser = place.browser()
        wrong = [await browser.sign_in("ana", PASSWORD + "!"), await browser.sign_in("nobody", PASSWORD)]
        assert {answer.status for answer in wrong} == {401}
        assert len({answer.json["error"]["message"] for answer in wrong}) == 1
        assert not browser.cookies


async def test_a_password_that_was_hashed_in_an_older_way_is_hashed_anew_at_the_next_sign_in() -> None:
    async with dashboard() as place:
        await place.add("ana")
        older = PasswordHasher(time_cost=1, memory_cost=1024, parallelism=1).hash(PASSWORD)
        async with place.database.write() as connection:
            await connection.execute(update(users).values(password=older))
        browser = place.browser()
        assert (await browser.sign_in()).status == 200
        user = await UserStore(place.database).named("ana")
        assert user is not None
        assert user.password not in {None, older}
        assert (await browser.get("/api/v1/users"))[0] == 200
        assert (await place.browser().sign_in()).status == 200


async def test_the_cookie_is_for_this_host_alone_and_no_script_reads_it() -> None:
    async with dashboard() as place:
        browser = await place.add("ana")
        port = place.url.rpartition(":")[2]
        attributes = r"; Path=/; Max-Age=604800; HttpOnly; SameSite=Strict"
        assert re.fullmatch(rf"gateway_session_{port}=[\w-]{{43}}{attributes}", browser.set_cookie)
        (row,) = await rows(place)
        assert browser.token not in str(dict(row))
    settings = DashboardSettings(public_url="https://gateway.example")
    async with dashboard(dashboard=settings) as place:
        browser = place.browser(headers={"host": "gateway.example", "origin": "https://gateway.example"})
        status, _ = await browser.post(
            "/api/v1/session/link", {"token": await place.link(role="admin"), "name": "ana", "password": PASSWORD}
        )
        assert status == 200
        assert re.fullmatch(rf"__Host-gateway_session=[\w-]{{43}}{attributes}; Secure", browser.set_cookie)
        # A page of a neighbouring host could set this one.
        plain = place.browser(headers=browser.headers, cookies={"gateway_session": browser.token})
        assert not (await plain.session())["signed_in"]
        # A proxy may put its own name for the gateway there; the browser tells that it is by https all the same.
        proxied = place.browser(headers={"origin": "https://gateway.example"})
        assert (await proxied.sign_in()).status == 200
        assert proxied.set_cookie.startswith("__Host-")
        proxied.headers.clear()
        assert (await proxied.session())["signed_in"]
        # Past the proxy, by a tunnel to this machine, there is no https.
        tunnelled = place.browser()
        assert (await tunnelled.sign_in()).status == 200
        assert "Secure" not in tunnelled.set_cookie
        # By an address of the machine no browser would keep the session: the link is not used up for that.
        astray = place.browser(headers={"host": "192.0.2.7:8788", "origin": "http://192.0.2.7:8788"})
        user = await UserStore(place.database).named("ana")
        assert user is not None
        order = {"token": await place.link(user_id=user.id), "password": PASSWORD}
        status, refusal = await astray.post("/api/v1/session/link", order)
        assert (status, "Open https://gateway.example " in refusal["error"]["message"]) == (403, True)
        assert (await astray.sign_in()).status == 403
        assert (await tunnelled.post("/api/v1/session/link", order))[0] == 200


@pytest.mark.usefixtures("_at_once")
async def test_a_session_ends_when_nobody_uses_it_and_after_a_week_in_any_case() -> None:
    async with dashboard() as place:
        browser = await place.add("ana")
        await age(place, used_at=11 * HOUR)
        assert (await browser.session())["signed_in"]
        await age(place, used_at=12.1 * HOUR)
        assert not (await browser.session())["signed_in"]
        assert (await browser.get("/api/v1/users"))[0] == 401
        assert await rows(place) == []
        assert (await browser.sign_in()).status == 200
        await age(place, created_at=7 * 24 * HOUR)
        assert not (await browser.session())["signed_in"]


@pytest.mark.usefixtures("_at_once")
async def test_the_token_changes_with_use_and_an_old_copy_of_it_ends_the_session() -> None:
    async with dashboard() as place:
        browser = await place.add("ana")
        before = browser.token
        copied = place.browser(cookies=dict(browser.cookies))
        await age(place, rotated_at=901)
        # One of several requests at a time is offered another token.
        await browser.get("/api/v1/session")
        after = browser.token
        assert after != before
        await copied.get("/api/v1/session")
        assert copied.token == before
        # Both are good until the new one comes back and a minute has passed: other tabs are under way.
        assert (await browser.session())["signed_in"]
        assert (await copied.session())["signed_in"]
        assert copied.token == before
        await age(place, former_until=61)
        assert (await browser.session())["signed_in"]
        assert not (await copied.session())["signed_in"]
        assert not (await browser.session())["signed_in"]
        status, log = await ApiClient(place.url, TOKEN).get("/api/v1/audit?action=session.reused")
        assert (status, [entry["who"] for entry in log["entries"]]) == (200, ["ana"])


@pytest.mark.usefixtures("_at_once")
async def test_an_answer_that_is_lost_on_its_way_signs_nobody_out() -> None:
    async with dashboard() as place:
        browser = await place.add("ana")
        kept = dict(browser.cookies)
        for _ in range(3):
            await age(place, rotated_at=901, offered_at=61)
            browser.cookies = dict(kept)
            # The new token is offered again and again until one arrives.
            assert (await browser.session())["signed_in"]
            assert browser.cookies != kept
        assert (await browser.session())["signed_in"]


async def test_signing_out_ends_the_session_at_once() -> None:
    async with dashboard() as place:
        browser = await place.add("ana")
        copied = place.browser(cookies=dict(browser.cookies), csrf=browser.csrf)
        assert (await copied.get("/api/v1/users"))[0] == 200
        assert (await browser.ask("DELETE", "/api/v1/session")).status == 204
        assert not browser.cookies
        assert (await copied.get("/api/v1/users"))[0] == 401
        assert (await copied.ask("DELETE", "/api/v1/session")).status == 204


@pytest.mark.usefixtures("_at_once")
async def test_a_live_feed_outlasts_a_token_and_ends_with_its_session(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gateway.controlplane.api.live._CHECK_SECONDS", 0.05)
    async with dashboard() as place:
        browser = await place.add("ana")
        ((name, value),) = browser.cookies.items()
        async with watching(place.url, "", cookie=f"{name}={value}") as feed:
            # The token that the feed began with is long one that must not be used any more.
            await age(place, rotated_at=901)
            for _ in range(2):
                await browser.session()
            await age(place, former_until=120)
            await place.add("bob")
            assert await feed.until("changed") == {"what": "users"}
            assert (await browser.session())["signed_in"]
            assert (await browser.ask("DELETE", "/api/v1/session")).status == 204
            while (await feed.next()).topic:
                pass


async def test_who_is_removed_or_may_do_less_is_so_at_once() -> None:
    async with dashboard() as place:
        ana, bob = await place.add("ana"), await place.add("bob")
        assert (await bob.get("/api/v1/users"))[0] == 200
        listed = (await ana.get("/api/v1/users"))[1]["users"]
        assert [(user["name"], user["is_you"], user["has_password"]) for user in listed] == [
            ("ana", True, True),
            ("bob", False, True),
        ]
        path = f"/api/v1/users/{listed[1]['id']}"
        answer = await ana.ask("PATCH", path, {"role": "viewer"})
        assert (answer.status, answer.json["role"]) == (200, "viewer")
        assert (await bob.post("/api/v1/users", {"name": "eve"}))[0] == 403
        assert (await ana.ask("DELETE", path)).status == 204
        assert (await bob.get("/api/v1/users"))[0] == 401


async def test_a_lost_password_is_set_anew_by_a_link_and_ends_all_sessions() -> None:
    async with dashboard() as place:
        ana, bob = await place.add("ana"), await place.add("bob")
        user = next(user for user in (await ana.get("/api/v1/users"))[1]["users"] if user["name"] == "bob")
        status, link = await ana.post(f"/api/v1/users/{user['id']}/link")
        assert status == 200
        assert link["url"].startswith(f"{place.url}/setup#")
        token = link["url"].partition("#")[2]
        # Until then the old one is good.
        assert (await place.browser().sign_in("bob")).status == 200
        anew = place.browser()
        status, _ = await anew.post("/api/v1/session/link", {"token": token, "password": "another good password"})
        assert status == 200
        assert (await bob.get("/api/v1/users"))[0] == 401
        assert (await place.browser().sign_in("bob")).status == 401
        assert (await place.browser().sign_in("bob", "another good password")).status == 200


async def test_users_change_their_password_and_end_their_other_sessions() -> None:
    async with dashboard() as place:
        here, there = await place.add("ana"), place.browser()
        await there.sign_in()
        wrong = await here.post("/api/v1/session/password", {"current": "not this one", "new": "another good one"})
        assert (wrong[0], wrong[1]["error"]["message"]) == (403, "That is not your password.")
        common = await here.post("/api/v1/session/password", {"current": PASSWORD, "new": "qwertyuiop"})
        assert common[0] == 400
        change = {"current": PASSWORD, "new": "another good one"}
        assert (await here.post("/api/v1/session/password", change))[0] == 204
        assert (await here.get("/api/v1/users"))[0] == 200
        assert (await there.get("/api/v1/users"))[0] == 401
        await there.sign_in(password="another good one")
        await age(place, used_at=50)
        sessions = (await here.get("/api/v1/session/others"))[1]["sessions"]
        # Whoever asks is there at this moment, though that is written down but once a minute.
        (used,) = [one["used_at"] for one in sessions if one["is_this"]]
        assert used > max(one["used_at"] for one in sessions if not one["is_this"])
        assert sorted(one["is_this"] for one in sessions) == [False, True]
        (other,) = [one for one in sessions if not one["is_this"]]
        assert (await here.ask("DELETE", f"/api/v1/session/others/{other['id']}")).status == 204
        assert (await there.get("/api/v1/users"))[0] == 401
        await there.sign_in(password="another good one")
        ended = await here.ask("DELETE", "/api/v1/session/others")
        assert (ended.status, ended.json) == (200, {"ended": 1})
        assert (await there.get("/api/v1/users"))[0] == 401
        # Nobody ends what is somebody else's.
        bob = await place.add("bob")
        (mine,) = (await here.get("/api/v1/session/others"))[1]["sessions"]
        assert (await bob.ask("DELETE", f"/api/v1/session/others/{mine['id']}")).status == 404


async def test_the_last_admin_stays_one() -> None:
    async with dashboard() as place:
        ana = await place.add("ana")
        (user,) = (await ana.get("/api/v1/users"))[1]["users"]
        path = f"/api/v1/users/{user['id']}"
        status, made = await ana.post("/api/v1/users", {"name": "bob", "role": "admin"})
        assert status == 201
        # Who has not set a password yet cannot stand in.
        for answer in (await ana.ask("DELETE", path), await ana.ask("PATCH", path, {"role": "viewer"})):
            assert answer.status == 409
            assert "make somebody else one first" in answer.json["error"]["message"]
        assert (await ana.ask("DELETE", f"/api/v1/users/{made['user']['id']}")).status == 204
        bob = await place.add("bob")
        assert (await bob.ask("DELETE", path)).status == 204
        assert (await ana.post("/api/v1/users", {"name": "eve"}))[0] == 401


async def test_no_two_users_have_one_name_however_it_is_written() -> None:
    async with dashboard() as place:
        ana = await place.add("Ana Müller")
        for name in ("ana müller", "ANA MU\u0308LLER", "\uff21na Müller"):
            assert (await ana.post("/api/v1/users", {"name": name}))[0] == 409, name
        assert (await place.browser().sign_in("ana mu\u0308ller")).status == 200
        for name in ("", " ", "a\nb", "a\0b", "x" * 65):
            assert (await ana.post("/api/v1/users", {"name": name}))[0] == 400, name


async def test_too_many_wrong_passwords_are_refused_for_a_while_and_do_not_lock_the_owner_out() -> None:
    async with dashboard() as place:
        ana = await place.add("ana")
        assert (await ana.sign_in()).status == 200
        stranger = place.browser(address="127.0.0.2")
        for _ in range(10):
            assert (await stranger.sign_in("ana", "wrong")).status == 401
        refused = await stranger.sign_in("ana", "wrong")
        message = refused.json["error"]["message"]
        assert (refused.status, "wait" in message, "link" in message) == (429, True, False)
        assert 0 < int(refused.headers["retry-after"]) <= 60
        # From elsewhere they would go on with this name, but for its bound; its owner is told what is good yet.
        elsewhere = place.browser(address="127.0.0.3")
        refused = await elsewhere.sign_in("ana", "wrong")
        assert (refused.status, "gateway dashboard link" in refused.json["error"]["message"]) == (429, True)
        assert (await place.browser().sign_in("ana")).status == 200
        user = await UserStore(place.database).named("ana")
        assert user is not None
        token = await place.link(user_id=user.id)
        status, _ = await elsewhere.post("/api/v1/session/link", {"token": token, "password": "another good one"})
        assert status == 200
        # From there, the password is good from now on too.
        assert (await place.browser(address="127.0.0.3").sign_in("ana", "another good one")).status == 200


async def test_where_somebody_has_signed_in_is_known_after_a_restart(tmp_path: Path) -> None:
    async with dashboard(data_dir=str(tmp_path)) as place:
        ana = await place.add("ana")
        ana.address = "127.0.0.9"
        assert (await ana.sign_in()).status == 200
    async with dashboard(data_dir=str(tmp_path)) as place:
        stranger = place.browser(address="127.0.0.2")
        while (await stranger.sign_in("ana", "wrong")).status == 401:
            pass
        while (await place.browser(address="127.0.0.3").sign_in("ana", "wrong")).status == 401:
            pass
        assert (await place.browser(address="127.0.0.9").sign_in("ana")).status == 200


async def test_who_tries_to_sign_in_while_the_database_is_away_need_not_wait_when_it_is_back() -> None:
    async with dashboard() as place:
        await place.add("ana")

        async def rename(table: str, other: str) -> None:
            async with place.database.write() as connection:
                await connection.execute(text(f"ALTER TABLE {table} RENAME TO {other}"))

        browser = place.browser(address="127.0.0.2")
        await rename("users", "elsewhere")
        assert {(await browser.sign_in()).status for _ in range(12)} == {503}
        await rename("elsewhere", "users")
        assert (await browser.sign_in()).status == 200


def test_attempts_come_back_with_time_and_take_bounded_memory() -> None:
    now = 0.0
    counted = attempts.Attempts(clock=lambda: now)

    def tries(address: str, name: str = "") -> int:
        for count in range(1000):
            try:
                counted.take("password", address, name)
            except ApiError:
                return count
        raise AssertionError

    assert tries("2001:db8::1") == 10
    # The same household, with another of its addresses.
    assert tries("2001:db8::2") == 0
    assert tries("::ffff:192.0.2.1") == 10
    assert tries("192.0.2.1") == 0
    now += 30
    assert tries("192.0.2.1") == 1
    now += 1e6
    assert sum(tries(f"192.0.2.{host}", "ana") for host in range(5)) == 10
    assert sum(tries(f"198.51.100.{host}", f"user {host}") for host in range(30)) == 90
    for number in range(20_000):
        counted.take("token", f"10.{number // 65536}.{number // 256 % 256}.{number % 256}")
    assert len(counted._of_addresses._known) <= 4096


async def test_what_programs_send_as_the_token_is_bounded_apart_from_people() -> None:
    async with dashboard() as place:
        await place.add("ana")
        wrong = ApiClient(place.url, "wrong")
        statuses = [(await wrong.get("/api/v1/users"))[0] for _ in range(12)]
        assert statuses == [401] * 10 + [429] * 2
        # Who guesses keeps nobody out who has it, although all come from one address, as behind a proxy.
        assert (await ApiClient(place.url, TOKEN).get("/api/v1/users"))[0] == 200
        assert (await place.browser().sign_in()).status == 200
        async with dashboard(control_token="") as other:
            assert (await ApiClient(other.url, "anything").get("/api/v1/users"))[0] == 401


async def test_strangers_who_send_slowly_keep_nobody_else_from_being_served() -> None:
    async with dashboard() as place, AsyncExitStack() as stack:
        ana = await place.add("ana")
        address = urlsplit(place.url)
        head = f"POST /api/v1/session HTTP/1.1\r\nhost: {address.netloc}\r\ncontent-type: application/json\r\n"
        for _ in range(40):
            _, writer = await asyncio.open_connection(address.hostname, address.port)
            stack.callback(writer.close)
            writer.write(f"{head}content-length: 100\r\n\r\n{{".encode())
            await writer.drain()
        with_token = {"authorization": f"Bearer {TOKEN}"}
        for _ in range(40):
            assert (await ana.get("/api/v1/users"))[0] == 200
        assert (await ana.sign_in()).status == 200
        assert (await ana.ask("GET", "/metrics", headers=with_token)).status == 200
        assert (await place.browser().ask("GET", "/healthz")).status == 200
        # Nor do they send much.
        large = await place.browser().sign_in("ana", "x" * 17_000)
        assert large.status == 413


async def test_nothing_of_a_password_or_a_token_is_kept_in_the_clear_or_logged(
    capsys: pytest.CaptureFixture[str],
) -> None:
    secret = "my-secret-word-typed-in-the-wrong-field"
    async with dashboard() as place:
        ana = await place.add("ana")
        await ana.sign_in()
        await place.browser().sign_in(secret, secret)
        await ana.post("/api/v1/session/password", {"current": secret, "new": secret})
        link = (await ana.post("/api/v1/users", {"name": "bob"}))[1]["link"]["url"]
        known = [PASSWORD, secret, ana.token, ana.csrf, link.partition("#")[2]]
        audit = (await ana.ask("GET", "/api/v1/audit")).body.decode()
        assert "session.refused" in audit
        stored = ""
        for table in (users, user_sessions, user_links):
            async with place.database.read() as connection:
                stored += str((await connection.execute(select(table))).all())
        for text in (audit, stored, str(log_watch.recent_events()), "".join(capsys.readouterr())):
            assert not [one for one in known if one in text]
        assert "$argon2id$" in stored


async def test_off_loopback_without_https_people_are_warned() -> None:
    everywhere = "0.0.0.0:0"
    async with dashboard(control_listen=everywhere) as place:
        (warning,) = (await Browser(place.url.replace(everywhere[:-2], "127.0.0.1")).session())["warnings"]
        assert "without encryption" in warning
    settings = DashboardSettings(public_url="https://gateway.example")
    async with dashboard(control_listen=everywhere, dashboard=settings) as place:
        assert (await Browser(place.url.replace(everywhere[:-2], "127.0.0.1")).session())["warnings"] == []
