"""The load generator: opens streams, checks every byte of them, and says what it saw.

It talks to the program that started it in JSON lines on standard output: ``{"mark": "begin"}`` and
``{"mark": "end"}`` around the stretch that is to be measured, then ``{"result": {...}}``. Times are in
seconds. A stream that is not byte for byte what the upstream was scripted to send is a failure, and a
result with failures is worth nothing.

    python -m tests.bench.load blast --target http://127.0.0.1:8787/claude/v1/messages --key K
"""

import argparse
import asyncio
import contextlib
import gc
import json
import sys
import time
from collections.abc import Callable
from typing import Any, Final

import attrs
import uvloop

from tests.bench import streams
from tests.bench.http1 import BrokenAnswerError, Connection, Target

OPENING_INTERVAL: Final = 0.0051
"""Seconds between two openings of paced streams: a little off the pace, so that phases spread evenly."""
SETTLING: Final = 1.0
"""Seconds that idle streams are left alone before and while memory is read."""


def say(**fields: Any) -> None:
    """Write one JSON line to whoever started this process."""
    sys.stdout.write(json.dumps(fields) + "\n")
    sys.stdout.flush()


def percentile(values: list[float], share: float) -> float:
    """Return the value that ``share`` of ``values`` do not exceed, or 0 of none."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(len(ordered) * share))] if ordered else 0.0


@attrs.define
class Tally:
    """What one run saw."""

    streams: int = 0
    events: int = 0
    seconds: float = 0.0
    first_content: list[float] = attrs.field(factory=list)
    delays: list[float] = attrs.field(factory=list)
    last_events: list[float] = attrs.field(factory=list)
    """How long ``message_stop`` was behind the event before it, which the upstream sends together."""
    failures: list[str] = attrs.field(factory=list)

    def report(self) -> None:
        """Say the result."""
        say(
            result={
                "streams": self.streams,
                "events": self.events,
                "seconds": self.seconds,
                "first_content_p50": percentile(self.first_content, 0.50),
                "first_content_p99": percentile(self.first_content, 0.99),
                "delay_p50": percentile(self.delays, 0.50),
                "delay_p99": percentile(self.delays, 0.99),
                "last_event_p50": percentile(self.last_events, 0.50),
                "last_event_p99": percentile(self.last_events, 0.99),
                "failed": len(self.failures),
                "failures": self.failures[:5],
            }
        )


class Reader:
    """Collects a stream's body and notes when the first content was there."""

    def __init__(self, first_content: int, on_first: Callable[[], object] = bool) -> None:
        """Call ``on_first`` after ``first_content`` bytes, the size of all up to the first delta's end."""
        self.on_first = on_first
        self.body = bytearray()
        self.started = time.monotonic()
        self.first_content: float | None = None
        self._needed = first_content

    def feed(self, payload: bytes) -> None:
        """Take the payload of one chunk."""
        self.body += payload
        if self.first_content is None and len(self.body) >= self._needed:
            self.first_content = time.monotonic() - self.started
            self.on_first()


class PacedReader(Reader):
    """Reads the send moments out of a paced stream as its deltas arrive."""

    def __init__(self, model: str, deltas: int, on_first: Callable[[], object]) -> None:
        """Expect ``deltas`` deltas of ``model`` and call ``on_first`` when the first is there."""
        self._head = streams.paced_head(model)
        super().__init__(len(self._head) + streams.PACED_EVENT_BYTES, on_first)
        self._deltas = deltas
        self.sent: list[int] = []
        self.received: list[int] = []
        self.tail: list[int] = []
        """When something of the closing events came."""

    def feed(self, payload: bytes) -> None:
        """Take the payload of one chunk and time the deltas in it."""
        now = time.monotonic_ns()
        super().feed(payload)
        size = streams.PACED_EVENT_BYTES
        offset = len(self._head) + size * len(self.sent)
        while len(self.sent) < self._deltas and len(self.body) >= offset + size:
            try:
                self.sent.append(streams.paced_sent_ns(self.body, offset))
            except ValueError:
                raise BrokenAnswerError(f"not a paced delta: {self.body[offset:][:200]!r}") from None
            self.received.append(now)
            offset += size
        if len(self.sent) == self._deltas and len(self.body) > offset:
            self.tail.append(now)

    def verify(self) -> None:
        """Raise BrokenAnswerError unless the body is exactly what the send moments say it must be."""
        deltas = [streams.paced_delta(number, sent) for number, sent in enumerate(self.sent)]
        expected = self._head + b"".join(deltas) + streams.paced_tail(self._deltas)
        if len(self.sent) != self._deltas or self.body != expected or sorted(self.sent) != self.sent:
            raise BrokenAnswerError(f"a paced stream differs after {len(self.sent)} deltas")


