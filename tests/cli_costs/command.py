"""`gateway costs` as an operator types it, on a database that requests were recorded in as a gateway does it."""

from __future__ import annotations

import asyncio
import contextlib
import io
import itertools
import json
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from attrs import define, field
from sqlalchemy import delete, select

from gateway.cli import main
from gateway.ledger.record import RequestRecord
from gateway.ledger.settlement import Settlement
from gateway.pricing.book import PriceBook
from gateway.store.audit_log import AuditFilter, AuditStore
from gateway.store.engine import Database
from gateway.store.request_totals import RequestTotals
from gateway.store.tables import request_totals, requests
from tests.ledger.writing import make_record, writing

DAY = datetime(2026, 11, 20, 12, tzinfo=UTC)
PLENTY = 1_000_000


@define
class Done:
    """How a command ended."""

    status: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        """What it printed for scripts."""
        return json.loads(self.out)


@define
class Costs:
    """The command, and what it finds."""

    monkeypatch: pytest.MonkeyPatch
    data_dir: Path
    database_url: str = ""
    prices: PriceBook = field(factory=PriceBook.load)
    """Of the gateway that recorded the requests."""
    _numbers: itertools.count[int] = field(factory=itertools.count, init=False)

    def run(self, *args: str, command: str = "costs") -> Done:
        """Run `gateway costs …`, or another command."""
        out, err = io.StringIO(), io.StringIO()
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            try:
                status = main([command, *args])
            except SystemExit as stop:
                status = stop.code if isinstance(stop.code, int) else 1
        assert "Traceback" not in err.getvalue()
        return Done(status, out.getvalue(), err.getvalue())

    def request(
        self, usage: Mapping[str, Any] | None = None, *, at: datetime = DAY, **changes: Any
    ) -> RequestRecord:
        """Return the record of a request that has been answered."""
        facts: dict[str, Any] = {
            "route": "POST /v1/messages",
            "usage": usage,
            "at": at.timestamp(),
            "stop_reason": "end_turn",
            "has_output": True,
        }
        record = make_record(next(self._numbers), **(facts | changes))
        if "model_served" not in changes:
            record.model_served = record.model
        return record

    def record(self, *records: RequestRecord, sums: bool = True) -> None:
        """Settle requests as a gateway does, and add them to the sums."""

        async def settle(database: Database) -> None:
            async with writing(database) as writer:
                await settle_all_with(Settlement(writer, self.prices))
            if sums:
                await RequestTotals(database).sum_up(PLENTY)

        async def settle_all_with(settlement: Settlement) -> None:
            async with asyncio.TaskGroup() as tasks:
                for record in records:
                    tasks.create_task(settlement.settle(record))

        self._do(settle)

    def rows(self) -> dict[str, tuple[int | None, str | None]]:
        """Return costs and notes by the ids of the requests."""
        found = {}

        async def read(database: Database) -> None:
            query = select(requests.c.id, requests.c.cost_nanousd, requests.c.cost_note)
            async with database.read() as connection:
                for row in (await connection.execute(query)).all():
                    found[row.id] = (row.cost_nanousd, row.cost_note)

        self._do(read)
        return found

    def audit(self) -> list[tuple[str, Any]]:
        """Return what the audit log has: what was done, and what came of it."""
        found: list[tuple[str, Any]] = []

        async def read(database: Database) -> None:
            page = await AuditStore(database).page(AuditFilter(), 100)
            found.extend((entry.action, entry.states()[1]) for entry in page)

        self._do(read)
        return found

    def day_total(self) -> tuple[int, int]:
        """Return the cost of all requests, and how many have none, from the sums of days."""
        found = []

        async def read(database: Database) -> None:
            query = select(request_totals.c.cost_nanousd, request_totals.c.unpriced)
            async with database.read() as connection:
                found.extend((await connection.execute(query.where(request_totals.c.span == 86400))).all())

        self._do(read)
        return sum(row.cost_nanousd for row in found), sum(row.unpriced for row in found)

    def forget(self, *ids: str) -> None:
        """Delete rows, as their age does; the sums stay."""

        async def remove(database: Database) -> None:
            async with database.write() as connection:
                await connection.execute(delete(requests).where(requests.c.id.in_(ids)))

        self._do(remove)

    def file(self, name: str, content: Any) -> str:
        """Write a file and return its path."""
        path = self.data_dir.parent / name
        path.write_text(content if isinstance(content, str) else json.dumps(content), "utf-8")
        return str(path)

    def _do(self, work: Any) -> None:
        async def run() -> None:
            async with Database(self.database_url, self.data_dir) as database:
                await work(database)

        asyncio.run(run())
