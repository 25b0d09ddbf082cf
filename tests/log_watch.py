"""A pytest plug-in: a test fails if the gateway logs a secret, or anything of a prompt or an answer.

It sees every line that any logger of the gateway makes in the test process, what tests leave on their standard
output and error, and the output of processes that a test hands to `note`.
"""

from __future__ import annotations

import json
import re
from collections import deque
from collections.abc import Generator, Iterable, Iterator
from functools import cache
from pathlib import Path
from typing import Any, Final

import pytest
import structlog

from gateway.replay.answers import ANSWER
from gateway.telemetry import logs

CREDENTIAL: Final = re.compile(r"sk-ant-[\w-]{6,}|csg_[\w-]{20,}|(?i:bearer) [\w.-]{8,}")
"""An upstream key, a whole client key (its first ten characters may be shown), or a credential in its header."""
MARKER: Final = "CONFIDENTIAL-MARKER"
"""Tests put it into prompts and answers of their own making."""

_SIZE: Final = 20  # characters of known text that are no coincidence
_FIXTURES: Final = Path(__file__).parents[1] / "fixtures"
_STREAMED: Final = re.compile(r'"(?:text|thinking|partial_json|content)": ?("(?:[^"\\]|\\.)*")')

_lines: deque[str] = deque(maxlen=200_000)
"""What was logged since the last look."""


def note(output: str | bytes) -> None:
    """Look at the output of a process too."""
    text = output.decode(errors="replace") if isinstance(output, bytes) else output
    _lines.extend(text.splitlines())


def recent_events() -> list[dict[str, Any]]:
    """Return what this test logged in this process so far."""
    return [json.loads(line) for line in _lines if line.startswith("{")]


def leaks(lines: Iterable[str]) -> Iterator[str]:
    """Yield the lines that hold what must not be logged."""
    known = _known_text()
    for line in lines:
        parts = (line[at : at + _SIZE] for at in range(len(line) - _SIZE + 1))
        if CREDENTIAL.search(line) or MARKER in line.upper() or any(part in known for part in parts):
            yield line


@cache
def _known_text() -> frozenset[str]:
    """Beginnings of what the corpus says, and every part of what the replay upstream makes up."""
    found: set[str] = {ANSWER[at : at + _SIZE] for at in range(len(ANSWER) - _SIZE)}
    for path in (_FIXTURES / "streams").rglob("*.sse"):
        for match in _STREAMED.finditer(path.read_bytes().decode(errors="replace")):
            found.update(_beginnings(match[1]))
    for path in (_FIXTURES / "requests").rglob("*.json"):
        for match in _STREAMED.finditer(path.read_bytes().decode(errors="replace")):
            found.update(_beginnings(match[1]))
    return frozenset(found)


def _beginnings(quoted: str) -> Iterator[str]:
    """Yield the beginning of a text as it is, and as JSON spells it."""
    try:
        text = json.loads(quoted)
    except ValueError:
        return
    for form in (text, quoted[1:-1]):
        if len(form) >= _SIZE and len(set(form)) > 1:
            yield form[:_SIZE]


class _Collector:
    """Takes the lines of loggers that no test has set up otherwise."""

    def msg(self, message: str) -> None:
        _lines.append(message)

    debug = info = warning = error = critical = msg


def pytest_configure() -> None:
    """Look over the shoulder of the gateway's own log writer."""
    write = logs._QueuedWriter.write

    def noted(self: logs._QueuedWriter, line: str) -> None:
        _lines.append(line)
        write(self, line)

    logs._QueuedWriter.write = noted


def pytest_runtest_setup() -> None:
    """Begin a test with an empty memory and every level of logging on."""
    _lines.clear()
    structlog.configure(
        processors=[structlog.processors.add_log_level, structlog.processors.JSONRenderer(default=repr)],
        wrapper_class=structlog.make_filtering_bound_logger(0),
        logger_factory=lambda *_: _Collector(),
        cache_logger_on_first_use=False,
    )


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Fail a test that is over if anything it logged should not have been."""
    report = yield
    if call.when == "teardown" and report.passed:
        printed = [text for _, name, text in item._report_sections if name in ("stdout", "stderr")]
        found = list(leaks([*_lines, *(line for text in printed for line in text.splitlines())]))
        if found:
            report.outcome = "failed"
            report.longrepr = "these log lines hold a secret, or text of a prompt or an answer:\n" + "\n".join(
                line[:1000] for line in found[:10]
            )
    return report
