"""Usage: what was used and what it cost, over time and by what, and where budgets are heading."""

from __future__ import annotations

import csv
import io
import re
from datetime import UTC, datetime
from typing import Any, Final

from gateway.ledger.record import SwitchRecord
from gateway.ledger.row import RequestRow
from gateway.pricing.cost import Cost
from gateway.pricing.usage import Usage
from gateway.store.client_keys import ClientKeyStore
from gateway.store.request_totals import RequestTotals
from gateway.store.requests import RequestStore
from tests.cli_requests.filling import a_request
from tests.dashboard.browsing import OpenDashboard, assert_accessible, expect, screenshot
from tests.dashboard.site import GatewaySite

HOSTILE: Final = "claude-<img src=x onerror=alert(1)>"
DAY: Final = 86_400.0
MODELS: Final = (
    ("claude-opus-5-5", 90_000_000),
    ("claude-sonnet-5-5", 40_000_000),
    ("claude-haiku-5-5", 3_000_000),
)


async def _use(site: GatewaySite) -> None:
    """Have had requests for forty days, some of a model without a price, and one that had to leave its account."""
    now = datetime.now(UTC).timestamp()
    store = ClientKeyStore(site.database)
    await store.change_terms("Ana's laptop", {"nanousd_day": 5 * 10**9, "tokens_month": 10})
    (ana, nightly) = [(await store.ids_of(name))[0] for name in ("Ana's laptop", "nightly builds")]
    rows: list[dict[str, Any]] = []
    for number in range(240):
        model, cost = MODELS[number % 3]
        facts: dict[str, Any] = {"actor_id": (ana, nightly)[number % 2], "model": model, "model_served": model}
        facts["counts"] = Usage(
            input_tokens=1200 + 40 * number, output_tokens=900, cache_read_tokens=21_000, cache_write_tokens=2_500
        )
        facts["account"] = ("Team plan", "Spare key")[number % 2]
        facts["cost"] = Cost(nanousd=cost + number * 100_000)
        if number % 40 == 7:
            facts["switch"] = SwitchRecord("Spare key", "overload", 21_000, 0.13)
        if number % 30 == 11:
            facts |= {"model": HOSTILE, "model_served": HOSTILE, "cost": Cost(nanousd=None, note="unknown model")}
        rows.append(RequestRow.of(a_request(10_000 + number, at=now - 60 - number * DAY / 6, **facts)).columns())
    await RequestStore(site.database).insert(rows, [])
    while await RequestTotals(site.database).sum_up(1000):
        pass


async def test_what_was_used_is_shown_by_whatever_the_reader_chooses(dashboard: OpenDashboard) -> None:
    async with dashboard(traffic=False) as site:
        await _use(site.gateway)
        page = await site.page("/usage")
        table = page.get_by_role("region", name="Use by model")
        for model in ("claude-opus-5-5", HOSTILE):
            await expect(table.get_by_role("link", name=model)).to_be_visible()
        # What has no price is named, and is no cost of nothing.
        notice = page.get_by_role("region", name="requests have no known cost")
        await expect(notice.get_by_text(HOSTILE)).to_be_visible()
        await expect(table.get_by_role("row", name=HOSTILE)).to_contain_text("unknown")
        await expect(page.get_by_role("figure").first.locator("canvas")).to_be_visible()
        await expect(page.get_by_role("region", name="Prompt cache")).to_contain_text("Saved")
        await expect(page.get_by_role("region", name="Affinity switches")).to_contain_text("Moved to")
        budgets = page.get_by_role("region", name="Budgets")
        await expect(budgets.get_by_role("meter", name="Budget of Ana's laptop, Today")).to_be_visible()
        await assert_accessible(page)
        await screenshot(page, "usage", full=True)

        await page.get_by_role("radio", name="Key", exact=True).check(force=True)
        await page.get_by_role("radio", name="Requests").check(force=True)
        await expect(page.get_by_role("region", name="Use by key")).to_contain_text("nightly builds")
        assert page.url.endswith("/usage?by=actor&show=requests")
        await page.get_by_role("radio", name="7 days").check(force=True)
        await expect(page.get_by_text("Days begin at midnight in Europe/Berlin.")).to_be_visible()
        over_time = page.get_by_role("region", name="Use over time")
        await over_time.get_by_role("button", name="Show as table").click()
        await expect(over_time.get_by_role("rowheader")).to_have_count(7)
        await expect(over_time.get_by_role("columnheader", name="nightly builds")).to_be_visible()

        await page.get_by_role("radio", name="Custom").check(force=True)
        await page.get_by_label("From", exact=True).fill("2026-01-02")
        await expect(page.get_by_text("Days begin at midnight in UTC")).to_be_visible()
        assert "from=2026-01-02" in page.url
        await page.go_back()
        await expect(page.get_by_role("radio", name="7 days")).to_be_checked()


async def test_use_goes_into_a_spreadsheet_and_to_the_requests_behind_it(dashboard: OpenDashboard) -> None:
    async with dashboard(traffic=False) as site:
        await _use(site.gateway)
        page = await site.page("/usage?period=today", theme="dark", width=360)
        # What the day so young has is what it has; the period before is there in any case.
        await expect(page.get_by_role("region", name="Totals")).to_contain_text("vs. before")
        await page.get_by_role("radio", name="90 days").check(force=True)
        await expect(page.get_by_role("region", name="Prompt cache").locator("canvas")).to_be_visible()
        await assert_accessible(page)
        await screenshot(page, "usage", full=True)
        assert await page.evaluate("document.documentElement.scrollWidth") <= 360
        await page.get_by_role("button", name="Export CSV").click()
        async with page.expect_download() as download:
            await page.get_by_role("menuitem", name="By model", exact=True).click()
        file = await (await download.value).path()
        rows = {row["model"]: row for row in csv.DictReader(io.StringIO(file.read_text()))}
        assert set(rows) == {HOSTILE, *(model for model, _ in MODELS)}
        assert int(rows["claude-opus-5-5"]["requests"]) > 70
        await page.get_by_role("link", name="claude-opus-5-5").click()
        await expect(page).to_have_url(re.compile(r"/requests\?model=claude-opus-5-5&since="))


async def test_without_any_use_the_page_says_so(dashboard: OpenDashboard) -> None:
    async with dashboard(traffic=False) as site:
        page = await site.page("/usage", role="viewer")
        await expect(page.get_by_text("Nothing was used in this period").first).to_be_visible()
        await expect(page.get_by_text("No key has a budget")).to_be_visible()
        await assert_accessible(page)
        await page.get_by_role("link", name="Set one on the Keys page").click()
        await expect(page).to_have_url(re.compile("/keys$"))
