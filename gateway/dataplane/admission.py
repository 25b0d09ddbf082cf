"""Who may send what: credentials and bodies of client requests."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from typing import Final

from aiohttp import web
from attrs import define, field

from gateway.actors.keys import ANONYMOUS, KEY_PREFIX, Actor, KeyRing, hash_key, presented_credential
from gateway.actors.limits import Limiter, NoLimits
from gateway.actors.refusals import expired, revoked
from gateway.config import ClientAuth, Limits, Timeouts
from gateway.wire.errors import ApiError

__all__ = ["Admission"]

_CONTINUE: Final = b"HTTP/1.1 100 Continue\r\n\r\n"


@define
class Admission:
    """Lets requests in, or says precisely why not."""

    mode: ClientAuth
    keys: KeyRing
    pepper: bytes = field(repr=False)
    limits: Limits
    timeouts: Timeouts
    clock: Callable[[], float] = lambda: datetime.now(UTC).timestamp()
    """The database's, in Unix seconds, where there is one."""
    limiter: Limiter = field(factory=NoLimits)
    learn_keys: Callable[[], Awaitable[None]] | None = None
    """Awaited before a key is said not to be known: another process may just have made it."""

    async def authenticate(self, request: web.BaseRequest) -> Actor:
        """Return the actor of a request.

        Raises:
            ApiError: 401.
        """
        actor = await self.identify(request)
        self.refuse_invalid(actor)
        return actor

    async def identify(self, request: web.BaseRequest) -> Actor:
        """Return whose credential came with a request, for `refuse_invalid`: the key may not be valid any more.

        Raises:
            ApiError: 401, nobody's.
        """
        if self.mode is ClientAuth.OFF:
            return ANONYMOUS
        credential = presented_credential(request.headers)
        if credential is None:
            raise ApiError(
                401,
                "No credential came with the request. Send it as `x-api-key` or as `Authorization: Bearer`.",
            )
        if self.mode is ClientAuth.PASSTHROUGH:
            # The credential itself is neither kept nor logged; its keyed hash tells clients apart.
            return Actor(f"client_{hash_key(credential, self.pepper)[:12]}", "passthrough")
        actor = self._find(credential)
        if actor is None and self.learn_keys is not None and credential.startswith(KEY_PREFIX):
            await self.learn_keys()
            actor = self._find(credential)
        if actor is None:
            raise ApiError(
                401,
                "This gateway does not know that key. Make one with `gateway keys create --name NAME`.",
            )
        return actor

    def _find(self, credential: str) -> Actor | None:
        return self.keys.find(credential) or self.keys.find_revoked(credential)

    def refuse_invalid(self, actor: Actor) -> None:
        """See that a key is valid.

        Raises:
            ApiError: 401, it is revoked, replaced or expired.
        """
        if actor.is_revoked:
            raise revoked(actor)
        if actor.valid_until is not None and self.clock() >= actor.valid_until:
            raise expired(actor)

    async def read_body(self, request: web.BaseRequest) -> bytearray:
        """Read the whole body, once.

        Raises:
            ApiError: 408, 413, 417 or 501, or 400 for a body that is broken off; nothing more is read then.
        """
        limit = self.limits.request_body_bytes
        if request.headers.get("transfer-encoding", "chunked").strip().lower() != "chunked":
            raise ApiError(
                501,
                "The only transfer coding that is understood here is `chunked`. Use content-encoding to compress.",
                should_retry=False,
                headers={"connection": "close"},
            )
        if (request.content_length or 0) > limit:
            raise self._too_large()
        if (expected := request.headers.get("expect")) is not None:
            await _answer_expectation(request, expected)
        body = bytearray()
        read = request.content.readany
        try:
            async with asyncio.timeout(self.timeouts.request_body_total_seconds):
                while True:
                    async with asyncio.timeout(self.timeouts.request_body_idle_seconds):
                        chunk = await read()
                    if not chunk:
                        return body
                    if len(body) + len(chunk) > limit:
                        raise self._too_large()
                    body += chunk
        except TimeoutError:
            raise ApiError(
                408,
                "The request body did not arrive in time. Send it again over a faster connection.",
                error_code="request_body_timeout",
                headers={"connection": "close"},
            ) from None
        except (web.RequestPayloadError, ConnectionError):
            raise ApiError(
                400,
                "The request body broke off, or its chunked encoding is wrong.",
                headers={"connection": "close"},
            ) from None

    def _too_large(self) -> ApiError:
        return ApiError(
            413,
            f"Request exceeds the maximum size: the limit is {self.limits.request_body_bytes} bytes.",
            headers={"connection": "close"},
        )


async def _answer_expectation(request: web.BaseRequest, expected: str) -> None:
    if expected.strip().lower() != "100-continue":
        raise ApiError(417, "The only expectation that is met here is `100-continue`.")
    await request.writer.write(_CONTINUE)
    # An interim answer does not count as the beginning of the real one.
    request.writer.output_size = 0
