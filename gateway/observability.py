"""Puts together what follows a gateway: log lines, metrics, traces, and the control plane that shows them."""

from __future__ import annotations

import asyncio
import errno
import importlib
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial
from typing import TYPE_CHECKING, Any, Final, cast

from aiohttp import web
from attrs import define, field

from gateway.config import Address, Settings
from gateway.controlplane.security_headers import SECURITY_HEADERS
from gateway.controlplane.server import ControlPlane, Dashboard
from gateway.controlplane.shares import Shares
from gateway.controlplane.sign_in.addresses import LOOPBACK, Networks
from gateway.dataplane.connections import ClientConnection, ConnectionServer, Patience
from gateway.ledger.log_line import RequestLog
from gateway.ledger.record import AttemptRecord, RecordObserver, RequestRecord
from gateway.observation.request_metrics import RequestMetrics
from gateway.observation.sampling import LiveState, Sampler
from gateway.telemetry.logs import printable
from gateway.telemetry.metrics import GatewayMetrics

if TYPE_CHECKING:
    from gateway.observation.tracing import Spans

__all__ = ["ControlAddressError", "Observability", "TracingUnavailableError", "open_observability"]

_PATIENCE: Final = Patience(head_seconds=10.0, stalled_seconds=30.0)
_KEEPALIVE_SECONDS: Final = 30.0
_LINGERING_SECONDS: Final = 2.0
"""For a client to take an answer while it still sends what nobody reads."""
_SHUTDOWN_SECONDS: Final = 1.0
_BACKLOG: Final = 64
_MOST_CONNECTIONS: Final = 128
_KEPT_CONNECTIONS: Final = 16
"""More of them, for proxies and probes alone."""
_LONGEST_LINE: Final = 8 * 1024


class _Counted(ClientConnection):
    """A connection that has one of the places."""

    __slots__ = ("leave",)

    leave: Callable[[], None]

    def connection_lost(self, exc: BaseException | None) -> None:
        """Give the place back."""
        super().connection_lost(exc)
        self.leave()


class _Arrival(asyncio.Protocol):
    """A new connection, of which it is not known yet whether there is a place for it."""

    def __init__(self, server: _BoundedServer) -> None:
        self._server = server

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._server.receive(cast("asyncio.Transport", transport))


class _BoundedServer(ConnectionServer):
    """Takes so many connections and no more: the data plane needs the process's descriptors for streams.

    They are divided among the addresses that they come from.
    """

    connection_class = _Counted

    def __init__(self, handler: Any, places: Shares, **options: Any) -> None:
        """Serve `handler`; the options are those of the class above."""
        super().__init__(handler, **options)
        self._places = places

    def __call__(self) -> Any:
        """Return the protocol of a new connection."""
        return _Arrival(self)

    def receive(self, transport: asyncio.Transport) -> None:
        """Serve a new connection, if there is a place for it."""
        peer = transport.get_extra_info("peername")
        address = peer[0] if peer else ""
        if not self._places.take(address):
            transport.abort()
            return
        connection = cast("_Counted", self.connect())
        connection.leave = partial(self._places.give_back, address)
        transport.set_protocol(connection)
        connection.connection_made(transport)


class ControlAddressError(Exception):
    """The control plane cannot listen where it should; the message says where and what to set."""


class TracingUnavailableError(Exception):
    """Traces are switched on, and what makes them is not installed; the message says what to install."""


