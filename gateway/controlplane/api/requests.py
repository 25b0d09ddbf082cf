"""`/api/v1/requests`: what became of each request, and what it cost."""

from __future__ import annotations

import asyncio
import re
from typing import Annotated, Final

import msgspec
from aiohttp import web

from gateway.controlplane.access import Access
from gateway.controlplane.endpoints import Call, answer_bytes, endpoint
from gateway.controlplane.parts import Parts
from gateway.controlplane.request_details import RequestDetail, request_detail
from gateway.controlplane.request_filters import PLACE, RequestsQuery, read_place, request_filter, write_place
from gateway.controlplane.request_views import RequestView, request_view
from gateway.controlplane.timeline_views import TimelineView, timeline_view
from gateway.ledger.row import RequestRow
from gateway.ledger.skeleton import SkeletonError, skeleton_of, why_no_timeline
from gateway.ledger.timeline import Timeline, TimelineError
from gateway.wire.errors import ApiError

__all__ = ["ENDPOINTS"]

_NO_FILE_NAME: Final = re.compile(r"[^A-Za-z0-9_-]")


class RequestPageQuery(RequestsQuery, kw_only=True, forbid_unknown_fields=True):
    """Which requests, and which page of them."""

    limit: Annotated[int, msgspec.Meta(ge=1, le=500, description="Most requests in the answer.")] = 100
    after: Annotated[str, msgspec.Meta(pattern=PLACE, description="As the page before said.")] | None = None


class RequestList(msgspec.Struct, kw_only=True):
    """Some requests, the newest first."""

    requests: list[RequestView]
    after: str | None
    """Where the next page begins; none at the end. A page may have fewer requests than asked for, or none at all,
    and still not be the last."""


class RequestCount(msgspec.Struct, kw_only=True):
    """How many requests there are."""

    number: int
    is_exact: bool
    """Otherwise there are at least so many."""


class TimelineAnswer(msgspec.Struct, kw_only=True):
    """A timeline, or why there is none."""

    timeline: TimelineView | None
    why_not: str | None


@endpoint("GET", "/api/v1/requests", access=Access.VIEWER, query=RequestPageQuery, answer=RequestList)
async def list_requests(parts: Parts, call: Call) -> RequestList:
    """List requests, the newest first.

    New ones come at the beginning, so that no page shows one twice or leaves one out.
    """
    query: RequestPageQuery = call.query
    page = await parts.requests.page(request_filter(query), limit=query.limit, after=read_place(query.after))
    return RequestList(requests=[request_view(row) for row in page.rows], after=write_place(page.after))


@endpoint("GET", "/api/v1/requests/count", access=Access.VIEWER, query=RequestsQuery, answer=RequestCount)
async def count_requests(parts: Parts, call: Call) -> RequestCount:
    """Count requests, up to a bound."""
    count = await parts.requests.count(request_filter(call.query))
    return RequestCount(number=count.number, is_exact=count.is_exact)


@endpoint("GET", "/api/v1/requests/{id}", access=Access.VIEWER, answer=RequestDetail)
async def get_request(parts: Parts, call: Call) -> RequestDetail:
    """Show all that is known of a request.

    Its id is the one in the answer's `x-gateway-request-id`, or the one that the upstream gave it. What was asked
    and answered is not kept.
    """
    return request_detail(await _find(parts, call), parts.prices, parts.data_url())


@endpoint("GET", "/api/v1/requests/{id}/timeline", access=Access.VIEWER, answer=TimelineAnswer)
async def get_timeline(parts: Parts, call: Call) -> TimelineAnswer:
    """Show when which events came on a request's stream.

    A timeline is kept of streams that did not end well.
    """
    row = await _find(parts, call)
    timeline = await _timeline(parts, row)
    if timeline is None:
        return TimelineAnswer(timeline=None, why_not=_sentence(why_no_timeline(row)))
    return TimelineAnswer(timeline=await asyncio.to_thread(timeline_view, timeline), why_not=None)


@endpoint(
    "GET", "/api/v1/requests/{id}/skeleton.sse", access=Access.VIEWER, media_type="text/event-stream", answer=str
)
async def get_skeleton(parts: Parts, call: Call) -> web.StreamResponse:
    """Download a request's stream without its content.

    The same events in the same order, with nothing in them: `sse-fsm check` judges it alike, and the built-in
    upstream plays it again.
    """
    row = await _find(parts, call)
    timeline = await _timeline(parts, row)
    try:
        skeleton = await asyncio.to_thread(skeleton_of, row, timeline)
    except SkeletonError as error:
        raise ApiError(404, _sentence(str(error))) from None
    name = _NO_FILE_NAME.sub("_", row.id)[:80]
    headers = {"content-disposition": f'attachment; filename="{name}.sse"'}
    return answer_bytes(skeleton, "text/event-stream", headers=headers)


async def _find(parts: Parts, call: Call) -> RequestRow:
    row = await parts.requests.get(call.params["id"])
    if row is None:
        raise ApiError(
            404,
            "No request has this id. It has not ended yet, or the gateway was killed while it ran, or it has been "
            f"deleted since: requests are kept for {parts.settings.retention.days:g} days.",
        )
    return row


async def _timeline(parts: Parts, row: RequestRow) -> Timeline | None:
    kept = await parts.requests.timeline(row.id)
    if kept is None:
        return None
    try:
        return await asyncio.to_thread(Timeline.decode, kept)
    except TimelineError as error:
        raise ApiError(404, _sentence(str(error))) from None


def _sentence(words: str) -> str:
    return words[:1].upper() + words[1:] + "."


ENDPOINTS: Final = (list_requests, count_requests, get_request, get_timeline, get_skeleton)
