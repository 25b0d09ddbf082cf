"""The page Now: streams in flight as they go on, how the gateway is, and what has just ended."""

from __future__ import annotations

import re
from contextlib import AsyncExitStack

import pytest

from gateway.store.accounts import AccountStore
from tests.contract.harness import MESSAGES
from tests.dashboard.browsing import OpenDashboard, Site, assert_accessible, expect, screenshot
from tests.replay.raw_client import RawConnection, message

HOSTILE = "<img src=x onerror=alert(1)>"


async def begin(site: Site, stack: AsyncExitStack, model: str, **headers: str) -> RawConnection:
    """Begin a stream that stays for as long as the stack does, or until it is over."""
    gateway = site.gateway
    connection = await stack.enter_async_context(gateway.connect())
    named = [(name.replace("_", "-"), value) for name, value in headers.items()]
    await connection.send(MESSAGES, message(stream=True, model=model), headers=named, usual=gateway.usual)
    return connection


async def test_streams_are_on_the_board_while_they_last_and_below_it_when_they_are_over(
    dashboard: OpenDashboard,
) -> None:
    async with dashboard() as site, AsyncExitStack() as stack:
        page = await site.page("/")
        board = page.get_by_role("region", name="In flight")
        await expect(board.get_by_text("No request is in flight")).to_be_visible()
        ended = page.get_by_role("region", name="Just ended")
        await expect(ended.get_by_role("row")).to_have_count(site.gateway._asked + 1)

        await begin(site, stack, "replay-thinking-then-text", x_replay_fault="hang:event=5")
        await begin(site, stack, HOSTILE, x_replay_fault="hang:head")
        rows = board.get_by_role("row")
        await expect(rows).to_have_count(3)
        thinking = rows.filter(has_text="replay-thinking-then-text")
        await expect(thinking).to_contain_text("Thinking")
        await expect(thinking).to_contain_text("Ana's laptop")
        await expect(rows.filter(has_text=HOSTILE)).to_contain_text("Awaits the answer")
        health = page.get_by_role("region", name="Health")
        await expect(health).to_contain_text("2 requests")
        await expect(health).to_contain_text("SQLite answers")

        # One that ends leaves the board, and what became of it is told at once.
        quick = await begin(site, stack, "claude-sonnet-5", x_replay_tokens_per_second="100")
        await quick.receive()
        await expect(ended.get_by_role("row").nth(1)).to_contain_text("claude-sonnet-5")
        await expect(rows).to_have_count(3)

        # By keyboard: the board's first row, its details, and back.
        await thinking.focus()
        await page.keyboard.press("Enter")
        dialog = page.get_by_role("dialog", name="Request in flight")
        await expect(dialog).to_contain_text("Its way so far")
        await expect(dialog.get_by_role("row", name="Thinking")).to_be_visible()
        await assert_accessible(page)
        await screenshot(page, "now-detail")
        await page.keyboard.press("Escape")
        await expect(dialog).to_be_hidden()
        await expect(thinking).to_be_focused()

        # Filters are in the address.
        await page.get_by_role("radio", name="OpenAI").check()
        await expect(page).to_have_url(f"{site.url}/?provider=openai")
        await expect(board).to_contain_text("No request to this provider is in flight")
        await expect(ended.get_by_role("row")).to_have_count(2)
        await page.go_back()
        await expect(rows).to_have_count(3)
        await page.get_by_role("radio", name="The last minute").check()
        await expect(page).to_have_url(f"{site.url}/?lanes=minute")
        await expect(page.get_by_role("region", name="Last hour")).to_contain_text(re.compile(r"\d+% of requests"))
        await assert_accessible(page)
        await screenshot(page, "now", full=True)
        dark = await site.page("/", theme="dark", width=360)
        await expect(dark.get_by_role("region", name="In flight").get_by_role("row")).to_have_count(3)
        await assert_accessible(dark)
        await screenshot(dark, "now", full=True)


