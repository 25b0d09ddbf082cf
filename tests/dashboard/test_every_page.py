"""Every page, in the light and the dark theme, from a phone's width to a desk's; their pictures are kept."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, Literal

from playwright.async_api import Page

from tests.dashboard.browsing import OpenDashboard, Site, assert_accessible, expect, has_come, screenshot
from tests.dashboard.test_sign_in_page import choose

PAGES: Final[Mapping[str, str]] = {
    "now": "/",
    "requests": "/requests",
    "accounts": "/accounts",
    "accounts-table": "/accounts?view=table",
    "usage": "/usage",
    "keys": "/keys",
    "canary": "/canary",
    "canary-machine": "/canary?tab=machine",
    "settings": "/settings",
}
THEMES: Final[tuple[Literal["light", "dark"], ...]] = ("light", "dark")
WIDTHS: Final = (1280, 360)
LOOKED_AT: Final = {("dark", 1280), ("light", 360)}
"""Colours depend on the theme and the layout on the width: two of the four looks show all of both to axe."""


async def test_every_page_fits_and_is_accessible_in_both_themes_and_widths(dashboard: OpenDashboard) -> None:
    async with dashboard() as site, site.gateway.streaming(2):
        page = await site.page(width=WIDTHS[0])
        for name, path in PAGES.items():
            await page.goto(site.url + path)
            await has_come(page)
            await _look(page, name)
        await page.goto(f"{site.url}/requests?outcome=violation")
        await page.locator("tbody tr[aria-rowindex]").first.click()
        await has_come(page)
        await expect(page.get_by_role("button", name="Copy as curl")).to_be_visible()
        await _look(page, "request")
        await _before_signing_in(site)


async def _before_signing_in(site: Site) -> None:
    page = await site.page(role=None, width=WIDTHS[0])
    await expect(page.get_by_role("heading", name="Set up the dashboard")).to_be_visible()
    await _look(page, "setup")
    await choose(site, "Sofia")
    await page.reload()
    await expect(page.get_by_role("textbox", name="Password")).to_be_visible()
    await _look(page, "sign-in")


async def _look(page: Page, name: str) -> None:
    """Look at a page in every theme and width, and keep what there is to be seen."""
    for theme in THEMES:
        await page.emulate_media(color_scheme=theme)
        for width in WIDTHS:
            await page.set_viewport_size({"width": width, "height": 900})
            fits = "document.documentElement.scrollWidth <= document.documentElement.clientWidth"
            assert await page.evaluate(fits), (name, theme, width)
            if (theme, width) in LOOKED_AT:
                await assert_accessible(page)
            await screenshot(page, name, full=True)
