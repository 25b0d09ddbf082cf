"""The composition root: settings in, a running gateway out."""

from __future__ import annotations

import asyncio
import hashlib
import os
import random
import secrets
import socket
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Final

from aiohttp import web
from attrs import define, evolve, field

from gateway.accounts.account import Account, AccountKind
from gateway.accounts.backend import Backend
from gateway.accounts.credentials import CredentialManager
from gateway.accounts.pool import AccountPool
from gateway.accounts.vault import Vault
from gateway.actors.key_limiter import KeyLimiter
from gateway.actors.keys import KeyRing, hash_key
from gateway.actors.limits import Limiter, NoLimits
from gateway.administration import Known, open_dashboard
from gateway.config import ClientAuth, OpenAIMode, Settings
from gateway.controlplane.watch import Watch
from gateway.controlplane.worker_reports import WorkerFiles
from gateway.dataplane.admission import Admission
from gateway.dataplane.contract import OPENAI
from gateway.dataplane.messages import PooledApi
from gateway.dataplane.openai_pool import OpenAIPool
from gateway.dataplane.passthrough import open_forward
from gateway.dataplane.sdk_transport import open_sdk_transport
from gateway.dataplane.server import DataPlane
from gateway.dataplane.upstream import Upstream
from gateway.evidence.tools import GatewayTools
from gateway.ledger.record import Ledger
from gateway.ledger.settlement import Settlement
from gateway.ledger.writer import open_ledger
from gateway.observability import open_observability
from gateway.observation.sampling import LiveState
from gateway.pricing.book import PriceBook
from gateway.pricing.cost import cost_of
from gateway.pricing.usage import Usage
from gateway.providers.anthropic import AnthropicProvider
from gateway.providers.base import Provider
from gateway.providers.openai import OpenAIProvider
from gateway.shared_state import SharedState
from gateway.shared_use import SharedUse
from gateway.store.accounts import ENVIRONMENT, AccountStore
from gateway.store.canary import check_vault
from gateway.store.client_keys import ClientKeyStore
from gateway.store.engine import Database
from gateway.store.key_use import KeyUseStore
from gateway.store.leases import LeaseStore
from gateway.store.limits import LimitStore
from gateway.store.secret import load_secret_keys
from gateway.store.sessions import SessionStore
from gateway.store.statements import ACCOUNTS, KEYS, LIMITS, SESSIONS
from gateway.store.watch import Watcher
from gateway.store.write_behind import WriteBehind
from gateway.telemetry.diagnostics import Diagnostics
from gateway.telemetry.logs import get_logger

__all__ = ["Gateway", "run_gateway"]

_log = get_logger(__name__)

_FINGERPRINT: Final = 32  # hexadecimal digits that tell one key of the environment from another
_BACKLOG: Final = 1024
_LOCAL: Final = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104 - all interfaces have a loopback one
# For clients to take their last bytes after the drain; aiohttp waits for as long again. Who takes none has less.
_SHUTDOWN_SECONDS: Final = 2.0


