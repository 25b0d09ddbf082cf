"""Requests: found by what they can be told apart by, watched as they end, and shown in full."""

from __future__ import annotations

import asyncio
import json
import re
import shlex
from pathlib import Path

import pytest
from playwright.async_api import Page, expect

from gateway.ledger.record import RequestRecord
from gateway.ledger.row import RequestRow
from gateway.store.requests import RequestStore
from sse_fsm.__main__ import main as sse_fsm
from tests.contract.harness import GATEWAY_ID, MESSAGES
from tests.dashboard.browsing import OpenDashboard, Site, assert_accessible, has_come, screenshot
from tests.ledger.writing import make_record
from tests.replay.raw_client import LIMIT

HOSTILE = '<img src=x onerror="document.title=1">'


async def put(site: Site, records: list[RequestRecord]) -> None:
    await RequestStore(site.gateway.database).insert([RequestRow.of(record).columns() for record in records])


async def rows_of(page: Page) -> int:
    return int(await page.get_by_role("grid").get_attribute("aria-rowcount") or 0) - 1


async def _to_the_older_one(page: Page) -> None:
    """Go there by a key, which means nothing elsewhere: words that are spoken may have a j in them."""
    here = page.url
    await page.get_by_role("link", name="Usage").focus()
    await page.keyboard.press("j")
    assert page.url == here
    await page.get_by_role("button", name="Older request").focus()
    await page.keyboard.press("j")


async def test_requests_are_filtered_watched_and_opened_by_the_keyboard(dashboard: OpenDashboard) -> None:
    async with dashboard() as site:
        now = site.gateway.database.clock()
        old = [
            make_record(number, at=now - 3600 - number, model=HOSTILE, actor=HOSTILE, client="='x'")
            for number in range(700)
        ]
        await put(site, old)
        page = await site.page("/requests")
        grid = page.get_by_role("grid", name="Requests, the newest first")
        await expect(page.get_by_role("heading", name="711 requests")).to_be_visible()
        await has_come(page)
        await assert_accessible(page)
        await screenshot(page, "requests")

        # Older ones come as one scrolls to them.
        assert await rows_of(page) < 711
        await grid.get_by_role("row").nth(1).focus()
        async with asyncio.timeout(LIMIT):
            while await rows_of(page) < 711:
                await page.keyboard.press("End")
                await page.evaluate("() => new Promise(requestAnimationFrame)")
        await expect(grid).to_have_attribute("aria-rowcount", "712")
        await page.keyboard.press("End")
        await expect(grid.get_by_text(HOSTILE).first).to_be_visible()
        await page.keyboard.press("Home")

        # One that ends meanwhile is offered, for the reader is in the table; then it stands at the top.
        new = (await site.gateway.stream(fault="duplicate-start:event=5")).header(GATEWAY_ID) or ""
        await page.get_by_role("button", name="1 new").click()
        await expect(grid.get_by_role("row").nth(1)).to_contain_text("duplicate_message_start")
        await expect(page.get_by_role("heading", name="712 requests")).to_be_visible()

        await page.get_by_role("button", name="Outcome").click()
        await page.get_by_role("menuitemcheckbox", name="What went wrong").click()
        await page.keyboard.press("Escape")
        await expect(page).to_have_url(f"{site.url}/requests?wrong=1")
        await expect(page.get_by_role("heading", name="4 requests")).to_be_visible()
        await page.get_by_role("button", name="Only What went wrong").click()
        await page.get_by_label("Account", exact=True).select_option("OpenAI work")
        await expect(page.get_by_role("heading", name="1 request", exact=True)).to_be_visible()
        await page.go_back()
        await page.go_back()
        await expect(page.get_by_role("heading", name="4 requests")).to_be_visible()

        await page.get_by_role("button", name="Columns").click()
        await page.get_by_role("menuitemcheckbox", name="Model").click()
        await page.keyboard.press("Escape")
        await page.reload()
        await expect(grid.get_by_role("columnheader", name="Outcome")).to_be_visible()
        await expect(grid.get_by_role("columnheader", name="Model")).to_have_count(0)

        await grid.get_by_role("row").nth(1).focus()
        await page.keyboard.press("Enter")
        await expect(page).to_have_url(f"{site.url}/requests/{new}?wrong=1")
        await expect(page.get_by_role("heading", name="Broken rule: duplicate_message_start")).to_be_visible()
        await _to_the_older_one(page)
        await expect(page.get_by_text("ended the stream with the error overloaded_error")).to_be_visible()
        await page.keyboard.press("Escape")
        await expect(page).to_have_url(f"{site.url}/requests?wrong=1")
        await expect(grid).to_have_attribute("aria-rowcount", "5")


