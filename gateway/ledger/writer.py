"""The ledger in the database: a row for each request, durable before its last event leaves.

All records that wait go into one transaction. Those that the database does not take soon go into the spool, from
which they are written when it is back; see docs/decisions/0011-a-record-is-durable-before-its-last-event.md.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager, suppress
from typing import Final, TypeVar

from attrs import define, field

from gateway.config import Settings
from gateway.ledger.record import RequestRecord
from gateway.ledger.row import BadLineError, RequestRow
from gateway.ledger.spool import Kept, Spool, SpoolFile
from gateway.ledger.upkeep import Upkeep
from gateway.store.engine import Database
from gateway.store.errors import StoreError, StoreUnavailableError, WrongTablesError
from gateway.store.request_totals import RequestTotals
from gateway.store.requests import RequestStore
from gateway.telemetry.logs import exception_facts, get_logger

__all__ = ["LedgerCounts", "LedgerWriter", "open_ledger"]

_log = get_logger(__name__)
_T = TypeVar("_T")

_SPOOL_SECONDS: Final = 5.0
"""For the disk to take records into the spool, before they are given up."""
_HOLD_SECONDS: Final = 8.0
"""For all of it, before a client gets the end of its answer whatever becomes of the record."""
_GAP_SECONDS: Final = 0.002
"""Between two transactions: each costs a wait for the disk, however many records are in it."""
_AGAIN_AT_MOST_SECONDS: Final = 5.0
_LOOK_SECONDS: Final = 30.0
"""Between two looks for files of processes that died."""
_END_SECONDS: Final = 2.0
"""At the end, for what is under way in the database."""
_CLOSE_SECONDS: Final = 10.0
_QUEUE_ROWS: Final = 10_000
_DIRECTORY: Final = "spool"


@define
class LedgerCounts:
    """What became of records since the start."""

    written: int = 0
    """Rows that went to the database at once."""
    spooled: int = 0
    """Rows that went into the spool first."""
    replayed: int = 0
    """Rows that came to the database from the spool, some of them maybe of other processes, or again."""
    refused: int = 0
    """Lines of the spool that are no rows, or that the database will not take; they are in `refused.jsonl`."""
    lost: int = 0
    """Rows that are in the log alone."""


@define(eq=False)
class _Batch:
    """Records that become durable together."""

    rows: list[RequestRow] = field(factory=list)
    settled: asyncio.Event = field(factory=asyncio.Event)


@define(eq=False)
class LedgerWriter:
    """Takes records as long as `run` runs; `close` ends that."""

    store: RequestStore
    spool: Spool
    patience_seconds: float = 2.0
    """For the database to take records, before they go into the spool."""
    again_seconds: float = 0.5
    """Before the first look whether a database that was away is back; the next ones take longer."""
    counts: LedgerCounts = field(factory=LedgerCounts, init=False)
    is_away: bool = field(default=False, init=False)
    """Whether the database did not take the last record that it was offered."""
    _may_be_back: bool = field(default=False, init=False)
    """Whether it does everything again that takes no room: only a record shows whether it takes records."""
    _open: _Batch = field(factory=_Batch, init=False)
    _under_way: _Batch | None = field(default=None, init=False)
    _late: set[asyncio.Task[bool]] = field(factory=set, init=False)
    """Inserts that took too long and still go on; the database bounds how long."""
    _filled: asyncio.Event = field(factory=asyncio.Event, init=False)
    _trouble: asyncio.Event = field(factory=asyncio.Event, init=False)
    _closing: asyncio.Event = field(factory=asyncio.Event, init=False)
    _ended: bool = field(default=False, init=False)
    # One thread, so that a disk that hangs keeps no other work of the process from its threads.
    _thread: ThreadPoolExecutor = field(
        factory=lambda: ThreadPoolExecutor(max_workers=1, thread_name_prefix="ledger-spool"), init=False
    )

    async def settle(self, record: RequestRecord) -> None:
        """Return when the record is durable, in the database or the spool.

        Once it has been called the record is kept, whether its caller waits for that or is cancelled. A record
        that neither takes is logged as lost, and counted.
        """
        row = RequestRow.of(record)
        batch = self._open
        if self._ended or len(batch.rows) >= _QUEUE_ROWS:
            self._lose([row], "the ledger has ended" if self._ended else "too many records wait for a disk")
            return
        batch.rows.append(row)
        self._filled.set()
        try:
            async with asyncio.timeout(_HOLD_SECONDS):
                await batch.settled.wait()
        except TimeoutError:
            _log.warning("an answer ends before its record is durable", request_id=record.id)

    async def run(self) -> None:
        """Write what comes in until `close` is called; leave nothing behind that is not in a file."""
        try:
            async with asyncio.TaskGroup() as tasks:
                recovery = tasks.create_task(self._recover(), name="ledger-recovery")
                await self._commit(tasks)
                ending = {recovery, *self._late}
                await asyncio.wait(ending, timeout=_END_SECONDS)
                for task in ending:
                    task.cancel()
        finally:
            self._ended = True
            await self._put_away()

    @property
    def waiting(self) -> int:
        """Records that are not durable yet."""
        under_way = self._under_way
        settling = len(under_way.rows) if under_way is not None and not under_way.settled.is_set() else 0
        return len(self._open.rows) + settling

    def close(self) -> None:
        """Ask `run` to write what is left, and to return."""
        self._closing.set()
        self._filled.set()
        self._trouble.set()

    async def _commit(self, tasks: asyncio.TaskGroup) -> None:
        while True:
            await self._filled.wait()
            self._filled.clear()
            while self._open.rows:
                batch, self._open = self._open, _Batch()
                self._under_way = batch
                await self._make_durable(batch, tasks)
                self._under_way = None
                await asyncio.sleep(_GAP_SECONDS)
            if self._closing.is_set():
                return

    async def _make_durable(self, batch: _Batch, tasks: asyncio.TaskGroup) -> None:
        is_worth_a_try = not self.is_away or self._may_be_back
        if not is_worth_a_try or not await self._write(batch.rows, tasks):
            await self._keep(batch.rows)
        batch.settled.set()

    async def _write(self, rows: Sequence[RequestRow], tasks: asyncio.TaskGroup) -> bool:
        """Write rows to the database; return whether they are there, as far as is known in time."""
        # Not cancelled when it takes long: what it writes late is there twice for no more than a moment, and
        # nothing has to be cleared up behind a statement that was cut off.
        insert = tasks.create_task(self._insert(rows), name="ledger-insert")
        await asyncio.wait({insert}, timeout=self.patience_seconds)
        if not insert.done():
            self._late.add(insert)
            insert.add_done_callback(self._late.discard)
            self._note_away(f"it has not taken a record within {self.patience_seconds:g} s")
            return False
        if insert.result():
            self.counts.written += len(rows)
            return True
        return False

    async def _insert(self, rows: Sequence[RequestRow]) -> bool:
        try:
            await self._put(rows)
        except Exception as error:  # noqa: BLE001 - whatever it is, the records are still to be kept
            self._note_away(_words(error))
            return False
        self._note_back()
        return True

    async def _put(self, rows: Sequence[RequestRow]) -> None:
        timelines = [timeline for row in rows if (timeline := row.timeline_columns()) is not None]
        await self.store.insert([row.columns() for row in rows], timelines)

    async def _keep(self, rows: Sequence[RequestRow]) -> None:
        """Put rows into the spool, and say which of them cannot be."""
        kept = await self._in_spool(lambda: self.spool.append([row.to_line() for row in rows]))
        self.counts.spooled += kept.count
        # The database may have come back in between, and nobody would look for them for a while.
        self._trouble.set()
        if kept.count < len(rows):
            self._lose(rows[kept.count :], kept.problem)

    async def _in_spool(self, keep: Callable[[], Kept]) -> Kept:
        try:
            async with asyncio.timeout(_SPOOL_SECONDS):
                return await self._in_thread(keep)
        except TimeoutError:
            return Kept(0, "the disk does not answer in time")
        except Exception as error:  # noqa: BLE001 - whatever it is, it must not end the ledger
            _log.error("a defect in the ledger", **exception_facts(error))
            return Kept(0, type(error).__name__)

    def _in_thread(self, work: Callable[..., _T], *arguments: object) -> asyncio.Future[_T]:
        return asyncio.get_running_loop().run_in_executor(self._thread, work, *arguments)

    def _lose(self, rows: Sequence[RequestRow], problem: str | None) -> None:
        self.counts.lost += len(rows)
        for row in rows:
            _log.error("the record of a request was lost", request_id=row.id, problem=problem)

    def _note_away(self, problem: str) -> None:
        self._may_be_back = False
        if not self.is_away:
            self.is_away = True
            _log.warning("the database does not take records; they go into the spool", problem=problem)
        self._trouble.set()

    async def _recover(self) -> None:
        """Look for what the spool holds: at the start, when the database has been away, and now and then."""
        pause = self.again_seconds
        while not self._closing.is_set():
            try:
                # Before its files are read: what was spooled until here is found below.
                self._trouble.clear()
                await self._replay()
                if self.is_away:
                    await self._look_whether_back()
            except StoreError as error:
                self._note_away(str(error))
            except Exception as error:  # noqa: BLE001 - such as a disk that does not read; it must not end the ledger
                _log.error("the spool cannot be written to the database", **exception_facts(error))
                await self._closed_within(_LOOK_SECONDS)
            if self.is_away:
                await self._closed_within(pause)
                pause = min(2 * pause, _AGAIN_AT_MOST_SECONDS)
            else:
                pause = self.again_seconds
                with suppress(TimeoutError):
                    async with asyncio.timeout(_LOOK_SECONDS):
                        await self._trouble.wait()

    async def _closed_within(self, seconds: float) -> None:
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._closing.wait()

    async def _look_whether_back(self) -> None:
        """See whether the database may take the next record; on a full disk it may look well and take none."""
        try:
            await self.store.insert(())
        except StoreError:
            raise
        except Exception as error:  # noqa: BLE001 - whatever it is, it is not back
            raise StoreUnavailableError(type(error).__name__) from None
        self._may_be_back = True

    def _note_back(self) -> None:
        self._may_be_back = False
        if self.is_away:
            self.is_away = False
            _log.info("the database takes records again")

    async def _replay(self) -> None:
        """Write what the spool holds, the oldest first."""
        before = self.counts.replayed
        while not self._closing.is_set():
            file = await self._in_thread(self.spool.oldest)
            if file is None:
                break
            await self._replay_file(file)
        if self.counts.replayed > before:
            _log.info("records from the spool are in the database", rows=self.counts.replayed - before)

    async def _replay_file(self, file: SpoolFile) -> None:
        while not self._closing.is_set():
            lines, place = await self._in_thread(file.read)
            if not lines:
                await self._in_thread(self.spool.discard, file)
                return
            rows, refused = await self._in_thread(_parse, lines)
            refused += await self._insert_spooled(rows)
            if len(refused) < len(lines):
                # What else is spooled need not be there before new records can be.
                self._note_back()
                self.counts.replayed += len(lines) - len(refused)
            if refused:
                await self._set_aside(refused)
            # Only now: after a failure above all of it is tried again, which changes no row that is there.
            file.skip_to(place)

    async def _insert_spooled(self, rows: Sequence[RequestRow]) -> list[bytes]:
        """Write rows; return those that the database will never take, as lines.

        Raises:
            Exception: it is away, or does not take any rows at all.
        """
        try:
            if rows:
                await self._put(rows)
        except (StoreUnavailableError, WrongTablesError):
            raise
        except Exception as error:  # noqa: BLE001 - such as a value that a driver cannot send
            if not isinstance(error, StoreError):
                _log.warning("a record cannot be written", **exception_facts(error))
        else:
            return []
        refused: list[RequestRow] = []
        for row in rows:
            try:
                await self._put([row])
            except (StoreUnavailableError, WrongTablesError):
                raise
            except Exception:  # noqa: BLE001 - as above
                refused.append(row)
        if len(refused) == len(rows):
            # It may be the database that is wrong rather than the rows.
            await self.store.insert(())
        return [row.to_line() for row in refused]

    async def _set_aside(self, lines: list[bytes]) -> None:
        kept = await self._in_thread(self.spool.set_aside, lines)
        self.counts.refused += kept.count
        self.counts.lost += len(lines) - kept.count
        _log.error(
            "records in the spool cannot be written to the database",
            set_aside=kept.count,
            lost=len(lines) - kept.count,
            problem=kept.problem,
        )

    async def _put_away(self) -> None:
        """Put into the spool what is not durable yet, and let go of its files."""
        for batch in (self._under_way, self._open):
            if batch is not None and batch.rows and not batch.settled.is_set():
                await self._keep(batch.rows)
                batch.settled.set()
        with suppress(OSError):  # a timeout is one too
            async with asyncio.timeout(_SPOOL_SECONDS):
                await self._in_thread(self.spool.close)
        self._thread.shutdown(wait=False, cancel_futures=True)


@asynccontextmanager
async def open_ledger(
    database: Database, settings: Settings, tasks: asyncio.TaskGroup
) -> AsyncGenerator[LedgerWriter]:
    """Write records to a database for as long as the context lasts, with a spool in the data directory.

    Args:
        database: open until after the context.
        settings: as loaded.
        tasks: owns the tasks that write.
    """
    spool = Spool(settings.data_path / _DIRECTORY, settings.limits.spool_bytes)
    writer = LedgerWriter(RequestStore(database), spool)
    upkeep, closing = Upkeep(RequestTotals(database), settings.retention), asyncio.Event()
    work = {
        tasks.create_task(writer.run(), name="ledger"),
        tasks.create_task(upkeep.run(closing), name="ledger-upkeep"),
    }
    try:
        yield writer
    finally:
        closing.set()
        writer.close()
        await asyncio.wait(work, timeout=_CLOSE_SECONDS)
        for task in work:
            task.cancel()


def _parse(lines: Sequence[bytes]) -> tuple[list[RequestRow], list[bytes]]:
    """Return the rows, and the lines that are none."""
    rows: list[RequestRow] = []
    others: list[bytes] = []
    for line in lines:
        try:
            rows.append(RequestRow.from_line(line))
        except BadLineError:
            others.append(line)
    return rows, others


def _words(error: Exception) -> str:
    """Return what may be logged of a failure."""
    return str(error) if isinstance(error, StoreError) else type(error).__name__
