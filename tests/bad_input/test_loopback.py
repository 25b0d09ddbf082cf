"""A gateway that asks for no key serves this machine's programs, not the pages its browser shows."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from gateway.config import ClientAuth
from tests.bad_input.checks import BODY, CLOSE, LENGTH, VERSION
from tests.contract.harness import MESSAGES, Served, envelope, head, serving

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def keyless() -> AsyncIterator[Served]:
    async with serving(client_auth=ClientAuth.OFF) as running:
        yield running


@pytest.fixture(autouse=True)
def _fresh(keyless: Served) -> None:
    keyless.upstream.journal.clear()


@pytest.mark.parametrize(
    "host",
    ["localhost", "LocalHost:8787", "127.0.0.1", "127.0.0.1:1", "127.8.9.10:8787", "[::1]", "[::1]:8787"],
)
async def test_a_program_on_this_machine_is_served(keyless: Served, host: str) -> None:
    (answer,) = await keyless.raw(head(MESSAGES, f"Host: {host}", VERSION, CLOSE, LENGTH) + BODY)
    assert answer.status == 200
    assert len(keyless.upstream.requests) == 1


@pytest.mark.parametrize(
    "lines",
    [
        ["Host: evil.example"],
        ["Host: evil.example:8787"],
        ["Host: localhost.evil.example"],
        ["Host: 127.0.0.1.evil.example"],
        ["Host: 127.0.0.1@evil.example"],
        ["Host: 192.168.1.2:8787"],
        ["Host: 0.0.0.0:8787"],
        ["Host: [::2]:8787"],
        ["Host: [::1]evil.example"],
        ["Host:"],
    ],
    ids=" ".join,
)
@pytest.mark.parametrize("target", [MESSAGES, "/claude/v1/models"])
async def test_a_page_whose_name_leads_here_spends_nothing(keyless: Served, lines: list[str], target: str) -> None:
    await refused(keyless, target, *lines)


async def test_a_request_without_a_host_is_refused(keyless: Served) -> None:
    await refused(keyless, MESSAGES, version="1.0")


async def test_the_host_of_an_absolute_target_counts_too(keyless: Served) -> None:
    await refused(keyless, f"http://evil.example:8787{MESSAGES}", "Host: 127.0.0.1")
    request = head(f"HTTP://localhost:8787{MESSAGES}", "Host: 127.0.0.1", VERSION, CLOSE, LENGTH) + BODY
    (answer,) = await keyless.raw(request)
    assert answer.status == 200


@pytest.mark.parametrize(
    "line",
    [
        "Sec-Fetch-Site: cross-site",
        "Sec-Fetch-Site: same-site",
        "Origin: https://evil.example",
        "Origin: http://127.0.0.1.evil.example",
        "Origin: null",
    ],
)
async def test_what_a_page_of_another_site_posts_spends_nothing(keyless: Served, line: str) -> None:
    await refused(keyless, MESSAGES, "Host: 127.0.0.1:8787", line)


@pytest.mark.parametrize(
    "lines",
    [["Sec-Fetch-Site: same-origin", "Origin: http://127.0.0.1:8787"], ["Origin: http://localhost:3000"]],
    ids=" ".join,
)
async def test_a_page_of_this_machine_is_served(keyless: Served, lines: list[str]) -> None:
    (answer,) = await keyless.raw(head(MESSAGES, "Host: localhost", VERSION, CLOSE, LENGTH, *lines) + BODY)
    assert answer.status == 200


async def refused(keyless: Served, target: str, *lines: str, version: str = "1.1") -> None:
    if target.endswith("models"):
        request = head(target, VERSION, CLOSE, *lines, method="GET")
    else:
        request = head(target, VERSION, CLOSE, LENGTH, *lines, version=version) + BODY
    (answer,) = await keyless.raw(request)
    error = envelope(answer, 403, "permission_error")
    assert "GATEWAY_CLIENT_AUTH=keys" in error["message"]
    assert answer.header("x-should-retry") == "false"
    assert keyless.upstream.requests == []
