"""Which local runtime serves a request: a fresh one, unless a pooled one has had exactly this conversation.

A runtime remembers what was said to it. So a pooled one is known by its actor and that actor's session, and even
then serves a request only if the turns that it has had are, word for word, the earlier turns of that request.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Callable
from typing import Final

from attrs import define, field

from gateway.dataplane.sdk_requests import Conversation, SdkRequest
from gateway.dataplane.sdk_runtime import Runtime
from gateway.wire.errors import ApiError

__all__ = ["RuntimePool"]

_RETRY_SOON: Final = 5  # seconds
_SETTLE_SECONDS: Final = 5.0  # between the end of an answer and the runtime's word that it is done
Key = tuple[str, str]
"""Actor id and session."""


@define(eq=False)
class RuntimePool:
    """The runtimes of this process, the idle ones included."""

    make: Callable[[str | None], Runtime]
    """Makes a runtime for a system prompt."""
    tasks: asyncio.TaskGroup
    size: int
    """Most idle runtimes that are kept for their sessions; 0 for none."""
    most: int
    """Most runtimes in all."""
    idle_seconds: float
    running: set[Runtime] = field(factory=set, init=False)
    _idle: OrderedDict[Key, tuple[Runtime, asyncio.TimerHandle]] = field(factory=OrderedDict, init=False)
    _closed: bool = field(default=False, init=False)

    async def acquire(self, actor_id: str, request: SdkRequest) -> Runtime:
        """Return a runtime that waits for this request's last turn; the caller gives it back or stops it.

        Raises:
            ApiError: 400, the earlier turns cannot be carried; 503, it did not start; 529, there are too many.
        """
        kept = await self._take(actor_id, request)
        if kept is not None:
            return kept
        if request.before.turns:
            raise ApiError(
                400,
                "messages: earlier turns can be carried only by the pooled session that has had them, word for "
                "word. That takes GATEWAY_SDK_POOL_SIZE above 0, and the same metadata.user_id and system prompt "
                "in each request. Use /claude/v1/messages for any other conversation.",
            )
        await self._make_room()
        runtime = self.make(request.system)
        self.running.add(runtime)
        self.tasks.create_task(self._run(runtime), name="local-runtime")
        try:
            await runtime.ready.wait()
        except asyncio.CancelledError:
            runtime.stop()
            raise
        if not runtime.usable:
            runtime.stop()
            raise ApiError(
                503, "The local runtime did not start; the gateway's log says why.", retry_after=_RETRY_SOON
            )
        return runtime

    def give_back(self, actor_id: str, request: SdkRequest, runtime: Runtime, answer: Conversation) -> None:
        """Keep a runtime that has given a whole answer for the next turn of its session, or end it.

        Args:
            actor_id: whose it is.
            request: that it answered.
            runtime: which.
            answer: the conversation with the answer.
        """
        if not self.size or request.session is None or self._closed:
            runtime.stop()
            return
        key = (actor_id, request.session)
        self._drop(key)
        while len(self._idle) >= self.size:
            self._drop(next(iter(self._idle)))
        timer = asyncio.get_running_loop().call_later(self.idle_seconds, self._drop, key)
        self._idle[key] = (runtime, timer)
        runtime.conversation = answer
        self.tasks.create_task(runtime.settle_down(_SETTLE_SECONDS), name="settle-local-runtime")

    async def close(self) -> None:
        """End every runtime and wait until they are gone."""
        self._closed = True
        while self._idle:
            self._drop(next(iter(self._idle)))
        for runtime in list(self.running):
            runtime.stop()
        for runtime in list(self.running):
            await runtime.ended.wait()

    async def _take(self, actor_id: str, request: SdkRequest) -> Runtime | None:
        """Take the runtime that has had the request's earlier turns out of the pool."""
        if request.session is None or not request.before.turns:
            return None
        runtime, timer = self._idle.get((actor_id, request.session), (None, None))
        if runtime is None or timer is None or not _continues(runtime, request):
            return None
        del self._idle[actor_id, request.session]
        timer.cancel()
        try:
            await runtime.settled.wait()
        except asyncio.CancelledError:
            runtime.stop()
            raise
        return runtime if runtime.usable else None

    def _drop(self, key: Key) -> None:
        runtime, timer = self._idle.pop(key, (None, None))
        if runtime is not None and timer is not None:
            timer.cancel()
            runtime.stop()

    async def _make_room(self) -> None:
        """Let a new runtime start only if there are not too many; the longest idle one makes room."""
        if self._closed:
            raise ApiError(503, "The gateway is restarting. Send the request again.", retry_after=_RETRY_SOON)
        while len(self.running) >= self.most:
            if self._idle:
                self._drop(next(iter(self._idle)))
            ending = next((runtime for runtime in self.running if runtime.stopping), None)
            if ending is None:
                raise ApiError(529, "All local runtimes are busy. Try again in a moment.", retry_after=_RETRY_SOON)
            await ending.ended.wait()

    async def _run(self, runtime: Runtime) -> None:
        try:
            await runtime.run()
        finally:
            self.running.discard(runtime)
            # One that ends by itself while it is idle is of no use to its session any more.
            for key in [key for key, (idle, _) in self._idle.items() if idle is runtime]:
                self._drop(key)


def _continues(runtime: Runtime, request: SdkRequest) -> bool:
    return runtime.conversation == request.before and runtime.system == request.system