def _verify(body: bytearray, expected: bytes) -> None:
    if body != expected:
        same = next((n for n, pair in enumerate(zip(body, expected, strict=False)) if pair[0] != pair[1]), -1)
        raise BrokenAnswerError(f"got {len(body)} bytes, expected {len(expected)}, first difference at {same}")


async def blast(target: Target, connections: int, total: int) -> Tally:
    """Play ``total`` blast streams over ``connections`` connections, after one unmeasured stream each."""
    tally = Tally()
    model = f"{streams.MODEL_PREFIX}blast"
    script = streams.blast(model)
    request = target.request(model)
    left = total

    async def one(connection: Connection | None) -> tuple[Connection, float]:
        if connection is None or not connection.usable:
            connection = await Connection.open(target)
        reader = Reader(script.first_content)
        await connection.stream(request, reader.feed)
        _verify(reader.body, script.body)
        return connection, reader.first_content or 0.0

    async def worker(connection: Connection | None) -> None:
        nonlocal left
        while left > 0 and not tally.failures:
            left -= 1
            try:
                connection, first = await one(connection)
            except (BrokenAnswerError, OSError) as error:
                tally.failures.append(str(error))
                return
            tally.first_content.append(first)
            tally.streams += 1

    async with asyncio.TaskGroup() as group:
        warm = [group.create_task(one(None)) for _ in range(connections)]
    say(mark="begin")
    started = time.monotonic()
    async with asyncio.TaskGroup() as group:
        for task in warm:
            group.create_task(worker(task.result()[0]))
    tally.seconds = time.monotonic() - started
    say(mark="end")
    tally.events = tally.streams * len(script.events)
    return tally


async def paced(target: Target, count: int, window: float) -> Tally:
    """Hold ``count`` paced streams open and measure for ``window`` seconds while all of them speak."""
    tally = Tally()
    opening = count * OPENING_INTERVAL
    deltas = int((opening + window + 0.5) / streams.PACED_INTERVAL)
    model = f"{streams.MODEL_PREFIX}paced-{deltas}"
    request = target.request(model)
    waiting = count
    all_speak = asyncio.Event()
    readers: list[PacedReader] = []

    def spoke() -> None:
        nonlocal waiting
        waiting -= 1
        if waiting == 0:
            all_speak.set()

    async def one(number: int) -> None:
        await asyncio.sleep(number * OPENING_INTERVAL)
        try:
            connection = await Connection.open(target)
            reader = PacedReader(model, deltas, spoke)
            await connection.stream(request, reader.feed)
            connection.close()
            reader.verify()
        except (BrokenAnswerError, OSError) as error:
            tally.failures.append(str(error))
            all_speak.set()
        else:
            readers.append(reader)

    async with asyncio.TaskGroup() as group:
        for number in range(count):
            group.create_task(one(number))
        await all_speak.wait()
        say(mark="begin")
        begin = time.monotonic_ns()
        await asyncio.sleep(window)
        end = time.monotonic_ns()
        say(mark="end")
    tally.seconds = (end - begin) / 1e9
    tally.streams = len(readers)
    tally.first_content = [reader.first_content or 0.0 for reader in readers]
    for reader in readers:
        moments = zip(reader.sent, reader.received, strict=True)
        tally.delays += [(received - sent) / 1e9 for sent, received in moments if begin <= received < end]
    tally.events = len(tally.delays)
    tally.last_events = [(reader.tail[-1] - reader.tail[0]) / 1e9 for reader in readers]
    return tally


