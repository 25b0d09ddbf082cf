"""One feed for all that is open of the dashboard in a browser, however many windows that is."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from gateway.controlplane.live import LiveHub
from tests.controlplane.api_client import ApiClient
from tests.dashboard.browsing import OpenDashboard, Site, expect, has_come
from tests.replay.raw_client import LIMIT

PAGES = ("/", "/requests", "/keys", "/accounts", "/canary", "/settings", "/keys", "/")
"""More than a browser opens connections to a host."""


@pytest.fixture
def hubs(monkeypatch: pytest.MonkeyPatch) -> list[LiveHub]:
    """Know the hubs that gateways make."""
    known: list[LiveHub] = []
    made = LiveHub.__init__

    def keep(self: LiveHub, *args: Any, **kwargs: Any) -> None:
        made(self, *args, **kwargs)
        known.append(self)

    monkeypatch.setattr(LiveHub, "__init__", keep)
    return known


async def viewers_are(hub: LiveHub, count: int) -> None:
    """Wait until so many connections watch."""
    async with asyncio.timeout(LIMIT):
        while hub.viewers != count:  # noqa: ASYNC110 - the hub tells nobody of its viewers
            await asyncio.sleep(0.02)


async def make_key(site: Site, name: str) -> None:
    """Have something happen that pages are told of."""
    status, _ = await ApiClient(site.url, site.gateway.token).post("/api/v1/keys", {"name": name})
    assert status == 201


async def test_eight_windows_are_live_by_one_feed_until_the_last_is_closed_or_the_session_is_over(
    dashboard: OpenDashboard, hubs: list[LiveHub]
) -> None:
    async with dashboard(traffic=False) as site:
        profile = await site.profile()
        pages = list(await asyncio.gather(*(site.open(profile, path) for path in PAGES)))
        for page in pages:
            await has_come(page)
        (hub,) = hubs
        await viewers_are(hub, 1)
        of_keys = [page for page, path in zip(pages, PAGES, strict=True) if path == "/keys"]
        await make_key(site, "made for all")
        for page in of_keys:
            await expect(page.get_by_text("made for all").first).to_be_visible()

        # Which began the feed; the others go on.
        await pages.pop(0).close()
        await make_key(site, "made afterwards")
        for page in of_keys:
            await expect(page.get_by_text("made afterwards").first).to_be_visible()
        async with site.gateway.streaming(1):
            board = pages[-1].get_by_role("region", name="In flight")
            await expect(board.get_by_role("row")).to_have_count(2)
        await viewers_are(hub, 1)

        # Somebody else watches by a feed of their own, and keeps it.
        other = await site.page("/keys", role="viewer")
        await has_come(other)
        await viewers_are(hub, 2)
        site.expect("response: 401 GET /api/v1/")
        await pages[0].get_by_role("button", name="Signed in as").click()
        await pages[0].get_by_role("menuitem", name="Sign out").click()
        for page in pages:
            await expect(page.get_by_role("button", name="Signed in as")).to_be_hidden()
        await viewers_are(hub, 1)
        await make_key(site, "made for one")
        await expect(other.get_by_text("made for one").first).to_be_visible()

        # Who signs in next in that browser has a feed, and whoever signed out has none of it.
        await site.sign_in(profile, "viewer")
        pages[0] = await site.open(profile, "/keys")
        await has_come(pages[0])
        await viewers_are(hub, 2)
        await expect(pages[1].get_by_role("button", name="Signed in as")).to_be_hidden()
        await profile.close()
        await viewers_are(hub, 1)


async def test_a_browser_that_shares_nothing_between_its_windows_has_a_feed_for_each(
    dashboard: OpenDashboard, hubs: list[LiveHub]
) -> None:
    async with dashboard(traffic=False) as site:
        profile = await site.profile()
        await profile.add_init_script("delete globalThis.SharedWorker")
        for _ in range(2):
            await has_come(await site.open(profile, "/keys"))
        (hub,) = hubs
        await viewers_are(hub, 2)


async def test_a_page_whose_credentials_are_its_own_watches_by_a_feed_of_its_own(
    dashboard: OpenDashboard, hubs: list[LiveHub]
) -> None:
    async with dashboard(traffic=False) as site:
        bearer = {"authorization": f"Bearer {site.gateway.token}"}
        page = await site.page("/keys", role=None, extra_http_headers=bearer)
        await has_come(page)
        (hub,) = hubs
        await viewers_are(hub, 1)
        await make_key(site, "made meanwhile")
        await expect(page.get_by_text("made meanwhile").first).to_be_visible()
