"""Whatever is sent to the control plane, and whatever others wrote that it shows: nothing of it is believed."""

from __future__ import annotations

import asyncio
import json
from typing import Final
from urllib.parse import urlsplit

from gateway.controlplane.access import Role
from gateway.controlplane.security_headers import SECURITY_HEADERS
from tests.contract.harness import parse_answers
from tests.controlplane.api_client import ApiClient
from tests.dashboard.browsing import OpenDashboard
from tests.dashboard.site import GatewaySite, gateway_site
from tests.observability.scraping import ask_control
from tests.replay.raw_client import LIMIT, RawResponse

TARGETS: Final = (
    "//",
    "//evil.example/",
    "///",
    "/\\evil.example",
    "/../../../../etc/passwd",
    "/%2e%2e/%2e%2e/%2e%2e/etc/passwd",
    "/..%2f..%2fetc%2fpasswd",
    "/assets/../index.html",
    "/assets/%2e%2e/index.html",
    "/assets/../../make.py",
    "/assets/",
    "/assets//",
    "/assets/%00",
    "/assets/index.js%00.html",
    "/index.html",
    "/INDEX.HTML",
    "/.built-from",
    "/.npmrc",
    "/make.py",
    "/package.json",
    "/src/main.tsx",
    "/node_modules/preact/package.json",
    "/requests/..%2f..%2fetc",
    "/requests/../metrics",
    f"/requests/{'a' * 300}",
    "/accounts/x",
    "/api",
    "/api/",
    "/api//v1/session",
    "/api/v1",
    "/api/v1/",
    "/api/v1/../../metrics",
    "/api/v1/%2e%2e/metrics",
    "/API/v1/session",
    "/api/v1/session/",
    "/api/v1/session%00",
    "/api/v1/session;x=1",
    "/api/v1/accounts/%00",
    "/api/v1/accounts/..%2fkeys",
    "/api/v1/accounts/%ff%fe",
    f"/api/v1/accounts/{'a' * 1000}",
    f"/api/v1/requests/{'%2e' * 60}",
    "/api/v1/requests?limit=-1",
    "/api/v1/requests?limit=1e999",
    "/api/v1/requests?a=%00",
    f"/{'a' * 7000}",
    f"/{'a' * 9000}",
    f"/api/v1/keys?{'a=1&' * 1500}",
    "http://evil.example/",
    "http://evil.example/api/v1/accounts",
    "https://evil.example:443/metrics",
    "evil.example:443",
    "*",
    "?",
)
PATHS: Final = (
    "/",
    "/requests",
    "/theme.js",
    "/metrics",
    "/healthz",
    "/api/v1/openapi.json",
    "/api/v1/keys",
    "/x",
)
METHODS: Final = ("POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "CONNECT", "PROPFIND", "X")
FORGED: Final = (
    ("X-Forwarded-Host", "evil.example"),
    ("X-Forwarded-Proto", "https"),
    ("X-Forwarded-For", "127.0.0.1"),
    ("X-Forwarded-Prefix", "/evil"),
    ("X-Forwarded-User", "admin"),
    ("Forwarded", "for=127.0.0.1;host=evil.example;proto=https"),
    ("X-Original-URL", "/api/v1/accounts"),
    ("X-Rewrite-URL", "/api/v1/accounts"),
    ("X-HTTP-Method-Override", "DELETE"),
    ("X-Real-IP", "127.0.0.1"),
    ("Referer", "http://evil.example/"),
    ("Origin", "http://evil.example"),
)
ATTEMPTS: Final = (
    "const s = document.createElement('script'); s.append('pwned=1'); document.body.append(s)",
    "const s = document.createElement('script'); s.src = 'data:,pwned=1'; document.body.append(s)",
    "document.body.insertAdjacentHTML('beforeend', '<img src=x onerror=pwned=1>')",
    "document.body.innerHTML = '<svg onload=pwned=1>'",
    (
        "const p = trustedTypes.createPolicy('live-worker', {createHTML: x => x});"
        " document.body.innerHTML = p.createHTML('<img src=x onerror=pwned=1>')"
    ),
    "new SharedWorker('/theme.js')",
    "new Worker(URL.createObjectURL(new Blob(['postMessage(1)']))).onmessage = () => { pwned = 1 }",
    "document.body.setAttribute('onclick', 'pwned=1'); document.body.click()",
    "new Function('pwned=1')()",
    "eval('pwned=1')",
    "setTimeout('pwned=1')",
    "location.href = 'javascript:pwned=1'",
    "const f = document.createElement('iframe'); f.srcdoc = '<svg onload=top.pwned=1>'; document.body.append(f)",
    "document.head.append(Object.assign(document.createElement('base'), {href: 'http://evil.example/'}))",
)


def check(answer: RawResponse, target: str) -> None:
    """Check what holds for every answer."""
    assert answer.status < 500 or answer.status == 501, (target, answer.status)
    for name, value in SECURITY_HEADERS.items():
        assert answer.header(name) == value, (target, name, answer.status)
    assert b"root:" not in answer.body
    assert not answer.values("location")
    assert not answer.values("access-control-allow-origin")
    assert not answer.values("set-cookie")
    if answer.status >= 400:
        assert answer.header("content-type") == "application/json", target
        assert json.loads(answer.body)["type"] == "error", target
    elif answer.header("content-type") != "application/json":
        assert answer.body.startswith(b"<!doctype html>"), target


async def test_whatever_path_is_asked_for_there_is_a_page_or_an_error_and_no_other_file() -> None:
    async with gateway_site(traffic=False) as site:
        for target in TARGETS:
            check(await ask_control(site.url, target), target)


async def test_other_methods_than_a_path_has_are_refused() -> None:
    async with gateway_site(traffic=False) as site:
        for path in PATHS:
            for method in METHODS:
                answer = await ask_control(site.url, path, method=method)
                check(answer, f"{method} {path}")
                assert answer.status >= 400, (method, path)


async def test_who_forges_headers_is_told_no_more_and_is_believed_nothing() -> None:
    async with gateway_site(traffic=False) as site:
        for path in ("/", "/api/v1/session", "/api/v1/accounts", "/metrics", "/nowhere"):
            plain = await ask_control(site.url, path)
            for host in ("localhost", "evil.example", "[::1", "a b", "", "evil.example, localhost"):
                forged = await ask_control(site.url, path, headers=[("Host", host), *FORGED])
                check(forged, f"{path} for {host}")
                assert b"evil" not in forged.body
                assert forged.status in {plain.status, 400, 403}, (path, host)
        session = await ask_control(site.url, "/api/v1/session", headers=[("Host", "localhost"), *FORGED])
        assert session.json()["user"] is None


async def test_what_is_no_http_is_answered_as_carefully() -> None:
    async with gateway_site(traffic=False) as site:
        address = urlsplit(site.url)
        for sent in (
            b"GET / HTTP/9.9\r\n\r\n",
            b"GET  / HTTP/1.1\r\nHost: a\r\n\r\n",
            b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n",
            b"GET / HTTP/1.1\r\nHost: a\r\nX: " + b"a" * 20_000 + b"\r\n\r\n",
            b"GET / HTTP/1.1\r\nHost: a\r\nX y: 1\r\n\r\n",
            b"POST /api/v1/session HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n",
        ):
            reader, writer = await asyncio.open_connection(address.hostname, address.port)
            writer.write(sent)
            writer.write_eof()
            async with asyncio.timeout(LIMIT):
                answers = parse_answers(await reader.read())
            writer.close()
            assert all(answer.status >= 400 for answer in answers)
            for answer in answers:
                check(answer, repr(sent[:40]))


async def test_a_page_of_another_site_changes_nothing_by_a_signed_in_browser() -> None:
    async with gateway_site(traffic=False) as site:
        cookie = await _cookie(site)
        client = ApiClient(site.url)
        csrf = (await client.ask("GET", "/api/v1/session", headers={"cookie": cookie})).json["csrf_token"]
        own = {"cookie": cookie, "origin": site.url, "x-csrf-token": csrf}
        assert (await client.ask("POST", "/api/v1/keys", {"name": "mine"}, headers=own)).status == 201
        for changed in (
            {"origin": "http://evil.example"},
            {"origin": "null"},
            {"origin": site.url + ".evil.example"},
            {"sec-fetch-site": "cross-site"},
            {"sec-fetch-site": "same-site"},
            {"x-csrf-token": ""},
            {"x-csrf-token": "0" * len(csrf)},
            {"content-type": "text/plain"},
        ):
            refused = await client.ask("POST", "/api/v1/keys", {"name": "theirs"}, headers={**own, **changed})
            assert refused.status in {403, 415}, changed
        names = [one["name"] for one in (await client.ask("GET", "/api/v1/keys", headers=own)).json["keys"]]
        assert "mine" in names
        assert "theirs" not in names


async def _cookie(site: GatewaySite) -> str:
    token = await site.sign_in_token(Role.ADMIN)
    answer = await ApiClient(site.url).ask("POST", "/api/v1/session/link", {"token": token})
    assert answer.status == 200, answer.body
    return answer.headers["set-cookie"].partition(";")[0]


async def test_scripts_that_got_into_a_page_would_not_run(dashboard: OpenDashboard) -> None:
    async with dashboard(traffic=False) as site:
        site.expect("Content Security Policy|Trusted|thrown: ")
        page = await site.page("/settings")
        for attempt in ATTEMPTS:
            # On a turn of its own: while it evaluates for tests, the browser is less strict.
            await page.evaluate(
                f"() => new Promise(done => setTimeout(() => {{ try {{ {attempt} }} finally {{ done() }} }}))"
            )
        await page.evaluate("() => new Promise(done => setTimeout(done))")
        assert await page.evaluate("() => typeof pwned") == "undefined"
        assert "evil" not in await page.evaluate("() => document.baseURI")