@define(eq=False)
class Observability:
    """What follows one gateway."""

    settings: Settings
    observers: Sequence[RecordObserver]
    """Told of each request that is over, in this order."""
    metrics: GatewayMetrics = field(factory=GatewayMetrics)
    announce: Callable[[RequestRecord, AttemptRecord], str] | None = None
    """Returns the `traceparent` that tells the upstream of an attempt, where it is to be told."""

    @asynccontextmanager
    async def control_plane(
        self,
        live: LiveState,
        tasks: asyncio.TaskGroup,
        dashboard: Dashboard | None,
        *,
        wanted: bool,
        reuse_port: bool,
    ) -> AsyncGenerator[str | None]:
        """Look after the metrics and serve the control plane for as long as the context lasts; give its URL.

        Args:
            live: what to look at.
            tasks: owns the task that looks.
            dashboard: to be shown; None for none.
            wanted: whether to; nothing happens otherwise.
            reuse_port: let several processes listen on the same port.

        Raises:
            ControlAddressError: the address cannot be listened on.
        """
        if not wanted:
            yield None
            return
        sampler = Sampler(self.metrics, live)
        sampler.begin(self.settings.rollout.value)
        stopped = asyncio.Event()
        task = tasks.create_task(sampler.run(stopped), name="look-after-metrics")
        try:
            async with AsyncExitStack() as stack:
                address, url = self.settings.control_address, None
                if address is not None:
                    url = await stack.enter_async_context(
                        self._listening(address, sampler, dashboard, reuse_port=reuse_port)
                    )
                yield url
        finally:
            stopped.set()
            await asyncio.wait({task})
            sampler.end()

    @asynccontextmanager
    async def _listening(
        self, address: Address, sampler: Sampler, dashboard: Dashboard | None, *, reuse_port: bool
    ) -> AsyncGenerator[str]:
        scraping = asyncio.Lock()

        async def page(accept: str) -> tuple[bytes, str]:
            # One at a time: each takes a processor for some milliseconds.
            async with scraping:
                await sampler.refresh()
                return await asyncio.to_thread(self.metrics.page, accept)

        control = ControlPlane(page, self.settings.control_token, dashboard)
        near = Networks([*LOOPBACK, *self.settings.dashboard.trusted_networks])
        server = _BoundedServer(
            control.handle,
            Shares(_MOST_CONNECTIONS, near, _KEPT_CONNECTIONS),
            patience=_PATIENCE,
            error_headers=SECURITY_HEADERS,
            handler_cancellation=True,
            options={
                "access_log": None,
                "auto_decompress": False,
                "keepalive_timeout": _KEEPALIVE_SECONDS,
                "lingering_time": _LINGERING_SECONDS,
                "max_field_size": _LONGEST_LINE,
                "max_line_size": _LONGEST_LINE,
            },
        )
        runner = web.ServerRunner(server, shutdown_timeout=_SHUTDOWN_SECONDS)
        await runner.setup()
        try:
            site = web.TCPSite(runner, address.host, address.port, backlog=_BACKLOG, reuse_port=reuse_port or None)
            try:
                await site.start()
            except OSError as error:
                raise ControlAddressError(cannot_listen(address, error)) from None
            yield f"http://{Address(address.host, site.port)}"
        finally:
            if dashboard is not None:
                # Or the end would wait for whoever watches.
                dashboard.parts.live.close()
            await runner.cleanup()


@asynccontextmanager
async def open_observability(settings: Settings) -> AsyncGenerator[Observability]:
    """Set up what the settings ask for; at the end send what is left of the traces, for a few seconds at most.

    Raises:
        TracingUnavailableError: `otel_enabled` is set, and the extra `otel` is not installed or not set up well.
    """
    async with AsyncExitStack() as stack:
        observers: list[RecordObserver] = []
        announce = None
        if settings.otel_enabled:
            spans = await stack.enter_async_context(_open_spans())
            # First, because it gives requests the ids of their traces.
            observers.append(spans)
            announce = spans.announce if settings.otel_propagate else None
        metrics = GatewayMetrics()
        observers += [RequestLog(settings.log_sample), RequestMetrics(metrics)]
        yield Observability(settings, observers, metrics, announce)


@asynccontextmanager
async def _open_spans() -> AsyncGenerator[Spans]:
    try:
        # In a thread, because it takes a while.
        tracing = await asyncio.to_thread(importlib.import_module, "gateway.observation.tracing")
    except ModuleNotFoundError as error:
        raise TracingUnavailableError(
            f"GATEWAY_OTEL_ENABLED needs a package that is not installed ({error.name}): "
            "pip install 'claude-stream-gateway[otel]'"
        ) from None
    async with AsyncExitStack() as stack:
        try:
            spans = await stack.enter_async_context(tracing.open_spans())
        except ValueError as error:
            # The library's own words: numbers that do not go together, such as a queue smaller than a batch.
            raise TracingUnavailableError(
                f"GATEWAY_OTEL_ENABLED: the variables OTEL_… cannot be used: {printable(str(error))}"
            ) from None
        yield spans


def cannot_listen(address: Address, error: OSError) -> str:
    """Say why the control plane cannot listen and what to do."""
    if error.errno == errno.EADDRINUSE:
        why = f"{address}, the control plane's address, is in use already"
    elif error.errno == errno.EACCES:
        why = f"listening on {address}, the control plane's address, is not permitted"
    else:
        why = f"the control plane cannot listen on {address}: {error.strerror or error}"
    return f"{why}; set GATEWAY_CONTROL_LISTEN to another HOST:PORT, or to off"
