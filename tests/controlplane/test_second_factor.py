"""The second factor: codes of an authenticator app, each good once, and codes on paper."""

from __future__ import annotations

from typing import Any

import pyotp
from sqlalchemy import select, text

from gateway.accounts.vault import Vault
from gateway.controlplane.sign_in import second_factor
from gateway.controlplane.sign_in.rekeying import rekey_second_factors
from gateway.store.secret import load_secret_keys
from gateway.store.tables import users
from gateway.store.users import UserStore
from tests.contract.harness import SECRET
from tests.controlplane.visitors import PASSWORD, Browser, Place, dashboard


async def begin(browser: Browser) -> tuple[str, dict[str, Any]]:
    """Begin with a second factor; return its secret and what came."""
    status, offer = await browser.post("/api/v1/session/totp", {"password": PASSWORD})
    assert status == 200, offer
    return offer["secret"], offer


async def code_of(place: Place, secret: str, *, next_one: bool = False) -> str:
    """Return the code that an app shows now, or half a minute later, which is taken now as well."""
    return pyotp.TOTP(secret).at(int(await place.database.now()), counter_offset=int(next_one))


async def with_second_factor(place: Place) -> tuple[Browser, str, list[str]]:
    """Let somebody in who has one; return browser, secret and codes on paper."""
    browser = await place.add("ana")
    secret, _ = await begin(browser)
    code = await code_of(place, secret)
    status, paper = await browser.post("/api/v1/session/totp/confirm", {"code": code})
    assert status == 200, paper
    return browser, secret, paper["codes"]


async def test_signing_in_takes_a_code_once_one_was_confirmed_and_each_is_good_once() -> None:
    async with dashboard() as place:
        browser = await place.add("ana")
        assert (await browser.post("/api/v1/session/totp", {"password": "wrong"}))[0] == 403
        secret, offer = await begin(browser)
        assert pyotp.parse_uri(offer["uri"]).secret == secret
        assert "ana" in offer["uri"]
        # Begun is not confirmed.
        assert (await place.browser().sign_in()).status == 200
        assert (await browser.post("/api/v1/session/totp/confirm", {"code": "000"}))[0] == 400
        code = await code_of(place, secret)
        status, paper = await browser.post("/api/v1/session/totp/confirm", {"code": f"{code[:3]} {code[3:]}"})
        assert (status, len(set(paper["codes"]))) == (200, 10)
        assert (await browser.post("/api/v1/session/totp/confirm", {"code": code}))[0] == 409
        assert (await browser.post("/api/v1/session/totp", {"password": PASSWORD}))[0] == 409
        seen = await browser.session()
        assert (seen["user"]["has_totp"], seen["user"]["recovery_codes"]) == (True, 10)

        other = place.browser()
        asked = await other.sign_in()
        assert (asked.status, asked.json["error"]["type"]) == (401, "code_needed")
        # The password alone still says nothing to whoever guesses.
        assert (await other.sign_in(password="wrong", code=code)).json["error"]["type"] == "authentication_error"
        assert (await other.sign_in(code=code)).status == 401, "confirmed with this one"
        code = await code_of(place, secret, next_one=True)
        assert (await other.sign_in(code=code)).status == 200
        assert (await place.browser().sign_in(code=code)).status == 401, "signed in with this one"


async def test_it_counts_only_where_its_codes_on_paper_are_shown() -> None:
    async with dashboard() as place:
        browser = await place.add("ana")
        secret, _ = await begin(browser)
        broken = "CREATE TRIGGER broken BEFORE INSERT ON audit_log BEGIN SELECT RAISE(ABORT, 'broken'); END"
        async with place.database.write() as connection:
            await connection.execute(text(broken))
        code = await code_of(place, secret)
        assert (await browser.post("/api/v1/session/totp/confirm", {"code": code}))[0] == 503
        async with place.database.write() as connection:
            await connection.execute(text("DROP TRIGGER broken"))
        assert (await place.browser().sign_in()).status == 200
        assert (await browser.post("/api/v1/session/totp/confirm", {"code": code}))[0] == 200


async def test_a_code_on_paper_stands_in_once() -> None:
    async with dashboard() as place:
        browser, _, paper = await with_second_factor(place)
        typed = paper[3].upper().replace("-", " ")
        assert (await place.browser().sign_in(code=typed)).status == 200
        assert (await place.browser().sign_in(code=typed)).status == 401
        assert (await browser.session())["user"]["recovery_codes"] == 9
        async with place.database.read() as connection:
            row = dict((await connection.execute(select(users))).mappings().one())
        assert not [code for code in paper if code in str(row)]


