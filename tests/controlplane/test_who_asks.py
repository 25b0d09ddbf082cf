"""What is believed of a request: headers of proxies, cookies, and where a change comes from."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from http.cookies import CookieError, SimpleCookie
from typing import Final

import pytest
import pytest_asyncio
from aiohttp.test_utils import make_mocked_request
from aiohttp.web import BaseRequest
from hypothesis import example, given
from hypothesis import strategies as st
from multidict import CIMultiDict

from gateway.config import DashboardSettings, SettingsError, load_settings
from gateway.controlplane.access import Access
from gateway.controlplane.api import ENDPOINTS
from gateway.controlplane.sign_in.cookies import read_cookie
from gateway.controlplane.sign_in.hosts import Place as Hosts
from gateway.controlplane.sign_in.proxies import TrustedProxies
from gateway.controlplane.sign_in.tokens import TOKEN as TOKEN_FORM
from gateway.controlplane.sign_in.tokens import new_token
from gateway.wire.errors import ApiError
from tests.controlplane.visitors import TOKEN, Browser, Place, dashboard

pytestmark = pytest.mark.asyncio(loop_scope="module")

PUBLIC: Final = "https://gateway.example"
BEHIND: Final = DashboardSettings(
    public_url=PUBLIC,
    trusted_header="x-forwarded-user",
    trusted_networks=["127.0.0.2", "fd00::/64"],
    trusted_admins=["Ana@Example.com"],
)
CHANGE: Final = {"name": "somebody new"}


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def here() -> AsyncIterator[tuple[Place, Browser]]:
    """Give a gateway on loopback and a browser that is signed in."""
    async with dashboard() as place:
        yield place, await place.add("ana")


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def behind() -> AsyncIterator[Place]:
    """Give a gateway behind a proxy that says who has signed in."""
    async with dashboard(dashboard=BEHIND) as place:
        yield place


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({}, 201),
        ({"origin": ""}, 201),
        ({"sec-fetch-site": ""}, 201),
        ({"sec-fetch-site": "none"}, 201),
        ({"sec-fetch-site": "same-site"}, 403),
        ({"sec-fetch-site": "cross-site"}, 403),
        ({"origin": "null"}, 403),
        ({"origin": "https://evil.example"}, 403),
        ({"origin": "http://127.0.0.1"}, 403),
        ({"origin": "http://127.0.0.1:1"}, 403),
        ({"origin": "http://user@127.0.0.1:1"}, 403),
        ({"origin": "file://"}, 403),
        # Another name that leads here has cookies of its own, and no session.
        ({"origin": "http://evil.example", "host": "evil.example"}, 401),
        ({"x-csrf-token": ""}, 403),
        ({"x-csrf-token": "0" * 64}, 403),
        ({"x-csrf-token": "é"}, 403),
    ],
    ids=str,
)
async def test_a_change_comes_from_a_page_of_the_dashboards_own_with_its_token(
    here: tuple[Place, Browser], headers: dict[str, str], status: int
) -> None:
    _, browser = here
    sent = {name: value.encode().decode("latin-1") for name, value in headers.items()}
    answer = await browser.ask("POST", "/api/v1/users", CHANGE, headers=sent)
    assert answer.status == status, answer.json
    if status == 201:
        path = f"/api/v1/users/{answer.json['user']['id']}"
        assert (await browser.ask("DELETE", path, headers=sent)).status == 204


async def test_viewers_change_nothing_but_how_they_sign_in_and_nobody_else_sees_anything(
    here: tuple[Place, Browser],
) -> None:
    place, _ = here
    viewer, stranger = await place.add("victor", "viewer"), place.browser()
    for one in ENDPOINTS:
        path, body = one.path.replace("{", "").replace("}", ""), {} if one.body is not None else None
        if one.method != "GET" and not path.startswith("/api/v1/session"):
            assert one.access is Access.ADMIN, one.name
        if one.access is not Access.OPEN:
            assert (await stranger.ask(one.method, path, body)).status == 401, one.name
        if one.access is Access.ADMIN:
            assert (await viewer.ask(one.method, path, body)).status == 403, one.name


async def test_a_token_of_another_session_does_not_do(here: tuple[Place, Browser]) -> None:
    place, browser = here
    other = await place.add("other")
    assert other.csrf != browser.csrf
    answer = await browser.ask("POST", "/api/v1/users", CHANGE, headers={"x-csrf-token": other.csrf})
    assert (answer.status, "reload the page" in answer.json["error"]["message"]) == (403, True)


@pytest.mark.parametrize("path", ["/api/v1/session", "/api/v1/session/link", "/api/v1/session/link/check"])
async def test_nobody_is_signed_in_by_a_page_of_another_site(here: tuple[Place, Browser], path: str) -> None:
    place, _ = here
    body = {"name": "ana", "password": "x"} if path == "/api/v1/session" else {"token": new_token()}
    for headers in ({"origin": "https://evil.example"}, {"sec-fetch-site": "cross-site"}):
        answer = await place.browser().ask("POST", path, body, headers=headers)
        assert (answer.status, "not the dashboard's own" in answer.json["error"]["message"]) == (403, True)


async def test_programs_with_the_token_need_neither(here: tuple[Place, Browser]) -> None:
    place, _ = here
    headers = {
        "authorization": f"bearer  {TOKEN} ",
        "origin": "https://evil.example",
        "sec-fetch-site": "cross-site",
    }
    answer = await place.browser().ask("POST", "/api/v1/users", {"name": "of a program"}, headers=headers)
    assert answer.status == 201
    seen = await place.browser().ask("GET", "/api/v1/session", headers=headers)
    assert (seen.json["user"]["name"], seen.json["user"]["how"]) == ("token", "token")


async def test_what_a_proxy_in_front_asks_for_by_another_scheme_is_not_taken_for_the_token(
    here: tuple[Place, Browser],
) -> None:
    _, browser = here
    answer = await browser.ask("GET", "/api/v1/session", headers={"authorization": "Basic YTpi"})
    assert (answer.status, answer.json["user"]["name"]) == (200, "ana")


async def test_a_proxy_that_is_believed_says_who_one_is(behind: Place) -> None:
    proxied = {"host": "gateway.example", "origin": PUBLIC}
    admin = behind.browser(address="127.0.0.2", headers={**proxied, "x-forwarded-user": "ana@example.com"})
    seen = await admin.session()
    assert (seen["user"]["name"], seen["user"]["role"], seen["user"]["how"]) == (
        "ana@example.com",
        "admin",
        "header",
    )
    assert (await admin.post("/api/v1/users", {"name": "bob"}))[0] == 201
    without = await admin.ask("POST", "/api/v1/users", {"name": "eve"}, headers={"x-csrf-token": ""})
    assert without.status == 403
    # Their password is the proxy's business, and so is signing out.
    assert (await admin.post("/api/v1/session/password", {"current": "", "new": "a good password"}))[0] == 409
    assert (await admin.ask("DELETE", "/api/v1/session")).status == 409
    viewer = behind.browser(address="127.0.0.2", headers={**proxied, "x-forwarded-user": "bob@example.com"})
    assert (await viewer.session())["user"]["role"] == "viewer"
    assert viewer.csrf != admin.csrf
    assert (await viewer.post("/api/v1/users", {"name": "eve"}))[0] == 403
    assert (await viewer.get("/api/v1/users"))[0] == 200


@pytest.mark.parametrize(
    ("address", "headers"),
    [
        ("127.0.0.1", {"x-forwarded-user": "ana@example.com"}),
        ("127.0.0.3", {"x-forwarded-user": "ana@example.com", "x-forwarded-for": "127.0.0.2"}),
        ("127.0.0.1", {"x-forwarded-user": "ana@example.com", "x-real-ip": "127.0.0.2"}),
        ("127.0.0.2", {"x-remote-user": "ana@example.com"}),
        ("127.0.0.2", {}),
    ],
)
async def test_anybody_else_who_says_so_is_nobody(behind: Place, address: str, headers: dict[str, str]) -> None:
    browser = behind.browser(address=address, headers={"host": "gateway.example", **headers})
    assert not (await browser.session())["signed_in"]
    assert (await browser.get("/api/v1/users"))[0] == 401


@pytest.mark.parametrize("name", ["x" * 101, "\u202eana", "a\tb"], ids=ascii)
async def test_a_name_that_cannot_be_one_is_refused(name: str) -> None:
    request = _request(("host", "gateway.example"), ("x-forwarded-user", name), peer="127.0.0.2")
    with pytest.raises(ApiError) as refused:
        TrustedProxies(BEHIND, Hosts(PUBLIC)).named(request)
    assert refused.value.status == 403


async def test_a_proxy_that_lets_clients_add_to_the_header_or_changes_the_host_is_not_believed() -> None:
    proxies = TrustedProxies(BEHIND, Hosts(PUBLIC))
    for headers in (
        [("host", "gateway.example"), ("x-forwarded-user", "ana"), ("X-Forwarded-User", "eve")],
        [("host", "gateway.example"), ("x-forwarded-user", "")],
        # A page whose name was made to lead here could send the header by itself.
        [("host", "evil.example"), ("x-forwarded-user", "ana")],
        [("x-forwarded-user", "ana")],
    ):
        with pytest.raises(ApiError):
            proxies.named(_request(*headers, peer="127.0.0.2"))
    for host in ("gateway.example", "127.0.0.1:8788", "[::1]:8788", "gateway:8788", "localhost", "a.localhost"):
        headers = [("host", host), ("x-forwarded-user", "ana")]
        assert proxies.named(_request(*headers, peer="fd00::7")) is not None, host


@pytest.mark.parametrize(
    ("peer", "forwarded", "address"),
    [
        ("192.0.2.1", ["203.0.113.9"], "192.0.2.1"),
        ("127.0.0.2", ["203.0.113.9"], "203.0.113.9"),
        ("127.0.0.2", ["198.51.100.1, 203.0.113.9"], "203.0.113.9"),
        ("127.0.0.2", ["198.51.100.1", "203.0.113.9"], "203.0.113.9"),
        ("127.0.0.2", ["203.0.113.9, fd00::1"], "203.0.113.9"),
        ("127.0.0.2", ["203.0.113.9, nonsense"], "127.0.0.2"),
        ("127.0.0.2", ["", "2001:db8::9"], "2001:db8::9"),
        ("::ffff:127.0.0.2", ["203.0.113.9"], "203.0.113.9"),
        ("127.0.0.2", ["203.0.113.9:1234"], "127.0.0.2"),
    ],
)
async def test_attempts_are_counted_for_the_address_that_the_nearest_believed_proxy_saw(
    peer: str, forwarded: list[str], address: str
) -> None:
    headers = [("x-forwarded-for", value) for value in forwarded]
    assert TrustedProxies(BEHIND, Hosts(PUBLIC)).address(_request(*headers, peer=peer)) == address


@pytest.mark.parametrize(
    ("origin", "host", "is_own"),
    [
        (PUBLIC, "gateway.example", True),
        (f"{PUBLIC}:443", "gateway.example", True),
        # The proxy may put its own name for us there.
        (PUBLIC, "upstream:8788", True),
        ("http://gateway.example", "gateway.example", False),
        ("https://gateway.example.evil.example", "gateway.example", False),
        ("https://evil.example", "evil.example", False),
        ("https://evil.example", "gateway.example", False),
        # A tunnel past the proxy.
        ("http://127.0.0.1:8788", "127.0.0.1:8788", True),
        ("http://localhost:8788", "127.0.0.1:8788", False),
        ("HTTPS://GATEWAY.EXAMPLE", "gateway.example", True),
    ],
)
async def test_behind_a_proxy_pages_of_the_public_address_are_the_dashboards_own(
    origin: str, host: str, *, is_own: bool
) -> None:
    request = _request(("host", host), ("origin", origin))
    assert Hosts(PUBLIC).is_own_page(request) is is_own


def _request(*headers: tuple[str, str], peer: str = "127.0.0.1") -> BaseRequest:
    request = make_mocked_request("POST", "/", headers=CIMultiDict(headers))
    return request.clone(remote=peer)


_NAME: Final = "gateway_session_8788"
_PAIRS: Final = st.tuples(
    st.one_of(st.just(_NAME), st.text(max_size=12)),
    st.one_of(st.builds(new_token), st.just("A" * 43), st.text(max_size=50)),
)


@given(st.lists(st.lists(_PAIRS, max_size=5), max_size=3), st.sampled_from(["; ", ";", " ; "]))
@example([[(_NAME, "A" * 43), (_NAME, "B" * 43)]], "; ")
async def test_of_cookies_that_contradict_each_other_none_is_believed(
    headers: list[list[tuple[str, str]]], between: str
) -> None:
    texts = [between.join(f"{name}={value}" for name, value in pairs) for pairs in headers]
    found = read_cookie(texts, _NAME)
    if found is None:
        return
    assert TOKEN_FORM.fullmatch(found)
    # Whatever others read of the same, it is this or nothing.
    for text in texts:
        jar = SimpleCookie()
        try:
            jar.load(text)
        except CookieError:
            continue
        if _NAME in jar and re.fullmatch(r"[\w-]*", jar[_NAME].value, re.ASCII):
            assert jar[_NAME].value == found


@given(st.text())
async def test_no_host_or_origin_is_a_defect(text: str) -> None:
    for hosts in (Hosts(""), Hosts(PUBLIC)):
        request = _request(("host", text), ("origin", f"http://{text}"), ("sec-fetch-site", text))
        assert hosts.is_own_page(request) in {True, False}
        assert hosts.is_own_name(request) in {True, False}
        assert isinstance(hosts.authority(request), tuple)


@pytest.mark.parametrize(
    ("variables", "words"),
    [
        ({"TRUSTED_HEADER": "x-user"}, "would let anyone who can reach the control plane be anybody"),
        ({"TRUSTED_HEADER": "x-user", "TRUSTED_NETWORKS": "10.0.0.1"}, "takes GATEWAY_DASHBOARD__PUBLIC_URL"),
        ({"TRUSTED_NETWORKS": "0.0.0.0/0"}, "must not be everywhere"),
        ({"TRUSTED_NETWORKS": "10.0.0.1/24"}, "must be networks such as"),
        ({"TRUSTED_NETWORKS": '["10.0.0.1/32"]'}, "commas between them, without brackets"),
        ({"TRUSTED_ADMINS": '["ana"]'}, "commas between them, without brackets"),
        ({"TRUSTED_HEADER": "cookie"}, "must be the name of a header"),
        ({"TRUSTED_HEADER": "x user"}, "must be the name of a header"),
        ({"TRUSTED_ADMINS": "ana"}, "means nothing without"),
        ({"PUBLIC_URL": "gateway.example"}, "must be like https://gateway.example.com"),
        ({"PUBLIC_URL": "https://gateway.example/path"}, "must be like"),
        ({"PUBLIC_URL": "https://user@gateway.example"}, "must be like"),
        ({"SESSION_SECONDS": "0"}, "must be greater than 0"),
    ],
)
async def test_settings_that_let_in_who_should_not_be_are_refused(variables: dict[str, str], words: str) -> None:
    environ = {f"GATEWAY_DASHBOARD__{name}": value for name, value in variables.items()}
    with pytest.raises(SettingsError, match=words):
        load_settings(None, environ)


async def test_settings_of_a_proxy_in_front_are_taken() -> None:
    settings = load_settings(
        None,
        {
            "GATEWAY_DASHBOARD__PUBLIC_URL": "https://gateway.example:8443/",
            "GATEWAY_DASHBOARD__TRUSTED_HEADER": "x-forwarded-user",
            "GATEWAY_DASHBOARD__TRUSTED_NETWORKS": "10.0.0.0/24, fd00::7",
            "GATEWAY_DASHBOARD__TRUSTED_ADMINS": "ana, bob",
        },
    )
    assert settings.dashboard.trusted_networks == ["10.0.0.0/24", "fd00::7"]
    assert settings.dashboard.trusted_admins == ["ana", "bob"]
