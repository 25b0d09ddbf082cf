"""What watches the pages sees what it is there for."""

from __future__ import annotations

import asyncio
from typing import Final

import aiohttp
import pytest

from tests import answer_watch
from tests.controlplane.api_client import ApiClient
from tests.dashboard.browsing import OpenDashboard, assert_accessible
from tests.dashboard.site import gateway_site
from tests.replay.raw_client import LIMIT

FAULTS: Final = (
    ("console.error('hm')", "console error: hm"),
    ("console.warn('hm')", "console warning: hm"),
    ("setTimeout(() => { throw new Error('hm') })", "thrown: hm"),
    ("fetch('/api/v1/nothing')", "response: 404 GET /api/v1/nothing"),
    ("fetch('http://other.example/').catch(() => 0)", "Content Security Policy"),
    ("document.body.innerHTML = '<b>x</b>'", "TrustedHTML"),
)


async def test_what_a_page_must_not_do_is_seen(dashboard: OpenDashboard) -> None:
    async with dashboard(traffic=False) as site:
        page = await site.page()
        for script, problem in FAULTS:
            assert not site.problems
            await page.evaluate(f"() => {{ try {{ {script} }} catch {{ /* told by the browser */ }} }}")
            async with asyncio.timeout(LIMIT):
                while not any(problem in one for one in site.problems):
                    await page.evaluate("() => new Promise(requestAnimationFrame)")
            site.problems.clear()


async def test_what_only_some_can_read_is_seen(dashboard: OpenDashboard) -> None:
    async with dashboard(traffic=False) as site:
        page = await site.page()
        await page.evaluate("() => document.body.append(document.createElement('input'))")
        with pytest.raises(AssertionError, match="label"):
            await assert_accessible(page)


def test_a_secret_in_an_answer_is_seen_and_not_repeated() -> None:
    with answer_watch.keeping("what-a-test-keeps"):
        assert list(answer_watch.search(b'{"name": "what-a-test-kept", "key": "csg_1a2b3c4..."}')) == []
        assert list(answer_watch.search(b'{"x": "what-a-test-keeps"}')) == ["what-a…"]
        assert list(answer_watch.search(b'{"x": "sk-ant-api03-some-key-of-an-account"}')) == ["sk-ant-ap…"]
        assert list(answer_watch.search(b'{"x": "d2hhdC1hLXRlc3Qta2VlcHM="}')) == ["d2hhdC…"]


async def test_answers_files_and_streams_of_the_control_plane_are_looked_at() -> None:
    async with gateway_site(accounts=[], keys=["the-name-of-a-key"], traffic=False) as site:
        client = ApiClient(site.url, site.token)
        with answer_watch.keeping("the-name-of-a-key", "nothing at this path") as found:
            await client.get("/api/v1/keys")
            await client.get("/nowhere")
        assert {one.split(": ")[0] for one in found} == {"GET /api/v1/keys", "GET /nowhere"}
        address = f"{site.url}/api/v1/live?topics=changed"
        headers = {"authorization": f"Bearer {site.token}"}
        async with aiohttp.ClientSession() as session, session.get(address, headers=headers) as feed:
            await feed.content.readuntil(b"\n\n")
            with answer_watch.keeping('{"what":"keys"}') as found:
                await client.post("/api/v1/keys", {"name": "another one"})
                await feed.content.readuntil(b'{"what":"keys"}')
        assert {one.split(": ")[0] for one in found} == {"GET /api/v1/live"}
