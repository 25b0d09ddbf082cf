"""One exchange with a token endpoint: what it sends, and what is known afterwards of how far it came."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from gateway.accounts.oauth import ExchangeTimes, exchange, is_secure
from gateway.accounts.secrets import Federation, OAuthSecret
from gateway.accounts.token_answers import Failed, Granted, NotSent, Outcome, Refused, Unknown
from gateway.replay.server import ReplayUpstream
from gateway.replay.tokens import ASSERTION_GRANT

PATH = "/v1/oauth/token"
QUICK = ExchangeTimes(file=2.0, connect=2.0, answer=0.3)
PATIENT = ExchangeTimes(file=5.0, connect=5.0, answer=20.0)


@pytest.fixture
async def upstream() -> AsyncIterator[ReplayUpstream]:
    async with ReplayUpstream() as running:
        yield running


def secret_for(upstream: ReplayUpstream, *, as_form: bool = False) -> OAuthSecret:
    pair = upstream.tokens.issue()
    return OAuthSecret(
        upstream.url + PATH, "of-the-operator", refresh_token=pair.refresh_token, as_form=as_form, scope="a b"
    )


async def run(
    secret: OAuthSecret,
    *,
    provider: str = "anthropic",
    times: ExchangeTimes = PATIENT,
    before_sending: Callable[[], Awaitable[None]] | None = None,
) -> Outcome:
    async def nothing() -> None:
        pass

    return await exchange(secret, provider, before_sending=before_sending or nothing, times=times)


@asynccontextmanager
async def endpoint(answer: bytes, *, at_once: bool = False) -> AsyncGenerator[str]:
    """Serve the same bytes to everybody, after the request or even before it, and close."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            if not at_once:
                await reader.readuntil(b"}")
            writer.write(answer)
            await writer.drain()
        except (ConnectionError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    try:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/token"
    finally:
        server.close()
        await server.wait_closed()


async def test_a_refresh_token_is_sent_as_the_official_sdk_sends_it(upstream: ReplayUpstream) -> None:
    secret = secret_for(upstream)
    outcome = await run(secret)
    assert isinstance(outcome, Granted)
    assert outcome.refresh_token not in (None, secret.refresh_token)
    (request,) = upstream.requests
    assert json.loads(request.body) == {
        "grant_type": "refresh_token",
        "refresh_token": secret.refresh_token,
        "client_id": "of-the-operator",
        "scope": "a b",
    }
    headers = {name.lower(): value for name, value in request.headers}
    assert headers["content-type"] == "application/json"
    assert headers["anthropic-beta"] == "oauth-2025-04-20"
    assert "authorization" not in headers


async def test_other_providers_get_no_header_of_anthropics_and_a_form_where_they_want_one(
    upstream: ReplayUpstream,
) -> None:
    outcome = await run(secret_for(upstream, as_form=True), provider="openai")
    assert isinstance(outcome, Granted)
    (request,) = upstream.requests
    headers = {name.lower(): value for name, value in request.headers}
    assert headers["content-type"] == "application/x-www-form-urlencoded"
    assert "anthropic-beta" not in headers
    assert b"scope=a+b" in request.body


async def test_an_assertion_is_read_anew_for_each_exchange(upstream: ReplayUpstream, tmp_path: Path) -> None:
    file = tmp_path / "assertion"
    rule = Federation(str(file), "fdrl_1", "org-uuid", workspace_id="wrkspc_1")
    secret = OAuthSecret(upstream.url + PATH, federation=rule)
    for assertion in ("a.b.c", "d.e.f"):
        file.write_text(f"{assertion}\n")
        outcome = await run(secret)
        assert isinstance(outcome, Granted)
        assert outcome.refresh_token is None
        request = upstream.requests[-1]
        assert json.loads(request.body) == {
            "grant_type": ASSERTION_GRANT,
            "assertion": assertion,
            "federation_rule_id": "fdrl_1",
            "organization_id": "org-uuid",
            "workspace_id": "wrkspc_1",
        }
        beta = [value for name, value in request.headers if name.lower() == "anthropic-beta"]
        assert beta == ["oauth-2025-04-20,oidc-federation-2026-04-01"]


@pytest.mark.parametrize("content", [None, "", "two words", "x" * 20_000])
async def test_without_an_assertion_nothing_is_sent(
    upstream: ReplayUpstream, tmp_path: Path, content: str | None
) -> None:
    file = tmp_path / "assertion"
    if content is not None:
        file.write_text(content)
    outcome = await run(OAuthSecret(upstream.url + PATH, federation=Federation(str(file))))
    assert isinstance(outcome, NotSent)
    assert str(tmp_path) not in outcome.reason
    assert upstream.requests == []


async def test_what_stops_an_exchange_before_it_is_sent_stops_it(upstream: ReplayUpstream) -> None:
    class StopError(OSError):
        """One that aiohttp would take for its own."""

    async def stop() -> None:
        raise StopError

    with pytest.raises(StopError):
        await run(secret_for(upstream), before_sending=stop)
    assert upstream.requests == []


async def test_the_connection_is_there_before_anything_is_marked_as_sent() -> None:
    async with endpoint(b"") as url:
        pass
    marked = []

    async def mark() -> None:
        marked.append(True)

    outcome = await run(OAuthSecret(url, refresh_token="rt-1"), before_sending=mark)
    assert isinstance(outcome, NotSent)
    assert marked == []


async def test_a_name_that_nobody_has_is_not_sent_to() -> None:
    outcome = await run(OAuthSecret("https://token.invalid/token", refresh_token="rt-1"))
    assert isinstance(outcome, NotSent)


@pytest.mark.parametrize(
    ("url", "secure"),
    [
        ("https://api.anthropic.com/v1/oauth/token", True),
        ("http://127.0.0.1:1/token", True),
        ("http://[::1]:1/token", True),
        ("http://localhost/token", True),
        ("http://api.anthropic.com/v1/oauth/token", False),
        ("http://localhost.example.com/token", False),
        ("http://127.0.0.1@example.com/token", False),
        ("ftp://127.0.0.1/token", False),
        ("https://", False),
        ("http://[", False),
        ("", False),
    ],
)
async def test_no_secret_goes_over_an_open_line(url: str, secure: bool) -> None:  # noqa: FBT001 - a table
    assert is_secure(url) is secure
    if not secure:
        assert isinstance(await run(OAuthSecret(url, refresh_token="rt-1")), NotSent)


async def test_an_endpoint_without_tls_behind_https_gets_nothing() -> None:
    marked = []

    async def mark() -> None:
        marked.append(True)

    async with endpoint(b"HTTP/1.1 200 OK\r\n\r\n", at_once=True) as url:
        secret = OAuthSecret(url.replace("http://", "https://"), refresh_token="rt-1")
        assert isinstance(await run(secret, before_sending=mark), NotSent)
    assert marked == []


@pytest.mark.parametrize(
    "fault",
    [
        "hang:head",
        "hang:byte=20",
        "refuse",
        "cut:byte=0",
        "cut:byte=20",
        "cut:byte=20;reset",
        "truncate",
        "truncate|header:Transfer-Encoding=chunked",
        "body:",
        "body:{",
        "body:[]",
        'body:{"access_token": 7}',
        "gzip",
        f"body:{'x' * 70_000}",
    ],
)
async def test_a_request_without_a_whole_answer_may_have_taken_effect(
    upstream: ReplayUpstream, fault: str
) -> None:
    upstream.faults.push(fault, path=PATH)
    times = QUICK if fault.startswith("hang") else PATIENT
    assert isinstance(await run(secret_for(upstream), times=times), Unknown)


@pytest.mark.parametrize(
    "fault", ["status:400", "status:403", "status:429;retry-after=3", "status:500", "status:503", "status:529"]
)
async def test_an_answer_that_says_no_leaves_the_refresh_token_good(upstream: ReplayUpstream, fault: str) -> None:
    secret = secret_for(upstream)
    upstream.faults.push(fault, path=PATH)
    outcome = await run(secret)
    assert isinstance(outcome, Failed)
    assert outcome.retry_after == (3.0 if "retry" in fault else None)
    assert isinstance(await run(secret), Granted)


async def test_a_refused_refresh_token_is_known_as_such(upstream: ReplayUpstream) -> None:
    outcome = await run(OAuthSecret(upstream.url + PATH, refresh_token="sk-ant-ort01-unknown"))
    assert outcome == Refused("the token endpoint says invalid_grant: Refresh token not found or invalid")


async def test_a_slow_answer_is_waited_for(upstream: ReplayUpstream) -> None:
    upstream.faults.push("drip:2000", path=PATH)
    assert isinstance(await run(secret_for(upstream)), Granted)


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        (b"HTTP/1.1 307 Temporary Redirect\r\nlocation: http://127.0.0.1:1/\r\ncontent-length: 0\r\n\r\n", Failed),
        (b"HTTP/1.1 204 No Content\r\n\r\n", Unknown),
        (b"HTTP/1.1 101 Switching Protocols\r\nupgrade: x\r\nconnection: upgrade\r\n\r\n", Unknown),
        (b"HTTP/1.1 999 What\r\ncontent-length: 0\r\n\r\n", Failed),
        (b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\ncontent-length: 6\r\n\r\n{}", Unknown),
        (b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nzz\r\n", Unknown),
        (b"HTTP/1.1 500 Oops\r\ncontent-length: 50\r\n\r\n{", Failed),
        (b"\x16\x03\x01\x00\x00", Unknown),
        (b"SSH-2.0-OpenSSH\r\n", Unknown),
        (b"HTTP/1.1 200 OK\r\nset-cookie: \xff\xff=;;;\r\nx: " + b"y" * 100_000 + b"\r\n\r\n{}", Unknown),
    ],
)
async def test_what_is_no_token_endpoint_is_survived(answer: bytes, expected: type[Outcome]) -> None:
    async with endpoint(answer) as url:
        assert isinstance(await run(OAuthSecret(url, refresh_token="rt-1")), expected)


async def test_an_answer_before_the_question_counts_as_one_to_it() -> None:
    grant = b'{"access_token": "at-1"}'
    answer = b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n%b" % (len(grant), grant)
    async with endpoint(answer, at_once=True) as url:
        outcome = await run(OAuthSecret(url, refresh_token="rt-1"))
    assert isinstance(outcome, (Granted, Unknown))


async def test_no_outcome_shows_a_token_in_its_repr(upstream: ReplayUpstream) -> None:
    secret = secret_for(upstream)
    outcome = await run(secret)
    assert "sk-ant" not in repr(outcome)
    assert "sk-ant" not in repr(secret)