async def test_it_is_removed_by_password_and_code_or_by_an_admin() -> None:
    async with dashboard() as place:
        browser, secret, paper = await with_second_factor(place)
        remove = "/api/v1/session/totp/remove"
        assert (await browser.post(remove, {"password": "wrong", "code": paper[0]}))[0] == 403
        assert (await browser.post(remove, {"password": PASSWORD, "code": "123456"}))[0] == 403
        code = await code_of(place, secret, next_one=True)
        assert (await browser.post(remove, {"password": PASSWORD, "code": code}))[0] == 204
        assert (await browser.post(remove, {"password": PASSWORD, "code": code}))[0] == 409
        assert (await place.browser().sign_in()).status == 200
        secret, _ = await begin(browser)
        code = await code_of(place, secret)
        assert (await browser.post("/api/v1/session/totp/confirm", {"code": code}))[0] == 200
        assert (await place.browser().sign_in()).status == 401
        (user,) = (await browser.get("/api/v1/users"))[1]["users"]
        assert user["has_totp"]
        assert (await browser.ask("DELETE", f"/api/v1/users/{user['id']}/totp")).status == 204
        assert (await place.browser().sign_in()).status == 200


async def test_a_link_for_another_password_does_not_get_around_it() -> None:
    async with dashboard() as place:
        _, secret, _ = await with_second_factor(place)
        user = await UserStore(place.database).named("ana")
        assert user is not None
        token, browser = await place.link(user_id=user.id), place.browser()
        assert (await browser.post("/api/v1/session/link/check", {"token": token}))[1]["needs_code"]
        use = {"token": token, "password": "another good password"}
        status, asked = await browser.post("/api/v1/session/link", use)
        assert (status, asked["error"]["type"]) == (401, "code_needed")
        code = await code_of(place, secret, next_one=True)
        assert (await browser.post("/api/v1/session/link", use | {"code": code}))[0] == 200


async def test_it_survives_an_exchange_of_the_secret_key() -> None:
    async with dashboard() as place:
        _, secret, _ = await with_second_factor(place)
        store = UserStore(place.database)
        both = load_secret_keys(f"another-secret-key,{SECRET}", place.database.data_dir)
        assert await rekey_second_factors(store, Vault(both)) == 1
        assert await rekey_second_factors(store, Vault(both)) == 0
        user = await store.named("ana")
        assert user is not None
        assert user.totp is not None
        assert Vault(both[:1]).decrypt(user.totp).decode() == secret
        # Which this gateway does not have.
        refused = await place.browser().sign_in(code=await code_of(place, secret))
        assert (refused.status, "reset-totp" in refused.json["error"]["message"]) == (503, True)


def test_codes_of_the_standard_are_taken_a_step_early_or_late_and_no_more() -> None:
    # RFC 6238, appendix B: the last six digits of those for SHA-1.
    secret = "GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ"
    for at, code in ((59, "287082"), (1111111109, "081804"), (20000000000, "353130")):
        step = at // 30
        assert second_factor.step_of(secret, code, at, 0) == step
        assert second_factor.step_of(secret, code, at + 30, 0) == step
        assert second_factor.step_of(secret, code, at - 30, 0) == step
        assert second_factor.step_of(secret, code, at + 60, 0) is None
        assert second_factor.step_of(secret, code, at - 60, 0) is None
        assert second_factor.step_of(secret, code, at, step) is None


async def test_strangers_who_try_a_name_keep_neither_its_owner_nor_who_has_a_link_for_it_out() -> None:
    async with dashboard() as place:
        browser, secret, _ = await with_second_factor(place)
        user = await UserStore(place.database).named("ana")
        assert user is not None
        stranger = place.browser(address="127.0.0.2")
        for _ in range(10):
            assert (await stranger.sign_in("ana", "wrong")).status == 401
        assert (await place.browser(address="127.0.0.3").sign_in("ana")).status == 429
        # Signed in, but from where nobody has given the password yet.
        browser.address = "127.0.0.4"
        change = {"current": PASSWORD, "new": "another good one"}
        assert (await browser.post("/api/v1/session/password", change))[0] == 204
        use = {
            "token": await place.link(user_id=user.id),
            "password": PASSWORD,
            "code": await code_of(place, secret, next_one=True),
        }
        assert (await place.browser(address="127.0.0.5").post("/api/v1/session/link", use))[0] == 200