async def test_what_ends_comes_into_the_list_below_when_nobody_is_about_to_press_something_there(
    dashboard: OpenDashboard,
) -> None:
    async with dashboard() as site:
        page = await site.page("/")
        ended = page.get_by_role("region", name="Just ended")
        rows = ended.get_by_role("row")
        since = ended.get_by_role("button", name="ended since")
        await expect(rows).to_have_count(site.gateway._asked + 1)
        first = rows.nth(1)
        board = page.get_by_role("region", name="In flight")
        await expect(board.get_by_text("No request is in flight")).to_be_visible()

        await first.hover()
        await site.gateway.stream({"model": "ended-while-pointed-at"})
        await expect(since).to_have_text("1 ended since")
        await site.gateway.stream({"model": "ended-while-pointed-at"})
        await expect(since).to_have_text("2 ended since")
        fresh = rows.filter(has_text="ended-while-pointed-at")
        await expect(fresh).to_have_count(0)
        height = (await board.bounding_box() or {})["height"]
        async with site.gateway.streaming(8):
            await expect(board.get_by_role("row")).to_have_count(9)
            # Nor does it move because of what is above it.
            assert (await board.bounding_box() or {})["height"] == pytest.approx(height)
        await expect(since).to_have_text("10 ended since")
        await assert_accessible(page)
        await screenshot(page, "now-ended-since")
        await since.click()
        await expect(fresh).to_have_count(2)
        await expect(since).to_be_hidden()

        # It holds still for the keyboard as well, and goes on by itself when nobody is there.
        await page.mouse.move(1, 1)
        await first.focus()
        await page.keyboard.press("ArrowDown")
        await expect(rows.nth(2)).to_be_focused()
        await site.gateway.stream({"model": "ended-by-keyboard"})
        await expect(since).to_have_text("1 ended since")
        await since.focus()
        await page.keyboard.press("Enter")
        await expect(first).to_contain_text("ended-by-keyboard")
        await expect(first).to_be_focused()
        await site.gateway.stream({"model": "ended-at-last"})
        await expect(since).to_be_visible()
        await page.get_by_role("link", name="Skip to the page").focus()
        await expect(first).to_contain_text("ended-at-last")
        await expect(since).to_be_hidden()


async def test_a_page_that_is_open_while_the_gateway_restarts_shows_what_is_in_flight_afterwards(
    dashboard: OpenDashboard,
) -> None:
    async with dashboard(traffic=False) as site, AsyncExitStack() as stack:
        site.expect("request failed|response: 503|Failed to fetch")
        page = await site.page("/")
        rows = page.get_by_role("region", name="In flight").get_by_role("row")
        await begin(site, stack, "claude-opus-5-5", x_replay_fault="hang:event=5")
        await expect(rows).to_have_count(2)
        other = await site.page("/", role="viewer")
        await expect(other.get_by_role("region", name="In flight").get_by_role("row")).to_have_count(2)
        await site.gateway.restart()
        await begin(site, stack, "claude-sonnet-5", x_replay_fault="hang:event=5")
        for one in (page, other):
            rows = one.get_by_role("region", name="In flight").get_by_role("row")
            await expect(rows.filter(has_text="claude-sonnet-5")).to_be_visible()
            await expect(rows).to_have_count(2)


async def test_that_no_account_can_serve_is_said_above_all_else_until_one_can(dashboard: OpenDashboard) -> None:
    async with dashboard(traffic=False) as site:
        store = AccountStore(site.gateway.database)
        for account in await store.all():
            if account.provider == "anthropic":
                await store.pause(account.id)
        page = await site.page("/")
        out = page.get_by_role("alert").filter(has_text="No account of Anthropic can serve now.")
        await expect(out).to_contain_text("2 accounts are paused.")
        await expect(page.get_by_text("No account of OpenAI")).to_have_count(0)
        await assert_accessible(page)
        await screenshot(page, "now-outage")
        await page.set_viewport_size({"width": 360, "height": 800})
        assert await page.evaluate("() => document.documentElement.scrollWidth") <= 360
        await screenshot(page, "now-outage-narrow")
        for account in await store.all():
            await store.resume(account.id)
        await expect(out).to_be_hidden()
