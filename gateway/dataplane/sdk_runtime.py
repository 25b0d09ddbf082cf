"""One local runtime: `claude-agent-sdk` in front of a process of ours, and the events of its answers.

Imported only where the transport is enabled, because the package is an extra.

The SDK speaks the control protocol and reads messages; the process behind it is started here, because the SDK's
own way hands the gateway's whole environment on. Source: claude-agent-sdk 0.2.187, `Transport`, `StreamEvent`.
"""

from __future__ import annotations

import asyncio
import json
import logging
import secrets
from collections.abc import AsyncIterator
from contextlib import suppress
from typing import Any, Final

from attrs import define, field
from claude_agent_sdk import (
    AssistantMessage,
    ClaudeAgentOptions,
    ClaudeSDKClient,
    ClaudeSDKError,
    ResultMessage,
    StreamEvent,
    Transport,
)

from gateway.dataplane.sdk_gate import SdkGate, Turn
from gateway.dataplane.sdk_process import RuntimeProcess
from gateway.dataplane.sdk_requests import Conversation, SdkRequest
from gateway.telemetry.logs import exception_facts, get_logger
from gateway.wire.errors import TYPE_BY_STATUS
from sse_fsm import encode_error, encode_event

__all__ = ["Runtime"]

_log = get_logger(__name__)
# It quotes what it could not read.
logging.getLogger("claude_agent_sdk").addHandler(logging.NullHandler())
logging.getLogger("claude_agent_sdk").propagate = False

_MOST_WAITING: Final = 64  # messages that are read ahead of a slow client
_BROKE_OFF: Final = "The local runtime ended the message before it was complete. Send the request again."


class _Pipe(Transport):
    """Lines of JSON to and from a process, with one control request of our own."""

    def __init__(self, process: RuntimeProcess) -> None:
        self._process = process
        self._stdin: asyncio.StreamWriter | None = None
        self._stdout: asyncio.StreamReader | None = None
        self._replies: dict[str, asyncio.Future[bool]] = {}

    async def connect(self) -> None:
        started = await self._process.start()
        self._stdin, self._stdout = started.stdin, started.stdout

    async def write(self, data: str) -> None:
        if self._stdin is None:
            raise ConnectionError("the local runtime is not running")
        self._stdin.write(data.encode())
        await self._stdin.drain()

    async def read_messages(self) -> AsyncIterator[dict[str, Any]]:
        if self._stdout is None:
            return
        async for line in self._stdout:
            # Beside messages it may print lines that are none.
            if not line.startswith(b"{"):
                continue
            message = json.loads(line)
            response = message.get("response")
            if message.get("type") == "control_response" and isinstance(response, dict):
                reply = self._replies.pop(str(response.get("request_id")), None)
                if reply is not None:
                    if not reply.done():
                        reply.set_result(response.get("subtype") == "success")
                    continue
            yield message
        # Said aloud, because whoever waits for a reply would otherwise wait for as long as the SDK does.
        raise ConnectionError("the local runtime has ended")

    async def apply_settings(self, settings: dict[str, Any]) -> None:
        """Change settings of the running process.

        Raises:
            ConnectionError: it refused, or is gone.
        """
        request_id = f"gateway-{secrets.token_hex(8)}"
        reply: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
        self._replies[request_id] = reply
        request = {"subtype": "apply_flag_settings", "settings": settings}
        try:
            await self.write(
                json.dumps({"type": "control_request", "request_id": request_id, "request": request}) + "\n"
            )
            if not await reply:
                raise ConnectionError("the local runtime refused a setting")
        finally:
            self._replies.pop(request_id, None)

    async def close(self) -> None:
        """Leave the end to the owner of the process."""
        if self._stdin is not None:
            self._stdin.close()

    async def end_input(self) -> None:
        await self.close()

    def is_ready(self) -> bool:
        return self._stdin is not None and not self._stdin.is_closing()


