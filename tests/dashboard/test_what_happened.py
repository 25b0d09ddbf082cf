"""What a request's page says of its end, beside what its client really got."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Final

from attrs import define
from playwright.async_api import Page, expect

from gateway.config import Limits, Routing, StreamMode, Timeouts
from tests.contract.harness import GATEWAY_ID, MESSAGES
from tests.controlplane.api_client import ApiClient
from tests.dashboard.browsing import OpenDashboard, Site
from tests.dashboard.site import ACCOUNTS
from tests.replay.raw_client import LIMIT, RawResponse, message

_ALONE: Final = ACCOUNTS[:1]
"""Which is asked whatever its state."""
_RETRY_ADVICE: Final = b"What you received is incomplete"


@define(frozen=True)
class Case:
    """What a request meets upstream, and what is to be said of it besides what is true of every answer."""

    fault: str
    says: str
    stream: bool = True
    fixture: str = ""


_BODY: Final = False
_CASES: Final = (
    Case("none", "Team plan served it. It was complete"),
    Case("none", "for an answer. Team plan served it. It was complete", _BODY),
    Case("refuse", "Team plan gave no answer. It failed"),
    Case("refuse", "Team plan gave no answer. It failed", _BODY),
    Case("truncate", "Team plan began to answer. The stream ended too early"),
    Case("truncate", "Team plan did not finish its answer. It failed", _BODY),
    Case("cut:event=1", "Team plan did not finish its answer. The stream ended before any content"),
    Case("eof:event=0", "Team plan gave no usable answer. The stream ended before any content"),
    Case("eof:event=6", "The stream ended too early after"),
    Case("error-event:overloaded_error;event=0", "Team plan was overloaded. The upstream refused it"),
    Case("error-event:overloaded_error;event=6", "ended the stream with the error overloaded_error"),
    Case("error-event:authentication_error;event=0", "Team plan was refused for its credential. It failed"),
    Case("duplicate-start:event=1", "broke the rule duplicate_message_start before any content"),
    Case("duplicate-start:event=5", "broke the rule duplicate_message_start after"),
    Case("after-stop", "broke the rule event_after_stop"),
    Case("none", "broke the rule event_after_error", fixture="broken-after-error-delta"),
    Case("none", "only message_stop was missing", fixture="broken-repaired-no-message-stop"),
    Case("status:302", "Team plan answered with HTTP 302, which is not followed. It failed", _BODY),
    Case("status:400", "Team plan refused the request (HTTP 400). The upstream refused it"),
    Case("status:401", "Team plan was refused for its credential (HTTP 401). It failed"),
    Case("status:429", "Team plan was at a limit (HTTP 429). The upstream refused it", _BODY),
    Case("status:529", "Team plan was overloaded (HTTP 529). The upstream refused it"),
    Case("body:<html>", "Team plan gave no usable answer. It failed", _BODY),
)


async def ask(site: Site, case: Case) -> RawResponse:
    headers = [("x-replay-stream", case.fixture)] if case.fixture else []
    return await site.gateway.ask(message(stream=case.stream), headers=headers, fault=case.fault)


def id_of(answer: RawResponse) -> str:
    return answer.header(GATEWAY_ID) or ""


def check(said: str, answer: RawResponse) -> None:
    """Check what is said of the client's answer against that answer."""
    has_error_event = b"event: error\n" in answer.body
    is_own = answer.header("request-id") == id_of(answer)
    claims = {
        f"HTTP {answer.status}": answer.status >= 400,
        "the gateway\u2019s own HTTP": answer.status >= 400 and is_own,
        "got its": answer.status >= 400 and not is_own,
        "then one error event": has_error_event and _RETRY_ADVICE in answer.body,
        "the client got as it was": has_error_event
        and "event_after" not in said
        and _RETRY_ADVICE not in answer.body,
        "up to the upstream\u2019s error event": has_error_event and "event_after" in said,
        "its connection was cut": answer.ended != "complete",
    }
    for words, is_true in claims.items():
        assert (words in said) is is_true, (words, said, answer)
    if "complete after" in said or "message_stop was missing" in said or "all up to its end" in said:
        whole = b"event: message_stop\n" in answer.body or answer.json()["stop_reason"]
        assert whole, (said, answer)
    assert said.endswith((".", ".”")), said
    assert ".." not in said, said


