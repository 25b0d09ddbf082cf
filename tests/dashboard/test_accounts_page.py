"""Accounts: added by a key or from a file, looked after by keyboard, and ten thousand of them."""

from __future__ import annotations

import asyncio
import json
from typing import Any, Final

from playwright.async_api import Locator, Page, Route
from sqlalchemy import insert

from gateway.accounts.account import AccountKind, Condition, Cooldown
from gateway.accounts.changes import LimitsSeen
from gateway.accounts.quota import SeenWindow
from gateway.providers.limits import LimitWindow
from gateway.replay.tokens import TokenPair
from gateway.store.accounts import AccountStore
from gateway.store.limits import LimitStore
from gateway.store.statements import ACCOUNTS as ACCOUNTS_TOPIC
from gateway.store.statements import bump
from gateway.store.tables import accounts as accounts_table
from tests import answer_watch
from tests.account_path.harness import NewAccount
from tests.dashboard.browsing import OpenDashboard, Site, assert_accessible, expect, screenshot
from tests.dashboard.measuring import note_measure, scroll_through
from tests.dashboard.site import ACCOUNTS
from tests.replay.raw_client import LIMIT

KEY: Final = "sk-ant-api03-typed-into-a-form"
OTHER_KEY: Final = "sk-ant-api03-of-an-uploaded-file"
HOSTILE: Final = "<img src=x onerror=alert(1)>"
MANY: Final = 10_000
LOGIN: Final = {
    "claudeAiOauth": {
        "accessToken": "sk-ant-oat01-access-token-of-a-login",
        "refreshToken": "sk-ant-ort01-refresh-token-of-a-login",
    }
}

answer_watch.keep(KEY, OTHER_KEY)


def card(page: Page, name: str) -> Locator:
    """Return the card of an account."""
    heading = page.get_by_role("heading", name=name, exact=True)
    return page.locator("main li").filter(has=heading)


async def choose(page: Page, name: str, action: str) -> None:
    """Do something with an account from its menu, by keyboard alone."""
    await page.get_by_role("button", name=f"Actions for {name}").focus()
    await page.keyboard.press("Enter")
    item = page.get_by_role("menuitem", name=action)
    await expect(page.get_by_role("menuitem").first).to_be_focused()
    while not await item.evaluate("(one) => one === document.activeElement"):
        await page.keyboard.press("ArrowDown")
    await page.keyboard.press("Enter")


async def upload(page: Page, name: str, content: Any) -> None:
    """Choose a file where the page asks for one."""
    data = content if isinstance(content, bytes) else json.dumps(content).encode()
    field = page.get_by_role("dialog").locator("input[type=file]")
    await field.set_input_files({"name": name, "mimeType": "application/json", "buffer": data})


async def test_an_account_is_added_by_its_key_and_what_does_not_work_is_not(dashboard: OpenDashboard) -> None:
    async with dashboard(accounts=(), traffic=False) as site:
        site.expect("response: 4(09|22) POST /api/v1/accounts")
        page = await site.page("/accounts")
        await expect(page.get_by_text("No accounts yet")).to_be_visible()
        await assert_accessible(page)
        await page.get_by_role("button", name="Add account").first.click()
        dialog = page.get_by_role("dialog")
        await expect(dialog.get_by_label("Name")).to_be_focused()
        await page.keyboard.type(HOSTILE)
        await dialog.get_by_label("API key").last.fill(KEY)
        await dialog.get_by_text("More", exact=True).click()
        await dialog.get_by_label("Base URL").fill("http://127.0.0.1:1")
        await page.keyboard.press("Enter")

        await expect(dialog.get_by_role("alert")).to_contain_text("The connection is refused")
        await assert_accessible(page, within="dialog")
        await screenshot(page, "accounts-add-refused")
        await dialog.get_by_label("Base URL").fill("")
        # What was wrong was wrong of what stood there before.
        await expect(dialog.get_by_role("alert")).to_have_count(0)
        await dialog.get_by_label("Owner").fill("Ada")
        await dialog.get_by_role("button", name="Add account").click()

        await expect(dialog).to_have_count(0)
        await expect(card(page, HOSTILE)).to_contain_text("Active")
        await expect(page.get_by_role("log")).to_contain_text(f"{HOSTILE} is added")
        await site.gateway.assert_serves()


