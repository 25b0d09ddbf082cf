"""Asks a gateway as a client does, and keeps what a body does not show: when bytes came, and how they ended."""

from __future__ import annotations

import asyncio
import io
import os
import ssl
import zlib
from collections.abc import AsyncGenerator, Callable, Iterable, Mapping
from contextlib import asynccontextmanager
from typing import Any, Final, Literal, Self

import aiohttp
import msgspec
from attrs import define, field
from multidict import CIMultiDict, CIMultiDictProxy
from yarl import URL

from gateway.wire.errors import error_message
from sse_fsm import EndReason, JudgedEvent, Mode, StreamGuard, Verdict

__all__ = ["ENCODINGS", "Answer", "Credential", "NoAnswerError", "Piece", "Target", "open_session"]

ENCODINGS: Final = "gzip, deflate, br, zstd"
"""What Claude Code 2.1.330 says it accepts."""
VERSION: Final = "2023-06-01"
_CONNECT_SECONDS: Final = 5.0
_HEADER_BYTES: Final = 64 * 1024
_LARGE: Final = 512 * 1024
_LARGEST_BODY: Final = 16 * 1024 * 1024

Credential = Literal["x-api-key", "authorization", "wrong", "none"]
"""How a request proves who it is; `wrong` with a key that nobody has."""
Ending = Literal["complete", "cut", "left", "silent"]


class NoAnswerError(Exception):
    """There was no answer; the message says what came instead."""


@define(frozen=True)
class Piece:
    """What one read of the body gave."""

    at: float
    """Seconds after the request was sent."""
    data: bytes = field(repr=False)


@define
class Answer:
    """One answer, as far as it was read."""

    status: int
    headers: CIMultiDictProxy[str]
    version: str
    head_at: float
    """Seconds after the request was sent."""
    pieces: list[Piece] = field(factory=list)
    ended: Ending = "left"
    """`complete`, `cut`, `silent` after the seconds that were given, or `left` by us."""
    ended_at: float = 0.0

    @property
    def body(self) -> bytes:
        """The body as it came."""
        return b"".join(piece.data for piece in self.pieces)

    @property
    def text(self) -> bytes:
        """The body without gzip or deflate; empty where it cannot be decoded."""
        encoding = self.headers.get("content-encoding", "identity").lower()
        if encoding == "identity":
            return self.body
        if encoding not in ("gzip", "x-gzip", "deflate"):
            return b""
        try:
            return zlib.decompressobj(zlib.MAX_WBITS | 32).decompress(self.body, _LARGEST_BODY)
        except zlib.error:
            return b""

    @property
    def is_redirect(self) -> bool:
        """Whether it sends the client elsewhere."""
        return 300 <= self.status < 400 and "location" in self.headers  # noqa: PLR2004 - the class of redirects

    def json(self) -> Any:
        """Return the decoded body; None if it is no JSON."""
        try:
            return msgspec.json.decode(self.text)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            return None

    @property
    def error(self) -> Mapping[str, Any] | None:
        """The `error` object of Anthropic's envelope; None if the body is something else."""
        value = self.json()
        if not isinstance(value, dict) or value.get("type") != "error":
            return None
        error = value.get("error")
        return error if isinstance(error, dict) and isinstance(error.get("type"), str) else None

    @property
    def told(self) -> str:
        """The status and what the body says of it, for people."""
        message = error_message(self.text)[:160]
        return f"{self.status}" + (f" ({message})" if message else "")

    def judged(self) -> tuple[list[JudgedEvent], Verdict]:
        """Return the events of a stream, and what is to be said of it as a whole."""
        events: list[JudgedEvent] = []
        guard = StreamGuard(mode=Mode.OBSERVE, observer=events.append)
        guard.feed(self.text)
        _, verdict = guard.finish(EndReason.EOF if self.ended == "complete" else EndReason.CUT)
        return events, verdict


