"""How smooth the page Now is with hundreds of live streams, and what it costs the gateway that somebody looks.

Reported, not asserted: times of the browser's frames and of what kept it busy, how late the gateway's event loop
was and how much processor time it took, with nobody watching and with a page open.

    python -m tests.bench.dashboard_board --streams 500 --seconds 20
"""

from __future__ import annotations

import argparse
import asyncio
import sys
from collections.abc import AsyncGenerator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any, Final

import psutil
from playwright.async_api import Page

from tests.contract.harness import MESSAGES
from tests.controlplane.api_client import ApiClient
from tests.dashboard.browsing import open_browser
from tests.faults.gateway_process import GATEWAY, GatewayProcess, serving_process
from tests.replay.raw_client import message

TOKEN: Final = "control-token-of-the-benchmark"
MODELS: Final = ("claude-opus-5-5", "claude-sonnet-5")
_MEASURE: Final = """
seconds => new Promise(done => {
  const frames = [], busy = [];
  const observer = new PerformanceObserver(list => busy.push(...list.getEntries().map(one => one.duration)));
  observer.observe({ entryTypes: ['longtask'] });
  const began = performance.now();
  let last = began;
  const frame = now => {
    frames.push(now - last);
    last = now;
    if (now - began < seconds * 1000) requestAnimationFrame(frame);
    else { observer.disconnect(); done({ frames: frames.slice(1), busy }); }
  };
  requestAnimationFrame(frame);
})
"""


@asynccontextmanager
async def replaying() -> AsyncGenerator[str]:
    """Run an upstream that plays Claude, in a process of its own; give its URL."""
    process = await asyncio.create_subprocess_exec(
        str(GATEWAY), "replay", "--listen", "127.0.0.1:0", stdout=asyncio.subprocess.PIPE
    )
    assert process.stdout is not None
    try:
        line = (await process.stdout.readline()).decode()
        yield next(word for word in line.split() if word.startswith("http://")).rstrip(".,;")
    finally:
        process.terminate()
        await process.wait()


async def stream(running: GatewayProcess, model: str, pace: int) -> None:
    """Read one stream after another, until cancelled."""
    headers = [
        ("x-replay-tokens", "3000"),
        ("x-replay-tokens-per-second", str(pace)),
        ("user-agent", "bench/1.0"),
    ]
    while True:
        async with running.connect() as connection:
            await connection.send(
                MESSAGES, message(stream=True, model=model), headers=headers, usual=running.usual
            )
            while await connection.reader.read(2**16):
                pass


def at(share: float, values: Sequence[float]) -> float:
    """Return what this share of the values does not exceed."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))] if ordered else 0.0


async def gateway_costs(client: ApiClient, seconds: float) -> str:
    """Say how late the gateway's loop is, and what share of a processor it takes."""
    (status, before) = await client.get("/api/v1/overview")
    assert status == 200, before
    (pid,) = [worker["pid"] for worker in before["health"]["workers"]]
    process = psutil.Process(pid)
    began = sum(process.cpu_times()[:2])
    await asyncio.sleep(seconds)
    used = (sum(process.cpu_times()[:2]) - began) / seconds
    (_, after) = await client.get("/api/v1/overview")
    (worker,) = after["health"]["workers"]
    return (
        f"{used:.0%} of a processor; event loop {worker['lag_seconds'] * 1000:.1f} ms late, "
        f"{worker['longest_lag_seconds'] * 1000:.0f} ms at most in a minute; {worker['in_flight']} in flight"
    )


async def frames_of(page: Page, seconds: float) -> str:
    """Say how long the browser's frames took."""
    found: dict[str, Any] = await page.evaluate(_MEASURE, seconds)
    frames, busy = found["frames"], found["busy"]
    late = sum(1 for one in frames if one > 50)
    return (
        f"{len(frames)} frames, p50 {at(0.5, frames):.1f} ms, p95 {at(0.95, frames):.1f}, "
        f"p99 {at(0.99, frames):.1f}, max {max(frames, default=0):.0f}; {late} over 50 ms; "
        f"{len(busy)} long tasks, {sum(busy):.0f} ms in all"
    )


async def measure(streams: int, seconds: float, screenshot: Path | None) -> None:
    """Print what is measured."""
    async with replaying() as upstream, serving_process(upstream, CONTROL_TOKEN=TOKEN) as running:
        url = running.named("gateway is ready")[0]["control_url"]
        client = ApiClient(url, TOKEN)
        async with asyncio.TaskGroup() as tasks, AsyncExitStack() as stack:
            work = [
                tasks.create_task(stream(running, MODELS[number % len(MODELS)], 2 + number % 9))
                for number in range(streams)
            ]
            await asyncio.sleep(5)
            say(f"gateway, nobody watches: {await gateway_costs(client, seconds)}")
            browser = await stack.enter_async_context(open_browser())
            context = await browser.new_context(
                viewport={"width": 1280, "height": 900}, extra_http_headers={"authorization": f"Bearer {TOKEN}"}
            )
            page = await context.new_page()
            await page.goto(url)
            await page.get_by_role("region", name="In flight").get_by_role("row").nth(10).wait_for()
            say(f"page, at rest:           {await frames_of(page, seconds)}")
            say(f"gateway, one page:       {await gateway_costs(client, seconds)}")
            scrolling = tasks.create_task(scroll(page))
            say(f"page, while scrolling:   {await frames_of(page, seconds)}")
            scrolling.cancel()
            heap = await page.evaluate("performance.memory ? performance.memory.usedJSHeapSize / 1048576 : 0")
            say(f"page, heap:              {heap:.0f} MiB")
            if screenshot is not None:
                await page.screenshot(path=screenshot)
            for task in work:
                task.cancel()


async def scroll(page: Page) -> None:
    """Scroll the board up and down."""
    table = page.get_by_role("region", name="In flight").get_by_role("row").nth(3)
    await table.hover()
    while True:
        for step in (400, -400):
            for _ in range(20):
                await page.mouse.wheel(0, step)
                await asyncio.sleep(0.1)


def say(text: str) -> None:
    """Print a line at once."""
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


def main() -> int:
    """Measure."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--streams", type=int, default=500)
    parser.add_argument("--seconds", type=float, default=20)
    parser.add_argument("--screenshot", type=Path)
    args = parser.parse_args()
    asyncio.run(measure(args.streams, args.seconds, args.screenshot))
    return 0


if __name__ == "__main__":
    sys.exit(main())
