"""`gateway doctor` at a gateway that keeps the contract, and behind proxies that do not."""

from __future__ import annotations

import asyncio
import json
import os
import re
import sys
from collections.abc import AsyncGenerator, Sequence
from pathlib import Path
from typing import Any, Final

import pytest
import pytest_asyncio

from gateway.canary import doctor_arrivals, doctor_endpoints, doctor_failures, doctor_way
from gateway.canary.doctor import Check, UnexaminableError, examine
from gateway.canary.findings import Finding, Level
from gateway.replay.server import ReplayUpstream
from tests.contract.harness import Served, serving
from tests.doctor.crooked import FAULTS, crooked

pytestmark = pytest.mark.asyncio(loop_scope="module")

DOCS: Final = Path(__file__).parents[2] / "docs"
ALL: Final = (*doctor_endpoints.CHECKS, *doctor_arrivals.CHECKS, *doctor_failures.CHECKS, *doctor_way.CHECKS)
FOUND: Final[dict[str, tuple[str, str, Level]]] = {
    # what is wrong: which check is run, and which finding says so
    "buffers": ("buffering", "buffering", Level.PROBLEM),
    "buffers-all-but-the-first": ("buffering", "buffering", Level.PROBLEM),
    "changes-404": ("errors", "errors", Level.PROBLEM),
    "changes-errors": ("error-bytes", "error-bytes", Level.PROBLEM),
    "changes-statuses": ("errors", "errors", Level.PROBLEM),
    "compresses": ("stream", "compression", Level.PROBLEM),
    "cuts-bodies": ("body-size", "body-size", Level.PROBLEM),
    "drops-authorization": ("credentials", "credentials", Level.PROBLEM),
    "drops-limits": ("stream", "rate-limits", Level.WARNING),
    "drops-long-headers": ("long-headers", "long-headers", Level.PROBLEM),
    "drops-query": ("query", "query", Level.PROBLEM),
    "drops-request-ids": ("stream", "request-ids", Level.WARNING),
    "drops-retry-after": ("advice", "retry-after", Level.PROBLEM),
    "drops-should-retry": ("advice", "x-should-retry", Level.PROBLEM),
    "ends-errors-cleanly": ("truncation", "truncation", Level.PROBLEM),
    "gives-up": ("silence", "silence", Level.PROBLEM),
    "gives-up-with-an-error": ("pings", "first-ping", Level.PROBLEM),
    "is-late": ("hello", "clock", Level.PROBLEM),
    "joins-betas": ("headers", "headers", Level.PROBLEM),
    "keeps-open-at-end": ("stream", "end", Level.WARNING),
    "keeps-upstream": ("cancel", "cancel", Level.PROBLEM),
    "hides-hello": ("hello", "hello", Level.WARNING),
    "hides-models": ("models", "models", Level.PROBLEM),
    "hides-count-tokens": ("count-tokens", "count-tokens", Level.WARNING),
    "overload-in-band": ("honest-status", "honest-status", Level.PROBLEM),
    "redirects": ("models", "redirects", Level.PROBLEM),
    "rewrites-bodies": ("body", "body", Level.PROBLEM),
    "says-plain-text": ("stream", "content-type", Level.PROBLEM),
    "swallows-pings": ("pings", "pings", Level.PROBLEM),
    "takes-little": ("body-size", "body-size", Level.PROBLEM),
}


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def served() -> AsyncGenerator[Served]:
    quick = {"ping_interval_seconds": 0.3, "commit_deadline_seconds": 2.5}
    async with serving(timeouts=quick, upstream=ReplayUpstream(tokens_per_second=200)) as running:
        yield running


async def look(served: Served, *names: str, base: str | None = None, **options: Any) -> list[Finding]:
    usual: dict[str, Any] = {"upstream": served.upstream.url, "patience_seconds": 15.0, "silence_seconds": 0.0}
    checks: Sequence[Check] = [check for check in ALL if not names or check.name in names]
    return await examine(
        checks,
        doctor_way.of_all_answers,
        base_url=(base or served.gateway.url) + "/claude",
        key=served.key,
        **(usual | options),
    )


def bad(found: Sequence[Finding]) -> list[Finding]:
    return [finding for finding in found if finding.level is not Level.OK]


async def test_a_gateway_that_keeps_the_contract_has_nothing_to_be_told(served: Served) -> None:
    found = await look(served, silence_seconds=0.5)

    assert not bad(found)
    names = {finding.check for finding in found}
    assert len(names) == len(found) > 25
    assert names <= set(re.findall(r"`([a-z0-9-]+)`", (DOCS / "doctor.md").read_text("utf-8")))
    for listed in re.findall(
        r"finds it as ((?:`[a-z-]+`(?: and |, )?)+)", (DOCS / "troubleshooting.md").read_text()
    ):
        assert set(re.findall(r"`([a-z-]+)`", listed)) <= names


