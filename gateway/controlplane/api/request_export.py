"""`/api/v1/requests.csv`: requests for a spreadsheet."""

from __future__ import annotations

import asyncio
import io
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Final

from aiohttp import web

from gateway.controlplane.access import Access
from gateway.controlplane.endpoints import Call, endpoint
from gateway.controlplane.parts import Parts
from gateway.controlplane.request_filters import RequestsQuery, request_filter
from gateway.controlplane.security_headers import SECURITY_HEADERS
from gateway.ledger.export import write_csv
from gateway.ledger.row import RequestRow
from gateway.store.errors import StoreError
from gateway.store.request_queries import Page
from gateway.telemetry.logs import get_logger
from gateway.wire.errors import SERVER_NAME, ApiError

__all__ = ["ENDPOINTS"]

_log = get_logger(__name__)

_MOST: Final = 200_000
"""Requests in one file; `gateway requests export` knows no bound."""
_PAGE: Final = 250
_SECONDS: Final = 600.0
_STUCK_SECONDS: Final = 30.0
_RETRY: Final = 30


@endpoint(
    "GET",
    "/api/v1/requests.csv",
    access=Access.VIEWER,
    query=RequestsQuery,
    media_type="text/csv",
    answer=str,
    # A little more than is taken, so that what ends a file too early is said by how it ends.
    seconds=_SECONDS + _STUCK_SECONDS,
)
async def export_requests(parts: Parts, call: Call) -> web.StreamResponse:
    """Download requests as CSV, the newest 200,000 at the most.

    Lists and objects are JSON in their cell. A text that a spreadsheet would take for a formula has an apostrophe
    before it.
    """
    if parts.exports.locked():
        # Whoever reads slowly must not keep others from the rest of the control plane.
        busy = "Others are downloading requests; try again when they have them."
        raise ApiError(503, busy, retry_after=_RETRY)
    async with parts.exports:
        return await _export(parts, call)


async def _export(parts: Parts, call: Call) -> web.StreamResponse:
    wanted = request_filter(call.query)
    page = await parts.requests.page(wanted, limit=_PAGE)
    name = f"requests-{datetime.now(UTC):%Y-%m-%d}.csv"
    response = web.StreamResponse(
        headers={
            **SECURITY_HEADERS,
            "server": SERVER_NAME,
            "cache-control": "no-store",
            "content-type": "text/csv; charset=utf-8",
            "content-disposition": f'attachment; filename="{name}"',
        }
    )
    await response.prepare(call.request)
    if call.request.method == "HEAD":
        return response
    try:
        async with asyncio.timeout(_SECONDS):
            await _send(await asyncio.to_thread(_as_csv, page.rows, heading=True), response)
            number = len(page.rows)
            while page.after is not None and number < _MOST:
                page = await _next(parts, call, page, number)
                number += len(page.rows)
                if page.rows:
                    await _send(await asyncio.to_thread(_as_csv, page.rows, heading=False), response)
            await _finish(response)
    except (StoreError, TimeoutError, ConnectionError) as error:
        # What has left cannot be taken back: the file ends as one that is cut, not as one that is whole.
        _log.info("an export of requests was cut off", problem=type(error).__name__)
        if call.request.transport is not None:
            call.request.transport.abort()
    return response


async def _next(parts: Parts, call: Call, page: Page, number: int) -> Page:
    limit = min(_PAGE, _MOST - number)
    return await parts.requests.page(request_filter(call.query), limit=limit, after=page.after)


async def _send(data: bytes, response: web.StreamResponse) -> None:
    async with asyncio.timeout(_STUCK_SECONDS):
        await response.write(data)


async def _finish(response: web.StreamResponse) -> None:
    async with asyncio.timeout(_STUCK_SECONDS):
        await response.write_eof()


def _as_csv(rows: Sequence[RequestRow], *, heading: bool) -> bytes:
    file = io.StringIO()
    write_csv(rows, file, heading=heading)
    return file.getvalue().encode()


ENDPOINTS: Final = (export_requests,)
