"""What is shown fits into the window, whatever others call their things."""

from __future__ import annotations

from typing import Final

from playwright.async_api import Page

from tests.account_path.harness import NewAccount
from tests.dashboard.browsing import OpenDashboard, expect, has_come

LONG: Final = "w" * 100
BESIDE_SCROLL_BARS: Final = 1280 - 15 - 11
"""What a window of 1280 pixels has left beside its scroll bar and that of a table; tests' browsers show none."""
TABLES: Final = ("/requests", "/keys", "/usage", "/accounts?view=table", "/")
TOO_WIDE: Final = """
() => [...document.querySelectorAll('html, main *, dialog[open], dialog[open] *')]
  .filter(one => one === document.documentElement || ['auto', 'scroll'].includes(getComputedStyle(one).overflowX)
                 || one.tagName === 'DIALOG' || one.closest('th') !== null)
  .filter(one => one.clientWidth > 0 && one.scrollWidth > one.clientWidth + 1)
  .map(one => `${one.tagName} ${one.className} ${one.textContent.slice(0, 40)}`)
"""


async def too_wide(page: Page) -> list[str]:
    """Return what would have to be scrolled sideways, and headings of columns that are cut off."""
    return await page.evaluate(TOO_WIDE)


async def test_tables_with_their_usual_columns_fit_a_window_of_1280_pixels(dashboard: OpenDashboard) -> None:
    async with dashboard() as site:
        page = await site.page(width=BESIDE_SCROLL_BARS)
        for path in TABLES:
            await page.goto(site.url + path)
            await has_come(page)
            while not await page.locator("tbody tr[aria-rowindex]").count():
                # Sums of what was used come a moment after the requests.
                await page.reload()
                await has_come(page)
            assert await too_wide(page) == [], path


async def test_dialogs_about_an_account_with_the_longest_name_fit_a_phone(dashboard: OpenDashboard) -> None:
    account = NewAccount(LONG, api_key="sk-ant-api03-of-the-longest-name", more={"id": "acc_long"})
    async with dashboard(accounts=[account], traffic=False) as site:
        page = await site.page("/accounts", width=360, height=740)
        await page.get_by_role("button", name=LONG, exact=True).click()
        await expect(page.get_by_role("dialog", name=LONG)).to_be_visible()
        assert await too_wide(page) == []
        await page.keyboard.press("Escape")
        await page.get_by_role("button", name=f"Actions for {LONG}").click()
        await page.get_by_role("menuitem", name="Remove").click()
        await expect(page.get_by_role("dialog", name="Remove")).to_be_visible()
        assert await too_wide(page) == []
