"""Signing in: the first link, passwords, second factors, sessions that end, and what viewers see."""

from __future__ import annotations

import re
from typing import Final

import pyotp
from playwright.async_api import Page, expect
from sqlalchemy import delete

from gateway.controlplane.access import Role
from gateway.controlplane.sign_in.links import make_link
from gateway.store.tables import user_sessions
from gateway.store.user_links import LinkStore, Purpose
from tests import answer_watch
from tests.controlplane.api_client import ApiClient
from tests.dashboard.browsing import OpenDashboard, Site, assert_accessible, has_come, screenshot

PASSWORD: Final = "four strange words together"
CHANGING: Final = re.compile(
    "^(Add an? (user|account)|Create|Make|What can be done|Run|Remove|Revoke|Rename|Pause)"
)
HOSTILE: Final = "<img src=x onerror=alert(1)> & Söhne"


async def setup_link(site: Site) -> str:
    """Return the path of a link for the first user, as the terminal shows it."""
    link = await make_link(LinkStore(site.gateway.database), "", Purpose.SET_PASSWORD, role="admin")
    answer_watch.keep(link.url.partition("#")[2])
    return link.url


async def sign_in(page: Page, name: str, password: str) -> None:
    await page.get_by_label("Name").fill(name)
    await page.get_by_role("textbox", name="Password").fill(password)
    await page.keyboard.press("Enter")


async def sign_out(page: Page) -> None:
    """Leave, and read how one comes back without a password."""
    await page.get_by_role("button", name="Signed in as").click()
    await page.get_by_role("menuitem", name="Sign out").click()
    await expect(page.get_by_text("You are signed out.")).to_be_visible()
    await page.get_by_text("Lost your password?").click()
    await expect(page.get_by_text("Ask an admin for a link")).to_be_visible()
    await assert_accessible(page)


async def choose(site: Site, name: str) -> None:
    """Have an admin set a password by a link."""
    token = (await setup_link(site)).partition("#")[2]
    body = {"token": token, "name": name, "password": PASSWORD}
    assert (await ApiClient(site.url).post("/api/v1/session/link", body))[0] == 200


async def test_the_first_user_chooses_a_name_and_a_password(dashboard: OpenDashboard) -> None:
    answer_watch.keep(PASSWORD)
    async with dashboard(traffic=False) as site:
        site.expect("400 POST /api/v1/session")
        # Without the link, the page says where it is.
        page = await site.page("/usage", role=None, width=360, theme="dark")
        await expect(page.get_by_role("heading", name="Set up the dashboard")).to_be_visible()
        await assert_accessible(page)
        await page.get_by_label("Or paste the link").fill("not a link")
        await page.keyboard.press("Enter")
        await expect(page.get_by_role("alert")).to_contain_text("not a whole link")
        await page.get_by_label("Or paste the link").fill(site.url + await setup_link(site))
        await page.get_by_role("button", name="Go on").click()
        await expect(page.get_by_role("heading", name="Welcome")).to_be_visible()
        # A link that is opened in a tab where the page is shown already, which the browser does not load again.
        await page.goto(f"{site.url}/setup")
        await expect(page.get_by_role("heading", name="Set up the dashboard")).to_be_visible()
        await page.goto(site.url + await setup_link(site))
        await expect(page.get_by_role("heading", name="Welcome")).to_be_visible()
        assert page.url == f"{site.url}/setup"

        page = await site.page(await setup_link(site), role=None)
        await expect(page.get_by_label("Name")).to_be_focused()
        assert page.url == f"{site.url}/setup", "the token is gone from the address"
        await page.get_by_label("Name").fill(HOSTILE)
        password = page.get_by_role("textbox", name="New password")
        await password.fill("too short")
        await expect(page.get_by_text("One more character.")).to_be_visible()
        await page.keyboard.press("Enter")
        await expect(page.get_by_role("alert")).to_contain_text("10 characters or more")
        await password.fill("passwordpassword")
        await page.keyboard.press("Enter")
        await expect(page.get_by_role("alert")).to_contain_text("tried first")
        await page.get_by_role("button", name="Show: New password").click()
        await expect(password).to_have_attribute("type", "text")
        await assert_accessible(page)
        await screenshot(page, "setup")
        await password.fill(PASSWORD)
        await page.keyboard.press("Enter")
        await expect(page.get_by_role("button", name=f"Signed in as {HOSTILE}")).to_be_visible()


