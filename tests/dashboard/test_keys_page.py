"""Keys: made and shown once, limited, replaced and revoked; and ten thousand of them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from playwright.async_api import Page
from sqlalchemy import insert

from gateway.config import ClientAuth
from gateway.store.tables import client_keys
from tests.dashboard.browsing import OpenDashboard, Site, assert_accessible, expect, screenshot

HOSTILE: Final = "<script>alert(1)</script>"
PLAIN_HTTP: Final = """
Object.defineProperty(window, 'isSecureContext', { value: false });
Object.defineProperty(navigator, 'clipboard', { value: undefined });
"""
"""What a browser gives a page that came over plain http from another machine."""


async def _status(site: Site, key: str) -> int:
    _, *others = site.gateway.usual
    return (await site.gateway.stream(usual=[("x-api-key", key), *others])).status


async def _shown_key(page: Page) -> str:
    return await page.get_by_role("dialog").locator("code").first.inner_text()


async def test_a_key_is_made_copied_over_plain_http_and_never_shown_again(dashboard: OpenDashboard) -> None:
    async with dashboard(traffic=False, keys=()) as site:
        profile = await site.profile()
        await profile.add_init_script(PLAIN_HTTP)
        page = await site.open(profile, "/keys")
        await expect(page.get_by_text("There are no keys yet")).to_be_visible()
        await assert_accessible(page)
        await page.locator("main").get_by_role("button", name="Create a key").last.click()
        dialog = page.get_by_role("dialog")
        await dialog.get_by_role("button", name="Create").click()
        await expect(dialog.get_by_text("Give it a name")).to_be_visible()
        await dialog.get_by_label("Name").fill(HOSTILE)
        await dialog.get_by_label("USD a day").fill("5")
        await dialog.get_by_label("Requests a minute").fill("60")
        await dialog.get_by_label("Models").fill("claude-opus-*, claude-haiku-*")
        await expect(dialog.get_by_text("$5 a day, 60 requests a minute, only claude-opus-*")).to_be_visible()
        await assert_accessible(page)
        await screenshot(page, "key-form")
        await dialog.get_by_label("Name").press("Enter")
        await expect(dialog.get_by_role("heading", name=f"The key of {HOSTILE}")).to_be_visible()
        key = await _shown_key(page)
        assert await _status(site, key) == 200

        # Nobody loses it by a key pressed too early.
        await page.keyboard.press("Escape")
        await expect(dialog.get_by_text("You have not copied the key.")).to_be_visible()
        await dialog.get_by_role("button", name="Copy the key").click()
        await dialog.get_by_label("Address that clients use").fill("https://claude.example/claude/")
        await expect(dialog.get_by_text(f"ANTHROPIC_AUTH_TOKEN={key} claude")).to_be_visible()
        await dialog.get_by_role("tab", name="curl").click()
        await expect(dialog.locator("pre")).to_contain_text("https://claude.example/claude/v1/messages")
        await expect(dialog.locator("pre")).to_contain_text("claude-haiku-5-5")
        await assert_accessible(page)
        await dialog.get_by_role("button", name="Done").click()

        await expect(page.get_by_role("row", name=HOSTILE)).to_contain_text("$5 a day, 60 requests a minute")
        assert key not in await page.content()
        # What was copied is in the clipboard; the search asks for no more of it than may be known.
        search = page.get_by_role("searchbox", name="Search keys")
        await search.focus()
        await page.keyboard.press("Control+V")
        await expect(search).to_have_value(key)
        await expect(page.get_by_role("row", name=HOSTILE)).to_be_visible()
        assert not any(key in url for url in site.asked)


async def test_a_key_is_limited_replaced_and_revoked_while_it_is_used(dashboard: OpenDashboard) -> None:
    async with dashboard() as site:
        first = site.gateway.key
        page = await site.page("/keys", theme="dark", width=360)
        row = page.get_by_role("row", name="Ana's laptop")
        await expect(row).to_be_visible()
        await screenshot(page, "keys")
        await row.click()
        dialog = page.get_by_role("dialog")
        await expect(dialog.get_by_text("In all")).to_be_visible()
        await assert_accessible(page)
        await screenshot(page, "key")

        await dialog.get_by_role("button", name="Change").click()
        await dialog.get_by_label("Models").fill("claude-nothing-*")
        await dialog.get_by_label("Tokens a month").fill("5000000")
        await dialog.get_by_role("button", name="Save").click()
        await expect(dialog.get_by_role("meter", name="Budget of Ana's laptop, This month")).to_be_visible()
        assert await _status(site, first) == 403
        await dialog.get_by_role("button", name="Change").click()
        await dialog.get_by_label("Models").fill("")
        await dialog.get_by_role("button", name="Save").click()
        await expect(dialog.get_by_text("All models")).to_be_visible()
        assert await _status(site, first) == 200

        await dialog.get_by_role("button", name="Replace").click()
        await dialog.get_by_label("The old key works").select_option("For an hour")
        await dialog.get_by_role("button", name="Replace").click()
        await expect(dialog.get_by_text("The key before it is valid until")).to_be_visible()
        second = await _shown_key(page)
        assert [await _status(site, key) for key in (first, second)] == [200, 200]
        await dialog.get_by_role("button", name="Copy the key").click()
        await dialog.get_by_role("button", name="Done").click()

        await dialog.get_by_role("button", name="Revoke").click()
        await page.get_by_role("dialog", name="Revoke Ana's laptop?").get_by_role("button", name="Revoke").click()
        await expect(page.get_by_text("Ana's laptop was revoked.")).to_be_visible()
        assert [await _status(site, key) for key in (first, second)] == [401, 401]
        await expect(dialog.get_by_text("Revoked").first).to_be_visible()
        await expect(dialog.get_by_role("button", name="Change")).to_have_count(0)
        await page.keyboard.press("Escape")
        await expect(page.get_by_role("row", name="Ana's laptop")).to_have_count(0)
        await page.get_by_label("State").select_option("revoked")
        await expect(page.get_by_role("row", name="Ana's laptop")).to_be_visible()


async def test_a_viewer_sees_keys_and_what_the_gateway_asks_clients_for(dashboard: OpenDashboard) -> None:
    async with dashboard(traffic=False, client_auth=ClientAuth.OFF) as site:
        page = await site.page("/keys", role="viewer")
        await expect(page.get_by_role("heading", name="Clients need no key")).to_be_visible()
        await page.get_by_role("row", name="nightly builds").press("Enter")
        await expect(
            page.get_by_role("dialog").get_by_text("It was not used in the last 30 days.")
        ).to_be_visible()
        for name in ("Create a key", "Change", "Replace", "Revoke"):
            await expect(page.get_by_role("button", name=name)).to_have_count(0)


async def test_a_list_of_ten_thousand_keys_scrolls_to_its_end(
    dashboard: OpenDashboard, record_property: Callable[[str, object], None]
) -> None:
    async with dashboard(traffic=False) as site:
        same: dict[str, Any] = {"created_at": "2026-01-01T00:00:00.000+00:00", "revoked_at": None}
        same |= {"secret_id": None, "prefix": "csg_000000"}
        rows = [
            {"id": f"key_{number:016x}", "name": f"machine {number}", "digest": f"{number:064x}", **same}
            for number in range(10_000)
        ]
        async with site.gateway.database.write() as connection:
            await connection.execute(insert(client_keys), rows)
        page = await site.page("/keys?sort=name.asc")
        box = page.locator("main table").locator("..")
        await expect(page.get_by_text("The first 100 keys")).to_be_visible()
        for words in ("700 keys", "1,900 keys", "4,300 keys", "9,100 keys", "10,002 keys"):
            await box.evaluate("box => box.scrollTo(0, box.scrollHeight)")
            await expect(page.get_by_text(words)).to_be_visible()
        # Only what is in view is in the page.
        assert await page.locator("main tbody tr").count() < 100
        gaps = await box.evaluate(
            """async (box) => {
                const gaps = [];
                let last = performance.now();
                for (let i = 0; i < 120; i += 1) {
                    box.scrollTop = (box.scrollHeight * ((i * 37) % 120)) / 120;
                    await new Promise(requestAnimationFrame);
                    const now = performance.now();
                    gaps.push(now - last);
                    last = now;
                }
                return gaps.sort((a, b) => a - b);
            }"""
        )
        record_property("frames while scrolling", f"median {gaps[60]:.0f} ms, longest {gaps[-1]:.0f} ms")
        await page.get_by_role("searchbox", name="Search keys").fill("machine 9999")
        await expect(page.get_by_text("1 key", exact=True)).to_be_visible()
