"""What others wrote, with bad intentions, is text and nothing else wherever the dashboard shows it."""

from __future__ import annotations

from typing import Any, Final

from playwright.async_api import Dialog

from tests.account_path.harness import NewAccount
from tests.controlplane.api_client import ApiClient
from tests.dashboard.browsing import OpenDashboard, Site, expect, has_come
from tests.dashboard.site import GatewaySite

PAGES: Final = ("/", "/requests", "/accounts", "/usage", "/keys", "/canary", "/settings")
PAYLOADS: Final = (
    "<script>pwned=1</script>",
    "<img src=x onerror=pwned=1>",
    '"><svg onload=pwned=1>',
    "javascript:pwned=1",
    "{{pwned=1}} ${pwned=1} %s",
    "a\u00a0b \U0001f9d1\u200d\U0001f680 \u05e9\u05dc\u05d5\u05dd",
)
SHOWN: Final = PAYLOADS[1]
SHOWING: Final = {"/", "/requests", "/accounts", "/keys"}


async def test_what_others_wrote_is_shown_as_text_on_every_page(dashboard: OpenDashboard) -> None:
    accounts = [
        NewAccount(name, api_key=f"sk-ant-api03-of-number-{number}-account", more={"id": f"acc_{number}"})
        for number, name in enumerate(PAYLOADS)
    ]
    async with (
        dashboard(accounts=accounts, keys=PAYLOADS, traffic=False) as site,
        site.gateway.streaming(model=SHOWN),
    ):
        await _write_hostile_things(site.gateway)
        requests = await _requests(site)
        details = {(row["outcome"], row["model"] == SHOWN): row["id"] for row in requests}
        page = await site.page("/")
        page.on("dialog", lambda dialog: _dialog(site, dialog))
        for path in (*PAGES, *(f"/requests/{one}" for one in details.values())):
            await page.goto(site.url + path)
            await has_come(page)
            if path in SHOWING:
                await expect(page.locator("main")).to_contain_text(SHOWN)
            assert await page.evaluate("() => typeof pwned") == "undefined", path
            assert await page.locator("main img, main script, main svg[onload], iframe").count() == 0, path


def _dialog(site: Site, dialog: Dialog) -> None:
    site.problems.append(f"a dialog: {dialog.message}")


async def _requests(site: Site) -> list[dict[str, Any]]:
    status, answer = await ApiClient(site.url, site.gateway.token).get("/api/v1/requests")
    assert status == 200, answer
    return answer["requests"]


async def _write_hostile_things(site: GatewaySite) -> None:
    """Have requests whose every part that is kept was written by somebody with bad intentions."""
    for payload in PAYLOADS:
        header = payload.encode().decode("latin-1")
        headers = [
            ("user-agent", header),
            ("x-claude-code-session-id", header),
            ("x-claude-code-agent-id", header),
        ]
        await site.stream({"model": payload}, headers=headers)
        fault = f"status:400;message={payload.replace(';', ' ').replace('|', ' ')}"
        await site.stream(fault=fault, headers=headers)
    hostile = (
        b'event: message_start\ndata: {"type":"message_start","message":{"id":"<b>","type":"message",'
        b'"role":"assistant","model":"<img src=x onerror=pwned=1>","content":[],"stop_reason":null,'
        b'"stop_sequence":null,"usage":{"input_tokens":1,"output_tokens":1}}}\n\n'
        b'event: <img src=x onerror=pwned=1>\ndata: {"type":"<img src=x onerror=pwned=1>"}\n\n'
        b'event: content_block_start\ndata: {"type":"content_block_start","index":0,"content_block":'
        b'{"type":"<svg onload=pwned=1>","text":""}}\n\n'
        b'event: error\ndata: {"type":"error","error":{"type":"<img src=x onerror=pwned=1>",'
        b'"message":"<script>pwned=1</script>\\u202e\\u0000"}}\n\n'
    )
    site.upstream.stream = hostile
    await site.stream()
    await site.settled()
