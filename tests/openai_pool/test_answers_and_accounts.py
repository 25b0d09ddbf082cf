"""What a pool of OpenAI accounts passes on as it came, and what it does not hold against an account."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Any, Final

import pytest
from attrs import define, field

from gateway.accounts.account import AccountState, Condition
from gateway.config import OpenAIMode
from gateway.replay.server import ReplayUpstream
from tests.account_path.harness import NewAccount, Pooled, pooled
from tests.replay.raw_client import RawResponse

CHAT: Final = {"model": "gpt-5", "messages": [{"role": "user", "content": "Say hello"}]}
GOOD: Final = b'HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 13\r\n\r\n{"object":"x"}'[:-1]


def error(status: str, message: str, *, code: str | None = None) -> bytes:
    """Return an answer in OpenAI's error envelope."""
    envelope = {"error": {"message": message, "type": "invalid_request_error", "param": None, "code": code}}
    body = json.dumps(envelope).encode()
    return (
        f"HTTP/1.1 {status}\r\ncontent-type: application/json\r\ncontent-length: {len(body)}\r\n\r\n".encode()
        + body
    )


@define
class Api:
    """Answers every request with the same bytes."""

    answer: bytes = GOOD
    cuts: bytes = b"\0"
    """Requests that have this in their heads are answered with less than was announced."""
    heads: list[bytes] = field(factory=list)
    bodies: list[bytes] = field(factory=list)
    url: str = ""

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Serve one connection."""
        try:
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                lengths = [
                    line[15:] for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:")
                ]
                self.bodies.append(await reader.readexactly(int(lengths[0])) if lengths else b"")
                self.heads.append(head)
                cut = self.cuts in head
                writer.write(self.answer.replace(b"length: 13", b"length: 99") if cut else self.answer)
                await writer.drain()
                if cut:
                    return
        except (asyncio.IncompleteReadError, ConnectionError):
            return
        finally:
            writer.close()


@define
class Running:
    """A gateway with accounts of OpenAI's."""

    served: Pooled
    api: Api

    async def ask(self, target: str = "/v1/chat/completions", body: Any = CHAT, **options: Any) -> RawResponse:
        """Ask with the gateway's key."""
        usual = [("authorization", f"Bearer {self.served.key}"), ("content-type", "application/json")]
        return await self.served.ask(body, target, usual=usual, **options)


@asynccontextmanager
async def running(*names: str, **settings: Any) -> AsyncGenerator[Running]:
    """Run a gateway with accounts of these names before an API that tests tell what to answer."""
    api = Api()
    server = await asyncio.start_server(api.serve, "127.0.0.1", 0)
    host, port = server.sockets[0].getsockname()
    accounts = [NewAccount(name, api_key=f"sk-proj-of-{name}", provider="openai") for name in names]
    modes: dict[str, Any] = {"openai_mode": OpenAIMode.POOL, "openai_base_url": f"http://{host}:{port}"}
    async with server, ReplayUpstream() as anthropic:
        async with pooled(*accounts, upstream=anthropic, **modes, **settings) as served:
            yield Running(served, api)
        server.close()


def states(served: Pooled) -> set[AccountState]:
    """Return what has become of the accounts."""
    openai_pool = served.gateway.data_plane.openai_pool
    assert openai_pool is not None
    pool = openai_pool.api.backend.pool
    return {pool.state(account.id)[0] for account in pool.accounts}


async def test_the_organisation_that_a_client_names_for_a_key_of_its_own_is_not_sent_with_the_pools() -> None:
    async with running("red") as one:
        answer = await one.ask(headers=[("OpenAI-Organization", "org-mine"), ("OpenAI-Project", "proj_mine")])
        assert answer.status == 200
        assert b"openai-" not in one.api.heads[0].lower()