async def test_a_file_is_looked_into_before_anything_of_it_is_saved(dashboard: OpenDashboard) -> None:
    async with dashboard(traffic=False) as site:
        page = await site.page("/accounts")
        await page.get_by_role("button", name="Add account").click()
        dialog = page.get_by_role("dialog")
        await dialog.get_by_role("tab", name="Import a file").click()
        await upload(page, "photo.json", bytes(range(256)) * 20)
        await expect(dialog.get_by_role("alert")).to_contain_text("photo.json is no text")
        await upload(page, "nothing.json", b" \n")
        await expect(dialog.get_by_role("alert")).to_contain_text("nothing.json is empty")
        await assert_accessible(page, within="dialog")
        await upload(page, "half.json", b'[{"name": ')
        await expect(dialog.get_by_role("alert")).to_contain_text("The file is not valid JSON.")
        await dialog.get_by_role("button", name="Another file").click()
        await upload(page, "login.json", LOGIN)
        await expect(dialog.get_by_role("alert")).to_contain_text("allow_subscription_oauth")
        await dialog.get_by_role("button", name="Another file").click()

        file = [
            {"name": HOSTILE, "provider": "anthropic", "api_key": OTHER_KEY, "owner": "<b>Grace</b>"},
            {"name": "Team plan", "provider": "anthropic", "api_key": OTHER_KEY},
            {"name": "nothing"},
        ]
        await drop(page, "keys.json", json.dumps(file))
        entries = dialog.get_by_role("listitem")
        await expect(entries.nth(0)).to_contain_text("It works.")
        await expect(entries.nth(1)).to_contain_text("There is an account 'Team plan' already.")
        await expect(entries.nth(2)).to_contain_text("Provider is missing; api_key is missing.")
        await expect(entries.nth(2).get_by_role("checkbox")).to_be_disabled()
        await assert_accessible(page, within="dialog")
        await screenshot(page, "accounts-import")
        await expect(card(page, HOSTILE)).to_have_count(0)
        await dialog.get_by_role("button", name="Import one account").click()
        await expect(dialog).to_have_count(0)
        await expect(card(page, HOSTILE)).to_contain_text("<b>Grace</b>")
        assert await page.locator("main img, main b").count() == 0


async def drop(page: Page, name: str, text: str) -> None:
    """Drop a file on the place for it."""
    transfer = await page.evaluate_handle(
        "([name, text]) => { const data = new DataTransfer();"
        " data.items.add(new File([text], name)); return data; }",
        [name, text],
    )
    zone = page.get_by_role("dialog").get_by_role("group").first
    await zone.dispatch_event("dragover", {"dataTransfer": transfer})
    await zone.dispatch_event("drop", {"dataTransfer": transfer})


async def test_a_login_is_imported_with_what_it_takes_and_after_its_notice(dashboard: OpenDashboard) -> None:
    async with dashboard(traffic=False, allow_subscription_oauth=True) as site:
        page = await site.page("/accounts", theme="dark", width=360)
        await page.get_by_role("button", name="Add account").click()
        dialog = page.get_by_role("dialog")
        await dialog.get_by_role("tab", name="Import a file").click()
        await dialog.get_by_role("button", name="Paste text").click()
        await dialog.get_by_label("Text to read").fill(json.dumps(LOGIN))
        await dialog.get_by_role("button", name="Use this text").click()
        await expect(dialog.get_by_role("alert")).to_contain_text("needs an owner")
        await dialog.get_by_label("Owner").fill("Ada")
        await dialog.get_by_label("Client id").fill("mine")
        await dialog.get_by_label("Token URL").fill(f"{site.gateway.upstream.url}/v1/oauth/token")
        await dialog.get_by_role("button", name="Look again").click()
        take = dialog.get_by_role("button", name="Import one account")
        await expect(take).to_be_disabled()
        await expect(dialog).to_contain_text("Anthropic's terms reserve such logins")
        await dialog.get_by_role("checkbox", name="Import 1: Ada").check()
        await dialog.get_by_label("I have read this").check()
        await assert_accessible(page, within="dialog")
        await screenshot(page, "accounts-notice")
        await take.click()
        await expect(card(page, "Ada")).to_be_visible()


