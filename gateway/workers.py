"""Running the gateway as one process or several, until a signal ends it."""

from __future__ import annotations

import asyncio
import gc
import multiprocessing
import multiprocessing.connection
import os
import signal
import socket
import sys
import time
from collections.abc import Awaitable, Callable, Coroutine, Generator, Iterable, Sequence
from contextlib import ExitStack, contextmanager, suppress
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any, Final

from gateway.accounts.vault import Vault, VaultError
from gateway.app import Gateway, run_gateway
from gateway.config import Address, Rollout, Settings
from gateway.controlplane.worker_reports import WorkerFiles
from gateway.dataplane.sdk_transport import SdkUnavailableError, check_sdk_program
from gateway.observability import ControlAddressError, TracingUnavailableError, cannot_listen, open_observability
from gateway.pricing.book import PriceBook
from gateway.pricing.price_file import PricesError
from gateway.store.canary import check_vault
from gateway.store.engine import Database
from gateway.store.errors import StoreError
from gateway.store.secret import SecretKeyError, load_secret_keys
from gateway.telemetry.logs import close_logs, configure_logs, get_logger
from gateway.telemetry.metrics import files_of_metrics, forget_gauges, share_metrics
from gateway.telemetry.shared_files import shared_directory
from gateway.telemetry.version import program_version

__all__ = ["run_event_loop", "serve", "serve_workers", "wait_for_signal"]

_log = get_logger(__name__)

_SPAWN: Final = multiprocessing.get_context("spawn")
_RESTART_SECONDS: Final = 1.0
_GRACE_SECONDS: Final = 15.0
_LINGER_SECONDS: Final = 8.0
"""That the worker which shows what the others do waits for them, after the drain."""
_STOP_SIGNALS: Final = (signal.SIGTERM, signal.SIGINT)
_REFUSALS: Final = (
    SecretKeyError,
    StoreError,
    SdkUnavailableError,
    VaultError,
    ControlAddressError,
    TracingUnavailableError,
    PricesError,
)


def run_event_loop(main: Coroutine[Any, Any, int]) -> int:
    """Run `main` on uvloop where there is one, else on asyncio's own loop."""
    try:
        import uvloop  # noqa: PLC0415 - not on every platform
    except ImportError:
        return asyncio.run(main)
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(main)


async def wait_for_signal(
    numbers: Sequence[signal.Signals] = _STOP_SIGNALS, *, ready: Callable[[], None] | None = None
) -> None:
    """Return when the process is asked to stop. A second signal then ends it the hard way.

    A worker is also asked to stop by the end of the process that started it.

    Args:
        numbers: the signals that ask.
        ready: called as soon as they are heard; whoever is told so may send one at once.
    """
    loop = asyncio.get_running_loop()
    stopped = asyncio.Event()
    for number in numbers:
        loop.add_signal_handler(number, stopped.set)
    parent = multiprocessing.parent_process()
    if parent is not None:
        loop.add_reader(parent.sentinel, stopped.set)
    try:
        if ready is not None:
            ready()
        await stopped.wait()
    finally:
        if parent is not None:
            loop.remove_reader(parent.sentinel)
        for number in numbers:
            loop.remove_signal_handler(number)
            # Not Python's own handler for Ctrl-C, which would cancel what is draining and wait for it.
            signal.signal(number, signal.SIG_DFL)