@define
class Gateway:
    """A gateway that serves."""

    data_plane: DataPlane
    host: str
    port: int
    control_url: str | None = None
    """Base URL of the control plane; None for none."""

    @property
    def url(self) -> str:
        """Base URL of the data plane."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"http://{host}:{self.port}"

    @property
    def local_url(self) -> str:
        """Base URL of the data plane for programs of this machine."""
        return evolve(self, host=_LOCAL.get(self.host, self.host)).url


async def _for_nobody() -> None:
    pass


@asynccontextmanager
async def run_gateway(
    settings: Settings,
    *,
    reuse_port: bool = False,
    ledger: Ledger | None = None,
    control: bool = False,
    workers: WorkerFiles | None = None,
    linger: Callable[[], Awaitable[None]] = _for_nobody,
) -> AsyncGenerator[Gateway, None]:
    """Run the data plane for as long as the context lasts; drain it at the end.

    Args:
        settings: as loaded.
        reuse_port: let several processes listen on the same port.
        ledger: where the records of requests go; default the database.
        control: run the control plane too.
        workers: by which the workers of one gateway tell each other; None where there is but one.
        linger: awaited when nothing is served any more; until then there is a control plane.

    Raises:
        SecretKeyError: the secret key cannot be used.
        StoreError: the database cannot be used.
        VaultError: its secrets were encrypted with another key.
        SdkUnavailableError: the local SDK transport is enabled and cannot be used.
        ControlAddressError: the control plane's address cannot be listened on.
        TracingUnavailableError: traces are switched on and cannot be made.
        OSError: the address cannot be listened on.
    """
    peppers = await asyncio.to_thread(load_secret_keys, settings.secret_key, settings.data_path)
    vault = Vault(peppers)
    async with (
        Database.of(settings) as database,
        Upstream(settings.timeouts, settings.limits) as upstream,
        open_forward(settings) as forward,
        _task_group() as tasks,
        AsyncExitStack() as stack,
    ):
        await check_vault(database, vault)
        stopping, stopped = asyncio.Event(), asyncio.Event()
        stack.callback(stopped.set)
        state = await _shared_state(settings, database, peppers)
        watcher = _watcher(database, state)
        _write_behind(state, tasks, stopped)
        records = ledger or await stack.enter_async_context(open_ledger(database, settings, tasks))
        observability = await stack.enter_async_context(open_observability(settings))
        prices = await asyncio.to_thread(PriceBook.load, settings.prices_path)
        limiter = _limiter(settings, database, prices, tasks, stopped)
        watch = Watch(workers, ended=[limiter])
        settlement = Settlement(records, prices, observability.observers, watch.ended)
        admission = Admission(
            settings.client_auth,
            state.keys,
            peppers[0],
            settings.limits,
            settings.timeouts,
            database.clock,
            limiter,
            watcher.look_now,
        )
        backends = _Backends(settings, database, vault, peppers[0], state)
        anthropic = await stack.enter_async_context(backends.anthropic())
        messages = PooledApi(
            settings,
            admission,
            anthropic,
            upstream,
            settlement,
            Diagnostics(settings.diagnostics),
            announce=observability.announce,
            in_flight=watch.requests,
        )
        openai_pool = None
        if settings.openai_mode is OpenAIMode.POOL:
            openai = await stack.enter_async_context(backends.openai())
            openai_pool = OpenAIPool(evolve(messages, backend=openai, contract=OPENAI))
        await _load(state)
        sdk = await stack.enter_async_context(open_sdk_transport(settings, messages, tasks))
        data_plane = DataPlane(settings, messages, forward, sdk.create if sdk is not None else None, openai_pool)
        sampled = LiveState(
            state.backends,
            data_plane.count_streams,
            data_plane.count_forwarded,
            lambda: data_plane.draining,
            records,
            watch.lag,
        )
        own_url = ""
        known = Known(
            vault,
            peppers[0],
            state,
            prices,
            records,
            tasks,
            stopped,
            lambda: own_url,
            watch,
            watch.vitals(
                ledger=records,
                forwarded=data_plane.count_forwarded,
                is_draining=lambda: data_plane.draining,
                readiness=lambda: data_plane.readiness,
            ),
            GatewayTools(settings, lambda: own_url),
            stopping,
        )
        dashboard = await open_dashboard(settings, database, known) if control else None
        control_url = await stack.enter_async_context(
            observability.control_plane(sampled, tasks, dashboard, wanted=control, reuse_port=reuse_port)
        )
        runner = web.ServerRunner(data_plane.make_server(), shutdown_timeout=_SHUTDOWN_SECONDS)
        await runner.setup()
        try:
            address = settings.address
            site = web.TCPSite(runner, address.host, address.port, backlog=_BACKLOG, reuse_port=reuse_port or None)
            await site.start()
            own_url = Gateway(data_plane, address.host, site.port).local_url
            tasks.create_task(watcher.run(stopping), name="watch-database")
            try:
                yield Gateway(data_plane, address.host, site.port, control_url)
            finally:
                stopping.set()
                await _drain(data_plane, site)
        finally:
            await runner.cleanup()
        await linger()


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


async def _drain(data_plane: DataPlane, site: web.TCPSite) -> None:
    # New connections go elsewhere from here on; those that are open finish what they are at.
    data_plane.draining = True
    await site.stop()
    await data_plane.drain()


def _write_behind(state: SharedState, tasks: asyncio.TaskGroup, stopped: asyncio.Event) -> None:
    for writes in (state.writes, state.use.session_writes, state.use.limit_writes):
        tasks.create_task(writes.run(stopped), name="write-behind")


async def _load(state: SharedState) -> None:
    for load in (state.load_accounts, state.use.load_sessions, state.use.load_limits):
        await load()
    for backend in state.backends:
        if not backend.pool.accounts:
            _log.warning(
                f"there is no account of {backend.provider.name} yet; add one with "
                f"`gateway accounts add --provider {backend.provider.name}`"
            )


def _watcher(database: Database, state: SharedState) -> Watcher:
    return Watcher(
        database,
        {
            # Accounts first: what is said of one that is not known passes unheard.
            ACCOUNTS: state.load_accounts,
            KEYS: state.load_keys,
            SESSIONS: state.use.load_sessions,
            LIMITS: state.use.load_limits,
        },
        (KEYS,),
    )


def _limiter(
    settings: Settings, database: Database, prices: PriceBook, tasks: asyncio.TaskGroup, stopped: asyncio.Event
) -> Limiter:
    if settings.client_auth is not ClientAuth.KEYS:
        return NoLimits()
    limiter = KeyLimiter(
        KeyUseStore(database),
        _process_name(),
        database.clock,
        lambda *asked: _price_at_most(prices, database.clock(), *asked),
    )
    tasks.create_task(limiter.run(stopped), name="limits")
    return limiter


def _price_at_most(prices: PriceBook, at: float, model: str, given: int, made: int) -> int | None:
    """Return what an answer may cost, in 1e-9 USD; None for a model that has no price."""
    usage = Usage(input_tokens=given, output_tokens=made)
    return cost_of(usage, model=model, prices=prices, at=at, outcome="complete", stop_reason=None).nanousd


def _process_name() -> str:
    """Return a name for this process that no other has, on any host and at any time."""
    return f"{socket.gethostname()}:{os.getpid()}:{secrets.token_hex(4)}"


async def _shared_state(settings: Settings, database: Database, peppers: Sequence[bytes]) -> SharedState:
    store, client_keys = AccountStore(database), ClientKeyStore(database)
    known = await client_keys.all() if settings.client_auth is ClientAuth.KEYS else ()
    keys = KeyRing(peppers[0], known, peppers[1:])
    key = settings.anthropic_api_key
    if key:
        await store.ensure_environment_account("anthropic", hash_key(key, peppers[0])[:_FINGERPRINT])
    use = SharedUse(SessionStore(database), LimitStore(database), settings.routing.affinity_idle_seconds)
    return SharedState(store, client_keys, keys, WriteBehind(), use, has_environment_account=bool(key))


@define
class _Backends:
    """Puts together what serves each provider; nothing of one is shared with another."""

    settings: Settings
    database: Database
    vault: Vault
    pepper: bytes = field(repr=False)
    state: SharedState

    @asynccontextmanager
    async def anthropic(self) -> AsyncGenerator[Backend]:
        """Serve with the accounts of provider `anthropic`, or with the clients' own credentials."""
        provider = AnthropicProvider(self.settings.anthropic_base_url)
        if self.settings.client_auth is ClientAuth.PASSTHROUGH:
            pool = self._pool(provider)
            pool.replace([Account("passthrough", "passthrough", provider.name, AccountKind.PASSTHROUGH)], ())
            yield Backend(provider, pool, None, self.database.clock)
            return
        async with self._of(provider, {ENVIRONMENT: self.settings.anthropic_api_key}) as backend:
            yield backend

    @asynccontextmanager
    async def openai(self) -> AsyncGenerator[Backend]:
        """Serve with the accounts of provider `openai`."""
        async with self._of(OpenAIProvider(self.settings.openai_base_url), {}) as backend:
            yield backend

    @asynccontextmanager
    async def _of(self, provider: Provider, environment: Mapping[str, str]) -> AsyncGenerator[Backend]:
        pool = self._pool(provider)
        manager = CredentialManager(
            self.state.accounts,
            LeaseStore(self.database),
            self.vault,
            clock=self.database.clock,
            owner=_process_name(),
            on_condition=pool.set_condition,
            environment=environment,
            commands=self.settings.credential_commands,
        )
        async with manager as credentials:
            backend = Backend(provider, pool, credentials, self.database.clock)
            self.state.backends.append(backend)
            self.state.use.pools.append(pool)
            yield backend

    def _pool(self, provider: Provider) -> AccountPool:
        return AccountPool(
            self.settings.routing,
            clock=self.database.clock,
            random=random.SystemRandom(),
            tell=self.state.tell,
            secret=hashlib.blake2b(provider.name.encode(), key=self.pepper, person=b"session pins").digest(),
        )
