"""Structured logs on standard output, written by a thread so that a stuck pipe stalls no stream.

Only named facts are logged, never a body, a header's value or an exception's arguments from outside.
"""

from __future__ import annotations

import collections
import json
import logging
import os
import sys
import threading
import time
import traceback
from collections.abc import MutableMapping
from typing import Any, Final, TextIO

import msgspec
import structlog

__all__ = ["close_logs", "configure_logs", "dropped_lines", "exception_facts", "get_logger", "printable"]

_QUEUE_LINES: Final = 10_000
_BATCH_SECONDS: Final = 0.02
_TEXT_LENGTH: Final = 300  # characters of one value
_LIST_LENGTH: Final = 20
_FIRST: Final = ("timestamp", "level", "event", "outcome", "status", "code", "reason")
_TRACE_LENGTH: Final = 12  # innermost frames


def get_logger(name: str) -> Any:
    """Return a structlog logger that carries the name of its module."""
    return structlog.get_logger(module=name)


def exception_facts(error: BaseException | None) -> dict[str, Any]:
    """Return what may be logged of an exception: its type and where it came from, never its arguments."""
    if error is None:
        return {}
    frames = traceback.walk_tb(error.__traceback__)
    places = [f"{frame.f_code.co_filename}:{line} {frame.f_code.co_name}" for frame, line in frames]
    return {"exception": type(error).__name__, "trace": places[-_TRACE_LENGTH:]}


class _QueuedWriter:
    """Hands finished lines to a thread in batches; drops and counts them when the reader does not keep up."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._lines: collections.deque[str] = collections.deque()
        self.dropped = 0
        """Lines that nobody will see, since the start."""
        self._told = 0
        self._closing = False
        self._wake = threading.Event()
        self._thread = threading.Thread(target=self._run, name="log-writer", daemon=True)
        self._thread.start()

    def write(self, line: str) -> None:
        if len(self._lines) >= _QUEUE_LINES:
            self.dropped += 1
            return
        self._lines.append(line)
        # Waking the thread costs more than the line; it looks again by itself until the queue is empty.
        if not self._wake.is_set():
            self._wake.set()

    def close(self, timeout: float) -> None:
        """Write what is queued, for `timeout` seconds at most."""
        self._closing = True
        self._wake.set()
        self._thread.join(timeout)

    def _run(self) -> None:
        while not self._closing or self._lines:
            self._wake.wait()
            if not self._closing:
                time.sleep(_BATCH_SECONDS)
            self._wake.clear()
            batch = [self._lines.popleft() for _ in range(len(self._lines))]
            dropped, self._told = self.dropped - self._told, self.dropped
            if dropped:
                batch.append(f'{{"event": "log lines dropped", "level": "warning", "lines": {dropped}}}')
            if not self._put("".join(line + "\n" for line in batch)):
                return

    def _put(self, text: str) -> bool:
        """Write; return whether there is any point in writing more."""
        try:
            try:
                self._stream.write(text)
            except UnicodeEncodeError:
                # The terminal or the locale knows fewer characters than the world.
                self._stream.write(text.encode("ascii", "backslashreplace").decode())
            self._stream.flush()
        except (OSError, ValueError):  # closed, or its reader has gone
            return False
        return True


class _QueuedLogger:
    """The last link of structlog's chain."""

    def __init__(self, writer: _QueuedWriter) -> None:
        self._writer = writer

    def msg(self, message: str) -> None:
        self._writer.write(message)

    debug = info = warning = error = critical = msg


class _StandardLibraryBridge(logging.Handler):
    """Takes the few records that libraries log.

    Only the first line of their text, without its arguments: both may hold request data, such as the repr of an
    exception that asyncio puts behind its own words.
    """

    def emit(self, record: logging.LogRecord) -> None:
        text = str(record.msg).partition("\n")[0]
        facts = exception_facts(record.exc_info[1]) if record.exc_info else {}
        structlog.get_logger(module=record.name).log(record.levelno, text, **facts)


def printable(value: Any, limit: int = _TEXT_LENGTH) -> Any:
    """Return what may be logged of a value that somebody outside chose: short, visible, and of bounded depth.

    Control characters, which a terminal would obey, and lone surrogates, which no encoding knows, are escaped.
    """
    if isinstance(value, str):
        if len(value) > limit:
            value = value[:limit] + "…"
        return value if value.isprintable() else "".join(map(_visible, value))
    if isinstance(value, (list, tuple)):
        return [printable(part, limit) for part in value[:_LIST_LENGTH]]
    if isinstance(value, dict):
        return {str(name): printable(part, limit) for name, part in value.items()}
    return value


def _visible(character: str) -> str:
    return character if character.isprintable() else character.encode("unicode_escape").decode()


def _only_printable(_logger: Any, _method: str, facts: MutableMapping[str, Any]) -> dict[str, Any]:
    return {name: printable(value) for name, value in facts.items()}


def _in_order(_logger: Any, _method: str, facts: MutableMapping[str, Any]) -> dict[str, Any]:
    """Put first what people look for first."""
    return {name: facts[name] for name in _FIRST if name in facts} | dict(facts)


def _to_json(facts: Any, **_: Any) -> str:
    try:
        return msgspec.json.encode(facts, enc_hook=str).decode()
    except (ValueError, OverflowError, TypeError):
        # An integer of more than 64 bits, for one; a line must never be lost for what is in it.
        return json.dumps(facts, default=str)


_writers: list[_QueuedWriter] = []


def configure_logs(*, level: str = "info", fmt: str = "auto", stream: TextIO | None = None) -> None:
    """Set up logging for the process; calling it again replaces the set-up.

    Args:
        level: debug, info, warning or error.
        fmt: json, console, or auto: console on a terminal.
        stream: default standard output.
    """
    close_logs()
    out = stream or sys.stdout
    console = fmt == "console" or (fmt == "auto" and out.isatty())
    writer = _QueuedWriter(out)
    _writers.append(writer)
    number = getattr(logging, level.upper())
    colors = out.isatty() and "NO_COLOR" not in os.environ
    renderer: Any = (
        structlog.dev.ConsoleRenderer(colors=colors, sort_keys=False)
        if console
        else structlog.processors.JSONRenderer(_to_json)
    )
    structlog.configure(
        processors=[
            _only_printable,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            _in_order,
            renderer,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(number),
        logger_factory=lambda *_: _QueuedLogger(writer),
        cache_logger_on_first_use=False,
    )
    root = logging.getLogger()
    root.handlers[:] = [_StandardLibraryBridge()]
    root.setLevel(max(number, logging.WARNING))


def dropped_lines() -> int:
    """Return how many lines were dropped because nobody took them off, since the logs were configured."""
    return sum(writer.dropped for writer in _writers)


def close_logs(timeout: float = 2.0) -> None:
    """Write out what is queued, for `timeout` seconds at most, and stop the writer thread."""
    while _writers:
        _writers.pop().close(timeout)
