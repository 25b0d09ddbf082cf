"""Makes the pictures of the dashboard that the documents show, from replayed streams.

    python -m tests.dashboard.screenshots

They are looked at by people before they are kept: no test compares them.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Sequence
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Final

from playwright.async_api import Page

from tests.account_path.harness import NewAccount
from tests.contract.harness import MESSAGES
from tests.dashboard.browsing import Site, expect, has_come, open_browser, open_dashboard
from tests.replay.raw_client import message

__all__ = ["make_screenshots"]

_FOLDER: Final = Path(__file__).parents[2] / "docs" / "images"
_ACCOUNTS: Final = (
    NewAccount("Production", api_key="sk-ant-api03-of-production", more={"id": "acc_production"}),
    NewAccount("Research", api_key="sk-ant-api03-of-research", more={"id": "acc_research"}),
    NewAccount("Spare", api_key="sk-ant-api03-of-the-spare", more={"id": "acc_spare"}),
)
_KEYS: Final = ("Ana's laptop", "nightly builds", "support desk")
_SESSION: Final = "x-claude-code-session-id"
# Model, what is played, and what happens to it.
_STREAMS: Final = (
    ("claude-opus-5-5", {"stream": "thinking-then-text", "tokens-per-second": "1"}),
    ("claude-opus-5-5", {"stream": "web-search", "tokens-per-second": "1"}),
    ("claude-sonnet-5", {"tokens": "3000", "tokens-per-second": "38"}),
    ("claude-haiku-5", {"tokens": "4000", "tokens-per-second": "95"}),
    ("claude-sonnet-5", {"stream": "tool-use", "tokens-per-second": "4", "fault": "hang:event=9"}),
    ("claude-opus-5-5", {"fault": "hang:head"}),
)
_SECONDS_OF_STREAMS: Final = 14.0
"""How much of them there is to be seen."""
_SECONDS_OF_LAG: Final = 61.0
"""For which the page Now remembers the longest one."""
_WIDTH: Final = 1280


async def make_screenshots(folder: Path = _FOLDER) -> Sequence[Path]:
    """Write the pictures; return their files."""
    async with open_browser() as browser, open_dashboard(browser, accounts=_ACCOUNTS, keys=_KEYS) as site:
        await _slow_violation(site)
        made = [await _violation(site, folder)]
        async with AsyncExitStack() as stack:
            dark = await site.page("/canary?tab=machine", theme="dark", width=_WIDTH, height=860)
            page = await site.page("/", width=_WIDTH, height=920)
            # How late the event loop was while browser and gateway started is no news to readers.
            await asyncio.sleep(_SECONDS_OF_LAG)
            await _begin_streams(site, stack)
            board = page.get_by_role("region", name="In flight")
            await expect(board.get_by_role("row")).to_have_count(len(_STREAMS) + 1)
            # The pictures are of streams that have a while behind them.
            await asyncio.sleep(_SECONDS_OF_STREAMS)
            made.append(await _keep(page, folder / "dashboard-now.png"))
            await _show_machine(dark)
            made.append(await _keep(dark, folder / "dashboard-machine.png"))
    return made


async def _begin_streams(site: Site, stack: AsyncExitStack) -> None:
    keys = list(site.gateway.keys.values())
    for number, (model, played) in enumerate(_STREAMS):
        connection = await stack.enter_async_context(site.gateway.connect())
        usual = [("x-api-key", keys[number % len(keys)]), ("content-type", "application/json")]
        headers = [
            ("anthropic-version", "2023-06-01"),
            (_SESSION, f"5c1d7a52-6a0e-4f0e-9a51-3d6f3c1b7a{number:02d}"),
            *((f"x-replay-{name}", value) for name, value in played.items()),
        ]
        await connection.send(
            MESSAGES, message(stream=True, model=model, max_tokens=16000), headers=headers, usual=usual
        )


async def _slow_violation(site: Site) -> None:
    """Have a stream that takes its time and then breaks a rule."""
    headers = [("x-replay-stream", "thinking-then-text"), ("x-replay-tokens-per-second", "8")]
    # In its second block.
    fault = "duplicate-start:event=19"
    await site.gateway.stream({"model": "claude-opus-5-5"}, fault=fault, headers=headers)
    await site.gateway.settled()


async def _violation(site: Site, folder: Path) -> Path:
    page = await site.page("/requests?outcome=violation", width=_WIDTH, height=1110)
    await has_come(page)
    await page.get_by_role("row").nth(1).click()
    await expect(page.get_by_role("heading", name=re.compile("Broken rule"))).to_be_visible()
    await has_come(page)
    return await _keep(page, folder / "dashboard-violation.png")


async def _show_machine(page: Page) -> None:
    await has_come(page)
    await expect(page.get_by_role("heading", name="What every stream goes through")).to_be_visible()


async def _keep(page: Page, path: Path) -> Path:
    await asyncio.to_thread(path.parent.mkdir, parents=True, exist_ok=True)
    await page.evaluate("document.activeElement?.blur()")
    await page.screenshot(path=path)
    return path


if __name__ == "__main__":
    for file in asyncio.run(make_screenshots()):
        print(f"{file.name}: {file.stat().st_size / 1000:.0f} kB")  # noqa: T201 - a command talks by printing
