"""A database with requests in it, as a gateway leaves it behind."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from gateway.ledger.record import RequestRecord
from gateway.ledger.row import RequestRow
from gateway.pricing.cost import Cost
from gateway.pricing.usage import Usage
from gateway.store.client_keys import ClientKeyStore
from gateway.store.engine import Database, Opening
from gateway.store.request_totals import RequestTotals
from gateway.store.requests import RequestStore
from tests.ledger.writing import make_record

NOW = datetime.now(UTC).timestamp()


def a_request(number: int, **changes: Any) -> RequestRecord:
    """Return the record of a request that cost $0.018, and of which most of the prompt was cached."""
    facts: dict[str, Any] = {
        "at": NOW - number,
        "model_served": "claude-opus-5-5",
        "counts": Usage(input_tokens=1000, output_tokens=200, cache_read_tokens=3000),
        "cost": Cost(nanousd=18_000_000),
        "stop_reason": "end_turn",
        "milliseconds": 4000,
        "milliseconds_to_content": 800,
    }
    return make_record(number, **(facts | changes))


def put(directory: Path, records: Iterable[RequestRecord], *, is_summed: bool = True) -> None:
    """Write records down, and add them to the sums as the gateway's upkeep does."""

    async def write() -> None:
        async with Database("", directory, Opening.UPGRADE) as database:
            await _write(database, records)
            while is_summed and await RequestTotals(database).sum_up(1000):
                pass

    asyncio.run(write())


async def _write(database: Database, records: Iterable[RequestRecord]) -> None:
    rows = [RequestRow.of(record) for record in records]
    timelines = [columns for row in rows if (columns := row.timeline_columns()) is not None]
    await RequestStore(database).insert([row.columns() for row in rows], timelines)


def make_keys(directory: Path, *names: str) -> list[str]:
    """Make client keys; return their ids."""

    async def make() -> list[str]:
        async with Database("", directory, Opening.UPGRADE) as database:
            store = ClientKeyStore(database)
            return [(await store.create(name, b"pepper" * 8))[0].id for name in names]

    return asyncio.run(make())
