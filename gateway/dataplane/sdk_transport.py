"""Puts the local SDK transport together, where it is enabled. Nothing of the SDK is imported before."""

from __future__ import annotations

import asyncio
import importlib.util
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from multidict import CIMultiDict

from gateway.accounts.pool import Need
from gateway.config import ClientAuth, Settings, StreamMode
from gateway.dataplane.answers import OpenBody, OpenStream, Refusal
from gateway.dataplane.attempts import Attempts
from gateway.dataplane.exchange import Outgoing
from gateway.dataplane.messages import PooledApi
from gateway.dataplane.sdk_gate import SdkGate, Turn
from gateway.dataplane.sdk_process import (
    RuntimeProcess,
    SdkUnavailableError,
    check_program,
    find_program,
    remove_leftovers,
    runtime_environment,
)

if TYPE_CHECKING:
    from gateway.dataplane.sdk_messages import SdkMessagesApi
    from gateway.dataplane.sdk_pool import RuntimePool
    from gateway.dataplane.sdk_runtime import Runtime

__all__ = ["SdkUnavailableError", "check_sdk", "check_sdk_program", "open_sdk_transport"]


def check_sdk(settings: Settings) -> str:
    """Return the program of the local runtimes.

    Raises:
        SdkUnavailableError: the transport cannot be used with these settings, or not on this machine.
    """
    if settings.client_auth is ClientAuth.PASSTHROUGH:
        raise SdkUnavailableError(
            "sdk_enabled needs a credential of the gateway's own and cannot be used with client_auth = passthrough"
        )
    if settings.sdk_pool_size and settings.workers > 1:
        raise SdkUnavailableError(
            "sdk_pool_size needs GATEWAY_WORKERS=1: a session's runtime is in one process, and requests reach any"
        )
    package = importlib.util.find_spec("claude_agent_sdk")
    if package is None or package.origin is None:
        raise SdkUnavailableError(
            "sdk_enabled needs claude-agent-sdk: pip install 'claude-stream-gateway[sdk]', "
            "or set GATEWAY_SDK_ENABLED=false"
        )
    return find_program(Path(package.origin).parent, settings.sdk_program)


async def check_sdk_program(settings: Settings) -> str:
    """Return the program of the local runtimes, once it has said that it is recent enough.

    Raises:
        SdkUnavailableError: as `check_sdk`; or it does not run, or is too old.
    """
    program = await asyncio.to_thread(check_sdk, settings)
    await check_program(program)
    return program


@asynccontextmanager
async def open_sdk_transport(
    settings: Settings, messages: PooledApi, tasks: asyncio.TaskGroup
) -> AsyncGenerator[SdkMessagesApi | None, None]:
    """Run the transport for as long as the context lasts, and end every runtime with it; None where it is off.

    Raises:
        SdkUnavailableError: it is enabled and cannot be used here.
    """
    if not settings.sdk_enabled:
        yield None
        return
    program = await check_sdk_program(settings)
    await asyncio.to_thread(remove_leftovers)
    # In a thread, because it takes its time.
    pool_class, api_class, runtime_class = await asyncio.to_thread(_import_sdk)
    gate = SdkGate(partial(_send, messages), settings.timeouts, settings.limits)
    await gate.open()
    pool = pool_class(
        partial(_make, settings, gate, program, runtime_class),
        tasks,
        size=settings.sdk_pool_size,
        most=settings.limits.sdk_runtimes,
        idle_seconds=settings.timeouts.sdk_idle_seconds,
    )
    try:
        yield api_class(messages, pool)
    finally:
        await pool.close()
        await gate.close()


def _import_sdk() -> tuple[type[RuntimePool], type[SdkMessagesApi], type[Runtime]]:
    from gateway.dataplane.sdk_messages import SdkMessagesApi  # noqa: PLC0415 - an extra, and slow to import
    from gateway.dataplane.sdk_pool import RuntimePool  # noqa: PLC0415 - same
    from gateway.dataplane.sdk_runtime import Runtime  # noqa: PLC0415 - same

    return RuntimePool, SdkMessagesApi, Runtime


def _make(
    settings: Settings, gate: SdkGate, program: str, runtime_class: type[Runtime], system: str | None
) -> Runtime:
    key = gate.admit()
    process = RuntimeProcess(
        program,
        lambda directory: runtime_environment(directory, gate.url, key),
        # An event is in a message, which also repeats the message so far.
        longest_line=4 * settings.limits.event_bytes,
        stop_seconds=settings.timeouts.sdk_stop_seconds,
    )
    return runtime_class(process, gate, key, system, settings.timeouts.sdk_start_seconds)


async def _send(
    messages: PooledApi, turn: Turn, target: str, headers: CIMultiDict[str], body: bytes
) -> OpenStream | Refusal:
    """Send a turn's request with the accounts that serve `/claude/v1/messages`, and by the same rules."""
    settings = messages.settings
    model = turn.request.model
    need = Need(messages.backend.provider.quota_family(model), None, model)
    started = asyncio.get_running_loop().time()
    attempts = Attempts(
        Outgoing("POST", target, headers, body, stream=True, started=started, need=need),
        messages.backend,
        messages.upstream,
        settings.timeouts,
        settings.limits,
        settings.routing,
        StreamMode.ENFORCE,
        messages.refusals,
        turn.attempts,
    )
    result = await attempts.run()
    assert not isinstance(result, OpenBody)  # noqa: S101 - a stream was asked for
    return result
