"""What holds for every page: it is small, it is its own, and it goes on through what happens to a gateway."""

from __future__ import annotations

from typing import Final

from playwright.async_api import Request
from sqlalchemy import delete

from gateway.controlplane.access import Role
from gateway.controlplane.sign_in.passwords import Passwords
from gateway.store.tables import user_sessions
from gateway.store.users import UserStore
from tests.controlplane.api_client import ApiClient
from tests.dashboard.browsing import OpenDashboard, assert_accessible, expect, has_come, screenshot
from tests.dashboard.site import PEOPLE, GatewaySite

BUDGET: Final = 150_000
"""Bytes of scripts, as they are sent."""
PASSWORD: Final = "seven horses on a staircase"


async def test_a_first_view_takes_few_scripts_and_asks_no_other_host(dashboard: OpenDashboard) -> None:
    async with dashboard() as site:
        # Where people begin, and the page that draws charts.
        for path in ("/", "/usage"):
            profile = await site.profile()
            finished: list[Request] = []
            profile.on("requestfinished", lambda request, finished=finished: finished.append(request))
            await has_come(await site.open(profile, path))
            sizes = {
                request.url: (await request.sizes())["responseBodySize"]
                for request in finished
                if request.resource_type == "script"
            }
            assert 0 < sum(sizes.values()) < BUDGET, (path, sizes)
            await profile.close()


async def test_the_frame_is_for_everybody_narrow_and_wide_light_and_dark(dashboard: OpenDashboard) -> None:
    async with dashboard(traffic=False) as site:
        for theme, width in (("light", 360), ("dark", 1920), ("light", 1280)):
            page = await site.page("/settings", theme=theme, width=width)
            await has_come(page)
            await assert_accessible(page)
            assert await page.evaluate("() => document.documentElement.scrollWidth") <= width
        await page.keyboard.press("Tab")
        await expect(page.get_by_role("link", name="Skip to the page")).to_be_focused()
        await page.keyboard.press("Enter")
        await expect(page.locator("main")).to_be_focused()


async def test_two_people_who_look_both_see_what_a_third_one_does(dashboard: OpenDashboard) -> None:
    async with dashboard(traffic=False) as site:
        admin, viewer = await site.page("/keys"), await site.page("/keys", role="viewer")
        for page in (admin, viewer):
            await has_come(page)
        status, _ = await ApiClient(site.url, site.gateway.token).post("/api/v1/keys", {"name": "made meanwhile"})
        assert status == 201
        for page in (admin, viewer):
            await expect(page.get_by_text("made meanwhile").first).to_be_visible()


async def test_who_is_signed_out_signs_in_where_they_were(dashboard: OpenDashboard) -> None:
    async with dashboard(traffic=False) as site:
        page = await site.page("/settings")
        await has_come(page)
        await give_password(site.gateway, Role.ADMIN)
        site.expect("response: 401 GET /api/v1/")
        async with site.gateway.database.write() as connection:
            await connection.execute(delete(user_sessions))
        # Which the page hears of by itself, without a click.
        password = page.get_by_role("textbox", name="Password")
        await expect(password).to_be_visible()
        assert page.url == f"{site.url}/settings"
        await assert_accessible(page)
        await page.get_by_role("textbox", name="Name").fill(PEOPLE[Role.ADMIN])
        await password.fill(PASSWORD)
        await page.keyboard.press("Enter")
        await has_come(page)
        assert page.url == f"{site.url}/settings"
        await expect(page.get_by_role("heading", name="Settings", level=1)).to_be_visible()


async def give_password(site: GatewaySite, role: Role) -> None:
    """Let somebody sign in by name and password."""
    users = UserStore(site.database)
    user = await users.named(PEOPLE[role])
    assert user is not None
    await users.set_password(user.id, await Passwords().hash(PASSWORD))


async def test_a_page_that_is_open_goes_on_by_itself_after_a_restart(dashboard: OpenDashboard) -> None:
    async with dashboard(traffic=False) as site:
        page = await site.page("/keys")
        await has_come(page)
        site.expect("request failed: GET /api/v1/")
        await site.gateway.stop()
        away = page.get_by_role("alert").filter(has_text="The gateway cannot be reached.")
        await expect(away).to_be_visible()
        await assert_accessible(page)
        await screenshot(page, "gateway-away")
        await site.gateway.start()
        await expect(away).to_be_hidden()
        await has_come(page)
        status, _ = await ApiClient(site.url, site.gateway.token).post("/api/v1/keys", {"name": "made afterwards"})
        assert status == 201
        await expect(page.get_by_text("made afterwards").first).to_be_visible()


async def test_a_page_that_is_opened_while_the_gateway_is_away_comes_when_it_is_back(
    dashboard: OpenDashboard,
) -> None:
    async with dashboard(traffic=False) as site:
        page = await site.page("/keys")
        await has_come(page)
        site.expect("request failed: GET /")
        # In words of the browser.
        site.expect("console warning: .*preload")
        await site.gateway.stop()
        await page.get_by_role("link", name="Accounts", exact=True).click()
        await expect(page.get_by_role("heading", name="This page could not be loaded")).to_be_visible()
        await expect(page.get_by_role("button", name="Reload the page")).to_be_visible()
        await expect(page.get_by_role("alert").filter(has_text="The gateway cannot be reached.")).to_be_visible()
        await assert_accessible(page)
        await site.gateway.start()
        await expect(page.get_by_role("button", name="Add account").first).to_be_visible()
        await expect(page.get_by_role("heading", name="This page could not be loaded")).to_be_hidden()
        assert page.url == f"{site.url}/accounts"


async def test_an_address_that_there_is_not_is_said_to_be_none_with_a_way_on(dashboard: OpenDashboard) -> None:
    async with dashboard(traffic=False) as site:
        site.expect("response: 404 GET /nowhere/at-all")
        page = await site.page("/nowhere/at-all")
        await expect(page.get_by_role("heading", level=1, name="There is no such page")).to_be_visible()
        await page.get_by_role("link", name="Go to Now").click()
        await expect(page.get_by_role("heading", name="Now", exact=True)).to_be_visible()