async def test_a_second_factor_is_added_and_asked_for(dashboard: OpenDashboard) -> None:
    answer_watch.keep(PASSWORD)
    async with dashboard(traffic=False) as site:
        site.expect("401 POST /api/v1/session")
        await choose(site, HOSTILE)
        page = await site.page("/settings?tab=access", role=None)
        await sign_in(page, HOSTILE, PASSWORD)
        await page.get_by_role("button", name="Add an authenticator app").click()
        await page.get_by_role("dialog").get_by_role("textbox", name="Password").fill(PASSWORD)
        await page.keyboard.press("Enter")
        await expect(page.get_by_role("img", name="QR code")).to_be_visible()
        secret = (await page.get_by_role("dialog").locator("code").inner_text()).replace(" ", "")
        await assert_accessible(page)
        await page.get_by_role("textbox", name="Code").fill(await code_of(site, secret))
        await page.keyboard.press("Enter")
        codes = page.get_by_role("dialog", name="Recovery codes")
        await expect(codes).to_be_visible()
        assert len((await codes.locator("pre").inner_text()).split()) == 10
        await assert_accessible(page)
        await page.get_by_role("button", name="I have kept them").click()
        await expect(page.get_by_text("10 recovery codes are left.")).to_be_visible()
        await assert_accessible(page)
        await has_come(page)
        await screenshot(page, "access", full=True)

        page = await site.page("/keys", role=None)
        await sign_in(page, HOSTILE, "wrong")
        await expect(page.get_by_role("alert")).to_have_text("The name or the password is wrong.")
        await assert_accessible(page)
        await screenshot(page, "sign-in")
        await page.get_by_role("textbox", name="Password").fill(PASSWORD)
        await page.keyboard.press("Enter")
        await expect(page.get_by_role("heading", name="One more step")).to_be_visible()
        await expect(page.get_by_role("textbox", name="Code")).to_be_focused()
        await page.keyboard.type(await code_of(site, secret, next_one=True))
        await page.keyboard.press("Enter")
        # And there one is where one wanted to go.
        await expect(page.get_by_role("heading", name="Keys", level=1)).to_be_visible()


async def code_of(site: Site, secret: str, *, next_one: bool = False) -> str:
    """Return the code that an app shows now, or half a minute later, which is taken now as well."""
    return pyotp.TOTP(secret).at(int(await site.gateway.database.now()), counter_offset=int(next_one))


async def test_a_link_to_sign_in_works_once_and_a_session_that_ends_keeps_the_address(
    dashboard: OpenDashboard,
) -> None:
    async with dashboard(traffic=False) as site:
        site.expect("40[14] ")
        await choose(site, "somebody with a password")
        link = f"/sign-in#{await site.gateway.sign_in_token(Role.ADMIN)}"
        page = await site.page(link, role=None)
        await expect(page.get_by_role("button", name="Signed in as Olivia")).to_be_visible()
        await expect(page).to_have_url(f"{site.url}/")
        again = await site.page(link, role=None, theme="dark", width=360)
        await expect(again.get_by_role("alert")).to_contain_text("not good any more")
        await expect(again.get_by_role("heading", name="Sign in", exact=True)).to_be_visible()

        await page.goto(f"{site.url}/requests?outcome=violation")
        await expect(page.get_by_role("heading", name="Requests", level=1)).to_be_visible()
        async with site.gateway.database.write() as connection:
            await connection.execute(delete(user_sessions))
        # Nobody has to reload: the page finds out by itself.
        await expect(page.get_by_role("heading", name="Sign in")).to_be_visible()
        assert page.url == f"{site.url}/requests?outcome=violation"
        await expect(page.get_by_text("Your session has ended")).to_be_visible()
        await page.goto(f"{site.url}/sign-in#{await site.gateway.sign_in_token(Role.ADMIN)}")
        await expect(page.get_by_role("button", name="Signed in as Olivia")).to_be_visible()
        await page.reload()
        await expect(page.get_by_role("button", name="Signed in as Olivia")).to_be_visible()


