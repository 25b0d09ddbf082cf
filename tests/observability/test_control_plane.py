"""Who may ask the control plane, and what it answers."""

from __future__ import annotations

import asyncio
import json
import socket
from contextlib import suppress
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from aiohttp import web
from hypothesis import given
from hypothesis import strategies as st

from gateway.cli import main
from gateway.config import SettingsError, load_settings
from gateway.controlplane.server import ControlPlane
from tests.contract.harness import SECRET, serving
from tests.observability.scraping import LOOPBACK, ask_control, scrape
from tests.replay.raw_client import LIMIT

TOKEN = "a-token-of-the-operators-own"


async def test_health_is_told_to_everybody_and_the_rest_to_whoever_has_the_token() -> None:
    async with serving(control=True, control_token=TOKEN) as served:
        url = served.gateway.control_url
        health = await ask_control(url, "/healthz", headers=[("Host", "gateway.example")])
        assert (health.status, health.json()) == (200, {"status": "ok"})
        for headers in (
            [],
            [("Authorization", "Bearer wrong")],
            [("Authorization", f"Bearer {TOKEN}x")],
            [("Authorization", f"Basic {TOKEN}")],
            [("Authorization", TOKEN)],
            [("Authorization", "Bearer")],
            [("x-api-key", TOKEN)],
            [("Authorization", f"Bearer {served.key}")],
        ):
            for path in ("/metrics",):
                refused = await ask_control(url, path, headers=headers)
                assert refused.status == 401, headers
                assert refused.header("www-authenticate") == "Bearer"
                assert TOKEN not in refused.body.decode()
        # With a token, names that lead here are nobody's concern.
        headers = [("Host", "gateway.example"), ("Authorization", f"bearer {TOKEN}")]
        assert (await ask_control(url, headers=headers)).status == 200
        assert (await scrape(url, TOKEN)).value("gateway_workers") == 1


@given(st.text(st.characters(codec="latin-1", exclude_categories=["Cc"]), max_size=40))
def test_no_other_text_opens_it(given_token: str) -> None:
    async def page(_accept: str) -> tuple[bytes, str]:
        return b"", "text/plain"

    async def ask() -> int:
        control = ControlPlane(page, TOKEN)
        server = web.Server(control.handle)
        runner = web.ServerRunner(server)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        try:
            reader, writer = await asyncio.open_connection("127.0.0.1", site.port)
            head = f"GET /metrics HTTP/1.0\r\nAuthorization: Bearer {given_token}\r\n\r\n"
            writer.write(head.encode("latin-1"))
            answer = await reader.read()
            writer.close()
            await writer.wait_closed()
            return int(answer.split()[1])
        finally:
            await runner.cleanup()

    if given_token.strip() != TOKEN:
        assert asyncio.run(ask()) == 401


@pytest.mark.parametrize(
    "headers",
    [
        [("Host", "evil.example")],
        [("Host", "127.0.0.1.evil.example")],
        [("Host", "localhost"), ("Host", "evil.example")],
    ],
    ids=str,
)
async def test_without_a_token_a_web_page_that_calls_this_machine_by_another_name_learns_nothing(
    headers: list[tuple[str, str]],
) -> None:
    async with serving(control=True) as served:
        refused = await ask_control(served.gateway.control_url, headers=headers)
        assert refused.status in (400, 403)
        assert b"gateway_" not in refused.body


async def test_other_paths_and_methods_are_answered_in_json() -> None:
    async with serving(control=True) as served:
        url = served.gateway.control_url
        missing = await ask_control(url, "/dashboard?x=1")
        assert (missing.status, missing.json()["error"]["type"]) == (404, "not_found_error")
        posted = await ask_control(url, method="POST")
        assert (posted.status, posted.header("allow")) == (405, "GET, HEAD")
        head = await ask_control(url, method="HEAD")
        assert (head.status, head.raw_body) == (200, b"")
        # Messages are not served here, nor metrics there.
        assert (await ask_control(url, "/claude/v1/messages")).status == 404
        assert (await served.ask(target="/metrics")).status == 404


async def test_openmetrics_is_spoken_to_those_who_ask_for_it() -> None:
    async with serving(control=True) as served:
        headers = [LOOPBACK, ("Accept", "application/openmetrics-text; version=1.0.0")]
        answer = await ask_control(served.gateway.control_url, headers=headers)
        assert (answer.header("content-type") or "").startswith("application/openmetrics-text; version=1.0.0")
        assert answer.body.endswith(b"# EOF\n")


