"""The client of token endpoints: one exchange, of which it is known afterwards whether anything was sent.

Sources: RFC 6749, section 6; RFC 7523, section 2.1; `anthropic` Python SDK 2.12.0, `lib/credentials/`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlencode, urlsplit

import aiohttp
import msgspec
from aiohttp.connector import Connection
from attrs import define

from gateway.accounts.secrets import OAuthSecret, SecretFormatError, check_token
from gateway.accounts.token_answers import NotSent, Outcome, Unknown, judge
from gateway.setting_values import is_loopback
from gateway.wire.errors import SERVER_NAME
from gateway.wire.forbidden import CarefulResolver, ForbiddenAddressError

__all__ = ["ExchangeTimes", "exchange", "is_secure"]

_LONGEST_ANSWER: Final = 64 * 1024
_REFRESH_GRANT: Final = "refresh_token"
_ASSERTION_GRANT: Final = "urn:ietf:params:oauth:grant-type:jwt-bearer"
_BETA: Final = "oauth-2025-04-20"
_FEDERATION_BETA: Final = "oauth-2025-04-20,oidc-federation-2026-04-01"
_NETWORK_ERRORS: Final = (aiohttp.ClientError, OSError, asyncio.IncompleteReadError)


@define(frozen=True)
class ExchangeTimes:
    """Bounds, in seconds."""

    file: float = 5.0
    """For reading the file with the assertion."""
    connect: float = 8.0
    """For the name, the connection and TLS."""
    answer: float = 30.0
    """From sending the request to the last byte of its answer."""


def is_secure(url: str) -> bool:
    """Whether a token endpoint may be trusted with a secret: over TLS, or on this machine."""
    try:
        parts = urlsplit(url)
        host = parts.hostname or ""
    except ValueError:
        return False
    return bool(host) and (parts.scheme == "https" or (parts.scheme == "http" and is_loopback(host)))


async def exchange(
    secret: OAuthSecret,
    provider: str,
    *,
    before_sending: Callable[[], Awaitable[None]],
    times: ExchangeTimes,
) -> Outcome:
    """Exchange a refresh token or an assertion for an access token.

    Args:
        secret: what to exchange, and where.
        provider: name of the account's provider, some of which want headers of their own.
        before_sending: awaited when the connection is there and nothing has been sent; what it raises comes out,
            and nothing is sent.
        times: bounds.

    Raises:
        Exception: what `before_sending` raises.
    """
    if not is_secure(secret.token_url):
        return NotSent("the token endpoint is reached without TLS, so nothing is sent there")
    assertion = None
    if secret.federation is not None:
        assertion = await _read_assertion(secret.federation.assertion_file, times.file)
        if isinstance(assertion, NotSent):
            return assertion
    return await _Exchange(before_sending, times).run(secret, _headers(secret, provider), _body(secret, assertion))


def _headers(secret: OAuthSecret, provider: str) -> dict[str, str]:
    kind = "application/x-www-form-urlencoded" if secret.as_form else "application/json"
    headers = {"content-type": kind, "accept": "application/json", "accept-encoding": "identity"}
    headers["user-agent"] = SERVER_NAME
    if provider == "anthropic":
        headers["anthropic-beta"] = _BETA if secret.federation is None else _FEDERATION_BETA
    return headers


def _body(secret: OAuthSecret, assertion: str | None) -> bytes:
    fields: dict[str, str | None]
    if secret.federation is not None:
        rule = secret.federation
        fields = {
            "grant_type": _ASSERTION_GRANT,
            "assertion": assertion,
            "federation_rule_id": rule.federation_rule_id,
            "organization_id": rule.organization_id,
            "service_account_id": rule.service_account_id,
            "workspace_id": rule.workspace_id,
        }
    else:
        fields = {"grant_type": _REFRESH_GRANT, "refresh_token": secret.refresh_token, "scope": secret.scope}
    fields |= {"client_id": secret.client_id, "client_secret": secret.client_secret}
    given = {name: value for name, value in fields.items() if value is not None}
    return urlencode(given).encode() if secret.as_form else msgspec.json.encode(given)


async def _read_assertion(path: str, seconds: float) -> str | NotSent:
    try:
        async with asyncio.timeout(seconds):
            text = await asyncio.to_thread(_read_text, Path(path))
        return check_token(text.strip())
    except SecretFormatError as error:
        return NotSent(f"the file with the assertion {error}")
    except (OSError, ValueError, TimeoutError) as error:
        return NotSent(f"the file with the assertion cannot be read ({type(error).__name__})")


def _read_text(path: Path) -> str:
    with path.open(encoding="utf-8") as file:
        return file.read(_LONGEST_ANSWER)


class _Connector(aiohttp.TCPConnector):
    """Makes a connection of its own for each request, and says so before the request goes out on it."""

    def __init__(self, connected: Callable[[], Awaitable[None]], seconds: float) -> None:
        super().__init__(force_close=True, resolver=CarefulResolver())
        self._connected = connected
        self._seconds = seconds

    async def connect(
        self,
        req: aiohttp.ClientRequest,
        traces: list[Any],
        timeout: aiohttp.ClientTimeout,  # noqa: ASYNC109 - aiohttp's signature
    ) -> Connection:
        async with asyncio.timeout(self._seconds):
            connection = await super().connect(req, traces, timeout)
        try:
            await self._connected()
        except BaseException:
            connection.close()
            raise
        return connection


class _StoppedError(Exception):
    """Carries what stopped an exchange past aiohttp, which takes some errors for its own."""

    def __init__(self, error: Exception) -> None:
        super().__init__()
        self.error = error


class _Exchange:
    """One request to a token endpoint."""

    def __init__(self, before_sending: Callable[[], Awaitable[None]], times: ExchangeTimes) -> None:
        self._before_sending = before_sending
        self._times = times
        self._limit = asyncio.timeout(None)
        self._sent = False
        self._status: int | None = None

    async def run(self, secret: OAuthSecret, headers: dict[str, str], body: bytes) -> Outcome:
        try:
            async with self._limit:
                return await self._request(secret.token_url, headers, body)
        except _StoppedError as stopped:
            raise stopped.error from None
        except TimeoutError:
            if self._status is not None:
                return judge(self._status, {}, None)
            if not self._sent:
                return NotSent("the token endpoint cannot be reached in time")
            return Unknown("the token endpoint did not answer in time")
        except _NETWORK_ERRORS as error:
            if not self._sent:
                return NotSent(_why_not_sent(error))
            return Unknown(f"the connection to the token endpoint broke off ({type(error).__name__})")

    async def _request(self, url: str, headers: dict[str, str], body: bytes) -> Outcome:
        async with (
            aiohttp.ClientSession(
                connector=_Connector(self._about_to_send, self._times.connect),
                cookie_jar=aiohttp.DummyCookieJar(),
                timeout=aiohttp.ClientTimeout(total=None),
                auto_decompress=False,
                trust_env=False,
            ) as session,
            session.post(url, data=body, headers=headers, allow_redirects=False) as response,
        ):
            self._status = response.status
            whole = await self._read(response)
            return judge(response.status, response.headers, whole)

    async def _about_to_send(self) -> None:
        try:
            await self._before_sending()
        except Exception as error:  # noqa: BLE001 - comes out of `exchange` as it is
            raise _StoppedError(error) from None
        self._sent = True
        self._limit.reschedule(asyncio.get_running_loop().time() + self._times.answer)

    async def _read(self, response: aiohttp.ClientResponse) -> bytes | None:
        """Return the body; None if it is cut, late, too long, or compressed although nobody asked for that."""
        parts: list[bytes] = []
        size = 0
        try:
            while part := await response.content.readany():
                parts.append(part)
                size += len(part)
                if size > _LONGEST_ANSWER:
                    return None
        except _NETWORK_ERRORS:
            return None
        encoding = response.headers.get("content-encoding", "identity").strip().lower()
        return b"".join(parts) if encoding in ("", "identity") else None


def _why_not_sent(error: BaseException) -> str:
    if isinstance(error, aiohttp.ClientConnectorDNSError) and isinstance(error.os_error, ForbiddenAddressError):
        return "the token endpoint's name leads to an address that no provider has"
    return f"the token endpoint cannot be reached ({type(error).__name__})"