async def test_a_filter_is_put_together_in_a_form_and_nothing_found_says_what_to_do(
    dashboard: OpenDashboard, tmp_path: Path
) -> None:
    async with dashboard() as site:
        page = await site.page("/requests", theme="dark", width=360)
        await page.get_by_role("button", name="More filters").click()
        form = page.get_by_role("dialog", name="Filter requests")
        await form.get_by_label("HTTP status that the client got").fill("40")
        await form.get_by_role("button", name="Show requests").click()
        await expect(form.get_by_text("A status is a number from 100 to 599.")).to_be_visible()
        await assert_accessible(page)
        await form.get_by_label("HTTP status that the client got").fill("400")
        await form.get_by_label("Key, by name or id").fill("Ana's laptop")
        await form.get_by_label("Model, as asked for or as it answered").fill("claude-*")
        await screenshot(page, "requests-filters")
        await form.get_by_role("button", name="Show requests").click()
        await expect(page.get_by_role("heading", name="1 request", exact=True)).to_be_visible()
        await screenshot(page, "requests")
        await assert_accessible(page)
        async with page.expect_download() as download:
            await page.get_by_role("link", name="Export CSV").click()
        file = tmp_path / "requests.csv"
        await (await download.value).save_as(file)
        lines = (await asyncio.to_thread(file.read_text)).splitlines()
        assert len(lines) == 2
        assert lines[0].startswith("id,at,route,")
        await page.goto(f"{site.url}/requests?session=none&status=nonsense&outcome=well")
        await expect(page.get_by_text("No request is like that")).to_be_visible()
        await page.get_by_role("button", name="Clear all").click()
        await expect(page.get_by_role("heading", name="11 requests")).to_be_visible()


async def test_a_strange_stream_becomes_evidence(
    dashboard: OpenDashboard, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    async with dashboard() as site:
        slow = [("x-replay-stream", "thinking-interleaved-tools"), ("x-replay-tokens-per-second", "60")]
        fault = "hang:event=6;seconds=1.1|skip-index:block=2"
        broken = (await site.gateway.stream(headers=slow, fault=fault)).header(GATEWAY_ID)
        await site.gateway.settled()
        page = await site.page(f"/requests/{broken}", permissions=["clipboard-read", "clipboard-write"])
        await expect(page.get_by_text("The stream broke the rule block_index_gap")).to_be_visible()
        await expect(page.get_by_text("A block starts with an index higher than")).to_be_visible()
        await expect(page.get_by_text("The client got all whole events before it")).to_be_visible()
        await expect(page.get_by_text("event: content_block_start")).to_be_visible()
        timeline = page.get_by_role("slider", name="Events of the stream")
        await expect(timeline).to_have_attribute("aria-valuetext", re.compile("broke the rule block_index_gap"))
        await timeline.focus()
        await page.keyboard.press("Home")
        await expect(timeline).to_have_attribute("aria-valuetext", re.compile("message_start"))
        await assert_accessible(page)
        await screenshot(page, "request", full=True)
        await page.get_by_role("tab", name="Table").click()
        await expect(page.get_by_role("cell", name="thinking_delta").first).to_be_visible()

        await page.get_by_role("button", name="Copy as curl").click()
        words = shlex.split(await page.evaluate("navigator.clipboard.readText()"))
        assert words[:3] == ["curl", "-N", site.gateway.gateway.url + MESSAGES]
        assert json.loads(words[-1])["stream"] is True
        async with page.expect_download() as download:
            await page.get_by_role("link", name="Download skeleton .sse").click()
        file = tmp_path / "strange.sse"
        await (await download.value).save_as(file)
        assert await asyncio.to_thread(sse_fsm, ["check", str(file)]) == 1
        assert "block_index_gap" in capsys.readouterr().out


async def test_what_was_tried_is_shown_and_what_is_not_known_is_explained(dashboard: OpenDashboard) -> None:
    async with dashboard() as site:
        page = await site.page("/requests", theme="dark")
        grid = page.get_by_role("grid")
        await expect(grid.get_by_text("request refused")).to_have_attribute("title", re.compile("^request: "))
        await expect(grid.get_by_title("Nobody served it. Tried: ")).to_be_visible()
        await grid.get_by_role("row").nth(2).click()
        await expect(page.get_by_text("was overloaded (HTTP 529).")).to_be_visible()
        await expect(page.get_by_text("served it instead.")).to_be_visible()
        tries = page.get_by_role("list", name="From the request to its end")
        await expect(tries).to_contain_text("529 overload")
        await expect(tries).to_contain_text("served")
        await expect(page.get_by_text("one is kept of streams that did not end well")).to_be_visible()
        await expect(page.get_by_role("row", name="Output 33 $20 per million")).to_be_visible()
        await screenshot(page, "request", full=True)
        site.expect("404 GET /api/v1/requests/req_none")
        await page.keyboard.press("Escape")
        await expect(grid.get_by_role("row").nth(2)).to_be_focused()
        await page.get_by_role("searchbox", name="Go to a request id").fill(" req_none ")
        await page.keyboard.press("Enter")
        await expect(page).to_have_url(f"{site.url}/requests/req_none")
        await expect(page.get_by_text("This request is not known")).to_be_visible()
        await expect(page.get_by_text("No request has this id.")).to_be_visible()
        await assert_accessible(page)
        await page.get_by_role("link", name="All requests").click()
        await expect(page.get_by_role("heading", name="11 requests")).to_be_visible()
