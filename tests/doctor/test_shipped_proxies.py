"""`gateway doctor` behind the proxies of docs/deploy, as they are and with what many have by default."""

from __future__ import annotations

from typing import Final

import pytest

from gateway.canary import doctor_arrivals, doctor_endpoints, doctor_failures, doctor_way
from gateway.canary.doctor import examine
from gateway.canary.findings import Finding, Level
from tests.proxies.behind import KINDS, Behind, behind

ALL: Final = (*doctor_endpoints.CHECKS, *doctor_arrivals.CHECKS, *doctor_failures.CHECKS, *doctor_way.CHECKS)
QUICK: Final = {"ping_interval_seconds": 0.3, "commit_deadline_seconds": 2.5}


async def look(stage: Behind, *names: str, silence_seconds: float = 1.0) -> list[Finding]:
    return await examine(
        [check for check in ALL if not names or check.name in names],
        doctor_way.of_all_answers,
        base_url=f"{stage.url}/claude",
        key=stage.canary.key,
        upstream=stage.canary.upstream.url,
        silence_seconds=silence_seconds,
    )


@pytest.mark.parametrize("name", list(KINDS))
async def test_nothing_is_to_be_told_of_a_proxy_as_it_is_documented(name: str) -> None:
    async with behind(name, timeouts=QUICK) as stage:
        found = await look(stage)

    assert not [finding for finding in found if finding.level is not Level.OK]


async def test_what_nginx_does_by_default_is_found() -> None:
    """It speaks HTTP/1.0 and buffers that, takes bodies of 1 MiB, and gives up after a time."""
    changes = {
        "proxy_buffering off": "proxy_buffering on; proxy_ignore_headers X-Accel-Buffering",
        "proxy_http_version 1.1": "proxy_http_version 1.0",
        "client_max_body_size 32m": "client_max_body_size 1m",
        "proxy_read_timeout 3600s": "proxy_read_timeout 2s",
    }
    async with behind("nginx", changes=changes, timeouts=QUICK) as stage:
        found = await look(stage, "buffering", "body-size", "silence", silence_seconds=3.0)

    problems = {finding.check for finding in found if finding.level is Level.PROBLEM}
    assert problems == {"buffering", "body-size", "silence"}