async def test_credentials_that_are_refused_are_replaced_from_a_file(dashboard: OpenDashboard) -> None:
    login = NewAccount("Ada's login", tokens=TokenPair("sk-ant-oat01-old", "sk-ant-ort01-old", 3600, 0))
    answer_watch.keep("sk-ant-oat01-old", "sk-ant-ort01-old")
    async with dashboard(accounts=(login,), traffic=False) as site:
        account = f"acc_{login.name}"
        store = AccountStore(site.gateway.database)
        assert await store.set_condition(account, Condition.NEEDS_REAUTH, f"no {HOSTILE}", secret_version=1)
        page = await site.page("/accounts", theme="dark", width=360)
        await card(page, login.name).get_by_role("button", name="Replace credentials").press("Enter")
        dialog = page.get_by_role("dialog")
        await upload(page, "keys.json", [{"name": HOSTILE, "provider": "anthropic", "api_key": OTHER_KEY}])
        await expect(dialog.get_by_role("listitem")).to_contain_text("and the account has a login")
        await expect(dialog.get_by_role("button", name="Replace credentials")).to_be_disabled()
        await dialog.get_by_role("button", name="Another file").click()
        pair = site.gateway.upstream.tokens.issue()
        answer_watch.keep(pair.access_token, str(pair.refresh_token))
        file = {"access_token": pair.access_token, "refresh_token": pair.refresh_token}
        # As PowerShell writes it.
        await upload(page, "credentials.json", json.dumps(file).encode("utf-16"))
        await expect(dialog.get_by_role("radio")).to_be_checked()
        await expect(dialog.get_by_role("listitem")).to_contain_text("It works.")
        await assert_accessible(page, within="dialog")
        await screenshot(page, "accounts-replace")
        await dialog.get_by_role("button", name="Replace credentials").click()

        await expect(dialog).to_have_count(0)
        await expect(card(page, login.name)).to_contain_text("Active")
        await expect(page.get_by_role("log")).to_contain_text("has other credentials")
        await site.gateway.assert_serves()


async def test_accounts_are_looked_after_by_keyboard_alone(dashboard: OpenDashboard) -> None:
    async with dashboard() as site:
        page = await site.page("/accounts")
        await assert_accessible(page)
        await screenshot(page, "accounts", full=True)
        await choose(page, "Team plan", "Pause")
        team = card(page, "Team plan")
        await expect(team).to_contain_text("Paused")
        await choose(page, "Team plan", "Resume")
        await expect(team).to_contain_text("Active")
        await expect(page.get_by_role("log")).to_contain_text("Ended: a pause")
        await choose(page, "Team plan", "Check now")
        await expect(page.get_by_role("log")).to_contain_text("Team plan: It works.")

        await page.get_by_role("button", name="Rename Team plan").press("Enter")
        await expect(page.get_by_label("New name of Team plan")).to_be_focused()
        await page.keyboard.type(HOSTILE)
        await page.keyboard.press("Enter")
        await expect(page.get_by_role("button", name=f"Rename {HOSTILE}")).to_be_focused()
        await choose(page, HOSTILE, "Edit")
        await page.get_by_role("dialog").get_by_label("Requests at a time").fill("3")
        await page.keyboard.press("Enter")
        await expect(page.get_by_role("dialog")).to_have_count(0)
        await choose(page, HOSTILE, "Replace credentials")
        await expect(page.get_by_label("New API key")).to_be_focused()
        await page.keyboard.type(OTHER_KEY)
        await page.keyboard.press("Enter")
        await expect(page.get_by_role("log")).to_contain_text("has other credentials")

        async with site.gateway.streaming():
            await choose(page, HOSTILE, "Details")
            dialog = page.get_by_role("dialog")
            await expect(dialog.get_by_text("Requests at a time")).to_be_visible()
            await expect(dialog).to_contain_text("acc_team")
            await assert_accessible(page, within="dialog")
            await screenshot(page, "account-details")
            await page.keyboard.press("Escape")
            await choose(page, HOSTILE, "Remove")
            remove = page.get_by_role("dialog").get_by_role("button", name="Remove account")
            await expect(remove).to_be_disabled()
            await expect(page.get_by_role("dialog").get_by_role("textbox")).to_be_focused()
            await page.keyboard.press("Enter")
            await page.keyboard.type(HOSTILE)
            await expect(remove).to_be_enabled()
            await page.keyboard.press("Enter")
            await expect(card(page, HOSTILE)).to_have_count(0)
        assert await page.locator("main img").count() == 0