async def idle(target: Target, count: int) -> Tally:
    """Open ``count`` streams that fall silent after one delta, and leave them so for a while."""
    tally = Tally(streams=count)
    model = f"{streams.MODEL_PREFIX}idle"
    expected = streams.idle(model)
    readers: list[Reader] = []
    connections: list[Connection] = []
    all_spoke = asyncio.Event()

    async def silent(connection: Connection, reader: Reader) -> None:
        try:
            await connection.stream(target.request(model), reader.feed)
        except BrokenAnswerError as error:
            if connection.closed_here:
                return
            tally.failures.append(str(error))
        else:
            tally.failures.append("an idle stream ended by itself")
        all_spoke.set()

    def spoke() -> None:
        if len(readers) == count and all(reader.first_content is not None for reader in readers):
            all_spoke.set()

    await blast_once(target)
    say(mark="begin")
    async with asyncio.TaskGroup() as group:
        for _ in range(count):
            connections.append(await Connection.open(target))
            readers.append(Reader(len(expected), spoke))
            group.create_task(silent(connections[-1], readers[-1]))
        await all_spoke.wait()
        await asyncio.sleep(SETTLING)
        say(mark="end")
        await asyncio.sleep(SETTLING / 4)
        for connection in connections:
            connection.close()
    tally.first_content = [reader.first_content or 0.0 for reader in readers]
    wrong = [reader.body for reader in readers if reader.body != expected]
    tally.failures += [f"an idle stream said {bytes(body[:200])!r}" for body in wrong]
    return tally


async def big(target: Target, repeats: int) -> Tally:
    """Play ``repeats`` tool calls of 10 MB one after the other, after one small unmeasured stream."""
    tally = Tally()
    await blast_once(target)
    model = f"{streams.MODEL_PREFIX}big"
    script = streams.big(model)
    say(mark="begin")
    started = time.monotonic()
    for _ in range(repeats):
        reader = Reader(script.first_content)
        connection = await Connection.open(target)
        await connection.stream(target.request(model), reader.feed)
        connection.close()
        _verify(reader.body, script.body)
        tally.streams += 1
        tally.events += len(script.events)
        tally.first_content.append(reader.first_content or 0.0)
    tally.seconds = time.monotonic() - started
    say(mark="end")
    return tally


async def blast_once(target: Target) -> None:
    """Play one blast stream on a connection of its own."""
    model = f"{streams.MODEL_PREFIX}blast"
    script = streams.blast(model)
    reader = Reader(script.first_content)
    connection = await Connection.open(target)
    await connection.stream(target.request(model), reader.feed)
    connection.close()
    _verify(reader.body, script.body)


async def run(options: argparse.Namespace) -> Tally:
    """Run the load that the command line asks for, within its time limit."""
    target = Target.parse(options.target, options.key)
    async with asyncio.timeout(options.time_limit):
        match options.load:
            case "blast":
                return await blast(target, options.connections, options.streams)
            case "paced":
                return await paced(target, options.streams, options.window)
            case "idle":
                return await idle(target, options.streams)
            case "big":
                return await big(target, options.streams)
            case _:
                await blast_once(target)
                return Tally(streams=1)


def main() -> None:
    """Read the command line, run one load, say its result."""
    parser = argparse.ArgumentParser(description="The benchmark's load generator.")
    parser.add_argument("load", choices=("blast", "paced", "idle", "big", "once"))
    parser.add_argument("--target", required=True, help="URL of the messages endpoint")
    parser.add_argument("--key", default="bench", help="value of x-api-key")
    parser.add_argument("--connections", type=int, default=32, help="connections of a blast")
    parser.add_argument("--streams", type=int, default=200, help="streams to play or to hold open")
    parser.add_argument("--window", type=float, default=3.0, help="seconds to measure paced streams for")
    parser.add_argument("--time-limit", type=float, default=60.0, help="seconds after which to give up")
    gc.disable()  # a collection here would show up as the relay's delay
    with contextlib.suppress(KeyboardInterrupt):
        try:
            tally = uvloop.run(run(parser.parse_args()))
        except (BrokenAnswerError, ExceptionGroup, OSError) as error:
            tally = Tally(failures=[repr(error)])
        tally.report()


if __name__ == "__main__":
    main()
