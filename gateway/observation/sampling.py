"""What is looked at now and then, rather than counted when it happens: accounts, queues, the ledger, the loop."""

from __future__ import annotations

import asyncio
import platform
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Final

import prometheus_client
from attrs import asdict, define, field

from gateway.accounts.account import AccountState
from gateway.accounts.backend import Backend
from gateway.ledger.record import Ledger
from gateway.ledger.writer import LedgerWriter
from gateway.telemetry.logs import dropped_lines, exception_facts, get_logger
from gateway.telemetry.loop_lag import LoopLag
from gateway.telemetry.metrics import BoundedNames, GatewayMetrics

__all__ = ["LiveState", "Sampler"]

_log = get_logger(__name__)

_LAG_SECONDS: Final = 0.5
_EVERY: Final = 2  # naps between two looks
_MANY: Final = 1_000  # accounts, at which so many are looked at that it is to be done less often
_EVERY_OF_MANY: Final = 10
_AT_A_TIME: Final = 200
"""Accounts that are looked at before streams have their turn."""
_MOST_WINDOWS: Final = 30


def _version() -> str:
    try:
        return version("claude-stream-gateway")
    except PackageNotFoundError:
        return "unknown"


# Looked up once, because it is looked up in files.
_VERSION: Final = _version()


@define(frozen=True)
class LiveState:
    """Where to look."""

    backends: Sequence[Backend]
    streams: Callable[[], Iterable[tuple[str, int]]]
    """Answers on their way, by provider."""
    forwarded: Callable[[], int]
    """Connections that are joined with one to an existing proxy."""
    is_draining: Callable[[], bool]
    ledger: Ledger | None = None
    """Looked at if it is one that writes to a database."""
    lag: LoopLag = field(factory=LoopLag)
    """Told how late the event loop is."""


@define(eq=False)
class Sampler:
    """Brings the metrics up to date: every second, of many accounts every five, and before a scrape."""

    metrics: GatewayMetrics
    live: LiveState
    _seen: Counter[tuple[str, ...]] = field(factory=Counter, init=False)
    """Counts of others, as they were at the last look."""
    _every: int = field(default=_EVERY, init=False)
    _windows: BoundedNames = field(factory=lambda: BoundedNames(_MOST_WINDOWS), init=False)
    _windows_set: set[tuple[str, str, str]] = field(factory=set, init=False)

    def begin(self, rollout: str) -> None:
        """Say what runs, and that it does."""
        self.metrics.build.labels(_VERSION, platform.python_version(), rollout).set(1)
        self.metrics.workers.set(1)
        # A counter that nobody ever saw at zero has no first increase.
        for result in ("renewed", "postponed", "lost", "impossible"):
            for backend in self.live.backends:
                self.metrics.refreshes.labels(backend.provider.name, result)

    def end(self) -> None:
        """Take back what would otherwise go on being shown for a worker that has gone."""
        metrics = self.metrics
        for gauge in (
            metrics.workers,
            metrics.draining,
            metrics.forwarded,
            metrics.ledger_waiting,
            metrics.ledger_away,
        ):
            gauge.set(0)
        for backend in self.live.backends:
            for labelled in (self.metrics.in_flight, self.metrics.queue, self.metrics.streams):
                labelled.labels(backend.provider.name).set(0)

    async def run(self, stopped: asyncio.Event) -> None:
        """Look until it is over. A defect here is logged and harms nothing else."""
        clock = asyncio.get_running_loop().time
        naps = 0
        while not stopped.is_set():
            due = clock() + _LAG_SECONDS
            with suppress(TimeoutError):
                async with asyncio.timeout_at(due):
                    await stopped.wait()
            lag = max(0.0, clock() - due)
            naps += 1
            if not stopped.is_set():
                await self._keep_up(lag, everything=naps % self._every == 0)

    async def refresh(self) -> None:
        """Bring everything up to date."""
        await self._keep_up(None, everything=True)

    async def _keep_up(self, lag: float | None, *, everything: bool) -> None:
        try:
            if lag is not None:
                self.metrics.loop_lag.observe(lag)
                self.live.lag.note(lag)
            if not everything:
                return
            await self._look()
            if isinstance(self.live.ledger, LedgerWriter):
                size = await asyncio.to_thread(_size, self.live.ledger.spool.directory)
                self.metrics.ledger_spool.set(size)
        except Exception as error:  # noqa: BLE001 - numbers are not worth a gateway
            _log.error("cannot look after the metrics", **exception_facts(error))

    async def _look(self) -> None:
        metrics = self.metrics
        for backend in self.live.backends:
            await self._look_at(backend)
        self._every = _EVERY_OF_MANY if sum(len(one.pool) for one in self.live.backends) >= _MANY else _EVERY
        for provider, count in self.live.streams():
            metrics.streams.labels(provider).set(count)
        metrics.forwarded.set(self.live.forwarded())
        metrics.draining.set(self.live.is_draining())
        self._advance(metrics.log_lines_dropped, ("log",), dropped_lines())
        ledger = self.live.ledger
        if isinstance(ledger, LedgerWriter):
            metrics.ledger_waiting.set(ledger.waiting)
            metrics.ledger_away.set(ledger.is_away)
            for fate, count in asdict(ledger.counts).items():
                self._advance(metrics.ledger_rows.labels(fate), ("ledger", fate), count)

    async def _look_at(self, backend: Backend) -> None:
        metrics, pool, provider = self.metrics, backend.pool, backend.provider.name
        states: Counter[AccountState] = Counter()
        used: dict[str, list[float]] = {}
        for number, (state, windows) in enumerate(pool.look_over(), start=1):
            states[state] += 1
            for window in windows:
                if window.utilization is not None:
                    name = window.name if window.family == "account" else f"{window.name}/{window.family}"
                    used.setdefault(self._windows.fold(name), []).append(window.utilization)
            if number % _AT_A_TIME == 0:
                await asyncio.sleep(0)
        for state in AccountState:
            metrics.accounts.labels(provider, state.value).set(states[state])
        metrics.in_flight.labels(provider).set(pool.in_flight)
        metrics.queue.labels(provider).set(pool.waiting)
        self._show_limits(provider, used)
        if backend.credentials is not None:
            for result, count in backend.credentials.renewals.items():
                self._advance(metrics.refreshes.labels(provider, result), ("renewals", provider, result), count)

    def _show_limits(self, provider: str, used: Mapping[str, Sequence[float]]) -> None:
        now: set[tuple[str, str, str]] = set()
        for name, shares in used.items():
            for of, share in (("least_used", min(shares)), ("most_used", max(shares))):
                labels = (provider, name, of)
                self.metrics.limit_used.labels(*labels).set(share)
                now.add(labels)
        # Limits of which nothing is known any more have started anew.
        gone = {labels for labels in self._windows_set - now if labels[0] == provider}
        for labels in gone:
            self.metrics.limit_used.labels(*labels).set(0)
        self._windows_set |= now

    def _advance(self, counter: prometheus_client.Counter, key: tuple[str, ...], count: int) -> None:
        """Bring a counter up to a count that somebody else keeps."""
        if count > self._seen[key]:
            counter.inc(count - self._seen[key])
            self._seen[key] = count


def _size(directory: Path) -> int:
    """Return the bytes of records in a spool; what is deleted meanwhile has none."""
    size = 0
    for path in directory.glob("requests-*.jsonl"):
        with suppress(OSError):
            size += path.stat().st_size
    return size
