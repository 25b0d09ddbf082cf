"""Between a client and an upstream of ours: asking the gateway under test, and what rules are made of."""

from __future__ import annotations

import asyncio
import io
import json
import zlib
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterable
from contextlib import asynccontextmanager, suppress
from importlib.metadata import version
from typing import Any, Final

import aiohttp
from attrs import define, field, frozen
from multidict import CIMultiDict
from yarl import URL

from gateway.canary.conformance.judging import Ended, Seen
from gateway.canary.conformance.stage import Scene, Stage
from gateway.canary.masking import Masker

__all__ = ["Bench", "Failed", "NotApplicable", "Rule", "RuleBook", "Target", "require"]

_MESSAGES: Final = "/v1/messages"
_LARGEST_ANSWER: Final = 64 * 2**20
_LINE_LIMIT: Final = 64 * 2**10
_CONNECT_SECONDS: Final = 5.0
_WINDOW_BITS: Final = {"gzip": 31, "deflate": 15}
_USER_AGENT: Final = f"gateway-conformance/{version('claude-stream-gateway')}"


class Failed(Exception):  # noqa: N818 - a finding, not an error of the program
    """The gateway does not keep the rule; the message says what was seen."""


class NotApplicable(Exception):  # noqa: N818 - a finding, not an error of the program
    """The rule means nothing for this gateway; the message says why."""


def require(holds: object, seen: object) -> None:
    """Raise `Failed` with what was seen unless something holds."""
    if not holds:
        raise Failed(str(seen))


@frozen
class Target:
    """The gateway under test."""

    base: str
    """What a client's base URL is set to, without a slash at the end."""
    key: str = field(default="", repr=False)
    bearer: bool = False
    """Send the key in `authorization` rather than in `x-api-key`."""
    model: str = "claude-sonnet-4-5"
    headers: tuple[tuple[str, str], ...] = field(default=(), repr=False)
    """More headers for each request."""

    def request_headers(self) -> CIMultiDict[str]:
        """Return what a plain client sends."""
        usual = CIMultiDict(
            {"user-agent": _USER_AGENT, "anthropic-version": "2023-06-01", "content-type": "application/json"}
        )
        if self.key:
            usual.add(*(("authorization", f"Bearer {self.key}") if self.bearer else ("x-api-key", self.key)))
        for name, value in self.headers:
            usual.add(name, value)
        return usual


@frozen
class _Call:
    """One request as it is to be sent."""

    method: str
    path: str
    body: bytes | None
    headers: CIMultiDict[str] = field(repr=False)
    until: Callable[[bytes], bool] | None