@pytest.mark.parametrize(
    ("code", "message"),
    [
        ("mismatched_organization", "OpenAI-Organization header should match organization for API key"),
        (None, "You have insufficient permissions for this operation. Missing scopes: api.model.read."),
        ("missing_scope", "This key may not do this."),
    ],
)
async def test_a_401_for_what_was_asked_takes_no_account_out_of_use(code: str | None, message: str) -> None:
    async with running("red", "green") as one:
        one.api.answer = error("401 Unauthorized", message, code=code)
        answer = await one.ask("/v1/models", b"", method="GET")
        assert answer.status == 503
        assert len(one.api.heads) == 1
        assert states(one.served) == {AccountState.ACTIVE}
        one.api.answer = GOOD
        assert (await one.ask()).status == 200


async def test_a_parked_account_says_why_in_openais_words() -> None:
    async with running("red") as one:
        one.api.answer = error(
            "429 Too Many Requests", "You exceeded your current quota", code="insufficient_quota"
        )
        await one.ask()
        await one.served.until_condition(Condition.PARKED, "red")
        assert [a.condition_reason for a in await one.served.store.all()] == ["You exceeded your current quota"]


async def test_no_part_of_an_accounts_key_that_the_upstream_quotes_is_shown_or_kept() -> None:
    async with running("red") as one:
        one.api.answer = error(
            "401 Unauthorized", "Incorrect API key provided: sk-proj-*****f-red. Find yours at x."
        )
        answer = await one.ask()
        assert answer.status == 503
        assert b"f-red" not in answer.body
        await one.served.until_condition_of("red")
        (red,) = await one.served.store.all()
        assert red.condition_reason == "Incorrect API key provided: (key) Find yours at x."


async def test_not_modified_reaches_the_client_that_asked_whether_it_is() -> None:
    async with running("red", "green") as one:
        one.api.answer = b'HTTP/1.1 304 Not Modified\r\netag: "a"\r\n\r\n'
        asked = [("if-none-match", '"a"'), ("connection", "close")]
        answer = await one.ask("/v1/files/f", b"", method="GET", headers=asked, to_eof=True)
        assert (answer.status, answer.header("etag"), answer.body) == (304, '"a"', b"")
        assert len(one.api.heads) == 1


async def test_a_path_that_redirects_makes_no_account_unwell() -> None:
    async with running("red", "green") as one:
        one.api.answer = b"HTTP/1.1 307 Temporary Redirect\r\nlocation: /v1/models/\r\ncontent-length: 0\r\n\r\n"
        for _ in range(3):
            assert (await one.ask("/v1/models", b"", method="GET")).status == 502
        assert len(one.api.heads) == 3


async def test_a_body_in_a_coding_that_is_not_known_here_is_the_upstreams_to_judge() -> None:
    async with running("red") as one:
        body = b"\x28\xb5\x2f\xfd and so on"
        answer = await one.ask("/v1/responses", body, headers=[("content-encoding", "zstd")])
        assert answer.status == 200
        assert one.api.bodies == [body]


async def test_whose_account_it_is_stays_here_where_several_serve() -> None:
    async with running("red", "green") as one:
        one.api.answer = GOOD.replace(
            b"\r\n\r\n", b"\r\nopenai-organization: acme\r\nopenai-project: p\r\nopenai-version: 1\r\n\r\n"
        )
        answer = await one.ask()
        assert answer.status == 200
        assert [name for name, _ in answer.headers if name.lower().startswith("openai-")] == ["openai-version"]


async def test_an_account_whose_answers_break_off_is_soon_asked_less_than_one_whose_are_whole() -> None:
    async with running("red", "green") as one:
        one.api.cuts = b"sk-proj-of-red"
        for _ in range(16):
            await one.ask(headers=[("connection", "close")], to_eof=True)
        assert [b"of-red" in head for head in one.api.heads[:2]].count(True) == 1
        assert not any(b"of-red" in head for head in one.api.heads[-4:])


async def test_a_gateway_without_an_account_of_openais_says_how_to_add_one() -> None:
    async with running() as one:
        answer = await one.ask()
        assert answer.status == 503
        assert "--provider openai" in json.loads(answer.body)["error"]["message"]
