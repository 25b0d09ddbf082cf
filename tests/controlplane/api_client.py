"""A client of the admin API that sends what it is told to and shows what comes back."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, Final

import aiohttp
from attrs import define, field

__all__ = ["ApiAnswer", "ApiClient"]

_TIMEOUT: Final = aiohttp.ClientTimeout(total=30)


@define
class ApiAnswer:
    """What came back."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        """The body, decoded; None where it is no JSON."""
        try:
            return json.loads(self.body)
        except ValueError:
            return None


@define
class ApiClient:
    """Asks with the control token, unless it is empty."""

    url: str
    token: str = field(default="", repr=False)

    async def ask(
        self, method: str, path: str, body: Any = None, *, headers: Mapping[str, str] | None = None
    ) -> ApiAnswer:
        """Send one request, a body as JSON, and return the whole answer."""
        sent = {"authorization": f"Bearer {self.token}"} if self.token else {}
        sent |= {"content-type": "application/json"} if body is not None else {}
        data = body if isinstance(body, bytes | None) else json.dumps(body).encode()
        async with (
            aiohttp.ClientSession(timeout=_TIMEOUT, cookie_jar=aiohttp.DummyCookieJar()) as session,
            session.request(
                method, self.url + path, data=data, headers={**sent, **(headers or {})}, allow_redirects=False
            ) as answer,
        ):
            return ApiAnswer(answer.status, answer.headers.copy(), await answer.read())

    async def get(self, path: str) -> tuple[int, Any]:
        """Return status and JSON."""
        answer = await self.ask("GET", path)
        return answer.status, answer.json

    async def post(self, path: str, body: Any = None) -> tuple[int, Any]:
        """Return status and JSON."""
        answer = await self.ask("POST", path, body)
        return answer.status, answer.json

    async def patch(self, path: str, body: Any) -> tuple[int, Any]:
        """Return status and JSON."""
        answer = await self.ask("PATCH", path, body)
        return answer.status, answer.json

    async def delete(self, path: str) -> tuple[int, Any]:
        """Return status and JSON."""
        answer = await self.ask("DELETE", path)
        return answer.status, answer.json
