"""Browsers that sign in to a gateway's dashboard, and what an operator does on its terminal."""

from __future__ import annotations

import json
from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager
from http.cookies import SimpleCookie
from typing import Any, Final
from urllib.parse import urlsplit

import aiohttp
from attrs import define, field

from gateway.controlplane.sign_in.links import make_link
from gateway.store.engine import Database, Opening
from gateway.store.user_links import LinkStore, Purpose
from gateway.store.users import ADMIN, UserStore
from tests.contract.harness import Served, serving
from tests.controlplane.api_client import ApiAnswer

__all__ = ["PASSWORD", "TOKEN", "Browser", "Place", "dashboard"]

TOKEN: Final = "a-token-of-the-operators-own"
PASSWORD: Final = "open sesame, and quickly"
_TIMEOUT: Final = aiohttp.ClientTimeout(total=30)


@define
class Browser:
    """Keeps cookies, and sends what a browser sends on its own with a request of a page's."""

    url: str
    address: str = "127.0.0.1"
    """From which it comes."""
    headers: dict[str, str] = field(factory=dict)
    """To be sent with everything."""
    cookies: dict[str, str] = field(factory=dict)
    set_cookie: str = ""
    """The last header of this name that came."""
    csrf: str = ""

    async def ask(
        self, method: str, path: str, body: Any = None, *, headers: Mapping[str, str] | None = None
    ) -> ApiAnswer:
        """Send one request as the dashboard's own page does, and take the cookies that come."""
        sent = {"sec-fetch-site": "same-origin"}
        if method != "GET":
            sent |= {"origin": self.url, "x-csrf-token": self.csrf}
        sent |= {"content-type": "application/json"} if body is not None else {}
        sent |= {"cookie": "; ".join(f"{name}={value}" for name, value in self.cookies.items())}
        sent |= self.headers | dict(headers or {})
        connector = aiohttp.TCPConnector(local_addr=(self.address, 0))
        async with (
            aiohttp.ClientSession(
                timeout=_TIMEOUT, cookie_jar=aiohttp.DummyCookieJar(), connector=connector
            ) as session,
            session.request(
                method,
                self.url + path,
                data=json.dumps(body).encode() if body is not None else None,
                headers={name: value for name, value in sent.items() if value},
            ) as answer,
        ):
            for header in answer.headers.getall("set-cookie", []):
                self.set_cookie = header
                for name, morsel in SimpleCookie(header).items():
                    self.cookies[name] = morsel.value
                    if morsel["max-age"] == "0":
                        del self.cookies[name]
            return ApiAnswer(answer.status, answer.headers.copy(), await answer.read())

    async def get(self, path: str) -> tuple[int, Any]:
        """Return status and JSON."""
        answer = await self.ask("GET", path)
        return answer.status, answer.json

    async def post(self, path: str, body: Any = None) -> tuple[int, Any]:
        """Return status and JSON."""
        answer = await self.ask("POST", path, body)
        return answer.status, answer.json

    async def session(self) -> dict[str, Any]:
        """Return who is signed in, and take the token for changes."""
        status, seen = await self.get("/api/v1/session")
        assert status == 200, seen
        self.csrf = seen["csrf_token"] or ""
        return seen

    async def sign_in(self, name: str = "ana", password: str = PASSWORD, code: str = "") -> ApiAnswer:
        """Sign in."""
        answer = await self.ask(
            "POST", "/api/v1/session", {"name": name, "password": password, **({"code": code} if code else {})}
        )
        if answer.status == 200:
            self.csrf = answer.json["csrf_token"]
        return answer

    @property
    def token(self) -> str:
        """What stands for the session."""
        (value,) = self.cookies.values()
        return value


@define
class Place:
    """A gateway with a dashboard."""

    served: Served
    database: Database
    url: str

    def browser(self, **options: Any) -> Browser:
        """Open another browser."""
        return Browser(self.url, **options)

    async def add(self, name: str, role: str = ADMIN, password: str = PASSWORD) -> Browser:
        """Let somebody in by a link, and return their browser."""
        user = await UserStore(self.database).named(name) or await UserStore(self.database).add(name, role)
        browser = self.browser()
        status, seen = await browser.post(
            "/api/v1/session/link", {"token": await self.link(user_id=user.id), "password": password}
        )
        assert status == 200, seen
        browser.csrf = seen["csrf_token"]
        return browser

    async def link(self, purpose: Purpose = Purpose.SET_PASSWORD, **options: Any) -> str:
        """Return the token of a new link."""
        link = await make_link(LinkStore(self.database), self.url, purpose, **options)
        return urlsplit(link.url).fragment


@asynccontextmanager
async def dashboard(*, control_token: str = TOKEN, **settings: Any) -> AsyncGenerator[Place]:
    """Run a gateway with a control plane; give it and its database."""
    async with serving(control=True, control_token=control_token, **settings) as served:
        assert served.gateway.control_url is not None
        async with Database.of(served.gateway.data_plane.settings, Opening.EXISTING) as database:
            yield Place(served, database, served.gateway.control_url)
