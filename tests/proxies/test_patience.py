"""The files of docs/deploy agree with each other, and are more patient than the gateway is by default."""

from __future__ import annotations

import re
from typing import Any, Final

import pytest
import yaml

from gateway.config import Limits, Routing, Timeouts
from tests.proxies.behind import DEPLOY

FILES: Final = {name: (DEPLOY / name).read_text("utf-8") for name in ("nginx.conf", "haproxy.cfg", "Caddyfile")}
TRAEFIK_TEXT: Final = (DEPLOY / "traefik.yaml").read_text("utf-8")
TRAEFIK: Final[dict[str, Any]] = yaml.safe_load(TRAEFIK_TEXT)["http"]
UNITS: Final = {"s": 1, "m": 60, "h": 3600}
T: Final = Timeouts()
LONGEST_SILENCE: Final = T.upstream_head_seconds * Routing().max_attempts + Routing().queue_seconds


def seconds(text: str, setting: str) -> float:
    """Return the shortest time that a setting has in a file."""
    found = re.findall(rf"{setting}:? +(\d+)([smh])", text)
    assert found, f"no {setting}"
    return min(int(number) * UNITS[unit] for number, unit in found)


@pytest.mark.parametrize(
    ("file", "setting"),
    [
        ("nginx.conf", "proxy_read_timeout"),
        ("haproxy.cfg", "timeout server"),
        ("haproxy.cfg", "timeout client"),
        ("Caddyfile", "response_header_timeout"),
        ("traefik.yaml", "responseHeaderTimeout"),
    ],
)
def test_no_proxy_gives_up_what_the_gateway_would_still_wait_for(file: str, setting: str) -> None:
    patience = seconds({**FILES, "traefik.yaml": TRAEFIK_TEXT}[file], setting)

    assert patience > LONGEST_SILENCE
    assert patience > T.forward_idle_seconds
    assert patience > T.ping_interval_seconds


@pytest.mark.parametrize(
    ("file", "setting"),
    [("nginx.conf", "worker_shutdown_timeout"), ("haproxy.cfg", "hard-stop-after"), ("Caddyfile", "grace_period")],
)
def test_a_reload_waits_longer_than_any_stream_lasts(file: str, setting: str) -> None:
    assert seconds(FILES[file], setting) > T.stream_total_seconds


@pytest.mark.parametrize(
    ("file", "setting"),
    [("nginx.conf", "keepalive_timeout"), ("Caddyfile", "keepalive"), ("traefik.yaml", "idleConnTimeout")],
)
def test_the_proxy_closes_idle_connections_to_the_gateway_first(file: str, setting: str) -> None:
    text = {**FILES, "traefik.yaml": TRAEFIK_TEXT}[file]
    if file == "nginx.conf":
        text = text[text.index("upstream canary") : text.index("upstream existing")]

    assert seconds(text, setting) < T.keepalive_seconds


def test_bodies_and_headers_may_be_as_long_as_the_gateway_takes_them() -> None:
    limits = Limits()
    nginx, haproxy = FILES["nginx.conf"], FILES["haproxy.cfg"]

    assert f"client_max_body_size {limits.request_body_bytes // 2**20}m;" in nginx
    for setting in ("large_client_header_buffers 4", "proxy_buffer_size"):
        assert f"{setting} {limits.header_bytes // 1024}k;" in nginx
    (size,) = re.findall(r"tune.bufsize (\d+)", haproxy)
    assert int(size) > limits.header_bytes


def test_slow_clients_are_refused_by_the_gateway_and_not_before() -> None:
    nginx = FILES["nginx.conf"]

    assert seconds(nginx, "send_timeout") >= T.client_stalled_seconds
    assert seconds(nginx, "client_body_timeout") > T.request_body_idle_seconds
    read = re.search(r"readTimeout: (\d+)s", (DEPLOY / "proxies.md").read_text("utf-8"))
    assert read is not None
    assert int(read[1]) > T.request_body_total_seconds


@pytest.mark.parametrize("address", ["127.0.0.1:8787", "127.0.0.1:4000"])
def test_all_of_them_find_both_servers_at_the_same_addresses(address: str) -> None:
    for name, text in {**FILES, "traefik.yaml": TRAEFIK_TEXT}.items():
        assert text.count(address) == 1, name


def test_traefik_sends_claude_to_the_canary_and_the_rest_to_the_existing_proxy() -> None:
    routers, services = TRAEFIK["routers"], TRAEFIK["services"]
    claude, rest = routers["claude"], routers["everything-else"]

    assert claude["rule"] == "Path(`/claude`) || PathPrefix(`/claude/`) || PathPrefix(`/claude-sdk/`)"
    assert rest["rule"] == "PathPrefix(`/`)"
    assert claude["priority"] > rest["priority"]
    assert (claude["service"], rest["service"]) == ("canary", "existing")
    assert services["canary"]["loadBalancer"]["servers"] == [{"url": "http://127.0.0.1:8787"}]
    assert services["existing"]["loadBalancer"]["servers"] == [{"url": "http://127.0.0.1:4000"}]
    assert services["canary"]["loadBalancer"]["healthCheck"]["path"] == "/readyz"
    shares = services["by-share"]["weighted"]["services"]
    assert {share["name"] for share in shares} == {"canary", "existing"}
    assert {
        service["loadBalancer"]["serversTransport"] for service in services.values() if "loadBalancer" in service
    } == set(TRAEFIK["serversTransports"])


def test_traefik_holds_nothing_back_compresses_nothing_and_sends_nothing_twice() -> None:
    assert "middlewares" not in TRAEFIK
    assert not any("middlewares" in router for router in TRAEFIK["routers"].values())


def test_proxies_md_names_the_line_that_each_file_has() -> None:
    page = (DEPLOY / "proxies.md").read_text("utf-8")

    for text, line in [
        (FILES["nginx.conf"], "set $claude_to canary;"),
        (FILES["haproxy.cfg"], "http-request set-var(txn.claude_to) str(canary)"),
        (FILES["Caddyfile"], "vars claude_to canary"),
        (TRAEFIK_TEXT, "service: canary"),
    ]:
        assert f"`{line}`" in page
        assert line in text
