"""What the replay upstream received, kept for assertions and for ``GET /_replay/requests``."""

import asyncio
from collections import deque
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager
from typing import Literal

import attrs

Ending = Literal["answered", "client_gone", "cut"]


@attrs.define(eq=False)
class ReceivedRequest:
    """One request as it came over the wire, and how its answer ended.

    ``raw_path`` is the request target, query included and never re-quoted; header names keep their case. Times
    are of the event loop's monotonic clock, in seconds.
    """

    method: str
    raw_path: bytes
    headers: list[tuple[str, str]]
    connection_id: int
    at: float
    body: bytes = b""
    model: str | None = None
    """``model`` of the JSON body, if there was one."""
    request_id: str = ""
    """The ``request-id`` that this request was answered with."""
    finished: Ending | None = None
    """``None`` while the answer is under way; ``cut`` when a fault of ours ended it early."""
    finished_at: float | None = None

    @property
    def path(self) -> str:
        """The path without its query, as received."""
        return self.raw_path.partition(b"?")[0].decode("ascii", "backslashreplace")

    @property
    def query(self) -> str:
        """What followed the first ``?``, as received; empty without one."""
        return self.raw_path.partition(b"?")[2].decode("ascii", "backslashreplace")

    def header(self, name: str) -> str | None:
        """Return the first value of a header, whatever the case of its name."""
        return next(iter(self.header_values(name)), None)

    def header_values(self, name: str) -> list[str]:
        """Return every value of a header in the order received."""
        wanted = name.lower()
        return [value for key, value in self.headers if key.lower() == wanted]

    @property
    def credential(self) -> tuple[str, str] | None:
        """The header that carried the credential, in lower case, and its value.

        ``x-api-key`` wins when both are there, as it does upstream.
        """
        for name in ("x-api-key", "authorization"):
            value = self.header(name)
            if value is not None:
                return name, value
        return None

    @property
    def client_gone_at(self) -> float | None:
        """When the client left before the answer was complete, else ``None``."""
        return self.finished_at if self.finished == "client_gone" else None


@attrs.define(eq=False)
class Journal:
    """A bounded record of requests that can be waited on without sleeping.

    The oldest records go once there are more than ``keep_requests`` of them, or once their bodies hold more
    than ``keep_bytes``.
    """

    keep_requests: int = 10_000
    keep_bytes: int = 256 * 2**20
    open_streams: int = 0
    _records: deque[ReceivedRequest] = attrs.field(factory=deque, init=False)
    _bytes: int = attrs.field(default=0, init=False)
    _waiters: list[tuple[Callable[[], bool], asyncio.Future[None]]] = attrs.field(factory=list, init=False)

    def __iter__(self) -> Iterator[ReceivedRequest]:
        """Walk over the records, oldest first."""
        return iter(self._records)

    def __len__(self) -> int:
        """Count the records kept."""
        return len(self._records)

    def add(self, record: ReceivedRequest) -> None:
        """Append a record, dropping old ones beyond the bounds."""
        self._records.append(record)
        self._bytes += len(record.body)
        while len(self._records) > self.keep_requests or (
            self._bytes > self.keep_bytes and len(self._records) > 1
        ):
            self._bytes -= len(self._records.popleft().body)
        self.changed()

    def finish(self, record: ReceivedRequest, ending: Ending, at: float) -> None:
        """Note how a request ended; the first ending stands."""
        if record.finished is None:
            record.finished = ending
            record.finished_at = at
            self.changed()

    def clear(self) -> None:
        """Forget every record."""
        self._records.clear()
        self._bytes = 0
        self.changed()

    @contextmanager
    def stream_open(self) -> Generator[None]:
        """Count one open stream for as long as the block runs."""
        self.open_streams += 1
        self.changed()
        try:
            yield
        finally:
            self.open_streams -= 1
            self.changed()

    def changed(self) -> None:
        """Wake whoever waits for a condition that has become true."""
        if not self._waiters:
            return
        still_waiting = []
        for predicate, future in self._waiters:
            if future.done():
                continue
            try:
                met = predicate()
            except Exception as error:  # noqa: BLE001 - it belongs to whoever wrote the predicate
                future.set_exception(error)
                continue
            if met:
                future.set_result(None)
            else:
                still_waiting.append((predicate, future))
        self._waiters = still_waiting

    async def wait_for(self, predicate: Callable[[], bool], timeout: float) -> None:  # noqa: ASYNC109 - the limit belongs to the question asked
        """Return as soon as ``predicate()`` is true; it is asked again at every change.

        Raises ``TimeoutError`` with a summary of the records when ``timeout`` seconds pass first.
        """
        if predicate():
            return
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiters.append((predicate, future))
        try:
            async with asyncio.timeout(timeout):
                await future
        except TimeoutError:
            seen = [f"{r.method} {r.path} {r.finished or 'open'}" for r in list(self._records)[-10:]]
            message = (
                f"not within {timeout} s; {self.open_streams} streams open, {len(self)} requests, last: {seen}"
            )
            raise TimeoutError(message) from None
        finally:
            self._waiters = [waiter for waiter in self._waiters if waiter[1] is not future]
