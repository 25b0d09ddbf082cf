"""Where a client can connect: straight to a replay upstream, or to a gateway in front of one."""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path

from attrs import define, field

from gateway.app import run_gateway
from gateway.config import load_settings
from gateway.ledger.record import RequestRecord
from gateway.replay.server import ReplayUpstream
from gateway.store.client_keys import ClientKeyStore
from gateway.store.engine import Database
from gateway.store.secret import load_secret_key

__all__ = ["UPSTREAM_KEY", "Place", "behind_gateway", "direct", "gateway_environment"]

UPSTREAM_KEY = "sk-ant-e2e-upstream"


@define
class Records:
    """A ledger that keeps records for tests to look at."""

    kept: list[RequestRecord] = field(factory=list)

    async def settle(self, record: RequestRecord) -> None:
        """Keep the record."""
        self.kept.append(record)


@define
class Place:
    """What a client needs to know, and the upstream that answers it in the end."""

    base_url: str
    key: str
    upstream: ReplayUpstream
    records: list[RequestRecord] = field(factory=list)
    """What the gateway recorded, if there is one."""

    @property
    def asked(self) -> list[str]:
        """What arrived upstream for messages, in order: `stream` or `whole` for each request."""
        return [
            "stream" if b'"stream":true' in request.body.replace(b" ", b"") else "whole"
            for request in self.upstream.requests
            if request.path == "/v1/messages"
        ]


@asynccontextmanager
async def direct(upstream: ReplayUpstream) -> AsyncGenerator[Place]:
    """Let clients talk to the upstream itself."""
    async with upstream:
        yield Place(upstream.url, UPSTREAM_KEY, upstream)


def gateway_environment(upstream: ReplayUpstream, data_dir: Path) -> dict[str, str]:
    """Return the settings of a gateway in front of a running upstream, as an operator would set them."""
    return {
        "GATEWAY_LISTEN": "127.0.0.1:0",
        "GATEWAY_CONTROL_LISTEN": "127.0.0.1:0",
        "GATEWAY_DATA_DIR": str(data_dir),
        "GATEWAY_ANTHROPIC_BASE_URL": upstream.url,
        "GATEWAY_ANTHROPIC_API_KEY": UPSTREAM_KEY,
        "GATEWAY_TIMEOUTS__DRAIN_SECONDS": "1",
    }


@asynccontextmanager
async def behind_gateway(
    upstream: ReplayUpstream, environ: Mapping[str, str] | None = None
) -> AsyncGenerator[Place]:
    """Let clients talk to a gateway, wired as in production, with a key of their own.

    A drain at the end would wait for streams that a fault holds up, so it is short.

    Args:
        upstream: not started yet; it takes no credential but the gateway's.
        environ: further settings.
    """
    upstream.api_keys = {UPSTREAM_KEY}
    with tempfile.TemporaryDirectory(prefix="gateway-e2e-") as data_dir:
        async with upstream:
            settings = load_settings(None, gateway_environment(upstream, Path(data_dir)) | dict(environ or {}))
            pepper = await asyncio.to_thread(load_secret_key, settings.secret_key, settings.data_path)
            async with Database.of(settings) as database:
                _, key = await ClientKeyStore(database).create("e2e", pepper)
            records = Records()
            async with run_gateway(settings, ledger=records) as gateway:
                yield Place(f"{gateway.url}/claude", key, upstream, records.kept)
