"""What the ledger does besides taking records: adding them up, and letting go of old ones.

Every process does it, in small steps between which others write; a step is a transaction, so that a row is added
once and none is deleted before it was.
"""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress
from datetime import UTC, datetime
from typing import Final

from attrs import define, field

from gateway.config import Retention
from gateway.store.errors import StoreError, StoreUnavailableError
from gateway.store.request_totals import RequestTotals
from gateway.telemetry.logs import exception_facts, get_logger

__all__ = ["Upkeep"]

_log = get_logger(__name__)

_STEP_ROWS: Final = 100
"""Rows of one transaction. While it runs, records that are settled wait for it."""
_BREATH_SECONDS: Final = 0.05
"""Between two steps."""
_SUM_SECONDS: Final = 2.0
_TIDY_SECONDS: Final = 60.0
_AFTER_TROUBLE_SECONDS: Final = 10.0
_DAY: Final = 86400
_FINEST_DAYS: Final = 2
"""For which sums of five minutes are kept."""
_HOURLY_DAYS: Final = 400


@define(eq=False)
class Upkeep:
    """Looks after the table of requests as long as `run` runs."""

    totals: RequestTotals
    retention: Retention
    sum_seconds: float = _SUM_SECONDS
    """Between two looks for rows that are in no sum yet."""
    deleted: int = field(default=0, init=False)
    """Rows deleted since the start."""

    async def run(self, closing: asyncio.Event) -> None:
        """Work until the event is set."""
        tidy_at = time.monotonic()
        while not closing.is_set():
            pause = self.sum_seconds
            try:
                await self._while_there_is_work(closing, lambda: self.totals.sum_up(_STEP_ROWS))
                if time.monotonic() >= tidy_at:
                    await self.tidy(closing)
                    tidy_at = time.monotonic() + _TIDY_SECONDS
            except StoreError as error:
                write = _log.debug if isinstance(error, StoreUnavailableError) else _log.error
                write("the ledger's upkeep has to wait", problem=str(error))
                pause = _AFTER_TROUBLE_SECONDS
            except Exception as error:  # noqa: BLE001 - whatever it is, records are still to be taken
                _log.error("a defect in the ledger's upkeep", **exception_facts(error))
                pause = _AFTER_TROUBLE_SECONDS
            await _wait(closing, pause)

    async def tidy(self, closing: asyncio.Event) -> None:
        """Delete what is older than it may be, and the oldest of what is too much.

        Raises:
            StoreError: the database cannot be used.
        """
        # Of two clocks the one behind: a host whose own is ahead must not delete what all others still want.
        keep, now = self.retention, min(datetime.now(UTC).timestamp(), await self.totals.database.now())
        begun_with = self.deleted
        await self._delete(closing, now - keep.days * _DAY)
        if self.deleted > begun_with:
            _log.info("old records of requests were deleted", rows=self.deleted - begun_with, days=keep.days)
        timelines = now - min(keep.timeline_days, keep.days) * _DAY
        await self._while_there_is_work(
            closing, lambda: self.totals.delete_timelines_before(timelines, _STEP_ROWS)
        )
        begun_with = self.deleted
        await self._delete_excess(closing)
        if self.deleted > begun_with:
            _log.warning(
                "records of requests were deleted before their time, because they take too much room",
                rows=self.deleted - begun_with,
                bytes=keep.bytes,
                setting="GATEWAY_RETENTION__BYTES",
            )
        await self.totals.delete_totals_before(300, now - _FINEST_DAYS * _DAY)
        await self.totals.delete_totals_before(3600, now - _HOURLY_DAYS * _DAY)

    async def _delete(self, closing: asyncio.Event, before: float) -> None:
        await self._while_there_is_work(closing, lambda: self._delete_step(before))

    async def _delete_excess(self, closing: asyncio.Event) -> None:
        excess = await self.totals.excess(self.retention.bytes)
        last = await self.totals.time_of_oldest(excess) if excess else None
        while excess > 0 and last is not None and not closing.is_set():
            # Up to a time, so that processes that are at it together delete the same rows, not each so many.
            step = await self._delete_step(math.nextafter(last, math.inf), min(excess, _STEP_ROWS))
            excess = excess - step if step else 0
            await _wait(closing, _BREATH_SECONDS)

    async def _delete_step(self, before: float, most: int = _STEP_ROWS) -> int:
        count = await self.totals.delete_before(before, most)
        self.deleted += count
        return count

    async def _while_there_is_work(self, closing: asyncio.Event, step: Callable[[], Awaitable[int]]) -> None:
        while not closing.is_set():
            began = time.monotonic()
            if await step() < _STEP_ROWS:
                return
            # Where a step takes long, others write for longer in between.
            await _wait(closing, max(_BREATH_SECONDS, 2 * (time.monotonic() - began)))


async def _wait(closing: asyncio.Event, seconds: float) -> None:
    with suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            await closing.wait()
