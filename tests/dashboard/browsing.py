"""The dashboard in a real browser, before a real gateway; what a page must never do fails the test.

    async def test_an_account_is_renamed(dashboard: OpenDashboard) -> None:
        async with dashboard() as site:
            page = await site.page("/accounts")
            await has_come(page)
            …
            await assert_accessible(page)
            await screenshot(page, "accounts")

A test fails if a page of it wrote an error or a warning to the console, threw, broke the content security policy,
had a request fail, or asked another host. Where that is what the test is about, `site.expect` says so.
"""

from __future__ import annotations

import re
import shutil
from collections.abc import AsyncGenerator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from functools import cache
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

from attrs import define, field
from playwright.async_api import (
    Browser,
    BrowserContext,
    ConsoleMessage,
    Page,
    Playwright,
    Request,
    Response,
    async_playwright,
    expect,
)

from gateway.controlplane.access import Role
from gateway.controlplane.pages import BUILD
from tests import answer_watch
from tests.dashboard.site import GatewaySite, gateway_site

__all__ = [
    "OpenDashboard",
    "Site",
    "assert_accessible",
    "expect",
    "find_chromium",
    "has_come",
    "open_browser",
    "open_dashboard",
    "screenshot",
]

_SCREENSHOTS: Final = Path(__file__).parents[2] / ".cache" / "screenshots"
_AXE: Final = BUILD.parent / "node_modules" / "axe-core" / "axe.min.js"
_PROGRAMS: Final = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
_ARGUMENTS: Final = ("--no-sandbox", "--disable-dev-shm-usage", "--disable-gpu", "--font-render-hinting=none")
_MOST_PROBLEMS: Final = 50
_MILLISECONDS: Final = 30_000
"""For anything that a page should do."""
_ABORTED: Final = "net::ERR_ABORTED"
"""By the page itself: it went elsewhere, or wanted something else."""


def find_chromium() -> str:
    """Return the browser's path.

    Raises:
        AssertionError: there is none.
    """
    for name in _PROGRAMS:
        if (found := shutil.which(name)) is not None:
            return found
    raise AssertionError("Tests of the dashboard need Chromium, on Debian: apt-get install chromium")


@asynccontextmanager
async def open_browser() -> AsyncGenerator[Browser]:
    """Run a browser for as long as the context lasts."""
    playwright: Playwright
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=find_chromium(), args=list(_ARGUMENTS))
        try:
            yield browser
        finally:
            await browser.close()


expect.set_options(timeout=_MILLISECONDS)


@define(eq=False, slots=False)  # Playwright leaves a note on whose methods it calls
class Site:
    """A gateway and the pages that are open of its dashboard."""

    gateway: GatewaySite
    browser: Browser
    problems: list[str] = field(factory=list)
    """What pages did that they must not."""
    asked: list[str] = field(factory=list)
    """URLs that pages asked for."""
    _expected: list[re.Pattern[str]] = field(factory=list, init=False)
    _contexts: list[BrowserContext] = field(factory=list, init=False)

    @property
    def url(self) -> str:
        """Base URL of the control plane, without a slash at its end."""
        return self.gateway.url

    def expect(self, pattern: str) -> None:
        """Let pages do what a regular expression finds in the words of a problem."""
        self._expected.append(re.compile(pattern))

    async def page(self, path: str = "/", **options: Any) -> Page:
        """Open a page in a browser profile of its own; `options` are those of `profile`."""
        return await self.open(await self.profile(**options), path)

    async def profile(
        self,
        *,
        role: str | None = "admin",
        theme: str = "light",
        width: int = 1280,
        height: int = 900,
        **more: Any,
    ) -> BrowserContext:
        """Make a browser profile, with cookies and a cache of its own.

        Args:
            role: who has signed in, `admin` or `viewer`; None: nobody has.
            theme: `light` or `dark`, as the system says.
            width: of the window, in pixels.
            height: likewise.
            more: as `Browser.new_context` takes it.
        """
        context = await self.browser.new_context(
            color_scheme="dark" if theme == "dark" else "light",
            viewport={"width": width, "height": height},
            reduced_motion="reduce",
            locale="en-GB",
            timezone_id="Europe/Berlin",
            **more,
        )
        self._contexts.append(context)
        context.set_default_timeout(_MILLISECONDS)
        if role is not None:
            await self.sign_in(context, role)
        return context

    async def open(self, context: BrowserContext, path: str = "/") -> Page:
        """Open a page in a profile: a tab."""
        page = await context.new_page()
        self._watch(page)
        await page.goto(self.url + path)
        return page

    async def sign_in(self, context: BrowserContext, role: str) -> None:
        """Sign a profile in, by a link as `gateway dashboard link` prints them; its cookie is a person's own."""
        token = await self.gateway.sign_in_token(Role(role))
        answer = await context.request.post(f"{self.url}/api/v1/session/link", data={"token": token})
        assert answer.ok, await answer.text()
        answer_watch.keep(token, *(cookie.get("value", "") for cookie in await context.cookies()))

    def _watch(self, page: Page) -> None:
        page.on("console", self._heard)
        page.on("pageerror", lambda error: self._note(f"thrown: {error}"))
        page.on("requestfailed", self._failed)
        page.on("request", self._requested)
        page.on("response", self._answered)

    def _note(self, problem: str) -> None:
        if len(self.problems) < _MOST_PROBLEMS:
            self.problems.append(problem[:600])

    def _heard(self, message: ConsoleMessage) -> None:
        # What the server refused is told by the response, with its path.
        if message.type in {"error", "warning", "assert"} and "Failed to load resource" not in message.text:
            self._note(f"console {message.type}: {message.text}")

    def _failed(self, request: Request) -> None:
        if request.failure != _ABORTED:
            self._note(f"request failed: {request.method} {urlsplit(request.url).path}: {request.failure}")

    def _requested(self, request: Request) -> None:
        self.asked.append(request.url)
        parts = urlsplit(request.url)
        if parts.scheme in {"http", "https", "ws", "wss"} and parts.netloc != urlsplit(self.url).netloc:
            self._note(f"another host was asked: {parts.netloc}")

    def _answered(self, response: Response) -> None:
        if response.status >= 400:
            path = urlsplit(response.url).path
            self._note(f"response: {response.status} {response.request.method} {path}")

    async def close(self) -> None:
        """Close all pages."""
        for context in self._contexts:
            await context.close()
        self._contexts.clear()

    def unexpected(self) -> list[str]:
        """Return what pages did that they must not and the test does not expect."""
        return [one for one in self.problems if not any(known.search(one) for known in self._expected)]


