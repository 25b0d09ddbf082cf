"""The gateway as it runs in production, before the replay upstream, and a client that shows bytes as they lay."""

from __future__ import annotations

import asyncio
import json
import tempfile
from collections.abc import AsyncGenerator, Iterable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Final

from attrs import define, evolve, field

from gateway.app import Gateway, run_gateway
from gateway.config import Limits, Settings, Timeouts
from gateway.ledger.record import RequestRecord
from gateway.replay.server import ReplayUpstream
from gateway.store.client_keys import ClientKeyStore
from gateway.store.engine import Database
from gateway.store.secret import load_secret_key
from tests import fresh_database
from tests.replay.raw_client import LIMIT, RawConnection, RawResponse, dechunk, message

ACCOUNT_KEY: Final = "sk-ant-api03-the-gateways-own-account"
SECRET: Final = "thirty-two-bytes-or-more-of-made-up-secret"
MESSAGES: Final = "/claude/v1/messages"
GATEWAY_ID: Final = "x-gateway-request-id"

Pairs = Iterable[tuple[str, str]]


@define
class RecordingLedger:
    """Keeps every record, and whether it came before the stream's end did."""

    records: list[RequestRecord] = field(factory=list)

    async def settle(self, record: RequestRecord) -> None:
        """Keep a record as it is now."""
        self.records.append(evolve(record))

    def of(self, response: RawResponse) -> RequestRecord:
        """Return the one record of the request that this answers."""
        (found,) = [record for record in self.records if record.id == response.header(GATEWAY_ID)]
        return found


@define
class Served:
    """A gateway that serves, what is behind it, and a key to it."""

    gateway: Gateway
    upstream: ReplayUpstream
    ledger: RecordingLedger
    key: str

    @property
    def usual(self) -> list[tuple[str, str]]:
        """The headers that a plain client sends."""
        return [
            ("x-api-key", self.key),
            ("anthropic-version", "2023-06-01"),
            ("content-type", "application/json"),
        ]

    @asynccontextmanager
    async def connect(self) -> AsyncGenerator[RawConnection]:
        """Open a connection to the gateway."""
        reader, writer = await asyncio.open_connection(self.gateway.host, self.gateway.port, limit=2**25)
        connection = RawConnection(reader, writer)
        try:
            yield connection
        finally:
            await connection.close()

    async def ask(
        self,
        body: Any = b"",
        target: str = MESSAGES,
        *,
        headers: Pairs = (),
        usual: Pairs | None = None,
        fault: str | None = None,
        method: str | None = None,
        version: str = "1.1",
        to_eof: bool = False,
    ) -> RawResponse:
        """Ask on a connection of its own and return the whole answer."""
        extra = [*headers, *([("x-replay-fault", fault)] if fault else [])]
        async with self.connect() as connection:
            await connection.send(
                target,
                body,
                headers=extra,
                usual=self.usual if usual is None else usual,
                method=method,
                version=version,
            )
            return await connection.receive(to_eof=to_eof, method=method or "POST")

    async def stream(self, body: dict[str, Any] | None = None, **options: Any) -> RawResponse:
        """Ask for a stream."""
        return await self.ask(message(stream=True, **(body or {})), **options)

    async def raw(self, *pieces: bytes) -> list[RawResponse]:
        """Send bytes as they are and return every answer up to the gateway's close of the connection."""
        async with self.connect() as connection:
            for piece in pieces:
                connection.writer.write(piece)
                await connection.writer.drain()
            async with asyncio.timeout(LIMIT):
                return parse_answers(await connection.reader.read())

    async def assert_serves(self) -> None:
        """Check that a good request still gets its answer."""
        answer = await self.stream()
        assert answer.status == 200, answer
        assert answer.body.endswith(b"}\n\n"), answer
        assert b"event: message_stop\n" in answer.body


def parse_answers(data: bytes) -> list[RawResponse]:
    """Split what came on a connection into its answers; interim ones (1xx) count too."""
    found: list[RawResponse] = []
    while data:
        head, blank, rest = data.partition(b"\r\n\r\n")
        assert blank, f"no head in {data[:200]!r}"
        first, *lines = head.decode("latin-1").split("\r\n")
        version, status, _ = first.split(" ", 2)
        assert version in ("HTTP/1.1", "HTTP/1.0"), first
        headers = [(name, value) for name, _, value in (line.partition(": ") for line in lines)]
        named = {name.lower(): value for name, value in headers}
        if status.startswith("1"):
            body, ended = b"", "complete"
        elif "content-length" in named:
            size = int(named["content-length"])
            body, rest = rest[:size], rest[size:]
            ended = "complete" if len(body) == size else "eof"
        elif named.get("transfer-encoding") == "chunked":
            _, whole, left = dechunk(rest)
            body, rest, ended = rest[: len(rest) - len(left)], left, "complete" if whole else "eof"
        else:
            body, rest, ended = rest, b"", "eof"
        found.append(RawResponse(int(status), headers, body, ended))
        data = rest
    return found


def head(target: str = MESSAGES, *lines: str | bytes, method: str = "POST", version: str = "1.1") -> bytes:
    """Return a request head; lines are header lines as they are to be sent."""
    encoded = [line if isinstance(line, bytes) else line.encode() for line in lines]
    return b"\r\n".join([f"{method} {target} HTTP/{version}".encode(), *encoded, b"", b""])


def envelope(answer: RawResponse, status: int, kind: str) -> dict[str, Any]:
    """Check an error that the gateway makes itself, and return its `error` object."""
    assert answer.status == status, (answer.status, answer.body)
    assert answer.header("content-type") == "application/json"
    assert answer.ended == "complete"
    body = json.loads(answer.body)
    assert set(body) == {"type", "error", "request_id"}
    assert body["type"] == "error"
    assert body["error"]["type"] == kind, body
    assert body["error"]["message"]
    assert body["request_id"].startswith("req_")
    assert answer.values("request-id") == [body["request_id"]]
    retry_after = answer.header("retry-after")
    assert retry_after is None or 0 < int(retry_after) <= 60, retry_after
    return body["error"]


@asynccontextmanager
async def serving(
    *,
    timeouts: dict[str, float] | None = None,
    limits: dict[str, int] | None = None,
    upstream: ReplayUpstream | None = None,
    control: bool = False,
    **settings: Any,
) -> AsyncGenerator[Served]:
    """Run a gateway before a replay upstream of its own; `settings` are fields of `Settings`.

    The control plane runs if `control` says so.
    """
    with tempfile.TemporaryDirectory() as directory:
        async with upstream or ReplayUpstream() as running:
            usual = Settings(
                listen="127.0.0.1:0",
                control_listen="127.0.0.1:0",
                data_dir=directory,
                secret_key=SECRET,
                anthropic_base_url=running.url,
                anthropic_api_key=ACCOUNT_KEY,
                timeouts=evolve(Timeouts(drain_seconds=0.2), **(timeouts or {})),
                limits=evolve(Limits(), **(limits or {})),
            )
            await fresh_database.lay(Path(directory))
            async with Database.of(evolve(usual, **settings)) as database:
                pepper = load_secret_key(SECRET, Path(directory))
                _, key = await ClientKeyStore(database).create("contract", pepper)
            ledger = RecordingLedger()
            async with run_gateway(evolve(usual, **settings), ledger=ledger, control=control) as gateway:
                yield Served(gateway, running, ledger, key)
