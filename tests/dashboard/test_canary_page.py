"""Canary: evidence by one click, what comes next, and the machine that judges every stream."""

from __future__ import annotations

import asyncio
import re
from pathlib import Path

from playwright.async_api import Page, expect

from gateway.config import DashboardSettings
from gateway.replay.server import ReplayUpstream
from tests import answer_watch
from tests.contract.harness import MESSAGES
from tests.dashboard.browsing import OpenDashboard, assert_accessible, screenshot
from tests.replay.raw_client import message

OLD_KEY = "the-key-to-what-serves-now"
HOSTILE = "claude-opus-5-5</code><img src=x onerror=alert(1)>\u202e"


async def fits(page: Page) -> bool:
    """Whether nothing of a page lies beside its window."""
    return await page.evaluate("document.documentElement.scrollWidth <= window.innerWidth")


async def ends_with_its_content(page: Page) -> bool:
    """Whether a page scrolls no further than there is something to see."""
    return await page.evaluate(
        "document.documentElement.scrollHeight"
        " <= Math.max(window.innerHeight, document.body.getBoundingClientRect().height) + 1"
    )


async def run_smoke(page: Page) -> None:
    """Start a small one."""
    card = page.get_by_role("region", name="Smoke", exact=True)
    await card.get_by_text("Options").click()
    await card.get_by_label("Streams side by side").select_option("one at a time")
    await card.get_by_label("Bodies of 1 and 31 MiB").uncheck()
    await expect(card).to_contain_text("Sends 5 requests that a model answers")
    await card.get_by_role("button", name="Run smoke").click()


async def test_smoke_is_run_by_one_and_watched_by_another_and_its_evidence_is_taken_along(
    dashboard: OpenDashboard,
) -> None:
    async with dashboard(traffic=False) as site:
        profile = await site.profile()
        page = await site.open(profile, "/canary")
        other = await site.page("/canary", role="viewer", theme="dark", width=360)
        await expect(page.get_by_text("Nothing has been run since the gateway started")).to_be_visible()
        await assert_accessible(page)
        await screenshot(page, "canary-empty", full=True)
        await expect(other.get_by_text("Only admins can run this.")).to_have_count(3)
        await expect(other.get_by_role("button", name=re.compile("^Run "))).to_have_count(0)

        await run_smoke(page)
        found = page.get_by_role("region", name="Smoke: what it found")
        await expect(found).to_contain_text("Running")
        # What is shown has the focus: the button that was pressed is gone.
        await expect(page.locator("[tabindex='-1']").filter(has=found).last).to_be_focused()
        # Nobody told the other page but the gateway.
        await expect(other.get_by_role("region", name="Smoke", exact=True)).to_contain_text("checks passed")
        await expect(found).to_contain_text("16 of 16 checks passed, 3 not checked")
        rows = found.get_by_role("region", name="Checks").get_by_role("listitem")
        await expect(rows).to_have_count(19)
        await expect(rows.filter(has_text="tool: call")).to_contain_text("stop reason tool_use")
        step = page.get_by_role("listitem").filter(has_text="Gather evidence").first
        await expect(step).to_contain_text("passed just now")
        await found.get_by_label("Only warnings and problems").check()
        await expect(found).to_contain_text("No warning and no problem")
        await found.get_by_label("Only warnings and problems").uncheck()

        await found.get_by_role("button", name="Copy Markdown").click()
        await expect(page.get_by_text("Copied")).to_be_visible()
        await found.get_by_text("Report", exact=True).click()
        await expect(found.get_by_text("# Canary smoke: PASS")).to_be_visible()
        async with page.expect_download() as download:
            await found.get_by_role("link", name="Download").click()
        path = await (await download.value).path()
        report = await asyncio.to_thread(Path(path).read_text, "utf-8")
        assert report.startswith("# Canary smoke: PASS\n")
        await assert_accessible(page)
        await screenshot(page, "canary", full=True)
        assert await fits(page)
        await other.get_by_role("row").filter(has_text="Smoke").click()
        await expect(other.get_by_role("region", name="Smoke: what it found")).to_contain_text("16 of 16")
        assert await ends_with_its_content(other)
        await expect(other.get_by_role("button", name="Cancel")).to_have_count(0)
        await assert_accessible(other)
        await screenshot(other, "canary", full=True)
        assert await fits(other)

        # The requests are there to be looked at, by a key that is of no use any more.
        await expect(found.get_by_role("link", name=re.compile("^key_"))).to_have_attribute(
            "href", re.compile(r"^/requests\?range=30d&actor=key_")
        )