OpenDashboard = Callable[..., AbstractAsyncContextManager[Site]]
"""What the fixture `dashboard` gives: takes what `gateway_site` takes."""


@asynccontextmanager
async def open_dashboard(browser: Browser, **options: Any) -> AsyncGenerator[Site]:
    """Run a gateway, and close the pages at the end; fail then if one of them did what it must not."""
    assert (BUILD / "index.html").is_file(), "The dashboard is not built: run `make dashboard`."
    async with gateway_site(**options) as running:
        site = Site(running, browser)
        try:
            yield site
        finally:
            await site.close()
        found = site.unexpected()
        assert not found, "pages did what they must not:\n" + "\n".join(found)


@cache
def _axe() -> str:
    return _AXE.read_text()


async def assert_accessible(page: Page, *, within: str | None = None) -> None:
    """Fail on any serious or critical finding of axe.

    Args:
        page: as it is now.
        within: CSS selector of the part to look at; default all of it.
    """
    session = await page.context.new_cdp_session(page)
    try:
        # As the developer tools do it: a script that is added to the page is what its policy forbids.
        options = {"expression": _axe() + ";0", "allowUnsafeEvalBlockedByCSP": True}
        await session.send("Runtime.evaluate", options)
    finally:
        await session.detach()
    found = await page.evaluate(
        "async (within) => (await axe.run(within ?? document, {resultTypes: ['violations']})).violations"
        ".filter(one => one.impact === 'serious' || one.impact === 'critical')"
        ".map(one => [`${one.impact}: ${one.id}: ${one.help}`,"
        " ...one.nodes.map(node => `    ${node.target.join(' ')}: ${node.html.slice(0, 200)}`)].join('\\n'))",
        within,
    )
    assert not found, "axe found:\n" + "\n".join(found)


async def has_come(page: Page) -> None:
    """Wait until a page is live and all its panels show what they have to."""
    await expect(page.get_by_role("status").get_by_text("Live", exact=True)).to_be_visible()
    await expect(page.locator("main [aria-busy=true]")).to_have_count(0)


async def screenshot(page: Page, name: str, *, full: bool = False) -> Path:
    """Keep what a page looks like, below .cache/screenshots; return the file.

    Args:
        page: as it is now.
        name: of the page; theme and width are added.
        full: also what lies below the window.
    """
    look = await page.evaluate("matchMedia('(prefers-color-scheme: dark)').matches ? 'dark' : 'light'")
    width = (page.viewport_size or {"width": 0})["width"]
    path = _SCREENSHOTS / f"{name}-{look}-{width}.png"
    await page.screenshot(path=path, full_page=full, animations="disabled")
    return path
