"""The plug-in that watches the logs of every test sees what it should."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from gateway.actors.keys import new_key, visible_prefix
from gateway.replay.answers import ANSWER
from tests.log_watch import MARKER, leaks

ROOT = Path(__file__).parents[1]


@pytest.mark.parametrize(
    "line",
    [
        '{"event": "request", "key": "sk-ant-api03-abcdefgh"}',
        '{"event": "request", "key": "csg_0123456789012345678901234567890123456789012"}',
        '{"authorization": "Bearer abcdefghijkl"}',
        f"something {MARKER} something",
        f"<<{ANSWER[30:70]}>>",
    ],
    ids=["upstream-key", "client-key", "bearer", "marker", "answer"],
)
def test_a_secret_in_a_line_is_seen(line: str) -> None:
    assert list(leaks(["harmless", line])) == [line]


def test_what_may_be_logged_is_let_through() -> None:
    harmless = [
        f'{{"event": "key created", "prefix": "{visible_prefix(new_key())}"}}',
        '{"event": "request", "model": "claude-opus-5-5", "outcome": "complete", "stop_reason": "end_turn"}',
    ]
    assert list(leaks(harmless)) == []


@pytest.mark.parametrize(
    "statement",
    [
        "get_logger('x').info('request', body='CONFIDENTIAL-MARKER')",
        "print('CONFIDENTIAL-MARKER')",
        "note(b'CONFIDENTIAL-MARKER')",
        "configure_logs(stream=open('/dev/null', 'w')); get_logger('x').info('CONFIDENTIAL-MARKER')",
    ],
    ids=["logs", "prints", "starts-a-process", "logs-elsewhere"],
)
def test_a_leaking_test_fails(tmp_path: Path, statement: str) -> None:
    leaking = tmp_path / "test_leak.py"
    leaking.write_text(
        "from gateway.telemetry.logs import configure_logs, get_logger\n"
        "from tests.log_watch import note\n"
        f"def test_that_leaks():\n    {statement}\n"
    )
    command = [sys.executable, "-m", "pytest", "-q", "-p", "tests.log_watch", "-p", "no:cacheprovider", leaking]
    run = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, timeout=60)
    assert run.returncode == 1, run.stdout + run.stderr
    assert "these log lines hold a secret" in run.stdout
