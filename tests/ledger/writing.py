"""What the tests of the ledger share: a writer that runs, records, and what of them is in the database."""

from __future__ import annotations

import asyncio
import json
import sqlite3
from collections.abc import AsyncGenerator, Iterable
from contextlib import asynccontextmanager, closing, suppress
from pathlib import Path
from typing import Any, Final

from sqlalchemy import select

from gateway.ledger.record import AttemptRecord, RequestRecord
from gateway.ledger.spool import Spool
from gateway.ledger.writer import LedgerWriter
from gateway.store.engine import Database, database_path
from gateway.store.requests import RequestStore
from gateway.store.tables import requests

PLENTY: Final = 10_000_000
IMPATIENT: Final = 0.1
"""Seconds for a database that takes nothing; one that does may need more on a busy machine."""


@asynccontextmanager
async def writing(
    database: Database, *, limit_bytes: int = PLENTY, patience_seconds: float = 5.0, directory: Path | None = None
) -> AsyncGenerator[LedgerWriter]:
    """Run a writer; at the end it puts away what is left."""
    spool = Spool(directory or database.data_dir / "spool", limit_bytes)
    writer = LedgerWriter(RequestStore(database), spool, patience_seconds=patience_seconds, again_seconds=0.02)
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(writer.run(), name="ledger")
        try:
            yield writer
        finally:
            writer.close()


def make_record(number: int = 0, **changes: Any) -> RequestRecord:
    """Return a record of an ordinary request."""
    record = RequestRecord(
        id=f"req_{number}",
        route="POST /claude/v1/messages",
        actor="laptop",
        actor_id="key_1",
        provider="anthropic",
        model="claude-opus-5-5",
        stream=True,
        outcome="complete",
        status=200,
        attempts=[AttemptRecord("environment", None, 200, 12)],
        account="environment",
    )
    for name, value in changes.items():
        setattr(record, name, value)
    return record


async def stored(database: Database) -> dict[str, Any]:
    """Return the rows in the database by their ids."""
    async with database.read() as connection:
        rows = (await connection.execute(select(requests))).mappings().all()
    found = {row["id"]: dict(row) for row in rows}
    assert len(found) == len(rows)
    return found


async def settle_all(writer: LedgerWriter, records: Iterable[RequestRecord]) -> None:
    """Settle records at the same time."""
    async with asyncio.TaskGroup() as tasks:
        for record in records:
            tasks.create_task(writer.settle(record))


def spooled(directory: Path) -> list[str]:
    """Return the ids of the records in a spool; one that is being written, whose line has no end yet, is none."""
    files = sorted(directory.glob("requests-*"))
    lines = [line for path in files for line in path.read_bytes().split(b"\n")[:-1]]
    return [json.loads(line)["id"] for line in lines]


@asynccontextmanager
async def locked(database: Database) -> AsyncGenerator[None]:
    """Let another connection write to a SQLite database, and take its time."""
    path = database_path(database.url, database.data_dir)
    with closing(sqlite3.connect(path, isolation_level=None, timeout=0)) as other:
        while not other.in_transaction:
            # Waiting in SQLite would keep this event loop from ending its own transaction.
            with suppress(sqlite3.OperationalError):
                other.execute("BEGIN IMMEDIATE")
            await asyncio.sleep(0.001)
        yield
        other.execute("ROLLBACK")