async def serve(
    settings: Settings,
    *,
    started: Callable[[Gateway], Awaitable[None]] | None = None,
    ready: Callable[[Gateway], None] | None = None,
    workers: WorkerFiles | None = None,
    others: Connection | None = None,
) -> int:
    """Serve in this process until a signal; return the exit status.

    Args:
        settings: as loaded.
        started: awaited when it serves, before it says so.
        ready: called as soon as it serves.
        workers: by which the workers of one gateway, which share its port, tell each other; None for but one.
        others: closed at its other end when all other workers have ended; till then the control plane stays.
    """
    told_at = 0.0

    async def linger() -> None:
        if others is None:
            return
        limit = told_at + settings.timeouts.drain_seconds + _LINGER_SECONDS - time.monotonic()
        with suppress(TimeoutError):
            async with asyncio.timeout(limit):
                await _until_closed(others)

    version = await asyncio.to_thread(program_version)
    async with run_gateway(
        settings, reuse_port=workers is not None, control=True, workers=workers, linger=linger
    ) as gateway:
        if started is not None:
            await started(gateway)

        def tell() -> None:
            if ready is not None:
                ready(gateway)
            _log.info(
                "gateway is ready",
                version=version,
                url=gateway.url,
                control_url=gateway.control_url,
                client_auth=settings.client_auth.value,
                stream_mode=settings.stream_mode.value,
                rollout=settings.rollout.value,
                **({"approval": settings.rollout_approval} if settings.rollout is Rollout.PROMOTED else {}),
                pid=os.getpid(),
            )

        # What is there by now stays. Looked through at every full collection, it would stop all streams for up to
        # a tenth of a second.
        gc.collect()
        gc.freeze()
        numbers = _STOP_SIGNALS if multiprocessing.parent_process() is None else (signal.SIGTERM,)
        await wait_for_signal(numbers, ready=tell)
        told_at = time.monotonic()
        _log.info("draining", seconds=settings.timeouts.drain_seconds)
    drained = gateway.data_plane.drained
    _log.info(
        "gateway has ended",
        finished=drained.finished if drained is not None else 0,
        cut=drained.cut if drained is not None else 0,
        seconds=round(time.monotonic() - told_at, 1),
        pid=os.getpid(),
    )
    return 0


async def _until_closed(connection: Connection) -> None:
    """Return when the other end of a connection, by which nothing is sent, is closed."""
    loop = asyncio.get_running_loop()
    closed = asyncio.Event()
    loop.add_reader(connection.fileno(), closed.set)
    try:
        await closed.wait()
    finally:
        loop.remove_reader(connection.fileno())


def serve_workers(settings: Settings, *, prepare: Callable[[], None] | None = None) -> int:
    """Serve in `settings.workers` processes that share the port; restart one that dies.

    The first signal drains, the second ends the workers at once.

    Args:
        settings: as loaded.
        prepare: called once, when the ports are known and the database can be used.

    Raises:
        OSError: the address cannot be listened on.
        SecretKeyError: the secret key cannot be used.
        StoreError: the database cannot be used.
        VaultError: its secrets were encrypted with another key.
        SdkUnavailableError: the local SDK transport is enabled and cannot be used.
        ControlAddressError: the control plane's address cannot be listened on.
        NoRoomError: there is no place for what the workers share.
        TracingUnavailableError: traces are switched on and cannot be made.
        PricesError: the file of prices cannot be used.
    """
    files = files_of_metrics(settings.workers)
    with _reserved(settings), shared_directory(files, settings.data_path) as metrics:
        # What no worker could start with is no reason to start workers again and again.
        asyncio.run(_check_start(settings))
        if prepare is not None:
            prepare()
        return _serve_workers(settings, metrics)


async def _check_start(settings: Settings) -> None:
    keys = await asyncio.to_thread(load_secret_keys, settings.secret_key, settings.data_path)
    async with Database.of(settings) as database:
        await check_vault(database, Vault(keys))
    if settings.sdk_enabled:
        await check_sdk_program(settings)
    await asyncio.to_thread(PriceBook.load, settings.prices_path)
    async with open_observability(settings):
        pass


def _serve_workers(settings: Settings, metrics: Path) -> int:
    others, others_run = _SPAWN.Pipe(duplex=False)
    with _signals() as signals, others, others_run:

        def start(place: int) -> BaseProcess:
            return _start(settings, metrics, place, None if place else others)

        workers = [start(place) for place in range(settings.workers)]
        while not signals.wait(workers):
            for place, process in enumerate(workers):
                if not process.is_alive():
                    forget_gauges(metrics, place)
                    _log.error("a worker died and is started again", pid=process.pid, exit_code=process.exitcode)
                    if signals.wait((), _RESTART_SECONDS):
                        break
                    workers[place] = start(place)
        for process in workers:
            process.terminate()
        told_at = time.monotonic()
        killed = _await_end(
            workers, signals, told_at + settings.timeouts.drain_seconds + _GRACE_SECONDS, others_run
        )
        seconds = round(time.monotonic() - told_at, 1)
        _log.info("all workers have ended", killed=killed, seconds=seconds, pid=os.getpid())
        return 0 if signals.count == 1 else 1