async def sentences(site: Site, ids: Sequence[str]) -> list[str]:
    """Return what is said of requests, which came one after the other and nothing behind them."""
    await site.gateway.settled()
    page = await site.page(f"/requests/{ids[-1]}")
    said: list[str] = []
    for request_id in reversed(ids):
        await expect(page).to_have_url(f"{site.url}/requests/{request_id}")
        await expect(page.get_by_role("heading", name="What happened")).to_be_visible()
        await expect(page.locator("main [aria-busy=true]")).to_have_count(0)
        said.append(await _said(page))
        await page.keyboard.press("j")
    return said[::-1]


async def _said(page: Page) -> str:
    return await page.get_by_role("region", name="What happened").get_by_role("paragraph").inner_text()


async def test_what_is_said_of_a_request_is_what_its_client_got(dashboard: OpenDashboard) -> None:
    async with dashboard(accounts=_ALONE, traffic=False) as site:
        answers = [await ask(site, case) for case in _CASES]
        said = await sentences(site, [id_of(answer) for answer in answers])
        for case, answer, text in zip(_CASES, answers, said, strict=True):
            assert case.says in text, (case, text)
            check(text, answer)


async def test_clients_that_wait_or_go_away_or_have_no_key_are_told_of_as_they_are(
    dashboard: OpenDashboard,
) -> None:
    waiting = Timeouts(drain_seconds=0.2, commit_deadline_seconds=0.05)
    routing = Routing(hold_for_capacity_seconds=LIMIT)
    async with dashboard(accounts=_ALONE, traffic=False, timeouts=waiting, routing=routing) as site:
        gateway, client = site.gateway, ApiClient(site.url, site.gateway.token)
        stranger = await gateway.ask(message(), usual=[("x-api-key", "nobody's")])
        async with gateway.streaming():
            pass
        # One that goes while it waits, after a stream that was no good.
        body, headers = message(stream=True), [("x-replay-fault", "error-event:rate_limit_error;event=0")]
        async with gateway.connect() as connection:
            await connection.send(MESSAGES, body, headers=headers, usual=gateway.usual)
            await connection.until(b"event: ping")
        # It waits for an account that rests, until somebody takes that out of use.
        headers = [("x-replay-fault", "status:429;retry-after=600")]
        async with gateway.connect() as connection:
            await connection.send(MESSAGES, body, headers=headers, usual=gateway.usual)
            await connection.until(b"event: ping")
            assert (await client.post("/api/v1/accounts/acc_team/pause"))[0] == 200
            await connection.until(b"event: error")
        async with asyncio.timeout(LIMIT):
            while len(found := (await client.get("/api/v1/requests"))[1]["requests"]) < 4:  # noqa: ASYNC110 - what is asked is a server
                await asyncio.sleep(0.02)
        said = await sentences(site, [one["id"] for one in reversed(found)])
    assert said[0].startswith("Somebody without a valid key sent POST /v1/messages. No account was asked.")
    assert "The gateway refused it" in said[0]
    check(said[0], stranger)
    assert "The client went away" in said[1]
    assert "in the middle of the answer" in said[1]
    assert "Team plan was at a limit. The client went away" in said[2]
    assert "before it was answered" in said[2]
    assert "which had been kept waiting with pings, got an error event of the gateway\u2019s own" in said[3]
    assert "HTTP 200" not in said[3]


async def test_streams_that_are_only_watched_are_said_to_go_on_as_they_came(dashboard: OpenDashboard) -> None:
    settings = {"stream_mode": StreamMode.OBSERVE, "limits": Limits(held_body_bytes=100)}
    async with dashboard(accounts=_ALONE, traffic=False, **settings) as site:
        broken = await site.gateway.stream(fault="duplicate-start:event=5")
        closed = await site.gateway.stream(fault="eof:event=6")
        cut = await site.gateway.stream(fault="cut:event=6")
        large = await site.gateway.ask(message(), fault="truncate")
        answers = [broken, closed, cut, large]
        said = await sentences(site, [id_of(answer) for answer in answers])
        for answer, text in zip(answers, said, strict=True):
            check(text, answer)
        assert [("as it came" in text) for text in said] == [True, True, True, False]
        assert "The answer broke off" in said[3]