async def test_every_finding_has_a_check_that_can_fail() -> None:
    assert set(FAULTS) - {"adds-nothing", "drops-fault-header"} == set(FOUND)


@pytest.mark.parametrize("fault", FOUND)
async def test_what_a_proxy_does_wrong_is_found_with_a_way_to_mend_it(served: Served, fault: str) -> None:
    check, expected, level = FOUND[fault]
    async with crooked(served.gateway.url, fault) as base:
        patience = {"patience_seconds": 2.0} if fault == "swallows-pings" else {}
        found = await look(served, check, base=base, silence_seconds=1.0, **patience)

    (finding,) = [one for one in found if one.check == expected]
    assert finding.level is level, found
    assert finding.fix


async def test_a_proxy_that_does_its_work_is_named_and_has_nothing_to_be_told(served: Served) -> None:
    async with crooked(served.gateway.url, "adds-nothing") as base:
        found = await look(served, base=base, silence_seconds=0.5)

    assert not bad(found)
    assert any("nginx/1.26 stands in front" in finding.what for finding in found)


async def test_the_advice_is_that_for_the_proxy_that_is_there(served: Served) -> None:
    async with crooked(served.gateway.url, "buffers") as base:
        found = await look(served, "buffering", base=base)

    assert "proxy_buffering off" in bad(found)[0].fix


async def test_before_an_upstream_that_cannot_be_told_to_fail_the_rest_is_looked_at(served: Served) -> None:
    async with crooked(served.gateway.url, "drops-fault-header") as base:
        found = await look(served, base=base, upstream="")

    levels = {finding.check: finding.level for finding in found}
    assert Level.PROBLEM not in levels.values()
    assert levels["stream"] is Level.OK
    assert levels["buffering"] is Level.OK
    for name in ("truncation", "pings", "query", "body", "silence"):
        assert levels[name] is Level.UNSEEN
    assert "gateway conformance" in next(finding.fix for finding in found if finding.check == "body")


async def test_a_key_that_is_refused_is_said_at_once_and_not_repeated(served: Served) -> None:
    with pytest.raises(UnexaminableError, match="refuses the key") as caught:
        await examine(
            (), doctor_way.of_all_answers, base_url=f"{served.gateway.url}/claude", key="csg_made-up-key"
        )

    assert "csg_made-up-key" not in str(caught.value)
    assert f"{caught.value} {caught.value.fix}".count("keys create") == 1


async def test_the_root_of_a_gateway_will_do(served: Served) -> None:
    base, checks = served.gateway.url, [check for check in ALL if check.name in ("models", "count-tokens")]
    found = await examine(checks, doctor_way.of_all_answers, base_url=f"{base}/", key=served.key)

    assert not bad(found)


async def test_an_address_where_nobody_answers_is_said(served: Served) -> None:
    with pytest.raises(UnexaminableError, match="no connection"):
        await look(served, base="http://127.0.0.1:1")


async def test_another_upstream_than_the_gateways_own_is_said(served: Served) -> None:
    async with ReplayUpstream() as other:
        with pytest.raises(UnexaminableError, match="did not reach"):
            await look(served, upstream=other.url)


async def test_an_address_that_is_no_replay_upstream_is_said(served: Served) -> None:
    with pytest.raises(UnexaminableError, match="no replay upstream"):
        await look(served, upstream=served.gateway.url)


async def test_answers_in_http_1_0_are_warned_of() -> None:
    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.0 404 Not Found\r\ncontent-length: 0\r\n\r\n")
        await writer.drain()
        writer.close()

    async with await asyncio.start_server(answer, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        found = await examine(
            [check for check in ALL if check.name == "hello"],
            doctor_way.of_all_answers,
            base_url=f"http://127.0.0.1:{port}",
            key="any",
        )

    assert [finding.level for finding in found if finding.check == "http-version"] == [Level.WARNING]
    assert [finding.level for finding in found if finding.check == "clock"] == [Level.UNSEEN]


async def test_the_command_ends_well_where_all_is_well_and_shows_no_key(served: Served, tmp_path: Path) -> None:
    run = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "gateway", "doctor", "--json", "--streams", "10", "--key-stdin"),
        *("--base-url", f"{served.gateway.url}/claude", "--upstream", served.upstream.url),
        env={
            **{name: value for name in ("PATH", "HOME") if (value := os.environ.get(name))},
            "GATEWAY_DATA_DIR": str(tmp_path),
            "GATEWAY_LISTEN": "127.0.0.1:0",
            "GATEWAY_CONTROL_LISTEN": "off",
        },
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    out, err = await run.communicate(f"{served.key}\n".encode())

    report = json.loads(out)
    assert (run.returncode, report["counts"]["problem"]) == (0, 0), report
    assert {finding["part"] for finding in report["findings"]} == {"machine", "contract", "way"}
    assert b"kept silent" in err
    assert served.key.encode() not in out + err