@define(eq=False)
class Bench:
    """Asks the gateway under test and sees both sides of it."""

    target: Target
    stage: Stage
    patience: float = 10.0
    """Seconds after which what should have happened counts as missing."""
    silence: float = 20.0
    """Seconds of silence after which Claude Code shows that it waits."""
    mask: Masker = field(factory=Masker)
    """Takes secrets out of what is shown."""

    def __attrs_post_init__(self) -> None:
        """Learn what must not be shown."""
        for secret in (self.target.key, *(value for _, value in self.target.headers)):
            self.mask.learn(secret)

    def body(self, tag: str, *, stream: bool = True, **fields: Any) -> bytes:
        """Return a small request body with a probe's tag in its prompt."""
        usual = {
            "model": self.target.model,
            "max_tokens": 1024,
            "stream": stream,
            "messages": [{"role": "user", "content": f"Conformance {tag}"}],
        }
        return json.dumps({**usual, **fields}).encode()

    async def ask(
        self,
        *scenes: Scene,
        stream: bool = True,
        fields: dict[str, Any] | None = None,
        reach: bool = True,
        **options: Any,
    ) -> Seen:
        """Send a usual request that meets these scenes; `options` are those of `send`.

        Raises:
            Failed: it did not reach the upstream, though it had to.
        """
        tag = self.stage.begin(*scenes)
        seen = await self.send(tag, self.body(tag, stream=stream, **(fields or {})), **options)
        if reach:
            require(seen.upstream, f"the request did not reach the upstream: {seen}")
        return seen

    async def send(
        self,
        tag: str,
        body: bytes | None,
        *,
        path: str = _MESSAGES,
        method: str = "POST",
        headers: Iterable[tuple[str, str]] = (),
        until: Callable[[bytes], bool] | None = None,
        patience: float | None = None,
        session: aiohttp.ClientSession | None = None,
    ) -> Seen:
        """Send a request and return what came of it, whatever that is; never raises for an answer.

        Args:
            tag: the probe that the request belongs to; empty for one that the upstream answers by itself.
            body: as it is to be sent.
            path: below the base URL, with its query.
            method: of HTTP.
            headers: in place of the usual ones of the same name.
            until: leave as soon as this holds for what has come of the body.
            patience: seconds until the end, or until `until` holds.
            session: to share connections with other requests; otherwise the request has one of its own.
        """
        merged = self.target.request_headers()
        for name, _ in headers:
            merged.popall(name, None)
        for name, value in headers:
            merged.add(name, value)
        call = _Call(method, path, body, merged, until)
        seen = Seen(0, ended="open")
        try:
            async with asyncio.timeout(self.patience if patience is None else patience):
                if session is not None:
                    await self._exchange(session, seen, call)
                else:
                    async with self.session() as own:
                        await self._exchange(own, seen, call)
        except TimeoutError:
            seen.trouble = "none in time"
        except (aiohttp.ClientError, ConnectionError) as error:
            seen.ended = "cut"
            seen.trouble = type(error).__name__
        seen.upstream = list(self.stage.received(tag))
        return seen

    @asynccontextmanager
    async def session(self, connections: int = 0) -> AsyncGenerator[aiohttp.ClientSession]:
        """Give a client that follows no redirect, decodes nothing and asks for no compression by itself."""
        async with aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=connections),
            timeout=aiohttp.ClientTimeout(total=None, sock_connect=_CONNECT_SECONDS),
            cookie_jar=aiohttp.DummyCookieJar(),
            auto_decompress=False,
            skip_auto_headers=("Accept-Encoding",),
            max_line_size=_LINE_LIMIT,
            max_field_size=_LINE_LIMIT,
        ) as session:
            yield session

    async def _exchange(self, session: aiohttp.ClientSession, seen: Seen, call: _Call) -> None:
        url = URL(self.target.base + call.path, encoded=True)
        content = None if call.body is None else io.BytesIO(call.body)
        async with session.request(
            call.method, url, data=content, headers=call.headers, allow_redirects=False
        ) as response:
            seen.status = response.status
            seen.headers = [
                (name.decode("latin-1"), value.decode("latin-1")) for name, value in response.raw_headers
            ]
            seen.ended = await _read(response, seen, call.until)

    async def leave(self, scene: Scene) -> Seen:
        """Ask for a stream, and leave as soon as the request has reached the upstream.

        Raises:
            Failed: it did not reach the upstream.
        """
        tag = self.stage.begin(scene)
        async with asyncio.TaskGroup() as group:
            asking = group.create_task(self.send(tag, self.body(tag), patience=2 * self.patience))
            with suppress(TimeoutError):
                await self.stage.upstream.wait_for(lambda: bool(self.stage.received(tag)), self.patience)
            asking.cancel()
        seen = Seen(0, ended="left", upstream=list(self.stage.received(tag)))
        require(seen.upstream, "the request did not reach the upstream")
        return seen

    async def upstream_was_left(self, seen: Seen) -> bool:
        """Wait until the gateway has ended its upstream request; return whether it did so in time."""
        try:
            await self.stage.upstream.wait_for(
                lambda: all(record.finished == "client_gone" for record in seen.upstream), self.patience
            )
        except TimeoutError:
            return False
        return True


async def _read(response: aiohttp.ClientResponse, seen: Seen, until: Callable[[bytes], bool] | None) -> Ended:
    if until is not None and until(b""):
        response.close()
        return "left"
    encoding = (seen.header("content-encoding") or "identity").lower()
    bits = _WINDOW_BITS.get(encoding)
    unpacker = zlib.decompressobj(wbits=bits) if bits else None
    while chunk := await response.content.readany():
        try:
            seen.body += unpacker.decompress(chunk) if unpacker else chunk
        except zlib.error:
            seen.trouble = f"not {encoding}"
            response.close()
            return "cut"
        if len(seen.body) > _LARGEST_ANSWER or (until is not None and until(seen.body)):
            response.close()
            return "left"
    return "whole"


@frozen
class Rule:
    """One thing that a gateway must do."""

    id: str
    """Stable: `GROUP.NAME`."""
    sentence: str
    """What a gateway does that keeps it."""
    why: str
    """Why it matters."""
    behind: str
    """The fault or the fixture that it is tried with."""
    notice: str
    """What a user notices where it is broken."""
    check: Callable[[Bench], Awaitable[str]] = field(repr=False)
    """Returns what was seen; raises `Failed` or `NotApplicable`."""
    slow: bool = False
    """Takes up to `Bench.silence` seconds, and is left out of a quick run."""
    harmful: bool = False
    """A gateway may count what it does against its upstream, and refuse requests for a while."""
    seconds: float = 120.0
    """Longest that it may take with the usual patience: more than all its requests together, each of which may be
    as slow as that allows."""


@define
class RuleBook:
    """Collects the rules of a module."""

    rules: list[Rule] = field(factory=list)

    def rule(self, id_: str, sentence: str, **texts: Any) -> Callable[[Callable[[Bench], Awaitable[str]]], Rule]:
        """Make a rule of the function that checks it."""

        def make(check: Callable[[Bench], Awaitable[str]]) -> Rule:
            made = Rule(id_, sentence, check=check, **texts)
            self.rules.append(made)
            return made

        return make
