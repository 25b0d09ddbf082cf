"""`/api/v1/live`: what happens now, as it happens."""

from __future__ import annotations

import asyncio
from http import HTTPStatus
from typing import Annotated, Any, Final

import msgspec
from aiohttp import web
from aiohttp_sse import EventSourceResponse

from gateway.controlplane.access import Access
from gateway.controlplane.endpoints import Call, endpoint
from gateway.controlplane.health import HealthView
from gateway.controlplane.live import EVENTS, STATES, Viewer
from gateway.controlplane.parts import Parts
from gateway.controlplane.request_views import RequestView
from gateway.controlplane.security_headers import SECURITY_HEADERS
from gateway.controlplane.streams import MachineState, StreamsState
from gateway.store.errors import StoreError
from gateway.wire.errors import SERVER_NAME, ApiError

__all__ = ["ENDPOINTS"]

_TOPICS: Final = (*STATES, *EVENTS)
_MEDIA_TYPE: Final = "text/event-stream"
_BEAT_SECONDS: Final = 10.0
"""Between two comments that keep proxies from taking the connection for a dead one."""
_BEAT: Final = b"event: beat\ndata: {}\n\n"
"""What a page hears as often: browsers keep comments to themselves, and a connection that is dead is silent."""
_STUCK_SECONDS: Final = 30.0
"""Until a viewer that takes nothing is given up."""
_CHECK_SECONDS: Final = 2.0
"""Between two looks whether the viewer is still signed in."""
_RETRY: Final = 30


class Changed(msgspec.Struct, kw_only=True):
    """A list has changed."""

    what: str
    """`accounts`, `keys`, `settings`, `users` or `canary`."""


class Reset(msgspec.Struct, kw_only=True):
    """Events are missing."""

    why: str


class LiveEvents(msgspec.Struct, kw_only=True):
    """What the events hold, by their names."""

    streams: StreamsState
    machine: MachineState
    health: HealthView
    request: RequestView
    changed: Changed
    job: dict[str, Any]
    """Progress of a job; its `id` says of which."""
    reset: Reset


class LiveQuery(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """What to watch."""

    topics: Annotated[str, msgspec.Meta(max_length=100, description="With commas between them; default all.")] = ""
    last_event_id: Annotated[
        str,
        msgspec.Meta(
            max_length=60,
            description="Of the last event that is known; the header Last-Event-ID comes first.",
        ),
    ] = ""


@endpoint(
    "GET",
    "/api/v1/live",
    access=Access.VIEWER,
    query=LiveQuery,
    media_type=_MEDIA_TYPE,
    answer=LiveEvents,
    seconds=None,
)
async def watch_live(parts: Parts, call: Call) -> web.StreamResponse:
    """Watch what happens.

    A stream of server-sent events, named by topic, with JSON. `request` (a request has ended), `changed` (a list
    has changed: `what` says which) and `job` (progress of a job) have ids: whoever comes back with the last one is
    told of what came since, or gets `reset` where that is not known any more: then all has to be read again.
    `streams`, `machine` and `health` are states. With `whole`, what was known of `streams` before is no more.
    `beat` comes every ten seconds: a feed that does not tell it is dead.
    """
    headers = {**SECURITY_HEADERS, "server": SERVER_NAME}
    topics = _topics(call.query.topics)
    if call.request.method == "HEAD":
        return web.Response(headers={**headers, "content-type": _MEDIA_TYPE, "cache-control": "no-store"})
    if parts.live.closed:
        raise ApiError(503, "The gateway is ending.", retry_after=_RETRY)
    if parts.live.is_full:
        raise ApiError(
            503, "Too many pages watch this gateway already; close one and try again.", retry_after=_RETRY
        )
    response = EventSourceResponse(headers=headers, ping_interval=_BEAT_SECONDS, send_timeout=_STUCK_SECONDS)
    response.headers["cache-control"] = "no-store"
    if call.visitor.new_cookie:
        response.headers["set-cookie"] = call.visitor.new_cookie
    last_id = call.request.headers.get("last-event-id", "") or call.query.last_event_id
    viewer = parts.live.join(topics, last_id)
    try:
        await response.prepare(call.request)
        async with response:
            await _tell(parts, call, viewer, response)
    except ConnectionError:
        # The viewer has gone already; what is returned goes nowhere.
        return response if response.prepared else web.Response(status=HTTPStatus.SERVICE_UNAVAILABLE)
    finally:
        parts.live.leave(viewer)
    return response


def _topics(asked: str) -> tuple[str, ...]:
    topics = tuple(asked.split(",")) if asked else _TOPICS
    for topic in topics:
        if topic not in _TOPICS:
            raise ApiError(400, f"There is no topic `{topic[:40]}`. There are: {', '.join(_TOPICS)}.")
    return topics


async def _tell(parts: Parts, call: Call, viewer: Viewer, response: EventSourceResponse) -> None:
    """Tell a viewer of everything until it leaves, is not signed in any more, or the gateway ends."""
    clock = asyncio.get_running_loop().time
    check_at = clock() + _CHECK_SECONDS
    beat_at = clock() + _BEAT_SECONDS
    while not parts.live.closed:
        if clock() >= check_at:
            if not await _is_signed_in(parts, call):
                return
            check_at = clock() + _CHECK_SECONDS
        if clock() >= beat_at:
            if not await _send(response, call.request, _BEAT):
                return
            beat_at = clock() + _BEAT_SECONDS
        try:
            async with asyncio.timeout_at(check_at):
                await viewer.wait()
        except TimeoutError:
            continue
        if not await _send(response, call.request, viewer.take()):
            return


async def _is_signed_in(parts: Parts, call: Call) -> bool:
    try:
        async with asyncio.timeout(_STUCK_SECONDS):
            # Not by the request: the token that it brought is replaced by others while the feed goes on.
            return await parts.gate.is_still_welcome(call.visitor)
    except (StoreError, TimeoutError):
        # Nobody can sign out while the database is away, and that is when one wants to look.
        return True


async def _send(response: EventSourceResponse, request: web.BaseRequest, data: bytes) -> bool:
    """Send what there is; return whether the viewer is still there."""
    try:
        async with asyncio.timeout(_STUCK_SECONDS):
            await response.write(data)
    except TimeoutError:
        if request.transport is not None:
            request.transport.abort()
        return False
    except ConnectionError:
        return False
    return True


ENDPOINTS: Final = (watch_live,)
