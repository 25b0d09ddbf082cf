"""Nothing that is shown moves while the rest comes, however slowly and in whatever order the answers do."""

from __future__ import annotations

import json
import re
from typing import Any, Final
from urllib.parse import urlsplit

import pytest
from attrs import define, field
from playwright.async_api import Route

from tests.controlplane.api_client import ApiClient
from tests.dashboard.browsing import OpenDashboard, Site

PAGES: Final = (
    "/",
    "/requests",
    "/accounts",
    "/usage",
    "/keys",
    "/canary",
    "/canary?tab=machine",
    "/settings",
)
MOST: Final = 0.01
"""Of the sum of layout shifts; browsers' makers call 0.1 good."""
SIGN_IN: Final = re.compile("Sign in|Set up")
QUIET: Final = 3
"""Looks at a page after its last answer."""
WATCH: Final = """
window.shifts = [];
const name = node => {
  const one = node && (node.nodeType === 1 ? node : node.parentElement);
  if (!one) return '(gone)';
  const words = (one.textContent || '').trim().replace(/\\s+/g, ' ').slice(0, 40);
  return `${one.tagName.toLowerCase()}.${one.className} "${words}"`;
};
new PerformanceObserver(list => {
  for (const entry of list.getEntries()) {
    if (entry.hadRecentInput) continue;
    window.shifts.push({ value: entry.value, moved: entry.sources.map(
      source => `${name(source.node)} ${source.previousRect.x},${source.previousRect.y} ` +
                `${source.previousRect.width}x${source.previousRect.height} to ` +
                `${source.currentRect.x},${source.currentRect.y} ` +
                `${source.currentRect.width}x${source.currentRect.height}`) });
  }
}).observe({ type: 'layout-shift', buffered: true });
"""
FRAMES: Final = """
async () => {
  for (let n = 0; n < 2; n += 1) await new Promise(done => requestAnimationFrame(() => setTimeout(done, 0)));
}
"""


@define(slots=False)  # Playwright leaves a note on whose methods it calls
class Held:
    """Answers of the admin API that wait until they are let go."""

    last_first: bool
    waiting: list[Route] = field(factory=list)

    async def take(self, route: Route) -> None:
        """Hold one."""
        if urlsplit(route.request.url).path == "/api/v1/live":
            await route.continue_()
        else:
            self.waiting.append(route)

    async def let_one_go(self) -> None:
        """Let one answer go, and wait until the page has it."""
        route = self.waiting.pop(-1 if self.last_first else 0)
        await route.continue_()
        if (answer := await route.request.response()) is not None:
            await answer.finished()


async def shifts_of(site: Site, path: str, *, width: int, role: str | None, last_first: bool) -> list[Any]:
    """Open a page whose answers come one by one; return what moved on the way."""
    context = await site.profile(width=width, role=role)
    await context.add_init_script(WATCH)
    page = await context.new_page()
    held = Held(last_first)
    await page.route("**/api/v1/**", held.take)
    await page.goto(site.url + path)
    sign = page.get_by_text("Live", exact=True) if role else page.get_by_role("heading", name=SIGN_IN)
    quiet = 0
    while quiet < QUIET:
        await page.evaluate(FRAMES)
        quiet = quiet + 1 if not held.waiting and await sign.count() else 0
        if held.waiting:
            await held.let_one_go()
    found = await page.evaluate("window.shifts")
    await context.close()
    return found


@pytest.mark.parametrize(("width", "last_first"), [(1280, False), (360, True)])
async def test_nothing_jumps_while_a_page_comes(dashboard: OpenDashboard, width: int, *, last_first: bool) -> None:
    async with dashboard() as site, site.gateway.streaming(2):
        await site.gateway.settled()
        _, broken = await ApiClient(site.url, site.gateway.token).get("/api/v1/requests?outcome=violation")
        paths = (*PAGES, f"/requests/{broken['requests'][0]['id']}")
        found = {}
        for path, role in [*((path, "admin") for path in paths), ("/", None)]:
            shifts = await shifts_of(site, path, width=width, role=role, last_first=last_first)
            if sum(shift["value"] for shift in shifts) >= MOST:
                found[path] = shifts
        assert found == {}, json.dumps(found, indent=1)