@define
class Target:
    """A gateway, and how to be let in."""

    session: aiohttp.ClientSession
    base: str
    """What clients are given as base URL, without a slash at the end."""
    key: str = field(repr=False)

    def at(self, base: str) -> Self:
        """Return the same with another base URL."""
        return type(self)(self.session, base, self.key)

    async def ask(
        self,
        method: str,
        path: str,
        *,
        body: Any = None,
        headers: Iterable[tuple[str, str]] = (),
        credential: Credential = "x-api-key",
        seconds: float = 30.0,
        until: Callable[[Answer], bool] | None = None,
        silence: float | None = None,
    ) -> Answer:
        """Ask, and read the answer to its end.

        Args:
            method: GET, POST and so on.
            path: below the base URL, with its query.
            body: JSON to be encoded, or bytes.
            headers: besides the usual ones; a name may come several times.
            credential: which header carries the key.
            seconds: for the whole of it; what there is by then is returned, if there is a head.
            until: asked after each piece; the connection is closed when it says so.
            silence: seconds without a byte after which the rest is not waited for.

        Raises:
            NoAnswerError: no head came.
        """
        content = body if isinstance(body, bytes | None) else msgspec.json.encode(body)
        sent = CIMultiDict([("anthropic-version", VERSION), *self._credential(credential)])
        if content is not None:
            sent["content-type"] = "application/json"
        for name in {name.lower() for name, _ in headers}:
            sent.popall(name, None)
        sent.extend(headers)
        loop = asyncio.get_running_loop()
        began = loop.time()
        answer: Answer | None = None
        try:
            async with (
                asyncio.timeout(seconds),
                self.session.request(
                    method,
                    URL(self.base + path, encoded=True),
                    # aiohttp warns of large bodies that it is given as bytes.
                    data=io.BytesIO(content) if content is not None and len(content) > _LARGE else content,
                    headers=sent,
                    allow_redirects=False,
                ) as response,
            ):
                version = response.version
                answer = Answer(
                    response.status,
                    response.headers,
                    f"{version.major}.{version.minor}" if version else "",
                    loop.time() - began,
                )
                await _read(response, answer, began, until, silence)
        except TimeoutError:
            if answer is None:
                raise NoAnswerError(f"no answer came within {seconds:g} seconds") from None
            answer.ended = "silent"
        except (aiohttp.ClientPayloadError, ConnectionError) as error:
            if answer is None:
                raise NoAnswerError("the connection was closed without an answer") from error
            answer.ended = "cut"
        except (aiohttp.ClientError, ssl.SSLError) as error:
            raise NoAnswerError(_said(error)) from None
        answer.ended_at = loop.time() - began
        return answer

    def _credential(self, credential: Credential) -> list[tuple[str, str]]:
        match credential:
            case "x-api-key":
                return [("x-api-key", self.key)]
            case "authorization":
                return [("authorization", f"Bearer {self.key}")]
            case "wrong":
                return [("x-api-key", "csg_a-key-that-nobody-has")]
        return []


async def _read(
    response: aiohttp.ClientResponse,
    answer: Answer,
    began: float,
    until: Callable[[Answer], bool] | None,
    silence: float | None,
) -> None:
    loop = asyncio.get_running_loop()
    size = 0
    while True:
        async with asyncio.timeout(silence):
            data = await response.content.readany()
        if not data:
            answer.ended = "complete"
            return
        size += len(data)
        answer.pieces.append(Piece(loop.time() - began, data))
        if size > _LARGEST_BODY or (until is not None and until(answer)):
            response.close()
            return


def _said(error: Exception) -> str:
    """Say what kept a request from being answered; never a header or a body."""
    if isinstance(error, aiohttp.ClientConnectorCertificateError | aiohttp.ClientConnectorSSLError | ssl.SSLError):
        return f"TLS failed: {getattr(error, 'certificate_error', None) or error}"
    if isinstance(error, aiohttp.ClientConnectorError):
        number = error.os_error.errno or 0
        return f"no connection: {os.strerror(number) if number > 0 else error.os_error.strerror or error.os_error}"
    if isinstance(error, aiohttp.ServerDisconnectedError):
        return "the connection was closed without an answer"
    if isinstance(error, aiohttp.ClientResponseError):
        return "what answers does not speak HTTP"
    if isinstance(error, aiohttp.InvalidURL):
        return "the base URL is none"
    return type(error).__name__


@asynccontextmanager
async def open_session() -> AsyncGenerator[aiohttp.ClientSession]:
    """Give a session that changes nothing: no cookies, no decoding, and a connection for each request."""
    connector = aiohttp.TCPConnector(limit=0, force_close=True)
    async with aiohttp.ClientSession(
        connector=connector,
        cookie_jar=aiohttp.DummyCookieJar(),
        auto_decompress=False,
        skip_auto_headers=("accept", "accept-encoding", "content-type"),
        headers={"user-agent": "claude-stream-gateway-doctor"},
        timeout=aiohttp.ClientTimeout(total=None, sock_connect=_CONNECT_SECONDS),
        max_line_size=_HEADER_BYTES,
        max_field_size=_HEADER_BYTES,
        trust_env=False,
    ) as session:
        yield session