@define(eq=False)
class Runtime:
    """A runtime that serves one conversation, one turn at a time.

    `run` is to be run by a task of its own, which starts the process and ends it; everything else is for whoever
    has the turn.
    """

    process: RuntimeProcess
    gate: SdkGate
    key: str
    """Under which the gate knows it."""
    system: str | None
    start_seconds: float
    conversation: Conversation = field(factory=Conversation, init=False)
    """The turns that it has had; whoever gives it back says so."""
    ready: asyncio.Event = field(factory=asyncio.Event, init=False)
    """Set once it can be asked, and when it never will."""
    ended: asyncio.Event = field(factory=asyncio.Event, init=False)
    """Set once the process has been waited for and its directory is gone."""
    settled: asyncio.Event = field(factory=asyncio.Event, init=False)
    """Set while no turn is on its way to its end."""
    usable: bool = field(default=False, init=False)
    """Whether it runs and waits for a turn."""
    turn: Turn | None = field(default=None, init=False)
    _client: ClaudeSDKClient = field(init=False)
    _pipe: _Pipe = field(init=False)
    _stopping: asyncio.Event = field(factory=asyncio.Event, init=False)
    _messages: asyncio.Queue[Any] = field(factory=lambda: asyncio.Queue(_MOST_WAITING), init=False)
    _failed: bool = field(default=False, init=False)
    _over: bool = field(default=True, init=False)
    _gone: bool = field(default=False, init=False)

    def __attrs_post_init__(self) -> None:
        """Put the SDK's client before the process."""
        self._pipe = _Pipe(self.process)
        # What goes onto a command line is the process's to say; of these the client itself reads one.
        self._client = ClaudeSDKClient(ClaudeAgentOptions(verbatim_prompts=True), transport=self._pipe)

    @property
    def stopping(self) -> bool:
        """Whether it will soon be gone."""
        return self._stopping.is_set()

    async def run(self) -> None:
        """Start the process, read from it, and end it once `stop` was called; never raises."""
        try:
            await self.process.prepare(self.system)
            async with asyncio.TaskGroup() as tasks:
                reading = tasks.create_task(self._read(), name="read-local-runtime")
                await self._stopping.wait()
                reading.cancel()
        except* Exception as group:  # noqa: BLE001 - a runtime's trouble must not become the gateway's
            for error in group.exceptions:
                _log.warning("a local runtime failed", exit_code=self.process.exit_code, **exception_facts(error))
        finally:
            self._mark_gone()
            with suppress(Exception):
                await self._client.disconnect()
            await self.process.end()
            self.gate.dismiss(self.key)
            self.ended.set()

    def stop(self) -> None:
        """Have it ended by the task that runs it; what it still says is lost, and `read` is at its end."""
        self._over = True
        self._mark_gone()
        self.process.terminate()
        self._stopping.set()

    async def ask(self, request: SdkRequest) -> Turn:
        """Begin a turn; the answer is read with `read`.

        Raises:
            ConnectionError: it is gone, or does not do as it is told.
        """
        self.usable, self._over, self._failed = False, False, False
        self.settled.clear()
        while not self._messages.empty():
            self._messages.get_nowait()
        try:
            self.turn = self.gate.grant(self.key, request)
            await self._pipe.apply_settings({"model": request.model})
            await self._client.query(_prompt(request))
        except (ClaudeSDKError, OSError, RuntimeError) as error:
            raise ConnectionError(type(error).__name__) from None
        return self.turn

    async def read(self) -> bytes:
        """Return the next event of the answer in the form of the API's; empty at the end.

        What goes wrong is an error event. May be cancelled without losing anything.
        """
        while not self._over:
            message = await self._next()
            event = b"" if self._over else self._event(message)
            if event:
                return event
        return b""

    async def settle_down(self, seconds: float) -> None:
        """After a whole answer, wait until the runtime is ready for the next turn; end it if it is not in time."""
        try:
            async with asyncio.timeout(seconds):
                message = await self._next()
                while isinstance(message, AssistantMessage) and message.error is None:
                    message = await self._next()
        except TimeoutError:
            message = None
        # Anything but the result means that it went on by itself, and knows more now than its client does.
        strayed = self.turn is None or self.turn.strayed
        self.usable = (
            isinstance(message, ResultMessage) and not message.is_error and not strayed and not self._gone
        )
        if not self.usable:
            self.stop()
        self.settled.set()

    async def _read(self) -> None:
        try:
            async with asyncio.timeout(self.start_seconds):
                await self._client.connect()
            await self.process.forget_prompt()
            self.usable = True
            self.ready.set()
            async for message in self._client.receive_messages():
                if isinstance(message, (StreamEvent, AssistantMessage, ResultMessage)):
                    await self._messages.put(message)
        finally:
            self._mark_gone()
            self._stopping.set()

    async def _next(self) -> StreamEvent | AssistantMessage | ResultMessage | None:
        """Return the next message, or None when there will be none."""
        if self._gone and self._messages.empty():
            return None
        return await self._messages.get()

    def _mark_gone(self) -> None:
        """Wake whoever waits for something that will not come."""
        self._gone, self.usable = True, False
        self.ready.set()
        if self.turn is not None:
            self.turn.answered.set()
        with suppress(asyncio.QueueFull):
            self._messages.put_nowait(None)

    def _event(self, message: StreamEvent | AssistantMessage | ResultMessage | None) -> bytes:
        """Return the event that a message of the SDK comes to; nothing for most that are no events themselves."""
        if message is None or isinstance(message, ResultMessage):
            # The result of a turn comes behind the last event of its message; here it comes in its place.
            self._over = True
            return _error(message.api_error_status if message is not None else None)
        if isinstance(message, AssistantMessage):
            self._failed = self._failed or message.error is not None
            return b""
        if self._failed or message.parent_tool_use_id is not None:
            return b""
        event = message.event
        kind = event.get("type")
        if kind == "message_delta" and (event.get("delta") or {}).get("stop_reason") is None:
            # When its upstream breaks off, the runtime makes up the end of the message, but no reason for it.
            self._failed = True
            return b""
        if kind == "message_stop":
            self._over = True
        return encode_event(event) if isinstance(kind, str) else b""


def _error(status: int | None) -> bytes:
    """Return the error event for a turn that failed with this HTTP status, or within a stream."""
    if status in (None, 401, 403):
        return encode_error("api_error", _BROKE_OFF)
    kind = TYPE_BY_STATUS.get(status, "api_error")
    return encode_error(kind, f"The upstream ended the message with an error ({kind}). Send the request again.")


async def _prompt(request: SdkRequest) -> AsyncIterator[dict[str, Any]]:
    content = [{"type": "text", "text": text} for text in request.texts]
    yield {"type": "user", "message": {"role": "user", "content": content}, "parent_tool_use_id": None}
