"""Running the gateway as one process or several, until a signal ends it."""

from __future__ import annotations

import asyncio
import contextlib
import multiprocessing
import signal
import socket
import sys
import time
from collections.abc import Callable, Coroutine
from multiprocessing.process import BaseProcess
from typing import Any, Final

from gateway.app import Gateway, run_gateway
from gateway.config import Settings
from gateway.telemetry.logs import close_logs, configure_logs, get_logger

__all__ = ["run_event_loop", "serve", "serve_workers", "wait_for_signal"]

_log = get_logger(__name__)

_RESTART_SECONDS: Final = 1.0
_GRACE_SECONDS: Final = 15.0
_STOP_SIGNALS: Final = (signal.SIGTERM, signal.SIGINT)


def run_event_loop(main: Coroutine[Any, Any, int]) -> int:
    """Run `main` on uvloop where there is one, else on asyncio's own loop."""
    try:
        import uvloop  # noqa: PLC0415 - not on every platform
    except ImportError:
        return asyncio.run(main)
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(main)


async def wait_for_signal() -> None:
    """Return when the process is asked to stop. A second signal then ends it the hard way."""
    loop = asyncio.get_running_loop()
    stopped = asyncio.Event()
    for number in _STOP_SIGNALS:
        loop.add_signal_handler(number, stopped.set)
    await stopped.wait()
    for number in _STOP_SIGNALS:
        loop.remove_signal_handler(number)


async def serve(
    settings: Settings, *, reuse_port: bool = False, ready: Callable[[Gateway], None] | None = None
) -> int:
    """Serve in this process until a signal; return the exit status."""
    async with run_gateway(settings, reuse_port=reuse_port) as gateway:
        if ready is not None:
            ready(gateway)
        _log.info("gateway is ready", url=gateway.url, client_auth=settings.client_auth.value)
        await wait_for_signal()
        _log.info("draining", seconds=settings.timeouts.drain_seconds)
    return 0


def serve_workers(settings: Settings) -> int:
    """Serve in `settings.workers` processes that share the port; restart one that dies.

    Raises:
        OSError: the address cannot be listened on.
    """
    with _reserved(settings):
        context = multiprocessing.get_context("spawn")
        stopping = False

        def stop(*_: object) -> None:
            nonlocal stopping
            stopping = True

        for number in _STOP_SIGNALS:
            signal.signal(number, stop)

        def start() -> BaseProcess:
            process = context.Process(target=_worker, args=(settings,), name="gateway-worker")
            process.start()
            return process

        workers = [start() for _ in range(settings.workers)]
        while not stopping:
            time.sleep(0.1)
            for place, process in enumerate(workers):
                if not process.is_alive() and not stopping:
                    _log.error("a worker died and is started again", pid=process.pid, exit_code=process.exitcode)
                    time.sleep(_RESTART_SECONDS)
                    workers[place] = start()
        for process in workers:
            process.terminate()
        deadline = time.monotonic() + settings.timeouts.drain_seconds + _GRACE_SECONDS
        for process in workers:
            process.join(max(0.0, deadline - time.monotonic()))
            if process.is_alive():
                process.kill()
                process.join()
        return 0


def _worker(settings: Settings) -> None:
    configure_logs(level=settings.log_level, fmt=settings.log_format)
    status = run_event_loop(serve(settings, reuse_port=True))
    close_logs()
    sys.exit(status)


@contextlib.contextmanager
def _reserved(settings: Settings) -> Any:
    """Hold the port without listening, so that a taken one is found here rather than in every worker."""
    address = settings.address
    family = socket.AF_INET6 if ":" in address.host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as holder:
        holder.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        holder.bind((address.host, address.port))
        settings.listen = f"{address.host}:{holder.getsockname()[1]}"
        yield
