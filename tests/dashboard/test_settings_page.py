"""Settings: what the gateway is set to and where that comes from, and who changed what."""

from __future__ import annotations

from playwright.async_api import expect

from tests.dashboard.browsing import OpenDashboard, assert_accessible, screenshot


async def test_a_setting_is_found_with_its_origin_and_a_secret_only_as_set(dashboard: OpenDashboard) -> None:
    async with dashboard(traffic=False) as site:
        page = await site.page("/settings")
        await expect(page.get_by_text("control_token", exact=True)).to_be_visible()
        await assert_accessible(page)
        await screenshot(page, "settings")
        await page.get_by_role("searchbox", name="Search the settings").fill("drain")
        await expect(page.get_by_text("timeouts.drain_seconds", exact=True)).to_be_visible()
        await expect(page.get_by_text("control_token", exact=True)).to_have_count(0)
        assert page.url.endswith("/settings?q=drain")
        await page.get_by_role("searchbox", name="Search the settings").fill("control_token")
        row = page.get_by_role("listitem").filter(has_text="GATEWAY_CONTROL_TOKEN")
        await expect(row).to_contain_text("Set; its value is never shown")
        await expect(row).not_to_contain_text(site.gateway.token)
        await page.get_by_role("searchbox", name="Search the settings").fill("no such setting")
        await page.get_by_role("button", name="Show all settings").click()
        await expect(page.get_by_text("listen", exact=True)).to_be_visible()


async def test_what_somebody_changed_is_in_the_audit_log_with_before_and_after(dashboard: OpenDashboard) -> None:
    async with dashboard(traffic=False) as site:
        page = await site.page("/settings?tab=audit", theme="dark", width=360)
        token = (await (await page.request.get(f"{site.url}/api/v1/session")).json())["csrf_token"]
        for _ in range(3):
            wrong = {"name": "mallory", "password": "a guess"}
            assert (await page.request.post(f"{site.url}/api/v1/session", data=wrong)).status == 401
        answer = await page.request.patch(
            f"{site.url}/api/v1/accounts/acc_spare",
            data={"name": "<b>Spare</b> & more"},
            headers={"x-csrf-token": token},
        )
        assert answer.ok, await answer.text()
        # The page learns of it by itself.
        row = page.get_by_role("row").filter(has_text="Account changed")
        await expect(row).to_contain_text("Olivia")
        # Attempts are counted rather than each to fill a row.
        await expect(page.get_by_role("row").filter(has_text="Could not sign in")).to_contain_text("\u00d7 3")
        await assert_accessible(page)
        await screenshot(page, "audit")
        await row.click()
        dialog = page.get_by_role("dialog")
        await expect(dialog.get_by_role("row", name="name Spare key <b>Spare</b> & more")).to_be_visible()
        await page.keyboard.press("Escape")
        await expect(dialog).to_have_count(0)


async def test_a_viewer_sees_the_settings_too(dashboard: OpenDashboard) -> None:
    async with dashboard(traffic=False) as site:
        page = await site.page("/settings?set=1", role="viewer", theme="dark", width=360)
        await expect(
            page.get_by_text("Environment", exact=True).or_(page.get_by_text("This command")).first
        ).to_be_visible()
        await screenshot(page, "settings")