async def test_admins_let_others_in_and_viewers_see_no_buttons_that_change(dashboard: OpenDashboard) -> None:
    answer_watch.keep(PASSWORD)
    async with dashboard(traffic=False) as site:
        await choose(site, "another admin")
        page = await site.page("/settings?tab=access")
        await page.get_by_role("button", name="Add a user").click()
        dialog = page.get_by_role("dialog")
        await dialog.get_by_label("Name").fill(HOSTILE)
        await page.keyboard.press("Enter")
        await expect(page.get_by_role("dialog", name="Link for")).to_be_visible()
        link = await page.get_by_role("dialog").locator("code").inner_text()
        await assert_accessible(page)
        # Whoever closes it without the link is told that it was the only time.
        await page.keyboard.press("Escape")
        await expect(page.get_by_role("dialog")).to_contain_text("You have not copied the link")
        await page.get_by_role("button", name="Copy the link").click()
        await expect(page.get_by_role("button", name="Copied")).to_be_visible()
        await page.get_by_role("button", name="Done", exact=True).click()
        row = page.get_by_role("row").filter(has_text=HOSTILE)
        await expect(row).to_contain_text("Has not set a password yet")

        viewer = await site.page(link.removeprefix(site.url), role=None, theme="dark", width=360)
        await expect(viewer.get_by_role("heading", name=f"Hello, {HOSTILE}")).to_be_visible()
        await expect(viewer.get_by_role("textbox", name="New password")).to_be_focused()
        await assert_accessible(viewer)
        await viewer.keyboard.type(PASSWORD)
        await viewer.keyboard.press("Enter")
        await expect(viewer.get_by_text("Read only")).to_be_attached()
        # The admin's list learns of it by itself.
        await expect(row).to_contain_text("Password")
        for path in ("/settings?tab=access", "/accounts", "/keys", "/canary"):
            await viewer.goto(site.url + path)
            await expect(viewer.locator("main").get_by_role("heading", level=1)).to_be_visible()
            await expect(viewer.locator("main [aria-busy=true]")).to_have_count(0)
            changing = viewer.locator("main").get_by_role("button", name=CHANGING)
            await expect(changing).to_have_count(0)
        await viewer.goto(f"{site.url}/settings?tab=access")
        await expect(viewer.get_by_text("Where you are signed in")).to_be_visible()
        await has_come(viewer)
        await screenshot(viewer, "access")

        await page.get_by_role("button", name=f"What can be done with {HOSTILE}").click()
        await page.get_by_role("menuitem", name="Make an admin").click()
        await page.get_by_role("dialog").get_by_role("button", name="Make an admin").click()
        await expect(row).to_contain_text("Admin")
        await page.get_by_role("button", name=f"What can be done with {HOSTILE}").click()
        await page.get_by_role("menuitem", name="Remove").click()
        await page.get_by_role("dialog").get_by_role("button", name="Remove").click()
        await expect(row).to_have_count(0)
        site.expect(" 401 ")
        # Who is removed is out at once, in all tabs.
        await expect(viewer.get_by_role("heading", name="Sign in")).to_be_visible()
        await expect(viewer.get_by_text("an admin removed you")).to_be_visible()
        await sign_out(page)