async def test_a_dialog_stays_until_what_was_begun_in_it_has_ended_well_or_says_why_not(
    dashboard: OpenDashboard,
) -> None:
    async with dashboard(traffic=False) as site:
        site.expect("request failed: (PATCH|PUT) /api/v1/accounts/acc_team")
        page = await site.page("/accounts")
        dialog = page.get_by_role("dialog")
        changes: asyncio.Queue[Route] = asyncio.Queue()

        async def hold(route: Route) -> None:
            if route.request.method == "GET":
                await route.continue_()
            else:
                changes.put_nowait(route)

        await page.route("**/api/v1/accounts/acc_team**", hold)
        for action, button in (("Edit", "Save"), ("Replace credentials", "Replace credentials")):
            await choose(page, "Team plan", action)
            await dialog.get_by_role("textbox").first.fill(OTHER_KEY)
            await dialog.get_by_role("button", name=button).click()
            change = await asyncio.wait_for(changes.get(), LIMIT)
            # The second time the browser closes it whatever the page says.
            for _ in range(3):
                await page.keyboard.press("Escape")
            await expect(dialog).to_be_visible()
            await change.abort("connectionreset")
            await expect(dialog.get_by_role("alert")).to_be_visible()
            await page.keyboard.press("Escape")
            await expect(dialog).to_have_count(0)


async def test_a_viewer_sees_accounts_and_their_limits_and_changes_nothing(dashboard: OpenDashboard) -> None:
    async with dashboard(traffic=False) as site:
        await use_limits(site)
        page = await site.page("/accounts", role="viewer", theme="dark", width=360)
        team = card(page, "Team plan")
        bar = team.get_by_role("meter", name="5 hours")
        await expect(bar).to_have_attribute("aria-valuetext", "60%, forecast 75%")
        await expect(team).to_contain_text("75% by then at this pace")
        await expect(team.get_by_role("listitem").filter(has_text="7 days")).to_contain_text("used up in")
        await expect(card(page, "Spare key")).to_contain_text("too many <b>requests</b>")
        await expect(card(page, "Spare key")).to_contain_text("Cooling · 14:5")
        await expect(page.get_by_role("button", name="Add account")).to_have_count(0)
        await assert_accessible(page)
        await screenshot(page, "accounts")
        await page.get_by_role("button", name="Actions for Team plan").click()
        await expect(page.get_by_role("menuitem")).to_have_count(1)


async def use_limits(site: Site) -> None:
    """Have limits used, and an account at rest for one of them."""
    database = site.gateway.database
    now = await database.now()
    seen = (
        SeenWindow(LimitWindow("5h", "account", 0.6, now + 3600, "allowed"), now),
        SeenWindow(LimitWindow("7d", "account", 0.9, now + 3 * 86_400, "allowed_warning"), now),
        SeenWindow(LimitWindow("requests", "opus", 0.2, now + 30), now),
    )
    await LimitStore(database).write([LimitsSeen("acc_team", seen)])
    rest = Cooldown("acc_spare", "account", now + 900, now, "quota", "too many <b>requests</b>")
    await AccountStore(database).set_cooldown(rest)


async def test_ten_thousand_accounts_are_searched_and_scrolled(dashboard: OpenDashboard) -> None:
    async with dashboard(accounts=ACCOUNTS[:1], traffic=False) as site:
        await add_many(site)
        page = await site.page("/accounts")
        table = page.get_by_role("grid")
        await expect(table).to_have_attribute("aria-rowcount", str(MANY + 2), timeout=30_000)
        assert await table.locator("tbody tr").count() < 80
        note_measure("accounts", await scroll_through(page, "main table", rows=MANY))
        await table.focus()
        await page.get_by_role("row", name="Account 00000").focus()
        await page.keyboard.press("End")
        await expect(table.locator("tr[aria-rowindex]:focus")).to_contain_text("Team plan")
        await page.get_by_role("searchbox").fill("account 00777 owner-7")
        await expect(table.locator("tbody tr")).to_have_count(1)
        await page.keyboard.press("Tab")
        await table.locator("tbody tr").press("Enter")
        await expect(page.get_by_role("dialog")).to_contain_text("acc_00777")
        await screenshot(page, "accounts-many")


async def add_many(site: Site) -> None:
    rows = [
        {
            "id": f"acc_{number:05}",
            "name": f"Account {number:05}",
            "provider": "anthropic" if number % 3 else "openai",
            "kind": AccountKind.API_KEY.value,
            "owner": f"owner-{number % 10}",
            "weight": 1,
            "priority": 0,
            "created_at": 1.0,
            "condition": "ok" if number % 7 else "parked",
            "condition_reason": "",
            "condition_since": 0.0,
            "secret_version": 1,
        }
        for number in range(MANY)
    ]
    async with site.gateway.database.write() as connection:
        await connection.execute(insert(accounts_table), rows)
        await bump(connection, ACCOUNTS_TOPIC)