async def test_a_run_is_compared_cancelled_and_forgotten_by_a_gateway_that_is_started_again(
    dashboard: OpenDashboard,
) -> None:
    answer_watch.keep(OLD_KEY)
    async with ReplayUpstream(api_keys={OLD_KEY}) as old:
        settings = DashboardSettings(baseline_url=old.url)
        async with dashboard(traffic=False, dashboard=settings) as site:
            page = await site.page("/canary")
            card = page.get_by_role("region", name="Compare", exact=True)
            await card.get_by_role("button", name="Run compare").click()
            await expect(card.get_by_text("Enter a key to what serves now.")).to_be_visible()
            await card.get_by_label("Key to what serves now").fill("a-wrong-key")
            await card.get_by_role("button", name="Run compare").click()
            found = page.get_by_role("region", name="Compare: what it found")
            await expect(found).to_contain_text("does not take the old key")
            await expect(found).to_contain_text("No result")
            assert await card.get_by_label("Key to what serves now").input_value() == ""

            old.faults.push("hang:head")
            await card.get_by_label("Key to what serves now").fill(OLD_KEY)
            await card.get_by_role("button", name="Run compare").click()
            await old.wait_for(lambda: old.open_streams > 0)
            await (
                page.get_by_role("region", name="Compare: what it found")
                .get_by_role("button", name="Cancel")
                .click()
            )
            await expect(card).to_contain_text("Cancelled")
            await expect(page.get_by_role("row").filter(has_text="Compare")).to_have_count(2)

            site.expect("request failed|ERR_|response: (404|502|503)")
            await site.gateway.restart()
            await expect(page.get_by_text("This run is not known any more")).to_be_visible()
            await expect(page.get_by_text("Nothing has been run since the gateway started")).to_be_visible()


async def test_the_machine_counts_what_streams_do_and_shows_who_broke_its_rules(dashboard: OpenDashboard) -> None:
    async with dashboard(traffic=False) as site:
        page = await site.page("/canary?tab=machine")
        narrow = await site.page("/canary?tab=machine", theme="dark", width=360)
        await expect(page.get_by_text("No rule was broken")).to_be_visible()
        for one in (page, narrow):
            await expect(one.get_by_text("Counted since")).to_be_visible()
        # By keyboard alone.
        await page.get_by_role("button", name="AWAIT_START").focus()
        await page.keyboard.press("Tab")
        await page.keyboard.press("Tab")
        await page.keyboard.press("Enter")
        await expect(page.get_by_role("region", name="IN_BLOCK")).to_contain_text("duplicate_message_start")
        await expect(page.get_by_role("button", name="IN_BLOCK")).to_have_attribute("aria-pressed", "true")

        async with site.gateway.streaming(2):
            await expect(page.get_by_role("button", name="IN_BLOCK 2 here now")).to_be_visible()
            await screenshot(page, "canary-machine", full=True)
            await screenshot(narrow, "canary-machine", full=True)
        body = message(stream=True, model=HOSTILE)
        await site.gateway.ask(body, MESSAGES, fault="duplicate-start:event=5")
        await page.get_by_text("The same as a table").click()
        row = page.get_by_role("row").filter(has_text="VIOLATED").filter(has_text="IN_BLOCK")
        await expect(row).to_contain_text("1")

        rule = page.get_by_role("listitem").filter(has_text="duplicate_message_start").last
        await expect(rule).to_contain_text("the official TypeScript SDK throws on it")
        await expect(rule).to_contain_text("<img src=x onerror=alert(1)>")
        await assert_accessible(page)
        await assert_accessible(narrow)
        assert await fits(narrow)
        await rule.get_by_role("link", name=re.compile("^req_")).click()
        await expect(page).to_have_url(re.compile(r"/requests/req_\w+$"))