@pytest.mark.parametrize("version", ["x", "1.x", "", "1.0.0.0", "-1"])
async def test_whoever_asks_for_a_version_that_is_none_gets_the_metrics_all_the_same(version: str) -> None:
    async with serving(control=True) as served:
        accept = ("Accept", f"application/openmetrics-text; version={version}")
        answer = await ask_control(served.gateway.control_url, headers=[LOOPBACK, accept])
    assert answer.status == 200
    assert b"gateway_requests" in answer.body


async def test_a_defect_in_the_control_plane_is_answered_and_leaves_the_rest_alone() -> None:
    async with serving(control=True) as served:
        served.gateway.data_plane.messages.relays = None  # ty: ignore[invalid-assignment]  # what nobody expects
        assert (await scrape(served.gateway.control_url)).value("gateway_workers") == 1
        assert (await served.ask(target="/claude/v1/models")).status == 200

    async def broken(_accept: str) -> tuple[bytes, str]:
        raise RuntimeError("CONFIDENTIAL-MARKER".lower().replace("confidential", "some"))

    control = ControlPlane(broken, "")
    runner = web.ServerRunner(web.Server(control.handle))
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    try:
        answer = await ask_control(f"http://127.0.0.1:{site.port}")
        assert answer.status == 500
        assert b"some" not in answer.body
        assert (await ask_control(f"http://127.0.0.1:{site.port}", "/healthz")).status == 200
    finally:
        await runner.cleanup()


async def test_whoever_opens_more_connections_than_operators_need_is_turned_away_and_streams_go_on() -> None:
    async with serving(control=True) as served:
        address = urlsplit(served.gateway.control_url or "")
        opened = [await asyncio.open_connection(address.hostname, address.port) for _ in range(160)]
        try:
            reader, _ = opened[-1]
            async with asyncio.timeout(LIMIT):
                with suppress(ConnectionError):
                    assert await reader.read() == b""
            await served.assert_serves()
        finally:
            for _, writer in opened:
                writer.transport.abort()
        async with asyncio.timeout(LIMIT):
            while True:
                with suppress(ConnectionError, ValueError, AssertionError, asyncio.IncompleteReadError):
                    assert (await scrape(served.gateway.control_url)).value("gateway_workers") == 1
                    break
                await asyncio.sleep(0.01)


async def test_without_the_control_plane_nothing_of_it_listens() -> None:
    async with serving(control=True, control_listen="off") as served:
        assert served.gateway.control_url is None
        await served.assert_serves()


@pytest.mark.parametrize("address", ["0.0.0.0:8788", "[::]:8788", "gateway.example:8788", ":8788"])
def test_beyond_this_machine_it_takes_a_token(address: str) -> None:
    with pytest.raises(SettingsError, match="GATEWAY_CONTROL_TOKEN"):
        load_settings(None, {"GATEWAY_CONTROL_LISTEN": address})
    with pytest.raises(SettingsError, match="GATEWAY_CONTROL_TOKEN has 15 characters") as short:
        load_settings(None, {"GATEWAY_CONTROL_LISTEN": address, "GATEWAY_CONTROL_TOKEN": TOKEN[:15]})
    assert TOKEN[:15] not in str(short.value)
    assert load_settings(None, {"GATEWAY_CONTROL_LISTEN": address, "GATEWAY_CONTROL_TOKEN": TOKEN[:16]})
    assert load_settings(None, {"GATEWAY_CONTROL_TOKEN": "x"})


@pytest.mark.parametrize("workers", ["1", "2"])
def test_a_taken_port_is_said_in_a_sentence_that_names_the_setting(
    workers: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        for name, value in {
            "LISTEN": "127.0.0.1:0",
            "CONTROL_LISTEN": address,
            "DATA_DIR": str(tmp_path),
            "SECRET_KEY": SECRET,
            "WORKERS": workers,
        }.items():
            monkeypatch.setenv(f"GATEWAY_{name}", value)
        assert main(["serve"]) == 1
    error = capsys.readouterr().err
    assert f"{address}, the control plane's address, is in use already; set GATEWAY_CONTROL_LISTEN" in error


async def test_answers_are_json_that_clients_of_the_api_understand() -> None:
    async with serving(control=True) as served:
        body = json.loads((await ask_control(served.gateway.control_url, "/x")).body)
        assert set(body) == {"type", "error", "request_id"}