def _await_end(workers: list[BaseProcess], signals: _Signals, deadline: float, others_run: Connection) -> int:
    """Wait until all workers have ended; return how many had to be killed for it."""
    killed = 0
    while running := [process for process in workers if process.is_alive()]:
        if running == workers[:1]:
            # The first one shows what the others do, and ends last.
            others_run.close()
        if signals.count > 1 or time.monotonic() >= deadline:
            for process in running:
                process.kill()
                process.join()
                killed += 1
        signals.wait(running, deadline - time.monotonic())
    return killed


def _start(settings: Settings, metrics: Path, place: int, others: Connection | None) -> BaseProcess:
    arguments = (settings, metrics, place, others)
    process = _SPAWN.Process(target=_worker, args=arguments, name="gateway-worker")
    process.start()
    return process


def _worker(settings: Settings, metrics: Path, place: int, others: Connection | None) -> None:
    # Ctrl-C reaches every process of the terminal. The parent hands it on as SIGTERM; taken as well, it would
    # be a second signal, and no worker would drain.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    configure_logs(level=settings.log_level, fmt=settings.log_format)
    share_metrics(metrics, place)
    if place:
        # One of them shows what there is to see of all.
        settings.control_listen = "off"
    status = 1
    try:
        files = WorkerFiles(metrics, place, settings.workers)
        if settings.control_address is None:
            others = None
        status = run_event_loop(serve(settings, workers=files, others=others))
    except _REFUSALS as error:
        # A database that is away, for one; the parent tries again.
        _log.error("a worker cannot start", problem=str(error))
    finally:
        close_logs()
    sys.exit(status)


class _Signals:
    """Counts the signals that ask this process to stop."""

    def __init__(self, wakes: socket.socket) -> None:
        self.count = 0
        self._wakes = wakes

    def take(self, *_: object) -> None:
        self.count += 1

    def wait(self, processes: Iterable[BaseProcess], seconds: float | None = None) -> bool:
        """Wait for a signal or the end of a process; return whether any signal has come."""
        timeout = None if seconds is None else max(0.0, seconds)
        ended = multiprocessing.connection.wait([self._wakes, *(p.sentinel for p in processes)], timeout)
        if self._wakes in ended:
            self._wakes.recv(4096)
        return self.count > 0


@contextmanager
def _signals() -> Generator[_Signals]:
    """Take signals by a socket that can be waited for together with processes."""
    reader, writer = socket.socketpair()
    with reader, writer:
        writer.settimeout(0)
        signals = _Signals(reader)
        for number in _STOP_SIGNALS:
            signal.signal(number, signals.take)
        previous = signal.set_wakeup_fd(writer.fileno(), warn_on_full_buffer=False)
        try:
            yield signals
        finally:
            signal.set_wakeup_fd(previous)


@contextmanager
def _reserved(settings: Settings) -> Generator[None]:
    """Hold the ports without listening, so that a taken one is found here rather than in every worker."""
    with ExitStack() as stack:
        settings.listen = str(stack.enter_context(_held(settings.address)))
        control = settings.control_address
        if control is not None:
            try:
                settings.control_listen = str(stack.enter_context(_held(control)))
            except OSError as error:
                raise ControlAddressError(cannot_listen(control, error)) from None
        yield


@contextmanager
def _held(address: Address) -> Generator[Address]:
    """Hold a port; give the address with the port that the system chose where it was to choose."""
    family = socket.AF_INET6 if ":" in address.host else socket.AF_INET
    # Without SO_REUSEPORT first: with it, a gateway could join another that runs on this port already.
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        probe.bind((address.host, address.port))
    with socket.socket(family, socket.SOCK_STREAM) as holder:
        holder.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        holder.bind((address.host, address.port))
        yield Address(address.host, holder.getsockname()[1])
