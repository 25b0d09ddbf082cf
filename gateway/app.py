"""The composition root: settings in, a running gateway out."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncGenerator
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from datetime import UTC, datetime
from typing import Any, Final

from aiohttp import web
from attrs import define

from gateway.accounts.account import Account, AccountKind
from gateway.accounts.backend import Backend
from gateway.accounts.credentials import CredentialManager
from gateway.accounts.pool import AccountPool
from gateway.actors.keys import KeyRing
from gateway.config import ClientAuth, Settings
from gateway.dataplane.admission import Admission
from gateway.dataplane.messages import PooledApi
from gateway.dataplane.passthrough import open_forward
from gateway.dataplane.sdk_transport import open_sdk_transport
from gateway.dataplane.server import DataPlane
from gateway.dataplane.upstream import Upstream
from gateway.ledger.record import Ledger
from gateway.ledger.writer import open_ledger
from gateway.providers.anthropic import AnthropicProvider
from gateway.store.client_keys import ClientKeyStore
from gateway.store.engine import Database
from gateway.store.errors import StoreError
from gateway.store.secret import load_secret_key
from gateway.telemetry.diagnostics import Diagnostics
from gateway.telemetry.logs import get_logger

__all__ = ["Gateway", "run_gateway"]

_log = get_logger(__name__)

_KEY_REFRESH_SECONDS: Final = 1.0
_BACKLOG: Final = 1024
# For clients to take their last bytes after the drain; aiohttp waits for as long again. Who takes none has less.
_SHUTDOWN_SECONDS: Final = 2.0


@define
class Gateway:
    """A gateway that serves."""

    data_plane: DataPlane
    host: str
    port: int

    @property
    def url(self) -> str:
        """Base URL of the data plane."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"http://{host}:{self.port}"


@asynccontextmanager
async def run_gateway(
    settings: Settings, *, reuse_port: bool = False, ledger: Ledger | None = None
) -> AsyncGenerator[Gateway, None]:
    """Run the data plane for as long as the context lasts; drain it at the end.

    Args:
        settings: as loaded.
        reuse_port: let several processes listen on the same port.
        ledger: where the records of requests go; default the database.

    Raises:
        SecretKeyError: the secret key cannot be used.
        StoreError: the database cannot be used.
        SdkUnavailableError: the local SDK transport is enabled and cannot be used.
        OSError: the address cannot be listened on.
    """
    pepper = await asyncio.to_thread(load_secret_key, settings.secret_key, settings.data_path)
    backend = _backend(settings)
    async with (
        Database.of(settings) as database,
        Upstream(settings.timeouts, settings.limits) as upstream,
        open_forward(settings) as openai,
        _task_group() as tasks,
        AsyncExitStack() as stack,
    ):
        store = ClientKeyStore(database)
        keys = KeyRing(pepper, await store.all() if settings.client_auth is ClientAuth.KEYS else ())
        admission = Admission(settings.client_auth, keys, pepper, settings.limits, settings.timeouts)
        records = ledger or await stack.enter_async_context(open_ledger(database, settings, tasks))
        messages = PooledApi(settings, admission, backend, upstream, records, Diagnostics(settings.diagnostics))
        sdk = await stack.enter_async_context(open_sdk_transport(settings, messages, upstream, tasks))
        data_plane = DataPlane(settings, messages, openai, sdk.create if sdk is not None else None)
        runner = web.ServerRunner(data_plane.make_server(), shutdown_timeout=_SHUTDOWN_SECONDS)
        await runner.setup()
        try:
            address = settings.address
            site = web.TCPSite(runner, address.host, address.port, backlog=_BACKLOG, reuse_port=reuse_port or None)
            await site.start()
            stopping = asyncio.Event()
            tasks.create_task(_refresh_keys(keys, store, settings, stopping), name="refresh-keys")
            try:
                yield Gateway(data_plane, address.host, site.port)
            finally:
                stopping.set()
                # New connections go elsewhere from here on; those that are open finish what they are at.
                data_plane.draining = True
                await site.stop()
                await data_plane.drain()
        finally:
            await runner.cleanup()


@asynccontextmanager
async def _task_group() -> AsyncGenerator[asyncio.TaskGroup, None]:
    """Own tasks; what the body raises, such as an address in use, comes out as it is and not in a group."""
    try:
        async with asyncio.TaskGroup() as tasks:
            yield tasks
    except BaseExceptionGroup as group:
        if len(group.exceptions) == 1:
            raise group.exceptions[0] from None
        raise


def _backend(settings: Settings) -> Backend:
    provider = AnthropicProvider(settings.anthropic_base_url)
    clock = _unix_seconds
    pool = AccountPool(settings.routing, clock=clock, random=random.SystemRandom())
    if settings.client_auth is ClientAuth.PASSTHROUGH:
        pool.replace([Account("passthrough", "passthrough", provider.name, AccountKind.PASSTHROUGH)], ())
        return Backend(provider, pool, None, clock)
    key = settings.anthropic_api_key
    if key:
        pool.replace([Account("environment", "environment", provider.name, AccountKind.API_KEY)], ())
    nothing: Any = None
    credentials = CredentialManager(
        nothing,
        nothing,
        nothing,
        clock=clock,
        owner="",
        on_condition=pool.set_condition,
        environment={"environment": key},
    )
    return Backend(provider, pool, credentials, clock)


def _unix_seconds() -> float:
    return datetime.now(UTC).timestamp()


async def _refresh_keys(keys: KeyRing, store: ClientKeyStore, settings: Settings, stopping: asyncio.Event) -> None:
    """Take over keys that are made or revoked while the gateway runs.

    Told to stop rather than cancelled: a cancelled query would go on in its thread.
    """
    if settings.client_auth is not ClientAuth.KEYS:
        return
    while True:
        with suppress(TimeoutError):
            async with asyncio.timeout(_KEY_REFRESH_SECONDS):
                await stopping.wait()
            return
        try:
            keys.replace(await store.all())
        except StoreError as error:
            _log.warning("cannot read the client keys; the known ones stay valid", problem=str(error))
        except Exception as error:  # noqa: BLE001 - whatever is wrong with the database, running streams go on
            _log.warning("cannot read the client keys; the known ones stay valid", problem=type(error).__name__)
